# SPDX-License-Identifier: Apache-2.0
"""cooper promote: after squash merges, on the embedded registry and a foreign one (container.py: dagger/)."""

import http.server
import json
import shutil
import threading
import urllib.request

import pytest
from conftest import Cooper
from git_lab import GitLab
from nix_lab import ARCHIVE, expression, nix_env
from registry_server import OCI_MANIFEST

DOCKERFILE = "ARG CONTAINER_APP_VERSION=1.2.3\nFROM busybox\nCOPY page /srv/page\nRUN cat /srv/page > /srv/copy\nENV PAGE=/srv/page\n"


def kustomization(image, tag):
    return f"# what runs\nimages:\n  - name: {image}\n    newTag: {tag} # pinned\n"


def deployment(image, tag):
    return f"kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - name: c\n          image: {image}:{tag}\n"


class Lab(GitLab):
    """With containers web and db, and branches that are squashed onto main."""

    def __init__(self, top, cooper, registry=None, settings="", more=None):
        self.image = f"{registry or '127.0.0.1:5000'}/lab"
        self.cooper = cooper
        self.foreign = registry is not None
        self.minutes = 0
        files = {f"containers/{name}/{path}": text for name in ("web", "db") for path, text in (("Dockerfile", DOCKERFILE), ("page", f"{name}\n"))}
        files["cooper.yaml"] = "namespace: lab\n" + (settings or (f"registry: {registry}\n" if registry else ""))
        super().__init__(top, files | (more or {}))

    def commit(self, message, **kw):
        """Each at a time of its own, as in life."""
        self.minutes += 1
        self.env["GIT_COMMITTER_DATE"] = f"2026-01-05T09:{self.minutes:02}:00Z"
        return super().commit(message, **kw)

    def __call__(self, *args, **kw):
        who = {name: value for name, value in self.env.items() if name.startswith("GIT_")}
        return self.cooper(*args, cwd=self.repo, env=who, **kw)

    def release(self, name, *args, cooper=None):
        (job,) = json.loads((cooper or self.cooper)("release", name, "--json", "--progress", "quiet", *args, cwd=self.repo).out)["jobs"]
        return job

    def promote(self, *args, code=0, **kw):
        report = json.loads(self("promote", "--json", "--progress", "plain", *args, code=code, **kw).out)
        assert report["main"].pop("fetched")  # when it was pushed, which is now
        return report

    def branch(self, names=("web",), topic="topic", text="new\n"):
        """A branch that changes the page of each, releases it and pins that. Gives {name: job}."""
        self.git("checkout", "-q", "-b", topic)
        for name in names:
            self.write(f"containers/{name}/page", text)
        self.git("push", "-q", "-u", "origin", topic)
        self.commit(f"{topic}: change")
        jobs = {name: self.release(name) for name in names}
        for name, job in jobs.items():
            self.write(f"argocd/manifests/{name}/kustomization.yaml", kustomization(f"{self.image}/{name}", job["tag"]))
        self.commit(f"{topic}: pin")
        return jobs

    def squash(self, topic="topic", also=None):
        """As a forge does; the branch goes, and so do its commits. Gives main's commit."""
        self.git("checkout", "-q", "main")
        self.git("merge", "-q", "--squash", topic)
        for path, text in (also or {}).items():
            self.write(path, text)
        commit = self.commit(f"{topic} (#1)")
        self.git("push", "-q", "origin", "--delete", topic)
        self.git("branch", "-q", "-D", topic)
        self.git("reflog", "expire", "--expire=now", "--all")
        self.git("gc", "-q", "--prune=now")
        return commit

    def put(self, image, reference):
        """Publish what the store has, whatever it is."""
        if self.foreign:
            self("image", "copy", f"store:{image}", reference)
            return
        with self.cooper.serving() as address:
            self("image", "copy", f"store:{image}", reference.replace("127.0.0.1:5000", address))

    def pins(self, name="web"):
        return (self.repo / f"argocd/manifests/{name}/kustomization.yaml").read_text()

    def layers(self, reference):
        return [layer["digest"] for layer in self.manifest(reference)["layers"]]

    def manifest(self, reference):
        if self.foreign:
            host, _, rest = reference.partition("/")
            repository, _, tag = rest.rpartition(":")
            with urllib.request.urlopen(urllib.request.Request(f"http://{host}/v2/{repository}/manifests/{tag}", headers={"Accept": OCI_MANIFEST})) as answer:
                return json.load(answer)
        return json.loads(self("image", "inspect", "--raw", reference).out)


@pytest.fixture(params=["embedded", "foreign"])
def lab(tmp_path, cooper, request):
    return Lab(tmp_path, cooper, request.getfixturevalue("docker_registry") if request.param == "foreign" else None)


@pytest.fixture
def plain(tmp_path, cooper):
    return Lab(tmp_path, cooper)


@pytest.fixture
def other(tmp_path, busybox_tar):
    """Another machine: a store of its own."""
    made = Cooper(tmp_path / "other")
    made("image", "import", busybox_tar, "--name", "busybox:latest")
    return made


def rebuilt(lab, cooper, commit, name="web"):
    """What a release of the commit gives on another machine that was never asked about the branch."""
    clone = lab.top / "clone"
    if not clone.exists():
        lab.git("clone", "-q", lab.top / "origin.git", clone, cwd=lab.top)
    (job,) = json.loads(cooper("release", name, "--ref", commit, "--json", "--progress", "quiet", cwd=clone).out)["jobs"]
    return job


@pytest.mark.sanitize
def test_a_squash_merge(lab, other, tmp_path):
    job = lab.branch()["web"]
    main = lab.squash()
    old, new = job["tag"], f"v1.2.3-{main[:7]}"
    assert "[same as main]" in lab("list", "web").out
    before = lab.pins()
    # what would be done, and nothing is
    (planned,) = lab.promote("--dry-run")["promotions"]
    assert planned["kind"] == "dockerfile" and planned["action"] == "retag" and planned["tag"] == new and planned["why"] == f"same inputs as {job['tag'][-7:]}, layers unchanged"
    assert lab.pins() == before and lab.git("status", "--porcelain") == ""
    assert new not in lab("list", "web").out
    run = lab("promote", "--commit", "--json", "--progress", "plain")
    report = json.loads(run.out)
    assert f"main is origin/main ({main[:7]}), fetched " in run.err
    (done,) = report["promotions"]
    assert done["published"] and done["digest"] == planned["digest"]
    # nothing ran, and nothing was fetched
    assert "RUN" not in run.err and "COPY" not in run.err, run
    assert lab.pins() == before.replace(old, new)
    assert lab.layers(f"{lab.image}/web:{new}") == lab.layers(f"{lab.image}/web:{old}")
    # one commit, of that file, which says what and why
    assert report["commit"] == lab.git("rev-parse", "HEAD") and lab.git("rev-parse", "HEAD~1") == main
    assert lab.git("show", "--format=", "--name-only") == "argocd/manifests/web/kustomization.yaml"
    message = lab.git("log", "-1", "--format=%B")
    assert message.startswith(f"Promote web to origin/main ({main[:7]})\n\nweb:\n- argocd/manifests/web/kustomization.yaml:4\n  {old} -> {new}\nsame inputs as")
    # and it is what a build of main gives on a machine that never saw the branch
    again = rebuilt(lab, other, main)
    assert again["digest"] == done["digest"] and again.get("already", False) == lab.foreign
    # once more: nothing to do
    assert lab.promote("--commit") == {"main": {"ref": "origin/main", "commit": main}, "from_main": 1, "promotions": [], "left": []}
    assert "nothing to promote: 1 pin is from origin/main" in lab("promote", "--commit").out


def planned(lab, *args, **kw):
    (one,) = lab.promote("--dry-run", *args, **kw)["promotions"]
    return one


def texts(promotion):
    return [reason["text"] for reason in promotion["reasons"]]


def test_main_moved_on(lab, other):
    """What main has is not what the branch was built from: released from main, and the reason is known although the branch is gone."""
    job = lab.branch()["web"]
    main = lab.squash(also={"containers/web/page": "newer\n", "containers/web/Dockerfile": DOCKERFILE.replace("copy\n", "copy2\n")})
    new = f"v1.2.3-{main[:7]}"
    expected = [
        "containers/web/page changed",
        'containers/web/Dockerfile:4: "RUN cat /srv/page > /srv/copy" -> "RUN cat /srv/page > /srv/copy2"',
    ]
    plan = planned(lab)
    assert plan["action"] == "rebuild" and texts(plan) == expected and "digest" not in plan
    run = lab("promote", "--commit", "--progress", "plain")
    assert f"web  built  {new}" in run.out and all(text in run.out for text in expected)
    assert "RUN cat" in run.err
    assert f"newTag: {new} # pinned" in lab.pins()
    message = lab.git("log", "-1", "--format=%B")
    assert f"  {job['tag']} -> {new}\nrebuilt from main: inputs differ from those of {job['tag'][-7:]}\n- containers/web/page changed\n- containers/web/Dockerfile:4" in message
    again = rebuilt(lab, other, main)
    assert lab.layers(f"{lab.image}/web:{new}") != lab.layers(f"{lab.image}/web:{job['tag']}")
    assert again.get("already", False) == lab.foreign


def test_only_what_no_step_reads_differs(plain):
    """Main moved on, too, but not in what the image is made of."""
    plain.branch()
    main = plain.squash(also={"containers/web/notes.md": "x\n", "containers/db/page": "other\n"})
    (done,) = plain.promote()["promotions"]
    assert done["action"] == "retag" and f"v1.2.3-{main[:7]}" in plain.pins()


def test_merge_commits_leave_nothing_to_do(plain):
    job = plain.branch()["web"]
    plain.git("checkout", "-q", "main")
    plain.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
    plain.git("push", "-q", "origin", "main")
    before = plain.git("rev-parse", "HEAD")
    assert plain.promote("--commit") == {"main": {"ref": "origin/main", "commit": before}, "from_main": 1, "promotions": [], "left": []}
    assert job["tag"] in plain.pins() and plain.git("rev-parse", "HEAD") == before


def test_several_pins_and_one_that_fails(plain):
    jobs = plain.branch(("web", "db"))
    plain.write("argocd/manifests/more/deployment.yaml", deployment(f"{plain.image}/web", jobs["web"]["tag"]))
    plain.commit("one more")
    main = plain.squash(also={"containers/db/Dockerfile": DOCKERFILE.replace("FROM", "FORM")})
    db = plain.pins("db")
    run = plain("promote", "--commit", "--json", "--progress", "plain", code=1)
    report = json.loads(run.out)
    by_name = {one["container"]: one for one in report["promotions"]}
    assert [pin["changed"] for pin in by_name["web"]["pins"]] == [True, True] and by_name["web"]["action"] == "retag"
    assert "Dockerfile:2" in by_name["db"]["error"] and "1 pin could not be promoted" in run.err
    assert plain.pins("db") == db and f"v1.2.3-{main[:7]}" in plain.pins("web")
    assert f"web:v1.2.3-{main[:7]}\n" in (plain.repo / "argocd/manifests/more/deployment.yaml").read_text()
    assert plain.git("show", "--format=", "--name-only").split() == ["argocd/manifests/more/deployment.yaml", "argocd/manifests/web/kustomization.yaml"]
    assert "\ndb" not in plain.git("log", "-1", "--format=%B")
    assert plain.git("status", "--porcelain") == ""


def test_digests(plain):
    """With a digest it is the digest that is pulled: it changes with the tag."""
    job = plain.branch()["web"]
    image, digest = f"{plain.image}/web", job["digest"]
    plain.write("argocd/manifests/a/deployment.yaml", deployment(image, f"{job['tag']}@{digest}"))
    plain.write("argocd/manifests/b/kustomization.yaml", f"images:\n  - name: {image}\n    digest: {digest}\n")
    plain.commit("pinned by digest")
    main = plain.squash()
    (done,) = plain.promote()["promotions"]
    assert done["action"] == "retag" and done["digest"] != digest
    assert f"web:v1.2.3-{main[:7]}@{done['digest']}\n" in (plain.repo / "argocd/manifests/a/deployment.yaml").read_text()
    assert f"    digest: {done['digest']}\n" in (plain.repo / "argocd/manifests/b/kustomization.yaml").read_text()
    assert plain.promote()["promotions"] == []
    # a tag and its digest are one image
    plain.commit("promoted")
    assert "pinned at" not in plain("check", "--all").out


def test_a_run_that_was_cut_short_is_completed(lab):
    lab.branch()
    main = lab.squash()
    first = planned(lab)
    lab.promote()
    lab.git("checkout", "-q", "--", ".")  # as if it had died before it changed the pins
    second = planned(lab)
    assert (first["action"], second["action"]) == ("retag", "pin") and second["digest"] == first["digest"] and second["published"]
    assert second["why"] == "released from origin/main already"
    lab.promote("--commit")
    assert f"v1.2.3-{main[:7]}" in lab.pins() and lab.git("log", "-1", "--format=%B").endswith("\nreleased from origin/main already")


def test_what_was_released_from_main_already_is_pinned(plain):
    """Whatever it was made from: it is main's."""
    plain.branch()
    main = plain.squash(also={"containers/web/page": "newer\n"})
    job = plain.release("web", "--ref", main)
    plan = planned(plain)
    assert plan["action"] == "pin" and plan["digest"] == job["digest"]


def test_main_s_tag_on_another_image_is_never_replaced(lab, tmp_path, context):
    lab.branch()
    main = lab.squash()
    taken = f"{lab.image}/web:v1.2.3-{main[:7]}"
    lab.cooper("build", context({"Dockerfile": "FROM busybox\nLABEL org.opencontainers.image.revision=" + "0" * 40 + "\n"}), "--tag", "taken:1")
    lab.put("taken:1", taken)
    before = lab.manifest(taken), lab.pins()
    run = lab("promote", "--json", code=1)
    (one,) = json.loads(run.out)["promotions"]
    assert "is published, but not from" in one["error"] and "never replaced" in one["error"] and not one["published"]
    assert (lab.manifest(taken), lab.pins()) == before


def test_an_image_that_is_gone_or_says_nothing_is_rebuilt(plain):
    image = f"{plain.image}/web"
    plain.write("argocd/manifests/web/kustomization.yaml", kustomization(image, "v1.2.3-0000000"))
    main = plain.commit("pinned to nothing")
    plan = planned(plain)
    assert (plan["action"], plan["why"], plan["reasons"]) == ("rebuild", "the pinned image is not in the registry", [])
    assert plan["pins"][0]["provenance"] == "unknown" and plan["pins"][0]["reason"]
    plain.put("busybox:latest", f"{image}:v1.2.3-0000000")
    assert planned(plain)["why"] == "the pinned image does not say what it was built from"
    plain.promote()
    assert f"v1.2.3-{main[:7]}" in plain.pins()


def test_a_base_image_that_moved(plain, context):
    """Nothing of the repository differs, and yet main would give another image."""
    plain.branch()
    plain.squash()
    plain.cooper("build", context({"Dockerfile": "FROM busybox\nRUN touch /moved\n"}), "--tag", "busybox:latest")
    plan = planned(plain)
    assert plan["action"] == "rebuild"
    (text,) = texts(plan)
    assert text.startswith("base image busybox:latest: sha256:") and " -> sha256:" in text


def test_the_reason_from_another_machine(plain, other):
    """Where nothing was noted, the branch's commit is evaluated if it is still there."""
    plain.git("config", "gc.auto", "0")
    plain.branch()
    plain.git("branch", "kept", "topic")
    plain.squash(also={"containers/web/page": "newer\n"})
    with plain.cooper.serving() as address:
        registry = f"namespace: lab\nregistry: {address}\n"
        plain.write("cooper.yaml", registry)
        text = plain.pins().replace("127.0.0.1:5000", address)
        plain.write("argocd/manifests/web/kustomization.yaml", text)
        plain.commit("another registry")
        plain.cooper = other
        plan = planned(plain)
        assert plan["action"] == "rebuild" and texts(plan) == ["containers/web/page changed"]
        plain.git("branch", "-q", "-D", "kept")
        plain.git("reflog", "expire", "--expire=now", "--all")
        plain.git("gc", "-q", "--prune=now")
        # that look was noted; on a third machine nothing can be known
        assert texts(planned(plain)) == ["containers/web/page changed"]
        plain.cooper = Cooper(plain.top / "third")
        plain.cooper("image", "copy", "oci-archive:" + str(export(other, plain.top)), "store:busybox:latest")
        plan = planned(plain)
        assert plan["action"] == "rebuild" and texts(plan) == [] and "is not here" in plan["why"]


def export(cooper, top):
    cooper("image", "copy", "store:busybox:latest", f"oci-archive:{top}/busybox.tar")
    return top / "busybox.tar"


def test_a_container_that_main_has_not(plain):
    plain.git("checkout", "-q", "-b", "topic")
    plain.write("containers/extra/Dockerfile", DOCKERFILE)
    plain.write("containers/extra/page", "x\n")
    plain.commit("extra")
    job = plain.release("extra")
    plain.git("checkout", "-q", "main")
    plain.write("argocd/manifests/extra/kustomization.yaml", kustomization(f"{plain.image}/extra", job["tag"]))
    plain.commit("pinned, but not merged")
    run = plain("promote", code=1)
    assert "extra  not promoted" in run.out and "error: on origin/main: " in run.out and "stays" in run.out and "if it was renamed" in run.out
    assert job["tag"] in plain.pins("extra")


def test_a_container_that_is_another_kind_on_main(plain):
    job = plain.branch()["web"]
    plain.squash()
    plain.git("rm", "-q", "containers/web/Dockerfile")
    plain.write("containers/web/default.nix", expression())
    plain.commit("nix")
    run = plain("promote", code=1)
    assert "neither a container.py nor a Dockerfile on origin/main (web is built from default.nix there: cooper release web" in run.out
    assert job["tag"] in plain.pins()


def test_not_on_main(plain):
    plain.branch()
    topic = plain.git("rev-parse", "--short=7", "HEAD")
    plain.git("checkout", "-q", "main")
    plain.write("README.md", "x\n")
    plain.commit("main goes on")
    plain.git("checkout", "-q", "topic")
    run = plain("promote", code=1)
    assert f"HEAD ({topic}) does not have what origin/main has" in run.err and "switch to main and pull" in run.err
    # ahead of main, which was not pushed or not fetched: what main is does not change by that
    plain.git("checkout", "-q", "main")
    plain.write("argocd/manifests/web/kustomization.yaml", plain.git("show", "topic:argocd/manifests/web/kustomization.yaml") + "\n")
    plain.commit("not pushed", push=False)
    run = plain("promote", "--dry-run")
    assert "note: HEAD" in run.err and "has commits that origin/main" in run.err and "web  to be built" in run.out


def test_changes_that_a_commit_would_take_along(plain):
    plain.branch()
    main = plain.squash()
    plain.write("argocd/manifests/web/kustomization.yaml", plain.pins() + "# mine\n")
    plain.write("staged", "x\n")
    plain.git("add", "staged")
    run = plain("promote", "--commit", code=1)
    assert "argocd/manifests/web/kustomization.yaml" in run.err and "not committed" in run.err
    assert "web  to be tagged" in run.out and " stays\n" in run.out and "->" not in run.out
    assert f"v1.2.3-{main[:7]}" not in plain.pins() and f"v1.2.3-{main[:7]}" not in plain("list", "web").out
    plain("promote")
    assert f"v1.2.3-{main[:7]}" in plain.pins() and plain.pins().endswith("# mine\n")
    assert "A  staged" in plain.git("status", "--porcelain")
    again = plain("promote", "--commit")
    assert "nothing to promote" in again.out and "note: argocd/manifests/web/kustomization.yaml is changed and not committed\n" in again.err


def test_names_env_and_what_is_left(plain):
    jobs = plain.branch(("web", "db"))
    text = "kind: Deployment\nspec: {template: {spec: {containers: [{name: c, image: other.example/x:1, env: [{name: I, value: 'docker://%s/web:%s'}]}]}}}\n"
    plain.write("argocd/manifests/ci/runner.yaml", text % (plain.image, jobs["web"]["tag"]))
    plain.commit("one in a text")
    main = plain.squash()
    report = plain.promote("web")
    assert [one["container"] for one in report["promotions"]] == ["web"]
    (left,) = report["left"]
    assert left["file"] == "argocd/manifests/ci/runner.yaml" and left["form"] == "env" and "--env" in left["why"]
    assert jobs["db"]["tag"] in plain.pins("db")
    plain.promote("web", "--env")
    assert f"web:v1.2.3-{main[:7]}'" in (plain.repo / "argocd/manifests/ci/runner.yaml").read_text()
    assert "no manifest names an image of nosuch" in plain("promote", "nosuch", code=1).err


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def test_a_registry_that_refuses(plain):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_address[1]}"
    try:
        plain.branch()
        plain.squash(also={"cooper.yaml": f"namespace: lab\nregistry: {address}\n"})
        plain.write("argocd/manifests/web/kustomization.yaml", plain.pins().replace("127.0.0.1:5000", address))
        before = plain.pins()
        run = plain("promote", "--json", code=1)
        (one,) = json.loads(run.out)["promotions"]
        assert address in one["error"] and "403" in one["error"] and not one["published"] and plain.pins() == before
        assert "1 pin could not be promoted" in run.err
    finally:
        server.shutdown()
        server.server_close()


def test_list_tells_what_is_the_same_as_main(plain, context):
    job = plain.branch()["web"]

    def listed():
        (web,) = json.loads(plain("list", "web", "--json").out)
        (tag,) = [tag for tag in web["tags"] if tag["tag"] == job["tag"]]
        return tag["provenance"], tag.get("same_as_main", False)

    assert listed() == ("branch", False) and "[branch]" in plain("list", "web").out
    plain.git("branch", "kept", "topic")
    plain.squash()
    assert listed() == ("branch", True) and "[same as main]" in plain("list").out
    plain.git("branch", "-q", "-D", "kept")
    plain.git("reflog", "expire", "--expire=now", "--all")
    plain.git("gc", "-q", "--prune=now")
    assert listed() == ("unknown", True)
    # main is asked, not the work tree
    plain.write("containers/web/page", "changed\n")
    assert listed() == ("unknown", True)
    plain.commit("change")
    assert listed() == ("unknown", False) and "[unknown: " in plain("list").out
    # a main that cannot be evaluated is no reason not to list
    plain.write("containers/web/Dockerfile", "FORM busybox\n")
    plain.commit("break")
    run = plain("list", "web")
    assert job["tag"] in run.out and "what main would build of web cannot be told" in run.err and "Dockerfile:1" in run.err


def test_with_a_server(tmp_path, cooper, other):
    """What is to be built is queued there; a tag over layers that are there needs no runner."""
    with Cooper(tmp_path / "server").serving() as address:
        lab = Lab(tmp_path, cooper, address, f"server: http://{address}\n")
        lab.release = lambda name: Lab.release(lab, name, "--via", "local")
        lab.branch(("web", "db"))
        main = lab.squash(also={"containers/web/page": "newer\n"})
        proc = cooper.start("promote", "--json", "--progress", "plain", cwd=lab.repo)
        other("runner", "--server", f"http://{address}", "--label", "k8s", "--git", lab.top / "origin.git", "--name", "r1", "--once")
        out, err = proc.communicate(timeout=60)
        assert proc.returncode == 0, err
        by_name = {one["container"]: one for one in json.loads(out)["promotions"]}
        assert (by_name["web"]["action"], by_name["db"]["action"]) == ("rebuild", "retag")
        assert by_name["web"]["digest"].startswith("sha256:") and "RUN" not in err
        assert f"v1.2.3-{main[:7]}" in lab.pins("web") and f"v1.2.3-{main[:7]}" in lab.pins("db")
        assert "web" in lab("logs").out and lab("logs").out.count("success") == 1


def test_a_branch_that_is_not_merged_and_is_ahead(plain):
    """Its version is higher: main is most likely not to replace it yet."""
    plain.git("checkout", "-q", "-b", "topic")
    plain.write("containers/web/Dockerfile", DOCKERFILE.replace("1.2.3", "1.3.0"))
    plain.commit("a new version")
    job = plain.release("web")
    plain.git("checkout", "-q", "main")
    plain.write("argocd/manifests/web/kustomization.yaml", kustomization(f"{plain.image}/web", job["tag"]))
    main = plain.commit("try it")
    run = plain("promote", code=1)
    assert "origin/main has 1.2.3, which is older than 1.3.0" in run.out and "web  not promoted" in run.out
    assert job["tag"] in plain.pins() and f"v1.2.3-{main[:7]}" not in plain("list", "web").out
    (done,) = plain.promote("--allow-downgrade")["promotions"]
    # the version is no input: the layers are the same
    assert done["action"] == "retag" and f"v1.2.3-{main[:7]}" in plain.pins()


def test_another_registry_on_main(plain):
    plain.branch()
    plain.squash()
    plain.write("cooper.yaml", "namespace: elsewhere\n")
    plain.write("argocd/manifests/web/kustomization.yaml", plain.pins().replace("/lab/", "/elsewhere/"))
    run = plain("promote", code=1)
    assert "origin/main publishes 127.0.0.1:5000/lab/web, and the manifests name 127.0.0.1:5000/elsewhere/web" in run.out


@pytest.fixture
def nix(tmp_path):
    if not shutil.which("nix-build"):
        pytest.fail("nix-build is missing: scripts/deps.sh test")
    return nix_env(tmp_path / "nix")


def both(lab, cooper, *args):
    """A release of web, which has two kinds: {kind: job}."""
    return {job["kind"]: job for job in json.loads(cooper("release", "web", "--json", "--progress", "quiet", *args, cwd=lab.repo).out)["jobs"]}


def test_nix_stays_nix(tmp_path, cooper, other, nix):
    cooper.env |= nix
    other.env |= nix
    lab = Lab(tmp_path, cooper, more={"containers/web/default.nix": expression(), "lib/archive.py": ARCHIVE})
    lab.git("checkout", "-q", "-b", "topic")
    lab.write("containers/web/default.nix", expression(texts="one|three"))
    lab.write("containers/web/page", "new\n")
    lab.git("push", "-q", "-u", "origin", "topic")
    lab.commit("change")
    jobs = both(lab, cooper)
    for kind, job in jobs.items():
        lab.write(f"argocd/manifests/{kind}/kustomization.yaml", kustomization(f"{lab.image}/web", job["tag"]))
    lab.commit("pin")
    main = lab.squash()
    assert lab("list", "web").out.count("[same as main]") == 2
    report = lab.promote("--commit")
    done = {one["kind"]: one for one in report["promotions"]}
    assert {kind: one["action"] for kind, one in done.items()} == {"dockerfile": "retag", "nix": "retag"}
    assert f"newTag: v1.2.3-{main[:7]} #" in lab.pins("dockerfile") and f"newTag: v1.2.3-{main[:7]}-nix #" in lab.pins("nix")
    assert lab.layers(done["nix"]["reference"]) == lab.layers(f"{lab.image}/web:{jobs['nix']['tag']}")
    again = both(lab, other, "--ref", main)
    assert {kind: job["digest"] for kind, job in again.items()} == {kind: one["digest"] for kind, one in done.items()}
    # main moves on in the one kind only: the other one's inputs are equal still
    lab.git("push", "-q", "origin", "main")
    lab.git("checkout", "-q", "-b", "next")
    lab.git("push", "-q", "-u", "origin", "next")
    lab.write("containers/web/page", "newer\n")
    lab.commit("next")
    for kind, job in both(lab, cooper).items():
        lab.write(f"argocd/manifests/{kind}/kustomization.yaml", kustomization(f"{lab.image}/web", job["tag"]))
    lab.commit("pin next")
    main = lab.squash("next", also={"containers/web/default.nix": expression(texts="four")})
    done = {one["kind"]: one for one in lab.promote("--commit")["promotions"]}
    assert {kind: one["action"] for kind, one in done.items()} == {"dockerfile": "retag", "nix": "rebuild"}
    assert texts(done["nix"]) == ["containers/web/default.nix: the derivation differs"]
    assert f"v1.2.3-{main[:7]}-nix" in lab.pins("nix")
