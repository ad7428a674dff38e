# SPDX-License-Identifier: Apache-2.0
"""Mounts: directories, files, caches, memory, and what of them stays in an image (nothing)."""

import time

import pytest


def test_a_mounted_directory(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("f", "mounted")
        c = box().with_mounted_directory("/m", d).with_exec(["sh", "-c", "cat /m/f; echo new > /m/g"])
        return await c.stdout(), await c.directory("/m").entries(), await c.rootfs().exists("m/f"), await d.entries()
        """
    )
    assert out == ["mounted", ["f", "g"], False, ["f"]]


@pytest.mark.since_0_21
def test_a_read_only_mount(sdk):
    failure = sdk.fails("""return await box().with_mounted_directory("/m", dag.directory().with_new_file("f", ""), read_only=True).with_exec(["touch", "/m/g"]).stdout()""")
    assert failure.kind == "exec" and "ead-only" in failure.stderr, failure
    assert sdk("""return await box().with_mounted_directory("/m", dag.directory().with_new_file("f", "r"), read_only=True).with_exec(["cat", "/m/f"]).stdout()""") == "r"


def test_a_mounted_file(sdk):
    out = sdk(
        """
        c = box().with_mounted_file("/etc/mounted.conf", dag.file("x", "conf")).with_exec(["cat", "/etc/mounted.conf"])
        return await c.stdout(), await c.file("/etc/mounted.conf").contents()
        """
    )
    assert out == ["conf", "conf"]


def test_mounts_are_listed_and_taken_away(sdk):
    out = sdk(
        """
        d = dag.directory()
        c = box().with_mounted_directory("/b", d).with_mounted_temp("/a").with_mounted_directory("/c/d", d)
        x = c.without_mount("/b")
        return await c.mounts(), await x.mounts(), await x.with_exec(["sh", "-c", "grep -c ' /b ' /proc/mounts || true"]).stdout()
        """
    )
    assert sorted(out[0]) == ["/a", "/b", "/c/d"] and sorted(out[1]) == ["/a", "/c/d"] and out[2] == "0\n"


def test_a_second_mount_replaces_the_first(sdk):
    out = sdk(
        """
        c = box().with_mounted_directory("/m", dag.directory().with_new_file("one", "")).with_mounted_directory("/m", dag.directory().with_new_file("two", ""))
        return await c.with_exec(["ls", "/m"]).stdout(), await c.mounts()
        """
    )
    assert out == ["two\n", ["/m"]]


def test_a_mount_in_a_mount(sdk):
    out = sdk(
        """
        inner = dag.directory().with_new_file("i", "inner")
        c = box().with_mounted_directory("/m", dag.directory().with_new_file("o", "outer")).with_mounted_directory("/m/sub", inner)
        return await c.with_exec(["sh", "-c", "cat /m/o /m/sub/i"]).stdout()
        """
    )
    assert out == "outerinner"


def test_a_copy_below_a_mount_changes_the_mount(sdk):
    out = sdk(
        """
        c = box().with_mounted_directory("/m", dag.directory().with_new_file("f", "1"))
        c = c.with_directory("/m/d", dag.directory().with_new_file("g", "2")).with_new_file("/m/h", "3")
        return await c.directory("/m").entries(), await c.with_exec(["ls", "/m"]).stdout(), await c.without_mount("/m").exists("/m/h")
        """
    )
    assert out == [["d/", "f", "h"], "d\nf\nh\n", False]


def test_temporary_memory(sdk):
    out = sdk(
        """
        c = box().with_mounted_temp("/t").with_exec(["sh", "-c", "echo x > /t/f; stat -f -c %T /t"])
        return await c.stdout(), await c.with_exec(["ls", "/t"]).stdout(), await c.rootfs().exists("t/f")
        """
    )
    assert out == ["tmpfs\n", "", False]


def test_size_of_temporary_memory(sdk):
    out = sdk("""return await box().with_mounted_temp("/t", size=4 * 1024 * 1024).with_exec(["sh", "-c", "df -k /t | tail -1 | awk '{print $2}'"]).stdout()""")
    assert out == "4096\n"


def test_a_copy_to_memory_or_a_cache_is_refused(sdk, nonce):
    for mount in ('with_mounted_temp("/m")', f'with_mounted_cache("/m", dag.cache_volume("{nonce}"))'):
        failure = sdk.fails(f"""return await box().{mount}.with_directory("/m/d", dag.directory()).sync() is None""")
        assert failure.kind == "query" and "/m" in failure.message, failure


def test_expand_in_mounts(sdk):
    assert sdk("""return await box().with_env_variable("V", "x").with_mounted_directory("/m/$V", dag.directory(), expand=True).mounts()""") == ["/m/x"]


def test_a_cache_is_shared_by_its_key(sdk, nonce):
    out = sdk(
        """
        a = box().with_mounted_cache("/c", dag.cache_volume(f"{nonce}-1"))
        b = box().with_mounted_cache("/elsewhere", dag.cache_volume(f"{nonce}-1"))
        other = box().with_mounted_cache("/c", dag.cache_volume(f"{nonce}-2"))
        await a.with_exec(["sh", "-c", f"echo {nonce} > /c/f"]).sync()
        return await b.with_exec(["cat", "/elsewhere/f"]).stdout(), await other.with_exec(["ls", "/c"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == [f"{nonce}\n", ""]


def test_a_cache_outlives_the_session(sdk, new_client, nonce):
    code = """return await box().with_mounted_cache("/c", dag.cache_volume(nonce)).with_exec(["sh", "-c", command]).stdout()"""
    sdk(code, nonce=nonce, command="echo kept > /c/f")
    assert new_client(sdk.name)(code, nonce=nonce, command="cat /c/f") == "kept\n"


def test_what_is_in_a_cache_is_not_in_the_key(sdk, nonce):
    out = sdk(
        """
        c = box().with_mounted_cache("/c", dag.cache_volume(nonce))
        first = await c.with_exec(["sh", "-c", "ls /c | wc -l"]).stdout()
        await c.with_exec(["touch", "/c/f"]).sync()
        return first, await c.with_exec(["sh", "-c", "ls /c | wc -l"]).stdout(), await c.with_exec(["sh", "-c", "ls /c | wc -l; true"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == ["0\n", "0\n", "1\n"]


def test_a_cache_is_in_no_image(sdk, nonce):
    out = sdk(
        """
        c = box().with_mounted_cache("/c", dag.cache_volume(nonce)).with_exec(["touch", "/c/f"])
        return await c.rootfs().exists("c/f"), await c.without_mount("/c").exists("/c/f")
        """,
        nonce=nonce,
    )
    assert out == [False, False]


def test_a_cache_starts_as_its_source(sdk, nonce):
    out = sdk(
        """
        d = dag.directory().with_new_file("seed", "s")
        c = box().with_mounted_cache("/c", dag.cache_volume(nonce), source=d)
        return await c.with_exec(["sh", "-c", "cat /c/seed; echo more >> /c/seed"]).stdout(), await c.with_exec(["cat", "/c/seed"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == ["s", "smore\n"]


@pytest.mark.since_0_21
def test_a_cache_volume_with_a_source_of_its_own(sdk, nonce):
    out = sdk(
        """
        v = dag.cache_volume(nonce, source=dag.directory().with_new_file("seed", "s"), owner="1000:1001")
        c = box().with_mounted_cache("/c", v)
        return await c.with_exec(["sh", "-c", "cat /c/seed; stat -c ' %u:%g' /c"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == "s 1000:1001\n"


@pytest.mark.parametrize("mode", ["LOCKED", "PRIVATE"])
def test_a_locked_cache_is_used_by_one_at_a_time(sdk, nonce, mode):
    out = sdk(
        f"""
        c = box().with_mounted_cache("/c", dag.cache_volume(nonce), sharing=dagger.CacheSharingMode.{mode})
        script = "mkdir /c/busy || echo clash; sleep 0.4; rmdir /c/busy"
        return await gather(*[c.with_env_variable("I", str(i)).with_exec(["sh", "-c", script]).stdout() for i in range(3)])
        """,
        nonce=nonce,
    )
    assert out == ["", "", ""]


def test_a_shared_cache_is_used_by_all_at_once(sdk, nonce):
    began = time.monotonic()
    out = sdk(
        """
        c = box().with_mounted_cache("/c", dag.cache_volume(nonce))
        script = "touch /c/$I; for n in $(seq 200); do test $(ls /c | wc -l) = 2 && exit 0; sleep 0.1; done; exit 1"
        return await gather(*[c.with_env_variable("I", str(i)).with_exec(["sh", "-c", script]).exit_code() for i in range(2)])
        """,
        nonce=nonce,
    )
    assert out == [0, 0] and time.monotonic() - began < 15


@pytest.mark.since_0_21
def test_a_volatile_variable_is_not_in_the_key(sdk, nonce):
    code = """
        c = box().with_volatile_variable("RUN", run).with_env_variable("N", nonce)
        return await c.with_exec(["sh", "-c", "echo $RUN"]).stdout(), await c.env_variable("RUN")
        """
    first, second = sdk(code, run="1", nonce=nonce), sdk(code, run="2", nonce=nonce)
    assert first[0] == second[0] == "1\n"
    out = sdk("""return await box().with_volatile_variable("R", "1").without_volatile_variable("R").with_exec(["sh", "-c", "echo [$R]"]).stdout()""")
    assert out == "[]\n"
