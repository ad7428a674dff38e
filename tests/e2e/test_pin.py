# SPDX-License-Identifier: Apache-2.0
"""cooper pin: byte-exact changes of manifests to what was really released, and one commit of them."""

import json
import subprocess

import pytest
from git_lab import GitLab
from places import tmpfs
from scripted_registry import Answer, scripted_registry

PREFIX = "127.0.0.1:5000/lab"
KUSTOMIZATION = """# what runs
apiVersion: kustomize.config.k8s.io/v1beta1
kind:   Kustomization
resources: [ deployment.yaml ]   # odd blanks stay

images:
- name: {prefix}/web
  newTag: "{tag}" # keep me
- {{name: {prefix}/web-exporter, newTag: v1.0.0-0000000}}
"""
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - image: {prefix}/web:kustomized
          env: [{{name: RUN, value: "docker://{prefix}/web:{tag}"}}]
"""
CRON = 'apiVersion: batch/v1\nkind: CronJob\nspec: {{jobTemplate: {{spec: {{template: {{spec: {{containers: [{{image: "{prefix}/web:{tag}"}}]}}}}}}}}}}'
OLD = "v1.0.0-0000000"
FILES = {
    "containers/web/Dockerfile": "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\nCOPY page /srv/page\n",
    "containers/web/page": "hello\n",
    "argocd/manifests/web/kustomization.yaml": KUSTOMIZATION.format(prefix=PREFIX, tag=OLD),
    "argocd/manifests/web/deployment.yaml": DEPLOYMENT.format(prefix=PREFIX, tag=OLD),
    "argocd/manifests/jobs/cron.yml": CRON.format(prefix=PREFIX, tag=OLD).replace("\n", "\r\n"),
    "argocd/manifests/broken/chart.yaml": "a: {{ if }}\n{{ end }}\n",
}
WEB, JOBS = "argocd/manifests/web/kustomization.yaml", "argocd/manifests/jobs/cron.yml"


class Lab(GitLab):
    def __init__(self, top, cooper):
        super().__init__(top, {path: text for path, text in FILES.items() if "\r" not in text})
        for path, text in FILES.items():
            (self.repo / path).parent.mkdir(parents=True, exist_ok=True)
            (self.repo / path).write_bytes(text.encode())
        self.commit("all files")
        self.cooper = cooper

    def release(self, *args):
        out = self.cooper("release", "web", "--json", "--progress", "plain", *args, cwd=self.repo).out
        return json.loads(out)["jobs"][0]

    def pin(self, *args, **kw):
        return self.cooper("pin", "web", *args, cwd=self.repo, env=self.env | kw.pop("env", {}), **kw)

    def bytes(self, path):
        return (self.repo / path).read_bytes().decode()

    def changed(self):
        return self.git("status", "--porcelain").splitlines()


@pytest.fixture
def lab(tmp_path, cooper):
    return Lab(tmp_path, cooper)


@pytest.mark.sanitize
def test_the_newest_of_main(lab):
    tag = lab.release()["tag"]
    stamp = {path: (lab.repo / path).stat().st_mtime_ns for path in FILES}
    said = lab.pin()
    assert said.err == ""
    assert said.out.splitlines() == [
        f"{WEB}:8: {PREFIX}/web {OLD} -> {tag}",
        f"{JOBS}:3: {PREFIX}/web {OLD} left alone: of another service (--all-services)",
        f"argocd/manifests/web/deployment.yaml:8: {PREFIX}/web {OLD} left alone: in a text (--env)",
    ]
    assert lab.bytes(WEB) == KUSTOMIZATION.format(prefix=PREFIX, tag=tag)
    assert lab.changed() == [f"M {WEB}"]
    assert {path for path in FILES if (lab.repo / path).stat().st_mtime_ns != stamp[path]} == {WEB}
    again = lab.pin("--commit")  # nothing to change is nothing to commit, whatever else was changed
    assert again.out.startswith(f"{WEB}:8: {PREFIX}/web {tag} already\n")
    assert lab.git("log", "-1", "--format=%s") == "all files"


def test_all_services_and_texts(lab):
    tag = lab.release()["tag"]
    said = lab.pin("--all-services", "--env").out.splitlines()
    assert len(said) == 3 and all(line.endswith(f"{OLD} -> {tag}") for line in said)
    assert lab.bytes(JOBS) == CRON.format(prefix=PREFIX, tag=tag).replace("\n", "\r\n")
    assert lab.bytes("argocd/manifests/web/deployment.yaml") == DEPLOYMENT.format(prefix=PREFIX, tag=tag)
    assert lab.bytes(WEB) == KUSTOMIZATION.format(prefix=PREFIX, tag=tag)


def test_dry_run_is_a_diff_that_git_applies(lab):
    tag = lab.release()["tag"]
    said = lab.pin("--dry-run", "--all-services", "--commit").out
    assert lab.changed() == []
    assert "\n--- a/argocd/manifests/jobs/cron.yml\n" in said and f'\n-  newTag: "{OLD}" # keep me\n+  newTag: "{tag}" # keep me\n' in said
    assert said.rstrip().endswith(f'{tag}: built from {tag.split("-")[-1]} ("all files"), which is on origin/main.')
    diff = json.loads(lab.pin("--dry-run", "--all-services", "--json").out)["diff"]
    assert diff.replace("\r\n", "\n") in said  # what is read as text loses them
    subprocess.run(["git", "apply"], input=diff.encode(), cwd=lab.repo, check=True)
    assert lab.bytes(WEB) == KUSTOMIZATION.format(prefix=PREFIX, tag=tag)
    assert lab.bytes(JOBS) == CRON.format(prefix=PREFIX, tag=tag).replace("\n", "\r\n")
    assert all(one["old"] == one["new"] or one["changed"] for one in json.loads(lab.pin("--json").out)["pins"] if "new" in one)


def test_commit(lab):
    tag = lab.release()["tag"]
    lab.write("containers/web/page", "staged\n")
    lab.git("add", "containers/web/page")
    lab.write("notes.txt", "untracked\n")
    hook = lab.repo / ".git/hooks/commit-msg"
    hook.write_text('#!/bin/sh\necho "hook ran" >&2\necho "Signed-off-by: hook" >> "$1"\n')
    hook.chmod(0o755)
    said = lab.pin("--commit")
    commit = lab.git("rev-parse", "HEAD")
    assert said.out.splitlines()[-1] == f"committed {commit[:7]}  Pin web to {tag}"
    assert "hook ran" in said.err
    assert lab.git("show", "--format=", "--name-only", "HEAD").splitlines() == [WEB]
    assert lab.git("log", "-1", "--format=%B").splitlines() == [
        f"Pin web to {tag}",
        "",
        f"{WEB}:8: {PREFIX}/web {OLD} -> {tag}",
        "",
        f'{tag}: built from {tag.split("-")[-1]} ("all files"), which is on origin/main.',
        "Signed-off-by: hook",
    ]
    assert lab.changed() == ["M  containers/web/page", "?? notes.txt"]
    assert lab.git("log", "-2", "--format=%s").splitlines()[1] == "all files"


def test_commit_is_refused_over_changes_of_the_user(lab):
    lab.release()
    mine = lab.bytes(WEB) + "# mine\n"
    lab.write(WEB, mine)
    said = lab.pin("--commit", code=1).err
    assert f"changes that are not committed would go into the commit: {WEB}" in said and "stash" in said
    assert lab.bytes(WEB) == mine
    lab.pin()  # without a commit it is an edit like theirs
    assert lab.bytes(WEB).endswith("# mine\n") and OLD not in lab.bytes(WEB).splitlines()[7]


def test_a_hook_that_refuses(lab):
    tag = lab.release()["tag"]
    hook = lab.repo / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    said = lab.pin("--commit", code=1).err
    assert "not today" in said and "the files are changed, but not committed" in said
    assert lab.bytes(WEB) == KUSTOMIZATION.format(prefix=PREFIX, tag=tag)
    assert lab.changed() == [f"M {WEB}"]


def test_commit_is_refused_before_anything_is_written(lab):
    """git itself would refuse, or commit into the middle of a rebase, when the files are changed already."""
    lab.release()
    lab.git("switch", "-q", "-c", "topic")
    lab.write("notes.txt", "topic\n")
    lab.commit("topic", push=False)
    lab.git("switch", "-q", "main")
    lab.write("notes.txt", "main\n")
    lab.commit("main")
    lab.git("switch", "-q", "topic")
    for command in ("rebase", "merge", "cherry-pick"):
        assert subprocess.run(["git", command, "main"], cwd=lab.repo, env=lab.env, capture_output=True).returncode != 0
        said = lab.pin("--commit", code=1).err
        assert f"a {command} is in progress: nothing is committed" in said and f"git {command} --continue or --abort" in said
        assert lab.changed() == ["AA notes.txt"]
        lab.git(command, "--abort")
    lab.write(".gitignore", "argocd/manifests/ignored\n")
    lab.write("argocd/manifests/ignored/kustomization.yaml", KUSTOMIZATION.format(prefix=PREFIX, tag=OLD))
    lab.commit("ignored", push=False)
    said = lab.pin("--commit", "--all-services", code=1).err
    assert "argocd/manifests/ignored/kustomization.yaml is not in HEAD" in said
    assert lab.changed() == []


def test_a_commit_of_very_many_pins(lab):
    tag = lab.release()["tag"]
    count = 3000  # the message is longer than an argument may be
    lab.write("argocd/manifests/web/many.yaml", "a:\n" + f"- image: {PREFIX}/web:{OLD}\n" * count)
    lab.commit("many")
    lab.pin("--commit")
    assert lab.git("log", "-1", "--format=%B").count(f" {OLD} -> {tag}") == count + 1
    assert lab.bytes("argocd/manifests/web/many.yaml").count(tag) == count and lab.changed() == []
    assert [path.name for path in (lab.repo / ".git").iterdir() if path.name.startswith("cooper-")] == []


def test_tags_that_name_no_commit_are_not_all_asked_for(lab):
    tags = [f"v1.0.{i}-{i:07x}" for i in range(500)]
    with scripted_registry() as registry:
        registry.answers["list?n=1000"] = Answer(200, {"Content-Type": "application/json"}, json.dumps({"name": "team/web", "tags": tags}).encode())
        lab.write("cooper.yaml", f"registry: {registry.address}\nnamespace: team\n")
        lab.write(WEB, KUSTOMIZATION.format(prefix=f"{registry.address}/team", tag=OLD))
        assert f"no tag of {registry.address}/team/web is from main; the newest is {tags[-1]} [unknown]" in lab.pin(code=1).err
        assert 50 <= len({line.split("/")[-1] for line in registry.asked()}) <= 60


def test_a_full_disk_leaves_all_as_it_was(lab):
    lab.release()
    folder = lab.repo / "argocd/manifests/web"
    with tmpfs(folder, "64k"):
        for name, size in (("a", 10), ("b", 10), ("c", 9000)):
            (folder / f"{name}.yaml").write_text(f"kind: Pod\napiVersion: v1\nspec: {{containers: [{{image: '{PREFIX}/web:{OLD}'}}]}}\n" + "#" * size)
        (folder / "filled").write_bytes(b"x" * 10 * 4096)  # one page is left: the first new file would fit
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        said = lab.pin(code=1).err
        assert "nothing was changed: " in said and "No space left on device" in said
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        (folder / "filled").unlink()
        lab.pin()
        assert all(OLD not in (folder / f"{name}.yaml").read_text() for name in "abc")


def test_names_cannot_steer_a_terminal(lab):
    tag = lab.release()["tag"]
    odd = 'argocd/manifests/web/a "b"\n\x1b[31mü.yaml'
    lab.write(odd, f"kind: Pod\napiVersion: v1\nspec: {{containers: [{{image: '{PREFIX}/web:{OLD}'}}]}}\n")
    lab.commit("odd")
    (lab.repo / WEB).unlink()
    shown = lab.pin("--dry-run")
    assert "\x1b" not in shown.out + shown.err + lab.cooper("list", cwd=lab.repo).out
    assert f'argocd/manifests/web/a "b"??[31mü.yaml:3: {PREFIX}/web {OLD} -> {tag}\n' in shown.out
    diff = json.loads(lab.pin("--dry-run", "--json").out)["diff"]
    assert diff.startswith('--- "a/argocd/manifests/web/a \\"b\\"\\012\\033[31m\\303\\274.yaml"\n')
    subprocess.run(["git", "apply"], input=diff.encode(), cwd=lab.repo, check=True)
    assert tag in lab.bytes(odd)
    lab.git("checkout", "--", odd)
    lab.pin("--commit")
    assert "\x1b" not in lab.git("log", "-1", "--format=%B") and lab.git("show", "--format=", "--name-only", "-z") == odd + "\0"


def test_branches_and_downgrades(lab):
    first = lab.release()["tag"]
    lab.git("switch", "-q", "-c", "topic")
    lab.write("containers/web/Dockerfile", FILES["containers/web/Dockerfile"].replace("1.2.3", "1.3.0"))
    lab.commit("topic work")
    branch = lab.release()["tag"]
    assert f"-> {first}" in lab.pin("--dry-run").out  # the newest of main, not the newest
    said = lab.pin("--tag", branch, code=1).err
    assert f'{PREFIX}/web:{branch} [branch]: commit {branch[-7:]} ("topic work") is not on origin/main' in said and "--allow-branch" in said
    lab.pin("--tag", branch, "--allow-branch", "--commit")
    assert 'which is not on origin/main' in lab.git("log", "-1", "--format=%b")
    said = lab.pin(code=1).err
    assert f"{WEB}:8: {first} is older than {branch}, which is pinned" in said and "--allow-downgrade" in said
    assert lab.bytes(WEB) == KUSTOMIZATION.format(prefix=PREFIX, tag=branch)
    lab.pin("--allow-downgrade")
    assert lab.bytes(WEB) == KUSTOMIZATION.format(prefix=PREFIX, tag=first)
    gone = "v9.9.9-1234567"
    said = lab.pin("--tag", gone, code=1).err
    assert f"{PREFIX}/web:{gone} is not in the registry" in said and "cooper list web" in said


def test_which_service(lab):
    tag = lab.release()["tag"]
    assert 'service "nope" does not name' in lab.pin("--service", "nope", code=1).err
    lab.pin("--service", "jobs")
    assert lab.changed() == [f"M {JOBS}"]
    lab.git("checkout", "-q", "--", ".")
    lab.git("mv", "argocd/manifests/web", "argocd/manifests/site")
    said = lab.pin(code=1).err
    assert f"{PREFIX}/web is pinned in several services: jobs, site" in said and "--service S" in said
    lab.git("rm", "-q", "-r", JOBS)
    assert lab.pin().out.splitlines()[0] == f"{WEB.replace('/web/', '/site/')}:8: {PREFIX}/web {OLD} -> {tag}"
    lab.pin("--service", "a", "--all-services", code=2)


def test_what_cannot_be_changed_is_named(lab):
    lab.release()
    alias = f"x: &t {OLD}\nimages:\n- name: {PREFIX}/web\n  newTag: *t\n"
    lab.write(WEB, alias)
    said = lab.pin(code=1).err
    assert f"{WEB}:4: it is an alias (*t): write the value out" in said and "nothing was changed" in said
    assert lab.bytes(WEB) == alias
    lab.write(WEB, "images: []\n")
    lab.write("argocd/manifests/web/bad.yaml", "a: b\nc: d: e\n")
    lab.write("argocd/manifests/jobs/cron.yml", "{}\n")
    assert "is named only in texts of env or args" in lab.pin(code=1).err
    said = lab.pin("--env").err
    assert said.startswith("warning: argocd/manifests/web/bad.yaml:2:")
    lab.write("argocd/manifests/web/deployment.yaml", "{}\n")
    assert f"no manifest names {PREFIX}/web" in lab.pin(code=1).err
    said = lab.cooper("pin", "wbe", cwd=lab.repo, code=1).err
    assert 'no container "wbe"' in said and 'did you mean "web"' in said


def test_a_foreign_registry_and_digests(lab, docker_registry):
    lab.write("cooper.yaml", f"registry: {docker_registry}\nnamespace: team\n")
    image = f"{docker_registry}/team/web"
    zeros = "sha256:" + "0" * 64
    files = {
        "argocd/manifests/web/kustomization.yaml": "images:\n- name: {image}\n  digest: {digest}\n",
        "argocd/manifests/web/pod.yaml": "kind: Pod\napiVersion: v1\nspec: {{containers: [{{image: '{image}:{tag}@{digest}'}}]}}\n",
    }
    for path, text in files.items():
        lab.write(path, text.format(image=image, tag=OLD, digest=zeros))
    lab.commit("settings")
    job = lab.release()
    said = lab.pin().out.splitlines()
    assert said == [
        f"{WEB}:3: {image} {zeros} -> {job['digest']}",
        f"argocd/manifests/web/pod.yaml:3: {image} {OLD}@{zeros} -> {job['tag']}@{job['digest']}",
    ]
    for path, text in files.items():
        assert lab.bytes(path) == text.format(image=image, tag=job["tag"], digest=job["digest"])
