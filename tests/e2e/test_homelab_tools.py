# SPDX-License-Identifier: Apache-2.0
"""What examples/homelab carries for other tools: tasks of mise, workflows of a forge, a hook of pre-commit. All of it is lines of cooper that work."""

import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from conftest import BIN, CACHE, ROOT
from git_lab import GitLab

LAB = ROOT / "examples" / "homelab"
TASKS = tomllib.loads((LAB / "mise.toml").read_text())["tasks"]
WORKFLOWS = {p.name: yaml.safe_load(p.read_text()) for p in sorted((LAB / ".forgejo/workflows").glob("*.yaml"))}
(HOOK,) = [hook for repo in yaml.safe_load((LAB / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]]


def steps():
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            yield from job["steps"]


def command_lines():
    yield from (task["run"] for task in TASKS.values())
    yield from (step["run"] for step in steps() if "run" in step)
    yield HOOK["entry"]


def assert_there_is(bare, line):
    """A command with options that it has; of a pipe each one that is cooper's."""
    if " | " in line:
        for part in line.split(" | "):
            assert_there_is(bare, part.removeprefix("xargs -r "))
        return
    for inner in re.findall(r"\$\((cooper [^)]*)\)", line):
        assert_there_is(bare, inner)
    line = re.sub(r"\$\(cooper [^)]*\)", "NAME", line)
    # "${x:+--all}" is an option that is there sometimes.
    words = shlex.split(re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", line), comments=True)
    assert words[0] == "cooper", line
    name = words[1:3] if words[1] in ("image", "store", "token") else words[1:2]
    shown = bare(*name, "--help").out
    for word in itertools.takewhile(lambda w: w != "--", words[2:]):
        if word.startswith("-"):
            option = re.escape(word.split("=")[0])
            assert re.search(rf"^ +(-\w, )?{option}\b|^ +{option}, ", shown, re.M), (line, word)


def test_every_line_is_a_command_with_options_that_there_are(bare):
    lines = list(command_lines())
    assert len(lines) >= 6
    for line in lines:
        assert_there_is(bare, line)


@pytest.mark.parametrize("path", [LAB / "README.md", ROOT / "docs/release-loop.md"], ids=lambda p: p.name)
def test_documents_name_commands_with_options_that_there_are(bare, path):
    text = path.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.strip().startswith("cooper ")]
    assert len(lines) >= 5
    for line in [*lines, *re.findall(r"`(cooper [a-z][^`|<\[]*)", text)]:
        assert_there_is(bare, line)


def test_the_tasks_have_the_names_that_people_know():
    assert {"container-build-and-release", "container-list", "runner-logs"} <= set(TASKS)


def test_workflows_ask_for_history_and_take_inputs_as_variables():
    assert set(WORKFLOWS) == {"check.yaml", "release.yaml"}
    (inputs,) = [on["workflow_dispatch"]["inputs"] for w in WORKFLOWS.values() if "workflow_dispatch" in (on := w[True])]
    assert set(inputs) == {"container", "ref"} and all(i["type"] == "string" for i in inputs.values())
    # YAML 1.1 takes the key "on" for true.
    assert set(WORKFLOWS["check.yaml"][True]) == {"pull_request", "push"}
    for step in steps():
        assert "${{" not in step.get("run", ""), "an expression in a script is a way in"
        if "checkout" in step.get("uses", ""):
            assert step["with"]["fetch-depth"] == 0


@pytest.mark.parametrize("path, matches", [("argocd/manifests/notes/kustomization.yaml", True), ("containers/notes/Dockerfile", True), ("README.md", False)])
def test_the_hook_runs_for_what_it_is_about(path, matches):
    assert bool(re.search(HOOK["files"], path)) == matches


@pytest.fixture
def lab(tmp_path):
    """The example as a repository of its own, and a PATH with cooper on it."""
    files = {str(p.relative_to(LAB)): p.read_bytes() for p in LAB.rglob("*") if p.is_file()}
    made = GitLab(tmp_path, {})
    for path, data in files.items():
        target = made.repo / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    made.commit("homelab")
    made.git("fetch", "-q", "origin")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cooper").symlink_to(BIN)
    made.env["PATH"] = f"{tmp_path}/bin:{made.env['PATH']}"
    made.env["HOME"] = str(tmp_path)
    made.env["COOPER_HOME"] = str(tmp_path / "home")
    return made


def installed(name, *command):
    """A program that is not the machine's, put once where tests keep such things."""
    found = shutil.which(name)
    if found:
        return found
    place = CACHE / name
    programs = [place / "node_modules/.bin" / name, place / "bin" / name]
    if not any(p.exists() for p in programs):
        place.mkdir(parents=True, exist_ok=True)
        for line in command:
            subprocess.run([word.replace("PLACE", str(place)) for word in line], check=True, capture_output=True)
    return next(str(p) for p in programs if p.exists())


@pytest.mark.slow
def test_mise_runs_the_tasks(lab, tmp_path):
    mise = installed("mise", ["npm", "install", "--prefix", "PLACE", "--silent", "--no-audit", "--no-fund", "@jdxcode/mise@^2026.9.15"])
    env = {**lab.env, "MISE_TRUSTED_CONFIG_PATHS": str(lab.repo), "MISE_DATA_DIR": str(tmp_path / "mise"), "MISE_YES": "1", "CI": "1"}

    def run(*args, code=0):
        run = subprocess.run([mise, "run", *args], cwd=lab.repo, env=env, capture_output=True, text=True)
        assert run.returncode == code, (run.stdout, run.stderr)
        return run.stdout + run.stderr

    sha = lab.git("rev-parse", "HEAD")
    said = run("container-build-and-release", "notes", "chores", "--ref", sha, "--dry-run")
    assert f"homelab/notes:v1.0.0-{sha[:7]}" in said and f"homelab/chores:v0.4.1-{sha[:7]}" in said
    assert 'did you mean "notes"' in run("container-build-and-release", "note", "--dry-run", code=1)
    assert "Missing required arg" in run("container-build-and-release", code=1)
    listed = run("container-list")
    assert "notes (dockerfile)" in listed and "chores (dockerfile)" in listed
    assert "chores" not in run("container-list", "notes", "--all")
    run("runner-logs")
    assert "7" in run("runner-logs", "7", "-j", "0", code=1)


@pytest.mark.slow
def test_pre_commit_runs_the_hook(lab):
    program = installed("pre-commit", [sys.executable, "-m", "venv", "PLACE"], ["PLACE/bin/pip", "install", "--quiet", "pre-commit>=4,<5"])
    subprocess.run([program, "install"], cwd=lab.repo, env=lab.env, check=True, capture_output=True)
    lab.git("switch", "-q", "-c", "next")
    lab.write("README.md", "changed")
    lab.git("commit", "-q", "-a", "-m", "the hook has no business here")
    path = "argocd/manifests/notes/kustomization.yaml"
    text = (lab.repo / path).read_text()
    for branch, taken in (("next", False), ("main", True)):
        lab.write(path, text.replace("-0000000", "-" + lab.git("rev-parse", branch)[:7]))
        run = subprocess.run(["git", "commit", "-a", "-m", "pin"], cwd=lab.repo, env=lab.env, capture_output=True, text=True)
        said = run.stdout + run.stderr
        assert (run.returncode == 0) == taken and ("[not-from-main]" in said) != taken and (f"{path}:" in said) != taken, said
