# SPDX-License-Identifier: Apache-2.0
"""Several processes on one store."""

import re

from conftest import BIN  # noqa: F401


def finish(procs):
    results = []
    for p in procs:
        out, err = p.communicate(timeout=300)
        assert p.returncode == 0, (out, err)
        results.append(out + err)
    return results


def test_two_builds_of_one_thing_run_each_step_once(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN sleep 1; echo one\nRUN sleep 0.5; echo two\nRUN echo three\n"})
    outputs = finish([cooper.start("build", ctx, "--progress", "plain") for _ in range(3)])
    for word in ("one", "two", "three"):
        ran = sum(len(re.findall(rf"^#\d+ [0-9.]+ {word}$", o, re.M)) for o in outputs)
        assert ran == 1, (word, outputs)
    assert len({re.search(r"built (sha256:\w+)", o).group(1) for o in outputs}) == 1


def test_sixteen_different_builds_at_once(cooper, context):
    procs = []
    for i in range(16):
        ctx = context({"Dockerfile": f"FROM busybox\nRUN echo {i} > /n; head -c 500000 /dev/urandom > /r\nCOPY f /f\nRUN cat /n /f\n", "f": str(i)}, f"ctx{i}")
        procs.append(cooper.start("build", ctx, "--progress", "plain", "-t", f"many:{i}"))
    finish(procs)
    cooper("store", "verify")
    for i in (0, 7, 15):
        assert cooper.files(f"many:{i}")["n"].data == f"{i}\n".encode()


def test_builds_beside_gc(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 200000 /dev/urandom > /r\nRUN ls -l /r\n"})
    builds = [cooper.start("build", ctx, "--no-cache", "--progress", "plain", "-t", f"kept:{i}") for i in range(6)]
    collectors = [cooper.start("store", "gc", "--all") for _ in range(4)]
    finish(builds + collectors)
    cooper("store", "gc", "--all")
    for i in range(6):
        assert cooper.files(f"kept:{i}")["r"].size == 200000
    cooper("store", "verify")


def test_independent_stages_run_at_once(cooper, context):
    import json

    ctx = context(
        {
            "Dockerfile": "FROM busybox AS a\nRUN sleep 1; echo a > /a\nFROM busybox AS b\nRUN sleep 1; echo b > /b\n"
            "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
        }
    )
    r = cooper("build", ctx, "--jobs", "2", "--progress", "json")
    order = [e["type"] for e in map(json.loads, r.err.splitlines()) if "sleep" in e.get("name", "")]
    assert order == ["started", "started", "done", "done"]


def test_cache_volume_is_kept_and_locked(cooper, context):
    step = "RUN --mount=type=cache,target=/c,sharing=locked n=$(cat /c/n 2>/dev/null || echo 0); sleep 0.3; echo $((n+1)) > /c/n; cat /c/n"
    procs = [
        cooper.start("build", context({"Dockerfile": f"FROM busybox\nENV N={i}\n{step}\n"}, f"v{i}"), "--progress", "plain") for i in range(4)
    ]
    outputs = finish(procs)
    seen = sorted(int(re.search(r"^#\d+ [0-9.]+ (\d+)$", o, re.M).group(1)) for o in outputs)
    assert seen == [1, 2, 3, 4]
