# SPDX-License-Identifier: Apache-2.0
"""cooper runner against a server on this machine: what it builds and pushes, and how it ends."""

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from api_client import Api
from conftest import Cooper
from git_lab import GitLab

FILES = {
    "cooper.yaml": "namespace: lab\n",
    "containers/web/Dockerfile": "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\nCOPY page /srv/page\nRUN cat /srv/page > /srv/copy\n",
    "containers/web/page": "hello\n",
    "containers/bad/Dockerfile": "ARG CONTAINER_APP_VERSION=1\nFROM busybox\nRUN echo why it failed; exit 7\n",
    "containers/slow/Dockerfile": "ARG CONTAINER_APP_VERSION=1\nFROM busybox\nRUN echo begun; sleep 60\n",
}


@pytest.fixture
def lab(tmp_path):
    return GitLab(tmp_path, FILES)


@pytest.fixture
def runner(tmp_path, busybox_tar):
    """A cooper with a store of its own, apart from the server's; what it starts does not outlive a test that fails."""
    made, started = Cooper(tmp_path / "runner-home"), []
    made("image", "import", busybox_tar, "--name", "busybox:latest")
    start = made.start
    made.start = lambda *args, **kw: started.append(start(*args, **kw)) or started[-1]
    yield made
    for proc in started:
        if proc.poll() is None:
            proc.kill()
            proc.wait()


@pytest.fixture
def server(bare):
    with bare.serving("--lease", "5") as address:
        yield Api(address)


def args(api, lab, *more):
    return ["runner", "--server", f"http://{api.address}", "--label", "k8s", "--git", lab.top / "origin.git", "--name", "r1", *more]


def queue(api, runner, lab, name, **change):
    """A run of what a dry run shows; its number."""
    plan = json.loads(runner("release", name, "--dry-run", "--json", cwd=lab.repo).out)
    jobs = [{**{k: j[k] for k in ("kind", "version", "tag", "reference")}, "label": j["runner"], **change} for j in plan["jobs"]]
    run = {"container": name, "commit": plan["commit"], "ref": "main", "subject": "first", "jobs": jobs}
    return api("POST", "/runs", run, expect=201).json["number"]


def state(api, number):
    job = api("GET", f"/runs/{number}", expect=200).json["jobs"][0]
    return job["status"], job["error"]


def log(api, number):
    return api("GET", f"/runs/{number}/jobs/0/log", expect=200).body.decode()


def wait_until(what, proc, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end and proc.poll() is None, proc.communicate(timeout=10) if proc.poll() is not None else "too long"
        time.sleep(0.05)


def end(proc, code=0):
    """Out of the runner, once it has ended."""
    out, err = proc.communicate(timeout=30)
    assert "AddressSanitizer" not in err and "runtime error:" not in err, err
    assert proc.returncode == code, out + err
    return out + err


@pytest.mark.sanitize
def test_build_and_push(server, runner, lab, bare):
    number = queue(server, runner, lab, "web")
    said = runner(*args(server, lab, "--once")).out
    job = server("GET", f"/runs/{number}").json["jobs"][0]
    assert (job["status"], job["runner"], job["already"], job["log_gone"]) == ("success", "r1", False, False)
    assert f"published {job['reference']}" in said
    text = log(server, number)
    assert "RUN cat /srv/page" in text and text.rstrip().splitlines()[-1].startswith(f"published {job['reference']}@{job['digest']}")
    # the reference names the default registry, which is the server's own store
    assert json.loads(bare("image", "inspect", job["reference"]).out)["digest"] == job["digest"]
    # once more: nothing new is published, and nothing of the first job is left but the mirror
    number = queue(server, runner, lab, "web")
    runner(*args(server, lab, "--once"))
    assert server("GET", f"/runs/{number}").json["jobs"][0]["already"]
    assert list(runner.home.glob("tmp/*/s*")) == [] and len(list(runner.home.glob("mirrors/*.git"))) == 1


def test_a_job_that_fails(server, runner, lab):
    number = queue(server, runner, lab, "bad")
    said = runner(*args(server, lab, "--once"), code=1)
    status, error = state(server, number)
    assert status == "failure" and "exit" in error
    assert "why it failed" in log(server, number) and f"run {number}, job 0 (bad, dockerfile)" in said.err


def test_what_cannot_be_built(server, runner, lab):
    """Each says in the log and in the result why, and the runner goes on."""
    queue(server, runner, lab, "web", reference="127.0.0.1:5000/other/web:v1.2.3-" + lab.first[:7])
    lab.git("commit", "-q", "--allow-empty", "-m", "not pushed")
    server("POST", "/runs", {"container": "web", "commit": lab.git("rev-parse", "HEAD"), "jobs": [{"kind": "dockerfile", "version": "1", "tag": "v1", "reference": "127.0.0.1:5000/lab/web:v1", "label": "k8s"}]}, expect=201)
    lab.git("reset", "-q", "--hard", lab.first)
    server("POST", "/runs", {"container": "none", "commit": lab.first, "jobs": [{"kind": "dockerfile", "version": "1", "tag": "v1", "reference": "127.0.0.1:5000/lab/none:v1", "label": "k8s"}]}, expect=201)
    queue(server, runner, lab, "web")
    proc = runner.start(*args(server, lab))
    wait_until(lambda: state(server, 4)[0] == "success", proc)
    proc.terminate()
    end(proc)
    for number, said in ((1, "not 127.0.0.1:5000/other/web"), (2, "has no commit"), (3, 'no container "none"')):
        status, error = state(server, number)
        assert status == "failure" and said in error and said in log(server, number)
    assert "push it, and release again" in log(server, 2)


def test_cancelling(server, runner, lab):
    number = queue(server, runner, lab, "slow")
    proc = runner.start(*args(server, lab, "--once"))
    wait_until(lambda: state(server, number)[0] == "running" and "begun\n" in log(server, number)[200:], proc)
    server("POST", f"/runs/{number}/cancel", expect=200)
    end(proc, 1)
    assert state(server, number)[0] == "cancelled" and "cancelled after" in log(server, number)


def test_stopping_gives_the_job_back(server, runner, lab):
    number = queue(server, runner, lab, "slow")
    proc = runner.start(*args(server, lab, "--grace", "0s"))
    wait_until(lambda: "#" in log(server, number), proc)
    proc.send_signal(signal.SIGTERM)
    said = end(proc)
    assert "given up after" in said
    assert state(server, number) == ("waiting", None)
    assert log(server, number).endswith("the runner r1 was stopped: the job goes back to the queue\n")
    assert server("GET", f"/runs/{number}").json["jobs"][0]["tries"] == 0


def test_stopping_lets_a_short_job_end(server, runner, lab):
    lab.write("containers/web/Dockerfile", "ARG CONTAINER_APP_VERSION=2\nFROM busybox\nRUN echo begun; sleep 1; echo > /made\n")
    lab.commit("a short one")
    number = queue(server, runner, lab, "web")
    queue(server, runner, lab, "slow")
    proc = runner.start(*args(server, lab))
    wait_until(lambda: state(server, number)[0] == "running", proc)
    proc.send_signal(signal.SIGTERM)
    end(proc)
    assert state(server, number)[0] == "success"
    assert state(server, number + 1)[0] == "waiting"


def test_jobs_at_once(server, runner, lab):
    numbers = [queue(server, runner, lab, "slow"), queue(server, runner, lab, "bad")]
    proc = runner.start(*args(server, lab, "--jobs", "2", "--grace", "0s"))
    wait_until(lambda: [state(server, n)[0] for n in numbers] == ["running", "failure"], proc)
    proc.terminate()
    end(proc)


def test_tokens(bare, runner, lab):
    def make(name, *scopes):
        return bare("token", "create", name, *[a for s in scopes for a in ("--scope", s)]).out.strip()

    admin, both, alone = make("admin", "admin"), make("both", "runner", "push"), make("alone", "runner")
    with bare.serving() as address:
        api = Api(address, admin)
        number = queue(api, runner, lab, "web")
        assert "this takes a token" in runner(*args(api, lab), code=1).err
        assert "not valid" in runner(*args(api, lab), code=1, env={"COOPER_TOKEN": "wrong"}).err
        said = runner(*args(api, lab, "--once"), code=1, env={"COOPER_TOKEN": alone})
        assert "push" in said.err and state(api, number)[0] == "failure"
        number = queue(api, runner, lab, "web")
        runner(*args(api, lab, "--once"), env={"COOPER_TOKEN": both})
        assert state(api, number)[0] == "success"
        # what cooper login keeps does as well
        runner.env["REGISTRY_AUTH_FILE"] = str(runner.home / "auth.json")
        runner("login", address, "-u", "me", "--password-stdin", input=both + "\n")
        number = queue(api, runner, lab, "web")
        runner(*args(api, lab, "--once"))
        assert state(api, number)[0] == "success"


def test_the_token_is_for_the_runner_alone(bare, runner, lab, tmp_path):
    """Neither the environment of a container.py nor that of the runner itself shows it."""
    tokens = {name: bare("token", "create", name, *[a for s in scopes for a in ("--scope", s)]).out.strip() for name, *scopes in (("me", "admin"), ("builder", "runner", "push"))}
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho token: ${COOPER_TOKEN-none}\ntr '\\0' '\\n' < /proc/$PPID/environ | grep -c '^COOPER_TOKEN=.'\nexit 3\n")
    fake.chmod(0o755)
    lab.write("containers/py/container.py", 'VERSION = "1"\n')
    lab.commit("a pipeline")
    env = {"COOPER_PYTHON": str(fake), "COOPER_TOKEN": tokens["builder"]}
    with bare.serving() as address:
        api = Api(address, tokens["me"])
        number = queue(api, runner, lab, "py")
        runner(*args(api, lab, "--once"), code=1, env=env)
        said = log(api, number)
    assert re.search(r"token: none\n(#\S+ \S+ )?0\n", said), said
    local = runner("release", "py", cwd=lab.repo, code=1, env=env)
    assert "token: none" in local.out + local.err and tokens["builder"] not in local.out + local.err


def test_a_token_that_is_deleted_while_its_claim_waits(bare, runner, lab):
    tokens = {name: bare("token", "create", name, "--scope", scope).out.strip() for name, scope in (("me", "admin"), ("builder", "runner"))}
    with bare.serving() as address:
        api = Api(address, tokens["me"])
        proc = runner.start(*args(api, lab), env={"COOPER_TOKEN": tokens["builder"]})
        wait_until(lambda: next(t for t in api("GET", "/tokens").json["tokens"] if t["name"] == "builder")["used"], proc)
        bare("token", "rm", "builder")
        number = queue(api, runner, lab, "web")
        assert "not valid any more" in end(proc, 1)
        job = api("GET", f"/runs/{number}").json["jobs"][0]
        assert (job["status"], job["tries"]) == ("waiting", 0)


def test_a_runner_whose_store_is_broken(server, runner, lab):
    """It says why, in the run too, and leaves what comes next to others for a while."""
    proc = runner.start(*args(server, lab))
    assert "takes jobs of" in proc.stdout.readline()
    shutil.rmtree(runner.home / "tmp")
    (runner.home / "tmp").write_text("not a folder\n")
    numbers = [queue(server, bare_plan, lab, "web") for bare_plan in [Cooper(lab.top / "client")] * 2]
    wait_until(lambda: state(server, numbers[0])[0] == "failure", proc)
    assert "the runner could not begin" in state(server, numbers[0])[1] and "could not begin" in log(server, numbers[0])
    assert state(server, numbers[1])[0] == "waiting"
    proc.terminate()
    assert "could not begin" in end(proc)


def test_logs_do_not_steer_a_terminal(server, runner):
    """Of what a runner sends a terminal gets text and colours, a file gets all."""
    job = {"kind": "dockerfile", "version": "1", "tag": "v1", "reference": "127.0.0.1:5000/lab/x:v1", "label": "k8s"}
    server("POST", "/runs", {"container": "x", "commit": "0" * 40, "jobs": [job]}, expect=201)
    claimed = server("POST", "/jobs/claim", {"runner": "r", "labels": ["k8s"]}, expect=200).json
    lease, path = {"Cooper-Lease": claimed["lease"]}, f"/jobs/{claimed['job']['id']}"
    sent = b"\x1b[32mgreen\x1b[0m \x1b]0;title\x07\x1b[2Jend\xc2\x9b2J \xff\n"
    server("POST", f"{path}/log?offset=0", sent, lease, expect=200)
    server("POST", f"{path}/result", {"status": "failure", "error": "it \x1b[2J failed"}, lease, expect=204)
    command = ["logs", "1", "-j", "0", "--via", f"http://{server.address}"]
    master, slave = os.openpty()
    assert runner.start(*command, stdout=slave).wait(30) == 0
    os.close(slave)
    assert os.read(master, 1000) == b"\x1b[32mgreen\x1b[0m end2J \xff\r\n"
    os.close(master)
    with (runner.home / "log").open("wb") as out:
        assert runner.start(*command, stdout=out).wait(30) == 0
    assert (runner.home / "log").read_bytes() == sent
    assert "it ?[2J failed" in runner("logs", "1", "--via", f"http://{server.address}").out


def test_release_and_logs(server, runner, lab, bare, tmp_path):
    """The client's side: cooper.yaml, the environment or --via name the server."""
    url = f"http://{server.address}"
    proc = runner.start(*args(server, lab))
    done = bare("release", "web", "--via", url, "--follow", cwd=lab.repo).out
    reference = f"127.0.0.1:5000/lab/web:v1.2.3-{lab.first[:7]}"
    assert "run 1" in done and f"published {reference}" in done
    assert bare("release", "bad", "--follow", cwd=lab.repo, env={"COOPER_SERVER": url}, code=1)
    for more, env in ((["--via", url], {}), ([], {"COOPER_SERVER": url}), (["--via", "server"], {"COOPER_SERVER": url})):
        runs = json.loads(bare("logs", "--json", *more, cwd=tmp_path, env=env).out)
        assert [(r["number"], r["container"], r["status"]) for r in runs] == [(2, "bad", "failure"), (1, "web", "success")]
    text = bare("logs", "1", "-j", "0", "--via", url).out
    assert text == log(server, 1)
    assert "there is no job 1" in bare("logs", "1", "-j", "1", "--via", url, code=1).err
    assert "there is no run 9" in bare("logs", "9", "--via", url, code=1).err
    # with the server in cooper.yaml images are named after it
    lab.write("cooper.yaml", f"namespace: lab\nserver: {url}\n")
    commit = lab.commit("a server")
    assert f"{server.address}/lab/web:v1.2.3-{commit[:7]}" in bare("release", "web", "--follow", cwd=lab.repo).out
    listed = json.loads(bare("list", "web", "--json", cwd=lab.repo).out)
    assert {t["tag"] for t in listed[0]["tags"]} == {f"v1.2.3-{sha[:7]}" for sha in (commit, lab.first)}
    # a job that nobody takes
    lab.write("cooper.yaml", f"namespace: lab\nserver: {url}\nrunners: {{dockerfile: nobody}}\n")
    lab.commit("a label that no runner has")
    bare("release", "web", cwd=lab.repo)
    assert "has not begun" in bare("logs", "4", "-j", "0", cwd=lab.repo, code=1).err
    bare("cancel", "4", cwd=lab.repo)
    assert "never began" in bare("logs", "4", "-j", "0", "-f", cwd=lab.repo, code=1).err
    assert "has ended" in bare("cancel", "1", cwd=lab.repo, code=1).err
    proc.terminate()
    end(proc)


def test_tls(bare, runner, lab, tmp_path):
    """Everything over one encrypted port, with a CA of one's own: API, log and registry, for runner and client."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    token = bare("token", "create", "all", "--scope", "admin").out.strip()
    with bare.serving("--tls-cert", cert, "--tls-key", key) as address:
        host = "localhost:" + address.rpartition(":")[2]
        (tmp_path / "config.yaml").write_text(f"registries:\n  {host}: {{ca: {cert}}}\n")
        lab.write("cooper.yaml", f"namespace: lab\nserver: https://{host}\n")
        commit = lab.commit("tls")
        env = {"COOPER_TOKEN": token, "COOPER_SERVER": f"https://{host}"}
        assert "certificate" in runner("logs", cwd=lab.repo, env=env, code=1).err
        more = ["--config", tmp_path / "config.yaml"]
        assert "this takes a token" in runner("logs", *more, cwd=lab.repo, code=1).err
        runner("release", "web", *more, cwd=lab.repo, env=env)
        runner("runner", "--git", lab.top / "origin.git", "--label", "k8s", "--once", *more, env=env)
        assert f"published {host}/lab/web:v1.2.3-{commit[:7]}" in runner("logs", "1", "-j", "0", "-f", *more, cwd=lab.repo, env=env).out
        # the token that the environment has for the server is its registry's, too
        tags = json.loads(runner("list", "web", "--json", *more, cwd=lab.repo, env=env).out)[0]["tags"]
        assert [t["tag"] for t in tags] == [f"v1.2.3-{commit[:7]}"]


class Strange(http.server.BaseHTTPRequestHandler):
    """A server that answers every request with server.answer: (status, headers, body); but takes all that is said of a job."""

    def answer(self):
        said = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, body = self.server.answer
        if self.path.startswith("/api/v1/jobs/1/"):
            offset = int(self.path.partition("offset=")[2] or 0)
            status, headers, body = 200, {}, json.dumps({"cancel": False, "size": offset + len(said)}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.mark.sanitize
def test_servers_that_are_none(bare, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Strange)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    job = {"id": 1, "run": 1, "index": 0, "kind": "dockerfile", "version": "1", "tag": "v1", "reference": "r/x:v1", "label": "k8s", "status": "running", "tries": 1, "log_size": 0}
    run = {"number": 1, "via": "server", "repository": "", "container": "web", "commit": "--upload-pack=touch", "ref": "", "subject": "", "requested_by": "", "status": "running", "created": "2026-01-02T03:04:05Z", "jobs": []}
    claimed = {"lease": "x", "lease_seconds": 1, "log_base": 0, "job": job, "run": run}
    logs, runner = ["logs", "--via", url], ["runner", "--server", url, "--git", "x", "--label", "a", "--once"]
    try:
        for command, answer, said in (
            (logs, (200, {}, b"<html>"), url),
            (logs, (200, {}, b"[]"), "is no object"),
            (logs, (200, {}, b'{"runs": {}}'), "runs"),
            (logs, (200, {}, b'{"runs": [{"number": "1"}], "next": null}'), "number is missing"),
            (logs, (302, {"Location": "https://elsewhere.example/"}, b""), "it leads to https://elsewhere.example/"),
            (logs, (404, {}, b"nothing"), "is this the address of a cooper server?"),
            (logs, (403, {}, b'{"error": {"message": "not you", "hint": "try as another"}}'), "not you\n  try as another"),
            (runner, (200, {}, b"{}"), "lease is missing"),
            (runner, (200, {}, json.dumps({**claimed, "lease_seconds": 0}).encode()), "out of range"),
            (runner, (200, {}, json.dumps({**claimed, "lease": "x" * 100}).encode()), "out of range"),
            (runner, (200, {}, json.dumps(claimed).encode()), "is no commit"),
        ):
            server.answer = answer
            assert said in bare(*command, cwd=tmp_path, code=1).err, (answer, said)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "more, said",
    [
        ([], "which server"),
        (["--server", "http://127.0.0.1:1"], "where commits are fetched from"),
        (["--server", "http://127.0.0.1:1", "--git", "x"], "which jobs to take"),
        (["--server", "http://127.0.0.1:1", "--git", "--upload-pack=x", "--label", "a"], "not \"--upload-pack=x\""),
        (["--server", "http://127.0.0.1:1", "--git", "x", "--label", "a", "--grace", "1"], "not \"1\""),
    ],
)
def test_usage(bare, more, said):
    assert said in bare("runner", *more, code=2).err


def test_a_wrong_address(bare, server):
    more = ["--git", "x", "--label", "a"]
    assert "must begin with http:// or https://" in bare("runner", "--server", "ftp://x", *more, code=1).err
    assert "holds credentials" in bare("runner", "--server", f"http://me:x@{server.address}", *more, code=1).err
    said = bare("runner", "--server", f"http://{server.address}/elsewhere", *more, code=1).err
    assert "is this the address of a cooper server?" in said


def test_a_server_that_is_away(runner):
    proc = runner.start("runner", "--server", "http://127.0.0.1:1", "--git", "x", "--label", "a")
    lines = [proc.stdout.readline() for _ in range(2)]
    assert re.search(r"http://127.0.0.1:1: .*; trying again", lines[1])
    proc.terminate()
    end(proc)
