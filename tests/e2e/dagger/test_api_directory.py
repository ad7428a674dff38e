# SPDX-License-Identifier: Apache-2.0
"""Directories and files as values, without any container; and written to the host."""

import json
import os
import stat

import pytest

import peers


def test_an_empty_directory(sdk):
    assert sdk("""return await dag.directory().entries()""") == []


def test_entries(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("b", "").with_new_file("a/c", "").with_new_file("a/d/e", "").with_symlink("b", "l")
        return await d.entries(), await d.entries(path="a"), await d.directory("a").directory("d").entries(), await d.directory("a/d").entries()
        """
    )
    assert out == [["a/", "b", "l"], ["c", "d/"], ["e"], ["e"]]


def test_names(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("some/dir/f.txt", "")
        return await d.directory("some/dir").name(), await d.file("some/dir/f.txt").name(), await d.directory("some").file("dir/f.txt").name()
        """
    )
    assert out == ["dir/", "f.txt", "f.txt"]


@pytest.mark.parametrize("call", ['directory("none").entries()', 'file("none").contents()', 'entries(path="none")', 'stat("none").size()'])
def test_what_is_not_there(sdk, call):
    failure = sdk.fails(f"""return await dag.directory().with_new_file("x", "").{call}""")
    assert failure.kind == "query" and failure.says("none: no such file or directory") or failure.says("none: opening /none: no such file or directory"), failure


def test_a_directory_is_no_file(sdk):
    failure = sdk.fails("""return await dag.directory().with_new_file("d/x", "").file("d").contents()""")
    assert failure.says("is a directory") or failure.says("not a regular file"), failure
    failure = sdk.fails("""return await dag.directory().with_new_file("f", "").directory("f").entries()""")
    assert failure.says("not a directory"), failure


@pytest.mark.parametrize("call", ['with_new_file("../out", "x").entries()', 'file("../../etc/passwd").contents()', 'directory("..").entries()', 'with_new_directory("a/../../b").entries()'])
def test_nothing_leaves_a_directory(sdk, call):
    failure = sdk.fails(f"""return await dag.directory().with_new_file("inside/x", "").directory("inside").{call}""")
    assert failure.kind == "query", failure


def test_links_do_not_lead_out(sdk, host_files):
    secret = host_files({"secret": "of the host"})
    failure = sdk.fails("""return await dag.directory().with_symlink(path, "l").file("l").contents()""", path=str(secret / "secret"))
    assert "of the host" not in failure.message and failure.says("no such file"), failure


def test_modes_of_new_things(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("p/f", "").with_new_file("x", "", permissions=0o741).with_new_directory("d").with_new_directory("e", permissions=0o750)
        return await gather(*[d.stat(p).permissions() for p in ["p", "p/f", "x", "d", "e"]])
        """
    )
    assert out == [0o755, 0o644, 0o741, 0o644, 0o750]


def test_union(sdk):
    out = sdk(
        """
        a = dag.directory().with_new_file("both", "a").with_new_file("a", "").with_new_file("sub/a", "")
        b = dag.directory().with_new_file("both", "b").with_new_file("b", "").with_new_file("sub/b", "")
        d = a.with_directory(".", b)
        return await d.glob("**"), await d.file("both").contents(), await a.file("both").contents()
        """
    )
    assert sorted(out[0]) == ["a", "b", "both", "sub/", "sub/a", "sub/b"] and out[1:] == ["b", "a"]


def test_a_directory_below_another(sdk):
    out = sdk("""return await dag.directory().with_directory("ui/build", dag.directory().with_new_file("index", "")).glob("**")""")
    assert sorted(out) == ["ui/", "ui/build/", "ui/build/index"]


def test_with_file_and_files(sdk):
    out = sdk(
        """
        f = dag.file("n.txt", "x", permissions=0o600)
        d = dag.directory().with_file("a/b", f).with_file("c/", f, permissions=0o444).with_files("many", [f, dag.file("o.txt", "")], permissions=0o640)
        # One after the other: the TypeScript client keeps the ids it found in the list of the call, and loses its way when it looks for them twice at once.
        modes = [await d.stat(p).permissions() for p in ["a/b", "c/n.txt", "many/n.txt", "many/o.txt"]]
        return await d.glob("**"), modes
        """
    )
    assert sorted(out[0]) == ["a/", "a/b", "c/", "c/n.txt", "many/", "many/n.txt", "many/o.txt"]
    assert out[1] == [0o600, 0o444, 0o640, 0o640]


def test_without(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("a", "").with_new_file("b", "").with_new_file("c", "").with_new_file("d/e", "").with_new_file("k", "")
        return await d.without_file("a").without_files(["b", "c"]).without_directory("d").entries(), await d.entries()
        """
    )
    assert out == [["k"], ["a", "b", "c", "d/", "k"]]


GLOBS = {"*": ["a.go", "b.md", "sub/"], "*.go": ["a.go"], "**/*.go": ["a.go", "sub/c.go", "sub/deep/d.go"], "sub/*": ["sub/c.go", "sub/deep/"], "none*": []}


@pytest.mark.parametrize("pattern", GLOBS)
def test_glob(sdk, pattern):
    out = sdk(
        """
        d = dag.directory().with_new_file("a.go", "").with_new_file("b.md", "").with_new_file("sub/c.go", "").with_new_file("sub/deep/d.go", "")
        return await d.glob(pattern)
        """,
        pattern=pattern,
    )
    assert sorted(out) == GLOBS[pattern]


def test_diff(sdk):
    out = sdk(
        """
        a = dag.directory().with_new_file("same", "1").with_new_file("changed", "old").with_new_file("gone", "")
        b = dag.directory().with_new_file("same", "1").with_new_file("changed", "new").with_new_file("added/x", "")
        d = a.diff(b)
        return await d.glob("**"), await d.file("changed").contents(), await a.diff(a).entries()
        """
    )
    assert sorted(out[0]) == ["added/", "added/x", "changed"] and out[1:] == ["new", []]


def test_find_up(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("go.mod", "").with_new_file("a/b/c/x", "").with_new_file("a/go.sum", "")
        return await d.find_up("go.mod", "a/b/c"), await d.find_up("go.sum", "a/b"), await d.find_up("none", "a/b")
        """
    )
    assert [p and p.removeprefix("/").removeprefix("./") for p in out] == ["go.mod", "a/go.sum", None]


def test_exists_and_stat(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("d/f", "123").with_symlink("d/f", "l")
        return await gather(d.exists("d/f"), d.exists("no"), d.exists("d", expected_type=dagger.ExistsType.REGULAR_TYPE),
            d.exists("l", expected_type=dagger.ExistsType.SYMLINK_TYPE, do_not_follow_symlinks=True), d.stat("d/f").size(), d.stat("d").file_type(), d.stat("l").file_type())
        """
    )
    assert out == [True, False, False, True, 3, "DIRECTORY", "REGULAR"]


def test_digests_follow_the_contents(sdk):
    out = sdk(
        """
        a = dag.directory().with_new_file("x", "1").with_new_file("y", "2")
        b = dag.directory().with_new_file("y", "2").with_new_file("x", "1")
        c = a.with_new_file("x", "3")
        return await gather(a.digest(), b.digest(), c.digest(), c.with_new_file("x", "1").digest())
        """
    )
    assert out[0] == out[1] == out[3] and out[2] != out[0] and ":" in out[0], out


def test_timestamps(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("a/b", "").with_timestamps(1672531199)
        f = dag.file("f", "").with_timestamps(86400)
        c = box().with_mounted_directory("/d", d).with_mounted_file("/f", f)
        return await c.with_exec(["stat", "-c", "%Y", "/d/a", "/d/a/b", "/f"]).stdout()
        """
    )
    assert out == "1672531199\n1672531199\n86400\n"


def test_long_names(sdk):
    assert sdk("""return len((await dag.directory().with_new_file(name, "").entries())[0])""", name="n" * 255) == 255
    failure = sdk.fails("""return await dag.directory().with_new_file(name, "").entries()""", name="n" * 256)
    assert "long" in failure.message, failure


def test_with_error(sdk):
    failure = sdk.fails("""return await dag.directory().with_error("no such luck").entries()""")
    assert "no such luck" in failure.message, failure
    assert sdk("""return await dag.directory().with_error("").entries()""") == []


def test_sync(sdk):
    out = sdk(
        """
        d = await dag.directory().with_new_file("a", "1").sync()
        f = await d.file("a").sync()
        return await d.entries(), await f.contents()
        """
    )
    assert out == [["a"], "1"]


def test_export_of_a_directory(sdk, tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "stays").write_text("here")
    out = sdk(
        """
        d = dag.directory().with_new_file("bin/x", "#!", permissions=0o750).with_symlink("bin/x", "l").with_new_file("stays", "replaced")
        return await d.export(path), await d.without_file("stays").export(path)
        """,
        path=str(target),
    )
    assert out == [str(target)] * 2
    assert (target / "bin/x").read_text() == "#!" and stat.S_IMODE((target / "bin/x").stat().st_mode) == 0o750
    assert os.readlink(target / "l") == "bin/x" and (target / "stays").read_text() == "replaced"


def test_export_that_wipes(sdk, tmp_path):
    target = tmp_path / "out"
    (target / "old").mkdir(parents=True)
    sdk("""return await dag.directory().with_new_file("new", "").export(path, wipe=True)""", path=str(target))
    assert os.listdir(target) == ["new"]


def test_export_to_a_relative_path(sdk, world, nonce):
    sdk("""return await dag.directory().with_new_file("f", "rel").export(f"out/{nonce}")""", nonce=nonce)
    assert (world.work / "out" / nonce / "f").read_text() == "rel"


def test_export_of_a_file(sdk, tmp_path):
    out = sdk(
        """
        f = dag.file("name", "data", permissions=0o755)
        return await f.export(f"{top}/deep/file"), await f.export(top, allow_parent_dir_path=True)
        """,
        top=str(tmp_path),
    )
    assert out[0] == f"{tmp_path}/deep/file"
    assert (tmp_path / "deep/file").read_text() == "data" and os.access(tmp_path / "deep/file", os.X_OK)
    assert (tmp_path / "name").read_text() == "data"
    failure = sdk.fails("""return await dag.file("name", "x").export(top)""", top=str(tmp_path))
    assert "directory" in failure.message, failure


def test_a_file(sdk):
    out = sdk(
        """
        f = dag.file("n.txt", "\\u20acuro\\n", permissions=0o640)
        return await f.name(), await f.contents(), await f.size(), await f.stat().permissions(), await f.stat().file_type(), await f.with_name("m").name()
        """
    )
    assert out == ["n.txt", "€uro\n", 7, 0o640, "REGULAR", "m"]


def test_lines_of_a_file(sdk):
    out = sdk(
        """
        f = dag.file("f", "1\\n2\\n3\\n4\\n5")
        return await gather(f.contents(limit_lines=2), f.contents(offset_lines=3), f.contents(offset_lines=1, limit_lines=2), f.contents(offset_lines=9))
        """
    )
    assert [text.rstrip("\n") for text in out] == ["1\n2", "4\n5", "2\n3", ""]


def test_replace(sdk):
    out = sdk(
        """
        f = dag.file("f", "one two\\ntwo three\\ntwo")
        return await gather(f.with_replaced("one", "1").contents(), f.with_replaced("two", "2", all=True).contents(), f.with_replaced("two", "2", first_from=2).contents())
        """
    )
    assert out == ["1 two\ntwo three\ntwo", "one 2\n2 three\n2", "one two\n2 three\ntwo"]


def test_replace_what_is_not_clear(sdk):
    assert sdk.fails("""return await dag.file("f", "a a").with_replaced("a", "b").contents()""").kind == "query"
    assert sdk.fails("""return await dag.file("f", "a a").with_replaced("x", "b").contents()""").kind == "query"


def test_digest_of_a_file(sdk):
    out = sdk(
        """
        a = dag.file("a", "same", permissions=0o600)
        b = dag.file("b", "same", permissions=0o644)
        c = dag.file("a", "other", permissions=0o600)
        return await gather(a.digest(exclude_metadata=True), b.digest(exclude_metadata=True), c.digest(exclude_metadata=True), a.digest(), b.digest())
        """
    )
    assert out[0] == out[1] != out[2] and out[3] != out[4], out


def test_json(sdk):
    out = sdk("""return await dag.file("x.json", text).as_json().contents()""", text='{"b": [1, 2.5, null], "a": "\\u20ac"}')
    assert json.loads(out) == {"b": [1, 2.5, None], "a": "€"}


def test_text_that_graphql_must_quote(sdk):
    text = "".join(chr(c) for c in range(1, 128)) + "\u2028\u00e9\U0001f433 \\n \\u0041 ${A} \"\"\" #"
    out = sdk("""f = dag.file("f", text)\nreturn await f.contents(), await f.size()""", text=text)
    assert out == [text, len(text.encode())]


def test_as_git(sdk, repository):
    out = sdk(
        """
        r = dag.host().directory(path).as_git()
        return await r.head().commit(), await r.tag("v1.0.0").tree(discard_git_dir=True).entries(), await r.branch("side").commit()
        """,
        path=str(repository.work),
    )
    head = peers.git(repository.work, "rev-parse", "HEAD")
    assert out == [head, ["README", "run.sh"], repository.side]
