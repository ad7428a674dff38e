# SPDX-License-Identifier: Apache-2.0
"""Files of at most 800 lines, functions of at most 80 (data tables and flat switches say so where they are)."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted(p for folder in ("src", "tests") for suffix in ("*.[ch]", "*.py") for p in (ROOT / folder).rglob(suffix))
MAX_FILE, MAX_FUNCTION = 800, 80


def functions(path, text):
    """(line, length) of each definition."""
    return python_functions(text) if path.suffix == ".py" else c_functions(text.splitlines())


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno


def c_functions(lines):
    """An opening brace in column 0 to its closing one."""
    start = None
    for i, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = i
        elif line.startswith("}") and start is not None:
            yield start, i - start - 1
            start = None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_size(path):
    text = path.read_text(errors="surrogateescape")
    count = len(text.splitlines())
    assert count <= MAX_FILE, f"{count} lines: split it by verb"
    long = [(at, n) for at, n in functions(path, text) if n > MAX_FUNCTION]
    assert not long, f"functions too long (line, length): {long}"
