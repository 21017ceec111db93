# SPDX-License-Identifier: Apache-2.0
"""The memory of activations: L2, which also holds weights and code; RAM, if they are read in place
from flash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from myoedge.reports.report_json import Report
from myoedge.targets import find_chip

# Kind of a buffer of a memory level's data -> its name; others have the name of their kind
OF_LEVELS = {"weights": "weights from {}", "window": "window on {}"}
# Of a chip with flash: the code's use of it, as other programs of the library have other code
PROGRAM_CODE = "code with the test program"
PARTS = ("flash", "RAM")  # beside the chip: a network that needs a RAM needs a flash too
Sizes = Mapping[str, int | None]  # use -> bytes; None: unknown before the program is linked


def buffer_name(buffer: Mapping[str, Any]) -> str:
    """Return the name of a buffer by its kind and memory level."""
    kind: str = buffer["kind"]
    return OF_LEVELS.get(kind, kind).format(buffer.get("level", "l3").upper())


def has_flash(report: Mapping[str, Any]) -> bool:
    """Return whether the chip reads code and weights in place."""
    return bool(report.get("target", {}).get("flash_bytes"))


def name(report: Report) -> str:
    """Return the name of the memory of activations."""
    return "RAM" if has_flash(report) else "L2"


def title(report: Report) -> str:
    """Return the heading of its figures."""
    return "RAM" if has_flash(report) else "L2 memory"


def sizes(report: Report) -> Sizes:
    """Return the bytes of the memory of activations by use."""
    memory = report["memory"]
    ports = memory["input_bytes"] + memory["output_bytes"]
    if has_flash(report):
        return {
            "activations": memory["arena_bytes"] - memory["scratch_bytes"],
            "scratch": memory["scratch_bytes"],
            "in and out": ports,
            "variables": memory["variables_bytes"],
        }
    return {
        "weights": memory["weights_bytes"],
        "activations": memory["arena_bytes"],
        "in and out": ports,
        "code": memory["code_bytes"],
    }


def bytes_in_use(report: Report) -> int:
    """Return the bytes of the memory of activations in use: data, and what the linked program takes
    besides."""
    return int(report["memory"]["l2_peak_bytes"] + program_bytes(report))


def program_bytes(report: Report) -> int:
    """Return the bytes of the memory of activations that the linked program takes besides data: its
    code, or the variables of one in flash; 0 before it is linked."""
    memory = report["memory"]
    return (memory["variables_bytes"] if has_flash(report) else memory["code_bytes"]) or 0


def beside(report: Report, size: Callable[[int], str]) -> list[str]:
    """Name the bytes of the memory of activations that are in no figure: "besides, a run needs a
    stack of 4 KiB"; [] if all are.

    size   bytes -> text
    """
    stack_bytes = report["memory"].get("stack_bytes")
    return [f"besides, a run needs a stack of {size(stack_bytes)}"] if stack_bytes else []


def flash_sizes(report: Report) -> Sizes:
    """Return the bytes of the flash by use; {} if weights and code are loaded."""
    memory = report["memory"]
    if not has_flash(report):
        return {}
    return {"weights": memory["weights_bytes"], PROGRAM_CODE: memory["code_bytes"]}


def levels(report: Mapping[str, Any]) -> Mapping[str, int]:
    """Return memory level behind the memory of activations -> bytes, of levels with data; reports
    of version 0.1.0 have L3 alone."""
    memory = report["memory"]
    sizes = memory.get("levels", {"l3": memory["l3_bytes"]})
    return {name: size for name, size in sizes.items() if size}


def external_parts(number: int) -> str:
    """Name as many parts beside the chip: "none", "flash", "RAM and flash"."""
    return " and ".join(PARTS[:number][::-1]) or "none"


def boot_image(report: Report, size: Callable[[float | None], str]) -> Iterator[str]:
    """Yield the size of the boot image, with the room for it in the flash on the chip."""
    if stored := report["memory"].get("boot_image_bytes"):
        text, weights = f"boot image {size(stored)}", levels(report)
        for level in find_chip(report["target"]["chip"]).optional_levels:
            if level.program_bytes:
                room = size(level.boot_room_bytes(weights.get(level.name, 0)))
                text += f", {level.name.upper()} has room for {room}"
        yield text


def used_bytes(parts: Sizes) -> int:
    """Return the sum of the known sizes."""
    return sum(size or 0 for size in parts.values())
