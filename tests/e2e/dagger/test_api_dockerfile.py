# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles of a directory, built through the API; and what they have in common with chains of calls."""

import pytest


def build(sdk, files, more="", **names):
    """Snippet lines that make the directory d; then the code given."""
    lines = ["d = dag.directory()"] + ["d = d.with_new_file(paths[%d], texts[%d])" % (i, i) for i in range(len(files))]
    return "\n".join([*lines, *more.strip().splitlines()]), {"paths": list(files), "texts": list(files.values()), **names}


@pytest.fixture
def built(sdk):
    """built({"Dockerfile": ...}, code, name=value...) runs code with the directory d."""

    def run(files, code, fails=False, **names):
        text, names = build(sdk, files, code, **names)
        return (sdk.fails if fails else sdk)(text, **names)

    return run


def test_files_and_configuration(built):
    out = built(
        {
            "Dockerfile": "FROM busybox\nENV A=1\nLABEL l=2\nWORKDIR /w\nCOPY in.txt .\nRUN echo made > made && test -f in.txt\nUSER app\nEXPOSE 80/udp\n"
            'ENTRYPOINT ["cat"]\nCMD ["made"]\n',
            "in.txt": "in",
        },
        """
c = d.docker_build()
p = (await c.exposed_ports())[0]
config = [await c.env_variable("A"), await c.label("l"), await c.workdir(), await c.user(), await c.entrypoint(), await c.default_args(), await p.port(), await p.protocol()]
return config, await c.with_exec([], use_entrypoint=True).stdout(), await c.directory("/w").entries()
""",
    )
    assert out == [["1", "2", "/w", "app", ["cat"], ["made"], 80, "UDP"], "made\n", ["in.txt", "made"]]


def test_chains_go_on_from_it(built):
    out = built(
        {"Dockerfile": "FROM busybox\nENV A=1\nRUN echo x > /x\n"},
        """return await d.docker_build().with_env_variable("B", "2").with_exec(["sh", "-c", "cat /x; echo $A$B"]).stdout()""",
    )
    assert out == "x\n12\n"


def test_another_name_and_a_subdirectory(built):
    out = built(
        {"build/prod.Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "from the top"},
        """return await d.docker_build(dockerfile="build/prod.Dockerfile").file("/f").contents()""",
    )
    assert out == "from the top"


def test_build_arguments(built):
    out = built(
        {"Dockerfile": "ARG BASE=nothing\nFROM $BASE\nARG V=default\nARG W=default\nRUN echo $V $W > /v\n"},
        """return await d.docker_build(build_args=[dagger.BuildArg("BASE", "busybox"), dagger.BuildArg("V", "given = 'x'")]).file("/v").contents()""",
    )
    assert out == "given = 'x' default\n"


def test_a_target_and_what_it_does_not_need(built):
    out = built(
        {"Dockerfile": "FROM busybox AS one\nRUN echo 1 > /n\nFROM busybox AS broken\nRUN false\nFROM one AS last\nRUN echo last > /n\n"},
        """return await d.docker_build(target="one").file("/n").contents(), await d.docker_build().file("/n").contents()""",
    )
    assert out == ["1\n", "last\n"]


def test_platform(built):
    out = built(
        {"Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY f /f-$TARGETARCH\n", "f": ""},
        """
c = d.docker_build(platform=dagger.Platform("linux/arm64"))
return await c.platform(), await c.rootfs().entries()
""",
    )
    assert out == ["linux/arm64", ["f-arm64"]]


def test_secrets(built, nonce):
    out = built(
        {"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=TOKEN wc -c < /run/secrets/TOKEN > /size\nRUN test ! -e /run/secrets/TOKEN\n"},
        """
c = d.docker_build(secrets=[dag.set_secret("TOKEN", plain)])
return await c.file("/size").contents(), await c.rootfs().glob("run/secrets/*")
""",
        plain=nonce,
    )
    assert out == [f"{len(nonce)}\n", []]


def test_ignore_files(built):
    out = built(
        {
            "Dockerfile": "FROM busybox\nCOPY . /c\n",
            "own.Dockerfile": "FROM busybox\nCOPY . /c\n",
            "own.Dockerfile.dockerignore": "b\n*Dockerfile*\n",
            ".dockerignore": "a\n*Dockerfile*\n.dockerignore\n",
            "a": "",
            "b": "",
        },
        """return await d.docker_build().directory("/c").entries(), await d.docker_build(dockerfile="own.Dockerfile").directory("/c").entries()""",
    )
    assert out == [["b"], [".dockerignore", "a"]]


def test_heredocs_and_exclude(built):
    out = built(
        {
            "Dockerfile": "# syntax=docker/dockerfile:1-labs\nFROM busybox\nRUN <<EOT\necho 1 > /r\necho 2 >> /r\nEOT\nCOPY <<EOT /h\ninline\nEOT\nCOPY --exclude=*.md d /d\n",
            "d/a.md": "",
            "d/b.txt": "",
        },
        """
c = d.docker_build()
return await c.file("/r").contents(), await c.file("/h").contents(), await c.directory("/d").entries()
""",
    )
    assert out == ["1\n2\n", "inline\n", ["b.txt"]]


def test_a_failing_instruction(built):
    failure = built(
        {"Dockerfile": "FROM busybox\nRUN echo out-text; echo err-text >&2; exit 7\n"}, """return await d.docker_build().sync() is None""", fails=True
    )
    assert failure.kind == "exec" and failure.exit_code == 7, failure
    assert "out-text" in failure.stdout and "err-text" in failure.stderr and "exit code: 7" in failure.message, failure
    assert any("exit 7" in word for word in failure.command), failure


@pytest.mark.parametrize("files, wanted", [({"Dockerfile": "FROM busybox\nFRMO x\n"}, "FRMO"), ({"x": ""}, "Dockerfile"), ({"Dockerfile": "FROM busybox\nCOPY none /\n"}, "none")])
def test_what_cannot_be_built(built, files, wanted):
    failure = built(files, """return await d.docker_build().sync() is None""", fails=True)
    assert failure.kind == "query" and wanted in failure.message, failure


def test_an_unused_change_of_the_context_runs_nothing(built, nonce):
    out = built(
        {"Dockerfile": "FROM busybox\nCOPY f /f\nRUN cat /proc/sys/kernel/random/uuid > /id\n", "f": nonce},
        """return await d.docker_build().file("/id").contents(), await d.with_new_file("other", "x").docker_build().file("/id").contents()""",
    )
    assert out[0] == out[1]


def test_a_chain_and_a_dockerfile_share_what_ran(built, nonce):
    """The same operations in either language are one step of the cache."""
    out = built(
        {"Dockerfile": f"FROM busybox\nENV N={nonce}\nRUN cat /proc/sys/kernel/random/uuid > /id\n"},
        """
a = await d.docker_build().file("/id").contents()
b = await box().with_env_variable("N", nonce).with_exec(["/bin/sh", "-c", "cat /proc/sys/kernel/random/uuid > /id"]).file("/id").contents()
return [a, b]
""",
        nonce=nonce,
    )
    assert out[0] == out[1]


def test_the_command_line_and_the_api_share_what_ran(built, world, context, nonce):
    files = {"Dockerfile": f"FROM busybox\nRUN echo {nonce} && cat /proc/sys/kernel/random/uuid > /id\n"}
    world.cooper.build(context(files), "-t", f"shared:{nonce}")
    made = world.cooper.files(f"shared:{nonce}")["id"].data.decode()
    assert built(files, """return await d.docker_build().file("/id").contents()""") == made


def test_equal_layers_from_either_language(built, registry, skopeo, nonce):
    """A chain that does what a Dockerfile does gives layers of the same content."""
    import json

    built(
        {"Dockerfile": "FROM busybox\nCOPY f /opt/f\nRUN mkdir /made && echo 1 > /made/x\n", "f": nonce},
        """
await d.docker_build().publish(f"{name}:file")
f = d.file("f")
c = box().with_file("/opt/f", f).with_exec(["/bin/sh", "-c", "mkdir /made && echo 1 > /made/x"])
return await c.publish(f"{name}:chain")
""",
        name=f"{registry}/equal-{nonce}",
    )
    layers = [
        json.loads(skopeo("inspect", "--config", "--tls-verify=false", f"docker://{registry}/equal-{nonce}:{tag}"))["rootfs"]["diff_ids"] for tag in ("file", "chain")
    ]
    assert layers[0] == layers[1]
