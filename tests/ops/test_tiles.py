# SPDX-License-Identifier: Apache-2.0
"""Every operator in tiles of many sizes equals NumPy bit for bit, on a host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.conv import tiling as conv_tiling
from myoedge.operators.interpreter import integer_step
from myoedge.operators.kernel import TiledKernel
from myoedge.operators.library.packed_weights import PACKED_BITS
from myoedge.plan.l1.layer_kernels import NetworkKernels, candidates
from myoedge.plan.l1.layers import plan_l1
from myoedge.plan.l1.tile_choice import layer_signature
from myoedge.plan.l1.tile_grid import ALIGNMENT
from myoedge.plan.l1.tile_search import _loop_orders, smallest
from myoedge.plan.l1.tiling import Tiling, unplaced
from myoedge.targets import find_chip
from tests.ops.case import Case
from tests.ops.harness import batches, drawn, mismatches, run_c

COUNT, SLOW_COUNT = 16, 120
COUNT_PACKED = 12
COUNT_IN_PLACE = 30  # some of each kernel of little scratch are among them
TILED = sorted(name for name in OPS if OPS[name].kernels)
GAP9 = find_chip("gap9")
ROOMS = (1.0, 1.4, 2.2, 6.0)  # of what the smallest tile needs


def in_rooms(case: Case, number: int) -> Tiling:
    """The case in tiles that fit a room, which differs from case to case; of several kernels of one
    engine, each in its turn."""
    known = candidates(case.step, GAP9)
    alike = [kernel for kernel in known if kernel.engine == known[0].engine]
    kernel = alike[number // len(ROOMS) % len(alike)]
    alone = NetworkKernels([[(kernel, layer_signature(kernel))]], True, GAP9.transfers)
    every = NetworkKernels.of([case.step], GAP9)
    return in_room(kernel, every if len(alike) == 1 else alone, number)


def in_room(kernel: TiledKernel, kernels: NetworkKernels, number: int) -> Tiling:
    """A layer in tiles that fit a room: a multiple of what the smallest tile of a kernel needs."""
    room = int(sum(smallest(kernel)[1].values()) * ROOMS[number % len(ROOMS)])
    (tiling,) = plan_l1(kernels, room)
    assert tiling is not None, f"{room} bytes are enough for the smallest tile"
    assert max(b.offset + b.size_bytes for b in tiling.buffers) <= room
    return tiling


def compare(ops: Sequence[str], count: int, number: int, folder: Path) -> None:
    """Cases of several operators, in one C program."""
    differs = differences([drawn(op, count, number) for op in ops], folder)
    assert not differs, f"batch {number}: {differs}"


def differences(groups: Sequence[Sequence[Case]], folder: Path) -> str:
    """Between NumPy and cases in tiles, of which each group has some of several tiles."""
    tilings = list[Tiling]()
    for group in groups:
        found = [in_rooms(case, i) for i, case in enumerate(group)]
        most = max(math.prod(t.kernel.axes[axis] for axis in t.kernel.split) for t in found)
        # where there are few, all tiles fit the room of the two buffers of the smallest
        fits_all = ROOMS[-1] * 2 * ALIGNMENT  # elements of one byte each
        assert most <= fits_all or any(len(tiling.tiles) > 1 for tiling in found)
        tilings += found
    every = [case for group in groups for case in group]
    wanted = [integer_step(case.step, case.data) for case in every]
    return mismatches(every, wanted, run_c(every, folder, "-O0", tilings))


class FewBits(Case):
    """A drawn use with weights of at most 2 or 4 bits, or 8 of 16."""

    @property
    def step(self) -> QuantizedNode:
        step = super().step
        possible = PACKED_BITS[step.weight_type]
        shift = step.weight_type.bits - possible[self.seed % len(possible)]
        few = replace(step.integers, weight=step.integers.weight >> shift)
        return replace(step, integers=few)


def test_packed_weights_equal_numpy(tmp_path: Path) -> None:
    """Of all operators that have them, unpacked once for several tiles too."""
    able = [op for op in TILED if OPS[op].weights.multiplicands is not None]
    drawn_cases = (case for op in able for case in drawn(op, COUNT_PACKED))
    every = [
        FewBits(**{field.name: getattr(case, field.name) for field in fields(case)})
        for case in drawn_cases
    ]
    tilings = [in_rooms(case, i) for i, case in enumerate(every)]
    packed = [tiling for tiling in tilings if tiling.kernel.packing is not None]
    assert len(packed) > len(every) // 2
    found = {(x.kind, x.bits) for tiling in packed if (x := tiling.kernel.packing)}
    assert found == {(kind, bits) for kind in PACKED_BITS for bits in PACKED_BITS[kind]}
    wanted = [integer_step(case.step, case.data) for case in every]
    assert not mismatches(every, wanted, run_c(every, tmp_path, "-O0", tilings))


def test_kernels_of_little_scratch_equal_numpy(tmp_path: Path) -> None:
    """On operands in L2, where L1 has no room for the scratch of others."""
    small = replace(GAP9, l1_bytes=GAP9.l1_reserved_bytes + 8)
    cases, tilings = [], []
    for case in (case for op in ("conv", "linear", "matmul") for case in drawn(op, COUNT_IN_PLACE)):
        usual, fallback = candidates(case.step, GAP9)[0], candidates(case.step, small)[0]
        room = smallest(fallback)[1].get("scratch", 0)
        (tiling,) = plan_l1(NetworkKernels.of([case.step], small), room)
        if tiling is None or tiling.kernel.function.startswith(("me_ne16", "me_chain")):
            continue
        if fallback.scratch(fallback.axes) != usual.scratch(usual.axes):
            cases.append(case)
            tilings.append(tiling)
    assert {tiling.kernel.function for tiling in tilings} == {
        "me_conv_s8", "me_group_conv_s8", "me_linear_in_place_s8", "me_matmul_in_place_s8"
    }  # fmt: skip
    found = run_c(cases, tmp_path, "-O0", tilings)
    wanted = [integer_step(case.step, case.data) for case in cases]
    assert not mismatches(cases, wanted, found)


def ne16_functions(op: str, count: int, folder: Path) -> list[tuple[str, ...]]:
    """Kernel and order of loops of each drawn layer on NE16, whose tiles equal NumPy."""
    cases, tilings = [], []
    for number, case in enumerate(drawn(op, count)):
        for kernel in candidates(case.step, GAP9):
            if kernel.engine == "ne16":
                alone = NetworkKernels([[(kernel, layer_signature(kernel))]], True, GAP9.transfers)
                cases.append(case)
                tilings.append(in_room(kernel, alone, number))
    assert any(len(tiling.tiles) > 1 for tiling in tilings)
    wanted = [integer_step(case.step, case.data) for case in cases]
    assert not mismatches(cases, wanted, run_c(cases, folder, "-O0", tilings))
    return [(tiling.kernel.function, *tiling.choice.order) for tiling in tilings]


def test_attention_on_ne16_equals_numpy(tmp_path: Path) -> None:
    """In rooms of every size: heads of any width, biases, masks, more keys than rows or fewer."""
    assert {function for function, *_ in ne16_functions("attention", COUNT, tmp_path)} == {
        "me_ne16_attention_s8", "me_ne16_attention_resident_s8",
        "me_ne16_attention_exp12_s8", "me_ne16_attention_resident_exp12_s8",
    }  # fmt: skip


def test_convolutions_on_ne16_equal_numpy(tmp_path: Path) -> None:
    """With channels cut in the innermost loop, where scratch is kept, and in others."""
    found = ne16_functions("conv", SLOW_COUNT, tmp_path)
    orders = {tuple(order) for function, *order in found if function == "me_ne16_jobs"}
    assert any(order[-1:] == ("k",) for order in orders)
    assert any("k" in order[:-1] for order in orders)


@pytest.mark.slow
def test_results_of_a_row_that_are_computed_together_equal_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are cut so wherever they can be, whether that is faster or not."""
    monkeypatch.setattr(conv_tiling, "FEW_INPUTS", 99)
    monkeypatch.setattr(conv_tiling, "MANY_WINDOWS", 0)
    monkeypatch.setattr(conv_tiling, "PLACED", 1e6)
    cases = drawn("conv", SLOW_COUNT, 5)
    ways = [(case, in_rooms(case, 0).kernel.axes) for case in cases]
    cut = [(case, axes["k"]) for case, axes in ways if "k" in axes]
    assert len([case for case, k in cut if 4 * k >= 2 * case.step.out[-1] + 3]) > 3
    assert differences([[case for case, _ in cut]], tmp_path) == ""


def test_a_product_goes_on_with_what_the_tile_before_has_packed() -> None:
    """In every order of its tiles that the search looks at."""
    packed = 0
    for number, case in enumerate(drawn("matmul", SLOW_COUNT, 0)):
        tiling = in_rooms(case, number)
        for order in _loop_orders(tiling.kernel):
            tiles = unplaced(tiling.kernel, replace(tiling.choice, order=order), frozenset()).tiles
            for before, now in pairwise(tile.regions for tile in tiles):
                if tiling.kernel.tile(now).get("packed"):  # of 8 bits
                    packed += 1
                    assert now["b"] == before["b"]
    assert packed > 10


@pytest.mark.parametrize("ops", batches(TILED), ids=lambda ops: f"{ops[0]} to {ops[-1]}")
def test_tiles_equal_numpy(ops: list[str], tmp_path: Path) -> None:
    compare(ops, COUNT, 0, tmp_path)


def test_tiles_of_padding_of_16_bits_begin_with_whole_elements(tmp_path: Path) -> None:
    """A tile is filled by words of two elements."""
    every = [c for n in (1, 2) for c in drawn("pad", SLOW_COUNT, n) if c.int16 and c.attrs["value"]]
    cut = [case for number, case in enumerate(every) if len(in_rooms(case, number).tiles) > 1]
    assert len(cut) > 20
    assert not differences([every], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("op", TILED)
def test_tiles_equal_numpy_at_length(op: str, number: int, tmp_path: Path) -> None:
    compare([op], SLOW_COUNT, number, tmp_path)
