# SPDX-License-Identifier: Apache-2.0
"""What is configured of a container: environment, user, working directory, entrypoint, labels, ports, health check."""


def test_an_empty_container(sdk):
    out = sdk(
        """
        c = dag.container()
        return await c.rootfs().entries(), await c.entrypoint(), await c.default_args(), await c.user(), await c.labels(), await c.env_variables()
        """
    )
    assert out == [[], [], [], "", [], []]


def test_default_platform(sdk):
    out = sdk("""return await dag.default_platform(), await dag.container().platform(), await box().platform()""")
    assert out[0].startswith("linux/") and out == [out[0]] * 3


def test_platform_is_normalised(sdk):
    assert sdk("""return await dag.container(platform=dagger.Platform("linux/arm64/v8")).platform()""") == "linux/arm64"


def test_a_platform_that_is_none(sdk):
    failure = sdk.fails("""return await dag.container(platform=dagger.Platform("windows98")).with_new_file("/a", "x").sync() is None""")
    assert "windows98" in failure.message, failure


def test_variables_keep_their_order(sdk):
    out = sdk(
        """
        c = box().with_env_variable("Z", "1").with_env_variable("A", "2").with_env_variable("M", "3").with_env_variable("Z", "4")
        return [f"{await v.name()}={await v.value()}" for v in await c.env_variables()]
        """
    )
    assert [v for v in out if v[0] in "ZAM" and v[1] == "="] == ["Z=4", "A=2", "M=3"]


def test_a_variable_is_seen_by_commands(sdk):
    assert sdk("""return await box().with_env_variable("A", "x = 'y'\\n").with_exec(["sh", "-c", "echo \\"$A\\""]).stdout()""") == "x = 'y'\n\n"


def test_one_variable(sdk):
    out = sdk("""return await box().with_env_variable("A", "1").env_variable("A"), await box().env_variable("NONE")""")
    assert out == ["1", None]


def test_without_a_variable(sdk):
    out = sdk(
        """
        c = box().with_env_variable("A", "1").with_env_variable("B", "2").without_env_variable("A")
        return await c.env_variable("A"), await c.env_variable("B"), await c.with_exec(["sh", "-c", "echo [$A]"]).stdout()
        """
    )
    assert out == [None, "2", "[]\n"]


def test_an_empty_value_is_a_value(sdk):
    out = sdk("""c = box().with_env_variable("E", "")\nreturn await c.env_variable("E"), await c.with_exec(["sh", "-c", "env | grep -c ^E="]).stdout()""")
    assert out == ["", "1\n"]


def test_expand_in_a_value(sdk):
    out = sdk(
        """
        c = box().with_env_variable("P", "/usr/bin").with_env_variable("A", "/opt:$P:${NONE}", expand=True).with_env_variable("B", "/app/bin:$P")
        return await c.env_variable("A"), await c.env_variable("B")
        """
    )
    assert out == ["/opt:/usr/bin:", "/app/bin:$P"]


def test_path_of_an_image_without_one(sdk):
    out = sdk(
        """
        c = dag.container().with_rootfs(box().rootfs())
        return await c.with_exec(["/bin/sh", "-c", "echo $PATH"]).stdout(), await c.env_variable("PATH")
        """
    )
    assert out == ["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", None]


def test_home_comes_from_passwd(sdk):
    out = sdk(
        """
        c = box()
        return await c.with_exec(["sh", "-c", "echo $HOME"]).stdout(), await c.with_user("app").with_exec(["sh", "-c", "echo $HOME"]).stdout()
        """
    )
    assert out == ["/root\n", "/home/app\n"]


def test_home_that_is_set_stays(sdk):
    assert sdk("""return await box().with_env_variable("HOME", "/elsewhere").with_exec(["sh", "-c", "echo $HOME"]).stdout()""") == "/elsewhere\n"


USERS = {
    "": "0:0",
    "root": "0:0",
    "app": "1000:1001 50",
    "1000": "1000:1001 50",
    "1000:1000": "1000:1000",
    "65534": "65534:65534",
    "4321": "4321:0",
    "4321:77": "4321:77",
    "app:staff": "1000:50",
}


def test_user_of_commands(sdk):
    out = sdk(
        """
        out = []
        for user in users:
            c = box().with_user(user).with_exec(["sh", "-c", "echo $(id -u):$(id -g) $(id -G)"])
            out = [*out, await c.stdout()]
        return out
        """,
        users=list(USERS),
    )
    seen = {}
    for user, line in zip(USERS, out):
        ids, *groups = line.split()
        more = sorted(set(groups) - {ids.split(":")[1]})
        seen[user] = " ".join([ids, *more]) if user in ("app", "1000") else ids
    assert seen == USERS


def test_user_is_not_checked_before_it_is_needed(sdk):
    assert sdk("""return await box().with_user("nobody-knows").user()""") == "nobody-knows"
    failure = sdk.fails("""return await box().with_user("nobody-knows").with_exec(["true"]).stdout()""")
    assert "nobody-knows" in failure.message, failure


def test_without_user(sdk):
    out = sdk("""c = box().with_user("app").without_user()\nreturn await c.user(), await c.with_exec(["id", "-u"]).stdout()""")
    assert out == ["", "0\n"]


def test_workdir(sdk):
    out = sdk(
        """
        c = box().with_workdir("/usr").with_workdir("bin")
        return await c.workdir(), await c.with_exec(["pwd"]).stdout(), await c.without_workdir().with_exec(["pwd"]).stdout()
        """
    )
    assert out == ["/usr/bin", "/usr/bin\n", "/\n"]


def test_workdir_expands_when_asked_to(sdk):
    out = sdk(
        """
        c = box().with_env_variable("D", "deep/er")
        return await c.with_workdir("/x/$D", expand=True).workdir(), await c.with_workdir("/x/$D").workdir()
        """
    )
    assert out == ["/x/deep/er", "/x/$D"]


def test_a_missing_workdir_is_made_for_the_user(sdk):
    assert sdk("""return await box().with_user("app").with_workdir("/opt/app").with_exec(["stat", "-c", "%a %u:%g", "."]).stdout()""") == "755 1000:1001\n"


def test_entrypoint_clears_default_args(sdk):
    out = sdk(
        """
        c = box().with_default_args(["a", "b"])
        x = c.with_entrypoint(["/bin/x", "-y"])
        y = c.with_entrypoint(["/bin/x"], keep_default_args=True)
        return await x.entrypoint(), await x.default_args(), await y.entrypoint(), await y.default_args()
        """
    )
    assert out == [["/bin/x", "-y"], [], ["/bin/x"], ["a", "b"]]


def test_without_entrypoint_clears_default_args(sdk):
    out = sdk(
        """
        c = box().with_entrypoint(["/bin/x"]).with_default_args(["a"])
        x = c.without_entrypoint()
        y = c.without_entrypoint(keep_default_args=True)
        return await x.entrypoint(), await x.default_args(), await y.entrypoint(), await y.default_args()
        """
    )
    assert out == [[], [], [], ["a"]]


def test_default_args(sdk):
    out = sdk(
        """
        c = box().with_default_args(["echo", "$A"])
        return await c.default_args(), await c.with_default_args([]).default_args(), await c.without_default_args().default_args()
        """
    )
    assert out == [["echo", "$A"], [], []]


def test_labels(sdk):
    out = sdk(
        """
        c = box().with_label("b", "2").with_label("a", "1").with_label("b", "3").with_label("c", "").without_label("a")
        return [f"{await l.name()}={await l.value()}" for l in await c.labels()], await c.label("b"), await c.label("a"), await c.label("c")
        """
    )
    assert out == [["b=3", "c="], "3", None, ""]


def test_ports(sdk):
    out = sdk(
        """
        c = box().with_exposed_port(51413).with_exposed_port(51413, protocol=dagger.NetworkProtocol.UDP, description="peers")
        c = c.with_exposed_port(80, experimental_skip_healthcheck=True).with_exposed_port(81).without_exposed_port(81)
        return [[await p.port(), await p.protocol(), await p.description(), await p.experimental_skip_healthcheck()] for p in await c.exposed_ports()]
        """
    )
    # No description is null; clients of some versions get an empty text.
    assert sorted([n, p, d or None, s] for n, p, d, s in out) == [
        [80, "TCP", None, True],
        [51413, "TCP", None, False],
        [51413, "UDP", "peers", False],
    ]


def test_without_exposed_port_takes_one_protocol(sdk):
    out = sdk(
        """
        c = box().with_exposed_port(9).with_exposed_port(9, protocol=dagger.NetworkProtocol.UDP).without_exposed_port(9, protocol=dagger.NetworkProtocol.UDP)
        return [await p.protocol() for p in await c.exposed_ports()]
        """
    )
    assert out == ["TCP"]


def test_healthcheck(sdk):
    out = sdk(
        """
        c = box().with_docker_healthcheck(["wget", "-q", "x"], interval="30s", timeout="3s", start_period="1m30s", retries=3)
        h = c.docker_healthcheck()
        return await h.args(), await h.shell(), await h.interval(), await h.timeout(), await h.start_period(), await h.retries()
        """
    )
    assert out[:2] == [["wget", "-q", "x"], False] and out[5] == 3
    assert out[2:5] in (["30s", "3s", "1m30s"], ["30s", "3s", "90s"]), out


def test_healthcheck_by_shell_and_without(sdk):
    out = sdk("""h = box().with_docker_healthcheck(["test -e /ok && true"], shell=True).docker_healthcheck()\nreturn await h.args(), await h.shell()""")
    assert out == [["test -e /ok && true"], True]
    sdk("""return await (await box().with_docker_healthcheck(["x"]).without_docker_healthcheck().sync()).user()""")


def test_annotations_change_neither_files_nor_labels(sdk):
    out = sdk(
        """
        c = box().with_label("l", "1")
        d = c.with_annotation("a.b/c", "x").with_annotation("gone", "y").without_annotation("gone")
        return await c.rootfs().digest() == await d.rootfs().digest(), [await l.name() for l in await d.labels()]
        """
    )
    assert out == [True, ["l"]]


def test_from_merges_with_what_was_set(sdk, registry, nonce):
    name = f"{registry}/merge-{nonce}:1"
    out = sdk(
        """
        base = box().with_env_variable("A", "image").with_env_variable("B", "image").with_label("a", "image").with_exposed_port(80)
        await base.with_user("app").with_workdir("/image").with_entrypoint(["/image"]).with_default_args(["img"]).publish(name)
        c = dag.container().with_env_variable("A", "mine").with_env_variable("C", "mine").with_label("a", "mine").with_label("c", "mine")
        c = c.with_exposed_port(81).with_user("root").with_workdir("/mine").with_entrypoint(["/mine"]).with_default_args(["me"]).from_(name)
        env = [f"{await v.name()}={await v.value()}" for v in await c.env_variables()]
        labels = [f"{await l.name()}={await l.value()}" for l in await c.labels()]
        ports = [await p.port() for p in await c.exposed_ports()]
        return env, labels, ports, await c.user(), await c.workdir(), await c.entrypoint(), await c.default_args()
        """,
        name=name,
    )
    env, labels, ports, *rest = out
    assert {"A=image", "B=image", "C=mine"} <= set(env), env
    assert {"a=image", "c=mine"} <= set(labels), labels
    assert sorted(ports) == [80, 81]
    assert rest == ["app", "/image", ["/image"], ["img"]]


def test_from_replaces_the_files(sdk):
    out = sdk("""c = dag.container().with_new_file("/before", "x").from_("busybox")\nreturn await c.rootfs().entries()""")
    assert "before" not in out and "bin/" in out, out


def test_image_ref(sdk, registry, nonce):
    name = f"{registry}/ref-{nonce}:1"
    out = sdk(
        """
        ref = await box().with_new_file("/n", name).publish(name)
        c = dag.container().from_(name)
        return ref, await c.image_ref()
        """,
        name=name,
    )
    assert out[0] == out[1] and out[0].startswith(f"{name}@sha256:"), out
    failure = sdk.fails("""return await dag.container().from_(name).with_exec(["true"]).image_ref()""", name=name)
    assert failure.kind == "query", failure


def test_an_image_that_is_not_there(sdk, registry):
    failure = sdk.fails("""return await dag.container().from_(name).with_exec(["true"]).stdout()""", name=f"{registry}/nothing-here:1")
    assert failure.kind == "query" and "nothing-here" in failure.message, failure


def test_env_file_variables(sdk):
    out = sdk(
        """
        f = dag.env_file().with_variable("A", "1").with_variable("B", "two words")
        c = box().with_env_variable("A", "0").with_env_file_variables(f)
        return await c.env_variable("A"), await c.env_variable("B"), await c.with_exec(["sh", "-c", "echo $A $B"]).stdout()
        """
    )
    assert out == ["1", "two words", "1 two words\n"]


def test_env_file(sdk):
    out = sdk(
        """
        f = dag.file("x.env", "# comment\\nAPP_A=1\\nAPP_B='two words'\\n\\nC=3\\n").as_env_file().with_variable("D", "4").without_variable("C")
        names = [f"{await v.name()}={await v.value()}" for v in await f.variables()]
        app = [await v.name() for v in await f.namespace("APP_").variables()]
        return names, app, await f.get("APP_B"), await f.get("APP_B", raw=True), await f.exists("C"), await f.exists("D"), await f.get("NONE")
        """
    )
    assert out == [["APP_A=1", "APP_B=two words", "D=4"], ["A", "B"], "two words", "'two words'", False, True, ""]


def test_env_file_as_file(sdk):
    assert "A=1" in sdk("""return await dag.env_file().with_variable("A", "1").as_file().contents()""").splitlines()
