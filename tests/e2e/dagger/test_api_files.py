# SPDX-License-Identifier: Apache-2.0
"""Files put into containers and read out of them."""

import pytest



def test_new_file(sdk):
    out = sdk(
        """
        c = box().with_new_file("/a/b/c.txt", "text \\u20ac\\n").with_new_file("/x", "x", permissions=0o4755)
        return await c.file("/a/b/c.txt").contents(), await c.with_exec(["stat", "-c", "%a %u:%g", "/a", "/a/b", "/a/b/c.txt", "/x"]).stdout()
        """
    )
    assert out == ["text €\n", "755 0:0\n755 0:0\n644 0:0\n4755 0:0\n"]


def test_paths_are_relative_to_the_workdir(sdk):
    out = sdk(
        """
        c = box().with_workdir("/w/d").with_new_file("f", "1").with_new_file("../g", "2")
        return await c.file("/w/d/f").contents(), await c.file("f").contents(), await c.file("/w/g").contents(), await c.directory("..").entries()
        """
    )
    assert out == ["1", "1", "2", ["d/", "g"]]


def test_with_file(sdk):
    out = sdk(
        """
        f = dag.directory().with_new_file("tool", "#!/bin/sh\\necho ran\\n", permissions=0o700).file("tool")
        c = box().with_file("/usr/bin/tool", f, permissions=0o555).with_file("/opt/same", f)
        return await c.with_exec(["tool"]).stdout(), await c.with_exec(["stat", "-c", "%a", "/usr/bin/tool", "/opt/same"]).stdout()
        """
    )
    assert out == ["ran\n", "555\n700\n"]


def test_with_file_into_a_directory_keeps_the_name(sdk):
    out = sdk(
        """
        f = dag.file("name.txt", "x")
        return await box().with_file("/new/", f).directory("/new").entries(), await box().with_file("/tmp", f).directory("/tmp").entries()
        """
    )
    assert out == [["name.txt"], ["name.txt"]]


def test_with_files(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("a", "1").with_new_file("sub/b", "2")
        c = box().with_files("/in", [d.file("a"), d.file("sub/b")], permissions=0o600, owner="app:app")
        return await c.directory("/in").entries(), await c.with_exec(["stat", "-c", "%a %u:%g", "/in/a", "/in/b"]).stdout()
        """
    )
    assert out == [["a", "b"], "600 1000:1001\n600 1000:1001\n"]


def test_a_file_on_a_symlinked_path(sdk):
    out = sdk(
        """
        c = box().with_new_file("/real/x", "").with_symlink("/real", "/link").with_symlink("../real", "/etc/rel")
        c = c.with_new_file("/link/a", "1").with_new_file("/etc/rel/b", "2")
        return await c.directory("/real").entries(), await c.file("/link/b").contents()
        """
    )
    assert out == [["a", "b", "x"], "2"]


def test_symlinks_stay_inside(sdk):
    out = sdk(
        """
        c = box().with_symlink("../../../../../etc", "/up").with_new_file("/up/inside", "x")
        return await c.file("/etc/inside").contents()
        """
    )
    assert out == "x"


def test_symlink(sdk):
    out = sdk(
        """
        c = box().with_new_file("/t", "target").with_symlink("/t", "/s").with_workdir("/w").with_symlink("nowhere", "dangling")
        return await c.with_exec(["readlink", "/s"]).stdout(), await c.file("/s").contents(), await c.with_exec(["readlink", "/w/dangling"]).stdout()
        """
    )
    assert out == ["/t\n", "target", "nowhere\n"]


def test_expand_in_paths(sdk):
    out = sdk(
        """
        c = box().with_env_variable("V", "vv").with_new_file("/d/$V/f", "1", expand=True).with_new_file("/d/$V", "2")
        return await c.directory("/d").entries(), await c.file("/d/${V}/f", expand=True).contents(), await c.directory("/d/$V", expand=True).entries()
        """
    )
    assert sorted(out[0]) == ["$V", "vv/"] and out[1:] == ["1", ["f"]], out


def test_without(sdk):
    out = sdk(
        """
        c = box().with_new_file("/d/a", "").with_new_file("/d/b", "").with_new_file("/d/c", "").with_new_file("/d/e/f", "").with_new_file("/d/k", "")
        c = c.without_file("/d/a").without_files(["/d/b", "/d/c"]).without_directory("/d/e").without_file("/d/not-there")
        return await c.directory("/d").entries(), await c.with_exec(["ls", "/d"]).stdout()
        """
    )
    assert out == [["k"], "k\n"]


def test_without_and_again(sdk):
    out = sdk("""c = box().with_new_file("/d/old", "1").without_directory("/d").with_new_file("/d/new", "2")\nreturn await c.directory("/d").entries()""")
    assert out == ["new"]


def test_exists(sdk):
    out = sdk(
        """
        c = box().with_new_file("/d/f", "").with_symlink("/d/f", "/good").with_symlink("/none", "/bad")
        file = dagger.ExistsType.REGULAR_TYPE
        folder = dagger.ExistsType.DIRECTORY_TYPE
        link = dagger.ExistsType.SYMLINK_TYPE
        return await gather(
            c.exists("/d/f"), c.exists("/d/none"), c.exists("/d"), c.exists("/d", expected_type=folder), c.exists("/d", expected_type=file),
            c.exists("/good"), c.exists("/bad"), c.exists("/bad", do_not_follow_symlinks=True),
            c.exists("/good", expected_type=file), c.exists("/good", expected_type=link, do_not_follow_symlinks=True))
        """
    )
    assert out == [True, False, True, True, False, True, False, True, True, True]


@pytest.mark.since_0_21
def test_exists_expands(sdk):
    out = sdk("""c = box().with_env_variable("V", "etc")\nreturn await c.exists("/$V/passwd", expand=True), await c.exists("/$V/passwd")""")
    assert out == [True, False]


def test_stat(sdk):
    out = sdk(
        """
        c = box().with_new_file("/d/f", "12345", permissions=0o640).with_symlink("f", "/d/l")
        f = c.stat("/d/f")
        d = c.stat("/d")
        l = c.stat("/d/l", do_not_follow_symlinks=True)
        through = c.stat("/d/l")
        return await f.size(), await f.permissions(), await f.file_type(), await f.name(), await d.file_type(), await l.file_type(), await through.size()
        """
    )
    assert out == [5, 0o640, "REGULAR", "f", "DIRECTORY", "SYMLINK", 5]


def test_rootfs(sdk):
    out = sdk(
        """
        c = box().with_new_file("/f", "1").with_mounted_directory("/m", dag.directory().with_new_file("in", ""))
        d = dag.container().with_rootfs(c.rootfs()).with_exec(["cat", "/f"])
        return await d.stdout(), await c.rootfs().file("f").contents(), await c.directory("/m").entries(), await c.rootfs().exists("m/in")
        """
    )
    assert out == ["1", "1", ["in"], False]


def test_with_rootfs_keeps_the_configuration(sdk):
    out = sdk(
        """
        c = box().with_env_variable("A", "1").with_label("l", "2").with_rootfs(dag.directory().with_new_file("only", "x"))
        return await c.rootfs().entries(), await c.env_variable("A"), await c.label("l")
        """
    )
    assert out == [["only"], "1", "2"]


READ_ERRORS = {
    'file("/none").contents()': "no such file or directory",
    'file("/etc").contents()': "a directory",
    'directory("/none").entries()': "no such file or directory",
    'directory("/etc/passwd").entries()': "not a directory",
    'file("/none").size()': "no such file or directory",
}


@pytest.mark.parametrize("call", READ_ERRORS)
def test_reading_what_is_not_there(sdk, call):
    failure = sdk.fails(f"return await box().{call}")
    assert failure.kind == "query" and failure.says(READ_ERRORS[call]), failure


def test_directory_of_a_command(sdk):
    out = sdk(
        """
        d = box().with_exec(["sh", "-c", "mkdir -p /out/bin && echo 1 > /out/bin/a && chmod 750 /out/bin && ln -s a /out/bin/l"]).directory("/out")
        c = dag.container().with_rootfs(box().rootfs()).with_directory("/copy", d)
        return await d.directory("bin").entries(), await c.with_exec(["stat", "-c", "%a %F", "/copy/bin", "/copy/bin/l"]).stdout()
        """
    )
    assert out == [["a", "l"], "750 directory\n777 symbolic link\n"]


def test_with_directory_merges(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("both", "new").with_new_file("only-new", "n").with_new_file("clash/in", "dir")
        c = box().with_new_file("/t/both", "old").with_new_file("/t/only-old", "o").with_new_file("/t/clash", "file").with_directory("/t", d)
        t = c.directory("/t")
        return await t.entries(), await t.file("both").contents(), await t.file("only-old").contents(), await t.file("clash/in").contents()
        """
    )
    assert out == [["both", "clash/", "only-new", "only-old"], "new", "o", "dir"]


def test_with_directory_takes_the_metadata_of_the_source(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_directory("d", permissions=0o711).with_new_file("d/f", "x", permissions=0o604)
        c = box().with_exec(["mkdir", "-p", "-m", "700", "/t/d"]).with_directory("/t", d)
        return await c.with_exec(["stat", "-c", "%a", "/t/d", "/t/d/f"]).stdout()
        """
    )
    assert out == "711\n604\n"


def test_an_empty_directory_makes_the_target(sdk):
    assert sdk("""return await box().with_directory("/made/here", dag.directory()).directory("/made").entries()""") == ["here/"]


FILTERS = [
    ({"exclude": ["*.log"]}, ["a.txt", "keep/", "keep/b.txt", "keep/c.log", "sub/", "sub/d.go"]),
    ({"exclude": ["**/*.log"]}, ["a.txt", "keep/", "keep/b.txt", "sub/", "sub/d.go"]),
    ({"exclude": ["keep"]}, ["a.log", "a.txt", "sub/", "sub/d.go"]),
    ({"include": ["**/*.go"]}, ["sub/", "sub/d.go"]),
    ({"include": ["keep"], "exclude": ["**/*.log"]}, ["keep/", "keep/b.txt"]),
    ({"exclude": ["*", "!a.txt"]}, ["a.txt"]),
    ({"exclude": ["keep/*", "!keep/b.txt"]}, ["a.log", "a.txt", "keep/", "keep/b.txt", "sub/", "sub/d.go"]),
]


@pytest.mark.parametrize("patterns, wanted", FILTERS, ids=lambda p: str(p) if isinstance(p, dict) else "")
def test_include_and_exclude(sdk, patterns, wanted):
    out = sdk(
        """
        d = dag.directory().with_new_file("a.txt", "").with_new_file("a.log", "").with_new_file("keep/b.txt", "").with_new_file("keep/c.log", "")
        d = d.with_new_file("sub/d.go", "")
        c = box().with_directory("/t", d, include=include, exclude=exclude).with_exec(["sh", "-c", "cd /t && find . -mindepth 1 | sort"])
        f = d.filter(include=include, exclude=exclude)
        e = dag.directory().with_directory("t", d, include=include, exclude=exclude)
        return await c.stdout(), await f.glob("**"), await e.directory("t").glob("**")
        """,
        include=patterns.get("include", []),
        exclude=patterns.get("exclude", []),
    )
    assert out[0].split() == ["./" + w.rstrip("/") for w in wanted]
    assert sorted(out[1]) == wanted and sorted(out[2]) == wanted


def test_gitignore_of_a_directory(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file(".gitignore", "*.log\\n/build\\n!keep.log\\n").with_new_file("a.log", "").with_new_file("keep.log", "")
        d = d.with_new_file("build/x", "").with_new_file("src/build/y", "").with_new_file("src/.gitignore", "tmp\\n").with_new_file("src/tmp", "")
        a = box().with_directory("/t", d, gitignore=True).directory("/t")
        return await a.glob("**"), await d.filter(gitignore=True).glob("**"), len(await d.glob("**"))
        """
    )
    wanted = [".gitignore", "keep.log", "src/", "src/.gitignore", "src/build/", "src/build/y"]
    assert sorted(out[0]) == wanted and sorted(out[1]) == wanted and out[2] > len(wanted)


@pytest.mark.since_0_21
def test_permissions_of_a_whole_directory(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_directory("sub", permissions=0o700).with_new_file("sub/f", "", permissions=0o600)
        c = box().with_directory("/t", d, permissions=0o755)
        e = box().with_rootfs(box().rootfs().with_directory("t", d, permissions=0o755))
        return [await x.with_exec(["stat", "-c", "%a", "/t/sub", "/t/sub/f"]).stdout() for x in [c, e]]
        """
    )
    assert out == ["755\n755\n"] * 2


def test_a_source_that_is_missing(sdk):
    failure = sdk.fails("""return await box().with_directory("/t", dag.directory().directory("gone")).sync() is None""")
    assert 'copy source "/gone" does not exist' in failure.message, failure


def test_hard_links_and_times_survive_a_copy(sdk):
    out = sdk(
        """
        made = box().with_exec(["sh", "-c", "mkdir /s && echo x > /s/a && ln /s/a /s/b && touch -d '2001-02-03 04:05:06' /s/a"])
        c = box().with_directory("/t", made.directory("/s"))
        return await c.with_exec(["stat", "-c", "%h %Y", "/t/a", "/t/b"]).stdout()
        """
    )
    links = {line.split()[0] for line in out.splitlines()}
    assert links == {"2"}, out
    # The time that a command set stays, or becomes the epoch that cooper gives to what steps make; both files agree.
    assert len({line.split()[1] for line in out.splitlines()}) == 1, out


def test_a_file_read_out_and_put_elsewhere(sdk):
    out = sdk(
        """
        f = box().with_exec(["sh", "-c", "printf data > /f; chmod 710 /f"]).file("/f")
        c = dag.container().with_rootfs(box().rootfs()).with_file("/g", f)
        return await c.file("/g").contents(), await c.with_exec(["stat", "-c", "%a", "/g"]).stdout(), await f.name(), await f.size()
        """
    )
    assert out == ["data", "710\n", "f", 4]


def test_reading_a_file_that_is_a_link(sdk):
    out = sdk("""c = box().with_exec(["sh", "-c", "echo t > /t; ln -s /t /l; ln -s l /ll"])\nreturn await c.file("/ll").contents(), await c.file("/l").name()""")
    assert out == ["t\n", "l"]


def test_multiple_bases(sdk):
    out = sdk(
        """
        build = box().with_workdir("/src").with_new_file("main.c", "int x;").with_exec(["sh", "-c", "wc -c < main.c > size"])
        final = dag.container().from_("busybox").with_file("/size", build.file("size")).with_entrypoint(["cat", "/size"])
        return await final.with_exec([], use_entrypoint=True).stdout(), await final.exists("/src")
        """
    )
    assert out == ["6\n", False]
