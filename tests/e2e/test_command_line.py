# SPDX-License-Identifier: Apache-2.0
"""The command line itself: where its output goes, and what is said when something is wrong before any work starts."""

import os
import subprocess

from conftest import BIN


def test_a_full_output_says_why(bare):
    with open("/dev/full", "w") as full:
        run = subprocess.run([BIN, "help", "--man"], stdout=full, stderr=subprocess.PIPE, text=True, env=bare.env)
    assert run.returncode == 1
    assert run.stderr == "cooper: writing to standard output: No space left on device\n"


def test_an_output_that_nobody_reads_is_no_error_to_tell(bare):
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([BIN, "help", "--man"], stdout=writer, stderr=subprocess.PIPE, text=True, env=bare.env)
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, "")
