# SPDX-License-Identifier: Apache-2.0
"""
Where 10,000 tags come from, in a repository of 50,000 commits: cooper check in one walk, beside a loop of git merge-base.

  python3 bench/provenance.py [COMMITS [PINS]]

The loop asks for 100 of the commits, as a script would. cooper reads the manifests, too, and starts once; what is compared is what a user
waits for. Everything lies in a temporary folder.
"""

import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = os.environ.get("COOPER_BIN", str(ROOT / "build" / "cooper"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
COMMITS, PINS = (int(a) for a in (sys.argv[1:] + ["50000", "10000"][len(sys.argv) - 1 :])[:2])
LOOP = 100


def history(commits):
    """For git fast-import: main, and every 20 commits a branch of two that is merged every other time."""
    mark = 0

    def commit(branch, *parents):
        nonlocal mark
        mark += 1
        lines = [f"commit refs/heads/{branch}", f"mark :{mark}", f"committer b <b@example> {1700000000 + 60 * mark} +0000", "data 2", "m"]
        lines += [f"{'merge' if i else 'from'} :{parent}" for i, parent in enumerate(parents)]
        lines += [f"M 100644 inline d{mark % 50}/f{mark % 7}", f"data {len(str(mark))}", str(mark), "", ""]
        return "\n".join(lines), mark

    tip, made, branches = [], 0, 0
    while made < commits:
        text, one = commit("main", *tip)
        tip, made = [one], made + 1
        yield text
        if made % 20 == 0 and made + 3 <= commits:
            branches += 1
            first, a = commit(f"b{branches}", *tip)
            second, b = commit(f"b{branches}", a)
            made += 2
            yield first + second
            if branches % 2:
                text, one = commit("main", *tip, b)
                tip, made = [one], made + 1
                yield text


def make(top):
    def git(*args, **kw):
        return subprocess.run(["git", "-C", top, *args], check=True, capture_output=True, text=True, **kw).stdout

    subprocess.run(["git", "init", "-q", "-b", "main", top], check=True)
    git("fast-import", "--quiet", input="".join(history(COMMITS)))
    rng = random.Random(1)
    main, others = git("rev-list", "main").split(), git("rev-list", "--branches", "--not", "main").split()
    picked = [rng.choice(main) for _ in range(PINS * 80 // 100)] + [rng.choice(others) for _ in range(PINS * 15 // 100)]
    picked += [f"{rng.getrandbits(160):040x}" for _ in range(PINS - len(picked))]
    rng.shuffle(picked)
    for i in range(0, PINS, 100):
        folder = top / "argocd/manifests" / f"s{i // 100}"
        folder.mkdir(parents=True)
        entries = (f"  - name: reg.example/lab/c{k}\n    newTag: v1.{k}-{commit[:7]}\n" for k, commit in enumerate(picked[i : i + 100], i))
        (folder / "kustomization.yaml").write_text("images:\n" + "".join(entries))
    (top / "cooper.yaml").write_text("registry: reg.example\nnamespace: lab\n")
    return len(main), [c for c in picked if c in set(main) | set(others)]


def median(run):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    with tempfile.TemporaryDirectory(prefix="cooper-bench-") as tmp:
        top = pathlib.Path(tmp)
        on_main, real = make(top)
        env = {**os.environ, "COOPER_HOME": str(top / "home")}
        script = "for c in " + " ".join(real[:LOOP]) + "; do git merge-base --is-ancestor $c main; done; true"

        def check():
            done = subprocess.run([BIN, "check", "--all", "--offline", "--format", "json"], cwd=top, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert done.returncode in (0, 3)
            return json.loads(done.stdout)["pins"]

        found = [pin["provenance"] for pin in check()]
        print(f"{COMMITS} commits, {on_main} on main; {PINS} pins: " + ", ".join(f"{found.count(p)} {p}" for p in ("main", "branch", "unknown")))
        ours = median(check)
        loop = median(lambda: subprocess.run(["sh", "-c", script], cwd=top, check=True))
        print(f"cooper check --all --offline   {ours:8.2f} s   for {PINS}")
        print(f"git merge-base --is-ancestor   {loop:8.2f} s   for {LOOP}, so {loop * PINS / LOOP:.0f} s for {PINS}: {loop * PINS / LOOP / ours:.0f} times as long")


if __name__ == "__main__":
    main()
