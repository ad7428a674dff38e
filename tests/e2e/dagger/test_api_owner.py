# SPDX-License-Identifier: Apache-2.0
"""
Who owns what is put into a container. Names are those of the container (app is 1000, its group 1001; staff is 50); without a group the group is the
number of the user, whatever passwd says; without an owner things stay as they are.
"""

import pytest

# owner: what it gives.
OWNERS = {
    "": "0:0",
    "app": "1000:1000",
    "app:app": "1000:1001",
    "app:staff": "1000:50",
    "app:77": "1000:77",
    "1000": "1000:1000",
    "1000:1001": "1000:1001",
    "1000:staff": "1000:50",
    "root": "0:0",
}

# What is called, and the paths that then have the owner.
CALLS = {
    "with_file": ('with_file("/o", f, owner=who)', ["/o"]),
    "with_files": ('with_files("/o", [f], owner=who)', ["/o/f"]),
    "with_new_file": ('with_new_file("/o", "x", owner=who)', ["/o"]),
    "with_directory": ('with_directory("/o", d, owner=who)', ["/o/f", "/o/sub", "/o/sub/g"]),
    "with_mounted_file": ('with_mounted_file("/o", f, owner=who)', ["/o"]),
    "with_mounted_directory": ('with_mounted_directory("/o", d, owner=who)', ["/o", "/o/f", "/o/sub/g"]),
    "with_mounted_cache": ('with_mounted_cache("/o", dag.cache_volume(f"{nonce}-{who}"), owner=who)', ["/o"]),
    "with_mounted_secret": ('with_mounted_secret("/o", dag.set_secret(f"owned-{nonce}", "x"), owner=who)', ["/o"]),
}


@pytest.mark.parametrize("call", CALLS)
def test_owner(sdk, call, nonce):
    code, paths = CALLS[call]
    out = sdk(
        f"""
        d = dag.directory().with_new_file("f", "1").with_new_file("sub/g", "2")
        f = d.file("f")
        return await gather(*[box().with_user("nobody").{code}.with_user("").with_exec(["stat", "-c", "%u:%g", *paths]).stdout() for who in owners])
        """,
        owners=list(OWNERS),
        paths=paths,
        nonce=nonce,
    )
    assert dict(zip(OWNERS, out)) == {who: f"{ids}\n" * len(paths) for who, ids in OWNERS.items()}


@pytest.mark.parametrize("call", CALLS)
def test_an_owner_that_nobody_knows(sdk, call, nonce):
    failure = sdk.fails(
        f"""
        d = dag.directory().with_new_file("f", "1")
        f = d.file("f")
        return await box().{CALLS[call][0]}.with_exec(["true"]).stdout()
        """,
        who="stranger",
        nonce=nonce,
    )
    assert failure.kind == "query" and "stranger" in failure.message, failure


def test_no_owner_keeps_that_of_the_source(sdk):
    out = sdk(
        """
        made = box().with_exec(["sh", "-c", "mkdir /s && touch /s/f && chown -R 12:34 /s"])
        c = box().with_user("app").with_directory("/t", made.directory("/s")).with_file("/u", made.file("/s/f")).with_user("")
        return await c.with_exec(["stat", "-c", "%u:%g", "/t/f", "/u"]).stdout()
        """
    )
    assert out == "12:34\n12:34\n"


def test_the_owner_is_looked_up_in_that_container(sdk):
    out = sdk(
        """
        c = box().with_exec(["sh", "-c", "echo nonroot:x:10000:10001::/:/bin/sh >> /etc/passwd; echo nonroot:x:10001: >> /etc/group"])
        c = c.with_new_file("/a", "", owner="nonroot").with_new_file("/b", "", owner="nonroot:nonroot")
        return await c.with_exec(["stat", "-c", "%u:%g", "/a", "/b"]).stdout()
        """
    )
    assert out == "10000:10000\n10000:10001\n"


def test_chown_of_a_directory(sdk):
    out = sdk(
        """
        d = dag.directory().with_new_file("a/f", "").with_new_file("b", "").chown("a", "12:34")
        c = box().with_directory("/t", d).with_exec(["stat", "-c", "%u:%g", "/t/a", "/t/a/f", "/t/b"])
        f = box().with_file("/f", d.file("b").chown("56")).with_exec(["stat", "-c", "%u:%g", "/f"])
        return await c.stdout(), await f.stdout()
        """
    )
    assert out == ["12:34\n12:34\n0:0\n", "56:56\n"]


def test_owner_in_a_directory(sdk):
    out = sdk(
        """
        d = dag.directory().with_directory("x", dag.directory().with_new_file("f", ""), owner="12:34").with_file("g", dag.file("g", ""), owner="56")
        return await box().with_directory("/t", d).with_exec(["stat", "-c", "%u:%g", "/t/x/f", "/t/g"]).stdout()
        """
    )
    assert out == "12:34\n56:56\n"
