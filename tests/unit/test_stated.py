# SPDX-License-Identifier: Apache-2.0
"""States that a network of one step takes and gives: carried as in the network over all steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming.convert import explicit_state_stream, without_states
from tests.support.networks.causal import push_all

STEPS, INPUTS, UNITS = 23, 6, 5
pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")


class Recurrent(nn.Module):
    """Over all steps; `Step` is the same network over one."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU], layers: int = 1) -> None:
        super().__init__()
        self.inner, self.layers = kind(INPUTS, UNITS, layers), layers
        self.head = nn.Linear(UNITS, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.inner(x)[0]))


class Step(Recurrent):
    """A frame and the states packed into one tensor -> the result and the states."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        n = self.layers
        if isinstance(self.inner, nn.GRU):
            y, left = self.inner(x, state)
            return self.head(torch.relu(y)), left
        y, (h, c) = self.inner(x, (state[:n], state[n:]))
        return self.head(torch.relu(y)), torch.cat([h, c])


class Swapped(Step):
    """h takes the place of c."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, left = super().forward(x, state)
        return y, left.flip(0)


class Seen(Step):
    """The state is read beside the recurrent layer."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, left = super().forward(x, state)
        return y + state.sum(), left


class Half(Step):
    """c is 0 before every step."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(self.inner, nn.LSTM)
        y, (h, c) = self.inner(x, (state[:1], torch.zeros(1, 1, UNITS)))
        return self.head(torch.relu(y)), torch.cat([h, c])


class Mean(Step):
    """One step of four frames."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x.mean(0, keepdim=True), state)


def graph_of(model: nn.Module, *given: Tensor) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), given)))


def state_of(model: Recurrent) -> Tensor:
    return torch.zeros(model.layers * (1 if isinstance(model.inner, nn.GRU) else 2), 1, UNITS)


def names(graph: Graph) -> dict[str, str]:
    """The state's input and output."""
    return {graph.inputs[1]: graph.output_labels[1]}


@pytest.mark.parametrize(("kind", "layers"), [(nn.LSTM, 1), (nn.LSTM, 2), (nn.GRU, 1)])
def test_pushed_frames_give_what_the_network_over_all_of_them_gives(
    kind: type[nn.LSTM | nn.GRU], layers: int
) -> None:
    """Bit for bit: h of 8 bits and c of 16 go from step to step in either."""
    torch.manual_seed(1)
    step = Step(kind, layers)
    whole = Recurrent(kind, layers)
    whole.load_state_dict(step.state_dict())
    x = 2 * torch.randn(STEPS, 1, INPUTS)
    over_all = graph_of(whole, x)
    found = quantize_graph(
        over_all, calibrate(over_all, {over_all.inputs[0]: x.numpy()[None]}, Observer(), "t")
    )
    graph = graph_of(step, x[:1], state_of(step))
    one = without_states(graph, names(graph))
    given = {graph.inputs[0]: x.numpy()[:, None], graph.inputs[1]: states_of(step, x)}
    network = quantize_graph(one, calibrate(one, given, Observer(), "t"))
    stream = explicit_state_stream(network, names(graph))
    integers = quantized_inputs(found, {over_all.inputs[0]: x.numpy()})
    wanted = run_int(found.steps, found.constants, integers)[over_all.outputs[0]]
    (made,) = push_all(stream, {graph.inputs[0]: integers[over_all.inputs[0]]})
    assert network.params[one.outputs[0]] == found.params[over_all.outputs[0]]
    np.testing.assert_array_equal(made.reshape(wanted.shape), wanted)


def states_of(step: Step, x: Tensor) -> Array:
    """Before every frame, in floats."""
    state, found = state_of(step), []
    with torch.no_grad():
        for frame in x:
            found.append(state.numpy())
            _, state = step(frame[None], state)
    return np.stack(found)


@pytest.mark.parametrize("kind", [Swapped, Seen, Half])
def test_a_state_that_is_another_one_in_the_next_step_is_refused(kind: type[Step]) -> None:
    model = kind(nn.LSTM)
    graph = graph_of(model, torch.zeros(1, 1, INPUTS), state_of(model))
    with pytest.raises(MyoedgeError, match="E239"):
        without_states(graph, names(graph))


def test_names_that_are_none_are_refused_with_those_there_are() -> None:
    model = Step(nn.LSTM)
    graph = graph_of(model, torch.zeros(1, 1, INPUTS), state_of(model))
    for wrong in ({"nothing": "at all"}, {graph.inputs[1]: "at all"}):
        with pytest.raises(MyoedgeError, match="E239") as told:
            without_states(graph, wrong)
        assert graph.inputs[1] in str(told.value)


@pytest.mark.parametrize(("kind", "said"), [(Step, "of one step"), (Mean, "a batch of one")])
def test_frames_are_batches_of_one(kind: type[Step], said: str) -> None:
    model = kind(nn.LSTM)
    graph = graph_of(model, torch.zeros(4, 1, INPUTS), state_of(model))
    with pytest.raises(MyoedgeError, match=said) as told:
        without_states(graph, names(graph))
    assert told.value.code == "E239"
