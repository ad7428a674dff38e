"""@NAME@: a Go program, with a page that Node bundles inside."""

import dagger
from cooper.containers import debian_runtime, go_build, node_build, oci_labels

VERSION = "@VERSION@"  # of the tag: change it with what it stands for


async def build(src: dagger.Directory) -> dagger.Container:
    here = src.directory("@DIR@")
    # Compilers of Debian. Newer ones: image="node:22-bookworm-slim", image="golang:1.25-bookworm". A project from elsewhere instead of `here`:
    # clone("https://git.example/mirrors/@NAME@.git", f"v{VERSION}"), also from cooper.containers.
    node = debian_runtime("ca-certificates", "nodejs", "npm", uid=None)
    go = debian_runtime("ca-certificates", "golang-go", uid=None)

    page = node_build(here.directory("page"), env={"VERSION": VERSION}, image=node)
    program = go_build(
        here.filter(include=["go.mod", "go.sum", "**/*.go"]).with_directory("page/dist", page),
        output="@NAME@",
        ldflags=f"-X main.version={VERSION}",
        image=go,
    )

    # What the program needs when it runs: debian_runtime("ca-certificates", "ffmpeg"). It runs as an unprivileged user.
    made = (
        debian_runtime("ca-certificates")
        .with_file("/usr/bin/@NAME@", program)
        .with_exposed_port(8080)
        .with_entrypoint(["/usr/bin/@NAME@"])
        .with_default_args(["-listen", ":8080"])
    )
    return oci_labels(made, title="@NAME@", version=VERSION)
