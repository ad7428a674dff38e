# SPDX-License-Identifier: Apache-2.0
"""What registries do in ways of their own, and what must not be given to whom: each answer by a registry that was told how."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse

import pytest

import registry_server as rs
from conftest import BIN, Cooper
from hostile_registry import CONFIG, INDEX, LAYER, MANIFEST, descriptor, hostile_registry, sha256
from tls_front import Authority, tls_front

FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
BASIC = "Basic " + base64.b64encode(b"me:s3cret").decode()


@pytest.fixture
def reg():
    with hostile_registry() as registry:
        yield registry


@pytest.fixture
def server(tmp_path):
    server = rs.Server(tmp_path / "server", "registry: {gc: off, scrub: off}").start()
    yield server
    server.stop()


def auth_file(tmp_path, host, **entry):
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {host: entry or {"auth": BASIC.split()[1]}}}))
    return {"REGISTRY_AUTH_FILE": str(path)}


def pull(cooper, reg, *words, env=None):
    done = cooper("image", "copy", f"docker://{reg.host}/a/b:1", "store:got:1", code=1 if words else 0, env=env, timeout=120)
    text = " ".join(done.err.split())
    for word in words:
        assert re.search(word, text), (word, done.err)
    return done


def wants(header, good):
    """A rule: 401 with this challenge for all but such an Authorization."""

    def rule(h):
        if h.path.startswith("/token") or h.headers.get("Authorization") == good:
            return False
        return h.answer(401, {"WWW-Authenticate": header})

    return rule


# ---- foreign layers ----


def put_foreign(reg, layer, urls):
    config = reg.put_blob(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]}}).encode())
    listed = descriptor(layer, FOREIGN, urls=urls)
    reg.put_manifest("a/b", {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config, CONFIG), "layers": [listed]}, "1")
    return listed["digest"]


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_foreign_layers_get_no_credentials(bare, reg, server, tmp_path, size):
    """CVE-2020-15157: the place is whatever the image says."""
    layer = bytes(size)
    env = auth_file(tmp_path, reg.host)
    reg.rules.append(wants('Basic realm="x"', BASIC))
    with hostile_registry() as other:
        other.rules.append(lambda h: h.answer(401, {"WWW-Authenticate": 'Basic realm="x"'}) if "gone" in h.path else h.answer(200, {}, layer))
        put_foreign(reg, layer, [f"http://{other.host}/gone", f"http://{other.host}/layer"])
        pull(bare, reg, env=env)
        assert [path for _, path, _ in other.seen] == ["/gone", "/layer"]
        assert not [h for _, _, h in other.seen if "Authorization" in h]
    assert all(h.get("Authorization") == BASIC for _, path, h in reg.asked("GET", "/v2/a/b/")[1:])


def test_foreign_layers_get_no_trust_of_the_repository(bare, reg, tmp_path):
    """What a setting says of a part of a host is not said of the rest of it."""
    reg.rules.append(lambda h: h.path == "/layer" and h.answer(200, {}, b"layer"))
    authority = Authority(tmp_path / "ca")
    with tls_front(tmp_path / "front", reg.host, authority.issue("server")) as front:
        put_foreign(reg, b"layer", [f"https://{front.host}/layer"])
        config = tmp_path / "config.yaml"
        for part, code in (("/a", 1), ("", 0)):
            config.write_text(json.dumps({"registries": {front.host + part: {"ca": str(authority.ca)}}}))
            done = bare("image", "copy", f"docker://{front.host}/a/b:1", "store:got:1", "--config", config, code=code)
            assert code == 0 or re.search(f"https://{front.host}/layer.*certificate", done.err), done.err


def test_foreign_layers_that_nobody_has(bare, reg, server, tmp_path):
    """An image of the store must be whole; a copy elsewhere may go without them, as the layer says where it is."""
    with hostile_registry() as other:
        other.rules.append(lambda h: h.answer(410 if "two" in h.path else 403, {}, b"not for you"))
        digest = put_foreign(reg, b"layer", [f"http://{other.host}/one", f"http://{other.host}/two"])
        words = (f"http://{other.host}/one.* 403", f"http://{other.host}/two.* 410", f"{reg.host}.* 404")
        pull(bare, reg, *words)
        for place in (f"oci:{tmp_path}/out", f"docker://{server.host}/to:1"):
            done = bare("image", "copy", f"docker://{reg.host}/a/b:1", place)
            for word in ("may not be distributed is left out", *words):
                assert re.search(word, done.err), (word, done.err)
        bare("image", "copy", f"oci:{tmp_path}/out", f"oci-archive:{tmp_path}/out.tar")
        refused = bare("image", "copy", f"oci:{tmp_path}/out", f"docker-archive:{tmp_path}/docker.tar", code=1)
        assert digest[7:19] in refused.err
    assert server.request("GET", "/v2/to/manifests/1").body == reg.manifests["a/b/1"][0]
    assert server.request("HEAD", f"/v2/to/blobs/{digest}").status == 404
    assert not (tmp_path / "out" / "blobs" / "sha256" / digest[7:]).exists()


def test_foreign_layers_that_were_brought_in_go_along(bare, reg, server):
    """A registry that has no way out needs them."""
    with hostile_registry() as other:
        other.rules.append(lambda h: h.answer(200, {}, b"layer"))
        digest = put_foreign(reg, b"layer", [f"http://{other.host}/layer"])
        pull(bare, reg)
    bare("image", "copy", "store:got:1", f"docker://{server.host}/to:1")
    assert server.request("GET", f"/v2/to/blobs/{digest}").body == b"layer"


@pytest.mark.sanitize
def test_an_index_of_other_things(bare, reg, tmp_path):
    """Caches of BuildKit list layers; a whole copy has them too."""
    image = reg.put_image("a/b", layers=[b"layer"])
    text = descriptor(reg.put_blob(b"hello world"), "text/plain")
    reg.put_manifest("a/b", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**image, "platform": {"os": "linux", "architecture": "amd64"}}, text]}, "1", INDEX)
    for place in (f"oci:{tmp_path}/out", f"oci-archive:{tmp_path}/out.tar"):
        bare("image", "copy", "--all", f"docker://{reg.host}/a/b:1", place)
    bare("image", "copy", "--all", f"oci:{tmp_path}/out", f"oci-archive:{tmp_path}/again.tar")
    assert (tmp_path / "out" / "blobs" / "sha256" / text["digest"][7:]).read_bytes() == b"hello world"


# ---- tokens ----


def token_server(reg, tokens, expires=None, scope="repository:a/b:pull", more=""):
    """Bearer tokens one after the other, good if they were asked for with the whole scope; returns what was asked for: [{scope: [...], ...}]."""
    asked = []

    def is_good(token):
        return token in tokens[: len(asked)] and set(scope.split()) <= set(asked[tokens.index(token)]["scope"])

    def rule(h):
        path, _, query = h.path.partition("?")
        if path != "/token":
            if is_good(h.headers.get("Authorization", "").removeprefix("Bearer ")):
                return False
            return h.answer(401, {"WWW-Authenticate": f'Bearer realm="http://{reg.host}/token",service="s",scope="{scope}"{more}'})
        asked.append(urllib.parse.parse_qs(query))
        answer = {"token": tokens[len(asked) - 1], **({} if expires is None else {"expires_in": expires})}
        return h.answer(200, {}, json.dumps(answer).encode())

    reg.rules.append(rule)
    return asked


def test_a_ready_bearer_token(bare, reg, tmp_path):
    """registrytoken is sent as it is: no token server is asked."""
    reg.put_image("a/b", "1")
    asked = token_server(reg, [])
    reg.rules.insert(0, lambda h: h.headers.get("Authorization") == "Bearer ready" and not reg.usual(h) is None)
    pull(bare, reg, env=auth_file(tmp_path, reg.host, registrytoken="ready"))
    assert asked == [] and reg.asked("GET", "/blobs/")


@pytest.mark.parametrize("expires", [None, 0, 10, 300])
def test_a_token_serves_until_it_ends(bare, reg, expires):
    """One that says nothing, or less than a minute, is good for a minute."""
    reg.put_image("a/b", "1", [bytes([n]) for n in range(20)])
    asked = token_server(reg, ["one", "two"], expires)
    pull(bare, reg)
    assert len(asked) == 1 and asked[0]["scope"] == ["repository:a/b:pull"] and asked[0]["service"] == ["s"]


def test_what_the_challenge_names_is_asked_for(bare, reg):
    """Some want more than the repository's own scope, and say which (insufficient_scope)."""
    reg.put_image("a/b", "1")
    asked = token_server(reg, [f"t{n}" for n in range(20)], scope="repository:a/b:pull repository:mirror/c:pull", more=',error="insufficient_scope"')
    pull(bare, reg)
    assert sorted(asked[0]["scope"]) == ["repository:a/b:pull", "repository:mirror/c:pull"]


@pytest.mark.sanitize
def test_a_refusal_without_a_challenge(bare, reg):
    """Then /v2/ says what is wanted."""
    reg.put_image("a/b", "1")
    asked = token_server(reg, ["one"])
    reg.rules.insert(0, lambda h: h.path.startswith("/v2/a/") and "Authorization" not in h.headers and h.answer(401))
    pull(bare, reg)
    assert len(asked) == 1


def test_an_endless_token(bare, reg):
    reg.put_image("a/b", "1")
    token_server(reg, ["x" * (3 << 20)])
    pull(bare, reg, r"http://[^ ]*/token.*larger than 1048576 bytes")


# ---- uploads ----


def push_registry(reg, locate, finish=lambda h: None):
    """Takes uploads. locate(path) -> the Location of a new one."""
    taken = {}

    def rule(h):
        path, _, query = h.path.partition("?")
        if h.command == "POST":
            return h.answer(202, {"Location": locate("/v2/a/b/blobs/uploads/1")})
        if h.command == "PUT" and path == "/v2/a/b/blobs/uploads/1":
            if finish(h):
                return True
            digest = urllib.parse.parse_qs(query)["digest"][0]
            reg.put_blob(h.body)
            taken[digest] = h.body
            return h.answer(201, {"Location": f"/v2/a/b/blobs/{digest}"})
        if h.command == "PUT":
            reg.put_manifest("a/b", h.body, path.rpartition("/")[2], h.headers["Content-Type"])
            return h.answer(201)
        return False

    reg.rules.append(rule)
    return taken


@pytest.fixture
def image(bare, reg, tmp_path):
    """The store's image got:1, of one layer."""
    with hostile_registry() as source:
        source.put_image("a/b", "1", [b"layer"])
        pull(bare, source)
    return "store:got:1"


def test_a_location_without_a_scheme(bare, reg, image):
    taken = push_registry(reg, lambda path: f"{reg.host}{path}?state=x")
    bare("image", "copy", image, f"docker://{reg.host}/a/b:1")
    assert sha256(b"layer") in taken and all("state=x&digest=" in path for _, path, _ in reg.asked("PUT", "/uploads/"))


def test_a_location_with_the_scheme_behind_the_proxy(bare, reg, image, tmp_path):
    """The registry behind a proxy that ends TLS knows nothing of that."""
    authority = Authority(tmp_path / "ca")
    with tls_front(tmp_path / "front", reg.host, authority.issue("server")) as front:
        taken = push_registry(reg, lambda path: f"http://{front.host}{path}")
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({"registries": {front.host: {"ca": str(authority.ca)}}}))
        bare("image", "copy", image, f"docker://{front.host}/a/b:1", "--config", config)
    assert sha256(b"layer") in taken


def test_a_location_elsewhere_keeps_its_scheme(bare, reg, image, tmp_path):
    """Only what is at the registry's own address is meant to be reached as the registry is."""
    authority = Authority(tmp_path / "ca")
    with tls_front(tmp_path / "front", reg.host, authority.issue("server"), more="proxy_redirect off;") as front:
        where = []
        taken = push_registry(reg, lambda path: f"http://{where[-1]}{path}")
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({"registries": {front.host: {"ca": str(authority.ca)}}}))
        where.append(f"localhost:{front.port}")
        done = bare("image", "copy", image, f"docker://{front.host}/a/b:1", "--config", config, code=1)
        assert f"PUT http://{where[-1]}/v2/a/b/blobs/uploads/" in done.err
        where.append(reg.host)
        bare("image", "copy", image, f"docker://{front.host}/a/b:1", "--config", config)
        # Those in the clear to the port of TLS are refused.
        assert {r["status"] for r in front.requests() if r["method"] == "PUT" and "/uploads/" in r["path"]} == {"400"}
    assert sha256(b"layer") in taken


def test_request_timeout_is_tried_again(bare, reg, image):
    once = []
    taken = push_registry(reg, lambda path: path, lambda h: not once and (once.append(1) or h.answer(408)))
    bare("image", "copy", image, f"docker://{reg.host}/a/b:1")
    assert sha256(b"layer") in taken and once


# ---- answers ----


def test_the_tag_for_referrers_is_the_subject_itself(bare, reg, tmp_path):
    """A registry that takes sha256-<hex> for the digest gives the image where its referrers are looked for."""
    image = reg.put_image("a/b", "1")
    reg.manifests["a/b/" + image["digest"].replace(":", "-")] = reg.manifests["a/b/1"]
    done = bare("image", "copy", "--referrers", f"docker://{reg.host}/a/b:1", f"oci:{tmp_path}/out")
    assert "attached" not in done.out
    assert len(json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]) == 1


def test_the_subject_is_no_list_of_its_referrers(bare, reg):
    """Where such a registry gets a list, what it gave before is not taken for entries of it."""
    with hostile_registry() as source:
        image = source.put_image("a/b", layers=[b"layer"])
        entries = [{**image, "platform": {"os": "linux", "architecture": "amd64"}}]
        index = source.put_manifest("a/b", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, "1", INDEX)
        about = source.put_image("a/b", layers=[b"signature"], subject=index)

        def lists(h):
            found = [about] if h.path.endswith("/referrers/" + index["digest"]) else []
            return "/referrers/" in h.path and h.answer(200, {"Content-Type": INDEX}, json.dumps({"schemaVersion": 2, "manifests": found}).encode())

        source.rules.append(lists)
        push_registry(reg, lambda path: path)
        tag, whole = (f"a/b/{name}" for name in (index["digest"].replace(":", "-"), index["digest"]))

        def takes_it_for_the_digest(h):
            asked = h.command == "GET" and h.path == "/v2/a/b/manifests/" + index["digest"].replace(":", "-")
            return asked and tag not in reg.manifests and h.answer(200, {"Content-Type": INDEX}, reg.manifests[whole][0])

        reg.rules.insert(0, takes_it_for_the_digest)
        bare("image", "copy", "--all", "--referrers", f"docker://{source.host}/a/b:1", f"docker://{reg.host}/a/b:1")
    assert [entry["digest"] for entry in json.loads(reg.manifests[tag][0])["manifests"]] == [about["digest"]]


def test_a_referrer_that_is_listed_and_gone(bare, reg, tmp_path):
    image = reg.put_image("a/b", "1")
    about = reg.put_image("a/b", layers=[b"signature"], subject=image)
    gone = descriptor(b"{}", MANIFEST)
    listed = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [gone, about]}).encode()
    reg.rules.append(lambda h: "/referrers/" in h.path and h.answer(200, {"Content-Type": INDEX}, listed if image["digest"] in h.path else b'{"schemaVersion":2,"manifests":[]}'))
    done = bare("image", "copy", "--referrers", f"docker://{reg.host}/a/b:1", f"oci:{tmp_path}/out")
    assert f"lists {gone['digest']} as attached, and does not have it" in done.err and "copied 1 attached" in done.out


def test_blobs_come_side_by_side(bare, reg):
    """The first is given when another is asked for."""
    layers = [bytes([n]) * 100 for n in range(4)]
    reg.put_image("a/b", "1", layers)
    asked, second, held = set(), threading.Event(), []

    def rule(h):
        if h.command == "GET" and any(sha256(layer) in h.path for layer in layers):
            asked.add(h.path)
            if len(asked) > 1:
                second.set()
            held.append(second.wait(20))
        return False

    reg.rules.append(rule)
    pull(bare, reg)
    assert held == [True] * len(layers)


def test_an_endless_refusal(bare, reg):
    reg.put_image("a/b", "1")
    sent = []

    def rule(h):
        if "/manifests/" not in h.path:
            return False
        h.send_response(403)
        h.send_header("Content-Type", "text/plain")
        h.end_headers()
        h.close_connection = True
        for _ in range(200):
            h.wfile.write(b"no " * 100_000)
            sent.append(1)
        return True

    reg.rules.append(rule)
    pull(bare, reg, "403.*no no no")
    # A little is read, and what was on its way.
    assert len(sent) < 100


# ---- what the machine says ----


def test_the_machines_bundle_of_certificates(bare, reg, tmp_path):
    reg.put_image("a/b", "1")
    authority = Authority(tmp_path / "ca")
    with tls_front(tmp_path / "front", reg.host, authority.issue("server")) as front:
        front.host = f"127.0.0.1:{front.port}"
        pull(bare, front, "certificate", env={"SSL_CERT_FILE": ""})
        pull(bare, front, env={"SSL_CERT_FILE": str(authority.ca)})


def test_a_certificate_without_its_key(bare, reg, tmp_path):
    folder = tmp_path / "xdg" / "containers" / "certs.d" / reg.host
    folder.mkdir(parents=True)
    (folder / "client.cert").write_text("x")
    pull(bare, reg, f"{folder}/client.cert has no key beside it", env={"XDG_CONFIG_HOME": str(tmp_path / "xdg")})


@pytest.mark.parametrize("roots", [["containers"], ["docker"], ["containers", "docker"]])
def test_certificates_of_the_machine(reg, tmp_path, roots):
    """In /etc/containers/certs.d, and where that has nothing of the host in /etc/docker/certs.d."""
    if os.geteuid() != 0:
        pytest.skip("needs root for an /etc of its own")
    reg.put_image("a/b", "1")
    authority, etc = Authority(tmp_path / "ca"), tmp_path / "etc"
    subprocess.run(["cp", "-a", "/etc/.", etc], check=True)
    with tls_front(tmp_path / "front", reg.host, authority.issue("server"), client_ca=authority.ca) as front:
        cert, key = authority.issue("client")
        for root in ("containers", "docker"):
            shutil.rmtree(etc / root / "certs.d", ignore_errors=True)
        for root in roots:
            folder = etc / root / "certs.d" / front.host
            folder.mkdir(parents=True)
            (folder / "ca.crt").write_bytes((authority.ca if root == roots[0] else cert).read_bytes())
            shutil.copy(cert, folder / "client.cert")
            shutil.copy(key, folder / "client.key")
        script = f'mount --make-rprivate / && mount --bind {etc} /etc && exec "$0" "$@"'
        command = ["unshare", "-m", "sh", "-c", script, BIN, "image", "copy", f"docker://{front.host}/a/b:1", "store:got:1"]
        env = {**os.environ, "COOPER_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "none")}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_docker_hub_is_reached_by_its_own_name(tmp_path):
    """Through a proxy that only notes where it was to lead."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)
    env = {"HTTPS_PROXY": f"http://127.0.0.1:{listener.getsockname()[1]}", "https_proxy": "", "NO_PROXY": "", "no_proxy": ""}
    client = Cooper(tmp_path / "home", env).start("image", "copy", "docker://debian:12", "store:got:1")
    connection, _ = listener.accept()
    with listener, connection:
        line = connection.recv(4096).split(b"\r\n")[0]
    client.kill()
    client.communicate()
    assert line == b"CONNECT registry-1.docker.io:443 HTTP/1.1"
