# SPDX-License-Identifier: Apache-2.0
"""The driver of the chip's flash on the simulated chip waits for events and uses fused words."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import pytest

from myoedge.codegen.firmware import link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.errors import MyoedgeError
from myoedge.simulator import FlashState, Simulation, simulate
from tests.firmware.programs import PROGRAMS

FUSES = {1: 0x800, 65: 7, **{66 + n: 0x01020304 + n for n in range(7)}}
PROGRAMMED = bytes((7 * i + (i >> 8)) & 0xFF for i in range(4000))


@functools.cache
def elf(changed: tuple[str, str] = ("", "")) -> bytes:
    """The program with the driver, in whose source a text may be replaced."""
    storage = template_dir() / "storage"
    files = {name: (storage / name).read_text() for name in ("me_mram.c", "me_mram.h")}
    assert changed[0] in files["me_mram.c"]
    files["me_mram.c"] = files["me_mram.c"].replace(*changed)
    files |= {"library/me_flash.h": (storage / "me_flash.h").read_text()}
    files |= {"me_status.h": (storage.parent / "include" / "me_status.h").read_text()}
    files |= {"flash.c": (PROGRAMS / "flash.c").read_text()}
    return link({**runtime(), **files}, cc="zig").elf


def ran(program: bytes, fuses: Mapping[int, int]) -> Simulation:
    return simulate(program, flash=FlashState(b"\0" * 0x4000, fuses=fuses), max_cycles=10_000_000)


@pytest.mark.parametrize("fuses", [{}, FUSES, {**FUSES, 1: 0}, {**FUSES, 65: 99}])
def test_the_driver_stores_and_finds_bytes_whatever_is_fused(fuses: dict[int, int]) -> None:
    done = ran(elf(), fuses)
    assert done.exit_code == 42
    assert done.flash[:0x2000] == b"\0" * 0x2000
    assert done.flash[0x2000:0x2100] == b"\xff" * 0x100
    assert done.flash[0x2100 : 0x2100 + 4000] == PROGRAMMED


def test_a_driver_that_overwrites_fused_words_is_refused() -> None:
    changed = elf(("& HAS_TRIM", "& 0"))
    assert ran(changed, {}).exit_code == 42
    with pytest.raises(MyoedgeError, match="other words than those of the chip's eFUSEs"):
        ran(changed, FUSES)


def test_a_driver_that_polls_the_busy_bits_is_refused() -> None:
    polls = "    while (ME_REG(BASE + 0x1Cu) & 7u)\n        ;\n    if (0)\n        await(event);\n"
    changed = elf(("    await(event);\n", polls))
    with pytest.raises(MyoedgeError, match="before the event that ends the first"):
        ran(changed, {})
