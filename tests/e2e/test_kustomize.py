# SPDX-License-Identifier: Apache-2.0
"""What cooper says of kustomizations, and what kustomize makes of them: which images it sets, before and after cooper pin."""

import hashlib
import json
import pathlib
import re
import subprocess

import pytest
from git_lab import GitLab
from go_tools import go_tool
from scripted_registry import MANIFEST, Answer, scripted_registry

OLD, NEW = "v1.0.0-0000000", "v2.0.0-1111111"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(scope="session")
def kustomize():
    program = go_tool("kustomize")
    version = pathlib.Path(program + ".version").read_text()

    def build(folder):
        return subprocess.run([program, "build", folder], capture_output=True, text=True, check=True).stdout

    build.sets_volumes = "v5.0.3" not in version
    return build


def whole(digest_of=lambda b: "sha256:" + hashlib.sha256(b).hexdigest()):
    """Answers of a registry that has one empty image, by its tag, its digest, and that of its configuration."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    about = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": about, "layers": []}).encode()
    answer = Answer(200, {"Content-Type": MANIFEST, "Docker-Content-Digest": digest_of(manifest)}, manifest)
    return {NEW: answer, digest_of(manifest): answer, digest_of(config): Answer(200, {}, config)}


def typed(kind, spec, version="x/v1"):
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: NAME}}\nspec: {spec}\n"


def deployment(image, kind="Deployment", of="containers", more=""):
    return typed(kind, f'{{selector: {{}}, template: {{spec: {{{of}: [{{name: a, image: "{image}"}}]{more}}}}}}}', "apps/v1")


def kustomization(entry, more="", resources="a.yaml"):
    return f"resources: [{resources}]\n{more}images:\n- {entry}\n"


def cases(web, volumes):
    """name -> files; "NAME" is the service's."""
    s, old = f"{web}:kustomized", f"{web}:{OLD}"
    entry = f'{{name: "{web}", newTag: "{OLD}"}}'
    patch = "patches: [{target: {kind: Deployment}, path: p.yaml}]\n"
    job = '{jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: "%s"}]}}}}}'
    volume = ', volumes: [{name: v, image: {reference: "%s"}}]'
    workloads = {
        **{kind.lower(): deployment(s, kind) for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job")},
        "init": deployment(s, of="initContainers"),
        "ephemeral": deployment(s, of="ephemeralContainers"),
        "cron": typed("CronJob", job % s, "batch/v1"),
        "deep": typed("Odd", f'{{a: [{{containers: [{{name: a, image: "{s}"}}]}}]}}'),
        "other-key": typed("Odd", f'{{containers: [{{name: a, sidecarImage: "{s}"}}]}}'),
        "field": typed("Odd", f'{{image: "{s}"}}'),
        "field-of-its-own": typed("Odd", f'{{image: "{old}", imageName: "{old}"}}'),
        "definition": typed("CustomResourceDefinition", f'{{group: x, names: {{kind: NAME, plural: NAME}}, a: {{containers: [{{image: "{s}"}}]}}}}'),
        "volume-of-a-cron": typed("CronJob", (job % "b").replace("}]}", "}]" + volume % s + "}", 1), "batch/v1"),
        "bare": deployment(web),
        "tagged": deployment(old),
        "with-digest": deployment(f"{old}@{DIGEST}"),
    }
    if volumes:
        workloads["volume"] = deployment("b", more=volume % s)
    made = {name: {"a.yaml": text, "kustomization.yaml": kustomization(entry)} for name, text in workloads.items()}
    entries = {
        "block": f'name: {web}\n  newTag: "{OLD}" # keep',
        "renamed": f"name: {web}\n  newName: other/web\n  newTag: x\n- name: other/web\n  newName: {web}\n  newTag: {OLD}",
        "empty-new-name": f'name: {web}\n  newName: ""\n  newTag: {OLD}',
        "null-new-name": f"name: {web}\n  newName:\n  newTag: {OLD}",
        "digest": f"name: {web}\n  digest: {DIGEST}",
        "tag-with-digest": f"name: {web}\n  newTag: {OLD}@{DIGEST}",
        "tag-and-digest": f"name: {web}\n  newTag: {OLD}\n  digest: {DIGEST}",
        "other-entry": f"name: {web}-exporter\n  newTag: {OLD}",
    }
    made |= {f"entry-{name}": {"a.yaml": deployment(s), "kustomization.yaml": kustomization(text)} for name, text in entries.items()}
    plain = {"a.yaml": deployment(s)}
    made["byte-order-mark"] = {**plain, "kustomization.yaml": "\ufeff" + kustomization(entry)}
    made["line-ends"] = {**plain, "kustomization.yaml": kustomization(entry).replace("\n", "\r\n")}
    made["yml"] = {**plain, "kustomization.yml": kustomization(entry)}
    made["no-ending"] = {**plain, "Kustomization": kustomization(entry)}
    made["base"] = {"base/a.yaml": deployment(s), "base/kustomization.yaml": "resources: [a.yaml]\n", "kustomization.yaml": kustomization(entry, resources="./base/")}
    component = f"apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages: [{entry}]\n"
    made["component"] = {**plain, "c/kustomization.yaml": component, "kustomization.yaml": "resources: [a.yaml]\ncomponents: [c]\n"}
    for name, path, value in [("image", "0/image", f'"{s}"'), ("item", "-", f'{{name: b, image: "{s}"}}'), ("image-of-its-own", "0/image", f'"{old}"')]:
        step = f"- op: add\n  path: /spec/template/spec/containers/{path}\n  value: {value}\n"
        made[f"patch-{name}"] = {"a.yaml": deployment("b"), "p.yaml": step, "kustomization.yaml": kustomization(entry, patch)}
    return made


class Lab(GitLab):
    def __init__(self, top, registry, volumes):
        web = f"{registry.address}/team/web"
        self.cases = cases(web, volumes)
        files = {f"argocd/manifests/{name}/{path}": text.replace("NAME", name) for name, of in self.cases.items() for path, text in of.items()}
        super().__init__(top, {"cooper.yaml": f"registry: {registry.address}\nnamespace: team\n"})
        for path, text in files.items():
            self.write(path, "")
            (self.repo / path).write_bytes(text.encode())
        self.write("all/kustomization.yaml", "resources:\n" + "".join(f"- ../argocd/manifests/{name}\n" for name in self.cases))
        self.commit("all")

    def images(self, kustomize):
        """service -> images of ours that the cluster is given."""
        found = {name: set() for name in self.cases}
        for text in kustomize(self.repo / "all").split("\n---\n"):
            name = re.search(r"^metadata:\n  name: (\S+)$", text, re.M)[1]
            found[name] |= {image.split("/web")[1] for image in re.findall(r"\S+/team/web[^\s\"']*", text)}
        return found


@pytest.mark.slow
def test_kustomize_agrees(bare, kustomize, tmp_path):
    with scripted_registry() as registry:
        registry.answers = whole()
        lab = Lab(tmp_path, registry, kustomize.sets_volumes)
        before = lab.images(kustomize)
        told = json.loads(bare("check", "--all", "--offline", "--format", "json", cwd=lab.repo, code=3).out)["violations"]
        assert {v["rule"] for v in told} <= {"sentinel-without-entry", "unknown-commit", "two-tags"}
        missed = {v["file"].split("/")[2] for v in told if v["rule"] == "sentinel-without-entry"}
        assert missed == {name for name, images in before.items() if ":kustomized" in images} >= {"field", "entry-other-entry", "ephemeral"}
        bare("pin", "web", "--tag", NEW, "--allow-branch", "--all-services", cwd=lab.repo)
        after = lab.images(kustomize)
    new = [d for d in registry.answers if d.startswith("sha256:")][0]
    for name, images in before.items():
        want = {re.sub(r"v1\.0\.0-0000000", NEW, image).replace(DIGEST, new) for image in images}
        assert after[name] == want, name
        assert images and (name in missed or any(NEW in image or new in image for image in want)), name
