# SPDX-License-Identifier: Apache-2.0
"""Checks of constants in L3: a bit that changes is found by the slice that holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.codegen.firmware import link
from myoedge.simulator import RunOptions, simulate
from tests.firmware.test_loading import NO_L3, External, check_slices, linear
from tests.firmware.two_networks import texts


def test_a_bit_that_changes_in_l3_is_found_without_a_blob(tmp_path: Path) -> None:
    build = linear(tmp_path, "built", 0, checks=True, weights_blob=False)
    slices = check_slices(build)
    external = External(build)
    external.finds_inverted_bits(slices)
    external.pointer.value = None
    of_l3 = -(-len(external.image) // 4096)
    found = [build.library.handle.gesture_check(i) for i in slices]
    assert found == [0] * (len(slices) - of_l3) + [NO_L3] * of_l3, "without memory for L3"


ALL_SLICES = """
#include "gesture.h"
#include "l3.h"
#include "marks.h"
#include "platform.h"

volatile uint32_t me_marks[GESTURE_LAYERS + 2] ME_L1;
uint32_t cycles[GESTURE_CHECK_SLICES], found[BITS];
static uint8_t word[4];

static void invert(uint32_t at)
{
    me_l3_fetch(at & ~3u, word, 4);
    word[at & 3u] ^= 64;
    me_l3_store(at & ~3u, word, 4);
}

static uint32_t first_wrong(void)
{
    uint32_t slice = 0;
    while (slice < GESTURE_CHECK_SLICES && gesture_check((int32_t)slice) == 0)
        slice++;
    return slice;
}

int main(void)
{
    static const uint32_t places[BITS] = PLACES;
    if (!me_l3_load("l3.bin", GESTURE_L3_BYTES))
        return 1;
    for (int32_t i = 0; i < 2 * GESTURE_CHECK_SLICES; i++) { /* then with code in the cache */
        const uint32_t before = me_cycles();
        if (gesture_check(i % GESTURE_CHECK_SLICES))
            return 2;
        cycles[i % GESTURE_CHECK_SLICES] = me_cycles() - before;
    }
    for (int32_t i = 0; i < BITS; i++) {
        invert(places[i]);
        found[i] = first_wrong();
        invert(places[i]);
    }
    return 0;
}
"""


@pytest.mark.parametrize("weights_blob", [False, True])
def test_the_chip_finds_a_bit_that_changes_in_l3(weights_blob: bool, tmp_path: Path) -> None:
    """Cycles: as docs/product/releases.md states them."""
    build = linear(tmp_path, "built", 0, checks=True, weights_blob=weights_blob)
    image = build.l3_image or b""
    (tmp_path / "l3.bin").write_bytes(image)
    places = (0, 4095, 4096, len(image) - 1)
    macros = {"BITS": len(places), "PLACES": f"{{ {', '.join(map(str, places))} }}"}
    main = "".join(f"#define {name} {value}\n" for name, value in macros.items()) + ALL_SLICES
    files = texts(build.folder / "src", "[!s]*.[ch]", "library/*", "firmware/*.*")
    made = link({**files, "firmware/main.c": main})
    sizes = {"cycles": 4 * len(check_slices(build)), "found": 4 * len(places)}
    dump = [(made.program.symbols[name], size) for name, size in sizes.items()]
    ran = simulate(made.elf, folder=tmp_path, options=RunOptions(dump=dump))
    assert ran.exit_code == 0
    cycles, found = (np.frombuffer(data, np.uint32) for data in ran.dumps)
    first = len(cycles) - -(-len(image) // 4096)
    assert found.tolist() == [first + at // 4096 for at in places]
    assert 20.5 < cycles[first] / 4096 < 21.5


def test_the_program_ends_if_l3_has_changed(tmp_path: Path) -> None:
    build = linear(tmp_path, "built", 0, checks=True)
    image = bytearray(build.l3_image or b"")
    image[7000] ^= 1
    (tmp_path / "l3.bin").write_bytes(image)
    assert simulate((build.folder / "firmware.elf").read_bytes(), folder=tmp_path).exit_code == 107
