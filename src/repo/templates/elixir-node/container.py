"""@NAME@: an Elixir release, with assets that Node bundles, on Debian."""

import dagger
from cooper.containers import debian_runtime, elixir_release, node_build, oci_labels

VERSION = "@VERSION@"  # of the tag: change it with what it stands for


async def build(src: dagger.Directory) -> dagger.Container:
    here = src.directory("@DIR@")
    # Debian's Elixir and Node. Newer ones: image="elixir:1.18-otp-27-slim", image="node:22-bookworm-slim"; the runtime must be of the same release of
    # Debian as the image that Elixir compiles in. A project from elsewhere instead of `here`: clone("https://git.example/mirrors/@NAME@.git", f"v{VERSION}"),
    # also from cooper.containers. A Phoenix project wants tasks=["phx.digest"].
    node = debian_runtime("ca-certificates", "nodejs", "npm", uid=None)
    elixir = debian_runtime("ca-certificates", "elixir", uid=None)

    release = elixir_release(
        here.filter(include=["mix.exs", "mix.lock", "config", "lib", "priv"]),
        "service",
        assets=node_build(here.directory("assets"), env={"VERSION": VERSION}, image=node),
        env={"VERSION": VERSION},
        image=elixir,
    )

    made = (
        debian_runtime("libtinfo6", "libstdc++6", "zlib1g")
        .with_directory("/opt/@NAME@", release)
        .with_file("/usr/local/bin/start", here.file("start.sh"), permissions=0o755)
        .with_env_variable("LANG", "C.UTF-8")
        .with_env_variable("RELEASE_DISTRIBUTION", "none")
        .with_exposed_port(8080)
        .with_entrypoint(["/usr/local/bin/start"])
    )
    return oci_labels(made, title="@NAME@", version=VERSION)
