# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random points: the store verifies clean and the next build works."""

import os
import random
import signal
import subprocess
import time

import pytest

from conftest import wait_for_port

ROUNDS = int(os.environ.get("COOPER_CRASH_ROUNDS", "200"))

pytestmark = pytest.mark.slow


def kill_at_random(proc, seconds):
    time.sleep(random.uniform(0, seconds))
    proc.kill()
    proc.communicate(timeout=30)


def commands(cooper, ctx, registry, n):
    """The kinds of work that are killed, in turn."""
    return [
        ("build", ["build", ctx, "--no-cache", "--progress", "plain", "-t", f"crash:{n % 3}"], 0.25),
        ("push", ["build", ctx, "--progress", "plain", "-t", f"{registry}/crash/image:{n}", "--push", "--label", f"n={n}"], 0.15),
        ("pull", ["image", "copy", f"docker://{registry}/crash/base:1", f"store:pulled:{n}"], 0.1),
        ("gc", ["store", "gc", "--all"], 0.05),
    ][n % 4]


def test_two_hundred_kills(cooper, context, docker_registry):
    seed = random.randrange(1 << 30)
    random.seed(seed)
    ctx = context(
        {
            "Dockerfile": "FROM busybox\nCOPY . /src\nRUN head -c 3000000 /dev/urandom > /blob; mkdir /many; for i in $(seq 50); do echo $i > /many/$i; done\n"
            "RUN rm -rf /many /bin/vi; cat /src/f1 > /g\n",
            **{f"f{i}": "x" * i * 100 for i in range(40)},
        }
    )
    cooper.build(ctx, "-t", f"{docker_registry}/crash/base:1", "--push")
    for n in range(ROUNDS):
        kind, args, seconds = commands(cooper, ctx, docker_registry, n)
        kill_at_random(cooper.start(*args, cwd=ctx), seconds)
        if n % 20 == 19:
            r = cooper("store", "verify", code=None)
            assert r.code == 0, (seed, n, kind, r)
            cooper.build(ctx, "-t", "works:1")
    cooper("store", "gc")
    cooper("store", "verify")
    leftovers = [p for p in (cooper.home / "tmp").rglob("*")]
    assert len(leftovers) < 20, leftovers[:20]
    final = cooper.build(ctx, "-t", "works:2")
    assert final["containerimage.digest"]


def test_nothing_of_a_killed_step_keeps_running(cooper, context):
    marker = f"97{os.getpid()}"
    ctx = context({"Dockerfile": f"FROM busybox\nRUN sleep {marker} & sleep {marker}\n"})
    proc = cooper.start("build", ctx, "--progress", "plain")
    end = time.monotonic() + 20
    while time.monotonic() < end and marker not in subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout.replace("Dockerfile", ""):
        time.sleep(0.05)
    time.sleep(0.2)
    proc.kill()
    proc.communicate(timeout=20)
    time.sleep(0.5)
    left = [line for line in subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout.splitlines() if line.strip() == f"sleep {marker}"]
    assert not left


def test_interrupt_ends_in_order(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN echo started; sleep 60\n"})
    proc = cooper.start("build", ctx, "--progress", "plain")
    seen = ""
    while "started" not in seen:
        line = proc.stderr.readline()
        assert line, seen
        seen += line if "echo started" not in line else ""
    start = time.monotonic()
    proc.send_signal(signal.SIGINT)
    _, err = proc.communicate(timeout=20)
    assert proc.returncode == 1 and "canceled" in (seen + err).lower()
    assert time.monotonic() - start < 10
    cooper("store", "verify")


def test_server_killed_in_a_push_forgets_nothing(cooper, context):
    import re

    ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 20000000 /dev/urandom > /blob\n"})
    cooper.build(ctx, "-t", "big:1")
    from conftest import Cooper

    other = Cooper(cooper.home.parent / "server-home")
    for i in range(6):
        proc = other.start("serve", "--listen", "127.0.0.1:0")
        address = re.search(r"http://([0-9.:]+)", proc.stdout.readline()).group(1)
        push = cooper.start("image", "copy", "store:big:1", f"docker://{address}/x/big:{i}", "--progress", "quiet")
        time.sleep(random.uniform(0.01, 0.2))
        proc.kill()
        proc.communicate()
        push.kill()
        push.communicate()
        other("store", "verify")
    with other.serving() as address:
        cooper("image", "copy", "store:big:1", f"docker://{address}/x/big:last")
    other("store", "verify")
