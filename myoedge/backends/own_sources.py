# SPDX-License-Identifier: Apache-2.0
"""The C of a build folder, compared with what its network gives: the only C that is compiled.

A folder may come from anybody, and its manifest has digests, not signatures. Sources that this
computer generated are known by the digest of their manifest; those of other folders are generated
again from graph.json, the weights and the manifest's settings, and compared byte by byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from myoedge.backends.build_folder import BuildFolder
from myoedge.backends.report_folder import damaged, remember_made_here
from myoedge.codegen.application import ListedApplication
from myoedge.codegen.build_sources import build_sources
from myoedge.codegen.firmware import FOLDER
from myoedge.codegen.made_with import read_made_with
from myoedge.errors import MyoedgeError
from myoedge.plan.plan_json import describe
from myoedge.plan.schedule import make_plan
from myoedge.system.folder import MANIFEST, to_json
from myoedge.system.library import KINDS, PROGRAMS

SRC = "src"
CODE = (*KINDS, ".S")


def own_sources(build: BuildFolder) -> dict[str, bytes]:
    """Return the files of src/ by name, each as the code generator wrote it.

    Errors: E222 a file that differs, is missing, or is C that is not of the build.
    """
    listed = _listed(build)
    files = listed if build.made_here else _generated(build)
    differing = (name for name, content in files.items() if listed.get(name) != content)
    if name := next(differing, None):
        raise _foreign(build, f"{SRC}/{name} is not what graph.json and the weights give")
    for name in (*listed, *_code(build.folder / SRC)):
        if name not in files and name not in PROGRAMS:
            raise _foreign(build, f"{SRC}/{name} is not of the build")
    if not build.made_here:
        remember_made_here(build.manifest)
    return files


def _listed(build: BuildFolder) -> dict[str, bytes]:
    """Return the files of src/ that the manifest lists. Errors: E222 missing or changed ones."""
    start = f"{SRC}/"
    names = [name for name in build.digests if name.startswith(start)]
    return {name.removeprefix(start): build.written(name) for name in names}


def _foreign(build: BuildFolder, cause: str) -> MyoedgeError:
    """Return E222 for C that myoedge did not generate."""
    return damaged(build.folder, ValueError(cause), versions=build.versions)


def _code(src: Path) -> Iterator[str]:
    """Yield the names of the C files below a folder, and of links to folders."""
    for place, folders, names in os.walk(src):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*links, *(name for name in names if name.endswith(CODE))):
            yield Path(place, name).relative_to(src).as_posix()


def _generated(build: BuildFolder) -> dict[str, bytes]:
    """Generate src/ again. Errors: E222 no network, or another one's l3.bin."""
    stream, network, parts = build.stream, build.network, build.parts
    with build.meaningful(MANIFEST):
        if "made_with" not in build.manifest:
            raise ValueError("an older version built it")
        made = read_made_with(build.manifest["made_with"])
        network = made.network(network)
        plan = make_plan(network, made.chip, tile_ranks=made.tile_ranks)
        sample = build.golden_run(network, stream)
        application = _application(build, made.application)
        name = str(build.manifest["model"]["name"])
        around = (stream, application, parts)
        sources = build_sources(plan, name, sample, made.options, *around)
        if json.loads(to_json(describe(plan))) != json.loads(build.written("plan.json")):
            raise ValueError("plan.json is not what graph.json and the weights give")
        if build.images != plan.image_files:
            raise ValueError("l3.bin or mram.bin is not what graph.json and the weights give")
    return {name: text.encode() for name, text in sources.files.items()}


def _application(build: BuildFolder, name: str) -> ListedApplication | None:
    """Return the build's application, with its files as they are: no host compiles them."""
    if not name:
        return None
    files = _listed(build).items()
    own = {path: text.decode() for path, text in files if path.startswith(f"{FOLDER}/{name}/")}
    return ListedApplication(name, own)
