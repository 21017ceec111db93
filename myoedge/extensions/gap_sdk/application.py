# SPDX-License-Identifier: Apache-2.0
"""The project gap_sdk/ around src/: its files, its identity, and the commands that make it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from myoedge.backends.build import Build
from myoedge.codegen.application import Application
from myoedge.codegen.project import Sources, app_values
from myoedge.codegen.render import render
from myoedge.codegen.runtime import mram_values
from myoedge.codegen.stream_values import stream_values
from myoedge.errors import printable
from myoedge.plan.plan import Plan, size_bytes
from myoedge.streaming.stream import Stream

SDK_FOLDER = "gap_sdk"
FIRMWARE = Path(__file__).with_name("firmware")
MARKER = "myoedge gap-sdk"  # prefix of the program's digest, by which it is found in an ELF file
CONSOLE = ("console.c", "console.h", "serve.c")  # files that an application replaces


def project_files(
    plan: Plan,
    model_name: str,
    sources: Sources,
    stream: Stream | None = None,
    application: Application | None = None,
) -> dict[str, str]:
    """Return the files of gap_sdk/ by their path there: CMake project, program, PMSIS runtime; they
    refer to ../src.

    application   program of `sources` that runs instead of the console
    """
    digest = build_digest(sources, plan.image("l3") + plan.image("mram"))
    values = {
        **app_values(plan, model_name, sources.digest),
        "stream": stream is not None,
        "app": application.name if application is not None else "",
        "app_sources": []
        if application is None
        else application.sources_in(SDK_FOLDER, sources.files),
        **({} if stream is None else _ports(plan, stream)),
        "marker": marker(plan.chip.name, digest),
        "l3_all_bytes": plan.l3_bytes + plan.map_bytes,
        "points": plan.chip.points,
        "lowest_hz": min(point.clock_hz for point in plan.chip.points),
        "voltages": plan.chip.voltages,
        **mram_values(plan),
    }
    files = _render_folder(values)
    if application is not None:
        files = {name: text for name, text in files.items() if name not in CONSOLE}
        files |= application.files_in(SDK_FOLDER)
    return files


def _ports(plan: Plan, stream: Stream) -> dict[str, Any]:
    """Return template values for the frames that are pushed and the output frames of a pass,
    without states."""
    pushed = stream_values(plan, stream)["inputs"]
    counts = {
        "inputs": [port["outer"] * port["piece_bytes"] for port in pushed],
        "outputs": [size_bytes(plan.quant, port.name) for port in stream.outputs],
    }
    row = {"type": "int8_t", "map": None}
    return {
        name: [{**row, "number": i, "count": count} for i, count in enumerate(sizes)]
        for name, sizes in counts.items()
    }


def _render_folder(values: Mapping[str, Any]) -> dict[str, str]:
    """Return path in gap_sdk/ -> text for all files of the template folder."""
    files = {}
    for path in sorted(path for path in FIRMWARE.rglob("*") if path.is_file()):
        name, made = path.relative_to(FIRMWARE).as_posix(), path.suffix == ".j2"
        text = render(name, values, FIRMWARE) if made else path.read_text()
        files[name.removesuffix(".j2")] = text
    return files


def build_digest(sources: Sources, images: bytes) -> str:
    """Return the sha256 of all files of src/, with their names, and of l3.bin and mram.bin."""
    digest = hashlib.sha256()
    for name, text in sources.files.items():
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    digest.update(images)
    return digest.hexdigest()


def marker(chip: str, digest: str) -> str:
    """Return the identity that an application reports: chip and digest of the build."""
    return f"{MARKER} {chip} {digest}"


def marker_of(build: Build) -> str:
    """Return the identity of a build's application. Errors: E240 a build without one."""
    needs = {"needs": "an application of the GAP SDK"}
    text = build.having(f"{SDK_FOLDER}/ports.c", "application", needs, app="gap-sdk").decode()
    found = re.search(rf"{MARKER} \w+ [0-9a-f]{{64}}", text)
    assert found is not None, "as ports.c.j2 has it"
    return found.group()


def image_step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the commands that compile a build's application with the GAP SDK, if it has one."""
    source = build.folder / SDK_FOLDER
    if not source.is_dir():
        return
    if "GAP_SDK_HOME" not in os.environ:
        yield ". GAP9_SDK/configs/gap9_evk_audio.sh   # GAP9_SDK: the folder of the GAP SDK"
    made = source / "build"
    has_files = build.report["memory"]["l3_bytes"] or build.mram_image
    target = "image_with_l3" if has_files else "image"
    yield printable(shlex.join(["cmake", "-S", str(source), "-B", str(made)]))
    yield printable(shlex.join(["cmake", "--build", str(made), "--target", target]))
