# SPDX-License-Identifier: Apache-2.0
"""The software bill of materials of a build, in CycloneDX's JSON."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from myoedge.errors import MyoedgeError
from myoedge.system.tools import install_command
from myoedge.version import __version__

if TYPE_CHECKING:
    from cyclonedx.model.component import Component


# Packages used by a build; torch only if the model came from it.
TOOLS = ("jinja2", "numpy", "onnx", "ortools", "safetensors", "torch", "ziglang")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "myoedge")


def software_bill(name: str, digests: Mapping[str, str]) -> str:
    """Return a software bill of materials in CycloneDX's JSON: the network's program, its files and
    the tools of this environment.

    digests   file of the build -> SHA-256
    It has no time stamp, and its serial number follows from the digests: equal builds and tools
    give equal text. Errors: E501 cyclonedx-python-lib is missing.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError:
        tries = [install_command("evidence")]
        title = "the software bill of materials needs cyclonedx-python-lib"
        raise MyoedgeError("E501", title, tries=tries) from None
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, repr(sorted(digests.items()))))
    program = Component(name=name, type=ComponentType.FIRMWARE, bom_ref=name)
    files = [*_file_entries(digests)]
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.metadata.component = program
    bom.metadata.tools.components.update(_tool_entries())
    bom.components.update(files)
    bom.register_dependency(program, files)
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"


def _file_entries(digests: Mapping[str, str]) -> Iterator[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    for name, digest in sorted(digests.items()):
        known = [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
        yield Component(name=name, type=ComponentType.FILE, bom_ref=f"file:{name}", hashes=known)


def _tool_entries() -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType

    versions = {"myoedge": __version__}
    for name in TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for name, version in sorted(versions.items()):
        yield Component(
            name=name, version=version, type=ComponentType.APPLICATION, bom_ref=f"tool:{name}"
        )
