# SPDX-License-Identifier: Apache-2.0
"""Images: published, exported, packed, taken in again."""

import hashlib
import json
import tarfile
import urllib.request

import pytest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


class Pulled:
    """What a registry has under a name."""

    def __init__(self, reference):
        host, _, rest = reference.partition("/")
        name, _, tag = rest.partition("@") if "@" in rest else rest.rpartition(":")
        self.base = f"http://{host}/v2/{name.split(':')[0] if '@' in rest else name}"
        request = urllib.request.Request(f"{self.base}/manifests/{tag}", headers={"Accept": ", ".join([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST])})
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.type = answer.headers["Content-Type"]
            raw = answer.read()
        self.digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        self.manifest = json.loads(raw)

    def blob(self, digest):
        with urllib.request.urlopen(f"{self.base}/blobs/{digest}", timeout=30) as answer:
            return answer.read()

    @property
    def config(self):
        return json.loads(self.blob(self.manifest["config"]["digest"]))

    @property
    def layer_types(self):
        return [layer["mediaType"] for layer in self.manifest["layers"]]


def test_publish(sdk, registry, nonce):
    name = f"{registry}/team/app-{nonce}:1.0"
    reference = sdk("""return await box().with_new_file("/n", nonce).publish(name)""", name=name, nonce=nonce)
    there = Pulled(name)
    assert reference == f"{name}@{there.digest}" and there.type == OCI_MANIFEST
    assert all("gzip" in t for t in there.layer_types)
    assert sdk("""return await dag.container().from_(ref).file("/n").contents()""", ref=reference) == nonce


def test_publish_without_a_tag(sdk, registry, nonce):
    name = f"{registry}/untagged-{nonce}"
    reference = sdk("""return await box().with_new_file("/n", name).publish(name)""", name=name)
    assert reference == f"{name}@{Pulled(name + ':latest').digest}"


def test_publish_twice_gives_the_same(sdk, registry, nonce):
    out = sdk(
        """
        c = box().with_env_variable("N", nonce).with_exec(["sh", "-c", "date > /when; mkdir /d; echo 1 > /d/x"])
        return await c.publish(f"{name}:1"), await c.publish(f"{name}:2")
        """,
        name=f"{registry}/twice-{nonce}",
        nonce=nonce,
    )
    assert out[0].split("@")[1] == out[1].split("@")[1]


def test_configuration_of_what_is_published(sdk, registry, nonce):
    name = f"{registry}/config-{nonce}:1"
    sdk(
        """
        c = box().with_env_variable("Z", "1").with_env_variable("A", "2").with_label("b", "2").with_label("a", "1").with_user("app").with_workdir("/w")
        c = c.with_entrypoint(["/bin/e"]).with_default_args(["d"]).with_exposed_port(80).with_exposed_port(53, protocol=dagger.NetworkProtocol.UDP)
        c = c.with_docker_healthcheck(["true"], interval="30s", retries=2).with_annotation("org.example/x", "y")
        c = c.with_secret_variable("TOKEN", dag.set_secret(nonce, "hidden")).with_mounted_temp("/t").with_mounted_directory("/m", dag.directory())
        return await c.publish(name)
        """,
        name=name,
        nonce=nonce,
    )
    there = Pulled(name)
    config = there.config["config"]
    assert [v for v in config["Env"] if v[0] in "ZA"] == ["Z=1", "A=2"] and not any("TOKEN" in v for v in config["Env"])
    assert {k: v for k, v in config["Labels"].items() if k in "ab"} == {"a": "1", "b": "2"}
    assert (config["User"], config["WorkingDir"], config["Entrypoint"], config["Cmd"]) == ("app", "/w", ["/bin/e"], ["d"])
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert config["Healthcheck"]["Test"] == ["CMD", "true"] and config["Healthcheck"]["Interval"] == 30 * 10**9 and config["Healthcheck"]["Retries"] == 2
    assert there.manifest["annotations"]["org.example/x"] == "y"
    assert there.config["os"] == "linux" and there.config["architecture"]


def test_layers_of_the_base_stay(sdk, registry, nonce):
    name = f"{registry}/layers-{nonce}"
    sdk(
        """
        base = box().with_new_file("/base", nonce)
        await base.publish(f"{name}:base")
        d = dag.directory().with_new_file("f", "1")
        return await dag.container().from_(f"{name}:base").with_directory("/d", d).publish(f"{name}:more")
        """,
        name=name,
        nonce=nonce,
    )
    base, more = Pulled(f"{name}:base").manifest["layers"], Pulled(f"{name}:more").manifest["layers"]
    assert [layer["digest"] for layer in more[: len(base)]] == [layer["digest"] for layer in base] and len(more) == len(base) + 1


def test_an_empty_image_has_no_layers(sdk, registry, nonce):
    name = f"{registry}/empty-{nonce}:1"
    sdk("""return await dag.container().with_label("n", name).publish(name)""", name=name)
    assert Pulled(name).manifest["layers"] == []


def test_a_mount_is_not_published(sdk, registry, nonce):
    name = f"{registry}/mounted-{nonce}:1"
    out = sdk(
        """
        c = box().with_mounted_directory("/m", dag.directory().with_new_file("in", "")).with_new_file("/m/more", "").with_new_file("/kept", "")
        await c.publish(name)
        d = dag.container().from_(name)
        return await d.exists("/kept"), await d.exists("/m/in"), await d.exists("/m/more")
        """,
        name=name,
    )
    assert out == [True, False, False]


def test_media_types_of_docker(sdk, registry, nonce):
    name = f"{registry}/docker-{nonce}:1"
    sdk("""return await box().with_new_file("/n", name).publish(name, media_types=dagger.ImageMediaTypes.DockerMediaTypes)""", name=name)
    there = Pulled(name)
    assert there.type == DOCKER_MANIFEST and set(there.layer_types) == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}


COMPRESSIONS = {"GZIP": ("+gzip", b"\x1f\x8b"), "ZSTD": ("+zstd", b"\x28\xb5\x2f\xfd"), "UNCOMPRESSED": (".tar", None)}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_forced_compression(sdk, registry, nonce, compression):
    name = f"{registry}/forced-{nonce}:1"
    sdk(f"""return await box().with_new_file("/n", name).publish(name, forced_compression=dagger.ImageLayerCompression.{compression})""", name=name)
    there = Pulled(name)
    ending, magic = COMPRESSIONS[compression]
    assert all(t.endswith(ending) for t in there.layer_types), there.layer_types
    for layer in there.manifest["layers"]:
        data = there.blob(layer["digest"])
        assert data.startswith(magic) if magic else data[257:262] == b"ustar", layer


def test_several_platforms(sdk, registry, nonce):
    name = f"{registry}/platforms-{nonce}:1"
    reference = sdk(
        """
        made = [dag.container(platform=dagger.Platform(p)).with_new_file("/p", p) for p in ["linux/s390x", "linux/amd64", "linux/arm64"]]
        return await dag.container().publish(name, platform_variants=made)
        """,
        name=name,
    )
    there = Pulled(name)
    assert there.type == OCI_INDEX and reference == f"{name}@{there.digest}"
    assert sorted(m["platform"]["architecture"] for m in there.manifest["manifests"]) == ["amd64", "arm64", "s390x"]
    out = sdk("""return [await dag.container(platform=dagger.Platform(p)).from_(name).file("/p").contents() for p in ["linux/arm64", "linux/s390x"]]""", name=name)
    assert out == ["linux/arm64", "linux/s390x"]


def test_a_platform_twice(sdk, registry, nonce):
    failure = sdk.fails(
        """
        made = [dag.container(platform=dagger.Platform("linux/amd64")).with_new_file("/p", p) for p in ["1", "2"]]
        return await dag.container().publish(name, platform_variants=made)
        """,
        name=f"{registry}/double-{nonce}:1",
    )
    assert failure.kind == "query" and "linux/amd64" in failure.message, failure


def test_a_registry_with_a_password(sdk, locked_registry, nonce, new_client):
    name = f"{locked_registry}/closed-{nonce}:1"
    client = new_client(sdk.name)
    code = """
        s = dag.set_secret(f"registry-{nonce}", password)
        c = box().with_new_file("/n", nonce).with_registry_auth(host, "dev", s)
        ref = await c.publish(name)
        again = await dag.container().from_(ref).file("/n").contents()
        return ref, again
        """
    out = client(code, name=name, host=locked_registry, nonce=nonce, password="s3cret")
    assert out[0].startswith(f"{name}@sha256:") and out[1] == nonce
    # Another session does not know it.
    stranger = new_client(sdk.name)
    failure = stranger.fails("""return await box().with_new_file("/n", nonce).publish(name)""", name=name, nonce=nonce)
    assert failure.kind == "query" and ("401" in failure.message or "nauthorized" in failure.message or "credential" in failure.message), failure
    failure = stranger.fails(code, name=name, host=locked_registry, nonce=nonce, password="wr0ng-" + nonce)
    assert failure.kind == "query" and "wr0ng-" not in repr(failure), failure


def test_without_registry_auth(sdk, locked_registry, nonce, new_client):
    failure = new_client(sdk.name).fails(
        """
        c = box().with_new_file("/n", nonce).with_registry_auth(host, "dev", dag.set_secret(nonce, "s3cret"))
        await c.publish(f"{name}:1")
        return await c.without_registry_auth(host).publish(f"{name}:2")
        """,
        name=f"{locked_registry}/forgotten-{nonce}",
        host=locked_registry,
        nonce=nonce,
    )
    assert failure.kind == "query", failure


def test_our_own_registry(sdk, own_registry, nonce):
    name = f"{own_registry}/team/app-{nonce}:1"
    out = sdk("""ref = await box().with_new_file("/n", nonce).publish(name)\nreturn ref, await dag.container().from_(name).file("/n").contents()""", name=name, nonce=nonce)
    assert out == [f"{name}@{Pulled(name).digest}", nonce]


def test_a_registry_that_is_not_there(sdk):
    failure = sdk.fails("""return await box().publish("127.0.0.1:1/x:1")""")
    assert failure.kind == "query" and "127.0.0.1:1" in failure.message, failure


@pytest.mark.parametrize("name", ["127.0.0.1:1/UPPER/case:1", "a b", ""])
def test_names_that_are_none(sdk, name):
    failure = sdk.fails("""return await box().publish(name)""", name=name)
    assert failure.kind == "query", failure


def test_export(sdk, tmp_path, layers, skopeo, nonce):
    path = tmp_path / "image.tar"
    out = sdk("""return await box().with_new_file("/n", nonce).with_label("l", "1").export(path)""", path=str(path), nonce=nonce)
    assert out == str(path)
    assert layers(path)["n"].data == nonce.encode()
    assert json.loads(skopeo("inspect", "--config", f"oci-archive:{path}"))["config"]["Labels"]["l"] == "1"


def test_export_of_several_platforms(sdk, tmp_path):
    path = tmp_path / "image.tar"
    sdk(
        """
        made = [dag.container(platform=dagger.Platform(p)).with_new_file("/p", p) for p in ["linux/amd64", "linux/arm64"]]
        return await dag.container().export(path, platform_variants=made)
        """,
        path=str(path),
    )
    with tarfile.open(path) as tar:
        index = json.loads(tar.extractfile("index.json").read())
        manifests = index["manifests"]
        if len(manifests) == 1:
            manifests = json.loads(tar.extractfile("blobs/" + manifests[0]["digest"].replace(":", "/")).read())["manifests"]
    assert sorted(m["platform"]["architecture"] for m in manifests) == ["amd64", "arm64"]


def test_tarball_and_import(sdk, nonce):
    out = sdk(
        """
        c = box().with_new_file("/n", nonce).with_env_variable("A", "1").with_entrypoint(["cat"])
        t = c.as_tarball()
        d = dag.container().import_(t)
        return await t.size() > 1000, await d.file("/n").contents(), await d.env_variable("A"), await d.with_exec(["/n"], use_entrypoint=True).stdout()
        """,
        nonce=nonce,
    )
    assert out == [True, nonce, "1", nonce]


def test_import_of_what_others_packed(sdk, registry, tmp_path, skopeo, nonce):
    name = f"{registry}/packed-{nonce}:1"
    sdk("""return await box().with_new_file("/n", nonce).publish(name)""", name=name, nonce=nonce)
    skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"docker-archive:{tmp_path}/docker.tar:some/name:9")
    skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"oci-archive:{tmp_path}/oci.tar:9")
    for file in ("docker.tar", "oci.tar"):
        out = sdk("""return await dag.container().import_(dag.host().file(path)).file("/n").contents()""", path=str(tmp_path / file))
        assert out == nonce, file


def test_import_of_no_image(sdk):
    failure = sdk.fails("""return await dag.container().import_(dag.file("x.tar", "not an archive")).sync() is None""")
    assert failure.kind == "query", failure


def test_the_cache_can_be_pruned(sdk):
    """Nothing that is in use goes."""
    out = sdk(
        """
        c = await box().with_new_file("/kept", "x").sync()
        await dag.engine().local_cache().prune(max_used_space="100GB", target_space="90GB")
        return await c.file("/kept").contents()
        """
    )
    assert out == "x"
