# SPDX-License-Identifier: Apache-2.0
"""cooper promote, of container.py: the image over the branch's layers is the one that a build of main gives (Dockerfiles: test_promote.py)."""

import json

import pytest
import sdk as sdks
from git_lab import GitLab

PIPELINE = """import dagger
from cooper.containers import oci_labels
from dagger import dag
from lab import base

VERSION = "2.0.0"


async def build(src: dagger.Directory) -> dagger.Container:
    said = await base(dag).with_exec(["sh", "-c", "echo said"]).stdout()
    made = base(dag).with_new_file("/said", said).with_file("/page", src.file("containers/py/page")).with_exec(["cat", "/page"])
    return oci_labels(made.with_annotation("a", "b").with_user("7"), title="py", version=VERSION, description="for a test")
"""
HELPER = "def base(dag):\n    return dag.container().from_('busybox').with_env_variable('SET', 'one')\n"
PIN = "images:\n  - name: 127.0.0.1:5000/lab/py\n    newTag: {}\n"
ENV = {"COOPER_PYTHON": str(sdks.PYTHONS["python-0.21"])}


class Lab(GitLab):
    def __init__(self, top, cooper):
        super().__init__(top, {"containers/py/container.py": PIPELINE, "containers/py/page": "hello\n", "src/lab/__init__.py": HELPER})
        self.cooper = cooper

    def __call__(self, *args, **kw):
        who = {name: value for name, value in self.env.items() if name.startswith("GIT_")}
        return self.cooper(*args, cwd=self.repo, env=who | ENV, **kw)

    def commit_at(self, minute, message, **kw):
        self.env["GIT_COMMITTER_DATE"] = f"2026-01-05T10:{minute:02}:00Z"
        return self.commit(message, **kw)

    def squashed(self, also=None):
        """A branch that changes the page, is released and pinned, and is squashed onto main. Gives its job and main's commit."""
        self.git("checkout", "-q", "-b", "topic")
        self.write("containers/py/page", "bye\n")
        self.commit_at(1, "change")
        (job,) = json.loads(self("release", "py", "--json", "--progress", "quiet").out)["jobs"]
        self.write("argocd/manifests/py/kustomization.yaml", PIN.format(job["tag"]))
        self.commit_at(2, "pin")
        self.git("checkout", "-q", "main")
        self.git("merge", "-q", "--squash", "topic")
        for path, text in (also or {}).items():
            self.write(path, text)
        main = self.commit_at(3, "topic (#1)")
        self.git("push", "-q", "origin", "--delete", "topic")
        self.git("branch", "-q", "-D", "topic")
        self.git("reflog", "expire", "--expire=now", "--all")
        self.git("gc", "-q", "--prune=now")
        return job, main


@pytest.fixture
def lab(tmp_path, world):
    return Lab(tmp_path, world.cooper)


def test_a_squash_merge(lab, tmp_path, another_cooper):
    job, main = lab.squashed()
    run = lab("promote", "--commit", "--json", "--progress", "plain")
    (done,) = json.loads(run.out)["promotions"]
    assert done["action"] == "retag" and done["published"] and done["digest"] != job["digest"]
    assert "exec cat /page" not in run.err
    text = (lab.repo / "argocd/manifests/py/kustomization.yaml").read_text()
    assert text == PIN.format(f"v2.0.0-{main[:7]}")
    # and that is what a build of main gives on a machine that never saw the branch
    clone = tmp_path / "clone" / "lab"
    lab.git("clone", "-q", tmp_path / "origin.git", clone, cwd=tmp_path)
    (again,) = json.loads(another_cooper("release", "py", "--ref", main, "--json", "--progress", "quiet", cwd=clone, env=ENV).out)["jobs"]
    assert again["digest"] == done["digest"]


def test_a_helper_moved_on(lab):
    job, main = lab.squashed(also={"src/lab/__init__.py": HELPER.replace("one", "two")})
    run = lab("promote", "--progress", "plain")
    assert f"py  built  v2.0.0-{main[:7]}" in run.out and "exec cat /page" in run.err
    assert 'src/lab/__init__.py (helper) changed the pipeline: "exec cat /page" changed: SET one -> two' in run.out
    assert f"{job['tag']} [unknown" in run.out
