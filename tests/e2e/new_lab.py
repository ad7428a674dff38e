# SPDX-License-Identifier: Apache-2.0
"""What tests of `cooper new` share: a repository, and images that are run."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tarfile
import urllib.request

from git_lab import GitLab
from ports import free_port, wait_for_port

PAGE_LIMIT = 1 << 16


class NewLab(GitLab):
    """An empty repository of the namespace "lab" and a cooper; lab("new", ...) runs in it."""

    def __init__(self, top, cooper, settings="namespace: lab\n", env=None):
        top.mkdir(exist_ok=True)
        super().__init__(top, {"cooper.yaml": settings})
        self.cooper, self.extra = cooper, env or {}

    def __call__(self, *args, **kw):
        kw.setdefault("cwd", self.repo)
        return self.cooper(*args, env=self.extra, **kw)

    def files(self, folder="."):
        """Everything below a folder but git's own, sorted; folders end with a slash."""
        top = self.repo / folder
        found = [str(p.relative_to(top)) + "/" * p.is_dir() for p in top.rglob("*")]
        return sorted(p for p in found if not p.startswith(".git/"))

    def text(self, path):
        return (self.repo / path).read_text()

    def digest(self, *args):
        found = re.search(r"^built (sha256:\S+)", self("build", *args, "--progress", "plain", timeout=900).out, re.M)
        return found.group(1)

    def release(self, name):
        """Of what is committed and pushed here; the digest that was published, asked twice."""
        self.commit(f"{name}: new")
        first, second = (re.search(r"@(sha256:\S+)", self("release", name, timeout=900).out).group(1) for _ in range(2))
        assert first == second
        return first

    def goes_to_production(self, name):
        """What was released is pinned, and the check is content."""
        assert f"argocd/manifests/{name}/kustomization.yaml" in self("pin", name).out
        self.commit(f"{name}: pin")
        self("check", "--all", "--strict")


def unpack(cooper, image, top):
    """The root file system of an image of the store, and its config."""
    archive = top.with_suffix(".oci.tar")
    cooper("image", "copy", f"store:{image}", f"oci-archive:{archive}")
    top.mkdir()
    with tarfile.open(archive) as outer:

        def blob(descriptor):
            return outer.extractfile("blobs/" + descriptor["digest"].replace(":", "/")).read()

        index = json.loads(outer.extractfile("index.json").read())
        manifest = json.loads(blob(index["manifests"][0]))
        for layer in manifest["layers"]:
            subprocess.run(["tar", "-xpz", "--exclude=dev", "-C", top], input=blob(layer), check=True)
        config = json.loads(blob(manifest["config"]))
    archive.unlink()
    (top / "dev").mkdir(exist_ok=True)
    for name, minor in (("null", 3), ("urandom", 9)):
        os.mknod(top / "dev" / name, stat.S_IFCHR, os.makedev(1, minor))
        (top / "dev" / name).chmod(0o666)
    return config["config"]


@contextlib.contextmanager
def running(cooper, image, top, *args):
    """A service of an image, as its user; gives a function that gets a page of it."""
    config = unpack(cooper, image, top)
    port = free_port()
    words = [a.replace("PORT", str(port)) for a in args]
    env = dict(entry.split("=", 1) for entry in config.get("Env", []))
    command = [shutil.which("chroot"), f"--userspec={config['User']}", top, *config["Entrypoint"], *words]
    log = open(top.with_suffix(".log"), "wb+")
    proc = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **env, "PORT": str(port)}, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_port(port, proc)

        def get(path):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return answer.read(PAGE_LIMIT).decode()

        yield get
    except Exception:
        log.seek(0)
        print(io.TextIOWrapper(log, errors="replace").read())
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(proc.pid, signal.SIGKILL)
        proc.wait(20)
        log.close()


