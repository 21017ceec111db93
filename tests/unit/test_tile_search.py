# SPDX-License-Identifier: Apache-2.0
"""The search of tiles, and what is said of them in C."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from myoedge.codegen.addresses import Addresses, Outside
from myoedge.codegen.render import least_c_type
from myoedge.codegen.tile_transfers import Movement, Tables, _transfer_table, expression
from myoedge.operators.kernel import OUT, Operand, TiledKernel
from myoedge.plan.cost.timing import modelled
from myoedge.plan.l1.layer_kernels import _cycles_alone
from myoedge.plan.l1.tile_choice import TileSearch, layer_signature
from myoedge.plan.l1.tile_grid import Grid, distinct
from myoedge.plan.l1.tile_iteration import Transfer, cut, spans, transfers
from myoedge.plan.l1.tile_search import (
    NOTHING_HIDDEN,
    Limits,
    TileChoice,
    choose,
    loaded,
    tile_count,
)
from myoedge.plan.l1.tiling import unplaced
from myoedge.targets.costs import KernelCost, TransferCost


def copying(n: int, c: int, halo: int = 0) -> TiledKernel:
    """Rows of c bytes, each computed from itself and `halo` behind it."""
    x = Operand("x", 0, (n + halo, c), ((("row", 1), ("r", 1)), ()))
    y = Operand("y", OUT, (n, c), ((("row", 1),), ()))
    axes = {"row": n, "r": halo + 1}
    return TiledKernel("k", axes, ("row",), (x, y), {}, lambda r: {}, lambda s: s["row"] * 5.0)


def test_layers_are_alike_that_differ_in_their_scales_alone() -> None:
    """Those that cost something else, or need other scratch, are searched for themselves."""
    kernel = copying(40, 8)
    assert layer_signature(replace(kernel, op={"mult": 3})) == layer_signature(
        replace(kernel, op={"mult": 4})
    )
    for other in (
        replace(kernel, work=lambda s: s["row"] * 6.0),
        replace(kernel, scratch=lambda s: 64),
    ):
        assert layer_signature(other) != layer_signature(kernel)


def grouped(images: int, groups: int) -> TiledKernel:
    """A tile for every pair of an image and a group's weights, computed longer than loaded."""
    axes = {"n": images, "g": groups}
    x = Operand("x", 0, (images, 64), ((("n", 1),), ()))
    weights = Operand("weights", "weights", (groups, 48), ((("g", 1),), ()))
    y = Operand("y", OUT, (images, groups), ((("n", 1),), (("g", 1),)))
    kernel = TiledKernel("k", axes, (), (x, weights, y), {}, lambda r: {}, lambda s: 1.0)
    return replace(kernel, unit_axes=("n", "g"), cost=KernelCost(0.0, 50_000.0))


@pytest.mark.parametrize(("images", "groups", "outer"), [(3, 5, "n"), (5, 3, "g")])
def test_of_equally_fast_orders_of_loops_the_one_with_fewest_loads(
    images: int, groups: int, outer: str
) -> None:
    """Operands of the inner loop are loaded for every tile, those of the outer loop once each."""
    kernel = grouped(images, groups)
    found = TileSearch(["layer"], TransferCost(), {}).pick(
        0, kernel, 4096, frozenset(), NOTHING_HIDDEN
    )
    assert found is not None
    assert found.order[0] == outer
    assert loaded(kernel, found) == images * groups + min(images, groups)


def multiplied(rows: int, k: int) -> TiledKernel:
    """Rows of 64 bytes times k rows of weights; the loop over weights is the inner one."""
    x = Operand("x", 0, (rows, 64), ((("row", 1),), ()))
    weights = Operand("weights", "weights", (k, 64), ((("k", 1),), ()))
    y = Operand("y", OUT, (rows, k), ((("row", 1),), (("k", 1),)))
    axes, split = {"row": rows, "k": k}, ("row", "k")
    kernel = TiledKernel(
        "k", axes, split, (x, weights, y), {}, lambda r: {}, lambda s: s["row"] * s["k"]
    )
    return replace(kernel, innermost_axes=("k",), cost=KernelCost(1.0, 50.0))


def transferred(kernel: TiledKernel, choice: TileChoice) -> int:
    """Bytes of all tiles, of operands that change from one to the next."""
    total, before = 0, dict[str, object]()
    for tile in spans(kernel, choice):
        for operand in kernel.operands:
            region = operand.region(tile)
            total += region.size * (before.get(operand.name) != region)
            before[operand.name] = region
    return total


@pytest.mark.parametrize("room", [2048, 4096])
def test_transfers_that_delay_a_kernel_are_fewer(room: int) -> None:
    """Of powers of two, no tile is smaller than others."""
    kernel = multiplied(64, 64)
    delayed = replace(kernel, cost=replace(kernel.cost, dma_delay=4.0))
    free, found = (choose(each, room, TransferCost()) for each in (kernel, delayed))
    assert free is not None
    assert found is not None
    assert transferred(delayed, found) < transferred(kernel, free)
    grid = Grid.of(delayed, TransferCost())
    at = next(
        n for n in range(len(grid.tiles)) if (grid.sizes["row"][n], grid.sizes["k"][n]) == (8, 16)
    )
    times = {"x": grid.counts["row"], "weights": grid.tiles, "y": grid.tiles}
    chosen = TileChoice({"row": 8, "k": 16}, ("row", "k"), 0.0, 0)
    assert grid.delay_cycles(times)[at] == 4.0 * transferred(delayed, chosen) / 8


SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(SIDES, SIDES, SIDES, st.sampled_from([1, 2, 4]))
def test_the_span_of_a_tile_is_from_its_first_to_its_last_byte(
    a: tuple[int, int], b: tuple[int, int], c: tuple[int, int], itemsize: int
) -> None:
    shape, tile = (tuple(f(*side) for side in (a, b, c)) for f in (max, min))
    weights = Operand("w", "w", shape, tuple(((name, 1),) for name in "abc"), itemsize=itemsize)
    at = np.arange(np.prod(shape)).reshape(shape)[tuple(slice(n) for n in tile)]
    span_bytes = itemsize * (at.max() - at.min() + 1)
    assert weights.span_bytes(dict(zip("abc", tile, strict=True))) == span_bytes


@pytest.mark.parametrize("held", [600, 3000])
def test_weights_that_come_in_columns_need_all_rows_between_them(held: int) -> None:
    """A tile of all 16 rows and one column leaves no row that could come later."""
    axes = {"k": 16, "part": 8}
    array = np.zeros((16, 8, 32), np.int8)
    weights = Operand("w", "w", array.shape, ((("k", 1),), (("part", 1),), ()), array=array)
    y = Operand("y", OUT, (16, 4), ((("k", 1),), ()))
    kernel = TiledKernel("k", axes, (), (weights, y), {}, lambda r: {}, lambda s: s["part"] * 99.0)
    kernel = replace(kernel, split=("k", "part"))
    found = choose(kernel, 2048, TransferCost(), limits=Limits(held))
    assert found is not None
    assert found.sizes["part"] * 32 + (found.sizes["k"] - 1) * 8 * 32 <= held


def most_alive(kernel: TiledKernel, choice: TileChoice) -> int:
    """Bytes of the weights in L2 at most, each from its first to its last read."""
    reads = [row["k"] + row["part"] for row in spans(kernel, choice)]
    at = np.full((len(reads), *kernel.operands[0].shape[:2]), False)
    for tile, (k, of_k, part, of_part) in enumerate(reads):
        at[tile, k : k + of_k, part : part + of_part] = True
    alive = np.maximum.accumulate(at, 0) & np.maximum.accumulate(at[::-1], 0)[::-1]
    return int(alive.sum((1, 2)).max()) * kernel.operands[0].shape[2]


def weighing(t: int) -> TiledKernel:
    """Columns of x times weights, whose sums of parts are in y; all rows of weights at once."""
    array = np.zeros((16, 8, 32), np.int8)
    weights = Operand("w", "w", array.shape, ((("k", 1),), (("part", 1),), ()), array=array)
    x = Operand("x", 0, (t, 200), ((("t", 1),), ()))
    y = Operand("y", OUT, (16, t, 4), ((("k", 1),), (("t", 1),), ()))
    axes, split = {"k": 16, "t": t, "part": 8}, ("k", "t", "part")
    operands = (weights, x, y)
    made = TiledKernel("k", axes, split, operands, {}, lambda r: {}, lambda s: s["t"] * s["part"])
    return replace(made, innermost_axes=("part",), cost=KernelCost(20.0, 100.0))


@given(st.integers(2, 12), st.integers(300, 5000), st.integers(2000, 9000))
def test_weights_that_an_inner_loop_reads_again_stay(t: int, held: int, room: int) -> None:
    kernel = weighing(t)
    choice = choose(kernel, room, TransferCost(), limits=Limits(held))
    assert choice is None or most_alive(kernel, choice) <= held


def test_weights_are_read_again_for_larger_tiles() -> None:
    """L1 has no room for all of x, or for all parts of as many rows of weights as L2."""
    choice = choose(weighing(12), 2500, TransferCost(), limits=Limits(2048))
    assert choice is not None
    assert choice.order == ("k", "t", "part")
    assert (choice.sizes["t"] < 12, choice.sizes["part"] < 8) == (True, True)
    assert most_alive(weighing(12), choice) == choice.sizes["k"] * 8 * 32 > 1024


@given(st.integers(1, 400))
def test_distinct_sizes_are_the_smallest_of_every_number_of_tiles(extent: int) -> None:
    sizes = distinct(extent)
    counts = {-(-extent // size) for size in range(1, extent + 1)}
    assert {-(-extent // size) for size in sizes} == counts
    assert len(sizes) == len(counts)


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 4), st.integers(1, 600))
def test_what_is_chosen_fits_and_nothing_is_missed(n: int, c: int, halo: int, room: int) -> None:
    kernel = copying(n, c, halo)
    choice = choose(kernel, room, TransferCost())

    def held(rows: int) -> int:
        times = 1 if rows == n else 2
        return times * sum(-(-(size * c) // 8) * 8 for size in (rows, rows + halo))

    fitting = [rows for rows in range(1, n + 1) if held(rows) <= room]
    assert (choice is None) == (not fitting)
    if choice is not None:
        assert choice.l1_bytes <= room
        assert held(choice.sizes.get("row", n)) == choice.l1_bytes
        assert tile_count(kernel, choice) == len(spans(kernel, choice))


@given(*map(st.integers, (1, 1, 0, 1, 2), (30, 4, 3, 9, 5)))
def test_tiles_have_the_operands_parts_one_buffer_behind_the_other(
    n: int, c: int, halo: int, size: int, depth: int
) -> None:
    kernel = replace(copying(n, c, halo), reversed_axes=("row",) if c % 2 else ())
    made = cut(kernel, TileChoice({"row": min(size, n)}, ("row",), 0.0, 0, depth))
    rows = [row for tile in made.tiles for row in [tile["row"]]]
    assert rows == sorted(rows, reverse=bool(kernel.reversed_axes))
    assert sorted(at for start, count in rows for at in range(start, start + count)) == [*range(n)]
    for use, more in zip(made.uses, (halo, 0), strict=True):
        assert [r.start[0] for r in use.regions] == [start for start, _ in rows]
        assert [r.extent[0] for r in use.regions] == [count + more for _, count in rows]
        assert use.size_bytes == max(r.extent[0] for r in use.regions) * c
        assert use.loaded == tuple(range(len(rows)))
        buffers = 2 if use.operand.written else depth
        assert use.slot == tuple(t % buffers for t in range(len(rows)))


def test_layers_that_are_alike_are_cut_once() -> None:
    choice = TileChoice({"row": 3}, ("row",), 0.0, 0)
    assert cut(copying(8, 2), choice) is cut(copying(8, 2), choice)
    assert cut(copying(8, 2), choice) is not cut(copying(9, 2), choice)


@st.composite
def regions(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    cuts = []
    for extent in shape:
        start = draw(st.integers(0, extent - 1))
        cuts.append((start, draw(st.integers(1, extent - start))))
    return shape, tuple(cuts)


@given(regions(), st.sampled_from([1, 4]))
def test_transfers_bring_a_region(
    drawn: tuple[tuple[int, ...], tuple[tuple[int, int], ...]], item: int
) -> None:
    """Against NumPy's own slices."""
    shape, cuts = drawn
    array = np.arange(np.prod(shape), dtype=np.int32).astype({1: np.int8, 4: np.int32}[item])
    array = array.reshape(shape)
    index = tuple(((f"a{d}", 1),) for d in range(len(shape)))
    operand = Operand("x", 0, shape, index, itemsize=item)
    region = operand.region({f"a{d}": span for d, span in enumerate(cuts)})
    outside, inside = array.tobytes(), b""
    for x in transfers(operand, region, 0):
        assert x.l1 == len(inside)
        for line in range(x.bytes // x.line):
            inside += outside[x.at + line * x.stride :][: x.line]
    assert inside == array[tuple(slice(a, a + n) for a, n in cuts)].tobytes()


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_an_expression_gives_its_numbers(values: list[int]) -> None:
    check(values)


@pytest.mark.parametrize("period", [1, 2, 3])
@pytest.mark.parametrize("kind", ["all", "two", "turns"])
def test_regular_numbers_have_an_expression(period: int, kind: str) -> None:
    turn = {"all": lambda i: i, "two": lambda i: i % 2, "turns": lambda i: i % 4}[kind]
    values = [7 - 3 * turn(i // period) for i in range(12)]
    if kind != "turns" or period == 1:
        assert expression(values) is not None
    check(values)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(-20, 20)), min_size=1, max_size=3),
    st.integers(1, 4), st.integers(-9, 9), st.booleans(),
)  # fmt: skip
def test_loops_have_expressions_and_periods_short_tables(
    loops: list[tuple[int, int]], run: int, first: int, uneven: bool
) -> None:
    """Numbers of nested loops are an expression; an innermost loop of others is its table."""
    values = [first]
    for count, step in loops:
        values = [v + i * step for v in values for i in range(count)]
    values = [v for v in values for _ in range(run)]
    assert expression(values) is not None
    check(values)
    own = [3, 1, 4, 1, 5] if uneven else [0]
    check([v + more for v in values for more in own])
    tables = Tables("f")
    tables.number("x", [v + more for v in values for more in own])
    assert all(len(eval_table(line)) <= 5 for line in tables.lines)


@given(st.integers(1, 6), st.integers(1, 5), st.data())
def test_flags_of_neighbouring_tiles_are_conditions(period: int, turns: int, data: Any) -> None:
    first = data.draw(st.integers(0, period - 1))
    end = data.draw(st.integers(first + 1, period))
    values = [int(first <= t % period < end) for t in range(turns * period)]
    assert expression(values) is not None
    check(values)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5), st.integers(1, 25))
def test_tables_have_one_period_and_the_smallest_type(own: list[int], tiles: int) -> None:
    """The last period may be cut short."""
    values = [own[t % len(own)] for t in range(tiles)]
    check(values)
    tables = Tables("f")
    tables.number("x", values)
    for line in tables.lines:
        assert len(eval_table(line)) <= len(own)
        bits = int(line.split("int")[1].split("_")[0])
        half = 0 if "uint" in line else 1 << bits - 1
        assert all(-half <= x < (1 << bits) - half for x in eval_table(line))
        assert bits == 8 or not all(-128 <= x < 128 for x in eval_table(line))


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        *((-128, 127, "int8_t"), (0, 128, "uint8_t"), (0, 255, "uint8_t"), (-1, 128, "int16_t")),
        *((-129, 0, "int16_t"), (0, 256, "int16_t"), (-32768, 32767, "int16_t")),
        *((0, 32768, "uint16_t"), (0, 65535, "uint16_t"), (-1, 32768, "int32_t")),
        *((0, 65536, "int32_t"), (-(2**31), 2**31 - 1, "int32_t")),
    ],
)
def test_the_smallest_type_of_a_table(low: int, high: int, kind: str) -> None:
    """Unsigned values of 32 bits have none: negative offsets of pointers would wrap."""
    assert least_c_type([low, high, 0]) == kind


def test_estimates_of_tiles_are_those_of_each_choice() -> None:
    """Kept with the kernel; against a timeline of each choice, in two orders."""
    kernel, cost = copying(40, 64, 2), TransferCost()
    found = [
        TileChoice({"row": rows}, ("row",), 0.0, 0, depth)
        for rows in (1, 3, 8, 40)
        for depth in (2, 3)
    ]
    alone = [modelled([unplaced(copying(40, 64, 2), x, ())], cost)[0] for x in found]
    assert len({*alone}) >= 4
    for order in (found, found[::-1]):
        assert [_cycles_alone(kernel, x, cost) for x in order] == (
            alone if order is found else alone[::-1]
        )


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=5),
    st.integers(1, 16), st.booleans(),
)  # fmt: skip
def test_tables_of_transfers_have_one_period(own: list[list[int]], tiles: int, early: bool) -> None:
    """Each tile starts its own transfers, in order; the first none if earlier layers do."""
    moved = [[Transfer("x", at, 0, 4, 4, 0) for at in own[t % len(own)]] for t in range(tiles)]
    moved[0] = [Transfer("x", 99, 0, 4, 4, 0)] if early else moved[0]
    assume(any(moved[early:]))
    tables = Tables("f")
    l1 = SimpleNamespace(offset=lambda name: 0, l1=str)
    movement = Movement(tables, cast(Addresses, l1))
    call = _transfer_table(movement, "me_fetch", moved, Outside("base", 0), early)
    (rows,) = (x for x in tables.lines if "me_transfer " in x)
    starts = [int(x) for x in re.findall(r"{ (\d+),", rows)]
    assert len(starts) <= sum(map(len, own)) + early
    names = {re.findall(r"(\w+)\[\]", x)[0]: eval_table(x) for x in tables.lines if "_of_tile" in x}
    first, last = re.findall(r"f_x_moves \+ (.+?), ", call)
    for t in range(early, tiles):
        span = slice(*(in_c(x, {**names, "t": t}) for x in (first, last)))
        assert starts[span] == [x.at for x in moved[t]]


def check(values: list[int]) -> None:
    """The C means the same in Python where / is //: no operand of it is negative."""
    tables = Tables("f")
    text = tables.number("x", values)
    assert bool(tables.lines) == (expression(values) is None)
    names = {"f_x_of_tile": eval_table(tables.lines[0])} if tables.lines else {}
    found = [in_c(text, {**names, "t": t}) for t in range(len(values))]
    assert found == values, text


def in_c(text: str, names: dict[str, Any]) -> Any:
    return eval(text.replace("/", "//").replace("&&", "and"), names)


def eval_table(line: str) -> list[int]:
    """The numbers of a C array."""
    return [int(x) for x in line.split("{")[1].strip("\n };,").split(",")]
