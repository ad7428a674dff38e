# SPDX-License-Identifier: Apache-2.0
"""Folders that are unlike others."""

import contextlib
import subprocess


@contextlib.contextmanager
def tmpfs(path, size):
    """A file system of its own, of that size."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "cooper-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
