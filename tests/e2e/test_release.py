# SPDX-License-Identifier: Apache-2.0
"""Releasing from a GitOps repository: tags, labels, refusals, provenance, the embedded and a foreign registry."""

import json
import shutil
import subprocess

import pytest
from git_lab import WHEN, GitLab

FILES = {
    "containers/web/Dockerfile": "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\nCOPY page /srv/page\nRUN cat /srv/page > /srv/copy\n",
    "containers/web/page": "hello\n",
    "containers/helper/notes.txt": "no build file here\n",
}


@pytest.fixture
def lab(tmp_path):
    return GitLab(tmp_path, FILES)


def release(cooper, lab, *args, **kw):
    result = cooper("release", "web", "--json", "--progress", "plain", *args, cwd=lab.repo, **kw)
    return json.loads(result.out) if result.code == 0 else result


def tags(cooper, lab, *args):
    listed = json.loads(cooper("list", "--json", *args, cwd=lab.repo).out)
    assert [one["container"] for one in listed] == ["web"]
    return {tag["tag"]: tag for tag in listed[0]["tags"]}


@pytest.mark.sanitize
def test_release_and_list(cooper, lab):
    plan = release(cooper, lab, "--dry-run")
    tag = f"v1.2.3-{lab.first[:7]}"
    assert plan["commit"] == lab.first
    assert plan["jobs"] == [{"kind": "dockerfile", "version": "1.2.3", "tag": tag, "reference": f"127.0.0.1:5000/lab/web:{tag}", "runner": "k8s"}]
    assert tags(cooper, lab) == {}
    first = release(cooper, lab)["jobs"][0]
    assert "already" not in first
    again = release(cooper, lab)["jobs"][0]
    assert again["already"] and again["digest"] == first["digest"]
    one = tags(cooper, lab)[tag]
    assert (one["provenance"], one["revision"], one["digest"], one["created"]) == ("main", lab.first, first["digest"], WHEN)
    assert one["size"] > 0


def test_labels_and_pull(cooper, lab, tmp_path):
    lab.git("remote", "set-url", "--push", "origin", tmp_path / "origin.git")
    lab.git("config", "remote.origin.url", "https://me:secret@forge.example/me/lab.git")
    digest = release(cooper, lab)["jobs"][0]["digest"]
    with cooper.serving() as address:
        image = f"docker://{address}/lab/web:v1.2.3-{lab.first[:7]}"
        raw = subprocess.run(["skopeo", "inspect", "--tls-verify=false", image], check=True, capture_output=True, text=True).stdout
    seen = json.loads(raw)
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in seen["Labels"].items()}
    assert labels.pop("dev.cooper.inputs").startswith("sha256:")
    assert labels == {"title": "web", "version": "1.2.3", "revision": lab.first, "source": "https://forge.example/me/lab", "created": WHEN}
    assert seen["Digest"] == digest
    assert seen["Created"] == WHEN
    assert "secret" not in raw


def test_the_commit_is_built_not_the_work_tree(cooper, lab):
    clean = release(cooper, lab)["jobs"][0]
    lab.write("containers/web/page", "changed\n")
    refused = release(cooper, lab, code=1)
    assert "changes that are not committed: containers/web/page" in refused.err
    assert "--force" in refused.err
    assert release(cooper, lab, "--ref", "HEAD")["jobs"][0]["digest"] == clean["digest"]
    forced = release(cooper, lab, "--force")["jobs"][0]
    assert forced["tag"].startswith(f"v1.2.3-{lab.first[:7]}-dirty-")
    assert forced["digest"] != clean["digest"]
    shown = tags(cooper, lab)
    assert shown[forced["tag"]]["provenance"] == "unknown"
    assert "not committed" in shown[forced["tag"]]["reason"]
    assert shown[clean["tag"]]["provenance"] == "main"


def test_unpushed(cooper, lab):
    second = lab.commit("second", push=False)
    refused = release(cooper, lab, code=1)
    assert "is on no branch of a remote" in refused.err and "git push" in refused.err
    assert release(cooper, lab, "--ref", "HEAD~1")["commit"] == lab.first
    forced = release(cooper, lab, "--force")
    tag = f"v1.2.3-{second[:7]}-unpushed"
    assert forced["unpushed"] and forced["jobs"][0]["tag"] == tag
    lab.git("push", "-q", "origin", "HEAD")
    shown = tags(cooper, lab)[tag]
    assert shown["provenance"] == "unknown" and "not pushed" in shown["reason"]
    assert release(cooper, lab)["jobs"][0]["tag"] == f"v1.2.3-{second[:7]}"


def test_branch_merge_and_squash(cooper, lab):
    lab.git("switch", "-q", "-c", "topic")
    lab.write("containers/web/page", "topic\n")
    topic = lab.commit("topic")
    tag = release(cooper, lab)["jobs"][0]["tag"]
    lab.git("switch", "-q", "main")
    assert tags(cooper, lab)[tag]["provenance"] == "branch"
    lab.git("merge", "-q", "--squash", "topic")
    squashed = lab.commit("squashed")
    main_tag = release(cooper, lab)["jobs"][0]["tag"]
    assert main_tag == f"v1.2.3-{squashed[:7]}"
    shown = tags(cooper, lab)
    assert (shown[tag]["provenance"], shown[main_tag]["provenance"]) == ("branch", "main")
    lab.git("branch", "-q", "-D", "topic")
    lab.git("push", "-q", "origin", "--delete", "topic")
    lab.git("reflog", "expire", "--expire=now", "--all")
    lab.git("gc", "-q", "--prune=now")
    gone = tags(cooper, lab)[tag]
    assert gone["provenance"] == "unknown" and gone["reason"] and gone["revision"] == topic


def test_another_content_under_the_tag_is_refused(cooper, lab):
    first = release(cooper, lab)["jobs"][0]
    lab.write("containers/web/Dockerfile", "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\nRUN head -c 8 /dev/urandom > /random\n")
    lab.commit("not reproducible")
    one = release(cooper, lab)["jobs"][0]
    refused = release(cooper, lab, "--no-cache", code=1)
    assert "stays as it is" in refused.err and "--twice" in refused.err
    shown = tags(cooper, lab)
    assert shown[one["tag"]]["digest"] == one["digest"] and shown[first["tag"]]["digest"] == first["digest"]


def test_two_clones_give_one_image(cooper, lab, tmp_path, busybox_tar):
    first = release(cooper, lab)["jobs"][0]
    lab.git("clone", "-q", tmp_path / "origin.git", tmp_path / "deep" / "elsewhere", cwd=tmp_path)
    shutil.rmtree(lab.repo)
    lab.repo = tmp_path / "deep" / "elsewhere"
    cooper.home = cooper.home.with_name("another-home")
    cooper.env["COOPER_HOME"] = str(cooper.home)
    cooper("image", "import", busybox_tar, "--name", "busybox:latest")
    second = release(cooper, lab)["jobs"][0]
    assert second["digest"] == first["digest"]
    assert second["inputs"] == first["inputs"]


def test_foreign_registry(cooper, lab, docker_registry):
    lab.write("cooper.yaml", f"registry: {docker_registry}\nnamespace: team/lab\n")
    lab.commit("settings")
    one = release(cooper, lab)["jobs"][0]
    assert one["reference"].startswith(f"{docker_registry}/team/lab/web:v1.2.3-")
    again = release(cooper, lab)["jobs"][0]
    assert again["already"]
    shown = tags(cooper, lab)[one["tag"]]
    assert (shown["provenance"], shown["digest"]) == ("main", one["digest"])


def test_what_is_wrong_is_said(cooper, lab):
    said = cooper("release", "wbe", cwd=lab.repo, code=1).err
    assert 'no container "wbe"' in said and 'did you mean "web"' in said
    lab.write("containers/web/Dockerfile", "ARG CONTAINER_APP_VERSION=1.0+2\nFROM busybox\n")
    lab.write("cooper.yaml", "namespce: lab\n")
    lab.commit("broken")
    said = cooper("release", "web", cwd=lab.repo, code=1).err
    assert 'unknown key "namespce"' in said and 'did you mean "namespace"' in said
    lab.write("cooper.yaml", "")
    lab.write("containers/web/default.nix", '{ version = "1"; }\n')
    lab.commit("settings")
    assert 'containers/web/Dockerfile:1: version "1.0+2": "+" cannot stand in a tag' in cooper("release", "web", cwd=lab.repo, code=1).err
    lab.write("containers/web/Dockerfile", "ARG CONTAINER_APP_VERSION=1.0\nFROM busybox\nRUN echo why it failed; exit 7\n")
    lab.commit("fails")
    said = cooper("release", "web", "--progress", "plain", cwd=lab.repo, code=1)
    assert "why it failed" in said.out + said.err
    assert "failed     nix: " in said.out


@pytest.mark.parametrize("command", ["list", "version"])
def test_folders_that_are_no_container_are_named(cooper, lab, command):
    lab.write("containers/UPPER/Dockerfile", "ARG CONTAINER_APP_VERSION=1\nFROM busybox\n")
    said = cooper(command, "--json", cwd=lab.repo)
    assert [one["container"] for one in json.loads(said.out)] == ["web"]
    assert said.err.splitlines() == [
        'warning: containers/UPPER/: skipped: "UPPER" cannot be the name of an image (lower case letters and digits, with . _ or - between)',
        "warning: containers/helper/: skipped: no container.py, Dockerfile or default.nix in it",
    ]
    assert "skipped" not in cooper(command, cwd=lab.repo).out
    assert cooper(command, "web", cwd=lab.repo).err == ""


def test_what_is_released_is_an_image_of_the_store(cooper, lab, context, tmp_path):
    job = release(cooper, lab)["jobs"][0]
    image, digest = job["reference"], job["digest"]
    listed = {one["name"]: one for one in json.loads(cooper("image", "ls", "--json").out)}
    assert (listed[image]["digest"], listed[image]["origin"]) == (digest, "published") and "created" not in listed[image]
    assert json.loads(cooper("image", "inspect", image).out)["digest"] == digest
    assert json.loads(cooper("image", "inspect", image.split(":v")[0] + "@" + digest).out)["digest"] == digest
    cooper("image", "copy", image, f"oci-archive:{tmp_path}/image.tar")
    for source in (image, image.replace("127.0.0.1", "localhost")):
        ctx = context({"Dockerfile": f"FROM {source}\nRUN cat /srv/copy > /again\n"})
        cooper.build(ctx, "--offline", "-t", "demo/on-released:1")
        assert cooper.files("demo/on-released:1")["again"].data == b"hello\n"
    assert "is published" in cooper("image", "rm", image, code=1).err
    # a name that was set comes first, once
    cooper("image", "copy", "store:demo/on-released:1", f"store:{image}")
    names = [one["name"] for one in json.loads(cooper("image", "ls", "--json").out)]
    assert names.count(image) == 1 and names == sorted(names)
    assert json.loads(cooper("image", "inspect", image).out)["digest"] != digest
    missing = cooper("build", context({"Dockerfile": "FROM 127.0.0.1:5000/lab/web:none\n"}), "--offline", code=1)
    assert "--offline" in missing.err
