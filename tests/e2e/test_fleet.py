# SPDX-License-Identifier: Apache-2.0
"""
The release loop across machines: a forge (git http-backend), a registry, the server, two runners and a client as separate processes, each
in a network namespace of its own; and what is left when a runner or the server is killed, or the network is cut.
"""

import os
import threading
import time

import pytest
from fleet import BIN, Fleet, Net, NoNamespaces, lines

pytestmark = pytest.mark.slow

CONFIG = "server: http://10.77.0.4:5000\nnamespace: lab\n"


def counting(count, pause, more=""):
    """A container whose step prints numbered lines, and makes something else each time."""
    return f"ARG CONTAINER_APP_VERSION=1\nFROM busybox\nRUN for i in $(seq 1 {count}); do echo line $i; sleep {pause}; done; head -c 8 /dev/urandom > /made{more}\n"


FILES = {
    "cooper.yaml": CONFIG + "registry: 10.77.0.3:5000\n",
    "containers/web/Dockerfile": "ARG CONTAINER_APP_VERSION=1\nFROM busybox\nRUN sleep 1; echo made > /made\n",
    "containers/some/Dockerfile": counting(30, 0.1),
    "containers/long/Dockerfile": counting(120, 0.2),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, busybox_tar):
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        net = Net()
    except NoNamespaces as e:
        pytest.skip(f"this machine makes no network namespaces: {e}")
    made = None
    try:
        made = Fleet(tmp_path_factory.mktemp("fleet"), FILES, net, busybox_tar)
        yield made
    finally:
        made.close() if made else net.close()


def test_labels_and_registries(fleet):
    """A job goes to the runner with its label; images go to the registry of cooper.yaml, or to the server's."""
    running = [fleet.serve(60), fleet.runner("one", "k8s"), fleet.runner("two", "big", "bigger")]
    first = fleet.succeeds(fleet.release("web"))
    assert first["runner"] == "one" and first["reference"] == f"10.77.0.3:5000/lab/web:v1-{fleet.lab.first[:7]}"
    assert fleet.published(first["reference"]) == first["digest"]
    fleet.lab.write("cooper.yaml", CONFIG + "runners: {dockerfile: big}\n")
    commit = fleet.lab.commit("another label, and the server's registry")
    second = fleet.succeeds(fleet.release("web"))
    assert second["runner"] == "two" and second["reference"] == f"10.77.0.4:5000/lab/web:v1-{commit[:7]}"
    assert fleet.published(second["reference"]) == second["digest"]
    run = fleet.runs()[0]
    assert (run["repository"], run["commit"], run["requested_by"]) == ("http://10.77.0.2:8000/origin", commit, "client")
    fleet.lab.write("cooper.yaml", FILES["cooper.yaml"])
    fleet.lab.commit("as before")
    fleet.end(*running)


def test_two_releases_of_one_commit(fleet):
    running = [fleet.serve(60), fleet.runner("one", "k8s"), fleet.runner("two", "k8s")]
    fleet.lab.write("containers/web/Dockerfile", "ARG CONTAINER_APP_VERSION=2\nFROM busybox\nRUN sleep 1; echo other > /made\n")
    fleet.lab.commit("twice")
    releases = [threading.Thread(target=fleet.cooper, args=("client", "release", "web", "--follow")) for _ in range(2)]
    for t in releases:
        t.start()
    for t in releases:
        t.join()
    jobs = [run["jobs"][0] for run in fleet.runs()[:2]]
    assert [j["status"] for j in jobs] == ["success"] * 2
    assert sorted(j["already"] for j in jobs) == [False, True]
    assert {j["digest"] for j in jobs} == {fleet.published(jobs[0]["reference"])}
    fleet.end(*running)


def test_a_runner_is_killed(fleet):
    server, runners = fleet.serve(3), {node: fleet.runner(node, "k8s") for node in ("one", "two")}
    number = fleet.release("some")
    fleet.reaches(number, 5)
    first = fleet.job(number)["runner"]
    fleet.processes.remove(runners[first])
    runners[first].kill()
    job = fleet.succeeds(number)
    assert (job["runner"], job["tries"]) == ("two" if first == "one" else "one", 2)
    before, after = fleet.log(number).split(f"the runner {first} was lost: the job goes back to the queue\n")
    assert lines(before) == list(range(1, len(lines(before)) + 1)) and len(lines(before)) >= 5
    assert lines(after) == list(range(1, 31))
    assert fleet.published(job["reference"]) == job["digest"]
    # nothing of what it was doing goes on
    assert fleet.net.pids(first) == []
    fleet.end(server, runners[job["runner"]])


def test_the_server_is_killed(fleet):
    """Also: the log is followed from another machine all the while."""
    server, runner = fleet.serve(3), fleet.runner("one", "k8s")
    fleet.lab.write("containers/some/Dockerfile", counting(60, 0.1, "-2"))
    fleet.lab.commit("once more")
    number = fleet.release("some")
    following = fleet.start("client", f"follow-{number}", ["env", f"--chdir={fleet.lab.repo}", BIN, "logs", str(number), "-j", "0", "-f"])
    fleet.until(lambda: "line 10\n" in following.said)
    fleet.processes.remove(server)
    server.kill()
    time.sleep(4)  # longer than the lease
    server = fleet.serve(3)
    job = fleet.succeeds(number)
    log = fleet.log(number)
    assert lines(log) == list(range(1, 61)) and job["tries"] == 1
    assert fleet.published(job["reference"]) == job["digest"]
    assert following.proc.wait(20) == 0
    assert following.said == log
    fleet.processes.remove(following)
    fleet.end(server, runner)


def test_the_network_is_cut(fleet):
    """For 20 seconds: the job goes on, and its log is whole."""
    server, runner = fleet.serve(60), fleet.runner("one", "k8s")
    number = fleet.release("long")
    fleet.reaches(number, 5)
    fleet.net.cut("one")
    time.sleep(20)
    assert max(lines(fleet.log(number))) < 100
    fleet.net.mend("one")
    job = fleet.succeeds(number)
    assert lines(fleet.log(number)) == list(range(1, 121)) and (job["runner"], job["tries"]) == ("one", 1)
    assert fleet.published(job["reference"]) == job["digest"]
    fleet.end(server, runner)


def test_the_network_is_cut_for_longer_than_the_lease(fleet):
    """Then another runner has the job, and the first publishes nothing when it is back."""
    server, first = fleet.serve(3), fleet.runner("one", "k8s")
    fleet.lab.write("containers/some/Dockerfile", counting(30, 0.1, "-3"))
    fleet.lab.commit("a third time")
    number = fleet.release("some")
    fleet.reaches(number, 5)
    fleet.net.cut("one")
    second = fleet.runner("two", "k8s")
    job = fleet.succeeds(number)
    assert (job["runner"], job["tries"]) == ("two", 2)
    fleet.net.mend("one")
    fleet.until(lambda: "it is not this runner's any more" in first.said)
    assert fleet.published(job["reference"]) == job["digest"] == fleet.job(number)["digest"]
    fleet.end(server, first, second)
