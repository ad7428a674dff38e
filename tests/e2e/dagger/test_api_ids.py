# SPDX-License-Identifier: Apache-2.0
"""Ids: stable, opaque, valid in every request and in other sessions on the same store; and lists, which travel as ids."""

import pytest

import sdk as sdks


def test_equal_chains_have_equal_ids(sdk):
    out = sdk(
        """
        a = box().with_env_variable("A", "1").with_new_file("/f", "x")
        b = box().with_env_variable("A", "1").with_new_file("/f", "x")
        c = box().with_env_variable("A", "2").with_new_file("/f", "x")
        return await gather(a.id(), b.id(), c.id(), a.file("/f").id(), b.file("/f").id(), a.rootfs().id())
        """
    )
    assert out[0] == out[1] and out[3] == out[4] and len(set(out)) == 4, out


def test_ids_are_short_however_long_the_chain(sdk):
    out = sdk(
        """
        c = box()
        for i in range(100):
            c = c.with_env_variable(f"V{i}", text)
        return len(await c.id())
        """,
        text="x" * 2000,
    )
    assert out < 1000


LOADERS = {
    "container": ("await box().with_label('a', 'b').id()", "dag.load_container_from_id(dagger.ContainerID(id)).label('a')", "b"),
    "directory": ("await dag.directory().with_new_file('f', '').id()", "dag.load_directory_from_id(dagger.DirectoryID(id)).entries()", ["f"]),
    "file": ("await dag.file('f', 'text').id()", "dag.load_file_from_id(dagger.FileID(id)).contents()", "text"),
    "secret": ("await dag.set_secret('loaded', 'plain').id()", "dag.load_secret_from_id(dagger.SecretID(id)).name()", "loaded"),
    "service": ("await box().with_exposed_port(5).as_service().with_hostname('h').id()", "dag.load_service_from_id(dagger.ServiceID(id)).hostname()", "h"),
    "env_file": ("await dag.env_file().with_variable('A', '1').id()", "dag.load_env_file_from_id(dagger.EnvFileID(id)).get('A')", "1"),
    "address": ("await dag.address('x').id()", "dag.load_address_from_id(dagger.AddressID(id)).value()", "x"),
    "host": ("await dag.host().id()", "dag.load_host_from_id(dagger.HostID(id)).directory('.').name()", None),
    "label": ("await (await box().with_label('zz', 'b').labels())[0].id()", "dag.load_label_from_id(dagger.LabelID(id)).name()", None),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_load_by_id(sdk, kind):
    make, load, wanted = LOADERS[kind]
    out = sdk(f"id = {make}\nreturn await {load}")
    assert out == wanted if wanted is not None else out, out


def test_an_id_of_another_type(sdk):
    failure = sdk.fails("""return await dag.load_container_from_id(dagger.ContainerID(await dag.file("a", "b").id())).user()""")
    assert failure.kind == "query" and "File" in failure.message, failure


@pytest.mark.parametrize("bad", ["", "nonsense", "AAAA" * 500, "Container:0123456789abcdef", "\u20ac"])
def test_an_id_of_nothing(sdk, bad):
    failure = sdk.fails("""return await dag.load_container_from_id(dagger.ContainerID(bad)).user()""", bad=bad)
    assert failure.kind == "query", failure


@pytest.mark.parametrize("other", sdks.NAMES)
def test_ids_pass_between_sessions(sdk, clients, other, nonce):
    """And between SDKs: what one made the other goes on with."""
    id = sdk("""return await box().with_new_file("/n", nonce).with_env_variable("A", "1").with_exec(["sh", "-c", "cat /n > /m"]).id()""", nonce=nonce)
    out = clients[other]("""c = dag.load_container_from_id(dagger.ContainerID(id))\nreturn await c.file("/m").contents(), await c.env_variable("A")""", id=id)
    assert out == [nonce, "1"]


def test_ids_outlive_the_session(sdk, new_client, nonce):
    first, second = new_client(sdk.name), new_client(sdk.name)
    id = first("""return await box().with_env_variable("N", nonce).with_exec(["sh", "-c", "cat /proc/sys/kernel/random/uuid > /id"]).directory("/").id()""", nonce=nonce)
    made = first("""return await dag.load_directory_from_id(dagger.DirectoryID(id)).file("id").contents()""", id=id)
    first.stop()
    assert second("""return await dag.load_directory_from_id(dagger.DirectoryID(id)).file("id").contents()""", id=id) == made


def test_a_directory_of_the_host_by_its_id_elsewhere(sdk, new_client, host_files):
    top = host_files({"f": "data"})
    id = sdk("""return await dag.host().directory(path).id()""", path=str(top))
    assert new_client(sdk.name)("""return await dag.load_directory_from_id(dagger.DirectoryID(id)).file("f").contents()""", id=id) == "data"


def test_elements_of_lists_have_ids(sdk):
    out = sdk(
        """
        c = box().with_label("zz", "1").with_exposed_port(7, description="d").with_env_variable("Q", "2")
        labels = [await l.id() for l in await c.labels()]
        ports = [await p.id() for p in await c.exposed_ports()]
        env = [await v.id() for v in await c.env_variables()]
        return labels, ports, env
        """
    )
    everything = [id for ids in out for id in ids]
    assert len(set(everything)) == len(everything) and all(everything) and all(out)


def test_objects_as_arguments_many_times(sdk):
    out = sdk(
        """
        f = dag.file("shared", "x")
        c = box()
        for i in range(30):
            c = c.with_file(f"/many/{i}", f)
        return len(await c.directory("/many").entries())
        """
    )
    assert out == 30


UNSUPPORTED = {
    "llm": ("dag.llm().model()", "llm"),
    "terminal": ("box().terminal().sync()", "terminal"),
    "gpu": ("box().experimental_with_all_gp_us().sync()", "experimentalWithAllGPUs"),
    "module": ("dag.current_module().name()", "currentModule"),
    "search": ('dag.directory().search(pattern="x")', "search"),
    "changes": ("dag.directory().changes(dag.directory()).is_empty()", "changes"),
    "type": ("dag.type_def().kind()", "typeDef"),
    "cloud": ("dag.cloud().trace_url()", "cloud"),
    "env": ("dag.env().id()", "env"),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_cooper_does_not_do_is_said_clearly(sdk, what):
    code, name = UNSUPPORTED[what]
    failure = sdk.fails(f"return await {code}")
    assert failure.kind == "query" and "not supported by cooper" in failure.message and name in failure.message, failure
