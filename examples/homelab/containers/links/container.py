"""Short names for long addresses: one Go program, with its page, which Node bundles, inside."""

import dagger
from cooper.containers import go_build, node_build
from dagger import dag
from homelab import service, toolchain

VERSION = "1.2.0"


async def build(src: dagger.Directory) -> dagger.Container:
    here = src.directory("containers/links")
    page = node_build(here.directory("page"), env={"VERSION": VERSION}, image=toolchain("nodejs", "npm"))
    program = go_build(
        here.filter(exclude=["page", "container.py"]).with_directory("page/dist", page),
        output="links",
        ldflags=f"-X main.version={VERSION}",
        image=toolchain("golang-go"),
    )
    links = dag.container().with_file("/usr/bin/links", program).with_entrypoint(["/usr/bin/links"])
    return service(links, "links", VERSION, "Short names for long addresses")
