# SPDX-License-Identifier: Apache-2.0
"""
The session API, driven by the official SDKs (scripts/sdk.sh) without any change to them.

A test that takes `sdk` runs once for each SDK; snippets are written once (translate.py). The sessions of the SDKs and of `session` share one store with
busybox:latest in it, and live as long as the test run; a test that needs its own takes `new_session`. Names that must not be known from an earlier test or
SDK are made with `nonce`. "since_0_21" marks tests of calls that the 0.20 client does not have.
"""

import importlib.util
import itertools
import pathlib
import subprocess
import sys
import uuid

import pytest

sys.path[:0] = map(str, pathlib.Path(__file__).resolve().parents[:2])

import peers  # noqa: E402
import sdk as sdks  # noqa: E402


def _fixtures_above():
    spec = importlib.util.spec_from_file_location("cooper_e2e_fixtures", pathlib.Path(__file__).resolve().parents[1] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


above = _fixtures_above()


def pytest_configure(config):
    config.addinivalue_line("markers", "since_0_21: uses a call that came with version 0.21 of the API")


def pytest_generate_tests(metafunc):
    if "sdk" in metafunc.fixturenames:
        since = metafunc.definition.get_closest_marker("since_0_21")
        names = [n for n in sdks.NAMES if not (since and n == "python-0.20")]
        metafunc.parametrize("sdk", names, indirect=True, scope="session")


class World:
    """What all tests share."""

    def __init__(self, top):
        self.top = top
        self.home = top / "home"
        self.work = top / "work"
        self.work.mkdir()
        self.cooper = above.Cooper(self.home)
        self.counter = itertools.count(1)

    def session(self, name="extra", workdir=None, args=(), env=None):
        log = self.top / f"session-{next(self.counter)}-{name}.log"
        return sdks.Session(above.BIN, self.home, workdir or self.work, log, args, {"COOPER_TEST_SECRET": "from-the-environment", **(env or {})})


@pytest.fixture(scope="session")
def world(tmp_path_factory, busybox_tar):
    for program in (*sdks.PYTHONS.values(), sdks.SDK / "node" / "node_modules"):
        if not program.exists():
            pytest.fail(f"{program} is missing: scripts/sdk.sh")
    made = World(tmp_path_factory.mktemp("session-api"))
    made.cooper("image", "import", busybox_tar, "--name", "busybox:latest")
    return made


@pytest.fixture
def another_cooper(tmp_path, busybox_tar):
    """Another machine: a store of its own with busybox:latest."""
    made = above.Cooper(tmp_path / "another")
    made("image", "import", busybox_tar, "--name", "busybox:latest")
    return made


@pytest.fixture(scope="session")
def clients(world):
    made = {name: sdks.Client(name, world.session) for name in sdks.NAMES}
    yield made
    for client in made.values():
        client.stop()


@pytest.fixture(scope="session")
def sdk(request, clients):
    return clients[request.param]


@pytest.fixture(scope="session")
def shared_session(world):
    """For requests that no SDK makes."""
    holder = []
    yield holder
    for one in holder:
        if one.alive():
            one.end()


@pytest.fixture
def session(world, shared_session):
    if not shared_session or not shared_session[-1].alive():
        shared_session.append(world.session("raw"))
    return shared_session[-1]


@pytest.fixture
def new_session(world):
    """new_session(env=...) starts one more on the same store."""
    made = []

    def start(**kw):
        made.append(world.session(**kw))
        return made[-1]

    yield start
    for one in made:
        if one.alive():
            one.end()


@pytest.fixture
def new_client(world):
    """new_client(NAME) is an SDK in a session of its own that nothing was asked of yet."""
    made = []

    def start(name, **kw):
        made.append(sdks.Client(name, lambda label: world.session(label, **kw)))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def cooper_bin():
    return above.BIN


@pytest.fixture
def nonce():
    return uuid.uuid4().hex[:12]


@pytest.fixture(scope="session")
def web():
    server = peers.WebServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def git_place(tmp_path_factory):
    return tmp_path_factory.mktemp("git")


@pytest.fixture(scope="session")
def repository(git_place):
    return peers.Repository(git_place)


@pytest.fixture(scope="session")
def git_url(git_place, repository):
    """The repository by git daemon; git_url of another: replace its last part."""
    port = above.free_port()
    with peers.running_git_daemon(git_place, port) as proc:
        above.wait_for_port(port, proc)
        yield f"git://127.0.0.1:{port}/app.git"


@pytest.fixture(scope="session")
def git_http(git_place, repository):
    server = peers.GitOverHttp(git_place)
    yield server
    server.close()


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """Debian's docker-registry, open to all."""
    with above.running_docker_registry(tmp_path_factory.mktemp("registry") / "open") as address:
        yield address


@pytest.fixture(scope="session")
def locked_registry(tmp_path_factory):
    """docker-registry that wants "dev" and "s3cret"."""
    place = tmp_path_factory.mktemp("registry") / "locked"
    place.mkdir()
    # bcrypt of s3cret
    (place / "htpasswd").write_text("dev:$2b$05$Mm/ugyz4RwyiVhvXD5j4sO7NRKKWrttbRZx6JyAaf3M88sy1VR5Qq\n")
    with above.running_docker_registry(place, f"auth: {{htpasswd: {{realm: test, path: {place}/htpasswd}}}}\n") as address:
        yield address


@pytest.fixture(scope="session")
def own_registry(world):
    """`cooper serve` on another store."""
    with above.Cooper(world.top / "served").serving() as address:
        yield address


@pytest.fixture
def skopeo():
    """skopeo(...) runs it and gives its output."""

    def run(*args):
        done = subprocess.run(["skopeo", *map(str, args)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    return run


@pytest.fixture
def host_files(tmp_path):
    """host_files({"a/b": "text"}) writes a directory on the host and gives its path."""

    def make(files, name="host"):
        top = tmp_path / name
        top.mkdir(exist_ok=True)
        for path, content in files.items():
            target = top / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return top

    return make


@pytest.fixture
def layers():
    """The files of an OCI archive: path -> member."""
    return above.layers_of_archive
