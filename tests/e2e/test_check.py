# SPDX-License-Identifier: Apache-2.0
"""cooper check: what the manifests pin exists and comes from main, versions agree; what is looked at; what registries answer."""

import json
import os
import subprocess

import jsonschema
import pytest
from conftest import BIN, free_port
from git_lab import GitLab
from scripted_registry import Answer, scripted_registry, there

DOCKERFILE = "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\nCOPY page /srv/page\n"
KUSTOMIZATION = "argocd/manifests/web/kustomization.yaml"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def entry(image, tag=None, digest=None):
    lines = [f"  - name: {image}\n"] + ([f"    newTag: {tag}\n"] if tag else []) + ([f"    digest: {digest}\n"] if digest else [])
    return "images:\n" + "".join(lines)


@pytest.fixture
def lab(tmp_path):
    return GitLab(tmp_path, {"containers/web/Dockerfile": DOCKERFILE, "containers/web/page": "hello\n", "argocd/manifests/web/service.yaml": "kind: Service\n"})


class Checked:
    def __init__(self, result):
        self.result, self.code = result, result.code
        doc = json.loads(result.out)
        assert set(doc) == {"pins", "violations"}
        self.pins, self.violations = doc["pins"], doc["violations"]
        for pin in self.pins:
            assert list(pin) == ["file", "line", "form", "image", "tag", "digest", "provenance", "reason", "commit", "registry"]
            assert (pin["provenance"] == "unknown") == (pin["reason"] is not None) == (pin["commit"] is None)

    def rules(self, level=None):
        return sorted(v["rule"] for v in self.violations if level in (None, v["level"]))

    def message(self, rule):
        (found,) = [v for v in self.violations if v["rule"] == rule]
        return found["message"]


def check(cooper, lab, *args, code=None, **kw):
    got = Checked(cooper("check", "--format", "json", *args, cwd=lab.repo, code=code, **kw))
    assert got.code == (3 if got.rules("error") else 0), got.result
    return got


def use(lab, registry):
    lab.write("cooper.yaml", f"registry: {registry}\nnamespace: team\n")


# ---- the whole way, with the embedded registry ----


@pytest.mark.sanitize
def test_from_main_and_from_a_branch(cooper, lab):
    image = "127.0.0.1:5000/lab/web"

    def release():
        return json.loads(cooper("release", "web", "--json", "--progress", "plain", cwd=lab.repo).out)["jobs"][0]

    job = release()
    lab.write(KUSTOMIZATION, entry(image, job["tag"]))
    main = lab.commit("pin")
    got = check(cooper, lab, code=0)
    assert got.violations == []
    assert got.pins == [
        {"file": KUSTOMIZATION, "line": 3, "form": "kustomization", "image": image, "tag": job["tag"], "digest": None}
        | {"provenance": "main", "reason": None, "commit": lab.first, "registry": "ok"}
    ]
    lab.git("switch", "-q", "-c", "topic")
    lab.write("containers/web/page", "topic\n")
    topic = lab.commit("topic")
    tag = release()["tag"]
    lab.write(KUSTOMIZATION, entry(image, tag))
    lab.commit("pin the branch")
    got = check(cooper, lab, code=3)
    assert got.rules() == ["not-from-main"] and "not on origin/main" in got.message("not-from-main")
    assert (got.pins[0]["provenance"], got.pins[0]["commit"], got.pins[0]["registry"]) == ("branch", topic, "ok")
    lab.git("switch", "-q", "main")
    lab.git("merge", "-q", "--squash", "topic")
    lab.commit("squashed")
    assert check(cooper, lab, code=3).rules() == ["not-from-main"]
    lab.git("branch", "-q", "-D", "topic")
    lab.git("push", "-q", "origin", "--delete", "topic")
    lab.git("reflog", "expire", "--expire=now", "--all")
    lab.git("gc", "-q", "--prune=now")
    got = check(cooper, lab, code=0)
    assert got.rules("warning") == ["unknown-commit"] and "its branch is gone" in got.pins[0]["reason"]
    assert check(cooper, lab, "--strict", code=3).rules("error") == ["unknown-commit"]
    lab.git("push", "-q", "origin", f"{main}:refs/heads/old")
    # by digest: the label of the image says which commit
    lab.write(KUSTOMIZATION, entry(image, digest=job["digest"]))
    got = check(cooper, lab, code=0)
    assert (got.pins[0]["tag"], got.pins[0]["digest"], got.pins[0]["provenance"]) == (None, job["digest"], "main")
    assert got.violations == []
    assert check(cooper, lab, "--offline", code=0).pins[0]["provenance"] == "unknown"
    lab.write(KUSTOMIZATION, entry(image, digest=A))
    assert check(cooper, lab, code=3).rules("error") == ["not-in-registry"]
    lab.write("argocd/manifests/web/d.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: {image}:{job['tag']}@{job['digest']}\n    - image: {image}:{job['tag']}@{A}\n")
    lab.write(KUSTOMIZATION, "")
    assert check(cooper, lab, code=3).rules("error") == ["digest-differs"]


def test_pins_of_every_form(cooper, lab):
    use(lab, "reg.example")
    image, tag = "reg.example/team/web", f"v1.2.3-{lab.first[:7]}"
    lab.write(KUSTOMIZATION, entry(image, tag))
    lab.write(
        "argocd/manifests/forms/all.yaml",
        f"apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - image: {image}:{tag}\n"
        f"          env:\n            - name: RUNNER\n              value: k8s:docker://{image}:{tag}\n---\n"
        f"apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec:\n  imageName: {image}:{tag}\n",
    )
    lab.write("argocd/manifests/forms/values.yaml", f"image:\n  repository: {image}\n  tag: {tag}\n")
    got = check(cooper, lab, "--offline", code=0)
    assert sorted((pin["form"], pin["registry"], pin["provenance"]) for pin in got.pins) == [(form, "unverified", "main") for form in ("crd", "env", "helm", "image", "kustomization")]
    assert got.violations == []


# ---- registries ----


@pytest.fixture
def registry():
    with scripted_registry() as r:
        yield r


def pin_all(lab, registry, *refs):
    """One pin for each "name:tag", "name@digest" or both."""
    use(lab, registry)
    lab.write("argocd/manifests/web/pod.yaml", "kind: Pod\nspec:\n  containers:\n" + "".join(f"    - image: {registry}/team/{ref}\n" for ref in refs))


def answers(registry, other):
    body = b'{"schemaVersion": 2}' * 50
    return {
        "ok": (there(), "ok", None),
        "missing": (Answer(404), "missing", ": not in registry"),
        "denied": (Answer(401), "unverified", ": could not verify (HTTP 401)"),
        "forbidden": (Answer(403), "unverified", ": could not verify (HTTP 403)"),
        "broken": (Answer(500), "unverified", ": could not verify (HTTP 500)"),
        "elsewhere": (Answer(307, {"Location": f"http://{other.address}/v2/team/web/manifests/ok"}), "unverified", "HTTP 307: a redirect to http://" + other.address),
        "moved": (Answer(308, {"Location": f"http://{registry.address}/v2/team/web/manifests/ok"}), "ok", None),
        "body": (Answer(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, body), "ok", None),
        "page": (Answer(200, {"Content-Type": "text/html"}), "unverified", "a page of HTML"),
    }


@pytest.mark.sanitize
def test_what_registries_answer(cooper, lab, registry):
    with scripted_registry() as other:
        cases = answers(registry, other)
        registry.answers = {f"v1-{name}": case[0] for name, case in cases.items()} | {"ok": there()}
        pin_all(lab, registry.address, *[f"web:v1-{name}" for name in cases])
        got = check(cooper, lab, code=3)
        states = {pin["tag"].removeprefix("v1-"): pin["registry"] for pin in got.pins}
        assert states == {name: case[1] for name, case in cases.items()}
        for name, (_, state, words) in cases.items():
            said = [v for v in got.violations if f":v1-{name}:" in v["message"] and v["level"] == "error"]
            assert len(said) == (words is not None), (name, got.result)
            if words:
                assert words in said[0]["message"] and said[0]["rule"] == ("not-in-registry" if state == "missing" else "could-not-verify")
        assert other.seen == []
        assert registry.asked(":") == [] and len(registry.asked("HEAD /v2/team/web/manifests/v1-broken")) == 2
        for kind in ("oci.image.manifest.v1", "oci.image.index.v1", "docker.distribution.manifest.v2", "docker.distribution.manifest.list.v2"):
            assert kind in registry.accept
    shown = cooper("check", cwd=lab.repo, code=3)
    assert "web:v1-denied: could not verify (HTTP 401) [could-not-verify]" in shown.out and "cooper login" in shown.out
    assert "the check found" in shown.err


def test_a_body_with_head_does_not_spoil_what_comes_next(cooper, lab, registry):
    """It arrives when its connection is in use again, and is no answer to that."""
    answer = there()
    answer.body = b'{"schemaVersion": 2}' * 50
    registry.answers = {f"v{i}": answer for i in range(300)}
    pin_all(lab, registry.address, *[f"web:v{i}" for i in range(300)])
    got = check(cooper, lab, code=0)
    assert [pin["registry"] for pin in got.pins] == ["ok"] * 300 and "could-not-verify" not in got.rules()


def test_nothing_listens(cooper, lab):
    gone = f"127.0.0.1:{free_port()}"
    pin_all(lab, gone, "web:v1.0-1234567", "api:v1.0-1234567")
    got = check(cooper, lab, code=3)
    assert got.rules("error") == ["could-not-verify"] * 2
    assert all("could not verify (network: " in v["message"] and gone in v["message"] for v in got.violations if v["level"] == "error")
    assert check(cooper, lab, "--offline", code=0).rules("error") == []


def test_digests(cooper, lab, registry):
    registry.answers = {"v1": there(A), "v2": there(B), "v3": there(), A: there(A), B: there(A)}
    pin_all(lab, registry.address, f"web:v1@{A}", f"web:v2@{A}", f"web:v3@{A}", f"web@{A}", f"web@{B}")
    got = check(cooper, lab, code=3)
    assert got.rules("error") == ["digest-differs"] * 3
    wrong = sorted(v["message"] for v in got.violations if v["rule"] == "digest-differs")
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [f"the registry has {d}, but {p} is pinned" in text for text, d, p in zip(wrong, (B, empty, A), (A, A, B))] == [True] * 3, wrong


HOSTILE = ["web:v1/../../x", "web:v1?x=1", "web:v1#x", "web:v 1", 'web:"v1"', "../web:v1", "web//x:v1", "WEB:v1", "we%62:v1", "web:v1@sha256:12", f"web:v1@sha512:{'a' * 128}", "web:" + "v" * 129, "web@v1", "web:v1@x"]


@pytest.mark.sanitize
def test_what_is_no_name_is_not_asked_for(cooper, lab, registry):
    use(lab, registry.address)
    pods = "".join(f"    - image: '{registry.address}/team/{ref}'\n" for ref in HOSTILE)
    lab.write("argocd/manifests/web/pod.yaml", "kind: Pod\nspec:\n  containers:\n" + pods + f"    - image: {registry.address}/other/web:v1\n    - image: docker.io/library/busybox:1\n")
    lab.write(KUSTOMIZATION, f"images:\n  - name: x\n    newName: [{registry.address}/team/web]\n    newTag: v1\n  - name: {registry.address}/team/n\n    newTag: 1.37\n")
    lab.write("argocd/manifests/bad/x.yaml", "a: [1\n")
    lab.write("argocd/manifests/bad/none.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: {registry.address}/team/web\n")
    got = check(cooper, lab, code=3)
    bad = [v for v in got.violations if v["rule"] == "invalid-pin"]
    assert {v["line"] for v in bad if v["file"].endswith("pod.yaml")} == set(range(4, 4 + len(HOSTILE))), got.result
    assert [v["line"] for v in bad if v["file"] == KUSTOMIZATION] == [6]
    assert [(v["file"], v["line"]) for v in got.violations if v["rule"] == "manifest"] == [("argocd/manifests/bad/x.yaml", 2), (KUSTOMIZATION, 3)]
    assert got.rules().count("no-tag") == 1
    assert all(pin["registry"] == "unverified" for pin in got.pins)
    assert registry.seen == []


def test_each_reference_is_asked_for_once(cooper, lab, registry):
    tags = [f"v{i}.0-{lab.first[:7]}" for i in range(30)]
    registry.answers = {tag: there(A) for tag in tags}
    pin_all(lab, registry.address, *[f"web:{tag}" for tag in tags * 2], *[f"web:{tag}@{A}" for tag in tags])
    got = check(cooper, lab, code=0)
    assert len(got.pins) == 90 and all(pin["registry"] == "ok" for pin in got.pins)
    assert sorted(registry.asked()) == sorted(f"HEAD /v2/team/web/manifests/{tag}" for tag in tags)


def test_docker_registry_with_credentials(cooper, lab, closed_registry, tmp_path):
    cooper.env = {**cooper.env, "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    tag = f"v1.2.3-{lab.first[:7]}"
    pin_all(lab, closed_registry, f"web:{tag}", "web:v1.2.3-0000000")
    got = check(cooper, lab, code=3)
    assert got.rules("error") == ["could-not-verify"] * 2 and "HTTP 401" in got.violations[0]["message"]
    cooper("login", closed_registry, "-u", "dev", "--password-stdin", input="s3cret\n")
    cooper("image", "copy", "store:busybox:latest", f"docker://{closed_registry}/team/web:{tag}")
    digest = json.loads(cooper("image", "inspect", "busybox:latest").out)["digest"]
    got = check(cooper, lab, code=3)
    assert [pin["registry"] for pin in got.pins] == ["ok", "missing"] and got.rules("error") == ["not-in-registry"]
    pin_all(lab, closed_registry, f"web:{tag}@{digest}", f"web@{digest}")
    got = check(cooper, lab, code=0)
    # the image has no label, so that of the second is not known
    assert [(pin["registry"], pin["provenance"]) for pin in got.pins] == [("ok", "main"), ("ok", "unknown")]
    pin_all(lab, closed_registry, f"web:{tag}@{A}")
    assert check(cooper, lab, code=3).rules() == ["digest-differs"]


# ---- what else is found ----


def test_sentinels_and_two_tags(cooper, lab):
    use(lab, "reg.example")
    image = "reg.example/team/web"
    lab.write("argocd/manifests/web/d.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: {image}:kustomized\n")
    lab.write(KUSTOMIZATION, "resources: [d.yaml]\n" + entry(image, f"v1-{lab.first[:7]}"))
    assert check(cooper, lab, "--offline", code=0).violations == []
    lab.write("argocd/manifests/other/d.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: {image}:v2-{lab.first[:7]}\n")
    got = check(cooper, lab, "--offline", code=0)
    assert got.rules("warning") == ["two-tags"]
    assert f"v2-{lab.first[:7]} (argocd/manifests/other/d.yaml:4), v1-{lab.first[:7]} ({KUSTOMIZATION}:4)" in got.message("two-tags")
    lab.commit("two")
    lab.git("switch", "-q", "-c", "topic")
    lab.write(KUSTOMIZATION, "resources: [d.yaml]\n")
    got = check(cooper, lab, "--offline", code=3)
    assert got.rules() == ["sentinel-without-entry"]
    assert (got.violations[0]["file"], got.violations[0]["line"]) == ("argocd/manifests/web/d.yaml", 4)


def test_an_entry_that_another_service_needed(cooper, lab):
    use(lab, "reg.example")
    image = "reg.example/team/web"
    lab.write("argocd/manifests/base/d.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: {image}:kustomized\n")
    lab.write("argocd/manifests/base/kustomization.yaml", "resources: [d.yaml]\n")
    lab.write(KUSTOMIZATION, "resources: [../base]\n" + entry(image, f"v1-{lab.first[:7]}"))
    lab.commit("base")
    lab.git("switch", "-q", "-c", "topic")
    lab.write("containers/web/page", "other\n")
    lab.commit("topic", push=False)
    assert check(cooper, lab, "--offline", code=0).violations == []
    lab.write(KUSTOMIZATION, "resources: [../base]\n")
    got = check(cooper, lab, "--offline", code=3)
    assert got.rules() == ["sentinel-without-entry"] and got.violations[0]["file"] == "argocd/manifests/base/d.yaml"


def test_a_pin_that_cannot_be_changed_is_still_checked(cooper, lab, registry):
    use(lab, registry.address)
    tag = f"v1-{lab.first[:7]}"
    lab.write("argocd/manifests/web/d.yaml", f"kind: Pod\nspec:\n  containers:\n    - image: &web {registry.address}/team/web:{tag}\n    - image: *web\n")
    got = check(cooper, lab, code=3)
    assert got.rules() == ["fixed-pin"] * 2 + ["not-in-registry"] * 2
    registry.answers = {tag: there()}
    assert check(cooper, lab, code=0).rules() == ["fixed-pin"] * 2


@pytest.mark.sanitize
def test_versions(cooper, lab):
    use(lab, "reg.example")

    def of(path, text):
        lab.write(f"containers/{path}", text)

    of("both/Dockerfile", "ARG CONTAINER_APP_VERSION=1.10\nFROM x\n")
    of("both/default.nix", '{\n  version = "v1.10";\n}\n')
    of("differ/Dockerfile", "ARG CONTAINER_APP_VERSION=1.10\nFROM x\n")
    of("differ/default.nix", '{\n  version = "1.1";\n}\n')
    of("nixless/container.py", 'VERSION = "3"\n')
    of("nixless/default.nix", "{ inherit version; }\n")
    of("none/Dockerfile", "ARG CONTAINER_APP_VERSION\nFROM x\n")
    of("computed/container.py", "#\nVERSION = BASE + '.1'\n")
    of("helper/notes.txt", "no build file\n")
    got = check(cooper, lab, "--offline", code=3)
    assert [(v["file"], v["line"], v["rule"]) for v in got.violations] == [
        ("containers/computed/container.py", 2, "no-version"),
        ("containers/differ/default.nix", None, "versions-differ"),
        ("containers/helper/", None, "no-build-file"),
        ("containers/none/Dockerfile", None, "no-version"),
    ]
    assert got.message("versions-differ") == "differ: version 1.1 in default.nix, but 1.10 in Dockerfile"
    table = [line.split(maxsplit=3) for line in cooper("check", "--offline", cwd=lab.repo, code=3).out.splitlines()]
    assert ["both", "dockerfile+nix", "OK", "Dockerfile 1.10, default.nix v1.10"] in table
    assert ["nixless", "container.py+nix", "OK", "container.py 3"] in table and ["none", "dockerfile", "FAIL", "Dockerfile -"] in table


@pytest.mark.sanitize
def test_service_versions(cooper, lab):
    use(lab, "reg.example")
    for name, version in (("a", "18.4"), ("b", "1.10"), ("c", "2"), ("d", "v3"), ("tools", "9")):
        lab.write(f"containers/{name}/Dockerfile", f"ARG CONTAINER_APP_VERSION={version}\nFROM x\n")

    def services(text):
        lab.write("service-versions.yaml", text)
        return check(cooper, lab, "--offline")

    fine = "services:\n  - {name: a, current-version: 18.4}\n  - {name: b, current-version: 1.10}\n  - {name: see, current-version: '2'}\n  - {name: d, current-version: 3}\n  - {name: web, current-version: 1.2.3}\ncontainer-names: {c: see}\nexempt-containers: [tools]\n"
    assert services(fine).violations == []
    got = services(fine.replace("1.10}", "1.1}").replace("'2'", "~").replace("name: d", "name: e"))
    assert [(v["rule"], v["line"], v["message"]) for v in got.violations] == [
        ("service-version", None, "d: there is no service of that name"),
        ("versions-differ", 3, "b: version 1.1 in service-versions.yaml, but 1.10 in Dockerfile"),
        ("service-version", 4, "c: service see has no current-version"),
    ]
    assert got.code == 3 and all(v["file"] == "service-versions.yaml" for v in got.violations)
    assert [(v["rule"], v["line"]) for v in services("services:\n  - name: a\n   x: [\n").violations] == [("service-version", 3)]


# ---- what is looked at ----


@pytest.fixture
def wide(lab):
    """Two services with a pin each, and a second container, all on main."""
    use(lab, "reg.example")
    for name in ("web", "api"):
        lab.write(f"argocd/manifests/{name}/kustomization.yaml", entry(f"reg.example/team/{name}", f"v1-{lab.first[:7]}"))
    lab.write("containers/api/Dockerfile", "ARG CONTAINER_APP_VERSION=1\nFROM x\n")
    lab.write("argocd/manifests/loose.yaml", "kind: Pod\nspec:\n  containers:\n    - image: reg.example/team/web:v1-" + lab.first[:7] + "\n")
    lab.commit("wide")
    return lab


def looked_at(cooper, lab, *args, **kw):
    """What of the pins, and how cooper calls it."""
    files = {pin["file"].removeprefix("argocd/manifests/").split("/")[0] for pin in check(cooper, lab, "--offline", *args, **kw).pins}
    (line,) = [one for one in cooper("check", "--offline", *args, cwd=lab.repo, **kw).out.splitlines() if one.startswith("looked at ")]
    return files, line.removeprefix("looked at ").rsplit(": ", 1)[0]


EVERYTHING = {"web", "api", "loose.yaml"}


@pytest.mark.sanitize
def test_what_changed_is_looked_at(cooper, wide):
    base = wide.git("rev-parse", "HEAD")
    assert looked_at(cooper, wide) == (EVERYTHING, "everything: HEAD is on origin/main")
    wide.git("switch", "-q", "-c", "topic")
    wide.commit("nothing", push=False)
    since = f"what changed since origin/main ({base[:7]})"
    assert looked_at(cooper, wide) == (set(), since)
    assert looked_at(cooper, wide, "--all") == (EVERYTHING, "everything: as asked")
    wide.write("argocd/manifests/web/new.txt", "untracked\n")
    assert looked_at(cooper, wide) == ({"web"}, since)
    (wide.repo / "argocd/manifests/web/new.txt").unlink()
    (wide.repo / "argocd/manifests/api/kustomization.yaml").write_text("# gone\n")
    wide.write("argocd/manifests/api/d.yaml", "kind: Pod\nspec:\n  containers:\n    - image: reg.example/team/api:v1-" + wide.first[:7] + "\n")
    wide.commit("api", push=False)
    assert looked_at(cooper, wide)[0] == {"api"}
    wide.write("argocd/manifests/loose.yaml", (wide.repo / "argocd/manifests/loose.yaml").read_text() + "# changed\n")
    assert looked_at(cooper, wide)[0] == {"api", "loose.yaml"}
    # only what this branch did counts
    wide.git("stash", "-q")
    wide.git("switch", "-q", "main")
    wide.write("argocd/manifests/web/x.yaml", "a: 1\n")
    wide.commit("web on main")
    wide.git("switch", "-q", "topic")
    assert looked_at(cooper, wide) == ({"api"}, since)
    assert looked_at(cooper, wide, "--base", "HEAD")[0] == set()
    assert looked_at(cooper, wide, "--base", "HEAD~1")[0] == {"api"}
    for path, text in (("cooper.yaml", "registry: reg.example\nnamespace: team\nhelpers: []\n"), ("service-versions.yaml", "exempt-containers: [api, web]\n")):
        before = (wide.repo / path).read_text() if (wide.repo / path).exists() else None
        wide.write(path, text)
        assert looked_at(cooper, wide) == (EVERYTHING, f"everything: {path} changed")
        (wide.repo / path).unlink() if before is None else wide.write(path, before)


def test_a_sparse_checkout_is_no_excuse(cooper, wide):
    wide.git("sparse-checkout", "set", "argocd/manifests/web", "containers")
    got = check(cooper, wide, "--offline", "--all", code=3)
    assert got.rules("error") == ["manifest"] and got.violations[0]["file"] == "argocd/manifests/api/kustomization.yaml"
    assert "git sparse-checkout add argocd/manifests" in got.message("manifest")
    wide.git("sparse-checkout", "disable")
    assert check(cooper, wide, "--offline", "--all", code=0).rules("error") == []


def test_containers_that_changed_are_looked_at(cooper, wide):
    wide.git("switch", "-q", "-c", "topic")
    wide.write("containers/web/Dockerfile", "FROM x\n")
    wide.write("containers/api/Dockerfile", "FROM x\n")
    wide.git("add", "containers/web")
    wide.git("commit", "-qm", "web")
    wide.git("stash", "-q")
    assert [v["file"] for v in check(cooper, wide, "--offline", code=3).violations] == ["containers/web/Dockerfile"]


def test_in_a_pull_request(cooper, wide, tmp_path):
    base = wide.git("rev-parse", "HEAD")
    wide.git("switch", "-q", "-c", "topic")
    wide.write("argocd/manifests/web/x.yaml", "a: 1\n")
    wide.commit("topic")

    def seen(name, where=wide):
        return looked_at(cooper, where, env={"GITHUB_BASE_REF": name})

    assert seen("main") == ({"web"}, f"what changed since origin/main ({base[:7]})")
    assert seen("nope") == (EVERYTHING, "everything: branch nope was not fetched")
    for evil in ("--upload-pack=x", "../../x", "main@{1}", "a b", "main^", ":/x", "x.lock"):
        assert seen(evil) == (EVERYTHING, "everything: GITHUB_BASE_REF is no name of a branch")
    assert seen("topic") == (EVERYTHING, "everything: HEAD is on origin/topic")
    # a forge fetches the tips alone
    class Shallow:
        repo = tmp_path / "shallow"

    wide.git("clone", "-q", "--depth", "1", "--no-single-branch", "-b", "topic", f"file://{tmp_path}/origin.git", Shallow.repo)
    assert seen("main", Shallow) == ({"web"}, f"what changed since origin/main ({base[:7]})")
    got = check(cooper, Shallow, "--offline", "--all", code=0)
    assert all("the clone is shallow" in pin["reason"] for pin in got.pins) and got.rules("warning") == ["unknown-commit"] * 3


def test_a_hook_before_a_commit(cooper, wide):
    hook = wide.repo / ".git/hooks/pre-commit"
    hook.write_text(f'#!/bin/sh\nexec "{BIN}" check --offline --base HEAD\n')
    hook.chmod(0o755)
    wide.env = {**cooper.env, **wide.env}
    wide.write("argocd/manifests/web/kustomization.yaml", entry("reg.example/team/web", "v1-1234567"))
    wide.commit("a warning only", push=False)
    wide.write("argocd/manifests/web/kustomization.yaml", entry("reg.example/team/web", "'v1 x'"))
    wide.git("add", "-A")
    run = subprocess.run(["git", "commit", "-m", "no"], cwd=wide.repo, env=wide.env, capture_output=True, text=True)
    assert run.returncode != 0 and "[invalid-pin]" in run.stdout + run.stderr
    assert wide.git("log", "-1", "--format=%s") == "a warning only"


# ---- when it cannot look ----


def test_when_it_cannot_look(cooper, wide, tmp_path):
    def failed(*args, code=1, cwd=wide.repo):
        return cooper("check", "--offline", *args, cwd=cwd, code=code).err

    assert 'no branch, tag or commit "nope"' in failed("--base", "nope")
    assert "exclude each other" in failed("--all", "--base", "main", code=2)
    assert 'did you mean "sarif"' in failed("--format", "sarf", code=2)
    assert "no git repository" in failed(cwd=tmp_path)
    wide.git("remote", "remove", "origin")
    wide.git("branch", "-m", "trunk")
    assert "tried upstream/main, origin/main, main" in failed()
    wide.write("cooper.yaml", "registry: reg.example\nnamespace: team\nmain: trunk\nmanifests: [argo]\n")
    got = check(cooper, wide, "--offline", code=3)
    assert got.rules() == ["no-manifests"] and "no such folder" in got.message("no-manifests") and got.violations[0]["file"] == "argo"
    wide.write("cooper.yaml", "registri: x\n")
    assert 'did you mean "registry"' in failed()


# ---- SARIF ----

MESSAGE = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}, "additionalProperties": False}
# What OASIS SARIF 2.1.0 says of the parts that are used: 3.13 (log), 3.14 (run), 3.18 and 3.19 (tool), 3.27 (result), 3.28 to 3.30 (places), 3.49 (rule).
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {"id": {"type": "string"}, "shortDescription": MESSAGE, "help": MESSAGE},
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "locations"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": MESSAGE,
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation"],
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "additionalProperties": False,
                                                        "properties": {"uri": {"type": "string", "pattern": "^([A-Za-z0-9/._~-]|%[0-9A-F]{2})+$"}, "uriBaseId": {"type": "string"}},
                                                    },
                                                    "region": {"type": "object", "additionalProperties": False, "properties": {"startLine": {"type": "integer", "minimum": 1}}},
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.mark.sanitize
def test_sarif(cooper, lab):
    use(lab, "reg.example")
    jsonschema.Draft7Validator.check_schema(SARIF)
    empty = json.loads(cooper("check", "--offline", "--format", "sarif", cwd=lab.repo).out)
    jsonschema.validate(empty, SARIF)
    assert empty["runs"][0]["results"] == []
    lab.write("argocd/manifests/a b/é:x.yaml", "kind: Pod\nspec:\n  containers:\n    - image: reg.example/team/web:v1-1234567\n    - image: 'reg.example/team/web:v 2'\n")
    lab.write("containers/none/Dockerfile", "FROM x\n")
    plain = check(cooper, lab, "--offline", code=3)
    log = json.loads(cooper("check", "--offline", "--format", "sarif", cwd=lab.repo, code=3).out)
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    assert [(r["ruleId"], r["level"], r["message"]["text"]) for r in run["results"]] == [(v["rule"], v["level"], v["message"]) for v in plain.violations]
    assert all(rules[r["ruleIndex"]] == r["ruleId"] for r in run["results"])
    places = [r["locations"][0]["physicalLocation"] for r in run["results"]]
    assert [(p["artifactLocation"]["uri"], p.get("region")) for p in places] == [
        ("argocd/manifests/a%20b/%C3%A9%3Ax.yaml", {"startLine": 4}),
        ("argocd/manifests/a%20b/%C3%A9%3Ax.yaml", {"startLine": 5}),
        ("containers/none/Dockerfile", None),
    ]


def test_names_cannot_steer_a_terminal(cooper, lab):
    use(lab, "reg.example")
    lab.write("argocd/manifests/web/\x1b[31mred.yaml", "kind: Pod\nspec:\n  containers:\n    - image: \"reg.example/team/web:\\e[0m\"\n")
    said = cooper("check", "--offline", cwd=lab.repo, code=3)
    assert "\x1b" not in said.out + said.err and "?[31mred.yaml:4" in said.out
    assert os.path.exists(lab.repo / "argocd/manifests/web/\x1b[31mred.yaml")
