# SPDX-License-Identifier: Apache-2.0
"""Recurrences that export unrolls become loops, which compute what torch does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import every_value, real_node, run_float, run_int
from myoedge.operators.turns import IN_LOOPS, in_order, loop_spans, ordered_ends, times_run, turns
from myoedge.passes import prepare
from myoedge.quantization import sqnr
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.search.added_noise import FloatChange, propagated
from myoedge.quantization.sqnr import integer_runs, quantized_inputs
from myoedge.quantization.unseen_values import unseen_values
from tests.e2e.test_less_l2 import quantized

WIDTH, INPUTS = 6, 3


class Loop(nn.Module):
    """A cell's first state in every step, or behind the last one.

    backward   from the last row to the first     states   how many there are
    """

    def __init__(
        self, cell: nn.Module, steps: int, *, states: int = 1, last: bool, backward: bool = False
    ) -> None:
        super().__init__()
        self.cell, self.steps, self.states = cell, steps, states
        self.last, self.backward = last, backward

    def forward(self, x: Tensor) -> Tensor:
        state: tuple[Tensor, ...] = (torch.zeros(1, WIDTH),) * self.states
        found = []
        for t in range(self.steps):
            at = self.steps - 1 - t if self.backward else t
            state = self.cell(x[:, at], state, t)
            found.append(state[0])
        found = found[::-1] if self.backward else found
        return state[0] if self.last else torch.stack(found, 1)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(INPUTS + WIDTH, WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        return (torch.tanh(self.layer(torch.cat([x, state[0]], 1))),)


class Gated(nn.Module):
    """A cell of two states, products of which depend on the rows alone."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(INPUTS, 3 * WIDTH), nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        forget, enter, leave = (self.x(x) + self.h(state[0])).chunk(3, 1)
        c = torch.sigmoid(forget) * state[1] + torch.tanh(enter)
        return torch.sigmoid(leave) * torch.tanh(c), c


class Unfolded(nn.Module):
    """A cell that integrates three steps between two rows, as liquid time-constant cells do."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        driven, h = self.x(x), state[0]
        for _ in range(3):
            rate = torch.sigmoid(driven + self.h(h))
            h = (h + 0.1 * rate) / (1.1 + 0.1 * rate)
        return (h,)


class Delayed(nn.Module):
    """A cell that reads the states of two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.input = nn.Linear(2 * WIDTH, WIDTH), nn.Linear(INPUTS, WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        h = torch.tanh(self.layer(torch.cat(state, 1)) + self.input(x))
        return h, state[0]


class Weighted(Delayed):
    """A cell with weights that change from step to step, of rows alone."""

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        h = torch.tanh(self.layer(torch.cat(state, 1)) + self.input(x) * (1.0 + 0.1 * step))
        return h, state[0]


class Swapped(nn.Module):
    """A cell whose states are computed from each other."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        a, b = state
        return torch.tanh(b) * 0.5 + self.x(x), torch.sigmoid(self.h(a))


class Late(Plain):
    """A cell whose second state is of the row before: no state becomes it."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(INPUTS, WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        now, (h, before) = torch.sigmoid(self.input(x)), state
        return super().forward(x, (h + before,), step)[0] + torch.tanh(now), now


class Begun(nn.Module):
    """A sum that two states become, which begin as different ones."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.x = nn.Linear(INPUTS, WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        a, b = state if step else (self.x(x) + 2.0, torch.tanh(self.x(x)))
        h = torch.tanh(self.a(a)) + self.b(torch.sigmoid(b)) * 0.5 + self.x(x)
        return h, h


def prepared(network: nn.Module, *shape: int) -> Graph:
    """The network's graph, which computes what torch does."""
    x = torch.randn(shape)
    graph = prepare(from_exported(torch.export.export(network.eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    with torch.no_grad():
        np.testing.assert_allclose(found, network(x).numpy(), rtol=1e-5, atol=1e-5)
    return graph


@pytest.mark.parametrize("last", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (Plain, 1),
        pytest.param(Unfolded, 1, marks=pytest.mark.slow),
        (Gated, 2),
        (Delayed, 2),
        (Swapped, 2),
        (Late, 2),
        (Begun, 2),
    ],
)
def test_the_body_of_a_loop_stands_once(
    kind: Callable[[], nn.Module], states: int, backward: bool, last: bool
) -> None:
    torch.manual_seed(0)
    cell, options = kind(), {"states": states, "last": last, "backward": backward}
    sizes = set()
    for steps in (24, 40):
        graph = prepared(Loop(cell, steps, **options), 1, steps, INPUTS)
        (span,) = loop_spans(graph.nodes)
        assert span.steps >= steps // 2 - 3
        sizes.add(len(graph.nodes))
    assert len(sizes) == 1


def test_weights_may_change_from_step_to_step_outside_of_the_loop() -> None:
    torch.manual_seed(0)
    graph = prepared(Loop(Weighted(), 12, states=2, last=False), 1, 12, INPUTS)
    assert len(loop_spans(graph.nodes)) == 1


class Cells(nn.Module):
    """Steps of a cell that is an operator of its own."""

    def __init__(self, cell: type[nn.Module], *, back: bool, fed: bool) -> None:
        super().__init__()
        self.cell, self.back, self.fed = cell(INPUTS, WIDTH), back, fed

    def forward(self, x: Tensor) -> Tensor:
        zeros = torch.zeros(2, WIDTH)
        state = (zeros, zeros) if isinstance(self.cell, nn.LSTMCell) else zeros
        found, h = [], zeros
        for row in reversed(x.unbind(1)) if self.back else x.unbind(1):
            state = self.cell(row + h[:, :INPUTS] if self.fed else row, state)
            h = state[0] if isinstance(state, tuple) else state
            found.append(h)
        last = state[1] if isinstance(state, tuple) else state
        return torch.cat([*found, last], 1)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("fed", [False, True])
@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_are_one_layer_unless_they_read_their_results(
    cell: type[nn.Module], fed: bool, back: bool
) -> None:
    torch.manual_seed(0)
    steps = 3 if fed else 7  # of more steps a loop is made
    graph = prepared(Cells(cell, back=back, fed=fed), 2, steps, INPUTS)
    layers = [node for node in graph.nodes if node.op in ("lstm", "gru", "rnn_tanh")]
    assert len(layers) == (steps if fed else 1)


class Stacked(nn.Module):
    """Two cells, the second of which reads the results of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(INPUTS, WIDTH), nn.GRUCell(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        h = c = g = torch.zeros(2, WIDTH)
        found = []
        for row in x.unbind(1):
            h, c = self.first(row, (h, c))
            g = self.second(torch.relu(h), g)
            found.append(g)
        return torch.stack(found, 1)


def test_stacked_cells_are_a_layer_each() -> None:
    torch.manual_seed(0)
    ops = [node.op for node in prepared(Stacked(), 2, 9, INPUTS).nodes]
    assert (ops.count("lstm"), ops.count("gru"), ops.count("slice")) == (1, 1, 0)


class Decoder(nn.Module):
    """Positions for six steps, then their sums with velocities, fed back to two LSTM cells.

    Nothing reads the last cell states, so the exported graph does not compute them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(INPUTS + 2, WIDTH), nn.LSTMCell(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = b = (torch.zeros(1, WIDTH), torch.zeros(1, WIDTH))
        pose, found = torch.zeros(1, 2), []
        for t, row in enumerate(x.unbind(1)):
            a = self.first(torch.cat([row, pose], 1), a)
            b = self.second(a[0], b)
            change = self.last(b[0])
            pose = change if t < 6 else pose + change
            found.append(pose)
        return torch.stack(found, -1)


def test_each_phase_of_a_decoder_is_a_loop() -> None:
    """With its cell states as states: a body that computes them from the gates of the step before
    would compute these twice."""
    torch.manual_seed(0)
    decoder, sizes = Decoder(), set()
    for steps in (24, 40):
        graph = prepared(decoder, 1, steps, INPUTS)
        assert [span.steps for span in loop_spans(graph.nodes)] == [4, steps - 7]
        sizes.add(len(graph.nodes))
        for span in loop_spans(graph.nodes):
            body = [node.op for node in graph.nodes[span.first : span.end]]
            assert body.count("gates") == 2
    assert len(sizes) == 1


class Branched(nn.Module):
    """Two chains of a cell that begin with the same step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(INPUTS, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.unbind(1)
        begun = self.cell(rows[0], torch.zeros(1, WIDTH))
        a = b = self.cell(rows[1], begun)
        for row in rows[2:5]:
            a = self.cell(row, a)
        for row in rows[2:]:
            b = self.cell(row, b)
        return torch.cat([a, b], 1)


def test_two_chains_may_begin_with_the_same_steps() -> None:
    torch.manual_seed(0)
    ops = [node.op for node in prepared(Branched(), 1, 9, INPUTS).nodes]
    assert ops.count("gru") == 2


class Spread(nn.Module):
    """A loop with one kind of operator per line, from which products of rows alone are hoisted.

    kind   what the loop computes: a state that only a loop can, a scan, or rows alone
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.x = kind, nn.Linear(WIDTH, WIDTH)
        self.h, self.scale = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.rand(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        h, found = torch.zeros(1, WIDTH), []
        for t in range(24):
            row = x[:, t]
            a = self.x(row)
            b = torch.tanh(row)
            a = a * b
            if self.kind == "loop":
                h = self.h(h)
                h = h + a
                h = torch.tanh(h)
            if self.kind == "scan":
                h = self.scale * h + a
            if self.kind == "rows":
                h = self.h(a)
            found.append(h)
        return torch.stack(found, 1)


WORDS = {"linear": "self.", "mul": " * ", "add": " + ", "table": "tanh", "slice": "x[:, t]"}


@pytest.mark.parametrize("kind", ["loop", "scan", "rows"])
def test_layers_of_a_loop_have_the_lines_that_compute_them(kind: str) -> None:
    lines, first = inspect.getsourcelines(Spread.forward)
    for node in prepared(Spread(kind), 1, 24, WIDTH).nodes:
        at = [int(origin.source.rpartition(":")[2]) - first for origin in node.origin]
        if node.op in WORDS:
            assert any(WORDS[node.op] in lines[n] for n in at), node.where


class Deep(nn.Module):
    """Equal layers with weights of their own, and a long sum."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(9))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + torch.tanh(layer(torch.tanh(x)) * 0.5)
        return x


def test_layers_with_weights_of_their_own_are_no_loop() -> None:
    torch.manual_seed(0)
    assert loop_spans(prepared(Deep(), 1, WIDTH).nodes) == []


def test_steps_run_one_after_another() -> None:
    loop = {"loop": "l", "steps": 2}
    nodes = [
        Node("loop_state", ("zero",), ("h",), loop),
        Node("loop_read", ("x",), ("row",), loop),
        Node("add", ("row", "h"), ("sum",)),
        Node("loop_next", ("sum", "h"), ("after",), loop),
        Node("loop_last", ("after",), ("y",), loop),
    ]
    found = [(name, step) for name, _, step in turns(nodes, [node.name for node in nodes])]
    body = [[(name, step) for name in ("row", "sum", "after")] for step in (0, 1)]
    assert times_run(nodes) == {"h": 1, "row": 2, "sum": 2, "after": 2, "y": 1}
    assert found == [("h", 0), *body[0], *body[1], ("y", 0)]


class Reused(nn.Module):
    """Weights of a layer that are also the first state of a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(INPUTS, WIDTH)
        self.w = nn.Parameter(torch.randn(WIDTH, WIDTH) / 2)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.w
        for row in range(20):
            h = torch.tanh(h + self.inner(x[:, row]))
        return nn.functional.linear(h, self.w)


@pytest.mark.parametrize("kind", [lambda: Loop(Gated(), 20, states=2, last=False), Reused])
def test_a_batch_of_a_loop_is_its_samples(
    kind: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In integers bit for bit; in floats up to the order of sums in a matrix product."""
    torch.manual_seed(0)
    graph = prepared(kind(), 1, 20, INPUTS)
    assert loop_spans(graph.nodes)
    x = torch.randn(4, 1, 20, INPUTS).numpy()
    samples, name = [{graph.inputs[0]: row} for row in x], graph.outputs[0]
    q = quantize_graph(graph, calibrate(graph, {graph.inputs[0]: x}, Observer(), "drawn"))
    monkeypatch.setattr(sqnr, "BATCH", 3)  # 4 samples in two batches
    for sample, found in zip(samples, integer_runs(q, {graph.inputs[0]: x}), strict=True):
        wanted = run_int(q.steps, q.constants, quantized_inputs(q, sample))
        for tensor, values in found.items():
            np.testing.assert_array_equal(values, wanted[tensor])
    reals = [every_value(graph, sample) | graph.arrays for sample in samples]
    weights = dict.fromkeys(node.inputs[1] for node in graph.nodes if node.op == "linear")
    doubled = [{weight: 2 * graph.array(weight)} for weight in weights]
    changed = propagated(graph, reals, [*map(FloatChange, doubled)])[name]
    of_each = ((arrays, sample) for arrays in doubled for sample in samples)
    for value, (arrays, sample) in zip(changed, of_each, strict=True):
        exact = run_float(graph.with_arrays(arrays), sample)[name]
        np.testing.assert_allclose(value, exact, rtol=1e-5, atol=1e-6)


def test_a_batch_of_rounded_tensors_is_each_alone() -> None:
    """Inputs, states and results of a loop; a tensor alone against the float network by hand in
    test_refine."""
    torch.manual_seed(0)
    graph = prepared(Loop(Begun(), 20, states=2, last=False), 1, 20, INPUTS)
    x = torch.randn(2, 1, 20, INPUTS).numpy()
    q = quantize_graph(graph, calibrate(graph, {graph.inputs[0]: x}, Observer(), "drawn"))
    reals = [every_value(graph, {graph.inputs[0]: row}) | graph.arrays for row in x]
    names = [name for name in (*graph.inputs, *(n.name for n in graph.nodes)) if name in q.params]
    changes = [FloatChange({}, frozenset([name])) for name in names]
    output = graph.outputs[0]
    together = propagated(graph, reals, changes, q.params)[output]
    for at, change in enumerate(changes):
        alone = propagated(graph, reals, [change], q.params)[output]
        np.testing.assert_allclose(together[2 * at : 2 * at + 2], alone, rtol=1e-5, atol=1e-6)
    errors = np.abs(together - np.concatenate([real[output][None] for real in reals] * len(names)))
    assert np.all(errors.max(axis=tuple(range(1, errors.ndim))) > 0)


@pytest.mark.parametrize("kept", [every_value, float_values])
def test_values_of_a_loop_are_those_of_its_last_step(
    kept: Callable[[Graph, Mapping[str, Array]], Mapping[str, Array]],
) -> None:
    """States too, so that a layer's result follows from the operands that are kept."""
    torch.manual_seed(0)
    graph = prepared(Loop(Plain(), 12, last=True), 1, 12, INPUTS)
    (span,) = loop_spans(graph.nodes)
    values = kept(graph, {graph.inputs[0]: torch.randn(1, 12, INPUTS).numpy()})
    for node in graph.nodes[span.first : span.end]:
        if node.op not in IN_LOOPS:
            _, found = real_node(node, [values[name] for name in node.inputs])
            np.testing.assert_array_equal(found, values[node.name])


def test_a_state_is_overwritten_after_slices_of_it_are_read() -> None:
    """As in a register: contiguous slices share the state's bytes."""
    loop = {"loop": "l", "steps": 2}
    rest = Node("slice", ("old",), ("rest",), {"cuts": ((0, 1, 1), (1, 3, 1))})
    first = Node("loop_next", ("made", "old"), ("first",), loop)
    second = Node("loop_next", ("rest", "kept"), ("second",), loop)
    assert ordered_ends([first, second], [rest]) == [second, first]


def test_a_loop_is_put_in_one_piece() -> None:
    loop = {"loop": "l", "steps": 2}
    nodes = [
        Node("loop_state", ("zero",), ("h",), loop),
        Node("loop_state", ("zero",), ("before",), loop),
        Node("table", ("x",), ("factor",)),
        Node("mul", ("factor", "h"), ("next",)),
        Node("table", ("factor",), ("other",)),
        Node("loop_next", ("next", "h"), ("h_after",), loop),
        Node("loop_next", ("h", "before"), ("before_after",), loop),
    ]
    names = [node.name for node in in_order(nodes, ("x", "zero"))]
    body = ["h", "before", "next", "before_after", "h_after"]
    assert "".join(body) in "".join(names)
    assert names.index("factor") < names.index("h")
    changed = [
        node.but(inputs=("before", "h")) if node.name == "h_after" else node for node in nodes
    ]
    with pytest.raises(ValueError, match="change places"):
        in_order(changed, ("x", "zero"))


class Leaky(nn.Module):
    """A charge that grows from the first row on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(INPUTS, WIDTH)

    def forward(self, x: Tensor, state: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        own = torch.relu(self.layer(x))
        return (own if step == 0 else 0.9 * state[0] + own,)


def test_states_are_within_the_range_of_all_iterations() -> None:
    """Not outside that of their first value."""
    torch.manual_seed(0)
    program = torch.export.export(
        Loop(Leaky(), 24, last=True).eval(), (torch.zeros(1, 24, INPUTS),)
    )
    calib = np.random.default_rng(0).standard_normal((8, 1, 24, INPUTS), np.float32)
    q = quantized(program, calib)
    assert loop_spans(q.graph.nodes)
    assert unseen_values(q, {q.graph.inputs[0]: calib}) is None
