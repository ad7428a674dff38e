# SPDX-License-Identifier: Apache-2.0
"""As docker does it: what COPY and ADD put where. See against_docker.py."""

import copy
import os
import tarfile

import pytest

from against_docker import Cases, builders, same_image, tar_bytes, url  # noqa: F401 (fixtures)

CASES = Cases()
case = CASES.add

case(
    "copy",
    """
FROM bb
WORKDIR /w
COPY a .
COPY a new
COPY a newdir/
COPY a deep/er/name
COPY d d1
COPY d d2/
COPY d/ d3
COPY d/. d4
COPY ./d /d5/
COPY d /w
COPY a d multi/
COPY a e/f /
COPY a /etc
COPY a /etc/
COPY d/sub/../sub/../x ./dots/../y
COPY ["a", "e/f", "json/"]
COPY ["a", "with space"]
ADD a d add/
ADD a added
COPY a a a twice/
COPY . /all
COPY / /root2/
COPY ../../a /clipped
COPY d /bin/../existing
COPY e/f d1/x
""",
    {"a": "A", "d/x": "X", "d/sub/y": "Y", "e/f": "F", "z z/q": ""},
)

case(
    "wildcards",
    """
FROM bb
COPY *.txt /star/
COPY a?.txt /question/
COPY [a-b]1.txt /range/
COPY [^a]1.txt /not/
COPY a[[]0].txt /bracket/
COPY d*/ /dirs/
COPY d*/*.c /deep/
COPY */x.c /one
COPY d1/* /all/
COPY * /everything/
COPY \\*.lit /lit/
COPY nothing* a1.txt /some/
COPY .h* /hidden/
ADD a* b* /add/
""",
    {p: p for p in ["a1.txt", "a2.txt", "b1.txt", "a[0].txt", "d1/x.c", "d1/sub/y.c", "d2/z.c", "d2/.hid", "*.lit", "x.lit", ".hid"]},
)

case(
    "owners",
    """
FROM bb
RUN echo 'late:x:77:88::/:/bin/sh' >> /etc/passwd && mkdir -p /there && chown 3:4 /there
COPY --chown=12:34 a /own/deep/a
COPY --chown=12 a /only/uid
COPY --chown=app a /name/a
COPY --chown=app:staff d /names/
COPY --chown=5:staff a /mixed/a
COPY --chown=app:9 a /mixed2/
COPY --chown=late a /late/
COPY --chown=root a /rooted/
COPY --chown=7:8 d /there
COPY --chown=9:9 a /there/d2/
ADD --chown=12:34 a d /added/
COPY a /there/plain
COPY --chown=12:34 e /emptied/
""",
    {"a": "A", "d/x": "X", "d/s/y": "Y"},
    make=lambda ctx: (ctx / "e/empty").mkdir(parents=True),
)


def chmods(ctx):
    (ctx / "e").mkdir()
    os.symlink("x", ctx / "d/l")
    os.chmod(ctx / "d/x", 0o711)


def octal_modes(image):
    """docker 20.10 drops setuid and leaves the directories that it makes at 0755; the reference gives them the mode."""
    image.files["setuid"].mode = 0o4755
    for path, mode in [("dir", 0o750), ("empty", 0o700), ("new", 0o711), ("new/deep", 0o711)]:
        assert image.files[path].mode == 0o755
        image.files[path].mode = mode


case(
    "chmod",
    """
FROM bb
RUN mkdir -m 700 /there
COPY --chmod=640 a /file
COPY --chmod=0711 a /new/deep/file
COPY --chmod=750 d /dir
COPY --chmod=4755 a /setuid
COPY --chmod=600 --chown=1:2 a /there/
COPY --chmod=711 d /there
COPY --chmod=700 e /empty
ADD --chmod=444 a /added
""",
    {"a": "A", "d/x": "X", "d/s/y": "Y"},
    make=chmods,
    instead=octal_modes,
)


def modes(ctx):
    for path, mode in [("f600", 0o600), ("f4755", 0o4755), ("f000", 0), ("d/f777", 0o777), ("d/s/f640", 0o640)]:
        os.chmod(ctx / path, mode)
    os.chmod(ctx / "d/s", 0o2710)
    os.chmod(ctx / "d", 0o700)
    os.chown(ctx / "f600", 44, 55)
    os.chown(ctx / "d/s", 44, 55)


case(
    "modes",
    """
FROM bb
COPY f600 f4755 f000 /m/
COPY d /top
RUN mkdir -m 1777 /old && mkdir -m 700 /old/s && chown 8:9 /old /old/s && echo > /old/s/f640 && chmod 400 /old/s/f640
COPY d /old
COPY d/s/f640 /old/s/f640
RUN umask 077; echo > /u; mkdir /ud; touch /su /sg; chmod 4755 /su; chmod 2755 /sg; mkdir -m 3777 /st; chmod 000 /etc/group; chown 9:9 /root; chmod 4750 /m/f600
COPY . /whole/
""",
    {"f600": "", "f4755": "x", "f000": "y", "d/f777": "", "d/s/f640": "new"},
    make=modes,
)


def links(ctx):
    os.symlink("d", ctx / "ld")
    os.symlink("d/x", ctx / "lf")
    os.symlink("/d/x", ctx / "abs")
    os.symlink("lf", ctx / "chain")
    os.symlink("../../../d/s", ctx / "d/up")
    os.symlink("/nowhere", ctx / "d/s/broken")
    os.symlink("x", ctx / "d/in")


case(
    "symlink_sources",
    """
FROM bb AS src
RUN mkdir -p /r/real && echo f > /r/real/f && ln -s /r/real /r/a && ln -s real /r/b && ln -s /r/a/f /r/c && ln -s ../../../../r/real/f /r/d && ln -s /r /top
FROM bb
COPY lf /one
COPY lf abs chain /several/
COPY ld /dir
COPY ld/x /through
COPY d /inside
COPY l* /wild/
COPY d/up /up/
COPY ld/* /contents/
COPY --from=src /r/a /a
COPY --from=src /r/b/ /b/
COPY --from=src /r/c /r/d /files/
COPY --from=src /top/b/f /through2
COPY --from=src /top/* /star/
COPY --from=src /r /all
""",
    {"d/x": "X", "d/s/y": "Y"},
    make=links,
)

case(
    "symlink_destinations",
    """
FROM bb
RUN mkdir -p /real/sub /other && ln -s /real /abs && ln -s real /rel && ln -s abs /chain && ln -s ../../../real/sub /other/up && ln -s /made/up /broken && echo old > /real/file && ln -s /real/file /flink
COPY a /abs/
COPY a /rel/b
COPY d /chain
COPY d /other/up/
COPY a /chain/sub/new/a
ADD t.tar /abs/tar
ADD t.tar /rel
COPY a /abs
WORKDIR /chain/sub
COPY a here
COPY d ./
RUN ln -s /real/sub /real/link
COPY a ../link/x
COPY d /real
""",
    {"a": "A", "d/x": "X", "d/sub/y": "Y"},
    make=lambda ctx: (ctx / "t.tar").write_bytes(tar_bytes([("sub/t", {}, b"t"), ("u", {}, b"u")])),
)

case("file_onto_symlink", "FROM bb\nRUN echo old > /file && ln -s file /link && ln -s nowhere /dangling\nCOPY a /link\nCOPY a /dangling\n", {"a": "A"})

case(
    "replacing",
    """
FROM bb
COPY one /r/
COPY two /r/
RUN ln -s x /r/sub/l && mkdir -p /q && ln -s /nowhere /q/x && echo > /q/plain
COPY two/x /q/x
COPY links /q
COPY one /r
""",
    {"one/x": "1", "one/sub/y": "1", "one/sub/z": "", "two/x": "22", "two/sub/y": "22", "links/other": ""},
    make=lambda ctx: os.symlink("other", ctx / "links/plain"),
)


def hard(ctx):
    os.link(ctx / "d/a", ctx / "d/b")
    os.link(ctx / "d/a", ctx / "d/s/c")


# Writing to one name of a hard link of a lower layer is left out: it depends on docker's storage driver (vfs keeps the link, overlay2 parts it, as we do).
case(
    "hard_links",
    """
FROM bb AS src
RUN mkdir -p /h/s && echo x > /h/a && ln /h/a /h/b && ln /h/a /h/s/c && ln -s a /h/l && ln /h/l /h/l2
FROM src
RUN rm /h/a
COPY --from=src /h /copied
COPY --from=src /h/a /h/b /single/
COPY d /ctx
""",
    {"d/a": "A", "d/s/x": ""},
    make=hard,
)


def archives(ctx):
    tree = [
        ("top/", {"type": tarfile.DIRTYPE, "mode": 0o750, "uid": 3, "gid": 4}, b""),
        ("top/f", {"mode": 0o4755, "uid": 1000, "gid": 1001, "uname": "nobody", "gname": "staff"}, b"file"),
        ("top/l", {"type": tarfile.SYMTYPE, "linkname": "/top/f"}, b""),
        ("top/h", {"type": tarfile.LNKTYPE, "linkname": "top/f", "mode": 0o4755, "uid": 1000, "gid": 1001}, b""),
        ("parents/missing/x", {"mode": 0o600, "uid": 7, "gid": 8}, b"x"),
        ("./dotted/y", {}, b""),
        ("pipe", {"type": tarfile.FIFOTYPE}, b""),
        ("n" * 150 + "/" + "é" * 60, {}, b"long"),
        ("twice", {}, b"first"),
        ("twice", {"mode": 0o600}, b"second"),
    ]
    (ctx / "p.tar").write_bytes(tar_bytes(tree))
    (ctx / "g.tar.gz").write_bytes(tar_bytes(tree, "w:gz"))
    (ctx / "x.tar.xz").write_bytes(tar_bytes(tree, "w:xz"))
    (ctx / "b.tbz").write_bytes(tar_bytes(tree, "w:bz2"))
    (ctx / "noname").write_bytes(tar_bytes(tree, "w:gz"))
    (ctx / "dot.tar").write_bytes(tar_bytes([("./", {"type": tarfile.DIRTYPE, "mode": 0o711, "uid": 5}, b""), ("./in", {}, b"in")]))


def archives_owned(image):
    """docker 20.10 does not give --chown to what it unpacks; the reference does."""
    for path, f in image.files.items():
        if path.startswith("owned"):
            f.owner = (12, 34)


case(
    "archives",
    """
FROM bb
ADD p.tar /p
ADD g.tar.gz /g/
ADD x.tar.xz /x
ADD b.tbz /b
ADD noname /noname
ADD not.tar.gz /plain/
ADD not.tar.gz /plain2
ADD --chown=12:34 p.tar /owned
ADD *.tar.?z a /wild/
RUN mkdir -p /over/top && echo old > /over/top/f && echo old > /over/twice && ln -s top /over/parents
ADD p.tar /over
ADD dot.tar /dotted/deep
ADD dot.tar /over
COPY p.tar /copied
WORKDIR /rel
ADD g.tar.gz .
""",
    {"not.tar.gz": "no archive at all", "a": ""},
    make=archives,
    instead=archives_owned,
)


def urls_chmod(image):
    """docker 20.10 ignores --chmod of a URL."""
    image.files["tool"].mode = 0o755


def root_archive(ctx):
    directory = {"type": tarfile.DIRTYPE, "mode": 0o755}
    members = [("./", directory, b""), ("./etc/", directory, b""), ("./var/mail/", {**directory, "mode": 0o2775, "gid": 8}, b"")]
    members += [("./etc/shadow", {"mode": 0o640, "gid": 42, "gname": "shadow"}, b"root:*::"), ("./tmp/", {**directory, "mode": 0o1777}, b"")]
    members += [("./home/app/", {**directory, "uid": 1000, "gid": 1001}, b""), ("./bin", {"type": tarfile.SYMTYPE, "linkname": "usr/bin"}, b"")]
    (ctx / "root.tar.xz").write_bytes(tar_bytes(members, "w:xz"))


case("root_archive", "FROM scratch\nADD root.tar.xz /\nCOPY a /bin/\nADD root.tar.xz /bin\nCMD [\"bash\"]\n", {"a": "A"}, make=root_archive)

case(
    "urls",
    """
FROM bb
ADD @URL@/dir/file.txt /u/
ADD @URL@/dir/file.txt /named
ADD @URL@/plain /u/
ADD @URL@/plain?x=1 /u/query
ADD --chown=5:6 @URL@/plain /owned/
ADD @URL@/a.tar /tar/
ADD @URL@/old a /mixed/
ADD --chmod=755 @URL@/plain /tool
ADD @URL@/redirect /u/
""",
    {"a": "A"},
    instead=urls_chmod,
)

case(
    "ignore_file",
    "FROM bb\nCOPY . /all\nCOPY docs /docs\nCOPY */keep.md /some/\n",
    {
        ".dockerignore": "# comment\n*.md\n!README.md\n**/*.o\nbuild\n/docs/**/tmp\n\n  spaced  \nsub/*/deep\n!sub/two/deep\n?x\n[ab]c\n**/cache/**\n./dotted/\n\\#literal\n",
        **{
            p: p
            for p in "README.md x.md docs/keep.md docs/tmp/a docs/a/tmp/b docs/a/b/tmp/c docs/a/tmpx a.o d/b.o d/c.c build/x d/build/x spaced sub/one/deep/f sub/two/deep/f sub/two/other"
            " yx yyx ac bc cc q/cache/x q/cache/s/y q/cached dotted/x #literal #other".split()
        },
    },
)


def deep_exceptions(image):
    """docker 20.10 does not enter an excluded directory for an exception with wildcards."""
    for path in ("all/p/q", "all/p/y", "all/p/y/z", "all/p/q/deep.txt", "all/p/y/z/deep.txt"):
        assert path not in image.files
        image.files[path] = copy.copy(image.files["all/p/deep.txt" if path.endswith(".txt") else "all/p"])


case(
    "ignore_all_but",
    "FROM bb\nCOPY . /all\n",
    {
        ".dockerignore": "*\n!src\n!a/b/c.txt\nsrc/*.tmp\n!src/keep.tmp\n!p/**/deep.txt\np/x/deep.txt\n",
        **{p: "same" for p in "src/x src/y.tmp src/keep.tmp src/z/y.tmp a/b/c.txt a/b/d.txt a/q top p/deep.txt p/q/deep.txt p/x/deep.txt p/y/z/deep.txt p/y/other".split()},
    },
    instead=deep_exceptions,
)

case(
    "ignore_file_of_its_own",
    "FROM bb\nRUN false\n",
    {"sub/other": "FROM bb\nCOPY . /all\n", "sub/other.dockerignore": "a\nsub/x\n", ".dockerignore": "b\n", "a": "", "b": "", "sub/x": "", "sub/y": ""},
    args=("-f", "@CONTEXT@/sub/other"),
)

case("ignore_itself", "FROM bb\nCOPY . /all\n", {".dockerignore": "Dockerfile\n.dockerignore\n", "a": ""})


def names(ctx):
    (ctx / "empty/nested").mkdir(parents=True)
    deep = ctx / "long" / ("x" * 255) / ("y" * 200)
    deep.mkdir(parents=True)
    (deep / ("é" * 127)).write_text("deep")


case(
    "names",
    """
FROM bb
COPY . /all
COPY ["sp ace/a b", "/with space/"]
COPY ["ünï/*", "/ünï 2/"]
COPY long /
COPY -dash /dashed
COPY empty /empty
RUN mkdir -p "/r/$(printf 'tab\\tnl\\nback\\\\')" /r/日本 && touch "/r/quo'te\\"" /r/-rf "/r/ lead" "/r/trail " && ln -s "日本 " /r/link
""",
    {"sp ace/a b": "1", "ünï/ç": "2", "-dash": "3", "a'b\"c": "4", "per%cent": "", "dollar$x": "", "back\\slash": ""},
    make=names,
)


@pytest.mark.parametrize("what", CASES, ids=lambda c: c.name)
def test_same_image(what, builders, context, tmp_path, url):
    same_image(what, builders, context, tmp_path, url)
