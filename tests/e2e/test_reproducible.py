# SPDX-License-Identifier: Apache-2.0
"""The same inputs give the same image digest: elsewhere, on another day, cold, as another user."""

import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import time

import pytest

from conftest import BIN, Cooper

RUNUSER = shutil.which("runuser")
DOCKERFILE = """FROM busybox AS tools
RUN mkdir -p /out/deep && echo tool > /out/deep/tool && ln -s tool /out/deep/link && chmod 750 /out/deep
FROM busybox
WORKDIR /srv/app
COPY --chown=1000:1001 . .
COPY --from=tools /out /opt/out
RUN echo made > made && rm /etc/group && touch /srv/other && chown 1000:1001 made
ADD --chmod=0700 run.sh /usr/bin/run
ENV A=1
CMD ["/usr/bin/run"]
"""


def make_context(top, order):
    files = {"run.sh": "#!/bin/sh\necho run\n", "a/one": "1", "a/two": "2", "b/three": "3", "Dockerfile": DOCKERFILE}
    for name in sorted(files, reverse=order):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])
    os.symlink("a/one", top / "sym")
    os.chmod(top / "run.sh", 0o755)


def fresh(tmp_path, name, busybox_tar, env=None):
    c = Cooper(tmp_path / name, env)
    c("image", "import", busybox_tar, "--name", "busybox:latest")
    return c


def test_other_directory_day_and_store(tmp_path, busybox_tar):
    first, second = tmp_path / "x" / "ctx", tmp_path / "some" / "where" / "else"
    first.mkdir(parents=True)
    second.mkdir(parents=True)
    make_context(first, False)
    time.sleep(1.1)
    make_context(second, True)
    one = fresh(tmp_path, "h1", busybox_tar, {"TZ": "UTC"}).build(first)
    other = fresh(tmp_path, "h2", busybox_tar, {"TZ": "Asia/Tokyo", "COOPER_FAKE_TIME": "2000000000", "LC_ALL": "C"}).build(second)
    assert one["containerimage.digest"] == other["containerimage.digest"]
    assert one["cooper.inputs"] == other["cooper.inputs"]


def test_warm_equals_cold(tmp_path, busybox_tar, context):
    """A result found in the cache, by way of other files, is what a cold build makes."""
    c = fresh(tmp_path, "h1", busybox_tar)
    ctx = context({"Dockerfile": "FROM busybox\nCOPY a /a\nRUN cat /a > /b; date > /dev/null\n", "a": "1"})
    c.build(ctx)
    (ctx / "a").write_text("2")
    c.build(ctx)
    (ctx / "a").write_text("1")
    warm = c.build(ctx)
    cold = fresh(tmp_path, "h2", busybox_tar).build(ctx)
    assert warm["containerimage.digest"] == cold["containerimage.digest"]


@pytest.fixture(scope="session")
def someone(tmp_path_factory):
    """A user without privileges but with subordinate ids, and a copy of the binary it may run."""
    if os.geteuid() != 0:
        pytest.skip("making a user needs root")
    name = "coopertest"
    made = subprocess.run(["id", name], capture_output=True).returncode != 0
    if made:
        subprocess.run(["useradd", "--create-home", name], check=True)
    if f"{name}:" not in pathlib.Path("/etc/subuid").read_text():
        subprocess.run(["usermod", "--add-subuids", "300000-365535", "--add-subgids", "300000-365535", name], check=True)
    top = pathlib.Path("/tmp/cooper-rootless-%d" % os.getpid())
    top.mkdir(mode=0o755)
    shutil.copy(BIN, top / "cooper")
    yield name, top
    subprocess.run(["runuser", "-u", name, "--", top / "cooper", "--version"], capture_output=True)
    shutil.rmtree(top, ignore_errors=True)
    if made:
        subprocess.run(["userdel", "--remove", name], capture_output=True)


def as_user(someone, args, **variables):
    name, top = someone
    env = {**os.environ, **variables, "COOPER_HOME": str(top / "home"), "HOME": str(top), "XDG_CONFIG_HOME": str(top / "none")}
    return subprocess.run([RUNUSER, "-u", name, "--", str(top / "cooper"), *map(str, args)], env=env, capture_output=True, text=True, timeout=300)


def test_rootless_equals_root(tmp_path, busybox_tar, someone):
    name, top = someone
    ctx = top / "ctx"
    ctx.mkdir()
    make_context(ctx, False)
    tar = top / "busybox.tar"
    shutil.copy(busybox_tar, tar)
    subprocess.run(["chown", "-R", name, top], check=True)
    run = as_user(someone, ["image", "import", tar, "--name", "busybox:latest"])
    assert run.returncode == 0, run.stderr
    run = as_user(someone, ["build", ctx, "--progress", "plain", "--metadata-file", top / "meta.json"])
    assert run.returncode == 0, run.stderr
    rootless = json.loads((top / "meta.json").read_text())
    root = fresh(tmp_path, "h", busybox_tar).build(ctx)
    assert rootless["containerimage.digest"] == root["containerimage.digest"]
    # what it left behind belongs to subordinate ids: its own gc can remove it
    run = as_user(someone, ["store", "verify"])
    assert run.returncode == 0, run.stderr
    run = as_user(someone, ["store", "gc", "--all"])
    assert run.returncode == 0, run.stderr


def test_one_id_leaves_full_ids_alone(tmp_path, busybox_tar, someone):
    """Without newuidmap there is one id: what is built with it is said to be another image, and used for no other build."""
    name, top = someone
    ctx = top / "one-id"
    ctx.mkdir()
    tar = ctx / "owned.tar"
    shutil.copy(busybox_tar, tar)
    with tarfile.open(tar, "a") as t:
        info = tarfile.TarInfo("owned")
        info.uid, info.gid, info.mtime = 1000, 1001, 1600000000
        t.addfile(info)
    (ctx / "Dockerfile").write_text("FROM owned\nRUN stat -c %u:%g /owned > /who\nCOPY --from=owned /owned /copied\n")
    subprocess.run(["chown", "-R", name, top], check=True)
    home = ["--home", top / "one-id-home"]

    def build(path, warned):
        run = as_user(someone, ["build", *home, ctx, "--progress", "plain", "--metadata-file", top / "meta.json", "-o", top / "out"], PATH=path)
        assert run.returncode == 0, run.stderr
        assert (run.stderr.count(f"--add-subgids 100000-165535 {name}") == 1) == warned, run.stderr
        return json.loads((top / "meta.json").read_text())["containerimage.digest"], (top / "out" / "who").read_text()

    few, full = str(top / "no-programs"), os.environ["PATH"]
    run = as_user(someone, ["image", "import", *home, tar, "--name", "owned"], PATH=few)
    assert run.returncode == 0, run.stderr
    squashed = build(few, True)
    assert squashed[1] == "0:0\n"
    whole = build(full, False)
    assert whole[1] == "1000:1001\n"
    assert build(few, True) == squashed
    run = as_user(someone, ["build", *home, ctx, "--twice", "--progress", "plain"], PATH=few)
    assert run.returncode == 0 and run.stderr.count("--add-subgids") == 1, run.stderr
    root = Cooper(tmp_path / "root")
    root("image", "import", tar, "--name", "owned")
    assert root.build(ctx)["containerimage.digest"] == whole[0]


def test_doctor_knows_which_ids_there_are(tmp_path, someone):
    name, top = someone

    def rows(*argv, **env):
        run = subprocess.run([*argv, top / "cooper", "doctor", "--json"], env={**os.environ, "COOPER_HOME": str(top / "doctor"), **env}, capture_output=True, text=True)
        shutil.rmtree(top / "doctor", ignore_errors=True)
        return {r["check"]: r for r in json.loads(run.stdout)}

    subprocess.run(["chown", "-R", name, top], check=True)
    full = rows(RUNUSER, "-u", name, "--")
    assert full["privilege"]["state"] == "ok" and "65537 ids" in full["privilege"]["detail"]
    few = rows(RUNUSER, "-u", name, "--", PATH=str(top / "no-programs"))
    assert few["privilege"]["state"] == "warn" and "1 id: files" in few["privilege"]["detail"]
    assert "uidmap" in few["newuidmap"]["fix"] and few["subuid"]["state"] == "ok"
    subprocess.run(["chown", "-R", "54321", top], check=True)
    none = rows("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
    assert none["privilege"]["state"] == "warn" and "usermod" in none["subuid"]["fix"] and "usermod" in none["subgid"]["fix"]


def test_source_date_epoch_is_honoured(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN touch /now; echo $SOURCE_DATE_EPOCH > /epoch\nCOPY f /f\n", "f": "x"})
    cooper.build(ctx, "-t", "a:1")
    files = cooper.files("a:1")
    assert files["now"].mtime == files["f"].mtime == 315619200
    cooper.build(ctx, "-t", "a:2", "--build-arg", "SOURCE_DATE_EPOCH=1700000000")
    files = cooper.files("a:2")
    assert files["now"].mtime == files["f"].mtime == 1700000000
    assert files["epoch"].data == b"1700000000\n"


def test_twice_says_what_differs(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 8 /dev/urandom > /random; ln -s $(cat /proc/sys/kernel/random/uuid) /link\nRUN true\n"})
    said = cooper("build", ctx, "--twice", "--progress", "plain", code=3)
    assert "RUN head -c 8" in said.out and "Dockerfile:2" in said.out
    assert "    M link: target\n" in said.out and "    M random: content\n" in said.out
    assert "not reproducible" in said.err
    ctx = context({"Dockerfile": "FROM busybox\nRUN echo same > /same\n"})
    assert "reproducible" in cooper("build", ctx, "--twice").out


def test_twice_shows_a_failing_step(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN exit 3\n"})
    said = cooper("build", ctx, "--twice", "--progress", "plain", code=1)
    assert "Dockerfile:2" in said.err and ">>> RUN exit 3" in said.err


@pytest.mark.parametrize("option", [["-t", "a:1"], ["-o", "out"], ["--push"], ["--metadata-file", "m"], ["--iidfile", "i"]])
def test_twice_delivers_nothing(cooper, context, option):
    said = cooper("build", context({"Dockerfile": "FROM busybox\n"}), "--twice", *option, code=2)
    assert "--twice and --" in said.err and "exclude each other" in said.err
