# SPDX-License-Identifier: Apache-2.0
"""Whole plans, held against a machine that has nothing but the bytes at the planned places."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from myoedge.building.stream_rate import _pass_costs
from myoedge.codegen.made_with import SourceOptions
from myoedge.codegen.project import make_sources
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, slice_axis
from myoedge.operators.interpreter import integer_step, run_int
from myoedge.passes import prepare
from myoedge.plan import schedule
from myoedge.plan.cost.network import energy_bytes, modelled_cycles, moved_bytes
from myoedge.plan.packing import place
from myoedge.plan.placement import (
    Allocator,
    LiveRange,
    Placement,
    Replacement,
    greedy,
    height,
    lower_bound,
)
from myoedge.plan.plan import Plan
from myoedge.plan.plan_json import describe
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.files import model_digest
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.targets import Chip, find_chip
from tests.unit.test_passes_random import random_graph

TANH = (("tanh",),)
GAP9 = find_chip("gap9")


def by_greedy(
    lives: Sequence[LiveRange], alignment: int, may_replace: Sequence[Replacement] = ()
) -> Placement:
    assert not may_replace, "several cores keep buffers apart"
    offsets = greedy(lives, alignment)
    size = height(lives, offsets, alignment)
    return Placement(offsets, size, lower_bound(lives, alignment), False)


# Without L1 everything lies in the arena.
FLAT = replace(GAP9, l1_bytes=0, l1_reserved_bytes=0)


def quantized(graph: Graph) -> QuantGraph:
    rng = np.random.default_rng(0)
    samples = {n: rng.normal(size=(3, *graph.shape(n))).astype(np.float32) for n in graph.inputs}
    prepared = prepare(graph)
    return quantize_graph(prepared, calibrate(prepared, samples, Observer(), "3 drawn samples"))


class Machine:
    """Memories of bytes, poisoned at first; an operator reads and writes them at its places."""

    def __init__(self, plan: Plan, inputs: dict[str, Array], poison: int) -> None:
        q = self.q = plan.quant
        self.plan = plan
        self.arena = bytearray([poison] * plan.arena_bytes)
        self.l1 = bytearray([poison] * plan.l1_bytes)
        self.inputs = [bytearray(inputs[name].tobytes()) for name in q.graph.inputs]
        self.outputs = [bytearray([poison] * self.size(name)) for name in q.graph.outputs]

    def size(self, name: str) -> int:
        return int(np.prod(self.q.graph.shape(name))) * self.q.element_type(name).size_bytes

    def bytes_of(self, name: str) -> memoryview:
        """Exactly the bytes of a tensor; an AssertionError where the memory ends before."""
        at = self.plan.where[name]
        memory = {
            "arena": lambda: self.arena,
            "l1": lambda: self.l1,
            "input": lambda: self.inputs[int(at.index)],
            "output": lambda: self.outputs[int(at.index)],
            "constant": lambda: bytearray(self.q.constants[str(at.index)].tobytes()),
        }[at.kind]()
        found = memoryview(memory)[at.offset : at.offset + self.size(name)]
        assert len(found) == self.size(name), f"{name} leaves its memory"
        return found

    def read(self, name: str) -> Array:
        return np.frombuffer(bytes(self.bytes_of(name)), self.q.dtype(name)).reshape(
            self.q.graph.shape(name)
        )

    def run(self) -> list[Array]:
        for step in self.plan.steps:
            values = {name: self.read(name) for name in step.operands}
            for member in step.members or (step,):
                known = zip(member.operands, member.shapes, strict=True)
                operands = [values[name].reshape(shape) for name, shape in known]
                values[member.node.name] = integer_step(member, operands)
            for name in step.written:
                self.bytes_of(name)[:] = np.ascontiguousarray(values[name]).tobytes()
        for index, name in self.plan.copies:
            self.outputs[index][:] = self.bytes_of(name)
        names = self.q.graph.outputs
        pairs = zip(names, self.outputs, strict=True)
        return [np.frombuffer(bytes(o), self.q.dtype(n)) for n, o in pairs]


def holds(graph: Graph, solver: Allocator = place, on: Chip = FLAT) -> Plan:
    """Asserts that a network's plan gives the reference's outputs, whatever lay there before."""
    q = quantized(graph)
    plan = make_plan(q, on, placing=solver)
    rng = np.random.default_rng(1)
    inputs = {n: rng.integers(-128, 128, q.graph.shape(n), np.int8) for n in q.graph.inputs}
    wanted = run_int(q.steps, q.constants, inputs)
    for poison in (0x55, 0xAA):
        found = Machine(plan, inputs, poison).run()
        for name, y in zip(q.graph.outputs, found, strict=True):
            np.testing.assert_array_equal(y, wanted[name].reshape(-1), err_msg=name)
    return plan


@pytest.mark.parametrize(
    "block", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))]
)
def test_random_networks_run_in_their_bytes(block: int) -> None:
    for seed in range(block * 40, (block + 1) * 40):
        solver = place if seed % 8 == 0 else by_greedy
        plan = holds(random_graph(seed), solver, (FLAT, GAP9)[seed // 8 % 2])
        assert all(at % GAP9.alignment_bytes == 0 for at in plan.placement.offsets.values())


def draft() -> tuple[GraphBuilder, str]:
    d = GraphBuilder()
    return d, d.input("x", (2, 8))


def test_an_output_that_is_read_inside_stays_where_the_caller_has_it() -> None:
    d, x = draft()
    y = d.add("table", x, chain=TANH)
    z = d.add("mul", y, x)
    plan = holds(d.build([y, z, y], ["a", "b", "c"]))
    assert plan.copies == ((2, plan.graph_outputs[0]),)
    assert plan.lives == ()


def test_an_input_that_is_an_output_is_copied() -> None:
    d, x = draft()
    row = slice_axis(d, x, 0, 1, 2)
    plan = holds(d.build([x, row, d.add("table", x, chain=TANH)], ["a", "b", "c"]))
    assert [index for index, _ in plan.copies] == [0, 1]


def test_a_part_of_a_buffer_keeps_the_whole_alive_until_it_is_copied() -> None:
    d, x = draft()
    first = d.add("table", x, chain=TANH)
    half = slice_axis(d, first, 0, 1, 2)
    y = d.add("softmax", d.add("table", d.add("mul", x, x), chain=TANH), axis=1)
    plan = holds(d.build([half, d.add("mul", y, y)], ["half", "y"]))
    (life,) = (life for life in plan.lives if life.first == 0)
    assert life.last == len(plan.steps)


def test_a_part_at_the_front_of_a_buffer_is_not_the_whole() -> None:
    d, x = draft()
    front = slice_axis(d, d.add("table", x, chain=TANH), 0, 0, 1)
    plan = holds(d.build([front], ["front"]))
    assert [index for index, _ in plan.copies] == [0]


def test_parts_of_parts_are_where_both_offsets_say() -> None:
    d, x = draft()
    wide = d.add("table", x, chain=TANH)
    inner = slice_axis(d, slice_axis(d, wide, 0, 1, 2), 1, 4, 8)
    plan = holds(d.build([d.add("mul", inner, inner), wide], ["y", "wide"]))
    assert [plan.where[step.node.inputs[0]].offset for step in plan.steps] == [0, 12]


def test_what_does_not_fit_is_said_with_the_largest_first() -> None:
    d = GraphBuilder()
    x = d.input("x", (1, 4))
    w = d.constant(np.ones((200_000, 4), np.float32))
    y = d.add("linear", x, w)
    network = quantized(d.build([d.add("table", y, chain=TANH)], ["y"]))
    with pytest.raises(MyoedgeError, match="L2") as raised:
        make_plan(network, GAP9.with_level("l3", bytes=0))
    assert raised.value.code == "E301"
    largest = dict(raised.value.notice.facts)["largest"]
    assert largest.startswith("4,000,256 B"), "int8 weights, four int32 a row, a table"


def test_weights_that_l3_and_l2_have_no_room_for_are_refused_before_maps_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    d = GraphBuilder()
    weights = np.random.default_rng(0).standard_normal((3, 300, 300)).astype(np.float32)
    y = d.input("x", (1, 300))
    for w in weights:
        y = d.add("linear", y, d.constant(w))
    network = quantized(d.build([y], ["y"]))
    chip = replace(GAP9, l2_bytes=GAP9.l2_reserved_bytes + 100_000)
    assert make_plan(network, chip.with_level("l3", bytes=300_000)).transfers
    monkeypatch.setattr(schedule, "spilled", lambda *given: pytest.fail("maps do not help"))
    with pytest.raises(MyoedgeError, match="L2") as raised:
        make_plan(network, chip.with_level("l3", bytes=150_000))
    facts = dict(raised.value.notice.facts)
    of_weights, of_rows = 3 * 300 * 300, 3 * 300 * 16  # four int32 a row
    assert f"weights {of_weights + of_rows:,} B" in facts["needs"]
    assert facts["L3"] == "has 150,000 B for the weights that do not fit in L2"


def test_what_l3_moves_is_counted_as_the_c_moves_it() -> None:
    """In whole words: transfers that are a byte shorter take as long, and as much energy."""
    d = GraphBuilder()
    w = d.constant(np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32))
    network = quantized(d.build([d.add("linear", d.input("x", (1, 300)), w)], ["y"]))
    even = make_plan(network, replace(GAP9, l2_bytes=GAP9.l2_reserved_bytes + 60_000))
    shorter = [replace(x.chunk, size_bytes=x.chunk.size_bytes - 1) for x in even.transfers]
    moved = [replace(x, chunk=y) for x, y in zip(even.transfers, shorter, strict=True)]
    odd = replace(even, transfers=tuple(moved))
    rows = re.findall(r"\.address = .*\.bytes = (\d+)", make_sources(odd, "n").files["network.c"])
    in_c = sum(map(int, rows))
    assert in_c == moved_bytes(odd)["l3"] == moved_bytes(even)["l3"] >= 300 * 300 - 60_000
    costs = [*_pass_costs(lambda frames: (None, odd), 1, 1)]
    assert {cost.l3_bytes for cost in costs} == {in_c}
    assert modelled_cycles(odd) == modelled_cycles(even)
    assert energy_bytes(odd) == energy_bytes(even) == (in_c, 0)


def test_the_file_names_every_buffer() -> None:
    plan = holds(random_graph(7))
    written = describe(plan)
    assert [b["name"] for b in written["buffers"]] == [life.name for life in plan.lives]
    assert [s["name"] for s in written["steps"]] == [s.node.name for s in plan.steps]


def test_the_model_s_digest_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hashes all integers; banner, public header, blob and sources share it."""
    counted: list[QuantGraph] = []

    def counting(network: QuantGraph) -> str:
        counted.append(network)
        return model_digest(network)

    for name in (name for name in sys.modules if name.startswith("myoedge.codegen.")):
        monkeypatch.setattr(f"{name}.model_digest", counting, raising=False)
    d = GraphBuilder()
    w = d.constant(np.ones((4, 4), np.float32))
    network = quantized(d.build([d.add("linear", d.input("x", (1, 4)), w)], ["y"]))
    made = make_sources(make_plan(network, GAP9), "n", options=SourceOptions(weights_blob=True))
    assert len(counted) == 1
    digest = model_digest(network)
    assert made.digest == digest
    assert f'"{digest}"' in made.files["n.h"]
    assert f"model {digest[:16]}" in made.files["network.c"]
    assert bytes.fromhex(digest) in (made.blob or b"")
