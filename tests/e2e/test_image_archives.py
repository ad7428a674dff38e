# SPDX-License-Identifier: Apache-2.0
"""Images in and out of files: what others write we read, what we write others read, digests kept."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from places import tmpfs

DOCKER = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"


def run(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-3000:])
    return done.stdout


def stored(cooper, name):
    """The manifest's digest and the manifest's config digest, by way of a layout."""
    out = cooper.home.parent / "look"
    shutil.rmtree(out, ignore_errors=True)
    cooper("image", "copy", f"store:{name}", f"oci:{out}")
    digest = json.loads((out / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads((out / "blobs" / "sha256" / digest[7:]).read_text())
    return digest, manifest["config"]["digest"]


needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


def test_rootfs_in_any_compression_is_one_image(bare, busybox_tar, tmp_path):
    plain = busybox_tar.read_bytes()
    (tmp_path / "root.tar.gz").write_bytes(gzip.compress(plain, 9))
    bare("image", "import", busybox_tar, "--name", "a:plain")
    bare("image", "import", tmp_path / "root.tar.gz", "--name", "a:gz")
    assert stored(bare, "a:plain") == stored(bare, "a:gz")
    # Another store, another day: the same.
    other = type(bare)(tmp_path / "other" / "home", {"COOPER_FAKE_TIME": "2000000000"})
    other("image", "import", busybox_tar, "--name", "b:1")
    assert stored(other, "b:1") == stored(bare, "a:plain")


@needs_skopeo
def test_skopeo_reads_what_we_write(bare, busybox_tar, tmp_path):
    bare("image", "import", busybox_tar, "--name", "box:1")
    digest, config = stored(bare, "box:1")
    for kind in ("oci", "oci-archive", "docker-archive"):
        place = f"{kind}:{tmp_path}/{kind}"
        bare("image", "copy", "store:box:1", place)
        run("skopeo", "copy", place, f"oci:{tmp_path}/from-{kind}:x")
        index = json.loads((tmp_path / f"from-{kind}" / "index.json").read_text())
        got = index["manifests"][0]["digest"]
        manifest = json.loads((tmp_path / f"from-{kind}" / "blobs" / "sha256" / got[7:]).read_text())
        assert manifest["config"]["digest"] == config
        if kind != "docker-archive":
            assert got == digest


@needs_skopeo
def test_we_read_what_skopeo_writes(bare, busybox_tar, tmp_path):
    bare("image", "import", busybox_tar, "--name", "box:1")
    digest, config = stored(bare, "box:1")
    bare("image", "copy", "store:box:1", f"oci:{tmp_path}/layout")
    run("skopeo", "copy", f"oci:{tmp_path}/layout", f"oci-archive:{tmp_path}/oci.tar:v1")
    # Layers in plain tars, named by links.
    run("skopeo", "copy", f"oci:{tmp_path}/layout", f"docker-archive:{tmp_path}/docker.tar:team/app:9")
    bare("image", "import", tmp_path / "oci.tar", "--name", "box:oci")
    assert stored(bare, "box:oci") == (digest, config)
    bare("image", "import", tmp_path / "docker.tar")
    assert stored(bare, "team/app:9")[1] == config


def test_docker_loads_what_we_write(bare, busybox_tar, tmp_path, tmp_path_factory):
    if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which(DOCKER):
        pytest.skip("needs root, dockerd and docker")
    bare("image", "import", busybox_tar, "--name", "box:1")
    _, config = stored(bare, "box:1")
    bare("image", "copy", "store:box:1", f"docker-archive:{tmp_path}/docker.tar")
    # Its sockets lie deep below: a short path, or they do not fit an address.
    base = tmp_path_factory.mktemp("d")
    socket = f"unix://{base}/sock"
    with open(base / "log", "w") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--data-root", base / "data", "--exec-root", base / "exec", "-H", socket, "--pidfile",
             base / "pid", "--iptables=false", "--bridge=none", "--storage-driver", "vfs"],
            stdout=log, stderr=log,
        )
        try:
            for _ in range(150):
                if subprocess.run([DOCKER, "-H", socket, "version"], capture_output=True).returncode == 0:
                    break
                if daemon.poll() is not None:
                    pytest.skip("dockerd does not run here")
                time.sleep(0.2)
            run(DOCKER, "-H", socket, "load", "-i", tmp_path / "docker.tar")
            assert config in run(DOCKER, "-H", socket, "images", "-a", "--no-trunc", "--quiet")
            # And what it saves of it comes back to the same config.
            run(DOCKER, "-H", socket, "tag", config, "box:again")
            run(DOCKER, "-H", socket, "save", "-o", tmp_path / "saved.tar", "box:again")
        finally:
            daemon.terminate()
            daemon.wait(timeout=60)
            # It mounts its own directory and may leave it so.
            subprocess.run(["umount", "-l", base / "data"], capture_output=True)
    bare("image", "import", tmp_path / "saved.tar")
    assert stored(bare, "box:again") == stored(bare, "box:1")


def test_killed_imports_leave_nothing_named(bare, busybox_tar, tmp_path):
    """kill -9 at any moment: the store is sound, no name points to half an image, and the next import works."""
    big = tmp_path / "big.tar"
    run("sh", "-c", f"mkdir {tmp_path}/t && cd {tmp_path}/t && tar xf {busybox_tar} && "
        f"head -c 40000000 /dev/urandom > etc-random && mkdir -p etc && tar cf {big} .")
    for i in range(12):
        proc = bare.start("image", "import", big, "--name", f"k:{i}")
        time.sleep(i * 0.03)
        proc.send_signal(signal.SIGKILL)
        proc.communicate()
        names = json.loads(bare("image", "ls", "--json").out or "[]")
        assert len(names) <= i + 1
        bare("store", "verify")
    bare("image", "import", big, "--name", "k:last")
    bare("store", "verify")
    digest, _ = stored(bare, "k:last")
    assert digest.startswith("sha256:")


def test_bad_archives_name_the_trouble(bare, busybox_tar, tmp_path):
    whole = busybox_tar.read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole[: len(whole) // 2])
    squeezed = tmp_path / "cut.tar.gz"
    squeezed.write_bytes(gzip.compress(whole)[:-2000])
    text = tmp_path / "text.tar"
    text.write_text("hello\n" * 1000)
    for path in (cut, squeezed, text, tmp_path / "absent.tar", "/dev/null"):
        result = bare("image", "import", path, "--name", "bad:1", code=1)
        assert os.path.basename(path) in result.err
    assert "call it" in bare("image", "import", busybox_tar, code=1).err
    assert "bad" not in bare("image", "ls").out


def test_a_layout_into_an_empty_directory_that_cannot_be_replaced(bare, busybox_tar, tmp_path):
    """The current one, or a mount as containers of CI have: it is written into, and left empty after a failure."""
    bare("image", "import", busybox_tar, "--name", "a:1")
    here = tmp_path / "here"
    here.mkdir()
    before = here.stat().st_ino
    bare("image", "copy", "store:a:1", "oci:.", cwd=here)
    assert sorted(os.listdir(here)) == ["blobs", "index.json", "oci-layout"] and here.stat().st_ino == before
    bare("image", "copy", "store:a:1", "oci:.", cwd=here)
    assert sorted(os.listdir(here)) == ["blobs", "index.json", "oci-layout"]
    bare("image", "import", here, "--name", "b:1")
    with tmpfs(tmp_path / "small", "512k") as small:
        assert "No space left" in bare("image", "copy", "store:a:1", f"oci:{small}", code=1).err
        assert os.listdir(small) == []


def test_copies_to_one_layout_at_once(bare, busybox_tar, tmp_path):
    bare("image", "import", busybox_tar, "--name", "a:1")
    for i in range(5):
        out = tmp_path / f"out{i}"
        ended = [(p, p.communicate(timeout=60)) for p in [bare.start("image", "copy", "store:a:1", f"oci:{out}") for _ in range(3)]]
        assert all(p.returncode == 0 for p, _ in ended), ended
        bare("image", "import", out, "--name", f"b:{i}")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
