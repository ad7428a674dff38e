# SPDX-License-Identifier: Apache-2.0
"""cooper new: the patterns with a container.py build as scaffolded, and what they build runs."""

import pytest
import sdk as sdks
from new_lab import NewLab, running


@pytest.fixture(scope="module")
def lab(tmp_path_factory, world, debian_tar):
    world.cooper("image", "import", debian_tar, "--name", "debian:bookworm-slim")
    return NewLab(tmp_path_factory.mktemp("new"), world.cooper, env={"COOPER_PYTHON": str(sdks.PYTHONS["python-0.21"])})


@pytest.mark.slow
@pytest.mark.parametrize("pattern, arguments", [("go-node", ["-listen", "127.0.0.1:PORT"]), ("elixir-node", [])])
def test_it_builds_and_answers(lab, tmp_path, pattern, arguments):
    name = f"my-{pattern}"
    lab("new", name, "--pattern", pattern, "--version", "3.1.4", "--manifests")
    lab("build", name, timeout=900)
    lab.release(name)
    image = f"127.0.0.1:5000/lab/{name}:v3.1.4-{lab.git('rev-parse', 'HEAD')[:7]}"
    with running(lab.cooper, image, tmp_path / "root", *arguments) as get:
        assert get("/healthz") == "ok\n"
        assert f"<h1>{name}</h1>" in get("/")
        assert "3.1.4" in get("/app.js")
