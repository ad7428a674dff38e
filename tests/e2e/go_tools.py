# SPDX-License-Identifier: Apache-2.0
"""Programs that come as Go modules, installed when first asked for (scripts/gotools.sh)."""

import functools
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def go_tool(name):
    """The path of conformance, crane, oras, regctl or kustomize."""
    done = subprocess.run([ROOT / "scripts" / "gotools.sh", name], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{name} could not be installed: {done.stderr}")
    return str(pathlib.Path(os.environ.get("COOPER_GOTOOLS", ROOT / "build-gotools")) / name)
