# SPDX-License-Identifier: Apache-2.0
"""containers/<name>/container.py: build, version, release, list; errors; the same images as a Dockerfile's; cooper session -- CMD."""

import json
import pathlib
import signal
import subprocess
import time

import pytest
import sdk as sdks
from git_lab import GitLab

PYTHON = str(sdks.PYTHONS["python-0.21"])
GOOD = '''import dagger
from dagger import dag
from lab import GREETING

VERSION = "1.4.0"


async def build(src: dagger.Directory) -> dagger.Container:
    page = src.file("containers/web/page")
    return (
        dag.container()
        .from_("busybox")
        .with_file("/srv/page", page)
        .with_exec(["sh", "-c", "cat /srv/page > /srv/copy"])
        .with_env_variable("GREETING", GREETING)
        .with_default_args(["cat", "/srv/copy"])
    )
'''


class Lab(GitLab):
    """With a container.py and a helper package."""

    def __init__(self, top, cooper):
        files = {"containers/web/container.py": GOOD, "containers/web/page": "hello\n", "src/lab/__init__.py": 'GREETING = "welcome"\n'}
        super().__init__(top, files)
        self.cooper = cooper

    def __call__(self, *args, **kw):
        return self.cooper(*args, cwd=self.repo, env={"COOPER_PYTHON": PYTHON}, **kw)


@pytest.fixture
def lab(tmp_path, world):
    return Lab(tmp_path, world.cooper)


def wait_until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def digest_of(run):
    return next(line.split()[1] for line in run.out.splitlines() if line.startswith("built "))


def test_build_and_what_is_in_it(lab, tmp_path):
    run = lab("build", "web", "-t", "web:py", "--metadata-file", tmp_path / "meta.json")
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert digest_of(run) == meta["containerimage.digest"]
    config = json.loads(lab("image", "inspect", "web:py").out)
    text = json.dumps(config)
    assert "GREETING=welcome" in text and "dev.cooper.inputs" in text
    assert lab.cooper.files("web:py")["srv/copy"].data == b"hello\n"
    again = lab("build", "web", "--progress", "plain")
    assert digest_of(again) == digest_of(run) and "exec sh -c cat /srv/page > /srv/copy\n" in again.err
    assert "CACHED" in again.err.split("exec sh -c cat /srv/page")[1].split("\n")[1]


def test_the_same_at_the_commit_and_in_the_work_tree(lab):
    assert digest_of(lab("build", "web")) == digest_of(lab("build", "web", "--ref", "HEAD"))


def test_version_does_not_run_the_file(lab):
    lab.write("containers/web/container.py", GOOD + '\nraise SystemExit("ran")\n')
    assert "1.4.0" in lab("version", "web").out


def test_release_and_list(lab):
    run = lab("release", "web")
    tag = f"v1.4.0-{lab.first[:7]}"
    assert f"homelab/web:{tag}" in run.out or f"lab/web:{tag}" in run.out
    listed = lab("list", "web").out
    assert tag in listed and "[main]" in listed and "container.py" in listed
    assert "already published" in lab("release", "web").out
    label = json.loads(lab("image", "inspect", f"127.0.0.1:5000/lab/web:{tag}").out)
    assert lab.first in json.dumps(label)


def test_it_wins_over_a_dockerfile_and_kind_chooses(lab):
    lab.write("containers/web/Dockerfile", "ARG CONTAINER_APP_VERSION=1.4.0\nFROM busybox\nRUN echo from-the-dockerfile > /which\n")
    assert "from-the-dockerfile" not in lab("build", "web", "--progress", "plain").err
    assert "from-the-dockerfile" in lab("build", "web", "--kind", "dockerfile", "--progress", "plain").err


def test_equal_steps_are_those_of_a_dockerfile(lab):
    """A RUN that a Dockerfile made is found by withExec, and the layers are the same."""
    lab.write("containers/web/Dockerfile", 'ARG CONTAINER_APP_VERSION=1.4.0\nFROM busybox\nRUN ["sh", "-c", "cat /proc/sys/kernel/random/uuid > /id"]\n')
    lab.write(
        "containers/web/container.py",
        'import dagger\nfrom dagger import dag\nVERSION = "1"\n\n\ndef build(src: dagger.Directory) -> dagger.Container:\n'
        '    return dag.container().from_("busybox").with_exec(["sh", "-c", "cat /proc/sys/kernel/random/uuid > /id"])\n',
    )
    lab("build", "web", "--kind", "dockerfile", "-t", "same:docker")
    lab("build", "web", "-t", "same:py")
    layers = [json.loads(lab("image", "inspect", name).out) for name in ("same:docker", "same:py")]
    diff_ids = [json.dumps(one).split('"diff_ids"')[1].split("]")[0] for one in layers]
    assert diff_ids[0] == diff_ids[1]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ('VERSION = "1"\ndef build(src:\n', ["containers/web/container.py:2", "SyntaxError"]),
        ('VERSION = "1"\n', ["no build function"]),
        ("import nothing_of_that_name\n", ["nothing_of_that_name", "container.py", "line 1"]),
        ('VERSION = "1"\n\n\ndef build(src):\n    return 1 // 0\n', ["line 5", "1 // 0", "ZeroDivisionError"]),
        ('VERSION = "1"\n\n\ndef build(src):\n    return src\n', ["Directory", "not a dagger.Container"]),
    ],
)
def test_errors_of_the_file(lab, text, wanted):
    lab.write("containers/web/container.py", text)
    run = lab("build", "web", code=1)
    for word in wanted:
        assert word in run.err, run.err
    assert "site-packages" not in run.err and "asyncio" not in run.err


def test_a_failing_step_shows_its_output_and_the_line_that_asked(lab):
    lab.write("containers/web/container.py", GOOD.replace("cat /srv/page > /srv/copy", "seq 5000; echo to-stderr >&2; exit 7"))
    run = lab("build", "web", code=1)
    assert "\n" in run.err and "4999" in run.err and "to-stderr" in run.err and "exit code" in run.err
    line = next(i for i, text in enumerate(GOOD.splitlines(), 1) if "with_exec" in text)
    assert f"containers/web/container.py:{line}" in run.err or f"line {line}" in run.err, run.err[-2000:]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_python_process_ends_with_cooper(lab, tmp_path, how):
    mark = tmp_path / "started"
    sleeping = f"import asyncio, os, pathlib\nVERSION = '1'\nasync def build(src):\n    pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n    await asyncio.sleep(600)\n"
    (lab.repo / "containers" / "web" / "container.py").write_text(sleeping)
    proc = lab.cooper.start("build", "web", cwd=lab.repo, env={"COOPER_PYTHON": PYTHON}, stdout=subprocess.DEVNULL)
    wait_until(lambda: mark.exists() and mark.read_text())
    python = pathlib.Path("/proc") / mark.read_text()
    proc.send_signal(how)
    err = proc.communicate(timeout=60)[1]
    assert proc.returncode != 0 and (how == signal.SIGKILL or "canceled" in err)
    wait_until(lambda: not python.exists())


def test_options_that_a_pipeline_does_not_have(lab):
    for option in (["--target", "x"], ["--build-arg", "A=1"], ["--twice"]):
        assert "has no meaning for a container.py" in lab("build", "web", *option, code=2).err


def test_an_interpreter_without_the_sdk_is_told(lab, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", bare], check=True)
    run = lab.cooper("build", "web", cwd=lab.repo, env={"COOPER_PYTHON": str(bare / "bin" / "python")}, code=1)
    assert "dagger" in run.err and "pip install dagger-io" in run.err
    run = lab.cooper("build", "web", cwd=lab.repo, env={"COOPER_PYTHON": "/no/such/python"}, code=1)
    assert "/no/such/python" in run.err and "COOPER_PYTHON" in run.err


def test_session_runs_a_program_and_has_its_status(lab, tmp_path):
    program = tmp_path / "p.py"
    program.write_text(
        "import sys, anyio, dagger\nfrom dagger import dag\n\n\nasync def main():\n    async with dagger.connection():\n"
        '        print(await dag.container().from_("busybox").with_exec(["echo", "from-the-step"]).stdout(), end="")\n    sys.exit(5)\n\n\nanyio.run(main)\n'
    )
    run = lab("session", "--", PYTHON, program, code=5)
    assert "from-the-step\n" in run.out
    assert "no program" in lab("session", "--", "/no/such/program", code=1).err


def test_the_log_of_a_release_has_what_the_file_printed(lab):
    lab("release", "web", "--progress", "quiet")
    text = GOOD.replace("    page =", '    print("printed", flush=False)\n    print("not a line", end="")\n    page =')
    lab.write("containers/web/container.py", text)
    lab.commit("prints")
    told = lab("release", "web", "--json")
    done = json.loads(told.out)
    log = lab("logs", done["run"], "-j", 0).out
    assert "\nprinted\n" in log and "\nnot a line\n" in log and "published" in log.splitlines()[-1]
    assert "printed\n" in told.err
    lab.write("containers/web/container.py", text.replace("    page =", "    1 // 0\n    page ="))
    lab.commit("raises")
    failed = lab("release", "web", "--detach", "--follow", code=1)
    for part in ("\nprinted\n", "Traceback", "1 // 0", "ZeroDivisionError", "containers/web/container.py:11"):
        assert part in failed.out, part
