# SPDX-License-Identifier: Apache-2.0
"""The GAP SDK application around src/."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from myoedge.codegen.application import Application
from myoedge.codegen.project import Sources, app_values
from myoedge.codegen.render import render, template_dir
from myoedge.codegen.stream_values import stream_values
from myoedge.plan.plan import Plan, size_bytes
from myoedge.streaming.stream import Stream

SDK_FOLDER = "gap_sdk"
MARKER = "myoedge gap-sdk"  # prefix of the program's digest, by which it is found in an ELF file
CONSOLE = ("console.c", "console.h", "serve.c")  # files that an application replaces


def sdk_application(
    plan: Plan,
    model_name: str,
    sources: Sources,
    stream: Stream | None = None,
    application: Application | None = None,
) -> dict[str, str]:
    """Return the files of gap_sdk/: CMake project, program, PMSIS runtime; they refer to ../src.

    application   program of `sources` that runs instead of the console
    """
    digest = build_digest(sources, plan.l3_image())
    values = {
        **app_values(plan, model_name, sources.digest),
        "stream": stream is not None,
        "app": application.name if application is not None else "",
        "app_sources": application.sdk_sources(sources.files) if application is not None else [],
        **({} if stream is None else _ports(plan, stream)),
        "marker": marker(plan.chip.name, digest),
        "l3_all_bytes": plan.l3_bytes + plan.map_bytes,
        "points": plan.chip.points,
        "lowest_hz": min(point.clock_hz for point in plan.chip.points),
        "voltages": plan.chip.voltages,
    }
    files = _render_folder(values)
    if application is not None:
        files = {name: text for name, text in files.items() if name not in CONSOLE}
        files |= application.sdk_files()
    return {f"{SDK_FOLDER}/{name}": text for name, text in files.items()}


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
    folder = template_dir() / "app_gap_sdk"
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, made = path.relative_to(folder).as_posix(), path.suffix == ".j2"
        text = render(f"app_gap_sdk/{name}", values) if made else path.read_text()
        files[name.removesuffix(".j2")] = text
    return files


def build_digest(sources: Sources, l3: bytes) -> str:
    """Return the sha256 of all files of src/, with their names, and of l3.bin."""
    digest = hashlib.sha256()
    for name, text in sources.files.items():
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    digest.update(l3)
    return digest.hexdigest()


def marker(chip: str, digest: str) -> str:
    """Return the identity that an application reports: chip and digest of the build."""
    return f"{MARKER} {chip} {digest}"
