# SPDX-License-Identifier: Apache-2.0
"""The machine that the session runs on: directories, files, images and sockets of it."""

import os
import socket
import subprocess
import threading

import pytest


def test_a_directory_of_the_host(sdk, host_files):
    top = host_files({"a": "1", "sub/b": b"\x00\xff"})
    (top / "a").chmod(0o751)
    os.symlink("a", top / "l")
    out = sdk(
        """
        d = dag.host().directory(path)
        return await d.entries(), await d.file("a").contents(), await d.file("sub/b").size(), await d.stat("a").permissions(), await d.file("l").contents()
        """,
        path=str(top),
    )
    assert out == [["a", "l", "sub/"], "1", 2, 0o751, "1"]


def test_paths_are_relative_to_the_workdir(sdk, world, nonce):
    (world.work / nonce / "in").mkdir(parents=True)
    (world.work / nonce / "in" / "f").write_text("x")
    (world.top / f"beside-{nonce}").mkdir()
    out = sdk(
        """
        h = dag.host()
        all = await h.directory(".").entries()
        return all, await h.directory(f"{nonce}/in").entries(), await h.directory(f"../beside-{nonce}").entries()
        """,
        nonce=nonce,
    )
    assert f"{nonce}/" in out[0] and out[1:] == [["f"], []]


PATTERNS = [
    ({"exclude": ["node_modules", "**/*.log"]}, ["src/", "src/main.go", "x.txt"]),
    ({"include": ["src"]}, ["src/", "src/main.go"]),
    ({"include": ["**/*.go", "*.txt"], "exclude": ["x.*"]}, ["src/", "src/main.go"]),
    ({"exclude": ["*", "!src"]}, ["src/", "src/main.go"]),
    ({"exclude": ["../*", "/src"]}, ["err.log", "node_modules/", "node_modules/m", "x.txt"]),
]


@pytest.mark.parametrize("patterns, wanted", PATTERNS, ids=lambda p: str(p) if isinstance(p, dict) else "")
def test_include_and_exclude(sdk, host_files, patterns, wanted):
    top = host_files({"src/main.go": "", "node_modules/m": "", "err.log": "", "x.txt": ""})
    out = sdk(
        """return await dag.host().directory(path, include=include, exclude=exclude).glob("**")""",
        path=str(top),
        include=patterns.get("include", []),
        exclude=patterns.get("exclude", []),
    )
    assert sorted(out) == wanted


def test_gitignore(sdk, host_files):
    top = host_files({".gitignore": "*.log\n/dist\n", "a.log": "", "dist/x": "", "sub/b.log": "", "sub/c": "", "sub/.gitignore": "d\n", "sub/d": ""})
    code = """return await dag.host().directory(path, gitignore=True).glob("**"), await dag.host().directory(path).glob("**")"""
    # Without a repository there is nothing to ignore.
    out = sdk(code, path=str(top))
    assert sorted(out[0]) == sorted(out[1])
    (top / ".git").mkdir()
    (top / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    out = sdk("""return await dag.host().directory(path, gitignore=True, exclude=[".git"]).glob("**")""", path=str(top))
    assert sorted(out) == [".gitignore", "sub/", "sub/.gitignore", "sub/c"]
    # A part of a repository follows the files above it.
    assert sorted(sdk("""return await dag.host().directory(path, gitignore=True).glob("**")""", path=str(top / "sub"))) == [".gitignore", "c"]


def test_a_directory_is_read_once_a_session(sdk, host_files, new_client):
    top = host_files({"f": "before"})
    code = """return await dag.host().directory(path).file("f").contents()"""
    assert sdk(code, path=str(top)) == "before"
    (top / "f").write_text("after")
    assert sdk(code, path=str(top)) == "before"
    assert sdk("""return await dag.host().directory(path, no_cache=True).file("f").contents()""", path=str(top)) == "after"
    assert new_client(sdk.name)(code, path=str(top)) == "after"


def test_equal_contents_are_known_wherever_they_lie(sdk, host_files, nonce):
    code = """
        c = box().with_directory("/src", dag.host().directory(path)).with_env_variable("N", nonce)
        return await c.with_exec(["cat", "/proc/sys/kernel/random/uuid"]).stdout()
        """
    first = sdk(code, path=str(host_files({"f": nonce}, "one")), nonce=nonce)
    assert sdk(code, path=str(host_files({"f": nonce}, "two")), nonce=nonce) == first
    assert sdk(code, path=str(host_files({"f": "other"}, "three")), nonce=nonce) != first


def test_a_directory_that_is_not_there(sdk, tmp_path):
    failure = sdk.fails("""return await dag.host().directory(path).entries()""", path=str(tmp_path / "gone"))
    assert failure.kind == "query" and failure.says("gone") and failure.says("no such file or directory"), failure


def test_a_file_of_the_host(sdk, host_files):
    top = host_files({"sub/f": "data"})
    out = sdk("""f = dag.host().file(path)\nreturn await f.contents(), await f.name()""", path=str(top / "sub/f"))
    assert out == ["data", "f"]
    failure = sdk.fails("""return await dag.host().file(path).contents()""", path=str(top / "none"))
    assert failure.says("none") and failure.says("no such file or directory"), failure


def test_find_up(sdk, world, nonce):
    (world.top / f"up-{nonce}").write_text("")
    out = sdk("""return await dag.host().find_up(f"up-{nonce}"), await dag.host().find_up(f"none-{nonce}")""", nonce=nonce)
    assert out[1] is None and os.path.normpath(world.work / out[0]) == str(world.top / f"up-{nonce}"), out


def test_owners_of_the_host_are_not_taken_over(sdk, host_files):
    top = host_files({"f": ""})
    os.chown(top / "f", 12345, 12345)
    out = sdk("""return await box().with_directory("/t", dag.host().directory(path)).with_exec(["stat", "-c", "%u:%g", "/t/f"]).stdout()""", path=str(top))
    assert out == "0:0\n"


def export_image(sdk, code, **names):
    """The Python SDKs declare a value for exportImage where there is none, and raise over that once it is done; the TypeScript SDK does not."""
    said = sdk.ask(code, **names)
    assert "value" in said or said["error"]["type"] == "BeartypeCallHintReturnViolation", said


def test_an_image_on_the_host(sdk, nonce):
    export_image(sdk, """return await box().with_new_file("/n", nonce).with_label("l", "1").export_image(f"team/exported-{nonce}:2")""", nonce=nonce)
    out = sdk(
        """
        c = dag.host().container_image(f"team/exported-{nonce}:2")
        return await c.file("/n").contents(), await c.label("l"), await c.with_exec(["cat", "/n"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == [nonce, "1", nonce]


def test_an_exported_image_is_in_the_store(sdk, world, nonce):
    export_image(sdk, """return await box().with_new_file("/n", nonce).export_image(f"team/listed-{nonce}:1")""", nonce=nonce)
    assert world.cooper.files(f"team/listed-{nonce}:1")["n"].data == nonce.encode()


TALK = """
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char got[100];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(to.sun_path, argv[1], sizeof(to.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return perror("connect"), 1;
	if (write(fd, argv[2], strlen(argv[2])) < 0)
		return 1;
	return fwrite(got, 1, read(fd, got, sizeof(got)), stdout) == 0;
}
"""


@pytest.fixture(scope="session")
def talk(tmp_path_factory):
    """A static program: talk SOCKET TEXT prints what is answered. busybox has none."""
    place = tmp_path_factory.mktemp("talk")
    (place / "talk.c").write_text(TALK)
    subprocess.run(["cc", "-static", "-o", place / "talk", place / "talk.c"], check=True)
    return str(place / "talk")


def test_a_socket_of_the_host(sdk, tmp_path, talk):
    path = tmp_path / "s.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    path.chmod(0o777)
    server.listen(5)

    def serve():
        while True:
            try:
                talk, _ = server.accept()
            except OSError:
                return
            with talk:
                talk.sendall(b"said " + talk.recv(100))

    threading.Thread(target=serve, daemon=True).start()
    try:
        out = sdk(
            """
            c = box().with_file("/bin/talk", dag.host().file(talk)).with_unix_socket("/run/s.sock", dag.host().unix_socket(path))
            gone = await c.without_unix_socket("/run/s.sock").with_exec(["sh", "-c", "test -S /run/s.sock || echo gone"]).stdout()
            return await c.with_exec(["talk", "/run/s.sock", "hello"]).stdout(), gone
            """,
            path=str(path),
            talk=talk,
        )
    finally:
        server.close()
    assert out == ["said hello", "gone\n"]


def test_addresses(sdk, host_files, git_url, web):
    top = host_files({"f": "x"})
    out = sdk(
        """
        c = dag.address("busybox").container()
        d = dag.address(path).directory()
        f = dag.address(f"{path}/f").file()
        g = dag.address(f"{url}#v1.0.0").git_ref()
        return await c.exists("/bin/busybox"), await d.entries(), await f.contents(), await g.commit(), await dag.address("busybox").value()
        """,
        path=str(top),
        url=git_url,
    )
    assert out[:3] == [True, ["f"], "x"] and len(out[3]) == 40 and out[4] == "busybox"


def test_a_secret_by_its_address(sdk):
    assert sdk("""return await dag.address("env://COOPER_TEST_SECRET").secret().plaintext()""") == "from-the-environment"
