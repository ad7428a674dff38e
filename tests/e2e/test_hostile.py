# SPDX-License-Identifier: Apache-2.0
"""Nothing leaves its root: contexts, images and tars made to break out."""

import copy
import io
import os
import tarfile
import threading

import pytest

pytestmark = pytest.mark.sanitize


@pytest.fixture
def canary(tmp_path):
    place = tmp_path / "canary"
    place.mkdir()
    (place / "secret").write_text("do not read")
    before = sorted(os.listdir(place))
    yield place
    assert sorted(os.listdir(place)) == before
    assert (place / "secret").read_text() == "do not read"


def test_symlinks_out_of_the_context(cooper, context, canary):
    ctx = context({"Dockerfile": "FROM busybox\nCOPY . /all\n"})
    os.symlink(canary, ctx / "dir")
    os.symlink(canary / "secret", ctx / "file")
    os.symlink("../../../../../../../../" + str(canary) + "/secret", ctx / "up")
    cooper.build(ctx, "-t", "x:1")
    files = cooper.files("x:1")
    assert files["all/dir"].issym() and files["all/file"].issym()
    assert not any(f.data == b"do not read" for f in files.values())


@pytest.mark.parametrize("source", ["dir/secret", "file", "up", "../canary/secret", "a/../../canary/secret", "/../canary/secret"])
def test_sources_that_lead_out(cooper, context, canary, source):
    ctx = context({"Dockerfile": f"FROM busybox\nCOPY {source} /x\n", "a/b": ""})
    os.symlink(canary, ctx / "dir")
    os.symlink(canary / "secret", ctx / "file")
    os.symlink("../canary/secret", ctx / "up")
    r = cooper("build", ctx, "-t", "x:1", code=None)
    if r.code == 0:
        assert not any(f.data == b"do not read" for f in cooper.files("x:1").values())


def test_destinations_that_lead_out(cooper, context, canary):
    ctx = context(
        {
            "Dockerfile": f"FROM busybox\nRUN ln -s {canary} /way && ln -s /../../../..{canary}/new /file && mkdir -p /a && ln -s ../../../../..{canary} /a/up\n"
            "COPY f /way/\nCOPY f /file\nCOPY f /a/up/\nADD t.tar /way/\nWORKDIR /way/deep/er\nRUN echo x > here\n",
            "f": "data",
        }
    )
    with tarfile.open(ctx / "t.tar", "w") as tar:
        info = tarfile.TarInfo("from-tar")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"data"))
    cooper.build(ctx, "-t", "x:1")
    files = cooper.files("x:1")
    assert files[str(canary).strip("/") + "/f"].data == b"data"


def tar_with(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            if data is not None:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()


def member(name, kind=tarfile.REGTYPE, link="", data=None, mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info, data


EVIL = {
    "climb": [member("../../canary/new", data=b"x")],
    "absolute": [member("/../canary/new", data=b"x")],
    "through-link": [member("l", tarfile.SYMTYPE, "CANARY"), member("l/new", data=b"x")],
    "through-relative-link": [member("l", tarfile.SYMTYPE, "../../../../../../..CANARY"), member("l/new", data=b"x")],
    "hardlink-out": [member("h", tarfile.LNKTYPE, "../../../../../../..CANARY/secret"), member("h", data=b"x")],
    "hardlink-through-link": [member("l", tarfile.SYMTYPE, "CANARY"), member("h", tarfile.LNKTYPE, "l/secret")],
    "dot-dot": [member("..", tarfile.DIRTYPE, mode=0o777)],
    "whiteout-climb": [member("a/.wh...", data=b"")],
    "whiteout-through-link": [member("l", tarfile.SYMTYPE, "CANARY"), member("l/.wh.secret", data=b"")],
}


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("way", ["import", "add"])
def test_hostile_tars(cooper, context, canary, name, way):
    members = []
    for info, data in EVIL[name]:
        info = copy.copy(info)
        info.linkname = info.linkname.replace("CANARY", str(canary))
        members.append((info, data))
    data = tar_with(members)
    ctx = context({"Dockerfile": "FROM busybox\nADD evil.tar /x/\n", "evil.tar": data})
    if way == "add":
        r = cooper("build", ctx, "-t", "evil:1", code=None)
    else:
        r = cooper("image", "import", ctx / "evil.tar", "--name", "evil:1", code=None)
        if r.code == 0:
            use = context({"Dockerfile": "FROM evil:1\nCOPY f /f\n", "f": ""}, "use")
            r = cooper("build", use, "-t", "evil:2", "-o", ctx / "out", code=None)
    assert r.code in (0, 1), r
    assert "Segmentation" not in r.err


def test_a_tar_that_claims_terabytes(cooper, context):
    info = tarfile.TarInfo("huge-claim")
    info.size = 10 << 40
    ctx = context({"Dockerfile": "FROM scratch\nADD big.tar /\n", "big.tar": info.tobuf(tarfile.PAX_FORMAT) + b"\0" * 4096})
    r = cooper("build", ctx, code=1)
    assert "huge-claim" in r.err


def test_links_swapped_during_a_copy(cooper, context, canary, tmp_path):
    """A directory that turns into a link to the canary and back, again and again."""
    ctx = context({"Dockerfile": "FROM busybox\nCOPY d /d\n", **{f"d/{i}/secret": "mine" for i in range(50)}})
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for i in range(0, 50, 7):
                with_link, real = ctx / "d" / str(i), ctx / f"hidden{i}"
                try:
                    os.rename(with_link, real)
                    os.symlink(canary, with_link)
                    os.unlink(with_link)
                    os.rename(real, with_link)
                except OSError:
                    pass

    t = threading.Thread(target=swap)
    t.start()
    try:
        for i in range(12):
            r = cooper("build", ctx, "--no-cache", "-t", f"race:{i}", code=None)
            if r.code == 0:
                assert not any(f.data == b"do not read" for f in cooper.files(f"race:{i}").values())
    finally:
        stop.set()
        t.join()


@pytest.mark.parametrize(
    "text",
    ["", "\n\n# only\n", "FROM\n", "\x00\x01\x02", "FROM " + "a" * 70000, "FROM busybox\nRUN <<EOF\nnever ends\n", "FROM a\nFROM b\nCOPY --from=7 x y\n", "ONBUILD ONBUILD RUN x\n",
     "FROM busybox\nENV A=${A\n", "FROM busybox AS x\nCOPY --from=x a b\n", "\ufeffFROM", "FROM busybox\n" + "ARG A=${A}${A}\n" * 60 + "RUN $A\n", "#escape=x\nFROM a\n"],
)
def test_broken_dockerfiles_are_refused_cleanly(cooper, context, text):
    ctx = context({"Dockerfile": text})
    r = cooper("build", ctx, "--offline", code=None)
    assert r.code in (0, 1) and (r.code == 0 or "Dockerfile" in r.err), r


def test_insecure_steps_need_consent(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status > /caps\n"})
    refused = cooper("build", ctx, code=1)
    assert "Dockerfile:2:5: RUN --security=insecure" in refused.err and "--allow security.insecure" in refused.err
    cooper.build(ctx, "--allow", "security.insecure", "-t", "demo/insecure:1")
    open_caps = int(cooper.files("demo/insecure:1")["caps"].data.split()[1], 16)
    assert open_caps & (1 << 21), "CAP_SYS_ADMIN"
    cooper("build", ctx, code=1)  # that it is cached is no consent
    assert '--allow takes security.insecure, not "everything"' in cooper("build", ctx, "--allow", "everything", code=2).err


def test_insecure_triggers_of_a_base_need_consent(cooper, context):
    base = context({"Dockerfile": "FROM busybox\nONBUILD RUN --security=insecure true\n"}, name="base")
    cooper.build(base, "-t", "demo/trigger:1")
    ctx = context({"Dockerfile": "FROM demo/trigger:1\n"})
    refused = cooper("build", ctx, code=1)
    assert "Dockerfile:1:6: ONBUILD trigger of" in refused.err and "--allow security.insecure" in refused.err
    cooper.build(ctx, "--allow", "security.insecure")
