# SPDX-License-Identifier: Apache-2.0
"""The command line itself: where its output goes, and what is said when something is wrong before any work starts."""

import os
import subprocess

import pytest
from conftest import BIN


# What fits the buffer fails at the end; of what does not, the end may have nothing left to write.
LENGTHS = [["--version"], ["help"], ["help", "--man"]]


@pytest.mark.parametrize("args", LENGTHS)
def test_a_full_output_says_why(bare, args):
    with open("/dev/full", "w") as full:
        run = subprocess.run([BIN, *args], stdout=full, stderr=subprocess.PIPE, text=True, env=bare.env)
    assert run.returncode == 1
    assert run.stderr == "cooper: writing to standard output: No space left on device\n"


@pytest.mark.parametrize("args", LENGTHS)
def test_an_output_that_nobody_reads_is_no_error_to_tell(bare, args):
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([BIN, *args], stdout=writer, stderr=subprocess.PIPE, text=True, env=bare.env)
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, "")


def test_a_store_that_cannot_be_opened_is_named_once(bare, tmp_path):
    (tmp_path / "file").write_text("")
    for home, said in (("file", "opening the store {}: Not a directory"), ("file/below", "opening the store {}: Not a directory")):
        place = str(tmp_path / home)
        err = bare("image", "ls", env={"COOPER_HOME": place}, code=1).err
        assert err.splitlines()[0] == "cooper: " + said.format(place) and err.count(place) == 1


def test_a_dockerfile_that_is_a_link_out_of_the_context(bare, context, tmp_path):
    (tmp_path / "elsewhere").write_text("FROM scratch\n")
    ctx = context({"a": ""})
    (ctx / "Dockerfile").symlink_to(tmp_path / "elsewhere")
    said = bare("build", "./context", cwd=tmp_path, code=1).err
    assert "context/Dockerfile is a link, and what it leads to is not in the context" in said and "-f FILE" in said
    bare("build", "./context", "-f", "elsewhere", cwd=tmp_path)
    (ctx / "Dockerfile").unlink()
    assert "there is no context/Dockerfile" in bare("build", "./context", cwd=tmp_path, code=1).err


def test_standard_input_is_no_context(bare):
    said = bare("build", "-", code=2, input="FROM scratch\n").err
    assert "a context is not read from standard input" in said and "-f FILE" in said


def test_versions_that_are_wrong_are_counted(bare, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path / "lab"], check=True)
    for name, text in {"a/Dockerfile": "FROM scratch\n", "b/Dockerfile": "ARG CONTAINER_APP_VERSION=1\n", "b/default.nix": '{\n  version = "2";\n}\n'}.items():
        path = tmp_path / "lab/containers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    said = {name: bare("version", *([name] if name else []), cwd=tmp_path / "lab", code=3).err for name in ("", "a", "b")}
    assert said["a"] == "cooper: 1 build file without a version\n"
    assert said["b"] == "cooper: 1 build file of another version\n"
    assert said[""] == "cooper: 1 build file of another version, 1 build file without a version\n"
