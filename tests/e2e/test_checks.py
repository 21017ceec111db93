# SPDX-License-Identifier: Apache-2.0
"""--checks: the firmware notices changed constants and code; without it, nothing is added."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.equivalence import cases, chip_inputs
from myoedge.backends.samples import golden_sample
from myoedge.codegen.firmware import link
from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions, simulate
from myoedge.simulator.fault import Disturbance
from tests.firmware.two_networks import texts


@pytest.fixture(scope="module")
def checked(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    output = tmp_path_factory.mktemp("checked") / "built"
    data = small / "calib.npz"
    return myoedge.build(small / "model.pt2", calib=data, output=output, prefix="net", checks=True)


def run(build: Build, *faults: Disturbance) -> int:
    """Simulate one inference; the cycle in which it ends."""
    runs = [*cases(build.network, build.stream, [golden_sample(build, short=True)])]
    inputs = chip_inputs(build.stream, runs)
    return build.simulate(inputs, options=RunOptions(disturbed=faults))[1].marks[-1].cycle


def test_a_build_with_checks_is_exact(checked: Build) -> None:
    assert myoedge.validate(checked, on=("host", "simulator")).passed


def test_every_constant_is_in_a_slice_with_its_crc(checked: Build) -> None:
    """CRC-32 of the program's own bytes, by zlib."""
    text = checked.written("src/weights.c").decode()
    rows = re.findall(r"\(const uint8_t \*\)(\w+) \+ (\d+), (\d+)u, (0x[0-9a-f]+)u", text)
    names = re.findall(r"^_Alignas\(4\) const \w+ (\w+)\[", text, re.MULTILINE)
    assert [*dict.fromkeys(name for name, *_ in rows)] == names
    assert f"#define NET_CHECK_SLICES {len(rows)}\n" in checked.written("src/net.h").decode()
    for name, first, size, crc in rows:
        start = checked.program.symbols[f"net_{name}"] + int(first)
        content = next(
            d[start - a :] for a, d in checked.program.segments if a <= start < a + len(d)
        )
        assert zlib.crc32(content[: int(size)]) == int(crc, 16)


@pytest.mark.parametrize("is_code", [False, True])
def test_a_bit_that_changes_during_an_inference_ends_the_program(
    checked: Build, is_code: bool
) -> None:
    """Of code: the start-up code, which runs no more."""
    symbols = checked.program.symbols
    weights = next(name for name in symbols if name.endswith("_weights"))
    place = symbols["_start"] + 4 if is_code else symbols[weights]
    with pytest.raises(MyoedgeError) as caught:
        run(checked, Disturbance(run(checked) - 10, "memory", place, 5))
    assert caught.value.code == "E711"
    assert "code or constants have changed" in str(caught.value)


HOOKED = """
#include "cluster.h"
#include "marks.h"
#include "net.h"
#include "platform.h"

volatile uint32_t me_marks[NET_LAYERS + 2] ME_L1;
uint32_t cycles[3], layers;
int32_t order;

static int8_t in[NET_INPUT0_BYTES], out[NET_OUTPUT0_BYTES];

static void infer(int32_t core, void *unused)
{
    static const void *const ins[] = { in };
    static void *const outs[] = { out };
    (void)unused;
    if (core == ME_CONTROL_CORE)
        me_mark(-1);
    net_run(ins, outs);
}

static void note(int32_t layer)
{
    order += layer == (int32_t)layers;
    layers++;
}

static void look_at_stacks(int32_t layer)
{
    (void)layer;
    if (!me_stacks_intact())
        order = -1;
}

int main(void)
{
    static void (*const hooks[])(int32_t layer) = { 0, note, look_at_stacks };
    for (int32_t i = 0; i < 6; i++) { /* the second turn, with code in the caches */
        net_on_layer = hooks[i % 3];
        layers = i % 3 == 1 ? 0 : layers;
        order = i % 3 == 1 ? 0 : order;
        me_cluster_run(infer, 0);
        cycles[i % 3] = me_marks[NET_LAYERS] - me_marks[0];
    }
    return 0;
}
"""


def hooked(build: Build) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cycles without a hook, with one that counts, with one that looks at all stacks; (calls, calls
    in the layers' order)."""
    files = texts(build.folder / "src", "[!s]*.[ch]", "library/*", "firmware/*.*")
    made = link({**files, "firmware/main.c": HOOKED})
    symbols = made.program.symbols
    run = simulate(made.elf, options=RunOptions(dump=[(symbols[n], s) for n, s in NOTED]))
    cycles, layers, order = (struct.unpack(f"<{len(x) // 4}I", x) for x in run.dumps)
    return cycles, (*layers, *order)


NOTED = (("cycles", 12), ("layers", 4), ("order", 4))


def test_the_hook_is_called_after_each_layer(checked: Build) -> None:
    cycles, calls = hooked(checked)
    layers = len(checked.layer_names)
    assert calls == (layers, layers)
    per_layer = [(n - cycles[0]) / layers for n in cycles[1:]]
    assert per_layer[0] < 60, "what core 8 does besides hardly delays the others"
    assert per_layer[0] < per_layer[1] < 300


def test_a_stack_that_grew_over_its_end_ends_the_program(checked: Build) -> None:
    """The last word of core 3's stack, which nobody uses, late in the first of two inferences."""
    symbols = checked.program.symbols
    place = symbols["me_stacks"] + 3 * symbols["me_stack_bytes"]
    with pytest.raises(MyoedgeError) as caught:
        run(checked, Disturbance(run(checked) - 10, "memory", place, 5))
    assert caught.value.code == "E711"
    assert "a stack overflowed" in str(caught.value)


def test_without_checks_nothing_is_added(small_build: Path) -> None:
    build = myoedge.load_build(small_build)
    sources = build.written("src/weights.c") + build.written("src/firmware/main.c")
    assert b"crc" not in sources
    assert b"check" not in sources
