# SPDX-License-Identifier: Apache-2.0
"""Files of at most 800 lines, functions of at most 80 (data tables and flat switches say so where they are)."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "src").rglob("*.[ch]"))
MAX_FILE, MAX_FUNCTION = 800, 80


def functions(lines):
    """(line, length) of each definition: an opening brace in column 0 to its closing one."""
    start = None
    for i, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = i
        elif line.startswith("}") and start is not None:
            yield start, i - start - 1
            start = None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_size(path):
    lines = path.read_text(errors="surrogateescape").splitlines()
    assert len(lines) <= MAX_FILE, f"{len(lines)} lines: split it by verb"
    long = [(at, n) for at, n in functions(lines) if n > MAX_FUNCTION]
    assert not long, f"functions too long (line, length): {long}"
