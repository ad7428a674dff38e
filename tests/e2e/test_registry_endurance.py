# SPDX-License-Identifier: Apache-2.0
"""
Nothing that was answered for is lost: to collections beside pushes, or to the server being killed.

A short form runs with the other tests; COOPER_ENDURANCE=1 (make endurance) is the whole: 136 rounds of collection and at least
1,500 accepted pushes, 200 kills. Each prints what it did.
"""

import os
import random
import subprocess
import time

import pytest

import registry_load as load
import registry_server as rs
from conftest import BIN

WHOLE = os.environ.get("COOPER_ENDURANCE") == "1"
ROUNDS = 136 if WHOLE else 10
PUSHES = 1500 if WHOLE else 60
KILLS = int(os.environ.get("COOPER_KILLS", "200" if WHOLE else "6"))

pytestmark = [
    pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only"),
    pytest.mark.slow,
]

# Everything that may be let go is, soon: what saves a push is the grace of its blobs alone.
HASTY = "registry: {grace: 3s, gc: 1s, scrub: 10s, untagged: 3s}\nstore: {keep: 1s, limit: 1}\n"


def collect_outside(server):
    """"cooper store gc --all" of another process beside the server, with the same settings."""

    def once():
        done = subprocess.run(
            [BIN, "store", "gc", "--all", "--config", server.home + ".yaml"],
            env={**os.environ, "COOPER_HOME": server.home}, capture_output=True, text=True, timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return once


def verify(server):
    done = subprocess.run(
        [BIN, "store", "verify"], env={**os.environ, "COOPER_HOME": server.home}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, (done.stdout, done.stderr)


def totals(pushers):
    return {k: sum(getattr(p, k) for p in pushers) for k in ("accepted", "refused", "deleted", "skipped")}


def test_no_push_is_lost_to_collections(tmp_path, capsys):
    """Pushes and deletes while the server collects every second and another process does so without a pause."""
    server = rs.Server(tmp_path / "store", HASTY).start()
    seed = random.randrange(1 << 30)
    enough = {"done": False}
    pushers = [load.Pusher(server, n, seed + n, lambda: enough["done"]) for n in range(3)]
    started = time.monotonic()
    try:
        load.start(pushers)
        with load.while_running(collect_outside(server)) as rounds:
            while len(rounds) < ROUNDS or totals(pushers)["accepted"] < PUSHES:
                assert all(p.is_alive() for p in pushers), ([p.failure for p in pushers], server.log[-5:])
                assert time.monotonic() < started + 1800
                time.sleep(0.1)
            enough["done"] = True
            load.finish(pushers)
        # And a last one, when nothing is young any more.
        time.sleep(3.5)
        last = collect_outside(server)()
        images = sum(p.check() for p in pushers)
        verify(server)
    finally:
        server.stop()
    said = totals(pushers)
    with capsys.disabled():
        print(f"\n{len(rounds)} rounds beside {said}: {images} images left, all whole; last round: {' '.join(last.split()[-6:])} ({time.monotonic() - started:.0f} s, seed {seed})")
    assert said["accepted"] >= PUSHES and len(rounds) >= ROUNDS
    # Each of them was slower than its grace (registry_load.py): a machine may be so now and then.
    assert said["refused"] <= said["accepted"] // 10


def test_kills(tmp_path, capsys):
    """kill -9 at random points of pushes, deletes and collections: what was acknowledged is there, uploads go on or are gone."""
    server = rs.Server(tmp_path / "store", HASTY).start()
    seed = int(os.environ.get("COOPER_SEED", random.randrange(1 << 30)))
    dice = random.Random(seed)
    pushers, uploads, checked = [], {"gone": 0, "resumed": 0}, 0
    everything = {}  # pusher's number -> tags over all rounds
    started = time.monotonic()
    try:
        for kill in range(KILLS):
            pushers = [load.Pusher(server, n, seed + kill * 10 + n, lambda: False) for n in range(3)]
            for n, p in enumerate(pushers):
                p.tags, p.count = everything.setdefault(n, {}), kill * 10_000
            before = [dict(p.tags) for p in pushers]
            load.start(pushers)
            # Collections by the server's own clock come once a second; one more at any time.
            collector = subprocess.Popen(
                [BIN, "store", "gc", "--all", "--config", server.home + ".yaml"],
                env={**os.environ, "COOPER_HOME": server.home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            time.sleep(dice.uniform(0.02, 1.0))
            server.kill()
            if dice.random() < 0.5:
                collector.kill()
            collector.wait(timeout=60)
            load.finish(pushers)
            server.start()
            for n, p in enumerate(pushers):
                p.settle()
                outcome = p.check_upload()
                if outcome:
                    uploads[outcome] += 1
                touched = [t for t in p.tags if before[n].get(t) is not p.tags[t]]
                old = dice.sample(sorted(set(p.tags) - set(touched)), min(10, len(set(p.tags) - set(touched))))
                p.check([*touched, *old])
                checked += len(touched)
        images = sum(p.check() for p in pushers)
        verify(server)
        partials = os.listdir(os.path.join(server.home, "partial"))
    finally:
        server.stop()
    with capsys.disabled():
        print(f"\n{KILLS} kills, {checked} acknowledged changes looked at, {images} images at the end, uploads {uploads}, "
              f"{len(partials)} left open ({time.monotonic() - started:.0f} s, seed {seed})")
    assert checked > KILLS
