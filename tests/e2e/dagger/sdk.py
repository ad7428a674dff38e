# SPDX-License-Identifier: Apache-2.0
"""`cooper session` as a process, and the official SDKs as long-lived processes that run snippets in it."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time

import translate

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SDK = pathlib.Path(os.environ.get("COOPER_SDK", ROOT / "build-sdk"))
PYTHONS = {"python-0.21": SDK / "py-0.21" / "bin" / "python", "python-0.20": SDK / "py-0.20" / "bin" / "python"}
NAMES = ["python-0.21", "python-0.20", "typescript-0.21"]
# The longest that anything here may take; a hang is a failure.
PATIENCE = float(os.environ.get("COOPER_TEST_PATIENCE", "120"))


class Lines:
    """Lines of a pipe, with a time limit."""

    def __init__(self, pipe):
        self.lines = queue.Queue()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe):
        for line in pipe:
            self.lines.put(line)
        self.lines.put("")

    def get(self, seconds):
        return self.lines.get(timeout=seconds)


def client_command(name):
    """The command line of a runner."""
    if name in PYTHONS:
        return [str(PYTHONS[name]), "-u", str(HERE / "run_python.py")]
    return ["node", str(HERE / "run_node.mjs"), str(SDK / "node")]


def clean_environment(**more):
    """What a client process gets: nothing that would make it report to somebody or find another engine."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "DAGGER_", "_EXPERIMENTAL_DAGGER"))}
    return {**kept, **{k: str(v) for k, v in more.items()}}


class Session:
    """One `cooper session`, by the contract that SDKs use: the first line of its output says where it is, closing its input ends it."""

    def __init__(self, binary, home, workdir, log, args=(), env=None):
        self.log = pathlib.Path(log)
        self.began = time.monotonic()
        with self.log.open("ab") as err:
            self.proc = subprocess.Popen(
                [binary, "session", *args],
                cwd=workdir,
                env=clean_environment(COOPER_HOME=home, **(env or {})),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )
        self.lines = Lines(self.proc.stdout)
        self.first_line = self.lines.get(30)
        self.ready_after = time.monotonic() - self.began
        assert self.first_line, f"the session said nothing and ended with {self.proc.wait(10)}\n{self.tail()}"
        said = json.loads(self.first_line)
        self.port, self.token = said["port"], said["session_token"]

    def tail(self, size=4000):
        return "--- log of the session\n" + self.log.read_text(errors="replace")[-size:]

    def alive(self):
        return self.proc.poll() is None

    def end(self, how="stdin", seconds=30):
        """Ends it; its exit status."""
        if how == "stdin":
            self.proc.stdin.close()
        else:
            self.proc.send_signal(how)
        try:
            status = self.proc.wait(seconds)
            told = self.log.read_text(errors="replace")
            assert "Sanitizer" not in told and "runtime error:" not in told, told[-8000:]
            return status
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait(10)
            raise AssertionError(f"the session did not end within {seconds} s of {how}\n{self.tail()}") from None

    def environment(self, **more):
        return clean_environment(DAGGER_SESSION_PORT=self.port, DAGGER_SESSION_TOKEN=self.token, **more)

    def headers(self, token=None):
        secret = base64.b64encode(((self.token if token is None else token) + ":").encode()).decode()
        return {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}

    def post(self, body, token=None, headers=None, path="/query", seconds=PATIENCE):
        """One request; (status, headers, body)."""
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        with contextlib.closing(wire):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            wire.request("POST", path, data, {**self.headers(token), **(headers or {})})
            answer = wire.getresponse()
            return answer.status, answer.headers, answer.read()

    def query(self, text, seconds=PATIENCE, **more):
        """A GraphQL request as any client makes it; the whole answer."""
        status, _, body = self.post({"query": text, **more}, seconds=seconds)
        assert status == 200, (status, body[:2000])
        return json.loads(body)

    def data(self, text, **more):
        answer = self.query(text, **more)
        assert not answer.get("errors"), (text[:2000], answer)
        return answer["data"]

    def error(self, text, **more):
        """The first error of a query that must fail."""
        answer = self.query(text, **more)
        assert answer.get("errors"), (text[:2000], answer)
        assert answer.get("data") is None, answer
        return answer["errors"][0]


class Failure:
    """An exception of an SDK. kind: "exec" for the SDK's own ExecError, "query" for any other answer with an error."""

    KINDS = {"ExecError": "exec", "QueryError": "query", "GraphQLRequestError": "query"}

    def __init__(self, said):
        self.kind = self.KINDS.get(said["type"], said["type"])
        self.message = said["message"]
        self.command = said.get("command")
        self.exit_code = said.get("exit_code")
        self.stdout = said.get("stdout")
        self.stderr = said.get("stderr")

    def says(self, text):
        return text.lower() in self.message.lower()

    def __repr__(self):
        return f"{self.kind}: {self.message!r} command={self.command} exit_code={self.exit_code} stdout={self.stdout!r} stderr={self.stderr!r}"


class Client:
    """An SDK in a session of its own: sdk("return await box().with_exec(...).stdout()") gives the value, sdk.fails(...) the Failure."""

    def __init__(self, name, make_session):
        self.name = name
        self.make_session = make_session
        self.session = None
        self.proc = None
        self.log = None

    @property
    def is_typescript(self):
        return self.name.startswith("typescript")

    def _start(self):
        self.session = self.make_session(self.name)
        self.log = self.session.log.with_suffix(".client")
        with self.log.open("ab") as err:
            self.proc = subprocess.Popen(
                client_command(self.name), env=self.session.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True
            )
        self.lines = Lines(self.proc.stdout)

    def ready(self):
        """Its session, started when it was not or has died."""
        if self.proc is None or self.proc.poll() is not None or not self.session.alive():
            self.stop()
            self._start()
        return self.session

    def stop(self):
        if self.proc is not None:
            with contextlib.suppress(OSError):
                self.proc.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.proc.wait(10)
            self.proc.kill()
            self.proc.wait(10)
            self.proc = None
        if self.session is not None:
            if self.session.alive():
                self.session.end()
            self.session = None

    def ask(self, code, seconds=PATIENCE, **names):
        session = self.ready()
        code = translate.javascript(dedent(code)) if self.is_typescript else dedent(code)
        try:
            self.proc.stdin.write(json.dumps({"code": code, "vars": names}) + "\n")
            self.proc.stdin.flush()
            line = self.lines.get(seconds)
        except queue.Empty:
            self.proc.kill()
            raise AssertionError(f"no answer within {seconds} s to\n{code}\n{session.tail()}") from None
        assert line, f"the client ended with {self.proc.wait(10)}\n{self.log.read_text()[-3000:]}\n{session.tail()}"
        if not session.alive():
            raise AssertionError(f"the session ended with {session.proc.returncode} on\n{code}\n{session.tail()}")
        return json.loads(line)

    def __call__(self, code, **names):
        said = self.ask(code, **names)
        assert "value" in said, f"{self.name}: {Failure(said['error'])}\n{code}\n{self.session.tail(2000)}"
        return said["value"]

    def fails(self, code, **names):
        said = self.ask(code, **names)
        assert "error" in said, f"{self.name}: no error but {said['value']!r}\n{code}"
        return Failure(said["error"])


def dedent(code):
    """Snippets are indented like the test they stand in; one line alone is an expression to return."""
    lines = [line for line in code.splitlines() if line.strip()]
    if len(lines) == 1 and not lines[0].strip().startswith("return "):
        return "return " + lines[0].strip()
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[margin:] for line in lines)


STOP = {"stdin": "stdin", "term": signal.SIGTERM, "int": signal.SIGINT}
