# SPDX-License-Identifier: Apache-2.0
"""cooper image copy --referrers: what is attached to images goes along, between registries of both kinds, layouts and archives."""

import json
import os
import re
import subprocess

import pytest

import fault_proxy as fp
import registry_server as rs
from go_tools import go_tool

SBOM = "application/spdx+json"
SIGNATURE = "application/vnd.example.sig"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A registry with the referrers API."""
    s = rs.Server(tmp_path_factory.mktemp("registry") / "store").start()
    yield s
    s.stop()


@pytest.fixture
def oras(tmp_path):
    env = {**os.environ, "HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "docker")}

    def call(*args):
        done = subprocess.run([go_tool("oras"), *map(str, args)], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout.strip()

    return call


def image(server, repo, text):
    """An index of one image and its attestation, as buildx makes them, with a signature of cosign by tag."""
    config = rs.encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
    layer = text.encode()
    for data in (config, layer, b"{}", b"provenance"):
        server.push_blob(repo, data)
    manifest = rs.encode(rs.image_manifest(rs.descriptor(config, rs.OCI_CONFIG), [rs.descriptor(layer, rs.OCI_LAYER)]))
    server.push_manifest(repo, rs.digest(manifest), manifest)
    about = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": rs.digest(manifest)}
    attestation = rs.encode(rs.image_manifest(rs.descriptor(b"{}", rs.OCI_EMPTY), [rs.descriptor(b"provenance", "application/vnd.in-toto+json")]))
    server.push_manifest(repo, rs.digest(attestation), attestation)
    index = rs.encode(
        rs.index_manifest(
            [
                rs.descriptor(manifest, rs.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"}),
                rs.descriptor(attestation, rs.OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"}, annotations=about),
            ]
        )
    )
    server.push_manifest(repo, "v1", index, rs.OCI_INDEX)
    signature = rs.encode(rs.image_manifest(rs.descriptor(config, rs.OCI_CONFIG), [rs.descriptor(layer, SIGNATURE)], annotations={"is": "signature"}))
    tag = rs.digest(index).replace(":", "-") + ".sig"
    server.push_manifest(repo, tag, signature)
    return {"index": rs.digest(index), "manifest": rs.digest(manifest), "attestation": rs.digest(attestation), "sig": tag, "signature": rs.digest(signature)}


@pytest.fixture
def app(server, oras, tmp_path, request):
    """An image with an SBOM that is signed, and a note about its one manifest."""
    repo = "source/" + re.sub("[^a-z]+", "-", request.node.name).strip("-")
    made = image(server, repo, request.node.name)
    name = f"{server.host}/{repo}"
    (tmp_path / "sbom.json").write_text('{"spdx": true}')
    (tmp_path / "sig").write_text("signature")
    oras("attach", "--plain-http", "--artifact-type", SBOM, "-a", "by=test", f"{name}:v1", "sbom.json")
    oras("attach", "--plain-http", "--artifact-type", SIGNATURE, f"{name}@{made['manifest']}", "sig")
    made["sbom"] = server.json(f"/v2/{repo}/referrers/{made['index']}")["manifests"][0]["digest"]
    oras("attach", "--plain-http", "--artifact-type", SIGNATURE, f"{name}@{made['sbom']}", "sig")
    made["name"] = name
    return made


def discovered(oras, *where):
    """What oras finds at a registry or a layout: type -> digests, nested."""
    return json.loads(oras("discover", "--format", "json", *where))["referrers"]


def check(oras, app, to, server=None):
    """All of it is at the repository."""
    found = discovered(oras, "--plain-http", f"{to}@{app['index']}")
    assert [(r["artifactType"], r["digest"], r["annotations"]["by"]) for r in found] == [(SBOM, app["sbom"], "test")], found
    for about in (app["manifest"], app["sbom"]):
        assert [r["artifactType"] for r in discovered(oras, "--plain-http", f"{to}@{about}")] == [SIGNATURE]
    resolve = lambda name: oras("resolve", "--plain-http", name)  # noqa: E731
    assert resolve(f"{to}:v1") == app["index"]
    assert resolve(f"{to}:{app['sig']}") == app["signature"]
    assert resolve(f"{to}@{app['attestation']}") == app["attestation"]
    oras("copy", "-r", "--from-plain-http", "--to-oci-layout", f"{to}:v1", "check-layout:v1")


def copy(cooper, source, target, *more, **kw):
    return cooper("image", "copy", "--all", "--referrers", source, target, *more, **kw)


def test_between_registries(bare, server, oras, app, tmp_path):
    to = f"{server.host}/target/api"
    done = copy(bare, f"docker://{app['name']}:v1", f"docker://{to}:v1")
    assert "copied 4 attached to it" in done.out, done
    check(oras, app, to)
    # The registry keeps the lists, so there is no tag for them.
    assert server.json("/v2/target/api/tags/list")["tags"] == sorted([app["sig"], "v1"])
    # Without the option none of it comes.
    bare("image", "copy", "--all", f"docker://{app['name']}:v1", f"docker://{server.host}/target/alone:v1")
    assert server.json("/v2/target/alone/tags/list")["tags"] == ["v1"]
    assert server.json(f"/v2/target/alone/referrers/{app['index']}")["manifests"] == []
    bare("store", "verify")


def test_by_tags_where_there_is_no_api(bare, server, oras, app, docker_registry):
    """To a registry without the API, twice, and back."""
    old = f"{docker_registry}/a/b"
    for _ in range(2):
        copy(bare, f"docker://{app['name']}:v1", f"docker://{old}:v1")
    check(oras, app, old)
    index = json.loads(oras("manifest", "fetch", "--plain-http", f"{old}:{app['index'].replace(':', '-')}"))
    assert len(index["manifests"]) == 1 and index["manifests"][0]["artifactType"] == SBOM, index
    # What another client adds there stays.
    oras("attach", "--plain-http", "--artifact-type", "application/x.more", f"{old}:v1", "sig")
    copy(bare, f"docker://{app['name']}:v1", f"docker://{old}:v1")
    assert {r["artifactType"] for r in discovered(oras, "--plain-http", f"{old}:v1")} == {SBOM, "application/x.more"}
    copy(bare, f"docker://{old}:v1", f"docker://{server.host}/target/back:v1")
    listed = server.json(f"/v2/target/back/referrers/{app['index']}")["manifests"]
    assert {m["artifactType"] for m in listed} == {SBOM, "application/x.more"}
    assert server.json("/v2/target/back/tags/list")["tags"] == sorted([app["sig"], "v1"])


@pytest.mark.sanitize
@pytest.mark.parametrize("form", ["oci:{}", "oci-archive:{}.tar"])
def test_through_files(bare, server, oras, app, tmp_path, form):
    place = form.format(tmp_path / "image")
    copy(bare, f"docker://{app['name']}:v1", place)
    if form.startswith("oci:"):
        found = discovered(oras, "--oci-layout", f"{tmp_path}/image@{app['index']}")
        assert [r["digest"] for r in found] == [app["sbom"]]
    to = f"{server.host}/target/{'archive' if 'archive' in form else 'layout'}"
    copy(bare, place, f"docker://{to}:v1")
    check(oras, app, to)
    # It is one image still, for those who want no more.
    bare("image", "import", tmp_path / ("image.tar" if "archive" in form else "image"), "--name", "alone:1")
    assert json.loads(bare("image", "inspect", "alone:1").out)["digest"]


def test_a_layout_made_by_oras(bare, server, oras, app, tmp_path, docker_registry):
    oras("copy", "-r", "--from-plain-http", "--to-oci-layout", f"{app['name']}:v1", "layout:v1")
    to = f"{server.host}/target/of-oras"
    copy(bare, f"oci:{tmp_path}/layout", f"docker://{to}:v1")
    found = discovered(oras, "--plain-http", f"{to}:v1")
    assert [r["digest"] for r in found] == [app["sbom"]]
    assert [r["artifactType"] for r in discovered(oras, "--plain-http", f"{to}@{app['sbom']}")] == [SIGNATURE]
    # By tags the list says as much as by the API, though the layout says less.
    old = f"{docker_registry}/of/oras"
    copy(bare, f"oci:{tmp_path}/layout", f"docker://{old}:v1")
    found = discovered(oras, "--plain-http", f"{old}:v1")
    assert [(r["artifactType"], r["annotations"]["by"]) for r in found] == [(SBOM, "test")]
    bare("image", "import", tmp_path / "layout", "--name", "alone:1")


def test_crane_takes_what_was_copied(bare, server, app, tmp_path):
    to = f"{server.host}/target/crane"
    copy(bare, f"docker://{app['name']}:v1", f"docker://{to}:v1")

    def crane(*args):
        return subprocess.run([go_tool("crane"), *args], capture_output=True, text=True, check=True).stdout.strip()

    assert crane("digest", f"{to}:v1") == app["index"]
    assert crane("digest", f"{to}:{app['sig']}") == app["signature"]
    assert set(crane("ls", to).split()) == {"v1", app["sig"]}


def test_registries_that_answer_oddly(bare, server, app):
    """A page instead of a list is no list, and a list that cannot be had is an error, not an empty one."""
    repo = app["name"].split("/", 1)[1]
    with fp.fault_proxy(server.host) as proxy:
        proxy.fault("GET", "/referrers/", fp.status(200, {"Content-Type": "text/html"}, b"<html>log in"), times=-1)
        done = copy(bare, f"docker://{proxy.host}/{repo}:v1", f"docker://{server.host}/target/page:v1")
        assert "copied 1 attached" in done.out, done
        proxy.faults.clear()
        proxy.fault("GET", "/referrers/", fp.status(400), times=-1)
        proxy.fault("GET", "/tags/list", fp.status(403), times=1)
        done = copy(bare, f"docker://{proxy.host}/{repo}:v1", f"docker://{server.host}/target/denied:v1", code=1)
        assert "listing the tags" in done.err and "403" in done.err, done
        proxy.faults.clear()
        proxy.fault("GET", "/referrers/", fp.status(429, {"Retry-After": "9999"}), times=-1)
        done = copy(bare, f"docker://{proxy.host}/{repo}:v1", f"docker://{server.host}/target/limited:v1", code=1)
        assert "pulling what is attached to" in done.err and "asks to wait" in done.err, done
        proxy.faults.clear()
        proxy.fault("GET", "/referrers/", fp.change(lambda a, h: a.set("Link", '<http://192.0.2.1/v2/x>; rel="next"')), times=-1)
        done = copy(bare, f"docker://{proxy.host}/{repo}:v1", f"docker://{server.host}/target/link:v1", code=1)
        assert "not its next page" in done.err, done


def test_where_they_cannot_go(bare, app, tmp_path):
    source = f"docker://{app['name']}:v1"
    assert "without their referrers" in copy(bare, source, "store:x:1", code=1).err
    assert "no referrers" in copy(bare, "store:x:1", f"oci:{tmp_path}/x", code=1).err
    docker = copy(bare, source, f"docker-archive:{tmp_path}/x.tar", code=1)
    assert "write an oci-archive" in docker.err and not (tmp_path / "x.tar").exists(), docker
