"""What the containers of this repository share. Everything comes from Debian, which the cluster mirrors."""

import dagger
from cooper.containers import debian_runtime, oci_labels

USER = "65532:65532"


def toolchain(*packages: str) -> dagger.Container:
    """Debian with compilers and the like, to build in."""
    return debian_runtime("ca-certificates", *packages, uid=None)


def service(container: dagger.Container, name: str, version: str, description: str) -> dagger.Container:
    """The parts that all services have: port 8080, nobody's user, a folder for data, labels."""
    container = container.with_directory("/data", dagger.dag.directory(), owner=USER).with_user(USER).with_exposed_port(8080)
    return oci_labels(container, title=name, version=version, description=description)
