# SPDX-License-Identifier: Apache-2.0
"""The golden sample of a build, run by its C on the host before the folder is written."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.backends.build import Build
from myoedge.backends.equivalence import Difference, first_difference
from myoedge.backends.report_folder import remember_made_here
from myoedge.backends.samples import golden_sample
from myoedge.codegen.known_answer import repeated
from myoedge.errors import MyoedgeError
from myoedge.operators.engine_choice import CORES
from myoedge.system import tools
from myoedge.system.cache import disk_full_error
from myoedge.targets import find_chip

REPORT = "report it with the model file: it is a bug of myoedge"


def check_golden(files: Mapping[str, bytes]) -> None:
    """Compare the C on the host with the reference for the golden sample, layer by layer; for a
    stream, in all passes.

    files   all files of a build folder

    Errors: E281 disk full; E401 the integers differ; E501, E910 the C does not compile.
    """
    with tools.scratch() as folder:
        try:
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        except OSError as error:
            raise disk_full_error(error.strerror or "") or error from None
        build = Build(folder)
        remember_made_here(build.manifest)
        sample, stream = golden_sample(build), build.stream
        whole = sample if stream is None else repeated(stream, sample, stream.frames)
        _, difference = first_difference(build, [whole])
        if difference is not None:
            raise _differs(build, difference)


def _differs(build: Build, found: Difference) -> MyoedgeError:
    """Return E401 for the first layer that differs."""
    facts = {
        "layer": found.where,
        "place": f"{found.name}{[*found.index]}",
        "expected": found.expected,
        "got": found.got,
    }
    title = "the C does not compute the reference's integers on the host"
    return MyoedgeError("E401", title, facts, [*_on_cores(build, found), REPORT])


def _on_cores(build: Build, found: Difference) -> list[str]:
    """Return the setting by which a layer of an accelerator runs on the cores; [] for others."""
    rows, node = build.report["layers"], build.network.graph.producer.get(found.name)
    chip = find_chip(str(build.manifest["target"]))
    accelerators = {engine.name for engine in chip.engines if engine.accelerator}
    if found.layer >= len(rows) or rows[found.layer]["engine"] not in accelerators:
        return []
    path = next((origin.path for origin in (node.origin if node else ()) if origin.path), "")
    return [f'[engine] "{path}" = "{CORES}"' if path else f"--engine {CORES}"]
