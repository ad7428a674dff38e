# SPDX-License-Identifier: Apache-2.0
"""cooper affected, of Dockerfiles: what counts and what does not, the digest that a release writes, and that no step runs (container.py: dagger/)."""

import http.server
import json
import threading

import pytest
from git_lab import GitLab

VERSION = "ARG CONTAINER_APP_VERSION=1.2.3\n"
WEB = VERSION + "FROM busybox\nARG MODE=fast\nCOPY page /srv/\nRUN cat /srv/page > /srv/copy\nUSER 1000\n"
FILES = {
    "containers/web/Dockerfile": WEB,
    "containers/web/page": "hello\n",
    "containers/web/notes.md": "to do\n",
    "containers/db/Dockerfile": VERSION + "FROM busybox\nCOPY . /data/\n",
    "containers/db/.dockerignore": "Dockerfile\n*.md\n.dockerignore\n",
    "containers/db/rows/a": "1\n",
    "containers/db/read.md": "x\n",
}


@pytest.fixture
def lab(tmp_path):
    return GitLab(tmp_path, FILES)


def affected(cooper, lab, *args, code=0):
    run = cooper("affected", "--json", *args, cwd=lab.repo, code=code)
    found = json.loads(run.out)
    found["by_name"] = {one["container"]: one for one in found["builds"]}
    return found


def reasons(cooper, lab, *args):
    """{container: [text of each reason]} of those that are affected."""
    return {one["container"]: [r["text"] for r in one["reasons"]] for one in affected(cooper, lab, *args)["builds"] if one["state"] != "unaffected"}


def change(lab, files, **kw):
    for path, text in files.items():
        lab.write(path, text)
    return lab.commit("change", **kw)


class Pages(http.server.BaseHTTPRequestHandler):
    body = b"first"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def pages():
    handler = type("Pages", (Pages,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_address[1]}/file"
    yield handler
    server.shutdown()
    server.server_close()


# Everything whose key is made in a way of its own.
FORMS = {
    "scratch": "FROM scratch\nCOPY page /\n",
    "nothing": "FROM scratch\nLABEL a=b\n",
    "stages": "FROM busybox AS a\nCOPY p* /in/\nRUN mkdir /out && cat /in/* > /out/all\nFROM busybox AS unused\nRUN exit 7\nFROM scratch\nCOPY --from=a --chown=1:2 /out/ /\n",
    "mounts": "FROM busybox\nRUN --mount=type=bind,source=sub,target=/s --mount=type=cache,target=/c --mount=type=tmpfs,target=/t cat /s/x > /x\n",
    "heredocs": "FROM busybox\nCOPY <<EOF /script\nhello\nEOF\nRUN <<EOF\ncat /script > /out\nEOF\n",
    "links": "FROM busybox\nCOPY --link sub /sub/\nCOPY --parents sub/x /kept/\nCOPY --exclude=x sub /less/\nWORKDIR /kept\nVOLUME /kept\n",
    "onbuild": "FROM triggers:1\nENV LATE=1\n",
    "arguments": "ARG BASE=busybox\nFROM ${BASE}\nARG A=1\nENV B=${A}\nRUN echo $A $B > /ab\nHEALTHCHECK CMD true\nEXPOSE 80\n",
    "annotated": "FROM busybox\nLABEL org.opencontainers.image.version=of-the-base dev.cooper.inputs=forged\n",
}


@pytest.mark.sanitize
def test_the_digest_is_the_one_that_a_release_writes(cooper, tmp_path, context, pages):
    triggers = context({"Dockerfile": "FROM busybox\nONBUILD COPY page /from-onbuild\nONBUILD RUN cat /from-onbuild\n"}, "triggers")
    cooper("build", triggers, "--tag", "triggers:1")
    forms = {**FORMS, "download": f"FROM busybox\nADD {pages.url} /file\n"}
    files = {f"containers/{name}/Dockerfile": VERSION + text for name, text in forms.items()}
    files |= {f"containers/{name}/{path}": f"{path}\n" for name in forms for path in ("page", "sub/x", "sub/y")}
    lab = GitLab(tmp_path, files)
    found = affected(cooper, lab)
    assert found["base"] is None and len(found["builds"]) == len(forms)
    for name in forms:
        (job,) = json.loads(cooper("release", name, "--json", "--progress", "quiet", cwd=lab.repo).out)["jobs"]
        label = json.loads(cooper("image", "inspect", job["reference"]).out)["config"]["config"]["Labels"]["dev.cooper.inputs"]
        assert found["by_name"][name]["inputs"]["head"] == job["inputs"] == label, name


def test_no_step_runs(cooper, lab):
    change(lab, {"containers/web/Dockerfile": WEB + "RUN exit 7\n"})
    layers = cooper("store", "du", "--json").out
    (text,) = reasons(cooper, lab)["web"]
    assert text == 'containers/web/Dockerfile:7: "RUN exit 7" is new'
    assert json.loads(cooper("store", "du", "--json").out).get("layers") == json.loads(layers).get("layers")
    assert "exit" in cooper("release", "web", "--progress", "plain", cwd=lab.repo, code=1).err


@pytest.mark.parametrize(
    "path, text",
    [
        ("containers/web/notes.md", "done\n"),  # in the folder, and copied by nobody
        ("containers/db/read.md", "y\n"),  # ignored
        ("containers/db/.dockerignore", "Dockerfile\n*.md\n.dockerignore\n*.txt\n"),  # ignores nothing more of what is there
        ("containers/web/Dockerfile", "# to serve a page\n" + WEB.replace("COPY page", "COPY  page")),
        ("README.md", "of the repository\n"),
    ],
)
def test_what_no_step_reads_affects_nothing(cooper, lab, path, text):
    change(lab, {path: text})
    assert reasons(cooper, lab) == {}
    run = cooper("affected", cwd=lab.repo)
    assert run.out == "" and "no container of 2 is affected" in run.err


@pytest.mark.parametrize(
    "files, expected",
    [
        ({"containers/web/page": "bye\n"}, {"web": ["containers/web/page changed"]}),
        ({"containers/db/rows/b": "2\n"}, {"db": ["containers/db/rows/b is new"]}),
        (
            {"containers/web/Dockerfile": WEB.replace("fast", "slow")},
            {
                "web": [
                    'containers/web/Dockerfile:5: "RUN cat /srv/page > /srv/copy" changed: MODE fast -> slow',
                    'containers/web/Dockerfile:3: "ARG MODE=fast" -> "ARG MODE=slow"',
                ]
            },
        ),
        ({"containers/web/Dockerfile": WEB.replace("USER 1000", "USER 1001")}, {"web": ['containers/web/Dockerfile:6: "USER 1000" -> "USER 1001"']}),
        ({"containers/db/.dockerignore": "Dockerfile\n.dockerignore\n"}, {"db": ["containers/db/read.md is new"]}),
        ({"containers/new/Dockerfile": WEB, "containers/new/page": "x\n"}, {"new": ["new container"]}),
        ({"containers/web/Dockerfile": WEB.replace("busybox", "busybox:other")}, {"web": ["base image busybox:latest (sha256:{old}) -> busybox:other (sha256:{new})"]}),
    ],
)
def test_reasons(cooper, lab, busybox_tar, context, files, expected):
    old = json.loads(cooper("image", "inspect", "busybox:latest").out)["digest"]
    new = cooper.build(context({"Dockerfile": "FROM busybox\nLABEL other=yes\n"}), "--tag", "busybox:other")["containerimage.digest"]
    change(lab, files)
    short = {"old": old.removeprefix("sha256:")[:12], "new": new.removeprefix("sha256:")[:12]}
    assert reasons(cooper, lab) == {name: [t.format(**short) for t in texts] for name, texts in expected.items()}


def test_a_link_and_a_mode_count(cooper, lab):
    (lab.repo / "containers/db/rows/a").chmod(0o755)
    (lab.repo / "containers/db/rows/l").symlink_to("a")
    lab.commit("change")
    assert reasons(cooper, lab) == {"db": ["containers/db/rows/a: mode 0644 -> 0755", "containers/db/rows/l is new"]}


def test_what_it_is_compared_with(cooper, lab):
    lab.git("checkout", "-q", "-b", "topic")
    change(lab, {"containers/web/page": "1\n"})
    topic = change(lab, {"containers/db/rows/a": "2\n"})
    lab.git("checkout", "-q", "main")
    main = change(lab, {"containers/db/rows/c": "3\n"})
    # on main: what the last commit did
    assert list(reasons(cooper, lab)) == ["db"] and affected(cooper, lab)["base"]["commit"] == lab.first
    # on a branch: all since it left main, and nothing that main did meanwhile
    found = affected(cooper, lab, "--ref", "topic")
    assert found["head"]["commit"] == topic and found["base"]["commit"] == lab.first
    assert reasons(cooper, lab, "--ref", "topic") == {"db": ["containers/db/rows/a changed"], "web": ["containers/web/page changed"]}
    assert list(reasons(cooper, lab, "--ref", "topic", "--base", "topic~1")) == ["db"]
    assert affected(cooper, lab, "--base", "topic")["head"]["commit"] == main
    assert "nosuch" in cooper("affected", "--base", "nosuch", cwd=lab.repo, code=1).err
    lab.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
    lab.git("push", "-q", "origin", "main")
    assert reasons(cooper, lab) == {"db": ["containers/db/rows/a changed"], "web": ["containers/web/page changed"]}


def test_names_and_what_is_gone(cooper, lab):
    change(lab, {"containers/web/page": "1\n", "containers/db/rows/a": "2\n"})
    assert cooper("affected", "--names", cwd=lab.repo).out == "db\nweb\n"
    assert cooper("affected", "--names", "web", cwd=lab.repo).out == "web\n"
    run = cooper("affected", "nosuch", cwd=lab.repo, code=1)
    assert "no container \"nosuch\"" in run.err and "db, web" in run.err
    lab.git("rm", "-q", "-r", "containers/db")
    lab.commit("away with it")
    assert cooper("affected", cwd=lab.repo).out == "db is gone\n"
    assert affected(cooper, lab, "db")["gone"] == ["db"]


@pytest.mark.sanitize
def test_one_that_cannot_be_told_hides_no_other(cooper, lab):
    broken = {"containers/db/Dockerfile": VERSION + "FROM nowhere.invalid/none\nCOPY rows /\n", "containers/bad/Dockerfile": VERSION + "FORM busybox\n"}
    change(lab, {**broken, "containers/web/page": "1\n"})
    found = affected(cooper, lab, code=1)["by_name"]
    assert [found[n]["state"] for n in ("bad", "db", "web")] == ["unknown", "unknown", "changed"]
    assert "Dockerfile:2" in found["bad"]["error"] and "nowhere.invalid" in found["db"]["error"]
    run = cooper("affected", cwd=lab.repo, code=1)
    assert "db (dockerfile) could not be evaluated" in run.out and "containers/web/page changed" in run.out
    assert "2 builds could not be evaluated" in run.err
    # a build that is as it was needs no look, broken or not
    change(lab, {"containers/web/page": "2\n"})
    assert [one["state"] for one in affected(cooper, lab)["builds"]] == ["unaffected", "unaffected", "changed"]
    # one that is repaired gives an image where there was none
    change(lab, {"containers/bad/Dockerfile": VERSION + "FROM busybox\n"})
    (why,) = reasons(cooper, lab)["bad"]
    assert why.startswith("could not be evaluated before: at ") and "Dockerfile:2" in why
    assert cooper("affected", "--names", cwd=lab.repo).out == "bad\n"


def test_a_version_is_not_needed_and_is_no_input(cooper, lab):
    change(lab, {"containers/web/Dockerfile": WEB.removeprefix(VERSION)})
    assert reasons(cooper, lab) == {}


def test_the_work_tree(cooper, lab):
    lab.write("containers/web/page", "new\n")
    lab.write("containers/db/rows/untracked", "x\n")
    lab.write("containers/db/rows/ignored", "x\n")
    lab.write(".gitignore", "ignored\n")
    before = lab.git("status", "--porcelain"), lab.git("rev-parse", "HEAD"), lab.git("for-each-ref")
    run = cooper("affected", cwd=lab.repo)
    assert run.out == "db (dockerfile)\n    new container\nweb (dockerfile)\n    new container\n"
    assert "not committed, so not looked at: " in run.err and "containers/web/page" in run.err
    assert reasons(cooper, lab, "--work-tree", "--base", "HEAD") == {"db": ["containers/db/rows/untracked is new"], "web": ["containers/web/page changed"]}
    # nothing of the repository changed
    assert before == (lab.git("status", "--porcelain"), lab.git("rev-parse", "HEAD"), lab.git("for-each-ref"))
    # and it is what committing gives
    told = affected(cooper, lab, "--work-tree", "--base", "HEAD")["by_name"]["web"]["inputs"]["head"]
    lab.commit("all")
    assert affected(cooper, lab)["by_name"]["web"]["inputs"]["head"] == told
    assert affected(cooper, lab, "--work-tree")["head"]["commit"] == lab.git("rev-parse", "HEAD")
    assert "two things" in cooper("affected", "-w", "--ref", "HEAD", cwd=lab.repo, code=2).err


def test_a_download_is_looked_at(cooper, tmp_path, pages):
    lab = GitLab(tmp_path, {"containers/get/Dockerfile": VERSION + f"FROM busybox\nADD {pages.url} /file\n"})
    first = affected(cooper, lab)["by_name"]["get"]["inputs"]["head"]
    pages.body = b"second"
    assert affected(cooper, lab)["by_name"]["get"]["inputs"]["head"] != first
    # both commits are looked at now: what the server says meanwhile is no difference between them
    change(lab, {"containers/get/extra": "x\n"})
    assert reasons(cooper, lab) == {}


def test_no_main_and_a_shallow_clone(cooper, lab, tmp_path):
    change(lab, {"containers/web/page": "1\n"})
    lab.git("clone", "-q", "--depth", "1", f"file://{lab.top}/origin.git", tmp_path / "shallow", cwd=tmp_path)
    lab.repo = tmp_path / "shallow"
    run = cooper("affected", cwd=lab.repo, code=None)
    assert "shallow" in run.err + run.out
    lab.git("checkout", "-q", "--detach")
    for ref in lab.git("for-each-ref", "--format=%(refname)").split():
        lab.git("update-ref", "-d", ref)
    assert "no main branch" in cooper("affected", cwd=lab.repo, code=1).err
