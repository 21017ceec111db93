# SPDX-License-Identifier: Apache-2.0
"""The memory of activations: L2, which also holds weights and code; RAM, if they are read in place
from flash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from myoedge.reports.report_json import Report
from myoedge.reports.wording import fraction, layer_names, percent, size

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
    """Return the bytes in use of the memory of activations: of data, and of the linked program."""
    return int(report["memory"]["l2_peak_bytes"] + program_bytes(report))


def program_bytes(report: Report) -> int:
    """Return the bytes of the linked program in the memory of activations: of code, or of the
    variables of a program in flash; 0 before linking."""
    memory = report["memory"]
    return (memory["variables_bytes"] if has_flash(report) else memory["code_bytes"]) or 0


def beside(report: Report) -> list[str]:
    """Name the stack, which no figure of the memory of activations counts: "besides, a run needs a
    stack of 4 KiB"; [] without one."""
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
    return {name: count for name, count in sizes.items() if count}


def bytes_with_program(report: Mapping[str, Any]) -> Mapping[str, int]:
    """Return flash on the chip -> its bytes with those of a boot image that fits there."""
    memory, held = report["memory"], levels(report)
    boot_bytes = memory.get("boot_image_bytes") or 0
    rooms = memory.get("boot_rooms", {}).items()
    return {name: held.get(name, 0) + boot_bytes * (boot_bytes <= room) for name, room in rooms}


def part_names(number: int) -> str:
    """Name as many parts beside the chip: "none", "flash", "RAM and flash"."""
    return " and ".join(PARTS[:number][::-1]) or "none"


def used_bytes(parts: Sizes) -> int:
    """Return the sum of the known sizes."""
    return sum(count or 0 for count in parts.values())


# --- for people -----------------------------------------------------------------------------------


def sized(parts: Sizes) -> str:
    """Format sizes by name, those that are known."""
    return ", ".join(f"{name} {size(n)}" for name, n in parts.items() if n is not None)


def l1_parts(report: Report) -> str:
    """Format the parts of L1, "tiles 6.54 KiB, stacks 11.2 KiB, runtime 768 B"; "" without L1."""
    memory = report["memory"]
    planned, reserved = memory["l1_planned_bytes"], memory["l1_reserved_bytes"]
    if planned is None:
        return ""
    stacks = memory.get("l1_stacks_bytes")
    known = None if stacks is None else f"stacks {size(stacks)}, runtime {size(reserved - stacks)}"
    return f"tiles {size(planned - reserved)}, {known or f'stacks and runtime {size(reserved)}'}"


def of_limit(used: int, limit: int | None) -> str:
    """Format a size with its fraction of a memory: "40.2 KiB of 1.5 MiB (2.6 %)"."""
    share = f" of {size(limit)} ({percent(fraction(used, limit))})" if limit else ""
    return f"{size(used)}{share}"


def arena_bound(report: Report) -> str:
    """Describe the arena's size and its lower bound: "3 KiB, proven smallest; at least 2.5 KiB are
    alive at once"; "" if both are equal."""
    memory = report["memory"]
    arena, lower_bound = memory["arena_bytes"], memory["lower_bound_bytes"]
    if any(memory.get("levels", {"l3": memory["l3_bytes"]}).values()):
        return f"{size(arena)}, buffers for weights from other memories included"
    if arena == lower_bound:
        return ""
    proof = "proven smallest" if memory["proven"] else "not proven smallest"
    return f"{size(arena)}, {proof}; at least {size(lower_bound)} are alive at once"


def peak(report: Report) -> str:
    """Return the buffers in use at the arena's peak: "features.0 + 1 (1.5 KiB), scratch (512
    B)"."""
    names, memory, sizes = layer_names(report), report["memory"], Counter[str]()
    for row in memory["buffers"]:
        if row["name"] in memory["peak_buffers"]:
            sizes[names.get(row["name"], buffer_name(row))] += row["size_bytes"]
    return ", ".join(f"{name} ({size(count)})" for name, count in sizes.items())


def from_l3(report: Report) -> str:
    """Format the bytes that every run moves to and from L3; "" for none."""
    memory = report["memory"]
    maps = sum(row["size_bytes"] for row in memory.get("l3_maps", ()))
    parts = {"weights": memory.get("l3_weights_bytes", memory["l3_bytes"]), "feature maps": maps}
    return ", ".join(f"{name} {size(count)}" for name, count in parts.items() if count)


def behind_l2(report: Report) -> list[str]:
    """Format the bytes that a run moves from each level behind L2, and those of the boot image."""
    memory = report["memory"]
    moved = {"l3": from_l3(report)} if memory["l3_bytes"] else {}
    others = {x: count for x, count in levels(report).items() if x != "l3"}
    moved |= {name: f"weights {size(count)}" for name, count in others.items()}
    texts = [f"from {name.upper()} in every run: {text}" for name, text in moved.items()]
    if texts and (stored := memory.get("boot_image_bytes")):
        rooms = memory.get("boot_rooms", {}).items()
        image = (f"{name.upper()} has room for one of {size(room)}" for name, room in rooms)
        texts.append(", ".join([f"boot image {size(stored)}", *image]))
    return texts


def external_parts(report: Report) -> str:
    """Name the parts beside the chip, "RAM and flash", "none"; "" for a build without a chip."""
    memory = report["memory"]
    if memory.get("boot_image_bytes") is None:
        return ""
    return part_names(len(memory["external"]))
