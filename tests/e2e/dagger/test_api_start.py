# SPDX-License-Identifier: Apache-2.0
"""How programs come to a session: under `cooper session -- CMD`, started plainly through the SDK's own variable, or by hand."""

import json
import os
import signal
import subprocess
import time

import pytest

import sdk as sdks

PYTHON_PROGRAM = """
import anyio, dagger, os, sys
from dagger import dag

async def main():
    async with dagger.connection():
        out = await dag.container().from_("busybox").with_exec(["echo", "ran in", os.environ.get("LABEL", "a session")]).stdout()
        print(out, end="")
        if "fail" in sys.argv:
            await dag.container().from_("busybox").with_exec(["sh", "-c", "echo because >&2; exit 6"]).sync()

anyio.run(main)
"""

NODE_PROGRAM = """
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
const found = createRequire(process.env.SDK_PLACE + "/package.json").resolve("@dagger.io/dagger");
const { dag, connection, connect } = await import(pathToFileURL(found));

await connection(async () => {
  const out = await dag.container().from("busybox").withExec(["echo", "ran in", process.env.LABEL ?? "a session"]).stdout();
  process.stdout.write(out);
  if (process.argv.includes("fail")) await dag.container().from("busybox").withExec(["sh", "-c", "echo because >&2; exit 6"]).sync();
});
// The older way, with a client of its own.
await connect(async (client) => { process.stdout.write((await client.container().from("busybox").withExec(["echo", "again"]).stdout())); });
"""


@pytest.fixture(params=sdks.NAMES)
def program(request, tmp_path):
    """The command line of a whole program, and what it prints."""
    if request.param in sdks.PYTHONS:
        (tmp_path / "program.py").write_text(PYTHON_PROGRAM)
        return [str(sdks.PYTHONS[request.param]), str(tmp_path / "program.py")], "ran in a session\n"
    (tmp_path / "program.mjs").write_text(NODE_PROGRAM)
    return ["node", str(tmp_path / "program.mjs")], "ran in a session\nagain\n"


def run(world, command, **env):
    environment = sdks.clean_environment(COOPER_HOME=world.home, SDK_PLACE=sdks.SDK / "node", **env)
    return subprocess.run(command, env=environment, cwd=world.work, capture_output=True, text=True, timeout=120)


def test_under_cooper_session(world, program, cooper_bin):
    command, wanted = program
    done = run(world, [cooper_bin, "session", "--", *command])
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr[-3000:]
    assert "ran in a session" not in done.stderr or "echo" in done.stderr, done.stderr


def test_a_failing_program_under_cooper_session(world, program, cooper_bin):
    command, _ = program
    done = run(world, [cooper_bin, "session", "--", *command, "fail"])
    assert done.returncode == 1, done
    assert "exit code: 6" in done.stderr and "because" in done.stderr, done.stderr[-3000:]


def test_started_plainly(world, program, cooper_bin):
    """The SDK starts the session itself, with its labels, and ends it in its own way."""
    command, wanted = program
    done = run(world, command, _EXPERIMENTAL_DAGGER_CLI_BIN=cooper_bin)
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr[-3000:]


def test_a_failing_program_started_plainly(world, program, cooper_bin):
    command, _ = program
    done = run(world, [*command, "fail"], _EXPERIMENTAL_DAGGER_CLI_BIN=cooper_bin)
    assert done.returncode == 1 and "exit code: 6" in done.stderr, done.stderr[-3000:]


def test_nothing_is_left_running(world, program, cooper_bin):
    command, _ = program
    run(world, command, _EXPERIMENTAL_DAGGER_CLI_BIN=cooper_bin)
    left = subprocess.run(["pgrep", "-f", f"{cooper_bin} session --label"], capture_output=True, text=True).stdout.split()
    assert left == []


def test_environment_of_the_program(world, cooper_bin):
    done = run(world, [cooper_bin, "session", "--", "env"], KEPT="yes")
    env = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert done.returncode == 0 and int(env["DAGGER_SESSION_PORT"]) > 0 and env["DAGGER_SESSION_TOKEN"] and env["KEPT"] == "yes"
    assert not [name for name in env if name.startswith("OTEL_")]


@pytest.mark.parametrize("script, code", [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)])
def test_the_status_of_the_program_is_the_status(world, script, code, cooper_bin):
    assert run(world, [cooper_bin, "session", "--", "sh", "-c", script]).returncode == code


def test_a_program_that_is_not_there(world, cooper_bin):
    done = run(world, [cooper_bin, "session", "--", "no-such-program"])
    assert done.returncode in (1, 2, 127) and "no-such-program" in done.stderr, done


def test_input_and_output_are_those_of_the_program(world, cooper_bin):
    environment = sdks.clean_environment(COOPER_HOME=world.home)
    done = subprocess.run([cooper_bin, "session", "--", "cat"], env=environment, input="passed through", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "passed through"), done.stderr


def test_the_contract(new_session):
    session = new_session(args=["--label", "dagger.io/sdk.name:python", "--label", "dagger.io/sdk.version:0.21.11", "--label", "what.ever:x"])
    assert set(json.loads(session.first_line)) == {"port", "session_token"}
    assert session.data("{ version }")
    assert session.end("stdin") == 0
    assert session.lines.get(5) == ""


def test_workdir(new_session, tmp_path):
    (tmp_path / "here").write_text("x")
    session = new_session(args=["--label", "a:b", "--workdir", str(tmp_path), "--load-workspace-modules"])
    assert session.data('{ host { directory(path: ".") { entries } } }')["host"]["directory"]["entries"] == ["here"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_ended_by_a_signal(new_session, how):
    session = new_session()
    assert session.data("{ version }")
    assert session.end(how) == 0


@pytest.mark.parametrize("how", ["stdin", signal.SIGTERM])
def test_ended_while_something_runs(new_session, nonce, how):
    session = new_session()
    script = f"sleep 432.1; echo {nonce}"
    body = json.dumps({"query": '{ container { from(address: "busybox") { withExec(args: ["sh", "-c", "%s"]) { stdout } } } }' % script})
    client = subprocess.Popen(
        ["curl", "-s", "-u", f"{session.token}:", "-d", body, f"http://127.0.0.1:{session.port}/query"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 20
        while not subprocess.run(["pgrep", "-f", script], capture_output=True).stdout.split()[1:]:
            assert time.monotonic() < end, session.tail()
            time.sleep(0.1)
        began = time.monotonic()
        assert session.end(how) == 0
        assert time.monotonic() - began < 15
        client.wait(10)
        assert not [p for p in subprocess.run(["pgrep", "-f", script], capture_output=True, text=True).stdout.split() if int(p) != client.pid]
    finally:
        client.kill()
        client.wait()


def test_ready_at_once(new_session):
    """Time to the first line, of which our own share is small; the best of several, as the machine has other work."""
    best = min(new_session().ready_after for _ in range(5))
    assert best < 0.05, best


def test_logs_go_to_stderr_alone(new_session, nonce):
    session = new_session()
    session.data('{ container { from(address: "busybox") { withExec(args: ["echo", "%s"]) { stdout } } } }' % nonce)
    assert session.end() == 0 and session.lines.get(5) == ""
    assert nonce in session.log.read_text()


def test_python_refuses_a_port_without_a_token(world, tmp_path):
    """What the SDK does with half of the pair: nothing of ours, but it tells that the pair is what it reads."""
    (tmp_path / "p.py").write_text(PYTHON_PROGRAM)
    done = run(world, [str(sdks.PYTHONS["python-0.21"]), str(tmp_path / "p.py")], DAGGER_SESSION_PORT="1")
    assert done.returncode == 1 and "DAGGER_SESSION_TOKEN" in done.stderr


def test_progress_names_the_steps(world, program, nonce, cooper_bin):
    command, _ = program
    done = run(world, [cooper_bin, "session", "--", *command], LABEL=nonce)
    assert done.returncode == 0 and nonce in done.stdout
    assert "echo" in done.stderr and nonce in done.stderr, done.stderr[-2000:]


def test_a_store_that_cannot_be_made(tmp_path, cooper_bin):
    (tmp_path / "file").write_text("")
    environment = sdks.clean_environment(COOPER_HOME=tmp_path / "file" / "home")
    done = subprocess.run([cooper_bin, "session"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and done.stdout == "" and "file" in done.stderr, done


def test_the_older_python_connection(world, tmp_path, cooper_bin):
    """dagger.Connection, with a client of its own."""
    (tmp_path / "p.py").write_text(
        "import anyio, dagger\nasync def main():\n    async with dagger.Connection() as client:\n"
        "        print(await client.container().from_('busybox').with_exec(['echo', 'older']).stdout(), end='')\nanyio.run(main)\n"
    )
    for name, python in sdks.PYTHONS.items():
        done = run(world, [cooper_bin, "session", "--", str(python), str(tmp_path / "p.py")])
        assert (done.returncode, done.stdout) == (0, "older\n"), (name, done.stderr[-2000:])


def test_a_workdir_of_the_sdk(world, tmp_path, cooper_bin):
    """Config(workdir=...) reaches the session as --workdir."""
    (tmp_path / "seen").write_text("")
    (tmp_path / "p.py").write_text(
        "import anyio, dagger, sys\nfrom dagger import dag\nasync def main():\n    async with dagger.connection(dagger.Config(workdir=sys.argv[1], log_output=sys.stderr)):\n"
        "        print(await dag.host().directory('.').entries())\nanyio.run(main)\n"
    )
    for name, python in sdks.PYTHONS.items():
        done = run(world, [str(python), str(tmp_path / "p.py"), str(tmp_path)], _EXPERIMENTAL_DAGGER_CLI_BIN=cooper_bin)
        assert done.returncode == 0 and "seen" in done.stdout, (name, done.stderr[-2000:])
    assert os.path.exists(tmp_path / "seen")
