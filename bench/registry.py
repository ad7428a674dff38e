# SPDX-License-Identifier: Apache-2.0
"""
The registry beside Debian's docker-registry, and beside nginx with static files as the ceiling, in one run.

  make bench-registry                      all cases
  make bench-registry CASES="small push"   of: push pull small skopeo many memory

Rounds alternate between the servers; figures are medians, ratios are to cooper. The machine's own limits (hash, write and fsync) stand beside. Servers
listen on loopback and keep their data below one temporary folder (BENCH_DIR says where). No test asserts any of it.
"""

import base64
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = os.environ.get("COOPER_BIN", str(ROOT / "build" / "cooper"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
CASES = os.environ.get("CASES", "").split()
SIZE = 500_000_000
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Server:
    """One that was started and answers; .host is its address."""

    def __init__(self, name, top, command, port, env=None):
        self.name, self.host, self.port = name, f"127.0.0.1:{port}", port
        self.headers = []
        self.log = top / f"{name}.log"
        self.process = subprocess.Popen([str(a) for a in command], stdout=self.log.open("wb"), stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        for _ in range(200):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            time.sleep(0.05)
        self.close()
        sys.exit(f"{name} did not start: {self.log.read_text()}")

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            c.request(method, path, body, {**dict(h.split(': ', 1) for h in self.headers), **(headers or {})})
            answer = c.getresponse()
            answer.data = answer.read()
            return answer
        finally:
            c.close()

    def upload(self, repository):
        location = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"").getheader("Location")
        location = re.sub(r"^http://[^/]*", "", location)
        return location + ("&" if "?" in location else "?")

    def push_blob(self, repository, data):
        answer = self.request("PUT", f"{self.upload(repository)}digest={digest_of(data)}", data, {"Content-Type": "application/octet-stream"})
        assert answer.status == 201, (self.name, answer.status, answer.data)

    def push_manifest(self, repository, tag, layers):
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(d) for d in layers]}}).encode()
        for data in (config, *layers):
            self.push_blob(repository, data)
        body = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
                "layers": [{"mediaType": LAYER, "digest": digest_of(d), "size": len(d)} for d in layers],
            }
        ).encode()
        answer = self.request("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": MANIFEST})
        assert answer.status == 201, (self.name, answer.status, answer.data)
        return body

    def memory(self):
        """(resident now, highest since the start) in MB"""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return [int(re.search(rf"^{key}:\s+(\d+)", status, re.M)[1]) / 1000 for key in ("VmRSS", "VmHWM")]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def cooper(top, name="cooper", *words):
    port = free_port()
    config = top / "cooper.yaml"
    config.write_text("registry: {scrub: off, gc: off}\n")
    return Server(name, top, [BIN, "serve", "--listen", f"127.0.0.1:{port}", "--config", config, *words], port, {"COOPER_HOME": str(top / name)})


def guarded_cooper(top):
    """One that asks for a token, shown with Basic."""
    name = "cooper, Basic"
    made = subprocess.run([BIN, "token", "create", "bench", "--scope", "push"], env={**os.environ, "COOPER_HOME": str(top / name)}, capture_output=True, text=True, check=True)
    server = cooper(top, name)
    server.headers = ["Authorization: Basic " + base64.b64encode(f"bench:{made.stdout.strip()}".encode()).decode()]
    return server


def docker_registry(top):
    port = free_port()
    config = top / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {top}/registry}}, cache: {{blobdescriptor: inmemory}}, delete: {{enabled: true}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    return Server("docker-registry", top, ["docker-registry", "serve", config], port, {"OTEL_TRACES_EXPORTER": "none"})


def nginx(top):
    port = free_port()
    place = top / "nginx"
    (place / "root").mkdir(parents=True)
    config = place / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\nevents {{ worker_connections 1000; }}\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type {MANIFEST}; client_body_temp_path {place}/b; proxy_temp_path {place}/p;\n"
        f" fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s; server {{ listen 127.0.0.1:{port}; root {place}/root; }} }}\n"
    )
    server = Server("nginx", top, ["nginx", "-p", place, "-e", place / "error.log", "-c", config], port)
    server.root = place / "root"
    return server


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(title, figures, unit, best=min):
    """figures: name -> values; the first is what others are compared with."""
    first = statistics.median(next(iter(figures.values())))
    text = [f"{title:34}"]
    for name, values in figures.items():
        m = statistics.median(values)
        ratio = "" if values is next(iter(figures.values())) else f" = {m / first:6.2f}x"
        text.append(f"{name} {m:9.2f} {unit} (best {best(values):.2f}){ratio}")
    print("  ".join(text), flush=True)


def alternate(servers, prepare, act, rounds=ROUNDS):
    times = {s.name: [] for s in servers}
    for i in range(rounds):
        for s in servers:
            what = prepare(s, i)
            times[s.name].append(timed(lambda: act(s, what)))
    return times


def curl(*args):
    done = subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"curl {args}: {done.stderr}")


def at_once(count, call):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        list(pool.map(call, range(count)))


# ---- cases: (top, registries, ceiling) ----


def fresh_files(top, count):
    """Each push needs content that the server does not have: the first bytes differ, the digest is computed aside."""
    files = []
    block = os.urandom(1 << 20)
    for _ in range(count):
        path = top / f"blob{len(files)}"
        with path.open("wb") as out:
            out.write(os.urandom(1 << 20))
            for _ in range(SIZE // (1 << 20) - 1):
                out.write(block)
        done = subprocess.run(["openssl", "sha256", "-r", path], capture_output=True, text=True, check=True)
        files.append((path, "sha256:" + done.stdout.split()[0]))
    return files


def case_push(top, registries, _):
    files = fresh_files(top, 2)
    copy = top / "copy"

    def written(path):
        with path.open("rb") as source, copy.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())

    row("500 MB: sha256 (openssl)", {"openssl": [timed(lambda: subprocess.run(["openssl", "sha256", files[0][0]], stdout=subprocess.DEVNULL)) for _ in range(ROUNDS)]}, "s")
    row("500 MB: write and fsync", {"write": [timed(lambda: written(files[0][0])) for _ in range(ROUNDS)]}, "s")
    copy.unlink()

    def forget(s, i, repositories):
        for r in repositories:
            for _, digest in files:
                s.request("DELETE", f"/v2/{r}/blobs/{digest}")
        os.sync()
        # What is deleted stays in the store until it is collected: the content must be new.
        for n, (path, _) in enumerate(files):
            with path.open("r+b") as f:
                f.write(os.urandom(64))
            files[n] = (path, "sha256:" + subprocess.run(["openssl", "sha256", "-r", path], capture_output=True, text=True, check=True).stdout.split()[0])

    def one(s, n, how):
        path, digest = files[n]
        location = f"http://{s.host}{s.upload(f'push/r{n}')}"
        if how == "put":
            return curl("-T", path, f"{location}digest={digest}", "-H", "Content-Type: application/octet-stream")
        done = subprocess.run(
            ["curl", "-sS", "-f", "-X", "PATCH", "-T", path, "-H", "Transfer-Encoding: chunked", "-D", "-", "-o", "/dev/null", location.rstrip("?&"), "-H", "Content-Type: application/octet-stream"],
            capture_output=True, text=True,
        )
        found = re.search(r"^location: (.*?)\r?$", done.stdout, re.I | re.M)
        assert found, (s.name, done.stdout, done.stderr)
        location = re.sub(r"^/", f"http://{s.host}/", found[1])
        return curl("-X", "PUT", "-d", "", f"{location}{'&' if '?' in location else '?'}digest={digest}")

    row("500 MB pushed, one PUT", alternate(registries, lambda s, i: forget(s, i, ["push/r0"]), lambda s, _: one(s, 0, "put")), "s")
    row("500 MB pushed, streamed PATCH", alternate(registries, lambda s, i: forget(s, i, ["push/r0"]), lambda s, _: one(s, 0, "patch")), "s")
    row("2 x 500 MB pushed at once", alternate(registries, lambda s, i: forget(s, i, ["push/r0", "push/r1"]), lambda s, _: at_once(2, lambda n: one(s, n, "put"))), "s")
    for path, _ in files:
        path.unlink()


def case_pull(top, registries, ceiling):
    [(path, digest)] = fresh_files(top, 1)
    for s in registries:
        curl("-T", path, f"http://{s.host}{s.upload('pull/big')}digest={digest}", "-H", "Content-Type: application/octet-stream")
    shutil.move(path, ceiling.root / "big")
    servers = [*registries, ceiling]

    def pull(s, _):
        curl(f"http://{s.host}/big" if s is ceiling else f"http://{s.host}/v2/pull/big/blobs/{digest}")

    row("500 MB pulled", alternate(servers, lambda s, i: 0, pull), "s")
    row("4 x 500 MB pulled at once", alternate(servers, lambda s, i: 0, lambda s, _: at_once(4, lambda n: pull(s, n))), "s")
    (ceiling.root / "big").unlink()


def wrk(s, path):
    """Requests a second."""
    argv = ["wrk", "-t1", "-c8", "-d3s", *[w for h in (f"Accept: {MANIFEST}", *s.headers) for w in ("-H", h)], f"http://{s.host}{path}"]
    done = subprocess.run(argv, capture_output=True, text=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert rate and "Non-2xx" not in done.stdout, (s.name, path, done.stdout, done.stderr)
    return float(rate[1])


def case_small(top, registries, ceiling):
    layers = {"4 KiB blob": os.urandom(4096), "64 KiB blob": os.urandom(65536)}
    for s in registries:
        body = s.push_manifest("small/image", "v1", list(layers.values()))
    paths = {
        "GET manifest by tag": ("/v2/small/image/manifests/v1", body),
        "GET manifest by digest": (f"/v2/small/image/manifests/{digest_of(body)}", body),
        **{f"GET {k}": (f"/v2/small/image/blobs/{digest_of(d)}", d) for k, d in layers.items()},
        "GET /v2/": ("/v2/", b"{}"),
    }
    for n, (title, (path, data)) in enumerate(paths.items()):
        (ceiling.root / f"f{n}").write_bytes(data)
        rates = {s.name: [] for s in (*registries, ceiling)}
        for _ in range(max(3, ROUNDS - 2)):
            for s in (*registries, ceiling):
                rates[s.name].append(wrk(s, f"/f{n}" if s is ceiling else path))
        row(title, rates, "/s", max)


def case_skopeo(top, registries, _):
    layout = top / "layout"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def keep(data):
        (blobs / digest_of(data)[7:]).write_bytes(data)
        return {"digest": digest_of(data), "size": len(data)}

    block = os.urandom(1 << 20)

    def prepare(s, i):
        data = os.urandom(1 << 20) + block * (SIZE // len(block) - 1)
        layer = keep(data)
        config = keep(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}).encode())
        manifest = keep(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, **config}, "layers": [{"mediaType": LAYER.replace("+gzip", ""), **layer}]}).encode())
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, **manifest, "annotations": {"org.opencontainers.image.ref.name": "x"}}]}))
        os.sync()

    row("skopeo pushes 500 MB", alternate(registries, prepare, lambda s, _: subprocess.run(["skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{s.host}/skopeo/image:x"], check=True), 3), "s")

    def clean(s, i):
        shutil.rmtree(top / "pulled", ignore_errors=True)
        os.sync()

    row("skopeo pulls 500 MB", alternate(registries, clean, lambda s, _: subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{s.host}/skopeo/image:x", f"dir:{top}/pulled"], check=True), 3), "s")
    shutil.rmtree(layout)
    shutil.rmtree(top / "pulled")


def case_many(top, registries, _):
    """Small images, as a CI pushes them: a config, four blobs of 2 kB and a manifest, eight pushers at once."""

    def pushes(s, i):
        at_once(8, lambda n: [s.push_manifest(f"many/r{n}", f"t{i}-{k}", [os.urandom(2000) for _ in range(4)]) for k in range(10)])

    row("80 small images pushed by 8", alternate(registries, lambda s, i: i, pushes), "s")


def case_memory(top, registries, ceiling):
    for s in (*registries, ceiling):
        print(f"memory of {s.name}: {s.memory()[0]:.1f} MB now, {s.memory()[1]:.1f} MB at its highest")


def main():
    cases = {"memory at the start": case_memory, "push": case_push, "pull": case_pull, "small": case_small, "skopeo": case_skopeo, "many": case_many, "memory": case_memory}
    with contextlib.ExitStack() as stack:
        top = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cooper-bench-", dir=os.environ.get("BENCH_DIR"))))
        print(f"machine: {os.cpu_count()} CPUs, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}")
        servers = [cooper(top), docker_registry(top), nginx(top)]
        for s in servers:
            stack.callback(s.close)
        for name, case in cases.items():
            if not CASES or name in CASES:
                case(top, servers[:2], servers[2])
        if not CASES or "small" in CASES:
            logging = cooper(top, "cooper, access log", "--access-log", top / "access.log")
            stack.callback(logging.close)
            case_small(top, [logging], servers[2])
            guarded = guarded_cooper(top)
            stack.callback(guarded.close)
            case_small(top, [guarded], servers[2])


main()
