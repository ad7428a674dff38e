# SPDX-License-Identifier: Apache-2.0
"""Runs every part of the tests, prints what failed as it happens, and sums up at the end."""

import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build-test"
ASAN = ROOT / "build-asan"
FUZZ = ROOT / "build-fuzz"
JOBS = str(os.cpu_count() or 2)
ONLY = os.environ.get("COOPER_TEST_ONLY", "").split()

totals = {"passed": 0, "failed": 0, "skipped": 0}


def say(text):
    print(text, flush=True)


def call(argv, env=None, quiet=True, stdin=None):
    run = subprocess.run(argv, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=quiet, text=True, errors="replace", input=stdin)
    if run.returncode and quiet:
        say((run.stdout + run.stderr)[-8000:])
    return run


def count(passed=0, failed=0, skipped=0):
    totals["passed"] += passed
    totals["failed"] += failed
    totals["skipped"] += skipped


def build(directory, options, env=None, targets=()):
    """Configure (once) and compile; a failure counts as one failed test."""
    if not (directory / "build.ninja").exists():
        if call(["meson", "setup", directory, *options], env).returncode:
            count(failed=1)
            return False
    ok = call(["ninja", "-C", str(directory), "-j", JOBS, *targets], env).returncode == 0
    count(passed=ok, failed=not ok)
    return ok


def meson_tests(directory, env=None):
    run = call(["meson", "test", "-C", str(directory), "--print-errorlogs", "--num-processes", JOBS, "--no-rebuild"], env)
    out = run.stdout

    def number(name):
        found = re.search(rf"^{name}:\s*(\d+)", out, re.M)
        return int(found.group(1)) if found else 0

    bad = number("Fail") + number("Timeout") + number("Unexpected Pass")
    count(number("Ok"), bad or int(run.returncode != 0), number("Skipped"))
    say("\n".join(line for line in out.splitlines() if re.match(r"^(Ok|Fail|Timeout|Skipped):", line)))


def pytest(paths, name, env=None, extra=()):
    report = ROOT / "build-test" / f"{name}.xml"
    run = call(
        ["/usr/bin/python3", "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", f"--junitxml={report}", *extra, *paths],
        env,
        quiet=False,
    )
    if not report.exists():
        count(failed=1)
        return
    for suite in xml.parse(report).getroot().iter("testsuite"):
        n, bad = int(suite.get("tests")), int(suite.get("failures")) + int(suite.get("errors"))
        skipped = int(suite.get("skipped"))
        count(n - bad - skipped, bad, skipped)
    if run.returncode not in (0, 1, 5):
        count(failed=1)


def part_units():
    if build(BUILD, []):
        meson_tests(BUILD)


def part_lint():
    pytest(["tests/lint"], "lint")


SANITIZE = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def part_asan():
    options = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dstatic_deps=false", "-Doptimization=1"]
    if not build(ASAN, options):
        return
    meson_tests(ASAN, SANITIZE)
    env = {**SANITIZE, "COOPER_BIN": str(ASAN / "cooper")}
    pytest(["tests/e2e"], "e2e-asan", env, ["-m", "sanitize", "--ignore=tests/e2e/dagger"])
    if install_sdks():
        pytest([f"tests/e2e/dagger/test_api_{name}.py" for name in DAGGER_SANITIZED], "dagger-asan", env, ["-k", "python-0.21"])


def part_e2e():
    pytest(["tests/e2e"], "e2e", {"COOPER_BIN": str(BUILD / "cooper")}, ["--ignore=tests/e2e/dagger"])


# With sanitizers the session API is driven by one SDK and these: they reach every resolver.
DAGGER_SANITIZED = ["config", "directory", "exec", "files", "ids", "images", "mounts", "protocol", "secrets"]


def install_sdks():
    ok = call(["scripts/sdk.sh"]).returncode == 0
    count(passed=ok, failed=not ok)
    return ok


def part_dagger():
    """The session API with the official SDKs, and our own Python package."""
    if install_sdks():
        pytest(["tests/e2e/dagger"], "dagger", {"COOPER_BIN": str(BUILD / "cooper")})
        pytest(["tests/python"], "python")


def part_clang():
    """All of it with clang, instrumented for the fuzz targets; these over their seed corpora (new inputs: make fuzz)."""
    options = ["-Dstatic_deps=false", "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"]
    if not build(FUZZ, options, {"CC": "clang"}, ["all", "fuzzers"]):
        return
    files = subprocess.run(["git", "ls-files", "src/*.c"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    tidy = call(["xargs", "-P", JOBS, "-n", "8", "clang-tidy", "-p", str(FUZZ), "--quiet"], stdin="\n".join(files))
    count(passed=tidy.returncode == 0, failed=tidy.returncode != 0)
    run = call(["scripts/fuzz.sh", "--corpus"], {"COOPER_FUZZ_NO_DEPS": "1"})
    ran = len(re.findall(r"^fuzz_\w+: ok", run.stdout, re.M))
    bad = len(re.findall(r"^fuzz_\w+: FAILED", run.stdout, re.M))
    count(ran, bad or int(run.returncode != 0))


PARTS = {"units": part_units, "lint": part_lint, "e2e": part_e2e, "dagger": part_dagger, "asan": part_asan, "clang": part_clang}


def main():
    for name, run in PARTS.items():
        if ONLY and name not in ONLY:
            continue
        before, start = dict(totals), time.monotonic()
        say(f"== {name}")
        run()
        diff = {k: totals[k] - before[k] for k in totals}
        say(f"== {name}: {diff['passed']} passed, {diff['failed']} failed, {diff['skipped']} skipped in {time.monotonic() - start:.0f} s")
    say(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] or not totals["passed"] else 0


sys.exit(main())
