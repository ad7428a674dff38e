# SPDX-License-Identifier: Apache-2.0
"""The queue over HTTP, as a client and a runner speak to it: every documented answer, and what happens when things break."""

import http.client
import signal
import threading
import time

import pytest
from api_client import Api, operations
from conftest import free_port

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "ab" * 32


def new_run(name="web", label="k8s", **more):
    job = {"kind": "dockerfile", "version": "1.0", "tag": "v1.0-0123456", "reference": f"127.0.0.1:5000/lab/{name}:v1.0-0123456", "label": label}
    return {"repository": "https://forge.example/me/lab", "container": name, "commit": COMMIT, "ref": "main", "subject": "first", "jobs": [job], **more}


class Server:
    """cooper serve on a fixed port, to be killed and started again; api speaks to it."""

    def __init__(self, cooper, *args):
        self.cooper, self.args, self.port = cooper, args, free_port()
        self.api = Api(f"127.0.0.1:{self.port}")
        self.start()

    def start(self):
        self.proc = self.cooper.start("serve", "--listen", f"127.0.0.1:{self.port}", *self.args)
        assert "listening" in self.proc.stdout.readline(), self.proc.stderr.read()

    def kill(self):
        self.proc.kill()
        self.proc.wait(20)

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        _, err = self.proc.communicate(timeout=20)
        assert "AddressSanitizer" not in err and "runtime error:" not in err, err
        return self.proc.returncode


@pytest.fixture
def make_server(bare):
    made = []

    def make(*args):
        made.append(Server(bare, *args))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def claim(api, *labels, wait=0, expect=200, **more):
    answer = api("POST", "/jobs/claim", {"runner": "r1", "labels": list(labels or ["k8s"]), "wait_seconds": wait, **more}, expect=expect)
    return answer.json if expect == 200 else answer


class Holder:
    """A claimed job."""

    def __init__(self, api, claimed):
        self.api, self.path = api, f"/jobs/{claimed['job']['id']}"
        self.lease = {"Cooper-Lease": claimed["lease"]}

    def heartbeat(self, expect=200):
        return self.api("POST", self.path + "/heartbeat", headers=self.lease, expect=expect)

    def log(self, offset, text, expect=200):
        return self.api("POST", f"{self.path}/log?offset={offset}", text, {**self.lease, "Content-Type": "text/plain"}, expect=expect).json

    def finish(self, expect=204, **result):
        return self.api("POST", self.path + "/result", {"status": "success", "digest": DIGEST, **result}, self.lease, expect=expect)

    def give_back(self, expect=204):
        return self.api("POST", self.path + "/return", headers=self.lease, expect=expect)


def take(api, *labels, **kw):
    return Holder(api, claim(api, *labels, **kw))


@pytest.mark.sanitize
def test_every_operation_answers_as_documented(bare):
    """The client checks each answer; here every documented success, and the usual refusals, come up once at least."""
    admin = bare("token", "create", "adm", "--scope", "admin").out.strip()
    runner = bare("token", "create", "run", "--scope", "runner").out.strip()
    pull = bare("token", "create", "pull", "--scope", "pull").out.strip()
    with bare.serving() as address:
        api = Api(address, admin)
        for path in ("", "/openapi.json", "/registry/token", "/tokens"):
            api("GET", path, expect=200)
        api("POST", "/registry/token", f"grant_type=password&password={admin}", {"Content-Type": "application/x-www-form-urlencoded"}, expect=200)
        api("POST", "/tokens", {"name": "n", "scopes": ["push"]}, expect=201)
        api("DELETE", "/tokens/n", expect=204)
        made = api("POST", "/runs", new_run(), expect=201)
        assert made.headers["location"] == "/api/v1/runs/1" and made.json["requested_by"] == "adm" and made.json["status"] == "waiting"
        assert api("GET", "/runs", expect=200).json == {"runs": [made.json], "next": None}
        assert api("GET", "/runs/1", expect=200).json == made.json
        worker = api.as_(runner)
        first = take(worker)
        assert api("GET", "/runs/1").json["jobs"][0]["runner"] == "r1"
        claim(worker, expect=204)
        assert first.heartbeat().json == {"cancel": False}
        assert first.log(0, "one\ntwo\n") == {"size": 8}
        assert first.log(100, "x", expect=416)["size"] == 8
        first.give_back()
        for refuse in (first.heartbeat, first.give_back, first.finish):
            assert "lost" in refuse(expect=409).message
        first.log(8, "late", expect=409)
        second = take(worker)
        assert second.log(0, "again\n") == {"size": 6}
        second.finish()
        second.finish()
        second.finish(digest="sha256:" + "cd" * 32, expect=409)
        log = "one\ntwo\nthe runner r1 was stopped: the job goes back to the queue\nagain\n"
        where = "/runs/1/jobs/0/log"
        assert api("GET", where, expect=200).body.decode() == log
        assert api("GET", where + "?offset=4", expect=200).body.decode() == log[4:]
        part = api("GET", where, headers={"Range": "bytes=4-6"}, expect=206)
        assert part.body == b"two" and part.headers["content-range"] == f"bytes 4-6/{len(log)}"
        assert api("GET", where, headers={"Range": "bytes=-6"}, expect=206).body == b"again\n"
        assert api("GET", where, headers={"Range": f"bytes={len(log)}-"}, expect=416).headers["content-range"] == f"bytes */{len(log)}"
        api("GET", where + f"?offset={len(log) + 1}", expect=416)
        assert api("GET", where + "?follow=1", expect=200).body.decode() == log
        api("POST", "/runs", new_run(), expect=201)
        assert api("POST", "/runs/2/cancel", expect=200).json["status"] == "cancelled"
        assert api("POST", "/runs/2/cancel", expect=200).json["status"] == "cancelled"
        api("POST", "/runs/1/cancel", expect=409)
        for path in ("/runs/9", "/runs/1/jobs/7/log"):
            assert api("GET", path, expect=404).message
        api("POST", "/runs/9/cancel", expect=404)
        for method, path in (("GET", "/runs"), ("GET", "/runs/1"), ("GET", where), ("POST", "/runs/1/cancel")):
            api.as_(pull)(method, path, expect=403)
            api.as_(None)(method, path, expect=401)
        api.as_(runner)("POST", "/runs", new_run(), expect=403)
        api.as_(runner)("GET", where, expect=200)
        documented = {(m, p, s) for m, p, o in operations() for s in o["responses"] if s.startswith("2")}
    assert documented - api.seen == set()


def test_paging(make_server):
    api = make_server().api
    for i in range(5):
        api("POST", "/runs", new_run(f"c{i}", requested_by="me@here"), expect=201)
    seen, before = [], ""
    for _ in range(3):
        page = api("GET", f"/runs?limit=2{before}", expect=200).json
        seen.append([r["number"] for r in page["runs"]])
        before = f"&before={page['next']}"
    assert seen == [[5, 4], [3, 2], [1]] and page["next"] is None
    assert page["runs"][0]["requested_by"] == "me@here"
    for bad in ("limit=0", "limit=101", "limit=x", "before=0", "before=-1"):
        assert "must be a whole number" in api("GET", f"/runs?{bad}", expect=400).message


def test_what_is_wrong_with_a_run(make_server):
    api = make_server().api
    for change, said in (
        ({"commit": "abc"}, "40 hexadecimal digits"),
        ({"comit": COMMIT}, "did you mean"),
        ({"jobs": []}, "jobs must be 1 to"),
        ({"jobs": [{}]}, "jobs[0]: kind is missing"),
        ({"jobs": [{**new_run()["jobs"][0], "reference": "UPPER/x:v1"}]}, ""),
        ({"jobs": [{**new_run()["jobs"][0], "tag": "other"}]}, "has not the tag other"),
        ({"subject": "a\nb"}, "control character"),
        ({"container": 5}, "container"),
    ):
        assert said in api("POST", "/runs", new_run(**change), expect=400).message, change
    for change, said in (({"labels": []}, "labels must be"), ({"wait_seconds": 61}, "from 0 to 60"), ({"runner": ""}, "runner must have"), ({"runner": "a\x1b[2J"}, "runner must have")):
        assert said in api("POST", "/jobs/claim", {"runner": "r", "labels": ["k8s"], **change}, expect=400).message
    api("POST", "/runs", new_run())
    job = take(api)
    assert "Cooper-Lease" in api("POST", job.path + "/heartbeat", expect=400).message
    assert "offset is missing" in api("POST", job.path + "/log", "x", job.lease, expect=400).message
    assert "not \"waiting\"" in job.finish(status="waiting", expect=400).message
    assert "no digest" in job.finish(digest="x", expect=400).message
    api("POST", job.path + "/log?offset=0", "x" * ((1 << 20) + 1), job.lease, expect=413)
    assert api("GET", "/runs/1").json["jobs"][0]["log_size"] == 0


def test_labels_and_repositories(make_server):
    api = make_server().api
    api("POST", "/runs", new_run("a", "nix"))
    api("POST", "/runs", new_run("b", "k8s", repository="https://forge.example/other"))
    claim(api, "k8s", repository="https://forge.example/me/lab", expect=204)
    assert claim(api, "x", "nix")["run"]["container"] == "a"
    assert claim(api, "k8s", repository="https://forge.example/other")["run"]["container"] == "b"


def test_a_claim_waits(make_server):
    server = make_server()
    got = []
    waiting = threading.Thread(target=lambda: got.append(claim(server.api, wait=30)))
    waiting.start()
    time.sleep(0.3)
    assert not got
    server.api("POST", "/runs", new_run())
    waiting.join(10)
    assert got[0]["run"]["number"] == 1


def test_who_hung_up_gets_no_job(make_server):
    api = make_server().api
    connection = http.client.HTTPConnection(api.address)
    body = '{"runner": "gone", "labels": ["k8s"], "wait_seconds": 60}'
    connection.request("POST", "/api/v1/jobs/claim", body, {"Content-Type": "application/json"})
    time.sleep(0.3)
    connection.close()
    api("POST", "/runs", new_run())
    time.sleep(0.3)
    assert api("GET", "/runs/1").json["status"] == "waiting"


def follow(api, path, out):
    """Read in pieces as they come; what ended how is appended last."""
    connection = http.client.HTTPConnection(api.address, timeout=60)
    connection.request("GET", "/api/v1" + path)
    answer = connection.getresponse()
    try:
        while piece := answer.read1(65536):
            out.append(piece.decode())
        out.append("END")
    except (http.client.IncompleteRead, ConnectionError):
        out.append("CUT")


def wait_until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_following_is_live(make_server):
    api = make_server().api
    api("POST", "/runs", new_run())
    out = []
    reader = threading.Thread(target=follow, args=(api, "/runs/1/jobs/0/log?follow=1", out))
    reader.start()
    job = take(api)
    size = 0
    for i in range(3):
        line = f"line {i}\n"
        size = job.log(size, line)["size"]
        wait_until(lambda: out and out[-1] == line)
    job.finish()
    reader.join(10)
    assert out == ["line 0\n", "line 1\n", "line 2\n", "END"]


def test_stopping_does_not_wait_for_followers(make_server):
    server = make_server()
    server.api("POST", "/runs", new_run())
    take(server.api).log(0, "half\n")
    out = [[], []]
    readers = [threading.Thread(target=follow, args=(server.api, "/runs/1/jobs/0/log?follow=1", o)) for o in out]
    claiming = http.client.HTTPConnection(server.api.address, timeout=60)
    claiming.request("POST", "/api/v1/jobs/claim", '{"runner": "r2", "labels": ["x"], "wait_seconds": 60}', {"Content-Type": "application/json"})
    for r in readers:
        r.start()
    wait_until(lambda: all(out))
    start = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - start < 5  # its grace is 10 s, and the claim would wait for 60
    for r in readers:
        r.join(10)
    assert out == [["half\n", "CUT"]] * 2
    assert claiming.getresponse().status == 204


def test_a_killed_server_loses_nothing(make_server):
    server = make_server("--lease", "3")
    api = server.api
    api("POST", "/runs", new_run())
    job = take(api)
    size = job.log(0, "before\n")["size"]
    server.kill()
    time.sleep(3.5)  # longer than the lease: a server that is down takes nothing away
    server.start()
    assert job.heartbeat().json == {"cancel": False}
    # sent, but never acknowledged: sent again
    assert job.log(0, "before\nafter\n")["size"] == size + 6
    job.finish()
    assert api("GET", "/runs/1").json["status"] == "success"
    assert api("GET", "/runs/1/jobs/0/log").body == b"before\nafter\n"


def test_a_silent_runner_loses_its_job(make_server):
    api = make_server("--lease", "1").api
    api("POST", "/runs", new_run())
    lost = [take(api)]
    for _ in range(2):
        lost[-1].log(0, "working")
        lost.append(take(api, wait=20))
    for job in lost[:2]:
        assert "not this runner's any more" in job.heartbeat(expect=409).message
    wait_until(lambda: api("GET", "/runs/1").json["status"] == "failure")
    job = api("GET", "/runs/1").json["jobs"][0]
    assert job["error"] == "its runner was lost 3 times, the last one was r1"
    assert api("GET", "/runs/1/jobs/0/log").body.decode().splitlines() == [
        "working",
        "the runner r1 was lost: the job goes back to the queue",
        "working",
        "the runner r1 was lost: the job goes back to the queue",
        "failure: its runner was lost 3 times, the last one was r1",
    ]


def test_cancelling_reaches_the_runner(make_server):
    api = make_server().api
    api("POST", "/runs", new_run())
    job = take(api)
    assert api("POST", "/runs/1/cancel", expect=200).json["jobs"][0]["cancel_asked"]
    assert job.heartbeat().json == {"cancel": True}
    job.finish(status="cancelled", digest=None)
    assert api("GET", "/runs/1").json["status"] == "cancelled"


def test_one_reference_is_worked_on_once(make_server):
    api = make_server().api
    for _ in range(2):
        api("POST", "/runs", new_run())
    job = take(api)
    claim(api, expect=204)
    job.finish()
    take(api).finish(already=True)
    assert [r["jobs"][0]["already"] for r in api("GET", "/runs").json["runs"]] == [True, False]
