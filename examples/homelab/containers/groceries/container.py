"""What to buy, on all phones at once: an Elixir release with its page, which Node bundles, on Debian."""

import dagger
from cooper.containers import debian_runtime, elixir_release, node_build
from homelab import service, toolchain

VERSION = "0.3.0"


async def build(src: dagger.Directory) -> dagger.Container:
    here = src.directory("containers/groceries")
    release = elixir_release(
        here.filter(include=["mix.exs", "lib"]),
        "groceries",
        assets=node_build(here.directory("assets"), image=toolchain("nodejs", "npm")),
        env={"VERSION": VERSION},
        image=toolchain("elixir"),
    )
    groceries = (
        debian_runtime("libtinfo6", "libstdc++6", "zlib1g")
        .with_directory("/opt/groceries", release)
        .with_env_variable("LANG", "C.UTF-8")
        .with_env_variable("RELEASE_DISTRIBUTION", "none")
        .with_entrypoint(["/opt/groceries/bin/groceries", "start"])
    )
    return service(groceries, "groceries", VERSION, "A shopping list that all phones see")
