# SPDX-License-Identifier: Apache-2.0
"""
Fixtures for tests that drive the real binary ($COOPER_BIN, default build-test/cooper) against real peers.

Every test has a store of its own ($COOPER_HOME in tmp_path). Base images: "busybox:latest" (Debian's busybox-static in a tiny root file system, imported
by the binary) and, where a test asks for `debian`, "debian:bookworm-slim" by mmdebstrap, made once and kept in $COOPER_TEST_CACHE.
Servers listen on loopback and are ended by pid.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile
import time

import pytest
from ports import free_port, wait_for_port  # noqa: F401, for tests too

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("COOPER_BIN", str(ROOT / "build-test" / "cooper"))
# Debian's: another docker that comes first in PATH may lack what this one has built in.
DOCKER = "/usr/bin/docker"
CACHE = pathlib.Path(os.environ.get("COOPER_TEST_CACHE", ROOT / "build-test" / "cache"))


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitize: also run with the ASan+UBSan build")
    config.addinivalue_line("markers", "slow: takes more than ten seconds")


class Result:
    def __init__(self, run):
        self.code, self.out, self.err = run.returncode, run.stdout, run.stderr

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-8000:]}"


class Cooper:
    """Runs the binary with one store. cooper("build", ".", cwd=...) asserts success; code=1 expects that status, code=None any."""

    def __init__(self, home, env=None):
        self.home = pathlib.Path(home)
        self.env = {**os.environ, "COOPER_HOME": str(home), **(env or {})}

    def __call__(self, *args, cwd=None, code=0, env=None, input=None, timeout=300):
        run = subprocess.run(
            [BIN, *map(str, args)],
            cwd=cwd,
            env={**self.env, **(env or {})},
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        result = Result(run)
        assert code is None or run.returncode == code, result
        assert "AddressSanitizer" not in run.stderr and "runtime error:" not in run.stderr, result
        return result

    def start(self, *args, cwd=None, env=None, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([BIN, *map(str, args)], cwd=cwd, env={**self.env, **(env or {})}, text=True, errors="replace", **kw)

    def build(self, directory, *args, **kw):
        """Build a directory; returns the metadata file as a dict (with .result)."""
        meta = pathlib.Path(directory) / "../metadata.json"
        meta = meta.resolve()
        result = self("build", directory if str(directory).startswith("/") else f"./{directory}", "--progress", "plain", "--metadata-file", meta, *args, **kw)
        if result.code:
            return result
        data = json.loads(meta.read_text())
        meta.unlink()
        data["result"] = result
        return data

    def files(self, image):
        """Every entry of an image of the store, merged: path -> TarInfo (with .data for small files)."""
        return merged_files(self, image)

    @contextlib.contextmanager
    def serving(self, *args):
        proc = self.start("serve", "--listen", "127.0.0.1:0", *args)
        try:
            line = proc.stdout.readline()
            found = re.search(r"listening on https?://([0-9.]+:\d+)", line)
            assert found, (line, proc.poll(), proc.stderr.read() if proc.poll() is not None else "")
            yield found.group(1)
        finally:
            if proc.poll() is None:
                proc.send_signal(signal.SIGTERM)
            try:
                _, err = proc.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                proc.kill()
                raise
            assert "AddressSanitizer" not in err and "runtime error:" not in err, err


class Entry:
    """A tar member with the data of small regular files."""

    def __init__(self, tar, member):
        self.info = member
        self.data = tar.extractfile(member).read() if member.isreg() and member.size < 1 << 20 else None

    def __getattr__(self, name):
        return getattr(self.info, name)


def merged_files(cooper, image):
    import tempfile

    with tempfile.TemporaryDirectory() as tmp:
        archive = os.path.join(tmp, "image.tar")
        cooper("image", "copy", f"store:{image}", f"oci-archive:{archive}")
        return layers_of_archive(archive)


def layers_of_archive(archive):
    """Apply the layers of an OCI archive the plain way, in Python."""
    import gzip
    import io

    merged = {}
    with tarfile.open(archive) as outer:

        def blob(digest):
            return outer.extractfile("blobs/" + digest.replace(":", "/")).read()

        index = json.loads(outer.extractfile("index.json").read())
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            raw = blob(layer["digest"])
            if raw[:2] == b"\x1f\x8b":
                raw = gzip.decompress(raw)
            with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
                for member in tar:
                    path = member.name.strip("/")
                    base = os.path.basename(path)
                    parent = os.path.dirname(path)
                    if base == ".wh..wh..opq":
                        for old in [p for p in merged if p.startswith(parent + "/")]:
                            del merged[old]
                    elif base.startswith(".wh."):
                        gone = os.path.join(parent, base[4:])
                        for old in [p for p in merged if p == gone or p.startswith(gone + "/")]:
                            del merged[old]
                    else:
                        merged[path] = Entry(tar, member)
    return merged


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def bare(home):
    """A cooper with an empty store."""
    return Cooper(home)


@pytest.fixture(scope="session")
def busybox_tar():
    """A root file system of one static program."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "busybox.tar"
    program = shutil.which("busybox")
    assert program, "busybox-static is missing: scripts/deps.sh test"
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(path, "w") as tar:
        for d, mode in [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("usr", 0o755), ("usr/bin", 0o755), ("var", 0o755)]:
            info = tarfile.TarInfo(d)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, mode, 1600000000
            tar.addfile(info)

        def add(name, data, mode=0o644):
            import io

            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), mode, 1600000000
            tar.addfile(info, io.BytesIO(data))

        add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n")
        add("etc/group", b"root:x:0:\nnogroup:x:65534:\nstaff:x:50:app\napp:x:1001:\n")
        add("bin/busybox", pathlib.Path(program).read_bytes(), 0o755)
        for applet in applets:
            if applet != "busybox":
                info = tarfile.TarInfo("bin/" + applet)
                info.type, info.linkname, info.mtime = tarfile.SYMTYPE, "busybox", 1600000000
                tar.addfile(info)
    return path


@pytest.fixture
def cooper(bare, busybox_tar):
    """A cooper whose store has busybox:latest."""
    bare("image", "import", busybox_tar, "--name", "busybox:latest")
    return bare


@pytest.fixture(scope="session")
def debian_tar():
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "debian.tar"
    if not path.exists():
        partial = path.with_suffix(".partial.tar")
        subprocess.run(["mmdebstrap", "--variant=minbase", "bookworm", partial], check=True, capture_output=True)
        partial.rename(path)
    return path


@pytest.fixture
def debian(bare, debian_tar):
    """A cooper whose store has debian:bookworm-slim."""
    bare("image", "import", debian_tar, "--name", "debian:bookworm-slim")
    return bare


@pytest.fixture
def context(tmp_path):
    """context({"Dockerfile": "...", "a/b": b"..."}) writes a build context and gives its path."""

    def make(files, name="context"):
        top = tmp_path / name
        top.mkdir(exist_ok=True)
        for path, content in files.items():
            target = top / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                target.write_text(content)
        return top

    return make


@contextlib.contextmanager
def running_docker_registry(place, auth=""):
    """Debian's docker-registry on a free port: "127.0.0.1:PORT". auth: more of its configuration."""
    place.mkdir(exist_ok=True)
    port = free_port()
    config = place / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {place}/registry}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
    )
    proc = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, proc)
        yield f"127.0.0.1:{port}"
    finally:
        proc.terminate()
        proc.wait(20)


@pytest.fixture
def docker_registry(tmp_path):
    with running_docker_registry(tmp_path / "docker-registry") as address:
        yield address


@pytest.fixture
def closed_registry(tmp_path):
    """docker-registry that wants "dev" and "s3cret"."""
    place = tmp_path / "closed-registry"
    place.mkdir()
    # bcrypt of s3cret
    (place / "htpasswd").write_text("dev:$2b$05$Mm/ugyz4RwyiVhvXD5j4sO7NRKKWrttbRZx6JyAaf3M88sy1VR5Qq\n")
    with running_docker_registry(place, f"auth: {{htpasswd: {{realm: test, path: {place}/htpasswd}}}}\n") as address:
        yield address


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory):
    """Debian's docker daemon with a directory of its own: the environment that its clients need."""
    if not shutil.which("dockerd"):
        pytest.fail("dockerd is missing: scripts/deps.sh test")
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root")
    top = tmp_path_factory.mktemp("dockerd")
    address = f"unix://{top}/docker.sock"
    log = (top / "log").open("wb")
    proc = subprocess.Popen(
        ["dockerd", "-H", address, "--data-root", top / "data", "--exec-root", top / "exec", "-p", top / "pid", "--iptables=false", "--bridge=none", "--storage-driver", "vfs"],
        stdout=log,
        stderr=log,
    )
    try:
        # No settings of the user: theirs may name proxies, which end up in builds.
        env = {**os.environ, "DOCKER_HOST": address, "DOCKER_CONFIG": str(top / "config")}
        for _ in range(600):
            if subprocess.run([DOCKER, "version"], env=env, capture_output=True).returncode == 0:
                break
            assert proc.poll() is None, (top / "log").read_text()[-3000:]
            time.sleep(0.1)
        yield env
    finally:
        proc.terminate()
        proc.wait(30)
        shutil.rmtree(top / "data", ignore_errors=True)
