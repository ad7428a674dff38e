# SPDX-License-Identifier: Apache-2.0
"""Commands in containers: what they get, what comes back, and how they fail."""

import pytest

# code: (SUCCESS, FAILURE, ANY) say whether it is accepted.
RETURN_CODES = {
    0: (True, False, True),
    1: (False, True, True),
    42: (False, True, True),
    127: (False, True, True),
    128: (False, False, False),
    137: (False, False, False),
    191: (False, False, False),
    192: (False, True, True),
    255: (False, True, True),
}


def test_output_comes_back_byte_for_byte(sdk):
    code = """box().with_exec(["printf", "  a\\tb \\n\\n c\\u00e9\\r\\n\\n"]).stdout()"""
    assert sdk("return await " + code) == "  a\tb \n\n cé\r\n\n"


def test_stdout_stderr_and_exit_code(sdk):
    out = sdk(
        """
        c = box().with_exec(["sh", "-c", "echo out; echo err >&2"])
        return await c.stdout(), await c.stderr(), await c.exit_code()
        """
    )
    assert out == ["out\n", "err\n", 0]


def test_combined_output_has_both_in_order(sdk):
    code = """return await box().with_exec(["sh", "-c", "echo 1; sleep 0.2; echo 2 >&2; sleep 0.2; echo 3"]).combined_output()"""
    assert sdk(code) == "1\n2\n3\n"


def test_output_is_that_of_the_last_command(sdk):
    assert sdk("""return await box().with_exec(["echo", "first"]).with_exec(["echo", "second"]).stdout()""") == "second\n"


def test_output_survives_configuration_after_it(sdk):
    assert sdk("""return await box().with_exec(["echo", "kept"]).with_label("a", "b").with_workdir("/tmp").stdout()""") == "kept\n"


def test_sync_runs_it_and_the_container_goes_on(sdk):
    out = sdk(
        """
        c = await box().with_exec(["sh", "-c", "echo made > /made"]).sync()
        return await c.with_exec(["cat", "/made"]).stdout()
        """
    )
    assert out == "made\n"


def test_sync_of_a_failing_command_fails(sdk):
    failure = sdk.fails("""return await (await box().with_exec(["false"]).sync()).id()""")
    assert (failure.kind, failure.exit_code) == ("exec", 1), failure


def test_id_alone_runs_nothing(sdk):
    assert sdk("""return len(await box().with_exec(["false"]).id()) > 0""") is True


def test_exec_error_has_all_of_it(sdk):
    failure = sdk.fails("""return await box().with_exec(["sh", "-c", "echo to-out; echo to-err >&2; exit 42"]).stdout()""")
    assert failure.kind == "exec", failure
    assert failure.command == ["sh", "-c", "echo to-out; echo to-err >&2; exit 42"]
    assert (failure.exit_code, failure.stdout, failure.stderr) == (42, "to-out", "to-err"), failure
    assert "exit code: 42" in failure.message
    # Both SDKs show the message alone; the outputs are fields of their own.
    unquoted = failure.message.replace("echo to-out; echo to-err >&2", "")
    assert "to-out" not in unquoted and "to-err" not in unquoted, failure


def test_long_output_of_a_failure_is_whole(sdk):
    failure = sdk.fails("""return await box().with_exec(["sh", "-c", "yes 0123456789abcde | head -c 1600000; echo the-end; exit 3"]).sync() is None""")
    assert failure.exit_code == 3 and failure.stdout == "0123456789abcde\n" * 100_000 + "the-end", (len(failure.stdout), failure.stdout[:100])


def test_a_command_that_is_not_there_is_an_exec_error(sdk):
    failure = sdk.fails("""return await box().with_exec(["no-such-command", "x"]).stdout()""")
    assert failure.kind == "exec" and failure.command == ["no-such-command", "x"] and failure.exit_code in (126, 127, 1), failure
    assert "exit code:" in failure.message


def test_a_failure_in_the_middle_names_its_own_command(sdk):
    failure = sdk.fails("""return await box().with_exec(["true"]).with_exec(["sh", "-c", "exit 5"]).with_exec(["echo", "never"]).stdout()""")
    assert failure.command == ["sh", "-c", "exit 5"] and failure.exit_code == 5, failure


@pytest.mark.parametrize("code", RETURN_CODES)
def test_expect(sdk, code):
    got = []
    for kind in ("SUCCESS", "FAILURE", "ANY"):
        said = sdk.ask(f"""return await box().with_exec(["sh", "-c", "exit {code}"], expect=dagger.ReturnType.{kind}).exit_code()""")
        if "value" in said:
            assert said["value"] == code
        else:
            assert said["error"]["exit_code"] == code, said
        got.append("value" in said)
    assert tuple(got) == RETURN_CODES[code]


def test_an_expected_failure_keeps_what_it_wrote(sdk):
    out = sdk(
        """
        c = box().with_exec(["sh", "-c", "echo yes > /f; echo said; exit 9"], expect=dagger.ReturnType.ANY)
        return await c.stdout(), await c.file("/f").contents(), await c.exit_code()
        """
    )
    assert out == ["said\n", "yes\n", 9]


def test_no_arguments_run_the_default_ones(sdk):
    assert sdk("""return await box().with_default_args(["echo", "default"]).with_exec([]).stdout()""") == "default\n"


def test_no_arguments_and_no_default_ones(sdk):
    failure = sdk.fails("""return await dag.container().with_rootfs(box().rootfs()).without_default_args().with_exec([]).stdout()""")
    assert "no command has been set" in failure.message, failure


@pytest.mark.parametrize("field", ["stdout", "stderr", "exit_code"])
def test_output_without_any_command(sdk, field):
    failure = sdk.fails(f"""return await box().with_default_args(["echo", "x"]).{field}()""")
    assert failure.kind == "query" and "no command has been set" in failure.message, failure


def test_entrypoint_is_used_only_when_asked_for(sdk):
    out = sdk(
        """
        c = box().with_entrypoint(["echo", "entry"])
        return await c.with_exec(["echo", "a"]).stdout(), await c.with_exec(["echo", "a"], use_entrypoint=True).stdout()
        """
    )
    assert out == ["a\n", "entry echo a\n"]


def test_stdin(sdk):
    assert sdk("""return await box().with_exec(["cat"], stdin="line 1\\nline \\u20ac").stdout()""") == "line 1\nline €"


def test_no_stdin_is_an_empty_one(sdk):
    assert sdk("""return await box().with_exec(["cat"]).stdout()""") == ""


def test_redirect_stdin(sdk):
    assert sdk("""return await box().with_workdir("/w").with_new_file("in.txt", "from a file").with_exec(["cat"], redirect_stdin="in.txt").stdout()""") == "from a file"


def test_stdin_twice_is_refused(sdk):
    failure = sdk.fails("""return await box().with_new_file("/in", "x").with_exec(["cat"], stdin="y", redirect_stdin="/in").stdout()""")
    assert failure.kind == "query", failure
    assert "stdin" in failure.message.lower(), failure


def test_redirected_output_is_in_the_file_and_in_the_answer(sdk):
    out = sdk(
        """
        c = box().with_workdir("/w").with_user("app")
        c = c.with_exec(["sh", "-c", "echo o; echo e >&2"], redirect_stdout="out.txt", redirect_stderr="/tmp/err.txt")
        s = c.with_exec(["stat", "-c", "%a %u:%g", "out.txt"])
        return await c.stdout(), await c.stderr(), await c.file("/w/out.txt").contents(), await c.file("/tmp/err.txt").contents(), await s.stdout()
        """
    )
    assert out == ["o\n", "e\n", "o\n", "e\n", "600 1000:1001\n"]


def test_a_command_is_process_1(sdk):
    """There is no init of ours between; noInit is what there is anyway."""
    out = sdk(
        """
        c = box()
        return await c.with_exec(["sh", "-c", "echo $$"], no_init=True).stdout(), await c.with_exec(["sh", "-c", "echo $$"]).stdout()
        """
    )
    assert list(out) == ["1\n", "1\n"]


def test_init_reaps_orphans(sdk):
    out = sdk(
        """
        c = box().with_exec(["sh", "-c", "sh -c 'sleep 0.1 & exit 0'; sleep 0.5; ps -o stat,comm | grep -c '^Z' || true"])
        return await c.stdout()
        """
    )
    assert out == "0\n"


def test_hostname(sdk):
    assert sdk("""return await box().with_exec(["hostname"]).stdout()""") == "cooper\n"


def test_insecure_root_capabilities(sdk):
    out = sdk(
        """
        c = box()
        usual = await c.with_exec(["grep", "CapEff", "/proc/self/status"]).stdout()
        more = await c.with_exec(["grep", "CapEff", "/proc/self/status"], insecure_root_capabilities=True).stdout()
        return [usual, more]
        """
    )
    usual, more = (int(text.split()[1], 16) for text in out)
    sys_admin = 1 << 21
    assert not usual & sys_admin and more & sys_admin and usual | more == more, out


def test_a_terminal_is_no_terminal(sdk):
    assert sdk("""return await box().with_exec(["sh", "-c", "test -t 0 || test -t 1 || echo none"]).stdout()""") == "none\n"


def test_expand_in_arguments(sdk):
    out = sdk(
        """
        c = box().with_env_variable("A", "va lue")
        plain = c.with_exec(["echo", "$A", "${A}x", "$UNSET"])
        done = c.with_exec(["echo", "$A", "${A}x", "[$UNSET]"], expand=True)
        return await plain.stdout(), await done.stdout()
        """
    )
    assert out == ["$A ${A}x $UNSET\n", "va lue va luex []\n"]


def test_expanding_a_secret_is_refused(sdk):
    failure = sdk.fails(
        """
        c = box().with_secret_variable("TOKEN", dag.set_secret("expanded", "plain-secret-text"))
        return await c.with_exec(["echo", "$TOKEN"], expand=True).stdout()
        """
    )
    assert "TOKEN" in failure.message and "plain-secret-text" not in repr(failure), failure


def test_equal_chains_run_once(sdk, nonce):
    out = sdk(
        """
        c = box().with_env_variable("N", nonce).with_exec(["cat", "/proc/sys/kernel/random/uuid"])
        d = box().with_env_variable("N", nonce).with_exec(["cat", "/proc/sys/kernel/random/uuid"])
        e = d.with_exec(["cat", "/proc/sys/kernel/random/uuid"])
        return await gather(c.stdout(), d.stdout(), e.stdout())
        """,
        nonce=nonce,
    )
    assert out[0] == out[1] and out[2] != out[0], out


def test_a_chain_does_not_run_again_for_another_answer(sdk, nonce):
    out = sdk(
        """
        c = box().with_env_variable("N", nonce).with_exec(["sh", "-c", "cat /proc/sys/kernel/random/uuid | tee /id"])
        return await c.stdout(), await c.file("/id").contents(), await c.with_exec(["cat", "/id"]).stdout()
        """,
        nonce=nonce,
    )
    assert len(set(out)) == 1, out


def test_what_ran_is_known_to_the_next_session(sdk, new_client, nonce):
    code = """return await box().with_env_variable("N", nonce).with_exec(["cat", "/proc/sys/kernel/random/uuid"]).stdout()"""
    assert new_client(sdk.name)(code, nonce=nonce) == sdk(code, nonce=nonce)


def test_a_failure_is_not_remembered(sdk, nonce):
    code = """
        c = box().with_mounted_cache("/c", dag.cache_volume(nonce)).with_exec(["sh", "-c", "echo x >> /c/runs; test $(wc -l < /c/runs) -ge 2"])
        return await c.exit_code()
        """
    assert sdk.fails(code, nonce=nonce).exit_code == 1
    assert sdk(code, nonce=nonce) == 0


def test_branches_of_one_container_do_not_see_each_other(sdk, nonce):
    out = sdk(
        """
        c = box().with_env_variable("N", nonce)
        made = [c.with_exec(["sh", "-c", f"echo {i} > /mine-{i}"]) for i in range(20)]
        return await gather(*[m.with_exec(["sh", "-c", "cat /mine-*"]).stdout() for m in made])
        """,
        nonce=nonce,
    )
    assert out == [f"{i}\n" for i in range(20)]


def test_a_command_that_changes_nothing_leaves_the_same_files(sdk):
    out = sdk(
        """
        c = box().with_new_file("/a", "x")
        return await c.rootfs().digest(), await c.with_exec(["true"]).rootfs().digest()
        """
    )
    assert out[0] == out[1]


def test_with_error(sdk):
    failure = sdk.fails("""return await box().with_error("this one is wanted").with_exec(["true"]).stdout()""")
    assert failure.kind == "query" and "this one is wanted" in failure.message, failure
    assert sdk("""return await box().with_error("").with_exec(["echo", "on"]).stdout()""") == "on\n"


def test_nested_sessions_are_refused_clearly(sdk):
    failure = sdk.fails("""return await box().with_exec(["true"], experimental_privileged_nesting=True).stdout()""")
    assert "not supported by cooper" in failure.message and "experimentalPrivilegedNesting" in failure.message, failure
