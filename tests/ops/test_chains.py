# SPDX-License-Identifier: Apache-2.0
"""Chains of element-wise layers: one generated function equals the layers one after the other, on a
host in tiles of many sizes, with operands of both widths at their extremes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.graph.ir import Shape
from myoedge.nest.reference import NestReference
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, INT32, ElementType
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.chain_nest import with_late_results
from myoedge.operators.chains import chain_step
from myoedge.operators.formula import FORMULAS
from myoedge.operators.interpreter import integer_step
from myoedge.operators.turns import WRITE
from myoedge.plan.l1.layer_kernels import NetworkKernels, candidates
from myoedge.plan.l1.tiling import Tiling
from myoedge.targets import find_chip
from tests.ops.harness import drawn, mismatches, run_results
from tests.ops.test_tiles import in_room
from tests.support.run import optimization

GAP9 = find_chip("gap9")
INTEGERS = {"integer_math", "integer_compare"}
PAIRS = {"add", "sub", "mul", "maximum", "atan2", "magnitude", *INTEGERS}
BY_PLACE = {"affine", "prelu", *(f"{name}_constant" for name in INTEGERS)}  # their constants
COPIES = {"loop_state", "loop_next", WRITE}
MOVED = {"slice", "expand"}
STEPS = {"lstm_next", "lstm_next_cell", "lstm_start", "gru_start"}
MOVES = {"gather", "take", "resize", "avg_pool", "max_pool"}
OTHERS = {
    "layer_norm",
    "rms_norm",
    *STEPS,
    *MOVES,
    "scan_last",
    "running_power",
    "argmax",
    "embedding",
    "rotary",
    "ctc_new",
    "majority",
    "variance",
    "softmax",
    "log_softmax",
}
SUMS = ("sum", "mean")
SCANS = {"cumsum", "integer_cumsum", "scan", "running_norm"}
NOT_READ = {WRITE, "concat"}  # element by element
JOINED = (*sorted(PAIRS | COPIES | MOVED | BY_PLACE | SCANS), "table", "fake_quantize", "linear")
COUNT, SLOW_COUNT = 48, 600
OFTEN = 3  # of four operands, so many are results of members


@dataclass(frozen=True, eq=False)
class Chain:
    """A chain with its operands."""

    members: tuple[QuantizedNode, ...]
    step: QuantizedNode
    data: tuple[Array, ...]

    @property
    def size(self) -> int:
        return len(self.members)

    def one_by_one(self) -> list[Array]:
        """The chain's results by its members, in the order of the step."""
        values = dict(zip(self.step.operands, self.data, strict=True))
        for member in self.members:
            values[member.node.name] = integer_step(
                member, [values[name] for name in member.operands]
            )
        return [values[name] for name in self.step.written]


@cache
def drawn_chain(seed: int) -> Chain | None:
    """A chain of one to eight drawn layers, some of which write their results; None if the last
    does not read a member."""
    rng = np.random.default_rng(seed)
    first = one_layer(rng)
    if not first.out or first.node.op == WRITE:
        return None
    axis = first.node.attrs["axis"] if first.node.op in SCANS else rng.integers(len(first.out))
    members, shapes = [named(first, "m0", [f"in0_{at}" for at in range(len(first.shapes))])], {}
    for number in range(1, int(rng.integers(1, 9))):
        step = one_layer(rng)
        op = step.node.op
        if op in BY_PLACE:
            alike = [x.step for x in drawn(op, 40) if x.step.out == first.out]
            kinds = [x for x in alike if x.element_type in (INT8, INT16)]
            if not kinds:
                continue
            step = kinds[rng.integers(len(kinds))]
        if op in MOVED or op == "linear":
            step, read = (moved_to if op in MOVED else product_to)(rng, step, first.out), number
            if op == "linear" and rng.integers(3) == 0:
                members.append(joined_to(rng, step.shapes[0], f"in{number}"))
                read = f"{number}_joined"
            members.append(named(step, f"m{number}", [f"in{read}"]))
            continue
        names = []
        for at in range(len(step.shapes)):
            able = [m for m in members if m.element_type == step.read_type(at)]
            able = [m for m in able if m.node.op not in NOT_READ]
            if able and rng.integers(4) < OFTEN:
                names.append(able[rng.integers(len(able))].node.name)
            else:
                names.append(f"in{number}_{at}")
        given = [first.out if name[0] == "m" else one_of(rng, first.out) for name in names]
        if op not in PAIRS:
            given = [first.out] * len(names)
        shapes |= dict(zip(names, given, strict=True))
        out = (1, *first.out) if op == WRITE else first.out
        attrs = {**step.attrs, "axis": int(axis)} if op in SCANS else step.attrs
        node = replace(step.node, attrs=attrs)
        moved = replace(step, node=node, shapes=tuple(given), out=out)
        members.append(named(moved, f"m{number}", names))
    own = [m for m in members[1:] if m.node.op not in MOVED | {"concat", "linear"}]
    whole = [m for m in own if np.broadcast_shapes(*m.shapes) == first.out]
    if len(whole) < len(own):
        return None
    if rng.integers(3) == 0:
        members += sums_of(rng, [m for m in members if m.node.op not in NOT_READ])
    stored = [
        m.node.name
        for m in members[:-1]
        if m.node.op == WRITE or (rng.integers(4) == 0 and m.out == members[-1].out)
    ]
    step = chain_step(members, stored)
    if step is None:
        return None
    late = [n for n in range(len(step.results)) if rng.integers(4) == 0]
    step = with_late_results(step, late) or step
    data = tuple(extremes(rng, s, step.read_type(i)) for i, s in enumerate(step.shapes))
    return Chain(tuple(members), step, data)


def sums_of(rng: np.random.Generator, members: Sequence[QuantizedNode]) -> list[QuantizedNode]:
    """Sums or means over an axis of two results, and their sum; none if types differ."""
    out, axis = members[0].out, int(rng.integers(len(members[0].out)))
    found = []
    for number, name in enumerate(rng.choice(SUMS, 2)):
        step = next(case.step for case in drawn(str(name), 60)[rng.integers(20) :])
        able = [m for m in members if m.element_type == step.read_type(0)]
        if not able or (found and step.element_type != found[0].element_type):
            return []
        attrs = {"axes": (axis,), "keepdim": True}
        kept = tuple(1 if d == axis else n for d, n in enumerate(out))
        moved = replace(step, node=replace(step.node, attrs=attrs), shapes=(out,), out=kept)
        found.append(named(moved, f"s{number}", [able[rng.integers(len(able))].node.name]))
    adds = (case.step for case in drawn("add", 40) if len(case.step.operands) == 2)
    kinds = [found[0].element_type] * 2
    add = next((x for x in adds if [x.read_type(0), x.read_type(1)] == kinds), None)
    if add is None:
        return []
    shape = found[0].out
    return [*found, named(replace(add, shapes=(shape, shape), out=shape), "both", ["s0", "s1"])]


def one_layer(rng: np.random.Generator) -> QuantizedNode:
    """A drawn layer of int8 or int16, or a function of integers: int32 is moved alone."""
    while True:
        step = drawn(str(rng.choice(JOINED)), 40)[rng.integers(40)].step
        if step.element_type in (INT8, INT16) or step.node.op.startswith(
            ("integer_math", "integer_cum")
        ):
            return step


def named(step: QuantizedNode, name: str, operands: Sequence[str]) -> QuantizedNode:
    return replace(step, node=replace(step.node, outputs=(name,)), operands=tuple(operands))


def moved_to(
    rng: np.random.Generator, step: QuantizedNode, out: Shape, whole: bool = False
) -> QuantizedNode:
    """A slice, or copies along axes, of a drawn operand with the given shape of the result.

    whole   whether steps of the last axis, too, may be more than one
    """
    if step.node.op == "expand":
        x, attrs = one_of(rng, out), {"shape": out}
    else:
        cuts = [(int(rng.integers(4)), n, int(rng.integers(1, 3))) for n in out]
        cuts[-1] = (*cuts[-1][:2], cuts[-1][2] if whole else 1)
        cuts = [(start, start + (n - 1) * step + 1, step) for start, n, step in cuts]
        x, attrs = tuple(stop + int(rng.integers(3)) for _, stop, _ in cuts), {"cuts": tuple(cuts)}
    return replace(step, node=replace(step.node, attrs=attrs), shapes=(x,), out=out)


def product_to(rng: np.random.Generator, step: QuantizedNode, out: Shape) -> QuantizedNode:
    """A linear layer of drawn rows with the given shape of the result."""
    known = step.integers
    numbers = {
        name: np.resize(x, (out[-1], *x.shape[1:]))
        for name, x in vars_of(known).items()
        if isinstance(x, np.ndarray) and name != "table"
    }
    shape = (*out[:-1], step.shapes[0][-1])
    return replace(step, integers=replace(known, **numbers), shapes=(shape,), out=out)


def joined_to(rng: np.random.Generator, out: Shape, name: str) -> QuantizedNode:
    """Operands of a few channels side by side."""
    step = next(case.step for case in drawn("concat", 40) if case.step.element_type == INT8)
    cuts = rng.choice(out[-1] + 1, rng.integers(1, 4))
    extents = np.diff([0, *sorted({*cuts} - {0, out[-1]}), out[-1]])
    shapes = tuple((*out[:-1], int(n)) for n in extents)
    node = replace(step.node, attrs={"axis": len(out) - 1})
    moved = replace(step, node=node, shapes=shapes, out=out, operand_types=(INT8,) * len(shapes))
    return named(moved, f"{name}_joined", [f"{name}_{at}" for at in range(len(shapes))])


def vars_of(record: object) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]


def one_of(rng: np.random.Generator, out: Shape) -> Shape:
    """The shape of a result, or one that is broadcast to it."""
    return tuple(1 if rng.integers(6) == 0 else n for n in out)


def extremes(rng: np.random.Generator, shape: Shape, kind: ElementType) -> Array:
    values = rng.integers(kind.low, kind.high + 1, shape)
    ends = rng.choice([kind.low, kind.high], shape)
    return np.where(rng.random(shape) < 0.2, ends, values).astype(kind.dtype)


def drawn_chains(count: int, first: int = 0) -> list[Chain]:
    found = (drawn_chain(seed) for seed in range(first, first + 2 * count))
    return [chain for chain in found if chain is not None][:count]


def tilings_of(chains: Sequence[Chain]) -> list[Tiling]:
    found = []
    for number, chain in enumerate(chains):
        (kernel,) = candidates(chain.step, GAP9)
        found.append(in_room(kernel, NetworkKernels.of([chain.step], GAP9), number))
    return found


def most_joined(chain: Chain) -> int:
    """The operands of its largest concatenation."""
    return max((len(m.shapes) for m in chain.members if m.node.op == "concat"), default=0)


def test_the_joint_formula_equals_the_layers() -> None:
    chains = drawn_chains(4 * COUNT)
    assert max(most_joined(chain) for chain in chains) > 2
    for chain in chains:
        nest = chain.step.integers.chain.flat.nest
        for (out, value), wanted in zip(nest.results, chain.one_by_one(), strict=True):
            alone = replace(nest, out=out, value=value, more=())
            found = NestReference.of(alone)(*chain.data)
            np.testing.assert_array_equal(found, wanted.reshape(found.shape))


@pytest.mark.parametrize(
    ("first", "count"), [(500, COUNT), pytest.param(1000, SLOW_COUNT, marks=pytest.mark.slow)]
)
def test_generated_c_equals_the_layers(first: int, count: int, tmp_path: Path) -> None:
    chains = drawn_chains(count, first)
    tilings = tilings_of(chains)
    assert any(len(tiling.tiles) > 1 for tiling in tilings)
    assert max(len(chain.members) for chain in chains) > 4
    assert max(len(chain.step.results) for chain in chains) > 2
    assert max(map(most_joined, chains)) > 1
    used = Counter(member.node.op for chain in chains for member in chain.members)
    assert set(used) == {*JOINED, *SUMS, "concat"}
    types = {member.element_type for chain in chains for member in chain.members}
    assert types == {INT8, INT16, INT32}
    wanted = [y for chain in chains for y in chain.one_by_one()]
    found = [
        y for results in run_results(chains, tmp_path, optimization(), tilings) for y in results
    ]
    of_result = [chain for chain in chains for _ in chain.step.results]
    assert not mismatches(of_result, wanted, found)


def chain_behind_a_move(op: str, move: str, seed: int, whole: bool = False) -> Chain | None:
    """Values carried along an axis of a part of an operand, or of an operand that is repeated."""
    rng = np.random.default_rng(seed)
    step = drawn(op, 40)[rng.integers(40)].step
    kinds = [x.step for x in drawn(move, 60) if x.step.element_type == step.read_type(0)]
    if not kinds or len(step.shapes[0]) < 2:
        return None
    first = named(moved_to(rng, kinds[0], step.shapes[0], whole), "moved", ["in"])
    others = [f"in{at}" for at in range(1, len(step.shapes))]
    members = first, named(step, "carried", ["moved", *others])
    made = chain_step(members)
    if made is None:
        return None
    data = tuple(extremes(rng, s, made.read_type(i)) for i, s in enumerate(made.shapes))
    return Chain(members, made, data)


ROW_KERNELS = ("layer_norm", "log_softmax", "rms_norm", "softmax")  # written by hand
SEEN_RARELY = {*ROW_KERNELS, "running_power"}  # few of their drawn operands are of a part


@pytest.mark.parametrize("seeds", [4, pytest.param(48, marks=pytest.mark.slow)])
def test_operators_read_a_part_of_an_operand(tmp_path: Path, seeds: int) -> None:
    """Every other element of a row, for example, also of rows that a kernel written by hand
    computes."""
    ops = sorted({*OTHERS, *SUMS})
    drawn_chains = (
        chain_behind_a_move(op, "slice", seed, whole=True)
        for op in ops
        for seed in range(48 if op in SEEN_RARELY else seeds)
    )
    chains = [chain for chain in drawn_chains if chain is not None]
    alone = {*ops} - {chain.members[-1].node.op for chain in chains}
    assert alone >= {"ctc_new", "gather", "resize", "take"}
    assert not alone & SEEN_RARELY
    assert len(alone) == 4 or seeds < 48, alone
    wanted = [y for chain in chains for y in chain.one_by_one()]
    results = run_results(chains, tmp_path, optimization(), tilings_of(chains))
    assert not mismatches(chains, wanted, [y for each in results for y in each])


def repeated_layer(seed: int) -> Chain | None:
    """Three times the same layer with constants per channel, the last with other constants."""
    rng = np.random.default_rng(seed)
    op = str(rng.choice(["affine", "prelu"]))
    step = drawn(op, 160)[rng.integers(160)].step
    if (step.element_type, step.read_type(0)) != (INT8, INT8) or len(step.out) < 1:
        return None
    arrays = {n: x for n, x in vars_of(step.integers).items() if n in ("mult", "offset")}
    other = replace(step.integers, **{n: x - 1 for n, x in arrays.items()})
    given = [step, step, replace(step, integers=other)]
    members = [named(x, f"m{n}", ["in" if n == 0 else f"m{n - 1}"]) for n, x in enumerate(given)]
    made = chain_step(members)
    if made is None or not any(x.array.values is not None for x in made.integers.chain.flat.reads):
        return None
    return Chain((*members,), made, (extremes(rng, step.shapes[0], INT8),))


def test_equal_constants_of_members_are_stored_once(tmp_path: Path) -> None:
    """Of three layers or more, whose C another training changes anyway."""
    chains = [chain for seed in range(160) if (chain := repeated_layer(seed)) is not None]
    assert len(chains) > 4
    for chain in chains:
        reads = chain.step.integers.chain.flat.reads
        stored = {id(x.array): x.array for x in reads if x.array.values is not None}
        columns = [
            column.tobytes()
            for array in stored.values()
            for column in (np.moveaxis(array.known, -1, 0) if array.width > 1 else [array.known])
        ]
        assert len(columns) == len({*columns})
    wanted = [y for chain in chains for y in chain.one_by_one()]
    results = run_results(chains, tmp_path, optimization(), tilings_of(chains))
    assert not mismatches(chains, wanted, [y for each in results for y in each])


def chain_of_interleaved_parts(op: str, seed: int) -> Chain | None:
    """An operator behind the sum of the even and the odd elements of each row of an operand."""
    rng = np.random.default_rng(seed)
    step = drawn(op, 40)[rng.integers(40)].step
    out, kind = step.shapes[0], step.read_type(0)
    adds = (x.step for x in drawn("add", 60) if len(x.step.operands) == 2)
    add = next(
        (x for x in adds if {x.read_type(0), x.read_type(1), x.element_type} == {kind}), None
    )
    cut = next((x.step for x in drawn("slice", 60) if x.step.element_type == kind), None)
    if add is None or cut is None or not out:
        return None
    x, whole = (*out[:-1], 2 * out[-1]), tuple((0, n, 1) for n in out[:-1])
    members = []
    for first in (0, 1):
        attrs = {"cuts": (*whole, (first, first + 2 * out[-1] - 1, 2))}
        moved = replace(cut, node=replace(cut.node, attrs=attrs), shapes=(x,), out=out)
        members.append(named(moved, f"part{first}", ["in"]))
    members.append(named(replace(add, shapes=(out, out), out=out), "sum", ["part1", "part0"]))
    others = [f"in{at}" for at in range(1, len(step.shapes))]
    members.append(named(step, "last", ["sum", *others]))
    made = chain_step(members)
    if made is None or not candidates(made, GAP9):
        return None
    data = tuple(extremes(rng, s, made.read_type(i)) for i, s in enumerate(made.shapes))
    return Chain(tuple(members), made, data)


def test_rows_and_records_of_an_operand_are_apart(tmp_path: Path) -> None:
    """A sum over a row reads even elements, while the row's elements read even and odd ones."""
    ops = ("layer_norm", "rms_norm", "softmax", "log_softmax", "mean")
    drawn_chains = (chain_of_interleaved_parts(op, seed) for op in ops for seed in range(16))
    chains = [chain for chain in drawn_chains if chain is not None]
    assert {chain.members[-1].node.op for chain in chains} == {*ops}
    wanted = [y for chain in chains for y in chain.one_by_one()]
    results = run_results(chains, tmp_path, optimization(), tilings_of(chains))
    assert not mismatches(chains, wanted, [y for each in results for y in each])


@pytest.mark.parametrize("move", sorted(MOVED))
def test_values_are_carried_along_what_a_move_reads(move: str, tmp_path: Path) -> None:
    """Of every operator that carries values, in int8 and int16."""
    drawn_chains = (
        chain_behind_a_move(op, move, seed) for op in sorted(SCANS) for seed in range(8)
    )
    chains = [chain for chain in drawn_chains if chain is not None]
    assert {chain.members[-1].node.op for chain in chains} == SCANS
    assert {chain.members[-1].read_type(0) for chain in chains} >= {INT8, INT16}
    wanted = [y for chain in chains for y in chain.one_by_one()]
    results = run_results(chains, tmp_path, optimization(), tilings_of(chains))
    assert not mismatches(chains, wanted, [y for each in results for y in each])


@pytest.mark.parametrize("op", ["scan_last", "lstm_next"])
def test_every_use_has_c(op: str) -> None:
    """A state of as many rows as steps, and one unit, too."""
    assert all(chain_step([case.step]) is not None for case in drawn(op, 200))


def test_every_description_of_elements_is_drawn_here() -> None:
    """Of the operators, those whose drawn uses can be chains are those of this test, those that are
    linear layers too, steps and states that decoders and streams have (tests/e2e), and formulas,
    which have tests of their own."""
    able = {
        op
        for op, known in OPS.items()
        if known.meaning is not None
        and any(chain_step([case.step]) is not None for case in drawn(op, 12))
    }
    assert able - {*FORMULAS} == {*JOINED, *SUMS, "concat", "gates", "sums", *OTHERS}
