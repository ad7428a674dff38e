# SPDX-License-Identifier: Apache-2.0
"""On a terminal: live progress, and on a failure the whole output."""

import os
import pty
import re
import select
import subprocess
import time

from conftest import BIN


def on_terminal(cooper, *args, seconds=60):
    """Run with a terminal as stderr; everything it drew."""
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))

    def control():
        os.setsid()
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)

    proc = subprocess.Popen([BIN, *map(str, args)], env={**cooper.env, "TERM": "xterm"}, stdin=slave, stdout=subprocess.PIPE, stderr=slave, preexec_fn=control)
    os.close(slave)
    drawn, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            try:
                block = os.read(master, 65536)
            except OSError:
                break
            if not block:
                break
            drawn += block
        elif proc.poll() is not None:
            break
    proc.wait(10)
    os.close(master)
    return proc.returncode, drawn.decode(errors="replace"), proc.stdout.read().decode()


def test_live_progress(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN for i in 1 2 3 4; do echo tick $i; sleep 0.3; done\nRUN true\n"})
    code, drawn, out = on_terminal(cooper, "build", ctx)
    assert code == 0 and "built sha256:" in out
    assert "\033[" in drawn and "tick 3" in drawn
    assert re.search(r"=> \[2/3\] RUN for i in .* +\d\.\ds", drawn)
    code, drawn, out = on_terminal(cooper, "build", ctx)
    assert "CACHED" in drawn


def test_failure_shows_all_output_once_the_drawing_is_gone(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exit 9\n"})
    code, drawn, _ = on_terminal(cooper, "build", ctx)
    assert code == 1
    tail = drawn[drawn.index("------") :]
    for i in (0, 150, 299):
        assert f"line {i}\r\n" in tail
    assert "Dockerfile:2" in tail and ">>>" in tail and "exit code" in tail


def test_control_characters_of_steps_do_not_reach_the_drawing(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN printf 'safe\\033[2Jtext\\007\\n'; sleep 0.5\n"})
    code, drawn, _ = on_terminal(cooper, "build", ctx)
    assert code == 0 and "\033[2J" not in drawn and "\007" not in drawn


def test_json_progress_is_a_stream_of_objects(cooper, context):
    import json

    ctx = context({"Dockerfile": "FROM busybox\nRUN printf 'a\\377b'; echo err >&2\n"})
    r = cooper("build", ctx, "--progress", "json")
    events = [json.loads(line) for line in r.err.splitlines()]
    kinds = [e["type"] for e in events]
    assert kinds[0] == "plan" and "started" in kinds and "output" in kinds and "done" in kinds
    outputs = [e for e in events if e["type"] == "output"]
    assert {e["stream"] for e in outputs} == {1, 2}


def test_transfers_are_shown(cooper, context, docker_registry):
    ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 30000000 /dev/urandom > /big\n"})
    cooper.build(ctx, "-t", "big:1")
    r = cooper("image", "copy", "store:big:1", f"docker://{docker_registry}/a/big:1", "--progress", "plain")
    assert re.search(r"^pushing sha256:\w+: 30\.0 MB in [0-9.]+s$", r.err, re.M), r
    code, drawn, _ = on_terminal(cooper, "image", "copy", "store:big:1", f"docker://{docker_registry}/b/big:1")
    assert code == 0 and re.search(r"=> pushing sha256:\w+ +30\.0 MB", drawn), drawn
