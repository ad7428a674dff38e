# SPDX-License-Identifier: Apache-2.0
"""Secrets: how they reach a command, and that they reach nothing else."""

import subprocess

import pytest


@pytest.fixture
def plain(nonce):
    return f"hunter2-{nonce}-c0ffee"


def below(place, text):
    """Files below place with this text in them, also inside compressed blobs."""
    hits = subprocess.run(["grep", "-rlaF", "--", text, place], capture_output=True, text=True).stdout.split()
    blobs = subprocess.run(["find", place, "-type", "f", "-path", "*blobs*", "-mmin", "-30"], capture_output=True, text=True).stdout.split()
    for path in blobs:
        if text.encode() in subprocess.run(["zcat", "-f", path], capture_output=True).stdout:
            hits.append(path)
    return hits


def test_plaintext_and_name(sdk, plain, nonce):
    out = sdk("""s = dag.set_secret(f"name-{nonce}", plain)\nreturn await s.plaintext(), await s.name()""", plain=plain, nonce=nonce)
    assert out == [plain, f"name-{nonce}"]


def test_a_mounted_secret(sdk, plain, nonce):
    """In memory, whichever kind: ramfs is never swapped out."""
    out = sdk(
        """
        c = box().with_mounted_secret("/run/s", dag.set_secret(nonce, plain))
        size = c.with_exec(["sh", "-c", "wc -c < /run/s; stat -c '%a %u:%g' /run/s; grep -cE ' /run/s (tmpfs|ramfs) ' /proc/mounts"])
        return await size.stdout()
        """,
        plain=plain,
        nonce=nonce,
    )
    assert out == f"{len(plain)}\n400 0:0\n1\n"


def test_mode_and_owner(sdk, plain, nonce):
    out = sdk(
        """
        c = box().with_user("app").with_mounted_secret("/run/s", dag.set_secret(nonce, plain), mode=0o440, owner="app:app")
        return await c.with_exec(["sh", "-c", "wc -c < /run/s; stat -c '%a %u:%g' /run/s"]).stdout()
        """,
        plain=plain,
        nonce=nonce,
    )
    assert out == f"{len(plain)}\n440 1000:1001\n"


def test_a_secret_variable(sdk, plain, nonce):
    out = sdk(
        """
        c = box().with_secret_variable("TOKEN", dag.set_secret(nonce, plain))
        there = await c.with_exec(["sh", "-c", "echo ${#TOKEN}"]).stdout()
        gone = await c.without_secret_variable("TOKEN").with_exec(["sh", "-c", "echo ${#TOKEN}"]).stdout()
        return there, gone, await c.env_variable("TOKEN"), [await v.name() for v in await c.env_variables()]
        """,
        plain=plain,
        nonce=nonce,
    )
    assert out[:3] == [f"{len(plain)}\n", "0\n", None] and "TOKEN" not in out[3]


def test_output_is_masked(sdk, plain, nonce):
    out = sdk(
        """
        c = box().with_secret_variable("TOKEN", dag.set_secret(nonce, plain)).with_exec(["sh", "-c", "echo \\"[ $TOKEN ]\\"; echo $TOKEN >&2"])
        return await c.stdout(), await c.stderr()
        """,
        plain=plain,
        nonce=nonce,
    )
    assert out == ["[ *** ]\n", "***\n"]


def test_output_of_a_mounted_secret_is_masked(sdk, plain, nonce):
    code = """return await box().with_mounted_secret("/s", dag.set_secret(nonce, f"\\n{plain}\\n")).with_exec(["sh", "-c", "cat /s | tr -d '\\n'; cat /s"]).stdout()"""
    assert plain not in sdk(code, plain=plain, nonce=nonce)


def test_errors_are_masked(sdk, plain, nonce):
    failure = sdk.fails(
        """
        c = box().with_secret_variable("TOKEN", dag.set_secret(nonce, plain))
        return await c.with_exec(["sh", "-c", "echo out $TOKEN; echo err $TOKEN >&2; exit 3"]).stdout()
        """,
        plain=plain,
        nonce=nonce,
    )
    assert (failure.stdout, failure.stderr, failure.exit_code) == ("out ***", "err ***", 3), failure
    assert plain not in repr(failure)


def test_a_secret_is_nowhere_afterwards(sdk, world, plain, nonce, registry, tmp_path):
    ids = sdk(
        """
        s = dag.set_secret(nonce, plain)
        c = box().with_secret_variable("TOKEN", s).with_mounted_secret("/run/secrets/t", s)
        c = c.with_exec(["sh", "-c", "test -n \\"$TOKEN\\" && test -s /run/secrets/t && echo used $TOKEN && echo made > /made"])
        await c.publish(name)
        await c.export(path)
        failed = c.with_exec(["sh", "-c", "echo $TOKEN; exit 0"])
        return await s.id(), await failed.id(), await c.rootfs().id(), await failed.stdout(), await c.exists("/run/secrets/t")
        """,
        plain=plain,
        nonce=nonce,
        name=f"{registry}/secret-{nonce}:1",
        path=str(tmp_path / "image.tar"),
    )
    assert plain not in repr(ids)
    assert below(world.home, plain) == [] and below(tmp_path, plain) == []
    assert plain not in sdk.session.log.read_text(errors="replace")


def test_a_secret_cannot_be_read_out(sdk, plain, nonce):
    failure = sdk.fails("""return await box().with_mounted_secret("/run/s", dag.set_secret(nonce, plain)).file("/run/s").contents()""", plain=plain, nonce=nonce)
    assert failure.says("no such file") and plain not in repr(failure), failure


def test_a_secret_is_known_by_its_name(sdk, nonce):
    code = """
        c = box().with_env_variable("N", nonce).with_secret_variable("T", dag.set_secret(f"same-{nonce}", plain))
        return await c.with_exec(["sh", "-c", "cat /proc/sys/kernel/random/uuid"]).stdout()
        """
    first = sdk(code, nonce=nonce, plain="one")
    assert sdk(code, nonce=nonce, plain="two") == first
    assert sdk(code.replace("same-", "other-"), nonce=nonce, plain="one") != first


def test_from_the_environment(sdk, new_session):
    out = sdk("""s = dag.secret("env://COOPER_TEST_SECRET")\nreturn await s.plaintext(), await s.uri()""")
    assert out == ["from-the-environment", "env://COOPER_TEST_SECRET"]


def test_from_a_file_and_from_a_command(sdk, tmp_path, plain, nonce):
    (tmp_path / "s").write_text(plain + "\n")
    out = sdk(
        """
        a = dag.secret(f"file://{path}")
        b = dag.secret(f"cmd://echo -n {plain}")
        c = box().with_mounted_secret("/a", a).with_secret_variable("B", b)
        return await a.plaintext(), await b.plaintext(), await c.with_exec(["sh", "-c", "wc -c < /a; echo ${#B}"]).stdout()
        """,
        path=str(tmp_path / "s"),
        plain=plain,
    )
    assert [out[0].rstrip("\n"), out[1]] == [plain, plain]
    assert [int(n) for n in out[2].split()] in ([len(plain) + 1, len(plain)], [len(plain), len(plain)]), out


@pytest.mark.parametrize("uri", ["env://COOPER_TEST_NOT_SET", "file:///none/such", "cmd://exit 3", "carrier-pigeon://x"])
def test_a_secret_that_is_not_there(sdk, uri):
    failure = sdk.fails("""return await dag.secret(uri).plaintext()""", uri=uri)
    assert failure.kind == "query" and failure.message, failure


def test_a_value_from_elsewhere_is_part_of_the_key_unless_named(sdk, tmp_path, new_client, nonce):
    (tmp_path / "s").write_text(f"one-{nonce}")
    code = """
        c = box().with_env_variable("N", nonce).with_secret_variable("T", dag.secret(f"file://{path}"))
        named = box().with_env_variable("N", nonce).with_secret_variable("T", dag.secret(f"file://{path}", cache_key=nonce))
        script = ["cat", "/proc/sys/kernel/random/uuid"]
        return await c.with_exec(script).stdout(), await named.with_exec(script).stdout()
        """
    first = sdk(code, path=str(tmp_path / "s"), nonce=nonce)
    assert sdk(code, path=str(tmp_path / "s"), nonce=nonce) == first
    (tmp_path / "s").write_text(f"two-{nonce}")
    second = new_client(sdk.name)(code, path=str(tmp_path / "s"), nonce=nonce)
    assert second[0] != first[0] and second[1] == first[1]


def test_size_of_a_secret(sdk, nonce):
    assert sdk("""return len(await dag.set_secret(nonce, text).plaintext())""", nonce=nonce, text="x" * 128_000) == 128_000
    failure = sdk.fails("""return await dag.set_secret(nonce, text).plaintext()""", nonce=nonce + "b", text="x" * 128_001)
    assert failure.kind == "query" and "128000" in failure.message.replace(",", "").replace("_", ""), failure.message[:300]
