# SPDX-License-Identifier: Apache-2.0
"""Sources -> the GAP SDK application around them: the files of gap_sdk/, as text."""

from __future__ import annotations

import hashlib
from typing import Any

from myoedge.codegen.project import Sources, app_values, stream_values
from myoedge.codegen.render import render, template_dir
from myoedge.plan.plan import Plan, size_bytes
from myoedge.streaming.stream import Stream

FOLDER = "gap_sdk"
MARKER = "myoedge gap-sdk"  # what the program's digest starts with, so that it is found in an ELF


def build_digest(sources: Sources, l3: bytes) -> str:
    """sha256 of all that runs: every file of src/ by name, and l3.bin."""
    digest = hashlib.sha256()
    for name, text in sources.files.items():
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    digest.update(l3)
    return digest.hexdigest()


def marker(chip: str, digest: str) -> str:
    """Identity of the application: chip and build."""
    return f"{MARKER} {chip} {digest}"


def sdk_application(
    plan: Plan, model_name: str, sources: Sources, stream: Stream | None = None
) -> dict[str, str]:
    """The files of gap_sdk/: CMake project, program, PMSIS runtime; src/ is used where it lies."""
    digest = build_digest(sources, plan.l3_image())
    ports: dict[str, Any] = {}
    if stream is not None:  # frames that are pushed and that a pass makes ready, without states
        pushed = stream_values(plan, stream)["inputs"]
        counts = {
            "inputs": [port["outer"] * port["piece_bytes"] for port in pushed],
            "outputs": [size_bytes(plan.quant, port.name) for port in stream.outputs],
        }
        row = {"type": "int8_t", "map": None}
        ports = {
            name: [{**row, "number": i, "count": count} for i, count in enumerate(sizes)]
            for name, sizes in counts.items()
        }
    values = {
        **app_values(plan, model_name),
        "stream": stream is not None,
        **ports,
        "marker": marker(plan.chip.name, digest),
        "l3_all_bytes": plan.l3_bytes + plan.map_bytes,
    }
    files = {}
    for path in sorted((template_dir() / "app_gap_sdk").iterdir()):
        made = path.suffix == ".j2"
        text = render(f"app_gap_sdk/{path.name}", values) if made else path.read_text()
        files[f"{FOLDER}/{path.name.removesuffix('.j2')}"] = text
    return files
