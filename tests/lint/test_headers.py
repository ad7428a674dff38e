# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone, has a guard, and stands with a licence line; each source file too."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADERS = sorted((ROOT / "src").rglob("*.h"))
SOURCES = sorted((ROOT / "src").rglob("*.[ch]"))


@pytest.mark.parametrize("path", HEADERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_self_contained(path):
    text = f'#include "{path.relative_to(ROOT / "src")}"\n'
    cc = os.environ.get("CC", "cc")
    run = subprocess.run(
        [cc, "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "src", "-fsyntax-only", "-x", "c", "-"],
        input=text,
        text=True,
        capture_output=True,
    )
    assert run.returncode == 0, run.stderr
    assert "#pragma once" in path.read_text()


def test_licence_lines():
    missing = [str(p) for p in SOURCES if not p.read_text(errors="replace").startswith("/* SPDX-License-Identifier: Apache-2.0 */")]
    assert not missing
