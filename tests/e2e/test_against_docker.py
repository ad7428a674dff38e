# SPDX-License-Identifier: Apache-2.0
"""
The same contexts built by Debian's docker (BuildKit) and by us give the same files and the same image config.

Each case is a Dockerfile with its context. Docker's image is the expectation; where docker 20.10 does not do what today's Dockerfile reference says, the case
has an `instead` that turns docker's result into what the reference asks for, with the reason.
"""

import collections
import concurrent.futures
import copy
import functools
import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import tarfile
import threading

import pytest

from conftest import DOCKER, Cooper

# ---- reading an image ----

# What docker leaves in a layer below its mount points.
STUBS = ("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf")


class File:
    def __init__(self, tar, member):
        self.type = "file" if member.isreg() else member.type.decode()
        self.mode = None if member.issym() else member.mode & 0o7777
        self.owner = member.uid, member.gid
        self.device = (member.devmajor, member.devminor) if member.isdev() and not member.isfifo() else None
        self.target = member.linkname if member.issym() else None
        self.size = member.size if member.isreg() else 0
        self.content = hashlib.sha256(tar.extractfile(member).read()).hexdigest() if member.isreg() else None
        self.caps = member.pax_headers.get("SCHILY.xattr.security.capability")

    def view(self):
        mode = None if self.mode is None else oct(self.mode)
        return self.type, mode, self.owner, self.size, self.target, self.device, self.content, self.caps


def forget(files, path, itself=True):
    for old in [p for p in files if p.startswith(path + "/") or (itself and p == path)]:
        del files[old]


def apply_layer(tar, files):
    """Deletions first: they speak of the layers below."""
    members = [(m.name.strip("/").removeprefix("./"), m) for m in tar]
    for path, _ in members:
        parent, _, base = path.rpartition("/")
        if base == ".wh..wh..opq":
            forget(files, parent, itself=False)
        elif base.startswith(".wh."):
            forget(files, (parent + "/" if parent else "") + base[4:])
    for path, member in members:
        if path in ("", ".") or path.rpartition("/")[2].startswith(".wh."):
            continue
        if path in files and files[path].type == tarfile.DIRTYPE.decode() and not member.isdir():
            forget(files, path)
        files[path] = files[member.linkname.strip("/").removeprefix("./")] if member.islnk() else File(tar, member)


class Image:
    """Merged files and config of a docker archive."""

    def __init__(self, archive):
        self.files = {}
        with tarfile.open(archive) as outer:
            manifest = json.load(outer.extractfile("manifest.json"))[0]
            self.document = json.load(outer.extractfile(manifest["Config"]))
            self.layers = len(manifest["Layers"])
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=io.BytesIO(outer.extractfile(layer).read())) as tar:
                    apply_layer(tar, self.files)
        for stub in STUBS:
            forget(self.files, stub)
        self.config = self.document["config"]

    def entries(self):
        return {path: f.view() for path, f in self.files.items()}

    def hard_links(self):
        groups = collections.defaultdict(list)
        for path, f in self.files.items():
            groups[id(f)].append(path)
        return sorted(sorted(g) for g in groups.values() if len(g) > 1)

    def settings(self):
        keys = "Env Cmd Entrypoint WorkingDir User ExposedPorts Volumes Labels StopSignal Healthcheck Shell OnBuild ArgsEscaped".split()
        found = {k: self.config[k] for k in keys if self.config.get(k)}
        if "Healthcheck" in found:
            found["Healthcheck"] = {k: v for k, v in found["Healthcheck"].items() if v}
        found.get("Labels", {}).pop("dev.cooper.inputs", None)
        return {k: v for k, v in found.items() if v}

    def steps(self):
        """History of all but the base image, for what docker 20.10 writes as the reference does: it leaves out some flags and values, and prints maps its own way."""
        out = []
        for h in self.document["history"][1:]:
            text = re.sub(r" --ch(own|mod)=\S+", "", h["created_by"])
            text = re.sub(r"^(ARG \w+|EXPOSE|HEALTHCHECK)\b.*", r"\1", text, flags=re.S)
            out.append((re.sub(r"^RUN \|.* /bin/sh -c ", "RUN /bin/sh -c ", text), h.get("empty_layer", False)))
        return out


def differences(ours, theirs):
    out = []
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            out.append(f"{key}:\n    ours   {ours.get(key)}\n    theirs {theirs.get(key)}")
    return "\n".join(out)


# ---- cases ----

Case = collections.namedtuple("Case", "name dockerfile files make args instead")
CASES = []


def case(name, dockerfile, files=None, make=None, args=(), instead=None):
    """files: path -> text; make(ctx): what plain files cannot say; args: of both builds; instead(image): docker's result made the reference's."""
    CASES.append(Case(name, dockerfile, files or {}, make, args, instead))


def tar_bytes(members, mode="w"):
    """members: (name, {fields of TarInfo}, data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, fields, data in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1500000000
            for key, value in fields.items():
                setattr(info, key, value)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


case(
    "stages",
    """
FROM bb AS One
RUN mkdir -p /out/sub && echo 1 > /out/a && echo 2 > /out/sub/b && chown -R 1000:1001 /out/sub && chmod 700 /out/sub && ln -s a /out/l
FROM bb
RUN echo unnamed > /second
FROM one AS three
RUN echo more >> /out/a
FROM bb AS unused
RUN exit 1
FROM bb AS last
COPY --from=ONE /out /one/
COPY --from=1 /second /
COPY --from=three /out/a /out/sub/b /three/
COPY --from=three --chown=5:6 /out/sub /owned
COPY --from=three /out/./sub/../sub/b ../../clipped
COPY --from=bb /etc/passwd /image/
""",
)

case("target", "FROM bb AS a\nENV A=a\nRUN echo a > /a\nFROM a AS b\nRUN exit 1\n", args=("--target", "A"))

case(
    "arg_scopes",
    """
ARG TAG=latest
ARG GLOBAL=global
ARG OTHER=other
ARG BOTH=$GLOBAL-$OTHER
FROM bb:${TAG} AS a
ARG GLOBAL
ARG OTHER=mine
ARG BOTH
ARG GIVEN=default
ARG NOTHING
ARG later=$GIVEN-later x1=1 x2=2
RUN echo "$GLOBAL|$OTHER|$BOTH|$GIVEN|${NOTHING-unset}|$later|$x1$x2" > /args; env | grep -c NOTHING > /nothing || true
ENV KEPT=$GIVEN TAGGED=x${TAG}x
ENV GIVEN=env
RUN echo "$GIVEN $KEPT $TAGGED" > /env
FROM a
RUN echo "$GLOBAL|$OTHER|$GIVEN|$later" > /inherited
FROM a
ARG GIVEN
ARG UNDECLARED
RUN echo "$GIVEN|$UNDECLARED" > /inherited
ARG GLOBAL=again
LABEL g=$GLOBAL h=$GIVEN
COPY --from=a /args /args.$GLOBAL
""",
    args=("--build-arg", "GIVEN=given", "--build-arg", "UNDECLARED=u v"),
)

case(
    "platform_args",
    """
FROM --platform=$TARGETPLATFORM bb AS x
ARG TARGETARCH
ARG TARGETPLATFORM
ARG BUILDOS
ARG TARGETVARIANT
RUN echo "$TARGETARCH $TARGETPLATFORM $BUILDOS ($TARGETVARIANT) ${TARGETOS-undeclared}" > /platform
""",
)

case(
    "expansion",
    r"""
FROM bb
ENV a=1 b=$a
ENV b=$a c=${a}x d=${nope:-def$a} e=${a:+alt} f=${nope:+alt} g="$a b" h='$a b' i=\$a j="\$a" k=${nope:-${a}} l="q\"q" m=a\ b n="a\ b"
ENV legacy a  b   "c" $a \
  more
ENV empty= quoted=""
ENV o=${empty:-was} p=${empty:+was} q=$a$b${c} r="$a"'$a'$a s=é t=a\\b u='a\b' v=a=b w=${a}${nope}z
ENV $a$b=name ${b}k=v
LABEL x=$a "y z"="$c d" multi="line one \
line two" single='$a'
LABEL legacy  a label   of $a
LABEL x=later
ENV dir=/deep
WORKDIR $dir/${a}
COPY ${a}.txt ${dir}-$b/
COPY --chown=$a:${b} 1.txt "quoted.txt"
ADD $nope/1.txt $nope./add
EXPOSE $a${a} ${a}0-12/udp
VOLUME $dir/v "${dir}/w"
USER ${nope:-app}
STOPSIGNAL ${nope:-SIGUSR$a}
RUN echo "$a $b ${c%x} $((1+1)) \$a" '$a' > /tmp/run
CMD echo $a
ENTRYPOINT ["e", "$a", "${b}"]
""",
    {"1.txt": "one"},
)

case(
    "lines",
    """# escape=`
# a comment

FROM bb
RUN echo one `
# inside
    && echo two `
  # indented

    && echo three > /l

COPY a.txt `b.txt /w/
run echo `
`
done > /d
LABEL a="b`
c" d=e`
f
CMD [ "a" , `
 "b" ]
""",
    {"a.txt": "", "b.txt": "b"},
)

case("crlf", "FROM bb\r\nRUN echo a \\\r\n  b > /ab\r\nENV a=b\r\nCOPY a \\\r\n b /c/\r\nCMD [\"x\"]\r\n", {"a": "1", "b": "2"})

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

case(
    "workdir",
    """
FROM bb
WORKDIR one
RUN pwd > /p1
WORKDIR two/../three/
RUN pwd > /p2
WORKDIR /etc
WORKDIR /a/b/c
WORKDIR ..
RUN pwd > /p3; mkdir -m 700 /mine && chown 5:5 /mine; ln -s /mine /wl
WORKDIR /mine
WORKDIR /wl/inside
RUN pwd > /p4
WORKDIR /
USER app
WORKDIR /users/dir
WORKDIR /a/new
RUN pwd > /tmp/p5
""",
)

ID = "RUN (id -u; id -g; id -G; echo $HOME) > /tmp/%s; touch /tmp/f%s; mkdir /tmp/d%s\n"

case(
    "users",
    "FROM bb\nRUN echo 'one:x:500:app' >> /etc/group && echo 'solo:x:2000:2000::/home/solo:/bin/sh' >> /etc/passwd\n"
    + "".join(
        f"USER {user}\n" + ID % (n, n, n)
        for n, user in enumerate(["root", "app", "1000", "app:staff", "1000:50", "nobody", "4321", "4321:8765", "0", "0:7", "solo", "app:12"])
    )
    + "COPY a /copied\nWORKDIR /w\n",
    {"a": ""},
)

case(
    "metadata",
    r"""
FROM bb
MAINTAINER Some One <one@example.org>
LABEL a=1 b="two words" c='single $x' d=e\ f
LABEL a=2 "dotted.key"=v empty= multi="a\
b"
EXPOSE 80 443/tcp 53/UDP 7000-7002
EXPOSE 80/tcp 90/sctp
VOLUME /data /more
VOLUME ["/json one", "/two"]
RUN mkdir -p /data /more && echo kept > /data/x
HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --retries=4 CMD curl -f "http://localhost/" || exit 1
STOPSIGNAL 9
STOPSIGNAL SIGTERM
USER app:staff
ENV PATH=/mine:$PATH Z=z A=a Z=again
ENV A=later
RUN echo kept > /tmp/x
CMD ["a", "b c", "d\"e", "é", "\u00e9"]
""",
)

case("healthcheck_none", "FROM bb AS a\nHEALTHCHECK CMD true\nFROM a\nHEALTHCHECK NONE\nCMD []\n")
case("healthcheck_exec", 'FROM bb\nHEALTHCHECK --retries=1 --interval=1s CMD ["a", "b"]\nCMD not ["json"]\nENTRYPOINT [\'single\']\n')

case(
    "shell",
    """
FROM bb AS a
SHELL ["/bin/sh", "-e", "-c"]
RUN echo $- > /flags; echo "$0" >> /flags
CMD echo x
FROM a
RUN echo $- > /inherited
ENTRYPOINT run it
HEALTHCHECK CMD check it
SHELL ["/bin/busybox", "sh", "-c"]
CMD now this
RUN ["/bin/busybox", "sh", "-c", "echo exec '$HOME' > /exec"]
RUN echo "$0 $#" > /zero
""",
)

ENTRIES = [
    ("inherited", "CMD c1\nENTRYPOINT [\"e1\"]", ""),
    ("cmd_cleared", "CMD [\"c1\"]", "ENTRYPOINT [\"e2\"]"),
    ("cmd_kept", "CMD [\"c1\"]", "CMD [\"c2\"]\nENTRYPOINT [\"e2\"]"),
    ("cmd_over", "ENTRYPOINT [\"e1\", \"x\"]\nCMD c1", "CMD [\"c2\"]"),
    ("both_over", "ENTRYPOINT e1\nCMD [\"c1\"]", "ENTRYPOINT e2\nCMD c2"),
    ("emptied", "ENTRYPOINT [\"e1\"]\nCMD [\"c1\"]", "ENTRYPOINT []"),
]
for entry_name, parent, child in ENTRIES:
    case("entry_" + entry_name, f"FROM bb AS p\n{parent}\nFROM p\n{child}\nLABEL x=y\n")

case(
    "onbuild",
    """
FROM bb AS base
ONBUILD ARG V=def
ONBUILD COPY a /onbuild/
ONBUILD RUN echo "$V $LATER" > /onbuild/ran
ONBUILD ENV ON=build-$V
ONBUILD WORKDIR /on
ONBUILD LABEL on=build
RUN echo base > /base
FROM base AS child
RUN pwd > /child; echo $ON >> /child
ONBUILD USER app
FROM child
RUN id -u > /tmp/grandchild
""",
    {"a": "A"},
)
case("onbuild_kept", 'FROM bb\nONBUILD RUN echo "x  y" \\\n && echo z\nONBUILD COPY --chown=1:2 ["a b", "/c"]\nonbuild label a=b\n')

case(
    "deletions_kept",
    """
FROM bb
RUN mkdir -p /a/b/c && echo 1 > /a/b/c/f && echo 1 > /a/g && mkdir /n
RUN rm -rf /a/b && mkdir -p /a/b/c && rm /a/g
RUN echo 2 > /a/b/c/h && rm -rf /n
RUN rm -rf /a
COPY t /a/b
RUN mkdir /n && rm -rf /a/b/file && mkdir -p /bin/sub && rm -rf /usr && ln -s bin /usr
""",
    {"t/file/in": "copied", "t/z": ""},
)

case(
    "deletions",
    """
FROM bb AS a
RUN mkdir -p /d/sub/deep /e/x /f /g && echo 1 > /d/a && echo 1 > /d/sub/b && echo 1 > /d/sub/deep/c && echo 1 > /e/x/y && echo 1 > /f/file && ln -s /e /g/dirlink && echo 1 > /g/f
RUN rm -rf /d && mkdir /d && echo new > /d/n
RUN rm -rf /e/x && echo file > /e/x
RUN rm /f/file && mkdir /f/file && echo in > /f/file/in
RUN rm /g/dirlink && mkdir -p /g/dirlink/x && mv /g/f /g/renamed && mv /e /moved
RUN mkdir /e && touch /e/kept && rm -rf /var /usr/bin /d/*
RUN rm -rf /moved && mkdir -p /moved/x && rm -rf /moved
COPY t /f
RUN rm -rf /f && ln -s g /f
COPY t /d/
RUN cp -a /g /g2 && rm -rf /g && mv /g2 /g
RUN rm -rf /bin/vi /bin/wget; touch /etc/passwd
RUN true
FROM bb
COPY --from=0 /d /g /e /copied/
COPY --from=0 /f /link
RUN rm -rf /copied/dirlink
COPY --from=0 /g /copied
""",
    {"t/file/in": "copied", "t/z": ""},
)


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

def devices(image):
    """docker 20.10 makes empty files of devices and leaves pipes out; today's BuildKit copies both."""
    image.files["t/p"] = copy.copy(image.files["s/p"])
    image.files["t/p"].owner = (0, 0)
    for name in "pcb":
        image.files["u/" + name] = copy.copy(image.files["s/" + name])
        image.files["u/" + name].owner = (0, 0)


case(
    "special_files",
    """
FROM bb AS a
RUN mkdir /s && mkfifo -m 640 /s/p && mknod -m 600 /s/c c 1 3 && mknod /s/b b 7 0 && dd if=/dev/zero of=/s/sparse bs=1 count=1 seek=3000000 2>/dev/null && : > /s/zero
FROM a
RUN chown 4:5 /s/p /s/c
COPY --from=a /s/p /s/sparse /s/zero /t/
COPY --from=a /s /u
""",
    instead=devices,
)


def capable(ctx):
    subprocess.run(["setcap", "cap_net_raw+ep", ctx / "raw"], check=True)


case(
    "capabilities",
    "FROM bb AS a\nCOPY raw /bin/raw\nFROM bb\nCOPY --from=a /bin/raw /bin/raw\nCOPY --chown=1:2 raw /own/\nRUN chmod 711 /bin/raw\n",
    {"raw": "x"},
    make=capable,
)

case(
    "scratch",
    "FROM scratch\nCOPY a /\nCOPY d d\nCOPY a /etc/deep/a\nWORKDIR /w\nCOPY --chown=3:4 a x/\nCMD [\"/a\"]\n",
    {"a": "", "d/x": ""},
)

case(
    "run_mounts",
    """
FROM bb AS src
RUN mkdir -p /out && echo o > /out/f
FROM bb
RUN --mount=type=bind,target=/tmp cat /tmp/a > /context
RUN --mount=type=bind,from=src,source=/out,target=/usr/bin cat /usr/bin/f > /stage
RUN --mount=type=cache,target=/root,uid=7,gid=8,mode=0711 touch /root/c && stat -c '%u %g %a' /root > /cache
RUN --mount=target=/var,rw echo x > /var/new && test -f /var/a
RUN --mount=type=tmpfs,target=/tmp touch /tmp/x && ls /tmp > /tmpfs
""",
    {"a": "A"},
)


def mounted(image):
    """docker 20.10 leaves the directories it made to mount on; the reference has them removed."""
    assert "new/mount" in image.files and "made" in image.files
    del image.files["new/mount"], image.files["new"]


case("run_mount_points", "FROM bb\nRUN --mount=type=cache,target=/new/mount touch /new/mount/x && touch /made\n", instead=mounted)

# Of the variables that a step sees: ours has more, which say where its certificates are.
case(
    "environment",
    """
FROM bb
ARG ONE=1
ENV TWO=2
RUN env | grep -e ^ONE= -e ^TWO= -e ^PATH= -e ^HOME= | sort > /env
RUN umask > /umask; echo $$ > /pid; test -t 0 || echo no > /tty; cat > /stdin; pwd > /pwd; ls -ld / | cut -c1-10 > /rootmode
ENV HOME=/mine
USER app
RUN env | grep -e ^HOME= -e ^USER= | sort > /tmp/app
""",
)


# ---- running them ----


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/gone":
            return self.send_error(404)
        if path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/dir/file.txt")
            self.end_headers()
            return
        body = tar_bytes([("in", {}, b"in")]) if path == "/a.tar" else b"body of " + path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if path == "/old":
            self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def builders(dockerd, busybox_tar, tmp_path_factory):
    """Both with the base image "bb"; one store for all cases."""
    ours = Cooper(tmp_path_factory.mktemp("against") / "home")
    ours("image", "import", busybox_tar, "--name", "bb:latest")
    docker = functools.partial(run_docker, dockerd)
    docker("import", "--change", 'CMD ["/bin/sh"]', busybox_tar, "bb")
    return ours, docker


def run_docker(env, *args, code=0):
    done = subprocess.run([DOCKER, *map(str, args)], env={**env, "DOCKER_BUILDKIT": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (args, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def images(builders, ctx, args, tmp_path):
    cooper, docker = builders

    def build_theirs():
        docker("build", "--network", "host", "-t", "against:1", *args, ctx)
        docker("save", "-o", tmp_path / "theirs.tar", "against:1")
        return Image(tmp_path / "theirs.tar")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        theirs = pool.submit(build_theirs)
        cooper.build(ctx, "-t", "against:1", *args)
        cooper("image", "copy", "store:against:1", f"docker-archive:{tmp_path}/ours.tar")
        return Image(tmp_path / "ours.tar"), theirs.result()


def compare(ours, theirs):
    report = [
        differences(ours.entries(), theirs.entries()),
        differences(ours.settings(), theirs.settings()),
        differences({"links": ours.hard_links()}, {"links": theirs.hard_links()}),
        differences({"layers": ours.layers}, {"layers": theirs.layers}),
        differences(dict(enumerate(ours.steps())), dict(enumerate(theirs.steps()))),
    ]
    assert not any(report), "\n".join(r for r in report if r)
    assert len([h for h in ours.document["history"] if not h.get("empty_layer")]) == ours.layers


@pytest.mark.parametrize("what", CASES, ids=lambda c: c.name)
def test_same_image(what, builders, context, tmp_path, url):
    ctx = context({"Dockerfile": what.dockerfile.replace("@URL@", url).encode(), **what.files})
    if what.make:
        what.make(ctx)
    args = [a.replace("@CONTEXT@", str(ctx)) for a in what.args]
    ours, theirs = images(builders, ctx, args, tmp_path)
    if what.instead:
        what.instead(theirs)
    compare(ours, theirs)


BASE = """
FROM bb
RUN mkdir -p /gone/x /opaque /data && echo 1 > /gone/x/f && echo 1 > /opaque/old && echo 1 > /data/d
RUN rm -rf /gone && rm -rf /opaque && mkdir /opaque && echo 2 > /opaque/new && ln -s /opaque /o
ENV A=base B=base
VOLUME /data
EXPOSE 80
LABEL a=base b=base
HEALTHCHECK --timeout=3s CMD ["/ok"]
SHELL ["/bin/sh", "-e", "-c"]
STOPSIGNAL SIGINT
WORKDIR /work
ENTRYPOINT ["/entry"]
CMD ["base"]
ONBUILD COPY trigger /o/
ONBUILD RUN pwd > /tmp/triggered; echo "$A" >> /tmp/triggered; id -u >> /tmp/triggered
ONBUILD ENV FROM_TRIGGER=$A
USER app
"""

ON_TOP = [
    ("bare", "FROM base:1\n"),
    ("more", "FROM base:1\nENV B=top C=$A\nLABEL b=top\nVOLUME /more\nEXPOSE 81\nUSER root\nRUN echo $- > flags; rm -rf /opaque; echo later > /data/e\nCOPY trigger .\nCMD [\"top\"]\nHEALTHCHECK NONE\n"),
    ("entry", "FROM base:1 AS x\nENTRYPOINT other\nFROM x\nWORKDIR sub\n"),
    ("copied", "FROM scratch\nCOPY --from=base:1 /opaque /opaque\nCOPY --from=base:1 /work /o/new /w/\n"),
]


@pytest.fixture(scope="module")
def base_image(builders, tmp_path_factory):
    """The same image under both: docker's, read by us."""
    cooper, docker = builders
    top = tmp_path_factory.mktemp("base")
    (top / "Dockerfile").write_text(BASE)
    docker("build", "--network", "host", "-t", "base:1", top)
    docker("save", "-o", top / "base.tar", "base:1")
    cooper("image", "import", top / "base.tar")


@pytest.mark.parametrize("dockerfile", [d for _, d in ON_TOP], ids=[n for n, _ in ON_TOP])
def test_on_top_of_an_image(dockerfile, builders, base_image, context, tmp_path):
    ctx = context({"Dockerfile": dockerfile, "trigger": "t"})
    compare(*images(builders, ctx, [], tmp_path))


REFUSED = {
    "missing": "FROM bb\nCOPY nope /\n",
    "missing_in_dir": "FROM bb\nCOPY d/nope /\n",
    "ignored": "FROM bb\nCOPY secret /\n",
    "outside": "FROM bb\nCOPY ../Dockerfile.other /\n",
    "broken_link": "FROM bb\nCOPY broken /\n",
    "file_onto_directory": "FROM bb\nRUN mkdir -p /x/a\nCOPY a /x/\n",
    "directory_onto_file": "FROM bb\nCOPY d /etc/passwd\n",
    "parent_is_file": "FROM bb\nCOPY a /etc/passwd/x\n",
    "later_stage": "FROM bb AS x\nCOPY --from=later /a /\nFROM bb AS later\nFROM x\n",
    "cycle": "FROM bb AS a\nCOPY --from=a /x /\n",
    "url_gone": "FROM bb\nADD @URL@/gone /\n",
    "unknown_user": "FROM bb\nUSER nobody-here\nRUN true\n",
    "unknown_group": "FROM bb\nUSER app:nobody-here\nRUN true\n",
    "failing": "FROM bb\nRUN exit 3\n",
    "no_such_program": 'FROM bb\nRUN ["/nope"]\n',
    "workdir_is_file": "FROM bb\nWORKDIR /etc/passwd\n",
    "onbuild_from": "FROM bb\nONBUILD FROM x\n",
    "onbuild_onbuild": "FROM bb\nONBUILD ONBUILD RUN x\n",
    "no_from": "RUN x\n",
    "env_without_value": "FROM bb\nENV a\n",
    "expose_words": "FROM bb\nEXPOSE many\n",
    "flag": "FROM bb\nCOPY --nope=1 a /\n",
    "expansion": "FROM bb\nENV a=${b\n",
    "required": 'FROM bb\nARG V\nLABEL a=${V:?must be given}\n',
    "signal": "FROM bb\nSTOPSIGNAL SIGNOPE\n",
    "copy_one_word": "FROM bb\nCOPY a\n",
    "blank_image": "ARG I\nFROM $I\n",
    "stage_name": "FROM bb AS 1x\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(name, builders, context, url):
    cooper, docker = builders
    ctx = context({"Dockerfile": REFUSED[name].replace("@URL@", url), "a": "A", "d/x": "X", "secret": "", ".dockerignore": "secret\n"})
    os.symlink("nowhere", ctx / "broken")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        theirs = pool.submit(docker, "build", "--network", "host", ctx, code=1)
        cooper("build", ctx, "--progress", "plain", code=1)
        theirs.result()
