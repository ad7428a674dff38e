# SPDX-License-Identifier: Apache-2.0
"""The server: tokens and their scopes at the API and at the registry, and the API against its document."""

import base64
import http.client
import json
import re
import subprocess

import jsonschema
import pytest
from api_client import DOC, Api, operations, resolve

SCOPES = ("admin", "release", "runner", "push", "pull", "metrics")


def make_token(cooper, name, scope, *args):
    return cooper("token", "create", name, "--scope", scope, *args).out.strip()


@pytest.fixture
def tokens(cooper):
    return {scope: make_token(cooper, scope, scope) for scope in SCOPES}


def skopeo(*args, code=0):
    run = subprocess.run(["skopeo", *map(str, args)], capture_output=True, text=True)
    assert run.returncode == code, run.stderr
    return run.stdout + run.stderr


def copy(source, to, token=None, code=0):
    creds = [f"--dest-creds=someone:{token}"] if token else []
    return skopeo("copy", "-q", "--dest-tls-verify=false", *creds, source, f"docker://{to}", code=code)


@pytest.fixture
def layouts(cooper, tmp_path, context):
    """Two images as OCI layouts."""
    for name in ("one", "two"):
        ctx = context({"Dockerfile": f"FROM scratch\nCOPY {name} /\n", name: name}, name)
        cooper.build(ctx, "-o", f"type=oci,tar=false,dest={tmp_path}/layout-{name}")
    return {name: f"oci:{tmp_path}/layout-{name}" for name in ("one", "two")}


# ---- tokens on the command line ----


@pytest.mark.sanitize
def test_tokens(bare):
    assert bare("token", "ls").out == ""
    made = bare("token", "create", "ci", "--scope", "push", "--scope", "pull", "--expires", "90d")
    assert re.fullmatch(r"cooper_[0-9a-f]{12}_[0-9a-f]{64}\n", made.out) and "not shown again" in made.err
    assert make_token(bare, "me", "admin") != made.out.strip()
    listed = json.loads(bare("token", "ls", "--json").out)
    assert [(t["name"], t["scopes"], "expires" in t, "used" in t) for t in listed] == [("ci", ["push", "pull"], True, False), ("me", ["admin"], False, False)]
    assert re.search(r"^ci +push,pull +all +\S+ +never +20", bare("token", "ls").out, re.M)
    assert "there is a token ci already" in bare("token", "create", "ci", "--scope", "pull", code=1).err
    bare("token", "rm", "ci")
    assert "there are: me" in bare("token", "rm", "ci", code=1).err
    secret = made.out.strip().rpartition("_")[2].encode()
    for path in bare.home.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path


@pytest.mark.parametrize(
    "args, said",
    [
        ((), "say what the token is for"),
        (("--scope", "pul"), 'not "pul"'),
        (("--scope", "pull", "--expires", "soon"), 'not "soon"'),
        (("--scope", "pull", "--expires", "0d"), 'not "0d"'),
    ],
)
def test_token_usage(bare, args, said):
    assert said in bare("token", "create", "x", *args, code=2).err


def test_where_it_may_listen(bare):
    refused = bare("serve", "--listen", "0.0.0.0:0", code=1).err
    assert "there is no token" in refused and "cooper token create" in refused
    proc = bare.start("serve", "--listen", "0.0.0.0:0", "--insecure-open")
    assert "listening on http://0.0.0.0:" in proc.stdout.readline()
    proc.terminate()
    assert proc.wait(20) == 0
    token = make_token(bare, "me", "admin")
    proc = bare.start("serve", "--listen", "0.0.0.0:0")
    port = proc.stdout.readline().rpartition(":")[2].strip()
    api = Api(f"127.0.0.1:{port}", token)
    api("GET", "/tokens", expect=200)
    # with the last token gone it does not become open
    bare("token", "rm", "me")
    api("GET", "/tokens", expect=401)
    proc.terminate()
    assert proc.wait(20) == 0


# ---- the API ----


def test_document():
    """The document itself: references lead somewhere, parameters of paths are declared, schemas are schemas."""
    for name in re.findall(r'"\$ref": "(.*?)"', json.dumps(DOC)):
        assert resolve({"$ref": name})
    for schema in DOC["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    ids = []
    for method, path, operation in operations():
        ids.append(operation["operationId"])
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert declared == set(re.findall(r"\{([a-z]+)\}", path)), (method, path)
        assert operation["summary"] and operation["responses"], path
        assert set(operation.get("x-scopes", [])) <= set(SCOPES)
        for part in [operation.get("requestBody", {}), *operation["responses"].values()]:
            for content in resolve(part).get("content", {}).values():
                jsonschema.Draft202012Validator.check_schema(content["schema"])
    assert len(ids) == len(set(ids))


def test_routes_and_document_agree(bare):
    with bare.serving() as address:
        api = Api(address)
        index = api("GET", "", expect=200).json
        assert api("GET", "/openapi.json", expect=200).json == DOC
    documented = {(m.upper(), p): (o.get("x-scopes", []), bool(o.get("requestBody"))) for m, p, o in operations()}
    assert {(r["method"], r["path"]) for r in index["routes"]} == set(documented)
    for r in index["routes"]:
        assert r["scopes"] == documented[r["method"], r["path"]][0], r
    assert index["caller"] == {"name": None, "scopes": list(SCOPES)}


def test_token_api(cooper, tokens):
    with cooper.serving() as address:
        api = Api(address, tokens["admin"])
        listed = api("GET", "/tokens", expect=200).json["tokens"]
        assert [t["name"] for t in listed] == sorted(SCOPES)
        made = api("POST", "/tokens", {"name": "new", "scopes": ["pull"], "expires_seconds": 60}, expect=201).json
        new = api.as_(made["token"])
        assert new("GET", "").json["caller"] == {"name": "new", "scopes": ["pull"]}
        assert "has none of the scopes that this takes: admin" in new("GET", "/tokens", expect=403).message
        assert "already" in api("POST", "/tokens", {"name": "new", "scopes": ["pull"]}, expect=409).message
        assert 'no scope "pul"' in api("POST", "/tokens", {"name": "n", "scopes": ["pul"]}, expect=400).message
        api("DELETE", "/tokens/new", expect=204)
        assert "not valid" in new("GET", "/tokens", expect=401).message
        api("DELETE", "/tokens/new", expect=404)
        refused = api.as_(None)("GET", "/tokens", expect=401)
        assert refused.headers["www-authenticate"] == 'Bearer realm="cooper"'
    used = {t["name"]: t.get("used") for t in json.loads(cooper("token", "ls", "--json").out)}
    assert used["admin"] and not used["pull"]


def test_an_expired_token(cooper):
    token = make_token(cooper, "short", "admin", "--expires", "1h")
    with cooper.serving() as address:
        Api(address, token)("GET", "/tokens", expect=200)
    cooper.env["COOPER_FAKE_TIME"] = "2000000000"
    with cooper.serving() as address:
        Api(address, token)("GET", "/tokens", expect=401)


def test_bad_requests(cooper, tokens):
    with cooper.serving() as address:
        api = Api(address, tokens["admin"])
        assert api("PUT", "/tokens").headers["allow"] == "GET, HEAD, POST"
        assert api("GET", "/nothing", expect=404).message
        assert api("GET", "/tokens/", expect=404).message
        assert "no body" in api("DELETE", "/tokens/x", "body", expect=400).message
        assert "Content-Type" in api("POST", "/tokens", "{}", expect=415).message
        json_type = {"Content-Type": "application/json; charset=utf-8"}
        assert "object" in api("POST", "/tokens", "[]", json_type, expect=400).message
        assert "the body" in api("POST", "/tokens", "{", json_type, expect=400).message
        assert "did you mean" in api("POST", "/tokens", {"name": "a", "scope": ["pull"]}, expect=400).message
        api("POST", "/tokens", "x" * 300000, json_type, expect=413)
        for header in ("Bearer", "Bearer x", "Basic !!", "Digest x", "Basic " + base64.b64encode(b"x").decode()):
            api("GET", "/tokens", headers={"Authorization": header}, expect=401)


def test_pages_of_other_sites(cooper):
    """A browser on the server's machine must not let other sites use an open server."""
    with cooper.serving() as address:
        api = Api(address)
        api("GET", "/tokens", expect=200)
        api("GET", "/tokens", headers={"Origin": f"http://{address}"}, expect=200)
        api("GET", "/tokens", headers={"Origin": "http://evil.example"}, expect=403)
        assert "make a token" in api("GET", "/tokens", headers={"Host": "evil.example"}, expect=403).message
        token = make_token(cooper, "me", "admin")
        api.as_(token)("GET", "/tokens", headers={"Host": "cooper.example"}, expect=200)


def test_pages_may_not_push(bare):
    with bare.serving() as address:
        for headers, status in (({}, 202), ({"Origin": f"http://{address}"}, 403)):
            connection = http.client.HTTPConnection(address)
            connection.request("POST", "/v2/a/blobs/uploads/", headers=headers)
            assert connection.getresponse().status == status


# ---- the registry ----


def test_registry_scopes(cooper, tokens, layouts, tmp_path):
    auth = tmp_path / "auth.json"
    with cooper.serving() as address:
        image = f"{address}/team/app"
        for scope, token in tokens.items():
            skopeo("login", "--tls-verify=false", f"--authfile={auth}", "-u", "me", "-p", token, address)
        assert "invalid username/password" in skopeo("login", "--tls-verify=false", f"--authfile={auth}", "-u", "me", "-p", "wrong", address, code=1)
        assert "scope push" in copy(layouts["one"], f"{image}:1", tokens["pull"], code=1)
        for scope in ("release", "runner", "metrics"):
            copy(layouts["one"], f"{image}:1", tokens[scope], code=1)
        copy(layouts["one"], f"{image}:1", code=1)
        copy(layouts["one"], f"{image}:1", tokens["push"])
        for scope, code in (("pull", 0), ("push", 0), ("admin", 0), ("release", 1), ("runner", 1), ("metrics", 1)):
            said = skopeo("inspect", "--tls-verify=false", f"--creds=x:{tokens[scope]}", f"docker://{image}:1", code=code)
            assert code == 0 or "scope pull" in said
        assert "unauthorized" in skopeo("inspect", "--tls-verify=false", f"docker://{image}:1", code=1)


def test_push_tokens_only_add(cooper, tokens, layouts):
    with cooper.serving() as address:
        image = f"{address}/team/app"

        def digest():
            return json.loads(skopeo("inspect", "--tls-verify=false", f"--creds=x:{tokens['pull']}", f"docker://{image}:1"))["Digest"]

        copy(layouts["one"], f"{image}:1", tokens["push"])
        first = digest()
        copy(layouts["one"], f"{image}:1", tokens["push"])
        assert "exists with another digest" in copy(layouts["two"], f"{image}:1", tokens["push"], code=1)
        copy(layouts["two"], f"{image}:2", tokens["push"])
        assert digest() == first
        deleting = ["delete", "--tls-verify=false"]
        assert "not delete" in skopeo(*deleting, f"--creds=x:{tokens['push']}", f"docker://{image}:1", code=1)
        assert digest() == first
        for scope, path, status in (("push", "blobs/uploads/", 202), ("push", "blobs/" + first, 403), ("pull", "blobs/uploads/", 403)):
            auth = {"Authorization": f"Bearer {tokens[scope]}"}
            connection = http.client.HTTPConnection(address)
            connection.request("POST" if status == 202 or scope == "pull" else "DELETE", f"/v2/team/app/{path}", headers=auth)
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()
            if status == 202:  # an upload of one's own may be given up
                connection.request("DELETE", answer.getheader("Location"), headers=auth)
                assert connection.getresponse().status == 204
        copy(layouts["two"], f"{image}:1", tokens["admin"])
        assert digest() != first
        skopeo(*deleting, f"--creds=x:{tokens['admin']}", f"docker://{image}:1")


def test_anonymous_pull(cooper, tokens, layouts):
    with cooper.serving("--anonymous-pull") as address:
        image = f"{address}/team/app:1"
        copy(layouts["one"], image, code=1)
        copy(layouts["one"], image, tokens["push"])
        skopeo("inspect", "--tls-verify=false", f"docker://{image}")
        assert skopeo("inspect", "--tls-verify=false", "--creds=x:wrong", f"docker://{image}", code=1)
        cooper("image", "copy", f"docker://{image}", "store:copied:1")
        api = Api(address)
        assert api("GET", "/registry/token?service=cooper&scope=x", expect=200).json["token"] == "anonymous"
        api.as_("wrong")("GET", "/registry/token", expect=401)
    with cooper.serving() as address:
        assert Api(address)("GET", "/registry/token", expect=401).headers["www-authenticate"] == 'Basic realm="cooper"'


def test_own_client(cooper, tokens, layouts, tmp_path):
    """cooper login, push and pull, with the token kept where docker and skopeo look for it."""
    env = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    with cooper.serving() as address:
        cooper("image", "copy", layouts["one"], "store:app:1")
        cooper("image", "copy", layouts["two"], "store:app:2")
        assert "refused" in cooper("login", address, "-u", "me", "-p", "wrong", env=env, code=1).err
        cooper("login", address, "-u", "me", "--password-stdin", input=tokens["push"] + "\n", env=env)
        cooper("image", "copy", "store:app:1", f"docker://{address}/team/app:1", env=env)
        cooper("image", "copy", f"docker://{address}/team/app:1", "store:again:1", env=env)
        said = cooper("image", "copy", "store:app:2", f"docker://{address}/team/app:1", env=env, code=1).err
        assert "exists with another digest" in said


def test_docker(cooper, tokens, layouts, dockerd, tmp_path):
    """docker, which sends a password only where it was asked for one, pushes as somebody and pulls as nobody."""

    def docker(*args, code=0, config="config", input=None):
        env = {**dockerd, "DOCKER_CONFIG": str(tmp_path / config)}
        run = subprocess.run(["/usr/bin/docker", *args], env=env, capture_output=True, text=True, input=input)
        assert run.returncode == code, run.stdout + run.stderr
        return run.stdout + run.stderr

    for name in ("one", "two"):
        cooper("image", "copy", layouts[name], f"store:local/{name}:1")
        cooper("image", "copy", f"store:local/{name}:1", f"docker-archive:{tmp_path}/{name}.tar")
        loaded = docker("load", "-i", str(tmp_path / f"{name}.tar")).partition(": ")[2].strip()
        docker("tag", loaded, "keep:1" if name == "one" else "other:1")
    for flags, code in (("--anonymous-pull",), 0), ((), 1):
        with cooper.serving(*flags) as address:
            image = f"{address}/docker/app:{code}"
            docker("tag", "keep:1", image)
            docker("push", image, code=1)
            docker("login", "-u", "me", "--password-stdin", address, input=tokens["push"])
            docker("push", image)
            docker("tag", "other:1", image)
            assert "exists with another digest" in docker("push", image, code=1)
            docker("rmi", image)
            docker("pull", image, config="empty", code=code)
            docker("pull", image)
            docker("rmi", image)
