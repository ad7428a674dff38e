# SPDX-License-Identifier: Apache-2.0
"""Other people's clients against the registry."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time

import pytest

import registry_server as rs

# Debian's: another docker that comes first in PATH may lack what this one has built in.
DOCKER = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"

pytestmark = pytest.mark.skipif(rs.program() is None, reason="neither COOPER_BIN nor COOPER_TEST_REGISTRY is set")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = rs.Server(tmp_path_factory.mktemp("registry") / "store").start()
    yield s
    s.stop()


def needs(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def run(*command, **kw):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **kw)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_layout(path, layers):
    """An OCI image layout with one image; its manifest's digest."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data, media_type):
        (blobs / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return rs.descriptor(data, media_type)

    tars = [tar_of({f"file{i}": data}) for i, data in enumerate(layers)]
    config = put(
        rs.encode(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/file0"]},
                "rootfs": {"type": "layers", "diff_ids": [rs.digest(t) for t in tars]},
            }
        ),
        rs.OCI_CONFIG,
    )
    # Compressed already, or clients compress on their way and the digest is another one.
    entries = [put(gzip.compress(t, mtime=0), rs.OCI_LAYER) for t in tars]
    manifest = put(rs.encode(rs.image_manifest(config, entries)), rs.OCI_MANIFEST)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (path / "index.json").write_bytes(rs.encode(rs.index_manifest([manifest])))
    return manifest["digest"]


def layout_digest(path):
    return json.loads((path / "index.json").read_text())["manifests"][0]["digest"]


@needs("skopeo")
def test_skopeo_there_and_back(server, tmp_path):
    want = make_layout(tmp_path / "in", [os.urandom(100_000), b"", os.urandom(3_000_000)])
    target = f"docker://{server.host}/peers/skopeo:v1"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{tmp_path}/in:v1", target)
    said = json.loads(run("skopeo", "inspect", "--tls-verify=false", target))
    assert said["Digest"] == want and said["RepoTags"] == ["v1"]
    run("skopeo", "copy", "--src-tls-verify=false", target, f"oci:{tmp_path}/out:v1")
    assert layout_digest(tmp_path / "out") == want
    # Into another repository: its blobs are mounted, not sent.
    other = f"docker://{server.host}/peers/skopeo2:v1"
    run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", target, other)
    assert json.loads(run("skopeo", "inspect", "--tls-verify=false", other))["Digest"] == want
    # As a Docker schema 2 image.
    docker = f"docker://{server.host}/peers/skopeo:docker"
    run("skopeo", "copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{tmp_path}/in:v1", docker)
    head = server.request("HEAD", "/v2/peers/skopeo/manifests/docker")
    assert head.getheader("Content-Type") == "application/vnd.docker.distribution.manifest.v2+json"
    tags = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{server.host}/peers/skopeo"))
    assert tags["Tags"] == ["docker", "v1"]
    run("skopeo", "delete", "--tls-verify=false", docker)
    assert server.request("HEAD", "/v2/peers/skopeo/manifests/docker").status == 404


@needs("skopeo")
def test_skopeo_whole_index(server, tmp_path):
    make_layout(tmp_path / "in", [b"one"])
    image = f"oci:{tmp_path}/in:v1"
    run("skopeo", "copy", "--dest-tls-verify=false", image, f"docker://{server.host}/peers/multi:amd64")
    child = server.request("GET", "/v2/peers/multi/manifests/amd64").body
    entry = rs.descriptor(child, rs.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"})
    index = rs.encode(rs.index_manifest([entry]))
    server.push_manifest("peers/multi", "all", index, rs.OCI_INDEX)
    run(
        "skopeo", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false",
        f"docker://{server.host}/peers/multi:all", f"docker://{server.host}/peers/multi-copy:all",
    )
    assert server.request("GET", "/v2/peers/multi-copy/manifests/all").body == index


@needs("buildah")
def test_buildah_there_and_back(server, tmp_path):
    root = ["--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    want = make_layout(tmp_path / "in", [b"#!/bin/sh\n"])
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{tmp_path}/in:v1", f"docker://{server.host}/peers/b:v1")
    image = run("buildah", *root, "pull", "--tls-verify=false", f"{server.host}/peers/b:v1").strip()
    run("buildah", *root, "push", "--tls-verify=false", image, f"docker://{server.host}/peers/b:v2")
    second = server.request("GET", "/v2/peers/b/manifests/v2")
    assert second.status == 200
    first = json.loads(server.request("GET", f"/v2/peers/b/manifests/{want}").body)
    assert json.loads(second.body)["config"]["digest"] == first["config"]["digest"]
    run("buildah", *root, "rmi", "--all", "--force")


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory):
    """A Docker daemon of our own, without networks; loopback registries are plain HTTP to it."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None or shutil.which(DOCKER) is None:
        pytest.skip("needs root, dockerd and docker")
    base = tmp_path_factory.mktemp("docker")
    socket = f"unix://{base}/docker.sock"
    log = open(base / "log", "w")
    daemon = subprocess.Popen(
        ["dockerd", "--data-root", str(base / "data"), "--exec-root", str(base / "exec"), "-H", socket, "--pidfile",
         str(base / "pid"), "--iptables=false", "--bridge=none", "--storage-driver", "vfs"],
        stdout=log, stderr=log,
    )
    try:
        for _ in range(150):
            if subprocess.run([DOCKER, "-H", socket, "version"], capture_output=True).returncode == 0:
                break
            if daemon.poll() is not None:
                pytest.skip("dockerd does not run here")
            time.sleep(0.2)
        else:
            pytest.skip("dockerd does not answer here")
        yield socket
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)
        # It mounts its own directory and may leave it so.
        subprocess.run(["umount", "-l", base / "data"], capture_output=True)
        log.close()


@needs("skopeo")
def test_docker_there_and_back(server, dockerd, tmp_path):
    make_layout(tmp_path / "in", [b"#!/bin/sh\n", os.urandom(50_000)])
    name = f"{server.host}/peers/docker:v1"
    run("skopeo", "copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{tmp_path}/in:v1", "docker://" + name)
    want = server.request("HEAD", "/v2/peers/docker/manifests/v1").getheader("Docker-Content-Digest")
    said = run(DOCKER, "-H", dockerd, "pull", name)
    assert want in said
    again = f"{server.host}/peers/docker-again:v2"
    run(DOCKER, "-H", dockerd, "tag", name, again)
    pushed = run(DOCKER, "-H", dockerd, "push", again)
    head = server.request("HEAD", "/v2/peers/docker-again/manifests/v2")
    assert head.getheader("Docker-Content-Digest") in pushed
    run(DOCKER, "-H", dockerd, "rmi", name, again)
    run(DOCKER, "-H", dockerd, "pull", again)
