# SPDX-License-Identifier: Apache-2.0
"""Git repositories: references, trees, what .git is like, and who may read."""

import os
import subprocess

import pytest

import peers


@pytest.fixture
def fresh_repository(git_place, git_url, nonce):
    """A repository of its own, and its URL."""
    made = peers.Repository(git_place / nonce)
    return made, git_url.replace("/app.git", f"/{nonce}/app.git")


def head_of(repository, name="main"):
    return peers.git(repository.bare, "rev-parse", f"{name}^{{commit}}")


def test_references(sdk, git_url, repository):
    out = sdk(
        """
        r = dag.git(url)
        refs = [r.tag("v1.0.0"), r.branch("side"), r.head(), r.ref("refs/heads/main"), r.commit(first), r.ref("v0.9.0")]
        return await gather(*[x.commit() for x in refs]), await r.tag("v1.0.0").ref(), await r.branch("side").ref(), await r.url()
        """,
        url=git_url,
        first=repository.commits[0],
    )
    one, two, three = repository.commits
    assert out == [[two, repository.side, three, three, one, one], "refs/tags/v1.0.0", "refs/heads/side", git_url]


def test_an_annotated_tag_is_its_commit(sdk, git_url, repository):
    assert sdk("""return await dag.git(url).tag("v1.1.0").commit()""", url=git_url) == repository.commits[2]


def test_tree_of_a_tag(sdk, git_url):
    out = sdk(
        """
        t = dag.git(url).tag("v1.0.0").tree()
        return await t.entries(), await t.file("README").contents(), await t.stat("run.sh").permissions(), await t.stat("README").permissions()
        """,
        url=git_url,
    )
    assert out == [[".git/", "README", "run.sh"], "two\n", 0o755, 0o644]


@pytest.mark.parametrize("reference, text", [('branch("side")', "aside\n"), ("commit(side)", "aside\n"), ("head()", None)])
def test_tree_of_other_references(sdk, git_url, repository, reference, text):
    code = f"""t = dag.git(url).{reference}.tree(discard_git_dir=True)\nreturn await t.entries(), await t.exists("side.txt")"""
    assert sdk(code, url=git_url, side=repository.side) == [["README", "run.sh"] + (["side.txt"] if text else []), text is not None]


def test_git_dir_can_be_left_out(sdk, git_url):
    out = sdk(
        """
        return await dag.git(url).head().tree(discard_git_dir=True).entries(), await dag.git(url, keep_git_dir=False).head().tree().entries()
        """,
        url=git_url,
    )
    assert out == [["README", "run.sh"]] * 2


def test_times_and_owners_of_a_tree(sdk, git_url):
    out = sdk(
        """return await box().with_mounted_directory("/t", dag.git(url).tag("v1.0.0").tree()).with_exec(["stat", "-c", "%Y %u:%g", "/t/README", "/t/run.sh", "/t/.git/config"]).stdout()""",
        url=git_url,
    )
    assert out == "1 0:0\n" * 3


def export(sdk, tree, target, **names):
    sdk(f"""return await {tree}.export(target)""", target=str(target), **names)

    def git(*args):
        run = subprocess.run(["git", "-C", str(target), "-c", "safe.directory=*", *args], env={**os.environ, **peers.GIT_ENV}, capture_output=True, text=True)
        assert run.returncode == 0, (args, run.stderr)
        return run.stdout.strip()

    return git


def test_the_checkout_is_a_usable_repository(sdk, git_url, repository, tmp_path):
    git = export(sdk, """dag.git(url).tag("v1.1.0").tree()""", tmp_path / "t", url=git_url)
    assert git("status", "--porcelain") == ""
    assert git("rev-parse", "HEAD") == repository.commits[2]
    assert git("log", "--format=%s") == "three"
    assert git("remote", "get-url", "origin") == git_url
    assert not (tmp_path / "t/.git/FETCH_HEAD").exists() and not (tmp_path / "t/.git/logs").exists()
    assert git("fsck", "--no-dangling") == ""


def test_depth(sdk, git_url, tmp_path):
    git = export(sdk, """dag.git(url).tag("v1.1.0").tree(depth=2)""", tmp_path / "two", url=git_url)
    assert git("log", "--format=%s").split() == ["three", "two"]
    git = export(sdk, """dag.git(url).branch("main").tree(depth=-1)""", tmp_path / "all", url=git_url)
    assert git("log", "--format=%s").split() == ["three", "two", "one"]


def test_tags_in_the_checkout(sdk, git_url, tmp_path):
    git = export(sdk, """dag.git(url).branch("main").tree(depth=-1, include_tags=True)""", tmp_path / "with", url=git_url)
    assert git("tag").split() == ["v0.9.0", "v1.0.0", "v1.1.0"] and git("describe", "--tags") == "v1.1.0"
    git = export(sdk, """dag.git(url).branch("main").tree(depth=-1)""", tmp_path / "without", url=git_url)
    assert git("tag") == ""


def test_tags_are_strict(sdk, git_url):
    failure = sdk.fails("""return await dag.git(url).tag("main").commit()""", url=git_url)
    assert failure.kind == "query" and "main" in failure.message, failure


@pytest.mark.parametrize("reference", ['tag("v9")', 'branch("none")', 'ref("none")', 'commit("0123456789012345678901234567890123456789")'])
def test_a_reference_that_is_not_there(sdk, git_url, reference):
    failure = sdk.fails(f"""return await dag.git(url).{reference}.tree().entries()""", url=git_url)
    assert failure.kind == "query" and failure.message, failure


def test_lists_of_tags_and_branches(sdk, git_url):
    out = sdk(
        """
        r = dag.git(url)
        return await r.tags(), await r.tags(patterns=["v1.*"]), await r.branches(), await r.branches(patterns=["s*"]), await r.latest_version().ref()
        """,
        url=git_url,
    )
    tags, some, branches, s, latest = out
    assert sorted(t.removeprefix("refs/tags/") for t in tags) == ["v0.9.0", "v1.0.0", "v1.1.0"]
    assert sorted(t.removeprefix("refs/tags/") for t in some) == ["v1.0.0", "v1.1.0"]
    assert sorted(b.removeprefix("refs/heads/") for b in branches) == ["main", "side"] and [b.removeprefix("refs/heads/") for b in s] == ["side"]
    assert latest == "refs/tags/v1.1.0"


def test_common_ancestor(sdk, git_url, repository):
    out = sdk("""r = dag.git(url)\nreturn await r.branch("main").common_ancestor(r.branch("side")).commit()""", url=git_url)
    assert out == repository.commits[1]


def test_references_are_resolved_once_a_session(sdk, fresh_repository, new_client):
    repository, url = fresh_repository
    code = """r = dag.git(url).branch("main")\nreturn await r.commit(), await r.tree().file("README").contents()"""
    first = sdk(code, url=url)
    assert first == [repository.commits[2], "three\n"]
    repository.commit("four\n", 1700001000)
    repository.publish()
    assert sdk(code, url=url) == first
    assert new_client(sdk.name)(code, url=url) == [head_of(repository), "four\n"]


def test_commands_on_equal_trees_run_once(sdk, git_url, new_client, nonce):
    code = """
        c = box().with_env_variable("N", nonce).with_directory("/src", dag.git(url).tag("v1.0.0").tree())
        return await c.with_exec(["cat", "/proc/sys/kernel/random/uuid"]).stdout()
        """
    assert sdk(code, url=git_url, nonce=nonce) == new_client(sdk.name)(code, url=git_url, nonce=nonce)


def test_submodules(sdk, fresh_repository, git_url, tmp_path):
    repository, url = fresh_repository
    peers.git(repository.work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", git_url, "vendor/dep")
    repository.commit("with a submodule\n", 1700002000)
    repository.publish()
    out = sdk("""t = dag.git(url).head().tree()\nreturn await t.directory("vendor/dep").entries(), await t.file("vendor/dep/README").contents()""", url=url)
    assert [e for e in out[0] if not e.startswith(".git")] == ["README", "run.sh"] and out[1] == "three\n"


def test_over_http_with_a_token(sdk, git_http, tmp_path):
    url = f"{git_http.url}/app.git"
    git = export(sdk, """dag.git(url, http_auth_token=dag.set_secret("git-token", token)).tag("v1.0.0").tree()""", tmp_path / "t", url=url, token=git_http.TOKEN)
    assert git("log", "--format=%s") == "two" and git("remote", "get-url", "origin") == url
    assert git_http.TOKEN not in (tmp_path / "t/.git/config").read_text()


def test_over_http_with_a_user_and_with_a_header(sdk, git_http, nonce):
    out = sdk(
        """
        token = dag.set_secret(f"t-{nonce}", password)
        header = dag.set_secret(f"h-{nonce}", line)
        a = dag.git(url, http_auth_username="dev", http_auth_token=token)
        b = dag.git(url, http_auth_header=header)
        return await a.tag("v1.0.0").commit() == await b.tag("v1.0.0").commit()
        """,
        url=f"{git_http.url}/app.git",
        password=git_http.TOKEN,
        line=git_http.header,
        nonce=nonce,
    )
    assert out is True


def test_over_http_without_a_password(sdk, git_http):
    failure = sdk.fails("""return await dag.git(url).tag("v1.1.0").tree().entries()""", url=f"{git_http.url}/app.git")
    assert failure.kind == "query" and failure.message, failure


def test_a_repository_that_is_not_there(sdk, git_url):
    failure = sdk.fails("""return await dag.git(url).head().commit()""", url=git_url.replace("app.git", "none.git"))
    assert failure.kind == "query" and "none.git" in failure.message, failure
