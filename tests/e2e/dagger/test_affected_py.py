# SPDX-License-Identifier: Apache-2.0
"""cooper affected, of container.py: pipelines are run to see what they would do, and their steps are not."""

import json

import pytest
import sdk as sdks
from git_lab import GitLab

HEAD = "import dagger\nfrom dagger import dag\nfrom lab import base\n\nVERSION = '1.0.0'\n\n\n"
HELPERS = "def base(dag):\n    return dag.container().from_('busybox').with_env_variable('SET', 'one')\n\n\ndef unused(dag):\n    return dag.container()\n"

# Bodies of build(src), each with a part whose key is made in a way of its own.
FORMS = {
    "plain": "    return base(dag).with_file('/page', src.file('containers/plain/page')).with_exec(['cat', '/page'])\n",
    "folder": "    here = src.directory('containers/folder').filter(exclude=['*.md', 'container.py'])\n    return dag.container().with_directory('/app', here)\n",
    "asked": "    said = await base(dag).with_exec(['sh', '-c', 'echo $((6 * 7))']).stdout()\n    return base(dag).with_new_file('/answer', said)\n",
    "dockerfile": "    return src.directory('containers/dockerfile/in').docker_build().with_label('more', 'yes')\n",
    "mounts": (
        "    return (\n        base(dag).with_mounted_directory('/src', src.directory('containers/mounts')).with_mounted_cache('/c', dag.cache_volume('c'))\n"
        "        .with_workdir('/src').with_exec(['sh', '-c', 'cat page > /out']).without_mount('/src')\n    )\n"
    ),
    "secret": "    return base(dag).with_secret_variable('S', dag.set_secret('s', 'x')).with_exec(['sh', '-c', 'echo ${#S} > /len'])\n",
    "service": (
        "    page = base(dag).with_new_file('/w/x', 'served').with_exposed_port(8080).as_service(args=['httpd', '-f', '-p', '8080', '-h', '/w'])\n"
        "    return base(dag).with_service_binding('web', page).with_exec(['wget', '-q', '-O', '/got', 'http://web:8080/x'])\n"
    ),
    "annotated": "    return base(dag).with_annotation('a', 'b').with_user('7')\n",
    "download": "    return base(dag).with_file('/x', dag.http('{web}'))\n",
    "git": "    return base(dag).with_directory('/x', dag.git('{git}').branch('main').tree())\n",
    "empty": "    return dag.container().with_label('only', 'this')\n",
}
FILES = {"cooper.yaml": "helpers: [src]\n", "src/lab/__init__.py": HELPERS, "src/lab/other.py": "X = 1\n"}
DOCKERFILE = {"containers/dockerfile/in/Dockerfile": "FROM busybox\nCOPY page /\nRUN cat /page\n", "containers/dockerfile/in/page": "x\n"}


class Lab(GitLab):
    def __init__(self, top, cooper, files):
        super().__init__(top, files)
        self.cooper = cooper

    def __call__(self, *args, **kw):
        return self.cooper(*args, cwd=self.repo, env={"COOPER_PYTHON": str(sdks.PYTHONS["python-0.21"])}, **kw)

    def affected(self, *args, **kw):
        return {one["container"]: one for one in json.loads(self("affected", "--json", *args, **kw).out)["builds"]}

    def change(self, name, path, text):
        """The reasons why the container is affected then."""
        self.write(path, text)
        self.commit("change")
        found = self.affected(name)[name]
        assert (found["state"] == "unaffected") == (not found["reasons"])
        return [r["text"] for r in found["reasons"]]


def pipeline(body):
    return HEAD + "async def build(src: dagger.Directory) -> dagger.Container:\n" + body


def container(name):
    return {f"containers/{name}/container.py": pipeline(FORMS[name]), f"containers/{name}/page": "hello\n", f"containers/{name}/read.md": "x\n"}


@pytest.fixture
def lab(tmp_path, world):
    return Lab(tmp_path, world.cooper, FILES | container("plain") | container("folder"))


def test_the_digest_is_the_one_that_a_release_writes(tmp_path, world, web, git_url):
    url = web.put("/affected.txt", "text")
    files = dict(FILES) | DOCKERFILE
    for name, body in FORMS.items():
        files |= {path: text.replace("{web}", url).replace("{git}", git_url) for path, text in container(name).items()}
    lab = Lab(tmp_path, world.cooper, files)
    found = lab.affected()
    assert sorted(found) == sorted(FORMS)
    for name in FORMS:
        (job,) = json.loads(lab("release", name, "--json", "--progress", "quiet").out)["jobs"]
        assert found[name]["inputs"]["head"] == job["inputs"], name


def test_what_changes_no_step_affects_nothing(lab):
    for path, text in {
        "containers/plain/read.md": "y\n",
        "containers/folder/read.md": "y\n",  # filtered out
        "src/lab/__init__.py": HELPERS.replace("def unused(dag):\n", "def unused(dag, more):\n"),
        "src/lab/other.py": "X = 2\n",
        "containers/plain/container.py": pipeline("    # all of it\n" + FORMS["plain"]),
        "README.md": "x\n",
    }.items():
        lab.write(path, text)
    lab.commit("change")
    found = lab.affected()
    assert [one["state"] for one in found.values()] == ["unaffected", "unaffected"]
    assert all(one["inputs"]["base"] == one["inputs"]["head"] for one in found.values())


@pytest.mark.parametrize(
    "name, path, text, expected",
    [
        ("plain", "containers/plain/page", "bye\n", "containers/plain/page changed"),
        (
            "plain",
            "src/lab/__init__.py",
            HELPERS.replace("one", "two"),
            'src/lab/__init__.py (helper) changed the pipeline: "exec cat /page" changed: SET one -> two',
        ),
        (
            "plain",
            "containers/plain/container.py",
            pipeline(FORMS["plain"].replace("'cat', '/page'", "'cat', '-n', '/page'")),
            'containers/plain/container.py changed the pipeline: "exec cat /page" -> "exec cat -n /page"',
        ),
        (
            "folder",
            "containers/folder/container.py",
            pipeline(FORMS["folder"].rstrip("\n") + ".with_user('5')\n"),
            "containers/folder/container.py changed the pipeline: image setting User: (not set) -> 5",
        ),
    ],
)
def test_reasons(lab, name, path, text, expected):
    assert lab.change(name, path, text) == [expected]


def test_a_file_that_python_reads(lab):
    """Data beside the code is an input like the code: by what it does."""
    body = "    import json, pathlib\n    size = json.loads((pathlib.Path(__file__).parent / 'size.json').read_text())['size']\n"
    lab.write("containers/folder/container.py", pipeline(body + "    return base(dag).with_exec(['echo', str(size)])\n"))
    lab.write("containers/folder/size.json", '{"size": 1}\n')
    lab.commit("sized")
    assert lab.change("folder", "containers/folder/size.json", '{"size":     1}\n') == []
    text = 'containers/folder/size.json changed the pipeline: "exec echo 1" -> "exec echo 2"'
    assert lab.change("folder", "containers/folder/size.json", '{"size": 2}\n') == [text]


def test_the_work_tree_is_what_a_commit_of_it_would_be(lab):
    lab.write("containers/plain/page", "later\n")
    lab.write("src/lab/new.py", "")
    (lab.repo / "containers/plain/page").chmod(0o600)
    told = lab.affected("plain", "--work-tree", "--base", "HEAD")
    assert told["plain"]["state"] == "changed"
    lab.commit("all")
    assert lab.affected("plain")["plain"]["inputs"] == told["plain"]["inputs"]


def test_an_error_in_one(lab):
    lab.write("containers/plain/container.py", pipeline("    return base(dag).with_file('/x', src.file('containers/plain/nosuch'))\n"))
    lab.write("containers/folder/container.py", pipeline("    raise ValueError('not today')\n"))
    lab.commit("break")
    found = lab.affected(code=1)
    assert found["folder"]["state"] == found["plain"]["state"] == "unknown"
    assert "containers/folder/container.py" in found["folder"]["error"] and "not today" in found["folder"]["error"]
    assert "nosuch" in found["plain"]["error"]


def test_it_becomes_a_dockerfile(lab):
    """What replaces it publishes the same tags."""
    lab.git("rm", "-q", "containers/folder/container.py")
    lab.write("containers/folder/Dockerfile", "ARG CONTAINER_APP_VERSION=1.0.0\nFROM scratch\nCOPY page /app/\n")
    lab.commit("change")
    found = lab.affected("folder")
    assert found["folder"]["kind"] == "dockerfile" and found["folder"]["state"] == "changed" and found["folder"]["reasons"]
