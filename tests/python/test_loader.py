# SPDX-License-Identifier: Apache-2.0
"""What `cooper build` starts for a container.py: what it hands over, and what it says when something is wrong."""

import json
import shutil
import subprocess

import pytest
from conftest import GOOD, LOADER, SDK_PYTHON


def exec_error(*command):
    message = f'process "{" ".join(command)}" did not complete successfully: exit code: 2'
    extensions = {"_type": "EXEC_ERROR", "cmd": list(command), "exitCode": 2, "stdout": "much", "stderr": "more"}
    return {"message": message, "extensions": extensions}


def failing_exec(*command):
    return [{"field": "withExec", "args": list(command), "error": exec_error(*command)}]


def test_build_gets_the_sources_and_its_container_is_synced(repo):
    repo.container(GOOD)
    done = repo.load(rules=[])
    assert (done.code, done.err) == (0, "")
    assert list(done.result) == ["id", "files"]
    assert done.result["files"] == ["containers/one/container.py"]
    (_, (field, args)) = done.chain
    assert field == "withDirectory" and args["path"] == "/src"
    assert [f for f, _ in args["source"]] == ["host", "directory"]
    assert args["source"][1][1]["path"] == str(repo.top)


def test_evaluating_names_the_container_and_syncs_nothing(repo):
    repo.write("src/ours/__init__.py", "from ours.part import NAME\n")
    repo.write("src/ours/part.py", "NAME = 'x'\n")
    repo.write("src/ours/unused.py", "")
    repo.write("data/sizes.txt", "1\n")
    repo.write("elsewhere.txt", "1\n")
    repo.container('''
        import pathlib
        import ours
        from dagger import dag

        VERSION = "1"

        def build(src):
            (pathlib.Path(__file__).parents[2] / "data/sizes.txt").read_text()
            return dag.container().with_directory("/src", src)
    ''')
    done = repo.load("--evaluate", rules=[])
    assert (done.code, done.err) == (0, "")
    assert done.result["id"] and done.chain is None
    assert done.result["files"] == ["containers/one/container.py", "data/sizes.txt", "src/ours/__init__.py", "src/ours/part.py"]


def test_another_source_folder(repo):
    repo.container(GOOD)
    done = repo.load("--src", "/elsewhere", rules=[])
    assert done.chain[1][1]["source"][1][1]["path"] == "/elsewhere"


def test_a_plain_function_may_build(repo):
    repo.container(GOOD.replace("async def", "def"))
    assert repo.load(rules=[]).code == 0


@pytest.mark.parametrize("asked, has", [("linux/arm64", "linux/arm64"), (None, None)])
def test_the_platform_for_those_who_ask(repo, asked, has):
    text = GOOD.replace("(src: dagger.Directory)", "(src, platform: dagger.Platform | None = None)").replace(
        "container()", "container(platform=platform)"
    )
    repo.container(text)
    done = repo.load(*(["--platform", asked] if asked else []), rules=[])
    assert done.chain[0][1].get("platform") == has, done.err


def test_helper_packages(repo):
    repo.write("src/ours/__init__.py", "def base(dag):\n    return dag.container().from_('ours')\n")
    repo.container(
        "from ours import base\nfrom cooper.containers import oci_labels\n"
        + GOOD.replace("    ", "").replace("return", "    return base(dag)\n    return")
    )
    done = repo.load(rules=[])
    assert done.chain[1] == ["from", {"address": "ours"}], done.err


def test_a_folder_named_like_a_module_of_ours_is_no_trouble(repo):
    repo.write("src/loader.py", "WHO = 'theirs'\n")
    repo.write("src/cooper/x.txt", "")
    repo.container(
        "import loader\nassert loader.WHO == 'theirs'\nfrom cooper import containers\n" + GOOD.replace("    ", "").replace("return", "    return")
    )
    assert repo.load(rules=[]).code == 0


def test_what_the_process_is_given(repo, tmp_path):
    repo.container("""
        import os, sys
        import dagger

        VERSION = "1"

        def build(src):
            print("stdin", repr(sys.stdin.read()))
            print("python", [k for k in os.environ if k.startswith("PYTHON")])
            print("name", __name__, sys.modules[__name__].VERSION)
            os.system("ls -l /proc/self/fd | grep -c pipe:")
            return dagger.dag.container()
    """)
    repo.write("bad/json.py", "raise RuntimeError('from PYTHONPATH')\n")
    done = repo.load(rules=[], env={"PYTHONPATH": str(tmp_path / "bad"), "PYTHONWARNINGS": "error"})
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[1:] == ["stdin ''", "python []", "name container 1"]
    assert int(lines[0]) == 2, "the result's descriptor is not for children"
    assert not list(tmp_path.rglob("__pycache__"))


WRONG = {
    "no-build": ('VERSION = "1"\n', "LoadError", "no build function"),
    "no-version": ("async def build(src): pass\n", "LoadError", "no VERSION"),
    "version-not-text": ("VERSION = 3\nasync def build(src): pass\n", "LoadError", "no VERSION"),
    "build-is-no-function": ('VERSION = "1"\nbuild = 3\n', "LoadError", "no build function"),
    "too-many": ('VERSION = "1"\nasync def build(src, other): pass\n', "LoadError", "cannot be called with the sources alone"),
    "too-few": ('VERSION = "1"\n\nasync def build(): pass\n', "LoadError", "cannot be called with the sources alone"),
    "no-module": ("import nowhere.at_all\n", "ModuleNotFoundError", "nowhere"),
    "raises": ("VERSION = '1'\ndef f():\n    return 1 / 0\nf()\n", "ZeroDivisionError", "division by zero"),
    "exits": ("import sys\nsys.exit(0)\n", "LoadError", "ended the interpreter"),
    "syntax": ("VERSION = '1'\nasync def build(src)\n    pass\n", "SyntaxError", "expected"),
    "encoding": ("VERSION = '\xe9'\n", "SyntaxError", "utf-8"),
}
LINES = {"no-module": 1, "raises": 3, "syntax": 2, "too-many": 2, "too-few": 3}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files(repo, case):
    text, kind, message = WRONG[case]
    file = repo.container("")
    file.write_bytes(text.encode("latin-1"))
    done = repo.load()
    assert done.code == 1
    assert done.error["type"] == kind and message in done.error["message"]
    assert done.error.get("line") == LINES.get(case, done.error.get("line"))
    if case in LINES:
        assert done.error["file"] == "containers/one/container.py"
        assert done.error["code"] == text.splitlines()[LINES[case] - 1].strip()
    assert bool(done.err) == (kind != "LoadError"), "what the result says alone is not said twice"
    for foreign in ("loader.py", "importlib", "asyncio", str(repo.top), "site-packages"):
        assert foreign not in done.err


@pytest.mark.parametrize("what, name", [("None", "NoneType"), ("src", "Directory"), ("'x'", "str")])
def test_something_else_is_returned(repo, what, name):
    repo.container(GOOD.replace('dag.container().with_directory("/src", src)', what))
    done = repo.load(rules=[])
    assert done.code == 1
    assert done.error == {
        "type": "LoadError",
        "message": f"build() returned {name}, not a dagger.Container",
        "file": "containers/one/container.py",
        "line": 6,
        "code": "async def build(src: dagger.Directory) -> dagger.Container:",
    }


def test_no_such_file(repo):
    done = repo.load(path=repo.top / "container.py")
    assert done.code == 1 and done.error["type"] == "FileNotFoundError"


def test_tracebacks_have_the_repositorys_frames_alone(repo):
    repo.write("src/ours.py", "def check(text):\n    raise ValueError(text)\n")
    repo.container("""
        import asyncio
        from ours import check

        VERSION = "1"

        async def inner():
            try:
                {}["key"]
            except KeyError as exc:
                raise RuntimeError("first") from exc

        async def build(src):
            try:
                await asyncio.gather(inner())
            except RuntimeError:
                check("wrong")
    """)
    done = repo.load(rules=[])
    files = [line.strip() for line in done.err.splitlines() if line.startswith("  File")]
    assert files == [
        'File "containers/one/container.py", line 8, in inner',
        'File "containers/one/container.py", line 14, in build',
        'File "containers/one/container.py", line 10, in inner',
        'File "containers/one/container.py", line 16, in build',
        'File "src/ours.py", line 2, in check',
    ]
    assert done.err.endswith("ValueError: wrong\n") and 'check("wrong")' in done.err
    assert done.error == {"type": "ValueError", "message": "wrong", "file": "src/ours.py", "line": 2, "code": "raise ValueError(text)"}


def test_wrong_arguments_of_the_sdk(repo):
    repo.container(GOOD.replace("src)\n", "src).with_exec('ls')\n"))
    done = repo.load(rules=[])
    assert done.error["type"] == "TypeError" and done.error["line"] == 7
    assert "dagger/client" not in done.err and "beartype" not in done.err


CHAIN = """
    import dagger
    from dagger import dag

    VERSION = "1.0.0"

    async def build(src: dagger.Directory) -> dagger.Container:
        made = (
            dag.container()
            .from_("debian:bookworm-slim")
            .with_exec(["make", "all"])
            .with_exec(["make", "install"])
        )
        return dag.container().with_file("/bin/x", made.file("/out/x")).with_exec(["true"])
"""


@pytest.mark.parametrize("command, line", [(("make", "all"), 10), (("make", "install"), 11), (("true",), 13)])
def test_a_failing_step_names_the_line_that_asked_for_it(repo, command, line):
    file = repo.container(CHAIN)
    done = repo.load(rules=failing_exec(*command))
    assert done.code == 1
    code = file.read_text().splitlines()[line - 1].strip()
    message = exec_error(*command)["message"]
    assert done.error == {"type": "ExecError", "message": message, "file": "containers/one/container.py", "line": line, "code": code}
    assert done.err == "", "the result says it all"


def test_a_failing_step_of_a_helper(repo):
    repo.write("src/ours.py", "def test(it):\n    return it.with_exec(['check'])\n")
    repo.container(
        "from ours import test\n" + "\n".join(l[4:] for l in GOOD.splitlines()).replace("return dag.container()", "return test(dag.container())")
    )
    done = repo.load(rules=failing_exec("check"))
    assert done.error["file"] == "src/ours.py" and done.error["line"] == 2
    assert "containers/one/container.py, line 9\n" in done.err


def test_a_failing_step_of_the_shared_helpers_names_the_line_that_called_them(repo):
    repo.container("""
        from cooper.containers import node_build
        from dagger import dag

        VERSION = "1"

        async def build(src):
            return dag.container().with_directory("/www", node_build(src))
    """)
    done = repo.load(rules=failing_exec("npm", "run", "build"))
    assert done.error["line"] == 7, done.err


def test_two_lines_may_have_asked_for_it(repo):
    repo.container(CHAIN.replace('["true"]', '["make", "all"]'))
    done = repo.load(rules=failing_exec("make", "all"))
    assert done.error["line"] == 10
    assert done.err.count("container.py, line") == 2 and "or by\n" in done.err


def test_the_entrypoint_before_the_arguments(repo):
    repo.container(GOOD.replace("src)\n", "src).with_exec(['-v'], use_entrypoint=True)\n"))
    rules = [{"field": "withExec", "args": ["-v"], "error": exec_error("/bin/prog", "-v")}]
    assert repo.load(rules=rules).error["line"] == 7


def test_other_errors_of_the_engine_name_what_they_are_about(repo):
    repo.container(CHAIN)
    rules = [{"field": "from", "args": "debian:bookworm-slim", "error": {"message": "docker.io/library/debian:bookworm-slim: not found"}}]
    done = repo.load(rules=rules)
    assert done.error["type"] == "QueryError" and done.error["line"] == 9
    rules = [{"field": "file", "args": "/out/x", "error": {"message": "/out/x: no such file or directory"}}]
    done = repo.load(rules=rules)
    assert done.error["line"] == 13


def test_a_path_that_several_calls_made(repo):
    repo.container("""
        from dagger import dag

        VERSION = "1"

        async def build(src):
            here = src.directory("containers/one")
            there = here.directory("web")
            app = here.directory("app")
            return dag.container().with_directory("/src", there).with_directory("/app", app)
    """)
    message = 'copy directory /src: "/containers/one/web" does not exist'
    done = repo.load(rules=[{"field": "directory", "args": "web", "error": {"message": message}}])
    assert done.error["line"] == 7 and done.error["message"] == message


def test_an_error_that_was_handled_is_none(repo):
    repo.container("""
        import dagger
        from dagger import dag

        VERSION = "1"

        async def build(src):
            try:
                await dag.container().with_exec(["false"]).sync()
            except dagger.ExecError as exc:
                assert (exc.exit_code, exc.stdout, exc.stderr) == (2, "much", "more")
            return dag.container()
    """)
    done = repo.load(rules=failing_exec("false"))
    assert (done.code, done.err) == (0, "")


def test_the_session_does_not_answer(repo):
    repo.container(GOOD)
    done = repo.load(env={"DAGGER_SESSION_PORT": "1", "DAGGER_SESSION_TOKEN": "x"})
    assert done.code == 1 and "Error" in done.error["type"]
    assert "Traceback" not in done.err


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    where = tmp_path_factory.mktemp("bare")
    subprocess.run([SDK_PYTHON, "-m", "venv", "--without-pip", where], check=True)
    return where / "bin" / "python"


def test_no_sdk(repo, bare_python):
    repo.container(GOOD)
    done = repo.load(python=str(bare_python))
    assert done.code == 1
    assert f"{bare_python} -m pip install dagger-io" in done.error["message"]
    assert "Traceback" not in done.err


def test_half_an_sdk(repo, bare_python):
    site = next(bare_python.parent.parent.glob("lib/python*/site-packages"))
    (site / "dagger").mkdir()
    try:
        (site / "dagger" / "__init__.py").write_text("import nothing_there\n")
        repo.container(GOOD)
        done = repo.load(python=str(bare_python))
        assert "cannot be imported (No module named 'nothing_there')" in done.error["message"]
    finally:
        shutil.rmtree(site / "dagger")


def test_the_loader_asks_for_little_besides_the_sdk():
    """Modules that the loader imports and the SDK does not."""
    load = f"import importlib.util as u; s = u.spec_from_file_location('x', {str(LOADER)!r}); s.loader.exec_module(u.module_from_spec(s))"
    found = []
    for code in ("import dagger", f"import dagger; {load}"):
        run = subprocess.run(
            [SDK_PYTHON, "-E", "-c", f"import json, sys; {code}; print(json.dumps(sorted(sys.modules)))"], capture_output=True, check=True
        )
        found.append(set(json.loads(run.stdout)))
    assert found[1] - found[0] <= {"argparse", "gettext", "locale"}


def test_an_old_python_is_told_so(repo):
    old = next((p for p in (shutil.which(f"python3.{n}") for n in range(7, 10)) if p), None)
    if old and subprocess.run([old, "-c", ""], capture_output=True).returncode == 0:
        repo.container(GOOD)
        assert "needs Python 3.10 or newer" in repo.load(python=old).error["message"]
    else:  # then at least the grammar of the oldest that this Python knows
        import ast

        ast.parse(LOADER.read_text(), feature_version=(3, 7))
