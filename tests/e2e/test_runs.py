# SPDX-License-Identifier: Apache-2.0
"""
Runs, jobs and logs of releases that are worked off on this machine.

A step that waits at the gate goes on when the test opens it: a file in its cache volume. So nothing here depends on how fast something is.
"""

import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import time

import pytest
from conftest import BIN, Cooper
from git_lab import GitLab
from places import tmpfs

GATE = "RUN --mount=type=cache,id=gate,target=/gate echo at the gate; until [ -e /gate/open ]; do sleep 0.1; done; echo through the gate\n"


def dockerfile(*steps):
    return "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\n" + "".join(steps)


FILES = {
    "containers/web/Dockerfile": dockerfile("RUN echo page > /page\n"),
    "containers/bad/Dockerfile": dockerfile("RUN echo fine\n", "RUN echo why it failed; echo and more >&2; exit 7\n"),
    "containers/slow/Dockerfile": dockerfile(GATE),
    "containers/two/Dockerfile": dockerfile("RUN echo the dockerfile of two\n"),
    "containers/two/default.nix": "{ }: # version =\n  version = \"2.0\";\n",
}


class Lab(GitLab):
    def __init__(self, top, cooper):
        super().__init__(top, FILES)
        self.cooper = cooper
        self.tag = f"v1.2.3-{self.first[:7]}"

    def __call__(self, *args, **kw):
        return self.cooper(*args, cwd=self.repo, **kw)

    def start(self, *args, **kw):
        return self.cooper.start(*args, cwd=self.repo, **kw)

    def run(self, number):
        return json.loads(self("logs", number, "--json").out)

    def jobs(self, number):
        return [(job["kind"], job["status"]) for job in self.run(number)["jobs"]]

    def log(self, number, index=0):
        return self("logs", number, "-j", index).out

    def reach_gate(self, number):
        """Until the run's step waits there."""
        wait_until(lambda: self("logs", number, "-j", 0, code=None).out.count("at the gate") > 1)

    def open_gate(self):
        volumes = list((self.cooper.home / "volumes").iterdir())
        (next(v for v in volumes if v.is_dir()) / "open").write_text("")

    def workers(self):
        """Processes that were left behind in this test's store."""
        mine = f"--home={self.cooper.home}".encode()
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mine in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


@pytest.fixture
def lab(tmp_path, cooper):
    lab = Lab(tmp_path, cooper)
    yield lab
    for pid in lab.workers():
        os.kill(pid, signal.SIGKILL)


def end(proc, code=0):
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == code, (out, err)
    assert "AddressSanitizer" not in err and "runtime error:" not in err, err
    return out, err


@pytest.mark.sanitize
def test_several_containers(lab):
    done = lab("release", "bad", "nope", "web", code=1)
    assert [line for line in done.out.splitlines() if line.startswith("run ")] == ["run 1", "run 2"]
    assert done.out.index("run 2") < done.out.index("failed"), "all numbers come before the work"
    assert f"published  127.0.0.1:5000/lab/web:{lab.tag}@sha256:" in done.out
    assert "failed     dockerfile: containers/bad/Dockerfile:4" in done.out
    assert 'no container "nope"' in done.err and "whole log: cooper logs 1 -j 0" in done.err
    assert lab.jobs(1) == [("dockerfile", "failure")] and lab.jobs(2) == [("dockerfile", "success")]
    listed = lab("logs").out.splitlines()
    assert listed[0].split() == ["RUN", "STATUS", "CONTAINER", "TAG", "RUNNER", "AGE", "TIME"]
    assert [line.split()[:5] for line in listed[1:]] == [["2", "success", "web", lab.tag, "local"], ["1", "failure", "bad", lab.tag, "local"]]
    shown = lab("logs", 1).out
    assert lab.first in shown and "bad (dockerfile)" in shown and "exit code 7" in shown
    assert len(lab("logs", "-n", 1).out.splitlines()) == 2
    assert [run["number"] for run in json.loads(lab("logs", "--json").out)] == [2, 1]


def test_the_log_of_a_failure_is_whole(lab):
    lab("release", "bad", "--progress", "quiet", code=1)
    log = lab.log(1)
    assert log.splitlines()[0] == f"run 1, job 0: dockerfile of bad -> 127.0.0.1:5000/lab/bad:{lab.tag}"
    for part in (lab.first, "fine\n", "why it failed\n", "and more\n", "containers/bad/Dockerfile:4\n", ">>> RUN echo why it failed", "exit code 7", "\nfailed after "):
        assert part in log, part
    again = lab("release", "bad", code=1)
    assert "why it failed" in again.err
    # a cached step is in the log, too
    assert "RUN echo fine\n" in lab.log(2) and "CACHED" in lab.log(2)


def test_json_tells_the_run(lab):
    told = json.loads(lab("release", "web", "--json").out)
    assert (told["run"], told["via"], told["status"]) == (1, "local", "success")
    assert told["jobs"][0]["status"] == "success" and told["jobs"][0]["digest"] == lab.run(1)["jobs"][0]["digest"]
    failed = json.loads(lab("release", "bad", "--json", code=1).out)
    assert failed["status"] == "failure" and "exit code 7" in failed["jobs"][0]["error"]
    assert "run" not in json.loads(lab("release", "web", "--json", "--dry-run").out)
    assert len(json.loads(lab("logs", "--json").out)) == 2


def test_a_dry_run_queues_nothing(lab):
    shown = lab("release", "web", "--dry-run").out
    assert f"dockerfile   -> 127.0.0.1:5000/lab/web:{lab.tag}  (runner k8s)" in shown and "run " not in shown.replace("(runner", "")
    assert lab("logs").out == "no runs yet\n"


def test_numbers_of_jobs_are_those_of_their_run(lab):
    """A run has two jobs, so that the next one's job 0 is the third of all."""
    lab("release", "two", "web", code=1)
    assert lab.jobs(1) == [("dockerfile", "success"), ("nix", "failure")]
    assert "the dockerfile of two" in lab.log(1) and "nix of two" in lab.log(1, 1)
    assert lab.log(2).startswith("run 2, job 0: dockerfile of web")
    both = lab("logs", 1, "-f").out
    assert "==> job 0: dockerfile <==" in both and both.index("==> job 1: nix <==") > both.index("the dockerfile of two")


def test_what_is_not_there_is_said(lab):
    assert "there is no run 3: nothing was released yet" in lab("logs", 3, code=1).err
    lab("release", "web")
    assert "there is no run 3: there is only run 1" in lab("logs", 3, code=1).err
    assert "run 1 has no job 2: it has only 0" in lab("logs", 1, "-j", 2, code=1).err
    assert "run 1 has no job 2" in lab("logs", 1, "-j", 2, "-f", code=1).err
    assert "a run is named by its number" in lab("logs", "web", code=2).err
    assert "which run?" in lab("logs", "-f", code=2).err
    assert "names no server" in lab("logs", "--via", "server", code=2).err
    assert "--via is local or server" in lab("release", "web", "--via", "x", code=2).err
    (lab.cooper.home / "logs/runs/1.log").unlink()
    assert "the log of run 1, job 0 is not kept any more" in lab("logs", 1, "-j", 0, code=1).err
    # runs are the store's, not the repository's
    assert lab.cooper("logs", cwd="/").out.splitlines()[1].split()[0] == "1"


def test_detach_and_follow_from_elsewhere(lab):
    told = lab("release", "slow", "web", "--detach").out
    assert "run 1  (cooper logs 1 -j 0 -f)\n" in told and "run 2  (cooper logs 2 -j 0 -f)\n" in told
    assert "has not begun: there is no log yet" in lab("logs", 2, "-j", 0, code=1).err
    lab.reach_gate(1)
    follower = lab.start("logs", 1, "-j", 0, "-f", "--exit-status")
    waiting = lab.start("logs", 2, "-j", 0, "-f")
    while "at the gate\n" not in follower.stdout.readline():
        pass
    assert lab.jobs(1) == [("dockerfile", "running")] and lab.jobs(2) == [("dockerfile", "waiting")]
    lab.open_gate()
    rest, _ = end(follower)
    assert "through the gate" in rest and rest.splitlines()[-1].startswith("published")
    assert "RUN echo page" in end(waiting)[0]
    assert lab.run(2)["status"] == "success"
    wait_until(lambda: not lab.workers())


def test_detach_and_follow_in_one(lab):
    followed = lab.start("release", "slow", "--detach", "--follow")
    lab.reach_gate(1)
    lab.open_gate()
    out, _ = end(followed)
    assert "through the gate" in out and out.splitlines()[-1].startswith("published  127.0.0.1:5000/lab/slow:")
    failed = lab("release", "bad", "--detach", "--follow", code=1)
    assert "why it failed" in failed.out and "exit code 7" in failed.out
    as_json = lab("release", "bad", "--detach", "--follow", "--json", code=1)
    assert json.loads(as_json.out)["status"] == "failure" and "why it failed" in as_json.err
    assert lab("logs", 2, "-j", 0, "-f", "--exit-status", code=1).out == lab("logs", 2, "-j", 0).out


def test_the_background_outlives_the_terminal(lab):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(lab.repo)
        os.execve(BIN, [BIN, "release", "slow", "--detach"], lab.cooper.env)
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    lab.reach_gate(1)
    (worker,) = lab.workers()
    assert os.getsid(worker) != os.getsid(0)
    assert {os.readlink(f"/proc/{worker}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    lab.open_gate()
    assert "through the gate" in lab("logs", 1, "-j", 0, "-f", "--exit-status").out


@pytest.mark.parametrize("detached", [False, True])
def test_a_killed_worker(lab, detached):
    proc = lab.start("release", "slow", "web", *(["--detach"] if detached else []))
    if detached:
        end(proc)
    lab.reach_gate(1)
    follower = lab.start("logs", 1, "-j", 0, "-f")
    os.kill(lab.workers()[0] if detached else proc.pid, signal.SIGKILL)
    if not detached:
        proc.wait(20)
    log, _ = end(follower)
    assert "at the gate" in log
    assert log.splitlines()[-1] == "failure: the process that worked on it is gone (killed, or the machine went down)"
    assert [lab.run(n)["jobs"][0]["error"].split(" (")[0] for n in (1, 2)] == [
        "the process that worked on it is gone",
        "the process that was to work on it ended before",
    ]
    assert "never began, so it has no log" in lab("logs", 2, "-j", 0, code=1).err
    # nothing stands in the way of the next one
    lab.open_gate()
    lab("release", "slow", "web")
    assert lab.run(3)["status"] == lab.run(4)["status"] == "success"


def test_two_releases_of_one_commit_at_once(lab):
    first = lab.start("release", "slow", "--json")
    lab.reach_gate(1)
    second = lab.start("release", "slow", "--json")
    while "waiting: another run is publishing" not in (line := second.stderr.readline()):
        assert line
    assert lab.jobs(2) == [("dockerfile", "waiting")]
    lab.open_gate()
    one, two = (json.loads(end(proc)[0])["jobs"][0] for proc in (first, second))
    assert "already" not in one and two["already"] and one["digest"] == two["digest"]
    assert "already published: " in lab.log(2)


def test_cancel_from_elsewhere(lab):
    lab("release", "slow", "two", "--detach")
    lab.reach_gate(1)
    assert lab("cancel", 2).out == "run 2: cancelled\n"
    assert lab("cancel", 1).out == "run 1: asked to stop\n"
    wait_until(lambda: lab.run(1)["status"] == "cancelled")
    assert lab.run(1)["jobs"][0]["error"] and "cancelled after" in lab.log(1)
    assert lab.jobs(2) == [("dockerfile", "cancelled"), ("nix", "cancelled")]
    assert lab("cancel", 1).out == "run 1: cancelled\n"
    lab("release", "web")
    assert "run 3 has ended: success" in lab("cancel", 3, code=1).err
    assert "there is no run 9" in lab("cancel", 9, code=1).err


def test_an_interrupt_cancels(lab):
    proc = lab.start("release", "slow", "web")
    lab.reach_gate(1)
    proc.send_signal(signal.SIGINT)
    out, _ = end(proc, code=1)
    assert "cancelled  dockerfile" in out
    assert lab.jobs(1) == lab.jobs(2) == [("dockerfile", "cancelled")]
    assert "cancelled after" in lab.log(1)


def test_who_follows_may_leave(lab):
    lab("release", "slow", "--detach")
    lab.reach_gate(1)
    watcher = lab.start("logs", 1, "-j", 0, "-f")
    while "at the gate\n" not in watcher.stdout.readline():
        pass
    watcher.send_signal(signal.SIGINT)
    assert end(watcher, code=130)[1] == ""
    follower = lab.start("release", "slow", "--detach", "--follow")
    wait_until(lambda: len(json.loads(lab("logs", "--json").out)) == 2)
    follower.send_signal(signal.SIGINT)
    assert "run 2 goes on; cooper cancel 2 stops it" in end(follower, code=1)[1]
    # and a reader that ends early is no error to tell
    reader = subprocess.Popen([BIN, "logs", "1", "-j", "0", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=lab.cooper.env, cwd=lab.repo)
    reader.stdout.readline()
    reader.stdout.close()
    lab.open_gate()
    assert reader.stderr.read() == "" and reader.wait(60) == 141
    lab("logs", 2, "-j", 0, "-f", "--exit-status")


def test_commands_that_are_told_find_the_run(lab):
    """A server is configured, --via names another place: what is told to do next says so."""
    env = {"COOPER_SERVER": "http://127.0.0.1:9"}
    said = lab("release", "web", "--via", "local", "--detach", env=env).out
    command = re.search(r"run (\d+)  \(cooper (.*)\)", said)
    assert command and command[2].endswith("--via local"), said
    assert "published" in lab(*command[2].split(), env=env).out


def test_a_full_disk_does_not_hide_what_there_is(tmp_path, busybox_tar):
    """The worker is killed and its end cannot be written down: runs are shown, and later it is noted once."""
    with tmpfs(tmp_path / "full", "16m") as home:
        lab = Lab(tmp_path, Cooper(home))
        lab.cooper("image", "import", busybox_tar, "--name", "busybox:latest")
        proc = lab.start("release", "slow")
        lab.reach_gate(1)
        with (home / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        proc.kill()
        proc.wait(10)
        for _ in range(3):
            assert [r["number"] for r in json.loads(lab("logs", "--json").out)] == [1]
            assert "at the gate" in lab.log(1)
        (home / "ballast").unlink()
        assert lab.jobs(1) == [("dockerfile", "failure")]
        assert lab.log(1).count("the process that worked on it is gone") == 1


def test_a_changed_work_tree(lab):
    lab.write("containers/web/Dockerfile", dockerfile("RUN echo changed > /page\n"))
    refused = lab("release", "web", "--force", "--detach", code=1).err
    assert "a changed work tree is not released in the background" in refused and lab("logs").out == "no runs yet\n"
    forced = json.loads(lab("release", "web", "--force", "--json").out)
    assert "-dirty-" in forced["jobs"][0]["tag"] and lab.run(1)["jobs"][0]["tag"] == forced["jobs"][0]["tag"]
    lab.commit("second", push=False)
    unpushed = lab("release", "web", "--force", "--detach", "--follow").out
    assert "-unpushed@sha256:" in unpushed.splitlines()[-1]


def test_old_runs_are_forgotten(lab):
    for _ in range(2):
        lab("release", *["web"] * 11)
    later = {"COOPER_FAKE_TIME": str(int(time.time()) + 15 * 86400)}
    assert "nothing to free" in lab("store", "gc", "--keep-days", 20).out
    assert len(list((lab.cooper.home / "logs/runs").iterdir())) == 22
    assert [line.split() for line in lab("store", "gc", env=later).out.splitlines() if line.startswith("runs")] == [["runs", "2"]]
    assert sorted(p.name for p in (lab.cooper.home / "logs/runs").iterdir()) == sorted(f"{n}.log" for n in range(3, 23))
    assert "run 2 is not kept any more: there are runs 3 to 22" in lab("logs", 2, code=1).err
    assert len(lab("logs").out.splitlines()) == 21
