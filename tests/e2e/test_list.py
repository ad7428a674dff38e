# SPDX-License-Identifier: Apache-2.0
"""cooper list: what is pinned where, pages of tags, registries that fail, what tags are compared with."""

import json
import os

import pytest
from conftest import Cooper
from git_lab import GitLab
from scripted_registry import Answer, paging_proxy, scripted_registry


@pytest.fixture
def lab(tmp_path):
    return GitLab(tmp_path, {f"containers/{name}/Dockerfile": "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\n" for name in ("api", "web")})


def listed(cooper, lab, *args, **kw):
    return {one["container"]: one for one in json.loads(cooper("list", "--json", *args, cwd=lab.repo, **kw).out)}


@pytest.mark.sanitize
def test_what_is_pinned_where(cooper, lab):
    job = json.loads(cooper("release", "web", "--json", "--progress", "plain", cwd=lab.repo).out)["jobs"][0]
    image = "127.0.0.1:5000/lab/web"
    lab.write("argocd/manifests/one/d.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: {image}:{job['tag']}\n    - image: {image}:v9-1234567\n")
    lab.write("argocd/manifests/two/kustomization.yaml", f"images:\n  - name: web\n    newName: {image}\n    digest: {job['digest']}\n")
    web = listed(cooper, lab)["web"]
    one, two = {"file": "argocd/manifests/one/d.yaml", "line": 4}, {"file": "argocd/manifests/two/kustomization.yaml", "line": 4}
    assert web["tags"][0]["pinned"] == [one, two]
    assert web["pinned"] == [one | {"tag": job["tag"]}, {"file": "argocd/manifests/one/d.yaml", "line": 5, "tag": "v9-1234567"}, two | {"digest": job["digest"]}]
    shown = cooper("list", cwd=lab.repo).out
    assert f"compared with origin/main ({lab.first[:7]}), fetched " in shown
    assert "[main]\n      pinned at argocd/manifests/one/d.yaml:4\n      pinned at argocd/manifests/two/kustomization.yaml:4\n" in shown
    assert "v9-1234567                   pinned at argocd/manifests/one/d.yaml:5, but not in the registry\n" in shown
    assert listed(cooper, lab)["api"]["pinned"] == []


def test_a_pinned_tag_that_is_no_release(cooper, lab):
    with scripted_registry() as registry:
        registry.answers["list?n=1000"] = Answer(200, {"Content-Type": "application/json"}, b'{"name": "team/web", "tags": ["stable"]}')
        lab.write("cooper.yaml", f"registry: {registry.address}\nnamespace: team\n")
        lab.write("argocd/manifests/web/d.yaml", "".join(f"---\nkind: Pod\nspec: {{containers: [{{image: '{registry.address}/team/web:{tag}'}}]}}\n" for tag in ("stable", "beta")))
        shown = cooper("list", "web", cwd=lab.repo).out
    assert "stable                       pinned at argocd/manifests/web/d.yaml:3\n" in shown
    assert "beta                         pinned at argocd/manifests/web/d.yaml:6, but not in the registry\n" in shown


def test_tags_that_are_none(cooper, lab):
    tags = ["v1.0.0-1234567", "v1\x1b[31m-1234567", "v2\n-1234567", "v3/../../x", "v" + "9" * 200, "", "v4 -1234567"]
    with scripted_registry() as registry:
        registry.answers["list?n=1000"] = Answer(200, {"Content-Type": "application/json"}, json.dumps({"name": "team/web", "tags": tags}).encode())
        lab.write("cooper.yaml", f"registry: {registry.address}\nnamespace: team\n")
        assert [tag["tag"] for tag in listed(cooper, lab, "web", "--all")["web"]["tags"]] == tags[:1]
        assert {line.split("/")[-1] for line in registry.asked()} == set(tags[:1])


def test_pages_of_tags(cooper, lab, tmp_path):
    tags = [f"v1.{i}.0-{lab.first[:7]}" for i in range(8)]
    other = Cooper(tmp_path / "other")
    with other.serving() as address:
        for tag in tags:
            cooper("image", "copy", "store:busybox:latest", f"docker://{address}/team/web:{tag}")
        with paging_proxy(address, 3) as (proxy, pages):
            lab.write("cooper.yaml", f"registry: {proxy}\nnamespace: team\n")
            got = listed(cooper, lab, "--all")
            assert [tag["tag"] for tag in got["web"]["tags"]] == tags[::-1]
            assert len([page for page in pages if "/team/web/" in page]) == 3
            assert got["api"]["tags"] == [] and "error" not in got["api"]
            # newest first, and not more than asked for but for what is pinned
            lab.write("argocd/manifests/x/d.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: {proxy}/team/web:{tags[1]}\n")
            assert [tag["tag"] for tag in listed(cooper, lab)["web"]["tags"]] == [*tags[:3:-1], tags[1]]


def test_errors_are_told_for_each_container(cooper, lab):
    with scripted_registry() as registry:
        lab.write("cooper.yaml", f"registry: {registry.address}\nnamespace: team\n")
        registry.answers = {"list?n=1000": Answer(403)}
        got = listed(cooper, lab, code=1)
        assert all("403" in one["error"] and one["tags"] == [] for one in got.values())
        registry.answers = {"list?n=1000": Answer(200, {"Content-Type": "application/json"}, b'{"tags": ["v1.0-' + lab.first[:7].encode() + b'", "latest"]}')}
        # an image that cannot be read does not hide its tag
        got = listed(cooper, lab)
        assert [(tag["tag"], tag["provenance"]) for tag in got["api"]["tags"]] == [(f"v1.0-{lab.first[:7]}", "main")]
        registry.answers = {}
        assert all(one["tags"] == [] and "error" not in one for one in listed(cooper, lab).values())


def test_unknown_is_explained_and_the_main_ref_is_told(cooper, lab):
    job = json.loads(cooper("release", "web", "--json", "--progress", "plain", cwd=lab.repo).out)["jobs"][0]
    os.utime(lab.repo / ".git/logs/refs/remotes/origin/main", (1700000000, 1700000000))
    os.utime(lab.repo / ".git/refs/remotes/origin/main", (1700000000, 1700000000))
    got = listed(cooper, lab, "web")["web"]
    assert (got["main"], got["main_fetched"]) == ("origin/main", "2023-11-14T22:13:20Z")
    lab.git("remote", "remove", "origin")
    lab.git("branch", "-m", "trunk")
    said = cooper("list", "web", cwd=lab.repo, code=1)
    assert f"{job['tag']} " in said.out and "[unknown: no main branch to compare with: tried upstream/main, " in said.out
    assert "tried upstream/main, origin/main, main" in said.err
