# SPDX-License-Identifier: Apache-2.0
"""
Side by side with what one would use instead, in one run, as ratios: cooper, dockerd with its BuildKit, buildah.

  make bench                 all cases
  make bench CASES="warm run" PEERS=docker

Root is needed. Starts a dockerd of its own below a temporary folder and ends it. Rounds alternate between the programs; every figure is a median. The
machine's own limits (hash, process start) are printed beside, as a yardstick. No test asserts any of it.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = os.environ.get("COOPER_BIN", str(ROOT / "build" / "cooper"))
ROUNDS = int(os.environ.get("ROUNDS", "7"))
CASES = os.environ.get("CASES", "").split()
PEERS = os.environ.get("PEERS", "docker buildah").split()
BASE = "bench-base:latest"


def run(argv, **kw):
    kw.setdefault("stdout", subprocess.DEVNULL)
    kw.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run([str(a) for a in argv], **kw)
    if done.returncode:
        sys.exit(f"{argv}: exit {done.returncode}\n{(done.stderr or b'').decode(errors='replace')[-3000:]}")
    return done


class Cooper:
    name = "cooper"

    def __init__(self, top, base_tar):
        self.env = {**os.environ, "COOPER_HOME": str(top / "cooper")}
        run([BIN, "image", "import", base_tar, "--name", BASE], env=self.env)

    def build(self, ctx, fresh=False):
        run([BIN, "build", ctx, "--progress", "quiet", *(["--no-cache"] if fresh else [])], env=self.env)

    def push(self, ctx, target):
        run([BIN, "build", ctx, "--progress", "quiet", "--no-cache", "-t", target, "--push"], env=self.env)


class Docker:
    name = "docker"

    def __init__(self, top, base_tar):
        self.sock = f"unix://{top}/docker.sock"
        self.proc = subprocess.Popen(
            ["dockerd", "-H", self.sock, "--data-root", top / "docker", "--exec-root", top / "dexec", "-p", top / "docker.pid", "--iptables=false", "--bridge=none"],
            stdout=subprocess.DEVNULL,
            stderr=(top / "dockerd.log").open("wb"),
        )
        self.env = {**os.environ, "DOCKER_HOST": self.sock, "DOCKER_BUILDKIT": "1"}
        for _ in range(300):
            if subprocess.run(["docker", "version"], env=self.env, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        run(["docker", "import", base_tar, BASE], env=self.env)

    def build(self, ctx, fresh=False):
        run(["/usr/bin/docker", "build", "-q", "--network", "host", *(["--no-cache"] if fresh else []), ctx], env=self.env)

    def push(self, ctx, target):
        run(["/usr/bin/docker", "build", "-q", "--network", "host", "--no-cache", "-t", target, ctx], env=self.env)
        run(["/usr/bin/docker", "push", "-q", target], env=self.env)

    def close(self):
        self.proc.terminate()
        self.proc.wait(30)


class Buildah:
    name = "buildah"

    def __init__(self, top, base_tar):
        self.args = ["--root", top / "buildah", "--runroot", top / "brun", "--storage-driver", "overlay"]
        self.env = dict(os.environ)
        dockerfile = top / "base.Dockerfile"
        dockerfile.write_text("FROM scratch\nADD base.tar /\n")
        shutil.copy(base_tar, top / "base.tar")
        run(["buildah", *self.args, "bud", "-q", "-t", f"localhost/{BASE}", "-f", dockerfile, top], env=self.env)

    def build(self, ctx, fresh=False):
        run(
            ["buildah", *self.args, "bud", "-q", "--layers", "--network", "host", "--isolation", "oci", "--runtime", "runc", "--pull-never", *(["--no-cache"] if fresh else []), ctx],
            env=self.env,
        )

    def push(self, ctx, target):
        run(["buildah", *self.args, "bud", "-q", "--layers", "--no-cache", "--network", "host", "--isolation", "oci", "--runtime", "runc", "--pull-never", "-t", target, ctx], env=self.env)
        run(["buildah", *self.args, "push", "-q", "--tls-verify=false", target], env=self.env)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(builders, prepare, act, rounds=ROUNDS):
    """Alternating rounds; prepare (not timed) before each."""
    times = {b.name: [] for b in builders}
    for i in range(rounds):
        for b in builders:
            prepare(b, i)
            times[b.name].append(timed(lambda: act(b, i)))
    return times


def show(title, times):
    ours = statistics.median(times["cooper"])
    row = [f"{title:44}"]
    for name, values in times.items():
        m = statistics.median(values)
        row.append(f"{name} {m * 1000:9.1f} ms ({min(values) * 1000:.1f}-{max(values) * 1000:.1f})" + ("" if name == "cooper" else f" = {m / ours:5.1f}x"))
    print("  ".join(row), flush=True)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def case_warm(top, builders):
    ctx = top / "warm"
    write(ctx / "Dockerfile", f"FROM {BASE}\n" + "".join(f"RUN echo {i} > /f{i}\n" for i in range(6)) + "COPY a /a\nWORKDIR /w\nENV A=1\nUSER 0\nLABEL a=b\nCMD [\"true\"]\n")
    write(ctx / "a", "x" * 2_000_000)
    for b in builders:
        b.build(ctx)
    show("warm no-op rebuild, 12 steps", measure(builders, lambda b, i: None, lambda b, i: b.build(ctx), max(ROUNDS, 15)))


def case_run(top, builders):
    for steps in (20, 1):
        ctx = top / f"run{steps}"
        write(ctx / "Dockerfile", f"FROM {BASE}\n" + "".join(f"RUN echo {i}; true\n" for i in range(steps)))
        times = measure(builders, lambda b, i: None, lambda b, i: b.build(ctx, fresh=True), 5)
        show(f"{steps} trivial RUN, cold", times)
        if steps == 20:
            many = times
        else:
            show("  overhead a step", {n: [(statistics.median(many[n]) - statistics.median(v)) / 19] for n, v in times.items()})


def case_copy(top, builders):
    ctx = top / "copy"
    for i in range(20000):
        path = ctx / "tree" / f"d{i % 200}" / f"f{i}"
        if i < 200:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.sha256(str(i).encode()).digest() * 160)
    write(ctx / "Dockerfile", f"FROM {BASE}\nCOPY tree /tree\n")
    os.sync()
    show("COPY 20,000 files, cold", measure(builders, lambda b, i: None, lambda b, i: b.build(ctx), 1))
    show("COPY 20,000 files, warm", measure(builders, lambda b, i: None, lambda b, i: b.build(ctx), 5))
    serial = iter(range(1000))
    show(
        "COPY 20,000 files, one changed",
        measure(builders, lambda b, i: (ctx / "tree" / "d7" / "f7").write_text(f"round {next(serial)}"), lambda b, i: b.build(ctx), 3),
    )


@contextlib.contextmanager
def registry(top):
    config = top / "registry.yml"
    config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {top}/registry}}}}\nhttp: {{addr: 127.0.0.1:5999}}\n")
    proc = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    try:
        yield "127.0.0.1:5999"
    finally:
        proc.terminate()
        proc.wait(20)


def case_push(top, builders):
    ctx = top / "push"
    serial = iter(range(1000))

    def prepare(b, i):
        write(ctx / "Dockerfile", f"FROM {BASE}\nRUN : {next(serial)}; seq 1 500000000 | head -c 500000000 | sed s/1/{next(serial)}/ > /big\n")

    with registry(top) as host:
        show("500 MB layer, RUN to pushed", measure(builders, prepare, lambda b, i: b.push(ctx, f"{host}/bench/{b.name}:r{i}"), 2))


def yardstick():
    data = b"x" * (64 << 20)
    t = timed(lambda: hashlib.sha256(data).digest())
    start = statistics.median(timed(lambda: run(["/bin/true"])) for _ in range(20))
    print(f"machine: sha256 {64 / t:.0f} MiB/s, process start {start * 1000:.2f} ms (from Python), {os.cpu_count()} CPUs, Linux {os.uname().release}")


def base_tar(top):
    cached = ROOT / "build" / "bench-base.tar"
    if not cached.exists():
        cached.parent.mkdir(exist_ok=True)
        run(["mmdebstrap", "--variant=minbase", "bookworm", cached])
    return cached


def main():
    cases = {"warm": case_warm, "run": case_run, "copy": case_copy, "push": case_push}
    with tempfile.TemporaryDirectory(prefix="cooper-bench-", dir=os.environ.get("BENCH_DIR")) as tmp:
        top = pathlib.Path(tmp)
        tar = base_tar(top)
        classes = {"docker": Docker, "buildah": Buildah}
        builders = [Cooper(top, tar), *(classes[p](top, tar) for p in PEERS)]
        try:
            yardstick()
            for name, case in cases.items():
                if not CASES or name in CASES:
                    case(top, builders)
        finally:
            for b in builders:
                getattr(b, "close", lambda: None)()


main()
