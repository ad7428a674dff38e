# SPDX-License-Identifier: Apache-2.0
"""Clients that CI and clusters use against the registry: crane, oras, regctl, containerd; and what signs as cosign does."""

import json
import os
import shutil
import subprocess
import time

import pytest

import registry_server as rs
from go_tools import go_tool
from test_registry_peers import layout_digest, make_layout, run

pytestmark = pytest.mark.skipif(rs.program() is None, reason="neither COOPER_BIN nor COOPER_TEST_REGISTRY is set")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = rs.Server(tmp_path_factory.mktemp("registry") / "store").start()
    yield s
    s.stop()


@pytest.fixture
def tool(tmp_path):
    """tool("crane", ...) runs it with settings of its own."""
    env = {**os.environ, "HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "docker"), "REGCTL_CONFIG": str(tmp_path / "regctl.json")}

    def call(name, *args, **kw):
        return run(go_tool(name), *map(str, args), env=env, cwd=tmp_path, **kw).strip()

    return call


def push(server, tmp_path, repo, layers=(b"one", b"two"), tag="v1"):
    """A pushed image of several layers; its digest."""
    place = tmp_path / "layouts" / repo.replace("/", "-")
    want = make_layout(place, list(layers))
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{place}:v1", f"docker://{server.host}/{repo}:{tag}")
    return want


# ---- crane ----


def test_crane(server, tool, tmp_path):
    want = push(server, tmp_path, "crane/a", [os.urandom(2_000_000), b"x"])
    a, b = f"{server.host}/crane/a", f"{server.host}/crane/b"
    assert tool("crane", "digest", f"{a}:v1") == want
    tool("crane", "copy", f"{a}:v1", f"{b}:v1")
    assert tool("crane", "digest", f"{b}:v1") == want
    assert "PASS" in tool("crane", "validate", "--remote", f"{b}:v1")
    tool("crane", "tag", f"{b}:v1", "v2")
    tool("crane", "pull", "--format", "oci", f"{b}:v2", "pulled")
    assert layout_digest(tmp_path / "pulled") == want
    (tmp_path / "more.tar").write_bytes(b"")
    subprocess.run(["tar", "-cf", "more.tar", "-C", "/etc", "hostname"], cwd=tmp_path, check=True)
    tool("crane", "append", "-b", f"{b}:v1", "-f", "more.tar", "-t", f"{b}:v3")
    assert "PASS" in tool("crane", "validate", "--remote", f"{b}:v3")
    tool("crane", "push", "pulled", f"{b}:v4")
    assert tool("crane", "digest", f"{b}:v4") == want
    assert tool("crane", "ls", b).split() == ["v1", "v2", "v3", "v4"]
    assert {"crane/a", "crane/b"} <= set(tool("crane", "catalog", server.host).split())
    tool("crane", "delete", f"{b}@{want}")
    assert tool("crane", "ls", b).split() == ["v3"]


# ---- oras ----


def test_oras(server, tool, tmp_path):
    name = f"{server.host}/oras/data"
    (tmp_path / "data.bin").write_bytes(os.urandom(700_000))
    (tmp_path / "note.txt").write_text("a note")
    tool("oras", "push", "--plain-http", "--artifact-type", "application/vnd.example.data", f"{name}:v1", "data.bin:application/x.bin", "note.txt")
    tool("oras", "pull", "--plain-http", "-o", "got", f"{name}:v1")
    assert (tmp_path / "got" / "data.bin").read_bytes() == (tmp_path / "data.bin").read_bytes()
    tool("oras", "tag", "--plain-http", f"{name}:v1", "latest", "v1.0")
    assert tool("oras", "repo", "tags", "--plain-http", name).split() == ["latest", "v1", "v1.0"]
    digest = tool("oras", "resolve", "--plain-http", f"{name}:latest")
    blob = json.loads(tool("oras", "blob", "push", "--plain-http", "--descriptor", name, "note.txt"))
    assert tool("oras", "blob", "fetch", "--plain-http", "--output", "-", f"{name}@{blob['digest']}") == "a note"
    tool("oras", "blob", "delete", "--plain-http", "--force", f"{name}@{blob['digest']}")
    tool("oras", "manifest", "delete", "--plain-http", "--force", f"{name}@{digest}")
    assert server.request("HEAD", f"/v2/oras/data/manifests/{digest}").status == 404


def test_oras_referrers(server, tool, tmp_path):
    want = push(server, tmp_path, "oras/app")
    app, copy = f"{server.host}/oras/app", f"{server.host}/oras/copy"
    (tmp_path / "sbom.json").write_text("{}")
    (tmp_path / "sig").write_text("signature")
    tool("oras", "attach", "--plain-http", "--artifact-type", "application/spdx+json", "-a", "by=test", f"{app}:v1", "sbom.json")
    tool("oras", "attach", "--plain-http", "--artifact-type", "application/vnd.example.sig", f"{app}:v1", "sig")
    found = json.loads(tool("oras", "discover", "--plain-http", "--format", "json", f"{app}:v1"))["referrers"]
    assert {r["artifactType"] for r in found} == {"application/spdx+json", "application/vnd.example.sig"}
    sbom = next(r for r in found if r["artifactType"] == "application/spdx+json")
    assert sbom["annotations"]["by"] == "test"
    # A signature of the SBOM, and everything at once to elsewhere.
    tool("oras", "attach", "--plain-http", "--artifact-type", "application/vnd.example.sig", f"{app}@{sbom['digest']}", "sig")
    tool("oras", "copy", "-r", "--from-plain-http", "--to-plain-http", f"{app}:v1", f"{copy}:v1")
    listed = server.json(f"/v2/oras/copy/referrers/{want}")["manifests"]
    assert {m["digest"] for m in listed} == {r["digest"] for r in found}
    assert len(server.json(f"/v2/oras/copy/referrers/{sbom['digest']}")["manifests"]) == 1
    # No fallback tags were made: the client saw that the registry keeps the list.
    assert server.json("/v2/oras/copy/tags/list")["tags"] == ["v1"]


# ---- regctl ----


def test_regctl(server, tool, tmp_path):
    layer = os.urandom(300_000)
    want = push(server, tmp_path, "regctl/a", [layer])
    a, b = f"{server.host}/regctl/a", f"{server.host}/regctl/b"
    tool("regctl", "registry", "set", server.host, "--tls", "disabled")
    assert tool("regctl", "image", "digest", f"{a}:v1") == want
    tool("regctl", "image", "copy", f"{a}:v1", f"{b}:v1")
    (tmp_path / "note").write_text("n" * 100_000)
    tool("regctl", "artifact", "put", "--artifact-type", "application/vnd.example.note", "--subject", f"{b}:v1", "-f", "note")
    tree = tool("regctl", "artifact", "list", "--format", "{{json .}}", f"{b}:v1")
    assert "application/vnd.example.note" in tree
    tool("regctl", "image", "export", f"{b}:v1", "out.tar")
    tool("regctl", "image", "import", f"{b}:v2", "out.tar")
    assert tool("regctl", "image", "digest", f"{b}:v2") == want
    tool("regctl", "tag", "delete", f"{b}:v2")
    assert tool("regctl", "tag", "ls", b).split() == ["v1"]
    assert tool("regctl", "repo", "ls", "--limit", "1", server.host)


def test_regctl_takes_referrers_along(server, tool, tmp_path, bare, docker_registry):
    """To a registry without their API, whose index at a tag our client reads, and back from there."""
    want = push(server, tmp_path, "regctl/noted")
    here, there = f"{server.host}/regctl/noted", f"{docker_registry}/regctl/noted"
    for host in (server.host, docker_registry):
        tool("regctl", "registry", "set", host, "--tls", "disabled")
    (tmp_path / "note").write_text("noted")
    tool("regctl", "artifact", "put", "--artifact-type", "application/vnd.example.note", "--subject", f"{here}:v1", "-f", "note")
    [note] = server.json(f"/v2/regctl/noted/referrers/{want}")["manifests"]
    tool("regctl", "image", "copy", "--referrers", f"{here}:v1", f"{there}:v1")
    assert note["digest"] in tool("regctl", "manifest", "get", "--format", "raw-body", f"{there}:{want.replace(':', '-')}")
    bare("image", "copy", "--referrers", f"docker://{there}:v1", f"docker://{server.host}/regctl/back:v1")
    assert [r["digest"] for r in server.json(f"/v2/regctl/back/referrers/{want}")["manifests"]] == [note["digest"]]
    tool("regctl", "image", "copy", "--referrers", f"{there}:v1", f"{server.host}/regctl/again:v1")
    assert [r["digest"] for r in server.json(f"/v2/regctl/again/referrers/{want}")["manifests"]] == [note["digest"]]


def test_regctl_in_chunks(server, tool, tmp_path):
    data = os.urandom(1_000_003)
    (tmp_path / "blob").write_bytes(data)
    tool("regctl", "registry", "set", server.host, "--tls", "disabled", "--blob-chunk", 64 * 1024, "--blob-max", 64 * 1024)
    with open(tmp_path / "blob") as f:
        said = tool("regctl", "blob", "put", f"{server.host}/regctl/chunks", stdin=f)
    assert said == rs.digest(data)
    assert server.request("GET", f"/v2/regctl/chunks/blobs/{said}").body == data


# ---- containerd ----


@pytest.fixture(scope="module")
def containerd(tmp_path_factory):
    """ctr(...) with a containerd of our own."""
    if os.geteuid() != 0 or not shutil.which("containerd") or not shutil.which("ctr"):
        pytest.skip("needs root, containerd and ctr")
    base = tmp_path_factory.mktemp("containerd")
    (base / "config.toml").write_text(
        f'version = 2\nroot = "{base}/root"\nstate = "{base}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{base}/sock"\n'
    )
    with open(base / "log", "w") as log:
        daemon = subprocess.Popen(["containerd", "-c", base / "config.toml"], stdout=log, stderr=log)
    ctr = ["ctr", "-a", f"{base}/sock"]
    try:
        for _ in range(150):
            if subprocess.run([*ctr, "version"], capture_output=True).returncode == 0:
                break
            assert daemon.poll() is None, (base / "log").read_text()[-3000:]
            time.sleep(0.2)
        yield lambda *args: run(*ctr, *args)
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)


def test_containerd(server, containerd, tmp_path):
    want = push(server, tmp_path, "containerd/a", [b"#!/bin/sh\n", os.urandom(400_000)])
    name, again = f"{server.host}/containerd/a:v1", f"{server.host}/containerd/b:v2"
    containerd("image", "pull", "--plain-http", "--snapshotter", "native", name)
    assert want in containerd("image", "ls")
    containerd("image", "tag", name, again)
    containerd("image", "push", "--plain-http", again)
    assert server.request("HEAD", "/v2/containerd/b/manifests/v2").getheader("Docker-Content-Digest") == want
    # By digest, and once more when all is there.
    containerd("image", "push", "--plain-http", again)
    containerd("image", "rm", "--sync", name, again)
    containerd("image", "pull", "--plain-http", "--snapshotter", "native", f"{server.host}/containerd/b@{want}")


# ---- signatures ----


def test_signatures_by_tag(server, tool, tmp_path):
    """The older form: a tag named after the digest, alone or as an index that the client keeps."""
    want = push(server, tmp_path, "sign/app")
    app = f"{server.host}/sign/app"
    base = want.replace(":", "-")
    config = rs.encode({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": []}})
    payload = rs.encode({"critical": {"image": {"docker-manifest-digest": want}}, "optional": None})
    server.push_blob("sign/app", config)
    server.push_blob("sign/app", payload)
    layer = rs.descriptor(payload, "application/vnd.dev.cosign.simplesigning.v1+json", annotations={"dev.cosignproject.cosign/signature": "MEUC"})
    signature = rs.encode(rs.image_manifest(rs.descriptor(config, rs.OCI_CONFIG), [layer]))
    for kind in ("sig", "att", "sbom"):
        server.push_manifest("sign/app", f"{base}.{kind}", signature)
    assert tool("crane", "manifest", f"{app}:{base}.sig").encode() == signature
    # The fallback of those who do not ask for referrers: they read, add, and write the index again.
    for count in (1, 2):
        entries = [rs.descriptor(signature, rs.OCI_MANIFEST, artifactType="application/vnd.dev.cosign.artifact.sig.v1+json", annotations={"n": str(i)}) for i in range(count)]
        index = rs.encode(rs.index_manifest(entries))
        server.push_manifest("sign/app", base, index, rs.OCI_INDEX)
        assert server.request("GET", f"/v2/sign/app/manifests/{base}").body == index
    # All of it goes along.
    tool("regctl", "registry", "set", server.host, "--tls", "disabled")
    tool("regctl", "image", "copy", "--digest-tags", "--referrers", f"{app}:v1", f"{server.host}/sign/copy:v1")
    assert server.json("/v2/sign/copy/tags/list")["tags"] == sorted([base, f"{base}.att", f"{base}.sbom", f"{base}.sig", "v1"])


def test_signature_by_referrer_of_index(server, tool, tmp_path):
    """A bundle about an index, found through it by a client that asks the referrers of what a tag names."""
    child = push(server, tmp_path, "sign/multi", tag="amd64")
    bytes_of_child = server.request("GET", f"/v2/sign/multi/manifests/{child}").body
    entry = rs.descriptor(bytes_of_child, rs.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"})
    index = rs.encode(rs.index_manifest([entry]))
    server.push_manifest("sign/multi", "v1", index, rs.OCI_INDEX)
    server.push_blob("sign/multi", b"{}")
    bundle = server.push_blob("sign/multi", b"bundle")
    empty = rs.descriptor(b"{}", rs.OCI_EMPTY)
    doc = rs.image_manifest(
        empty, [{**rs.descriptor(b"bundle", "application/vnd.dev.sigstore.bundle.v0.3+json")}],
        artifactType="application/vnd.dev.sigstore.bundle.v0.3+json", subject=rs.descriptor(index, rs.OCI_INDEX),
    )
    answer = server.push_manifest("sign/multi", rs.digest(rs.encode(doc)), doc)
    assert answer.getheader("OCI-Subject") == rs.digest(index) and bundle
    found = json.loads(tool("oras", "discover", "--plain-http", "--format", "json", f"{server.host}/sign/multi:v1"))["referrers"]
    assert [r["artifactType"] for r in found] == ["application/vnd.dev.sigstore.bundle.v0.3+json"]
