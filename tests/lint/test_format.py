# SPDX-License-Identifier: Apache-2.0
"""The tree is as clang-format leaves it."""

import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_clang_format():
    tool = shutil.which("clang-format")
    assert tool, "clang-format is missing: scripts/deps.sh test"
    files = sorted([*ROOT.glob("src/**/*.[ch]"), *ROOT.glob("tests/**/*.[ch]")])
    run = subprocess.run([tool, "--dry-run", "-Werror", *files], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr[:4000]


def test_shellcheck():
    tool = shutil.which("shellcheck")
    assert tool, "shellcheck is missing: scripts/deps.sh test"
    run = subprocess.run([tool, *sorted(ROOT.glob("scripts/*.sh")), ROOT / ".ci" / "run"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
