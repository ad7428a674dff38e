# SPDX-License-Identifier: Apache-2.0
"""A forge, a registry, a server, runners and a client: each in a network namespace of its own, joined by a bridge."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from conftest import BIN, ROOT
from git_lab import GitLab

NODES = ("git", "registry", "server", "one", "two", "client")
NO_PROXY = {name: None for name in os.environ if name.lower().endswith("_proxy")}


class NoNamespaces(Exception):
    pass


class Net:
    """Namespaces 10.77.0.N below a bridge, which is in one of its own: nothing of the machine's network is touched."""

    def __init__(self):
        self.tag = f"cooper{os.getpid()}"
        self.address = {node: f"10.77.0.{n}" for n, node in enumerate(NODES, 2)}
        try:
            self.make("hub")
            self.hub("ip", "link", "add", "br0", "type", "bridge")
            self.hub("ip", "link", "set", "br0", "up")
            for node in NODES:
                self.join(node)
        except (subprocess.CalledProcessError, OSError) as e:
            self.close()
            raise NoNamespaces(getattr(e, "stderr", None) or str(e)) from e

    def make(self, node):
        ip("netns", "add", f"{self.tag}-{node}")
        self.run(node, "ip", "link", "set", "lo", "up")

    def join(self, node):
        self.make(node)
        self.hub("ip", "link", "add", node, "type", "veth", "peer", "name", "eth0", "netns", f"{self.tag}-{node}")
        self.hub("ip", "link", "set", node, "master", "br0", "up")
        self.run(node, "ip", "address", "add", f"{self.address[node]}/24", "dev", "eth0")
        self.run(node, "ip", "link", "set", "eth0", "up")

    def argv(self, node, *args):
        return ["ip", "netns", "exec", f"{self.tag}-{node}", *map(str, args)]

    def run(self, node, *args):
        return subprocess.run(self.argv(node, *args), check=True, capture_output=True, text=True).stdout

    def hub(self, *args):
        return self.run("hub", *args)

    def cut(self, node):
        self.hub("ip", "link", "set", node, "down")

    def mend(self, node):
        self.hub("ip", "link", "set", node, "up")

    def pids(self, node):
        return ip("netns", "pids", f"{self.tag}-{node}").split()

    def close(self):
        for node in (*NODES, "hub"):
            subprocess.run(["ip", "netns", "delete", f"{self.tag}-{node}"], capture_output=True)


def ip(*args):
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True).stdout


class Lab(GitLab):
    """Pushes over HTTP, from the client's namespace."""

    def __init__(self, top, files, net):
        self.net = None
        super().__init__(top, files)
        self.net = net
        self.url = f"http://{net.address['git']}:8000/origin.git"
        self.git("config", "http.receivepack", "true", cwd=top / "origin.git")
        self.git("remote", "set-url", "origin", self.url)

    def git(self, *args, cwd=None):
        if self.net is None or args[0] not in ("push", "fetch"):
            return super().git(*args, cwd=cwd)
        env = {**self.env, **{name: "" for name in NO_PROXY}}
        return subprocess.run(self.net.argv("client", "git", *args), cwd=self.repo, env=env, check=True, capture_output=True, text=True).stdout


class Process:
    """A program in a namespace; its output goes to a file."""

    def __init__(self, fleet, node, name, argv, env):
        self.node, self.log = node, fleet.top / f"{name}.log"
        with self.log.open("ab") as out:
            self.proc = subprocess.Popen(fleet.net.argv(node, *argv), stdout=out, stderr=out, env=env)

    @property
    def said(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        self.proc.kill()
        self.proc.wait(20)

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        return self.proc.wait(40)


class Fleet:
    """cooper(node, ...) runs it there; serve() and runner(node, ...) start what is ended by close() or before."""

    def __init__(self, top, files, net, busybox_tar):
        self.top, self.net = top, net
        self.processes = []
        hosts = "".join(f"  {net.address[node]}:5000: {{plain-http: true}}\n" for node in ("server", "registry"))
        (top / "cooper").mkdir()
        (top / "cooper" / "config.yaml").write_text("registries:\n" + hosts)
        self.tokens = {name: self.cooper("server", "token", "create", name, *[a for s in scopes for a in ("--scope", s)]).strip() for name, *scopes in (("client", "release", "pull"), ("one", "runner", "push"), ("two", "runner", "push"))}
        for node in ("one", "two"):
            self.cooper(node, "image", "import", busybox_tar, "--name", "busybox:latest")
        self.lab = Lab(top, files, net)
        self.start("git", "git", [sys.executable, ROOT / "tests/e2e/git_http.py", top, net.address["git"], "8000"])
        (top / "registry.yml").write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {top}/registry-data}}}}\nhttp: {{addr: '{net.address['registry']}:5000'}}\n")
        self.start("registry", "registry", ["docker-registry", "serve", top / "registry.yml"])
        self.until(lambda: self.answers("git", 8000) and self.answers("registry", 5000))

    def env(self, node):
        env = {name: value for name, value in os.environ.items() if name not in NO_PROXY}
        env |= {"COOPER_HOME": str(self.top / f"home-{node}"), "XDG_CONFIG_HOME": str(self.top), "GIT_CONFIG_GLOBAL": "/dev/null"}
        token = getattr(self, "tokens", {}).get(node)
        return {**env, "COOPER_TOKEN": token} if token else env

    def cooper(self, node, *args, code=0, timeout=120):
        cwd = self.lab.repo if node == "client" else self.top
        run = subprocess.run(self.net.argv(node, BIN, *args), cwd=cwd, env=self.env(node), capture_output=True, text=True, errors="replace", timeout=timeout)
        assert code is None or run.returncode == code, run.stdout + run.stderr
        return run.stdout

    def start(self, node, name, argv):
        self.processes.append(Process(self, node, name, argv, self.env(node)))
        return self.processes[-1]

    def answers(self, node, port):
        """Does anything listen there, as seen by the client?"""
        script = f"import socket; socket.create_connection(('{self.net.address[node]}', {port}), 2)"
        return subprocess.run(self.net.argv("client", "/usr/bin/python3", "-c", script), capture_output=True).returncode == 0

    def until(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "\n".join(f"== {p.log.name}\n{p.said[-2000:]}" for p in self.processes)
            time.sleep(0.1)

    # ---- the parts of the release loop ----

    def serve(self, lease):
        server = self.start("server", "server", [BIN, "serve", "--listen", f"{self.net.address['server']}:5000", "--lease", lease])
        self.until(lambda: self.answers("server", 5000))
        return server

    def runner(self, node, *labels):
        args = [a for label in labels for a in ("--label", label)]
        return self.start(node, f"runner-{node}", [BIN, "runner", "--server", f"http://{self.net.address['server']}:5000", "--git", self.lab.url, "--name", node, *args])

    def end(self, *processes):
        for p in processes:
            assert p.stop() == 0, p.said
            assert "AddressSanitizer" not in p.said and "runtime error:" not in p.said, p.said
            self.processes.remove(p)

    def close(self):
        for p in self.processes:
            p.kill()
        self.net.close()
        for node in NODES:
            shutil.rmtree(self.top / f"home-{node}", ignore_errors=True)

    # ---- as the client sees it ----

    def release(self, name, *args):
        """Queue it; the number of its run."""
        self.cooper("client", "release", name, "--detach", *args)
        return self.runs()[0]["number"]

    def runs(self):
        return json.loads(self.cooper("client", "logs", "--json"))

    def job(self, number):
        return json.loads(self.cooper("client", "logs", number, "--json"))["jobs"][0]

    def log(self, number):
        return self.cooper("client", "logs", number, "-j", "0", code=None)

    def reaches(self, number, line):
        self.until(lambda: f"line {line}\n" in self.log(number))

    def succeeds(self, number):
        self.until(lambda: self.job(number)["status"] not in ("waiting", "running"))
        job = self.job(number)
        assert job["status"] == "success", self.log(number)
        return job

    def published(self, reference):
        """The digest that the tag stands for, with the client's credentials."""
        creds = ["--creds", f"client:{self.tokens['client']}"] if reference.startswith(self.net.address["server"]) else []
        return json.loads(self.net.run("client", "skopeo", "inspect", "--tls-verify=false", *creds, f"docker://{reference}"))["Digest"]


def lines(log):
    """The numbered lines that a step printed."""
    return [int(n) for n in re.findall(r"\bline (\d+)$", log, re.M)]
