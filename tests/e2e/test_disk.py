# SPDX-License-Identifier: Apache-2.0
"""Full disks, read-only stores, damaged blobs, registries that vanish: a clear error, nothing half-written."""

import io
import os
import shutil
import subprocess
import tarfile

import pytest

from conftest import Cooper
from places import tmpfs


def test_full_disk(tmp_path, busybox_tar, context):
    with tmpfs(tmp_path / "small", "12m") as place:
        c = Cooper(place / "home")
        c("image", "import", busybox_tar, "--name", "busybox:latest")
        ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 30000000 /dev/urandom > /big\n"})
        r = c("build", ctx, code=1)
        assert "No space left" in r.err or "no space" in r.err.lower()
        ctx2 = context({"Dockerfile": "FROM busybox\nCOPY big /big\n", "big": os.urandom(20_000_000)}, "ctx2")
        r = c("build", ctx2, code=1)
        assert "space" in r.err.lower() and "big" in r.err
        c("store", "verify")
        # and with room again it works
        ctx3 = context({"Dockerfile": "FROM busybox\nRUN echo ok > /ok\n"}, "ctx3")
        c.build(ctx3, "-t", "ok:1")


def test_full_disk_while_unpacking(tmp_path, busybox_tar, context):
    """The packed layer fits, its files do not."""
    big = tmp_path / "big.tar"
    shutil.copy(busybox_tar, big)
    with tarfile.open(big, "a") as t:
        info = tarfile.TarInfo("ones")
        info.size = 30_000_000
        t.addfile(info, io.BytesIO(b"1" * info.size))
    with tmpfs(tmp_path / "small", "12m") as place:
        c = Cooper(place / "home")
        c("image", "import", big, "--name", "busybox:latest")
        r = c("build", context({"Dockerfile": "FROM busybox\nRUN true\n"}), code=1)
        assert "unpacking the layer" in r.err and f"the disk of the store, {place}/home: free some" in r.err, r


def test_full_disk_on_import(tmp_path, busybox_tar):
    with tmpfs(tmp_path / "small", "700k") as place:
        c = Cooper(place / "home")
        r = c("image", "import", busybox_tar, "--name", "busybox:latest", code=1)
        assert "space" in r.err.lower()
        assert "busybox" not in c("image", "ls").out


def test_read_only_store(tmp_path, busybox_tar, context):
    with tmpfs(tmp_path / "ro", "50m") as place:
        c = Cooper(place / "home")
        c("image", "import", busybox_tar, "--name", "busybox:latest")
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        ctx = context({"Dockerfile": "FROM busybox\nRUN true\n"})
        r = c("build", ctx, code=1)
        assert "read-only" in r.err.lower() and str(place) in r.err


def test_corrupt_blob(cooper, context, tmp_path):
    ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 100000 /dev/urandom > /r\n"})
    cooper.build(ctx, "-t", "x:1")
    blobs = sorted((cooper.home / "blobs").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    victim = [b for b in blobs if b.is_file() and 90000 < b.stat().st_size < 110000][0]
    data = bytearray(victim.read_bytes())
    data[5000] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(data)
    r = cooper("store", "verify", code=3)
    assert victim.name[:12] in r.err
    r = cooper("image", "copy", "store:x:1", f"oci-archive:{tmp_path}/x.tar", code=1)
    assert victim.name[:12] in r.err and not (tmp_path / "x.tar").exists()
    cooper("store", "verify", "--repair", code=None)
    cooper("store", "verify")
    cooper.build(ctx, "-t", "x:2")
    cooper("image", "copy", "store:x:2", f"oci-archive:{tmp_path}/x.tar")


def test_vanished_registry(cooper, context, docker_registry):
    gone = "127.0.0.1:1"
    ctx = context({"Dockerfile": f"FROM {gone}/a/b:1\nRUN true\n"})
    r = cooper("build", ctx, code=1)
    assert gone in r.err and "Dockerfile:1" in r.err
    good = context({"Dockerfile": "FROM busybox\n"}, "good")
    r = cooper("build", good, "-t", f"{gone}/a/b:1", "--push", code=1)
    assert gone in r.err
    cooper("store", "verify")


@pytest.mark.parametrize("keep", [0, 1, 100, 5000])
def test_truncated_import(bare, busybox_tar, tmp_path, keep):
    cut = tmp_path / "cut.tar"
    cut.write_bytes(busybox_tar.read_bytes()[:keep] if keep else b"")
    r = bare("image", "import", cut, "--name", "x:1", code=1)
    assert "cut.tar" in r.err
    assert "x:1" not in bare("image", "ls").out


def test_gc_follows_the_settings_and_removes_old_logs(cooper, context, tmp_path):
    import time

    ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 2000000 /dev/urandom > /r\n"})
    cooper.build(ctx)
    logs = list((cooper.home / "logs").iterdir())
    assert logs
    config = tmp_path / "config.yaml"
    config.write_text("store:\n  keep: 30d\n  limit: 20GB\n")
    old = time.time() - 20 * 86400
    os.utime(logs[0], (old, old))
    cooper("store", "gc", "--config", config)
    assert logs[0].exists()
    config.write_text("store:\n  keep: 10d\n  limit: 1kB\n")
    cooper("store", "gc", "--config", config)
    assert not logs[0].exists()
    assert "(1 step, 0 cached)" in cooper.build(ctx)["result"].out, "the limit did not make gc forget the step"


def test_gc_takes_abandoned_uploads_and_no_others(cooper):
    import http.client
    import time

    with cooper.serving() as address:
        c = http.client.HTTPConnection(address)
        c.request("POST", "/v2/a/b/blobs/uploads/")
        location = c.getresponse().getheader("Location")
        c.close()
        c = http.client.HTTPConnection(address)
        c.request("PATCH", location, b"half of it")
        assert c.getresponse().status == 202
        c.close()
    uploads = cooper.home / "partial"
    assert list(uploads.iterdir())
    cooper("store", "gc", "--all")
    assert list(uploads.iterdir()), "an upload between two requests was taken"
    cooper("store", "gc", "--all", env={"COOPER_FAKE_TIME": str(int(time.time()) + 7200)})
    assert not list(uploads.iterdir())
