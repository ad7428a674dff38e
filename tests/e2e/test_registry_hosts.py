# SPDX-License-Identifier: Apache-2.0
"""Settings of hosts against real servers: mirrors and what happens when they fail, CAs, client certificates, connections."""

import json
import random
import re
import time

import pytest

import fault_proxy as fp
from conftest import Cooper, free_port, running_docker_registry
from registry_server import OCI_CONFIG, OCI_LAYER, Server, descriptor, encode, image_manifest
from tls_front import Authority, tls_front

BLOB = r"/blobs/sha256:"
LAYERS = 40


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """A registry that has hosts/many:1, of many layers, the first of 3 MiB, and the same below cache/."""
    with running_docker_registry(tmp_path_factory.mktemp("upstream") / "r") as address:
        box = Server("unused")
        box.port = int(address.split(":")[1])
        random.seed(3)
        layers = [random.randbytes(3 << 20)] + [random.randbytes(2000) for _ in range(LAYERS - 1)]
        config = encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        manifest = encode(image_manifest(descriptor(config, OCI_CONFIG), [descriptor(data, OCI_LAYER) for data in layers]))
        for repo in ("hosts/many", "cache/hosts/many"):
            for data in (config, *layers):
                location = box.request("POST", f"/v2/{repo}/blobs/uploads/").getheader("Location")
                path = re.sub(r"^http://[^/]*", "", location)
                assert box.request("PUT", f"{path}&digest={descriptor(data, '')['digest']}", data).status == 201
            box.push_manifest(repo, "1", manifest)
        box.digest = descriptor(manifest, "")["digest"]
        box.large = descriptor(layers[0], "")["digest"]
        yield box


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def settings(tmp_path):
    """settings({host: {...}}) -> the options that name such a file."""

    def write(registries):
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({"registries": registries}))  # JSON is YAML
        return ["--config", str(path)]

    return write


def pull(cooper, host, upstream, *options, words=(), repo="hosts/many", **more):
    done = cooper("image", "copy", f"docker://{host}/{repo}:1", "store:got:1", *options, code=1 if words else 0, **more)
    for word in words:
        assert re.search(word, " ".join(done.err.split())), (word, done.err)
    if not words:
        assert json.loads(cooper("image", "inspect", "got:1").out)["digest"] == upstream.digest
    cooper("store", "verify")
    return done


# ---- mirrors ----


@pytest.fixture
def pair(upstream):
    """A mirror and the registry itself, both breakable."""
    with fp.fault_proxy(upstream.host) as mirror, fp.fault_proxy(upstream.host) as origin:
        yield mirror, origin


def test_all_from_the_mirror(bare, upstream, pair, settings):
    mirror, origin = pair
    options = settings({origin.host: {"mirrors": [mirror.host + "/cache"]}})
    pull(bare, origin.host, upstream, *options)
    assert mirror.count("GET /v2/cache/hosts/many/blobs") == LAYERS + 1 and origin.seen == []
    # Pushes go to the registry itself.
    bare("image", "copy", "store:got:1", f"docker://{origin.host}/hosts/pushed:1", *options)
    assert origin.count("PUT /v2/hosts/pushed/manifests/1 -> 201") == 1 and mirror.count("pushed") == 0


MIRROR_FAULTS = {
    "lacks all": ("GET|HEAD", "", fp.status(404)),
    "denies": ("GET|HEAD", "/v2/cache", fp.status(401, {"WWW-Authenticate": 'Basic realm="m"'})),
    "is broken": ("GET|HEAD", "", fp.status(502)),
    "lacks blobs": ("GET", BLOB, fp.status(404)),
    "has wrong blobs": ("GET", BLOB, fp.wrong_byte()),
    "has a wrong manifest": ("GET", "/manifests/", fp.wrong_byte()),
    "is a web page": ("GET|HEAD", "", fp.status(200, {"Content-Type": "text/html"}, b"<html>hello")),
    "is no server": ("GET|HEAD", "/v2/cache", fp.not_http()),
}


@pytest.mark.parametrize("case", MIRROR_FAULTS)
def test_a_mirror_that(bare, upstream, pair, settings, case):
    mirror, origin = pair
    mirror.fault(*MIRROR_FAULTS[case], times=-1)
    pull(bare, origin.host, upstream, *settings({origin.host: {"mirrors": [mirror.host + "/cache"]}}))
    came = "/manifests/sha256:" if "manifest" in case else "/blobs/"
    assert origin.count(f"GET .*{came}") == (1 if "manifest" in case else LAYERS + 1), (mirror.seen, origin.seen)


def test_no_mirror_there(bare, upstream, pair, settings):
    _, origin = pair
    gone = f"127.0.0.1:{free_port()}"
    pull(bare, origin.host, upstream, *settings({origin.host: {"mirrors": [gone, gone + "/again"]}}))


def test_the_registry_goes_on_where_the_mirror_was_cut(bare, upstream, pair, settings):
    mirror, origin = pair
    mirror.fault("GET", upstream.large, fp.truncate(2 << 20))
    mirror.fault("GET", upstream.large, fp.status(404))
    pull(bare, origin.host, upstream, *settings({origin.host: {"mirrors": [mirror.host]}}))
    assert [h["Range"] for _, _, h in origin.headers if "Range" in h] == ["bytes=2097152-"]


def test_a_mirror_gets_no_password_of_the_registry(bare, upstream, closed_registry, settings, tmp_path):
    env = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    bare("image", "copy", f"docker://{upstream.host}/hosts/many:1", "store:many:1")
    with fp.fault_proxy(upstream.host) as mirror:
        mirror.fault("GET", BLOB, fp.status(401, {"WWW-Authenticate": 'Basic realm="give it to me"'}), times=-1)
        options = settings({closed_registry: {"mirrors": [mirror.host]}})
        bare("login", closed_registry, "-u", "dev", "--password-stdin", input="s3cret\n", env=env)
        bare("image", "copy", "store:many:1", f"docker://{closed_registry}/hosts/many:1", env=env)
        other = Cooper(tmp_path / "other")
        other("image", "copy", f"docker://{closed_registry}/hosts/many:1", "store:got:1", *options, env=env)
        assert mirror.headers and not [h for _, _, h in mirror.headers if "Authorization" in h]


def test_all_fail(bare, upstream, pair, settings):
    """What the registry itself said is told, and what became of the mirror."""
    mirror, origin = pair
    mirror.fault("GET|HEAD", "/v2/", fp.status(418), times=-1)
    origin.fault("GET|HEAD", "/v2/hosts", fp.status(403), times=-1)
    words = [rf"GET http://{origin.host}/v2/hosts/many/manifests/1: the answer is 403", rf"mirror {mirror.host}.*418"]
    pull(bare, origin.host, upstream, *settings({origin.host: {"mirrors": [mirror.host]}}), words=words)


# ---- TLS ----


def test_a_ca_of_our_own(bare, upstream, authority, settings, tmp_path):
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server")) as front:
        pull(bare, front.host, upstream, words=["certificate", f'registries: {{"{front.host}": {{ca: FILE}}}}'])
        for n, setting in enumerate(({"ca": str(authority.ca)}, {"insecure": True})):
            pull(Cooper(tmp_path / f"tls{n}"), front.host, upstream, *settings({front.host: setting}))
        # As docker and containers keep them.
        folder = tmp_path / "xdg" / "containers" / "certs.d" / front.host
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(authority.ca.read_bytes())
        pull(Cooper(tmp_path / "certs", {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}), front.host, upstream)
        # Of another host, it does not count.
        pull(Cooper(tmp_path / "other"), front.host, upstream, *settings({"localhost": {"insecure": True}}), words=["certificate"])


def test_a_certificate_of_another_name(bare, upstream, authority, settings, tmp_path):
    with tls_front(tmp_path / "front", upstream.host, authority.issue("other", "DNS:registry.test")) as front:
        pull(bare, front.host, upstream, *settings({front.host: {"ca": str(authority.ca)}}), words=["127.0.0.1", "subject name|certificate"])


def test_settings_of_where_a_redirect_leads(bare, upstream, authority, settings, tmp_path):
    """They count there, and those of the registry do not."""
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server")) as front, fp.fault_proxy(upstream.host) as origin:
        origin.fault("GET", BLOB, fp.redirect(f"https://{front.host}{{path}}"), times=-1)
        words = [f"https://{front.host}.*certificate", f'registries: {{"{front.host}": {{ca: FILE}}}}']
        for setting in ({}, {origin.host: {"insecure": True}}, {origin.host: {"ca": str(authority.ca)}}):
            pull(bare, origin.host, upstream, *settings(setting), words=words)
        assert front.requests() == []
        for n, setting in enumerate(({"ca": str(authority.ca)}, {"insecure": True})):
            pull(Cooper(tmp_path / f"led{n}"), origin.host, upstream, *settings({front.host: setting}))
        assert len(front.requests()) == 2 * (LAYERS + 1)


def test_a_redirect_to_where_nobody_listens(bare, upstream, settings):
    gone = f"127.0.0.1:{free_port()}"
    with fp.fault_proxy(upstream.host) as origin:
        origin.fault("GET", upstream.large, fp.redirect(f"http://{gone}{{path}}"), times=-1)
        pull(bare, origin.host, upstream, words=[f"GET http://{gone}/v2/hosts/many/blobs/.*[Cc]onnect"])
        assert origin.count(f"GET .*{upstream.large}") <= 4


def test_settings_of_a_token_server(bare, upstream, authority, settings, tmp_path):
    """A registry whose certificate is not looked at cannot name a token server whose certificate is not looked at, either."""
    env = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server")) as front, fp.fault_proxy(upstream.host) as origin:
        challenge = fp.status(401, {"WWW-Authenticate": f'Bearer realm="https://{front.host}/token",service="s"'})
        origin.fault("GET|HEAD", "", challenge, times=-1)
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {origin.host: {"auth": "dTpzM2NyZXQ="}}}))
        insecure = {origin.host: {"insecure": True}}
        words = [f"https://{front.host}/token: .*certificate", f'registries: {{"{front.host}": {{ca: FILE}}}}']
        pull(bare, origin.host, upstream, *settings(insecure), words=words, env=env)
        assert front.requests() == []
        answered = [f"token server https://{front.host}/token answered 404"]
        # One CA for a registry and its token server is what many have.
        for setting in ({**insecure, front.host: {"insecure": True}}, {origin.host: {"ca": str(authority.ca)}}):
            before = len(front.requests())
            pull(bare, origin.host, upstream, *settings(setting), words=answered, env=env)
            assert len(front.requests()) > before


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_proxy_that_is_renewed_meanwhile(bare, upstream, authority, settings, tmp_path, way):
    """All streams of HTTP/2 end at once, with or without a word of it, some in the middle of a blob: the pull goes on."""
    with fp.fault_proxy(upstream.host) as slow:
        slow.fault("GET", upstream.large, fp.slow(2 << 20), times=-1)
        with tls_front(tmp_path / "front", slow.host, authority.issue("server")) as front:
            options = settings({front.host: {"ca": str(authority.ca)}})
            client = bare.start("image", "copy", f"docker://{front.host}/hosts/many:1", "store:got:1", *options)
            for _ in range(400):
                if slow.count(f"GET .*{upstream.large}"):
                    break
                time.sleep(0.05)
            time.sleep(0.3)
            if way == "kill":
                front.kill()
                front.start()
            else:
                front.restart()
            _, said = client.communicate(timeout=120)
            assert client.returncode == 0, said
            assert json.loads(bare("image", "inspect", "got:1").out)["digest"] == upstream.digest
            assert {r["protocol"] for r in front.requests()} >= {"HTTP/2.0"}
    bare("store", "verify")


def test_client_certificates(bare, upstream, authority, settings, tmp_path):
    cert, key = authority.issue("client")
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server"), client_ca=authority.ca) as front:
        ours = {"ca": str(authority.ca)}
        pull(bare, front.host, upstream, *settings({front.host: ours}), words=["400"])
        options = settings({front.host: {**ours, "cert": str(cert), "key": str(key)}})
        pull(bare, front.host, upstream, *options)
        bare("image", "copy", "store:got:1", f"docker://{front.host}/hosts/by-certificate:1", *options)
        # A mirror may be such a host.
        other = Cooper(tmp_path / "mirrored")
        options = settings({"registry.invalid": {"mirrors": [front.host]}, front.host: {**ours, "cert": str(cert), "key": str(key)}})
        pull(other, "registry.invalid", upstream, *options)


@pytest.mark.parametrize("http2", [True, False])
def test_few_connections(bare, upstream, authority, settings, tmp_path, http2):
    """Many blobs at once share one connection of HTTP/2, or few of HTTP/1.1; so do pushes, but for what has a body."""
    most, protocol = (1, "HTTP/2.0") if http2 else (4, "HTTP/1.1")
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server"), http2=http2) as front:
        options = settings({front.host: {"ca": str(authority.ca)}})
        pull(bare, front.host, upstream, *options)
        asked = front.requests()
        assert sum("/blobs/" in r["path"] for r in asked) == LAYERS + 1
        bare("image", "copy", "store:got:1", f"docker://{front.host}/hosts/again-{most}:1", *options)
        pushed = front.requests()[len(asked) :]
        assert len(pushed) > LAYERS
        assert {r["protocol"] for r in pushed if r["method"] == "PUT"} == {"HTTP/1.1"}
        for some in (asked, pushed):
            # What finds out whether a loopback address talks TLS has a connection of its own.
            some = [r for r in some if "/hosts/" in r["path"] and r["method"] != "PUT"]
            assert len({r["connection"] for r in some}) <= most and {r["protocol"] for r in some} == {protocol}, some


@pytest.mark.parametrize("settings_of_nginx", ["keepalive_requests 3;", "http2_max_concurrent_streams 1;", "client_body_timeout 1; send_timeout 1;"])
def test_connections_that_end_early(bare, upstream, authority, settings, tmp_path, settings_of_nginx):
    """The server says that a connection takes no more (GOAWAY), or takes one request at a time."""
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server"), more=settings_of_nginx) as front:
        options = settings({front.host: {"ca": str(authority.ca)}})
        pull(bare, front.host, upstream, *options)
        bare("image", "copy", "store:got:1", f"docker://{front.host}/hosts/early:1", *options)
    other = Cooper(tmp_path / "other")
    pull(other, upstream.host, upstream, repo="hosts/early")


def test_a_server_that_goes_away(bare, upstream, authority, settings, tmp_path):
    """It is started anew while a blob comes over HTTP/2, and the pull goes on where it was."""
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server"), more="limit_rate 1m;") as front:
        options = settings({front.host: {"ca": str(authority.ca)}})
        running = bare.start("image", "copy", f"docker://{front.host}/hosts/many:1", "store:got:1", *options)
        end = time.monotonic() + 60
        while not any(f.stat().st_size for f in bare.home.rglob(f"*{upstream.large[7:]}*")):
            assert running.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        front.restart()
        _, err = running.communicate(timeout=120)
        assert running.returncode == 0, err
        # nginx, when it is told to stop, may not have written down what it broke off.
        assert [r["status"] for r in front.requests() if upstream.large in r["path"]][-1] == "206"
    assert json.loads(bare("image", "inspect", "got:1").out)["digest"] == upstream.digest
    bare("store", "verify")
