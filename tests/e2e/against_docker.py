# SPDX-License-Identifier: Apache-2.0
"""
For test_against_docker_*.py: the same contexts built by Debian's docker (BuildKit) and by us give the same files and the same image config.

Each case is a Dockerfile with its context. Docker's image is the expectation; where docker 20.10 does not do what today's Dockerfile reference says, the case
has an `instead` that turns docker's result into what the reference asks for, with the reason.
"""

import collections
import concurrent.futures
import functools
import hashlib
import http.server
import io
import json
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


class Cases(list):
    """What one file of tests compares."""

    def add(self, name, dockerfile, files=None, make=None, args=(), instead=None):
        """files: path -> text; make(ctx): what plain files cannot say; args: of both builds; instead(image): docker's result made the reference's."""
        self.append(Case(name, dockerfile, files or {}, make, args, instead))


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


def same_image(what, builders, context, tmp_path, url):
    ctx = context({"Dockerfile": what.dockerfile.replace("@URL@", url).encode(), **what.files})
    if what.make:
        what.make(ctx)
    args = [a.replace("@CONTEXT@", str(ctx)) for a in what.args]
    ours, theirs = images(builders, ctx, args, tmp_path)
    if what.instead:
        what.instead(theirs)
    compare(ours, theirs)
