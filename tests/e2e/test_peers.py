# SPDX-License-Identifier: Apache-2.0
"""skopeo, buildah and Debian's docker pull what we push and push what we pull, digests equal."""

import json
import shutil
import subprocess

import pytest

from conftest import DOCKER


def run(*argv, **kw):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    assert done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-3000:])
    return done.stdout


def need(program):
    if not shutil.which(program):
        pytest.fail(f"{program} is missing: scripts/deps.sh test")


@pytest.fixture
def image(cooper, context):
    ctx = context(
        {
            "Dockerfile": "FROM busybox\nRUN mkdir -p /d/e && echo x > /d/e/f && ln /d/e/f /d/hard && ln -s e/f /d/soft && chmod 4755 /d/e/f && rm -rf /var\n"
            "RUN rm -rf /d/e && mkdir /d/e && echo new > /d/e/g\nCOPY é /na\u00efve/\nCMD [\"cat\", \"/d/e/g\"]\n",
            "é": "bytes",
        }
    )
    return cooper.build(ctx, "-t", "peer/image:1")


def skopeo_digest(reference):
    need("skopeo")
    return json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"))["Digest"]


@pytest.mark.parametrize("server", ["cooper", "docker-registry"])
def test_skopeo_both_ways(cooper, image, server, docker_registry, tmp_path):
    digest = image["containerimage.digest"]
    with cooper.serving() as own:
        host = own if server == "cooper" else docker_registry
        cooper("image", "copy", "store:peer/image:1", f"docker://{host}/peer/image:1")
        assert skopeo_digest(f"{host}/peer/image:1") == digest
        run("skopeo", "copy", "--src-tls-verify=false", f"docker://{host}/peer/image:1", f"oci:{tmp_path}/layout:1")
        run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:1", f"docker://{host}/peer/back:1")
        cooper("image", "copy", f"docker://{host}/peer/back:1", "store:peer/back:1")
    assert json.loads(cooper("image", "inspect", "peer/back:1").out)["digest"] == digest


def test_skopeo_reads_our_archives(cooper, image, tmp_path):
    need("skopeo")
    digest = image["containerimage.digest"]
    cooper("image", "copy", "store:peer/image:1", f"oci:{tmp_path}/layout")
    cooper("image", "copy", "store:peer/image:1", f"oci-archive:{tmp_path}/oci.tar")
    cooper("image", "copy", "store:peer/image:1", f"docker-archive:{tmp_path}/docker.tar")
    assert json.loads(run("skopeo", "inspect", f"oci:{tmp_path}/layout"))["Digest"] == digest
    assert json.loads(run("skopeo", "inspect", f"oci-archive:{tmp_path}/oci.tar"))["Digest"] == digest
    config = json.loads(run("skopeo", "inspect", "--config", f"docker-archive:{tmp_path}/docker.tar"))
    assert config["config"]["Cmd"] == ["cat", "/d/e/g"]
    run("skopeo", "copy", f"oci:{tmp_path}/layout", f"docker-archive:{tmp_path}/theirs.tar:peer/theirs:1")
    cooper("image", "import", tmp_path / "theirs.tar")
    assert cooper.files("peer/theirs:1").keys() == cooper.files("peer/image:1").keys()


def test_buildah_runs_and_pushes_back(cooper, image, tmp_path):
    need("buildah")
    store = ["--root", tmp_path / "b", "--runroot", tmp_path / "br", "--storage-driver", "vfs"]
    with cooper.serving() as host:
        cooper("image", "copy", "store:peer/image:1", f"docker://{host}/peer/image:1")
        name = run("buildah", *store, "from", "--tls-verify=false", f"{host}/peer/image:1").strip()
        out = run("buildah", *store, "run", "--isolation", "chroot", name, "--", "cat", "/d/e/g")
        assert out == "new\n"
        run("buildah", *store, "push", "--tls-verify=false", f"{host}/peer/image:1", f"docker://{host}/peer/pushed:1")
        cooper("image", "copy", f"docker://{host}/peer/pushed:1", "store:peer/pushed:1")
        run("buildah", *store, "rm", name)
    assert cooper.files("peer/pushed:1").keys() == cooper.files("peer/image:1").keys()


def test_docker_pulls_runs_and_pushes(cooper, image, dockerd, tmp_path):
    with cooper.serving() as host:
        cooper("image", "copy", "store:peer/image:1", f"docker://{host}/peer/image:1")
        out = run(DOCKER, "pull", f"{host}/peer/image:1", env=dockerd)
        assert image["containerimage.digest"] in out
        assert run(DOCKER, "run", "--rm", "--network", "none", f"{host}/peer/image:1", env=dockerd) == "new\n"
        run(DOCKER, "tag", f"{host}/peer/image:1", f"{host}/peer/again:1", env=dockerd)
        run(DOCKER, "push", f"{host}/peer/again:1", env=dockerd)
        cooper("image", "copy", f"docker://{host}/peer/again:1", "store:peer/again:1")
    assert cooper.files("peer/again:1").keys() == cooper.files("peer/image:1").keys()
    cooper("image", "copy", "store:peer/image:1", f"docker-archive:{tmp_path}/d.tar")
    assert "Loaded image" in run(DOCKER, "load", "-i", tmp_path / "d.tar", env=dockerd)


def test_docker_builds_the_same_files(cooper, image, dockerd, tmp_path, busybox_tar, context):
    """The plain rules of COPY: what docker makes of a context, we make."""
    ctx = context(
        {
            "Dockerfile": "FROM bb\nWORKDIR /w\nCOPY a b/ ./\nCOPY b /dir\nCOPY b/* star/\nCOPY --chown=12:34 a /own/deep/a\nADD t.tar.gz /t\nCOPY a /w/c\nRUN ln -s /w /l\nCOPY a /l/through\n",
            "a": "A",
            "b/one": "1",
            "b/sub/two": "2",
        },
        "same",
    )
    run("tar", "-C", ctx / "b", "-czf", ctx / "t.tar.gz", ".")
    run(DOCKER, "import", busybox_tar, "bb", env=dockerd)
    run(DOCKER, "build", "-q", "--network", "host", "-t", "same:1", ctx, env={**dockerd, "DOCKER_BUILDKIT": "1"})
    run(DOCKER, "save", "-o", tmp_path / "same.tar", "same:1", env=dockerd)
    cooper("image", "import", tmp_path / "same.tar")
    theirs = cooper.files("same:1")
    cooper("image", "import", busybox_tar, "--name", "bb:latest")
    cooper.build(ctx, "-t", "ours:1")
    ours = cooper.files("ours:1")

    # docker leaves the mount points of its steps in the layer, we do not
    left_by_docker = {"dev", "proc", "sys"}

    def view(files):
        return {p: (f.type, oct(f.mode & 0o7777), f.uid, f.gid, f.size, f.linkname) for p, f in files.items() if p not in left_by_docker}

    assert view(ours) == view(theirs)
