# SPDX-License-Identifier: Apache-2.0
"""Optional memory levels of a chip that a build uses, by --memory and the board."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace

from myoedge.building.applications import find_application
from myoedge.building.options import BuildOptions
from myoedge.errors import MyoedgeError
from myoedge.system.hooks import hooks
from myoedge.targets import Chip
from myoedge.targets.memories import MemoryLevel

OFF, AUTO = "off", "auto"  # choices of a level


def readers_of_no_level(options: BuildOptions, parts: Container[str]) -> list[str]:
    """Return the options and tables whose programs read no optional memory levels.

    parts   names of the parts of the firmware
    """
    application = find_application(options.app)
    cannot = {
        "--weights-blob": options.weights_blob,
        f"--app {options.app}": application is not None and not application.levels,
        **{f"[{x.name}]": x.name in parts and not x.levels for x in hooks("parts")},
    }
    return [name for name, is_given in cannot.items() if is_given]


def enable_levels(
    chip: Chip, options: BuildOptions, cannot: Sequence[str]
) -> tuple[Chip, tuple[str, ...]]:
    """Return the chip with the optional memory levels that a build uses, and the names of those
    that it could use too. Errors: E204 no such choice, or programs that cannot read them.

    cannot   options and tables whose programs read none
    """
    chosen = _chosen_level(chip, options.memory)
    free = () if cannot else tuple(x.name for x in chip.optional_levels if x != chosen)
    if chosen is None:
        return chip, free
    if cannot:
        title = f"programs of {' and '.join(cannot)} read no weights from {chosen.name}"
        tries = [f"without {' and '.join(cannot)}", f"--memory {chosen.name}={OFF}"]
        raise MyoedgeError("E204", title, tries=tries)
    return chip.with_optional(chosen.name), free


def memory_choices(chip: Chip) -> dict[str, MemoryLevel]:
    """Return value of --memory -> its level."""
    return {f"{x.name}={choice}": x for x in chip.optional_levels for choice in (OFF, AUTO)}


def with_fewer_levels(chip: Chip, allowed: Chip) -> Iterator[Chip]:
    """Yield the chip without each of its memory levels that a build may use, if one of these is
    optional.

    allowed   the chip with only these levels
    """
    for level in allowed.levels if allowed.enabled_levels else ():
        yield replace(chip, levels=tuple(x for x in chip.levels if x.name != level.name))


def _chosen_level(chip: Chip, memory: str | None) -> MemoryLevel | None:
    """Return the level that --memory enables; None for none. Errors: E204 no such choice."""
    if memory is None:
        return None
    levels = memory_choices(chip)
    if memory in levels:
        return levels[memory] if memory.endswith(AUTO) else None
    facts = {"has": ", ".join(levels) or f"no such memory of {chip.name}"}
    tries = [*(f"--memory {x.name}={AUTO}" for x in chip.optional_levels), "without --memory"]
    raise MyoedgeError("E204", f"there is no choice of memory {memory}", facts, tries)
