# SPDX-License-Identifier: Apache-2.0
"""The registry's token address, tokens for some repositories, and how real clients get along with both."""

import base64
import hashlib
import http.client
import json
import subprocess
import types
import urllib.parse

import pytest
from api_client import Api
from go_tools import go_tool
from registry_server import refused_before_the_body
from test_conformance import conformance
from test_registry_clients import containerd  # noqa: F401, a fixture
from test_server_status import until, values

EMPTY = b"{}"


def make_token(cooper, name, *args):
    return cooper("token", "create", name, *args).out.strip()


def basic(token):
    return {"Authorization": "Basic " + base64.b64encode(f"me:{token}".encode()).decode()}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def ask(address, method, path, headers=(), body=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, dict(headers))
    answer = connection.getresponse()
    answer.text = answer.read().decode(errors="replace")
    connection.close()
    return answer


def scoped(address, token, *scopes):
    """What the token address gives for that token and those scopes."""
    query = urllib.parse.urlencode([("service", "cooper"), *(("scope", s) for s in scopes)])
    return Api(address)("GET", f"/registry/token?{query}", headers=basic(token), expect=200).json["token"]


def form(address, expect=200, **fields):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return Api(address)("POST", "/registry/token", urllib.parse.urlencode(fields), kind, expect=expect).json


def put(address, repository, credentials, data=EMPTY, tag="v1"):
    """An image of one small blob; the status of the first request that is refused, or 201."""
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    answer = ask(address, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", credentials, data)
    if answer.status != 201:
        return answer.status
    media = "application/vnd.oci.image.manifest.v1+json"
    blob = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": len(data)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": media, "config": blob, "layers": [blob]})
    return ask(address, "PUT", f"/v2/{repository}/manifests/{tag}", {**credentials, "Content-Type": media}, manifest).status


@pytest.mark.sanitize
def test_scoped_tokens(bare):
    admin, push = make_token(bare, "me", "--scope", "admin"), make_token(bare, "ci", "--scope", "push")
    with bare.serving() as address:
        assert put(address, "lab/a", basic(admin)) == 201
        granted = scoped(address, push, "repository:lab/a:pull,push,delete", "registry:catalog:*")
        assert granted.startswith("cooper-bearer_") and push not in granted
        assert put(address, "lab/a", bearer(granted), tag="v2") == 201
        assert ask(address, "GET", "/v2/", bearer(granted)).status == 200
        assert ask(address, "GET", "/v2/_catalog", bearer(granted)).status == 200
        # a tag that stands for something else stays, and nothing is deleted
        assert put(address, "lab/a", bearer(granted), b"{ }", tag="v2") == 403
        assert ask(address, "DELETE", "/v2/lab/a/manifests/v2", bearer(granted)).status == 403
        # another repository, another action: to be asked for
        reading = scoped(address, push, "repository:lab/a:pull")
        assert ask(address, "GET", "/v2/lab/a/manifests/v1", bearer(reading)).status == 200
        for method, path, scope in (
            ("GET", "/v2/lab/b/tags/list", "repository:lab/b:pull"),
            ("POST", "/v2/lab/a/blobs/uploads/", "repository:lab/a:pull,push"),
            ("GET", "/v2/_catalog", "registry:catalog:*"),
        ):
            refused = ask(address, method, path, bearer(reading))
            challenge = f'Bearer realm="http://{address}/api/v1/registry/token",service="cooper",scope="{scope}",error="insufficient_scope"'
            assert (refused.status, refused.getheader("WWW-Authenticate")) == (401, challenge)
            assert refused.getheader("Docker-Distribution-API-Version") == "registry/2.0"
        # it is no token for the API, and gives no other
        api = Api(address, scoped(address, admin, "repository:lab/a:*"))
        assert api("GET", "/tokens", expect=403) and api("GET", "", expect=200).json["caller"]["scopes"] == []
        api("GET", "/registry/token", expect=401)
        replacing = bearer(api.token)
        assert put(address, "lab/a", replacing, b"{ }", tag="v2") == 201
        assert ask(address, "DELETE", "/v2/lab/a/manifests/v2", replacing).status == 202
        # it ends with the token it was given for
        bare("token", "rm", "ci")
        assert ask(address, "GET", "/v2/lab/a/manifests/v1", bearer(reading)).status == 401
        for wrong in (granted[:-2] + "A=", granted + "x", granted.replace(".", ""), "cooper-bearer_", "cooper-bearer_.", "cooper-bearer_!.!"):
            assert ask(address, "GET", "/v2/", bearer(wrong)).status == 401, wrong


def test_who_may_not_is_told_before_the_body(bare):
    push, pull = make_token(bare, "lab", "--scope", "push", "--repository", "lab/*"), make_token(bare, "dev", "--scope", "pull")
    with bare.serving() as address:
        unasked = bearer(scoped(address, push, "repository:lab/a:pull"))
        for credentials, repository, status, code in (
            ({}, "lab/a", 401, "UNAUTHORIZED"),
            (basic("wrong"), "lab/a", 401, "UNAUTHORIZED"),
            (unasked, "lab/a", 401, "UNAUTHORIZED"),
            (basic(pull), "lab/a", 403, "DENIED"),
            (basic(push), "other/a", 403, "DENIED"),
        ):
            for method, path in (("POST", "blobs/uploads/?digest=sha256:" + "0" * 64), ("PATCH", "blobs/uploads/x"), ("PUT", "blobs/uploads/x"), ("PUT", "manifests/x")):
                refused = refused_before_the_body(http.client.HTTPConnection(address), method, f"/v2/{repository}/{path}", credentials)
                assert (refused.status, json.loads(refused.body)["errors"][0]["code"]) == (status, code), (method, path, credentials)
                assert refused.getheader("Docker-Distribution-API-Version") == "registry/2.0"


def test_a_refresh_token_by_get(bare):
    """What docker asks for when it logs in."""
    token = make_token(bare, "ci", "--scope", "push")
    with bare.serving() as address:
        path = "/registry/token?service=cooper&account=me&scope=repository:a:pull"
        got = Api(address)("GET", path + "&offline_token=true", headers=basic(token), expect=200).json
        again = form(address, grant_type="refresh_token", refresh_token=got["refresh_token"], service="cooper", scope="repository:a:pull,push")
        assert put(address, "a", bearer(again["token"])) == 201
        assert "refresh_token" not in Api(address)("GET", path, headers=basic(token), expect=200).json


def test_a_bearer_token_ends_with_its_token(bare):
    token = make_token(bare, "me", "--scope", "pull", "--expires", "5m")
    with bare.serving() as address:
        got = Api(address)("GET", "/registry/token?scope=repository:a:pull", headers=basic(token), expect=200).json
        assert 0 < got["expires_in"] <= 300


def test_they_expire_and_survive_a_restart(bare):
    token = make_token(bare, "me", "--scope", "pull")
    bare.env["COOPER_FAKE_TIME"] = "2000000000"
    with bare.serving() as address:
        got = Api(address)("GET", "/registry/token?scope=repository:a:pull", headers=basic(token), expect=200).json
        assert (got["expires_in"], got["issued_at"], got["access_token"]) == (1800, "2033-05-18T03:33:20Z", got["token"])
    for time, status in ((2000001000, 404), (2000001801, 401)):
        bare.env["COOPER_FAKE_TIME"] = str(time)
        with bare.serving() as address:
            assert ask(address, "GET", "/v2/a/tags/list", bearer(got["token"])).status == status


def test_by_form(bare):
    token = make_token(bare, "ci", "--scope", "push")
    with bare.serving() as address:
        scope = "repository:lab/a:pull,push repository:lab/b:pull"
        got = form(address, grant_type="password", username="me", password=token, service="cooper", client_id="test", scope=scope, access_type="offline")
        assert put(address, "lab/a", bearer(got["token"])) == 201
        again = form(address, grant_type="refresh_token", refresh_token=got["refresh_token"], service="cooper", client_id="test", scope=scope)
        assert "refresh_token" not in again and put(address, "lab/a", bearer(again["token"])) == 201
        form(address, 401, grant_type="password", username="me", password="wrong")
        form(address, 401, grant_type="password", username="me")
        form(address, 400, grant_type="client_credentials")
        Api(address)("POST", "/registry/token", "{}", {"Content-Type": "application/json"}, expect=415)
        Api(address)("POST", "/registry/token", "a=%zz", {"Content-Type": "application/x-www-form-urlencoded"}, expect=400)


@pytest.mark.sanitize
def test_some_repositories(bare):
    admin = make_token(bare, "me", "--scope", "admin")
    lab = make_token(bare, "lab", "--scope", "push", "--repository", "lab/*", "--repository", "base")
    assert json.loads(bare("token", "ls", "--json").out)[0]["repositories"] == ["lab/*", "base"]
    assert "lab/*, base" in bare("token", "ls").out
    assert "push and pull alone" in bare("token", "create", "x", "--scope", "admin", "--repository", "a", code=1).err
    with bare.serving() as address:
        for repository in ("other/a", "lab/a", "base"):
            assert put(address, repository, basic(admin)) == 201
        digest = "sha256:" + hashlib.sha256(b"secret").hexdigest()
        assert ask(address, "POST", f"/v2/other/a/blobs/uploads/?digest={digest}", basic(admin), b"secret").status == 201
        assert put(address, "lab/b", basic(lab)) == 201 and put(address, "lab/c/d", bearer(scoped(address, lab, "repository:lab/c/d:pull,push"))) == 201
        refused = ask(address, "GET", "/v2/other/a/manifests/v1", basic(lab))
        assert refused.status == 403 and "the token lab is not for other/a: it is for lab/*, base" in refused.text
        assert put(address, "other/b", basic(lab)) == 403
        # what is asked for beyond it is not granted
        beyond = scoped(address, lab, "repository:other/a:pull,push", "repository:base:pull")
        assert ask(address, "GET", "/v2/other/a/manifests/v1", bearer(beyond)).status == 403
        assert ask(address, "GET", "/v2/base/manifests/v1", bearer(beyond)).status == 200
        # nor is it seen: in the catalog, or by mounting
        assert json.loads(ask(address, "GET", "/v2/_catalog", basic(lab)).text)["repositories"] == ["base", "lab/a", "lab/b", "lab/c/d"]
        for more in ("&from=other/a", ""):
            assert ask(address, "POST", f"/v2/lab/a/blobs/uploads/?mount={digest}{more}", basic(lab)).status == 202
            assert ask(address, "POST", f"/v2/lab/x/blobs/uploads/?mount={digest}{more}", basic(admin)).status == 201
            ask(address, "DELETE", f"/v2/lab/x/blobs/{digest}", basic(admin))


def test_where_clients_are_sent(bare):
    make_token(bare, "me", "--scope", "admin")

    def challenge(**headers):
        return ask(address, "GET", "/v2/", {k.replace("_", "-"): v for k, v in headers.items()}).getheader("WWW-Authenticate")

    with bare.serving() as address:
        assert challenge(Host="reg.example:8443").startswith('Bearer realm="http://reg.example:8443/api/v1/registry/token"')
        assert challenge(Host="reg.example", X_Forwarded_Proto="https").startswith('Bearer realm="https://reg.example/')
        # a proxy that does not say whether it speaks TLS: a wrong guess would send the token in the clear
        assert challenge(Host="reg.example", X_Forwarded_For="10.0.0.1") == 'Basic realm="cooper"'
        assert challenge(Host='x" evil="') == 'Basic realm="cooper"'
    with bare.serving("--url", "https://reg.example") as address:
        assert challenge(X_Forwarded_For="10.0.0.1").startswith('Bearer realm="https://reg.example/api/v1/registry/token"')
    for url in ("reg.example", "https://reg.example/", 'https://a"b', "ftp://reg.example"):
        assert "--url takes" in bare("serve", "--url", url, code=2).err


def test_what_is_here_is_not_told_to_strangers(bare, tmp_path):
    """Names that are not here lead to an upstream: the answers to those who may read neither must not say which is which."""
    admin = make_token(bare, "me", "--scope", "admin")
    stranger = make_token(bare, "lab", "--scope", "pull", "--repository", "lab/*")
    config = tmp_path / "config.yaml"
    config.write_text('registry: {cache: [{upstream: "127.0.0.1:9", prefix: hub, default: true}]}')
    with bare.serving("--config", str(config)) as address:
        assert put(address, "here/app", basic(admin)) == 201
        told = []
        for name in ("here/app", "gone/app"):
            for path in ("manifests/v1", "tags/list", "blobs/sha256:" + "0" * 64):
                for credentials in ({}, basic(stranger)):
                    answer = ask(address, "GET", f"/v2/{name}/{path}", credentials)
                    told.append((answer.status, answer.getheader("WWW-Authenticate"), answer.text))
        assert {status for status, _, _ in told} == {401, 403}
        here, gone = told[:6], told[6:]
        assert [str(t).replace("here/app", "gone/app") for t in here] == [str(t) for t in gone]
        assert 'scope="repository:gone/app:pull repository:hub/gone/app:pull"' in gone[0][1]


# ---- real clients ----


@pytest.fixture
def image(cooper, context, tmp_path):
    """Two images of one name as OCI layouts."""
    for n in ("1", "2"):
        ctx = context({"Dockerfile": "FROM scratch\nCOPY f /\n", "f": n}, "ctx" + n)
        cooper.build(ctx, "-o", f"type=oci,tar=false,dest={tmp_path}/layout-{n}")
    return lambda n: f"{tmp_path}/layout-{n}"


def run(*args, code=0, **kw):
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, **kw)
    assert done.returncode == code, (args, done.stdout, done.stderr)
    return done.stdout + done.stderr


class Client:
    """One program with a login of its own; push(layout, reference, code) and pull(reference, code)."""

    def __init__(self, name, folder, address, token):
        self.name, self.folder, self.address = name, folder, address
        folder.mkdir()
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DOCKER_CONFIG": str(folder), "REGISTRY_AUTH_FILE": str(folder / "config.json")}
        (folder / "config.json").write_text("{}")
        if token:
            self.login(token)

    def do(self, *args, code=0, input=None):
        name = self.name if self.name in ("skopeo", "buildah") else go_tool(self.name)
        return run(name, *args, code=code, env=self.env, input=input)

    def buildah(self, *args, code=0):
        """Its failures have a status of their own."""
        return self.do("--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs", *args, code=code and 125)

    def login(self, token, code=0):
        plain = {"skopeo": ["--tls-verify=false"], "buildah": ["--tls-verify=false"], "oras": ["--plain-http"], "crane": ["--insecure"]}
        first = ["auth", "login"] if self.name == "crane" else ["login"]
        return self.do(*first, *plain[self.name], "-u", "me", "-p", token, self.address, code=code)

    def push(self, layout, reference, code=0):
        if self.name == "crane":
            return self.do("push", "--insecure", layout, reference, code=code)
        if self.name == "oras":
            return self.do("copy", "--to-plain-http", "--from-oci-layout", f"{layout}@{digest_of(layout)}", reference, code=code)
        if self.name == "buildah":
            got = self.buildah("pull", "-q", f"oci:{layout}").strip()
            return self.buildah("push", "-q", "--tls-verify=false", got, f"docker://{reference}", code=code)
        return self.do("copy", "-q", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{reference}", code=code)

    def pull(self, reference, code=0):
        if self.name == "crane":
            return self.do("manifest", "--insecure", reference, code=code)
        if self.name == "oras":
            return self.do("manifest", "fetch", "--plain-http", reference, code=code)
        if self.name == "buildah":
            return self.buildah("pull", "-q", "--tls-verify=false", f"docker://{reference}", code=code)
        return self.do("inspect", "--tls-verify=false", f"docker://{reference}", code=code)


def digest_of(layout):
    with open(f"{layout}/index.json") as f:
        return json.load(f)["manifests"][0]["digest"]


@pytest.mark.parametrize("name", ["skopeo", "buildah", "crane", "oras"])
@pytest.mark.parametrize("flags", [(), ("--anonymous-pull",)], ids=["closed", "anonymous"])
def test_clients(cooper, image, tmp_path, name, flags):
    """Each logs in, pushes what is new, fails to replace a tag, reads; outside its repositories it may nothing."""
    push = make_token(cooper, "ci", "--scope", "push", "--repository", "lab/*")
    admin = make_token(cooper, "me", "--scope", "admin")
    with cooper.serving(*flags) as address:
        ci = Client(name, tmp_path / "ci", address, push)
        me = Client(name, tmp_path / "me", address, admin)
        nobody = Client(name, tmp_path / "nobody", address, None)
        ci.push(image(1), f"{address}/lab/app:1")
        ci.push(image(1), f"{address}/lab/app:1")
        said = ci.push(image(2), f"{address}/lab/app:1", code=1)
        assert "exists with another digest" in said or "DENIED" in said.upper(), said
        ci.push(image(2), f"{address}/lab/app:2")
        # the default policy: a release tag does not move, not even for an admin
        release = f"{address}/lab/app:v1.0-0123456"
        ci.push(image(1), release)
        me.push(image(2), release, code=1)
        ci.push(image(1), f"{address}/other/app:1", code=1)
        ci.pull(f"{address}/lab/app:1")
        me.push(image(2), f"{address}/lab/app:1")
        if flags:
            nobody.pull(f"{address}/lab/app:1")
        else:
            nobody.pull(f"{address}/lab/app:1", code=1)
        nobody.push(image(1), f"{address}/lab/app:3", code=1)


def test_containerd(cooper, image, tmp_path, containerd):
    """Its client keeps to the challenge: the scope is from there."""
    push = make_token(cooper, "ci", "--scope", "push", "--repository", "lab/*")
    with cooper.serving() as address:
        Client("skopeo", tmp_path / "ci", address, push).push(image(1), f"{address}/lab/app:1")
        containerd("image", "pull", "--plain-http", "--snapshotter", "native", "--user", f"me:{push}", f"{address}/lab/app:1")
        containerd("image", "tag", f"{address}/lab/app:1", f"{address}/lab/new:1")
        containerd("image", "push", "--plain-http", "--user", f"me:{push}", f"{address}/lab/new:1")
        assert "lab/new" in ask(address, "GET", "/v2/_catalog", basic(push)).text


def test_conformance_by_bearer_tokens(bare, tmp_path):
    """All of the specification's conformance program, which follows the challenges."""
    admin = make_token(bare, "me", "--scope", "admin")
    with bare.serving() as address:
        server = types.SimpleNamespace(host=address)
        counts, bad, output = conformance(server, tmp_path / "results", "1.1", {"OCI_USERNAME": "me", "OCI_PASSWORD": admin})
        assert not bad and counts["Pass"] > 600, (bad[:5], output[-4000:])
        assert (counts["FAIL"], counts["Error"], counts["Skip"]) == (0, 0, 0), output[-4000:]
        asked = until(lambda: values(ask(address, "GET", "/metrics").text).get('cooper_http_requests_total{route="token",method="GET",status="200"}'))
        assert asked > 1


def test_requests_through_a_long_upload(bare):
    """A bearer token is looked at when a request begins: an upload may take longer than it is valid."""
    token = make_token(bare, "ci", "--scope", "push")
    with bare.serving() as address:
        granted = scoped(address, token, "repository:a:pull,push")
        where = ask(address, "POST", "/v2/a/blobs/uploads/", bearer(granted)).getheader("Location")
        connection = http.client.HTTPConnection(address)
        connection.putrequest("PATCH", where)
        for header in {**bearer(granted), "Content-Length": "10"}.items():
            connection.putheader(*header)
        connection.endheaders(b"12345")
        until(lambda: values(ask(address, "GET", "/metrics").text)["cooper_uploads_in_flight"] == 1)
        bare("token", "rm", "ci")
        make_token(bare, "other", "--scope", "push")
        connection.send(b"67890")
        assert connection.getresponse().status == 202
        assert ask(address, "PUT", where, bearer(granted)).status == 401
