# SPDX-License-Identifier: Apache-2.0
"""OCI image layouts in directories: added to, read by name and by digest, as skopeo does, and never left in pieces."""

import hashlib
import io
import json
import os
import pathlib
import signal
import subprocess
import tarfile

import pytest

from conftest import BIN
from hostile_registry import INDEX, hostile_registry


def run(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-3000:])
    return done.stdout


def root_of(path, text):
    with tarfile.open(path, "w") as tar:
        for name, data in (("etc/os-release", b"ID=x\n"), ("bin/sh", b"#!\n"), ("usr/lib/text", text.encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


@pytest.fixture
def images(bare, tmp_path):
    """The store's images a:1, b:1 and c:1 -> their digests."""
    digests = {}
    for name in "abc":
        root_of(tmp_path / f"{name}.tar", name * 50_000)
        bare("image", "import", tmp_path / f"{name}.tar", "--name", f"{name}:1")
        digests[name] = json.loads(bare("image", "inspect", f"{name}:1").out)["digest"]
    return digests


def entries(layout):
    """What index.json lists: name -> digest."""
    index = json.loads((layout / "index.json").read_text())
    return {e.get("annotations", {}).get("org.opencontainers.image.ref.name"): e["digest"] for e in index["manifests"]}


def tidy(layout):
    assert sorted(os.listdir(layout)) == ["blobs", "index.json", "oci-layout"]
    return True


@pytest.mark.sanitize
def test_added_to_by_both(bare, images, tmp_path):
    layout = tmp_path / "layout"
    bare("image", "copy", "store:a:1", f"oci:{layout}:a")
    bare("image", "copy", "store:b:1", f"oci-archive:{tmp_path}/b.tar")
    run("skopeo", "copy", f"oci-archive:{tmp_path}/b.tar", f"oci:{layout}:b")
    bare("image", "copy", "store:c:1", f"oci:{layout}:registry.example/team/c:1.0")
    assert entries(layout) == {"a": images["a"], "b": images["b"], "registry.example/team/c:1.0": images["c"]} and tidy(layout)
    for name, digest in entries(layout).items():
        assert json.loads(run("skopeo", "inspect", f"oci:{layout}:{name}"))["Digest"] == digest
        bare("image", "copy", f"oci:{layout}:{name}", "store:got:1")
        assert json.loads(bare("image", "inspect", "got:1").out)["digest"] == digest
        bare("image", "copy", f"oci:{layout}@{digest}", "store:got:2")
        assert json.loads(bare("image", "inspect", "got:2").out)["digest"] == digest


def test_a_name_stands_for_one(bare, images, tmp_path):
    layout = tmp_path / "layout"
    for name in "ab":
        bare("image", "copy", f"store:{name}:1", f"oci:{layout}:x")
    assert entries(layout) == {"x": images["b"]}
    before = (layout / "index.json").read_bytes()
    bare("image", "copy", "store:b:1", f"oci:{layout}:x")
    assert (layout / "index.json").read_bytes() == before
    # A second name, and none: listed once.
    bare("image", "copy", "store:b:1", f"oci:{layout}:y")
    bare("image", "copy", "store:b:1", f"oci:{layout}")
    assert entries(layout) == {"x": images["b"], "y": images["b"]}
    assert len(json.loads((layout / "index.json").read_text())["manifests"]) == 2


def test_what_others_wrote_stays(bare, images, tmp_path):
    layout = tmp_path / "layout"
    bare("image", "copy", "store:a:1", f"oci:{layout}:a")
    index = json.loads((layout / "index.json").read_text())
    index["annotations"] = {"example.org/of-the-index": "1"}
    index["example.org/unknown"] = [1, {"x": None}]
    index["manifests"][0]["example.org/field"] = {"deep": [True]}
    index["manifests"].append({"mediaType": "application/x.odd", "digest": "sha256:" + "0" * 64, "size": 3, "annotations": {"org.opencontainers.image.ref.name": "odd"}})
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "notes.txt").write_text("mine")
    blob = layout / "blobs" / "sha256" / images["a"][7:]
    kept = blob.stat()
    bare("image", "copy", "store:b:1", f"oci:{layout}:b")
    after = json.loads((layout / "index.json").read_text())
    assert after["manifests"][:2] == index["manifests"] and entries(layout)["b"] == images["b"]
    assert {k: v for k, v in after.items() if k != "manifests"} == {k: v for k, v in index.items() if k != "manifests"}
    assert (blob.stat().st_ino, blob.stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns) and (layout / "notes.txt").read_text() == "mine"


@pytest.mark.sanitize
def test_which_image_is_meant(bare, images, tmp_path):
    layout = tmp_path / "layout"
    for name in "ab":
        bare("image", "copy", f"store:{name}:1", f"oci:{layout}:{name}")
    several = bare("image", "copy", f"oci:{layout}", "store:got:1", code=1).err
    assert "holds several images" in several and "a, b" in several and "oci:DIR:NAME" in several
    for which in (":none", f"@{images['c']}"):
        absent = bare("image", "copy", f"oci:{layout}{which}", "store:got:1", code=1).err
        assert f"holds no image {which[1:]}" in absent and "it holds a, b" in absent
    assert "got" not in bare("image", "ls").out
    assert "not put at a digest" in bare("image", "copy", "store:a:1", f"oci:{layout}@{images['a']}", code=2).err
    assert "cannot be the name" in bare("image", "copy", "store:a:1", f"oci:{layout}:a b", code=1).err
    assert entries(layout) == {"a": images["a"], "b": images["b"]} and tidy(layout)


def test_what_is_no_layout_is_left_alone(bare, images, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("x")
    refused = bare("image", "copy", "store:a:1", f"oci:{other}:a", code=1).err
    assert str(other) in refused and "holds no OCI image layout" in refused
    assert os.listdir(other) == ["file"]
    for index, says in (("", "is empty"), ("[]", "not an object"), ('{"schemaVersion":2,"manifests":5}', "is not a list"), ('{"schemaVersion":1}', "schema version 2"), ("{" * 9999, "index.json")):
        (other / "index.json").write_text(index)
        assert says in bare("image", "copy", "store:a:1", f"oci:{other}:a", code=1).err
        assert (other / "index.json").read_text() == index and sorted(os.listdir(other)) == ["file", "index.json"]
    (other / "index.json").unlink()
    (other / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')
    assert "not a layout of version 1" in bare("image", "copy", "store:a:1", f"oci:{other}:a", code=1).err


@pytest.mark.parametrize("link", ["blobs", "blobs/sha256", "index.json"])
def test_links_are_not_followed_out_of_it(bare, images, tmp_path, link):
    layout, outside = tmp_path / "layout", tmp_path / "outside"
    bare("image", "copy", "store:a:1", f"oci:{layout}:a")
    os.rename(layout / link, outside)
    (layout / link).symlink_to(outside)
    before = sorted(p.name for p in outside.rglob("*")) if outside.is_dir() else outside.read_bytes()
    done = bare("image", "copy", "store:b:1", f"oci:{layout}:b", code=None)
    assert done.code == 1 and pathlib.Path(link).name in done.err, done
    assert before == (sorted(p.name for p in outside.rglob("*")) if outside.is_dir() else outside.read_bytes())


def test_several_at_once(bare, images, tmp_path):
    layout = tmp_path / "layout"
    for i in range(4):
        wanted = {f"{name}{i}": name for name in "abc"}
        started = [bare.start("image", "copy", f"store:{name}:1", f"oci:{layout}:{ref}") for ref, name in wanted.items()]
        ended = [(p, p.communicate(timeout=60)) for p in started]
        assert all(p.returncode == 0 for p, _ in ended), ended
    assert entries(layout) == {f"{name}{i}": images[name] for name in "abc" for i in range(4)} and tidy(layout)


def test_killed(bare, images, tmp_path):
    """At each of its syncs: what was there is there, and the next copy leaves nothing behind."""
    layout = tmp_path / "layout"
    bare("image", "copy", "store:a:1", f"oci:{layout}:a")
    for n in range(1, 30):
        done = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", f"inject=fsync:signal=KILL:when={n}", BIN, "image", "copy", "store:b:1", f"oci:{layout}:b{n}"],
            env=bare.env, capture_output=True, text=True, timeout=60,
        )
        assert done.returncode in (0, -signal.SIGKILL), done
        assert json.loads(run("skopeo", "inspect", f"oci:{layout}:a"))["Digest"] == images["a"]
        if done.returncode == 0:
            break
        for path in (layout / "blobs" / "sha256").iterdir():
            assert path.stat().st_size > 0
    assert 4 < n < 29, done
    bare("image", "copy", "store:c:1", f"oci:{layout}:c")
    assert tidy(layout) and entries(layout)["c"] == images["c"] and entries(layout)[f"b{n}"] == images["b"]
    for name, digest in entries(layout).items():
        bare("image", "copy", f"oci:{layout}:{name}", "store:got:1")
        assert json.loads(bare("image", "inspect", "got:1").out)["digest"] == digest


def test_the_first_copy_is_killed(bare, images, tmp_path):
    for n in range(1, 30):
        layout = tmp_path / f"layout{n}"
        done = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", f"inject=fsync:signal=KILL:when={n}", BIN, "image", "copy", "store:b:1", f"oci:{layout}:b"],
            env=bare.env, capture_output=True, text=True, timeout=60,
        )
        assert done.returncode in (0, -signal.SIGKILL), done
        if done.returncode == 0:
            break
        bare("image", "copy", "store:c:1", f"oci:{layout}:c")
        assert tidy(layout) and entries(layout)["c"] == images["c"]
    assert 4 < n < 29, done


def test_an_image_within_an_index(bare, images, tmp_path):
    layout = tmp_path / "layout"
    for name in "ab":
        bare("image", "copy", f"store:{name}:1", f"oci:{layout}:{name}")
    nest(layout, 1, 2)
    bare("image", "copy", f"oci:{layout}@{images['a']}", "store:got:1")
    assert json.loads(bare("image", "inspect", "got:1").out)["digest"] == images["a"]


def nest(layout, levels, width):
    """The entries of index.json are those of an index now, that of another one, so many times each."""
    index = json.loads((layout / "index.json").read_text())
    for level in range(levels):
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": index["manifests"]}).encode()
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(data)
        entry = {"mediaType": INDEX, "digest": "sha256:" + digest, "size": len(data)}
        index["manifests"] = [{**entry, "annotations": {"n": f"{level}.{n}"}} for n in range(width)]
    index["manifests"] = index["manifests"][:1]
    (layout / "index.json").write_text(json.dumps(index))


def test_indexes_that_list_one_another_many_times(bare, images, tmp_path):
    """Each is looked at once: 300 * 300 * 300 looks would take hours."""
    layout = tmp_path / "layout"
    bare("image", "copy", "store:a:1", f"oci:{layout}")
    nest(layout, 4, 300)
    for place in (f"oci:{tmp_path}/out:x", f"oci-archive:{tmp_path}/out.tar", "store:got:1"):
        bare("image", "copy", "--all", f"oci:{layout}", place, timeout=60)
    nest(layout, 4, 2)
    assert "nested deeper" in bare("image", "copy", "--all", f"oci:{layout}", f"oci:{tmp_path}/deep:x", code=1).err


def test_referrers_of_the_image_that_is_meant(bare, tmp_path):
    layout, out = tmp_path / "layout", tmp_path / "out"
    with hostile_registry() as reg:
        about = {}
        for name in ("a", "b"):
            image = reg.put_image("x/y", name, [name.encode()])
            signature = reg.put_image("x/y", layers=[b"signature of " + name.encode()], subject=image)
            about[image["digest"]] = {**signature, "artifactType": "application/x.sig"}

        def referrers(h):
            found = about.get(h.path.rpartition("/")[2])
            body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [found] if found else []}).encode()
            return "/referrers/" in h.path and h.answer(200, {"Content-Type": INDEX}, body)

        reg.rules.append(referrers)
        for name in ("a", "b"):
            bare("image", "copy", "--referrers", f"docker://{reg.host}/x/y:{name}", f"oci:{layout}:{name}")
    assert len(json.loads((layout / "index.json").read_text())["manifests"]) == 4
    done = bare("image", "copy", "--referrers", f"oci:{layout}:b", f"oci:{out}:b")
    assert "copied 1 attached" in done.out
    listed = {e["digest"] for e in json.loads((out / "index.json").read_text())["manifests"]}
    assert listed == {entries(layout)["b"], about[entries(layout)["b"]]["digest"]}


def test_where_nothing_can_be_exchanged(bare, tmp_path):
    """File systems without renameat2's flags: what a build writes takes the place of what was there all the same."""
    context = tmp_path / "context"
    context.mkdir()
    digests = []
    for text in ("one", "two"):
        (context / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")
        (context / "file").write_text(text)
        run(
            "env", f"COOPER_HOME={bare.home}", "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2", "-e", "inject=renameat2:error=EINVAL",
            BIN, "build", context, "-o", f"type=oci,tar=false,dest={tmp_path}/out",
        )
        digests += [e["digest"] for e in json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]]
    assert len(set(digests)) == 2 and sorted(os.listdir(tmp_path)) == ["context", "home", "out"]


def test_a_damaged_blob_of_a_layout(bare, images, tmp_path):
    layout = tmp_path / "layout"
    bare("image", "copy", "store:a:1", f"oci:{layout}:a")
    other = type(bare)(tmp_path / "other" / "home")
    largest = max((layout / "blobs" / "sha256").iterdir(), key=lambda p: p.stat().st_size)
    whole = largest.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + b"\x00", b""):
        pathlib.Path(largest).write_bytes(damaged)
        assert largest.name[:12] in other("image", "copy", f"oci:{layout}:a", "store:got:1", code=1).err
    assert "got" not in other("image", "ls").out
