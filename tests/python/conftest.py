# SPDX-License-Identifier: Apache-2.0
"""
python/: the loader and the helpers, with the SDK of the interpreter $COOPER_SDK_PYTHON (default build-sdk/py-0.21/bin/python), against fake_session.py.
The interpreter that runs these tests needs nothing but pytest.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOADER = ROOT / "python" / "cooper" / "loader.py"
SCHEMA = ROOT / "src" / "dagger" / "schema.graphqls"
SDK_PYTHON = os.environ.get("COOPER_SDK_PYTHON", str(ROOT / "build-sdk" / "py-0.21" / "bin" / "python"))

GOOD = """
    import dagger
    from dagger import dag

    VERSION = "1.0.0"

    async def build(src: dagger.Directory) -> dagger.Container:
        return dag.container().with_directory("/src", src)
"""


class Session:
    """A fake session; what it was asked to sync last is in .chain after it ended."""

    def __init__(self, python, rules):
        argv = [python, FAKE, SCHEMA, json.dumps(rules)]
        self.process = subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = json.loads(self.process.stdout.readline())
        self.env = {"DAGGER_SESSION_PORT": str(first["port"]), "DAGGER_SESSION_TOKEN": first["session_token"]}
        self.chain = None

    def end(self):
        out, _ = self.process.communicate("", timeout=30)
        self.chain = json.loads(out)


FAKE = pathlib.Path(__file__).with_name("fake_session.py")


class Loaded:
    def __init__(self, run, result, chain):
        self.code, self.out, self.err, self.chain = run.returncode, run.stdout, run.stderr, chain
        self.result = json.loads(result) if result else None

    @property
    def error(self):
        return self.result["error"]


class Repository:
    def __init__(self, top):
        self.top = top

    def write(self, path, text):
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
        return file

    def container(self, text, name="one"):
        return self.write(f"containers/{name}/container.py", text)

    def load(self, *args, name="one", rules=None, python=SDK_PYTHON, env=None, path=None):
        """Run the loader; rules: start a fake session with these, else there is none."""
        path = path or self.top / "containers" / name / "container.py"
        session = Session(python, rules) if rules is not None else None
        read, write = os.pipe()
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, read)
            argv = [python, "-E", LOADER, "--result", write, "--root", self.top, "--helpers", self.top / "src", *args, path]
            clean = {k: v for k, v in os.environ.items() if not k.startswith("DAGGER_")}
            try:
                run = subprocess.run(
                    list(map(str, argv)),
                    env={**clean, **(session.env if session else {}), **(env or {})},
                    input="typed",
                    capture_output=True,
                    text=True,
                    pass_fds=[write],
                    timeout=60,
                )
            finally:
                os.close(write)
                if session:
                    session.end()
            result = b""
            while chunk := os.read(read, 65536):
                result += chunk
        return Loaded(run, result, session and session.chain)


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def sdk():
    assert os.access(SDK_PYTHON, os.X_OK), f"no interpreter with dagger-io at {SDK_PYTHON}: set COOPER_SDK_PYTHON"
