# SPDX-License-Identifier: Apache-2.0
"""GAP9Quantizer in torchao's flow: integers of converted networks against formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.numerics.element_type import INT16
from myoedge.quantization.scales import QuantGraph
from tests.support.oracles.integers import largest_difference, quantized, result

REASON = "torchao is not installed: pip install -e '.[qat]'"
flow: Any = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e", reason=REASON)
pt2e: Any = pytest.importorskip("torchao.quantization.pt2e", reason=REASON)

PER_CHANNEL = "quantized_decomposed.dequantize_per_channel.default"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.head(torch.relu(self.norm(self.conv(x))).flatten(1)), -1)


def converted(layers: Any = None, *, is_qat: bool = False) -> Any:
    """Exported program of the network, prepared, trained for three steps or not, run, converted."""
    torch.manual_seed(0)
    net, x = Net().train(is_qat), torch.randn(8, 2, 8)
    batch = ({0: torch.export.Dim("batch", min=2)},)
    model = torch.export.export(net, (x,), dynamic_shapes=batch).module()
    quantizer: Any = myoedge.GAP9Quantizer(layers, is_qat=is_qat)
    prepared = (flow.prepare_qat_pt2e if is_qat else flow.prepare_pt2e)(model, quantizer)
    if is_qat:
        pt2e.move_exported_model_to_train(prepared)
        optimiser = torch.optim.SGD(prepared.parameters(), 0.01)
        for _ in range(3):
            prepared(x)[:, 0].sum().backward()
            optimiser.step()
        pt2e.move_exported_model_to_eval(prepared)
    prepared(x)
    made = flow.convert_pt2e(prepared)
    return torch.export.export(made, (x[:1],))


def stated_weights(program: Any) -> list[tuple[Tensor, Tensor, int]]:
    """(integers, scales, largest integer) of every call that dequantises weights or biases."""
    tensors = program.graph_signature.inputs_to_buffers
    values = program.state_dict
    return [
        (values[tensors[x.name]], values[tensors[scale.name]], high)
        for node in program.graph.nodes
        if str(node.target) == PER_CHANNEL
        for x, scale, _, _, _, high, _ in [node.args]
    ]


# torchao looks for forms of convolutions with batch norms for half a minute
@pytest.mark.parametrize("is_qat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_weights_are_symmetric_and_biases_in_steps_of_the_product(is_qat: bool) -> None:
    program = converted({"conv": {"weights": 4}}, is_qat=is_qat)
    assert quantized(program, torch.randn(1, 2, 8))  # no state is left of the batch norm
    found = {value.shape: (value, scale, high) for value, scale, high in stated_weights(program)}
    conv, conv_high = found[4, 2, 3][0], found[4, 2, 3][2]
    head, head_high = found[3, 24][0], found[3, 24][2]
    assert (conv_high, int(conv.abs().max())) == (7, 7)
    assert (head_high, head.abs().amax(1).tolist()) == (127, [127, 127, 127])
    assert {value.dtype for value, _, high in found.values() if high > 2**15} == {torch.int32}
    scales = {
        str(n.target): n.args for n in program.graph.nodes if "quantize_per_t" in str(n.target)
    }
    assert all(args[4:6] == (127, torch.int8) for args in scales.values())
    assert not [n for n in program.graph.nodes if "batch_norm" in str(n.target)]


def test_a_bias_has_the_scale_of_operand_times_weights() -> None:
    program = converted()
    (linear,) = (n for n in program.graph.nodes if str(n.target) == "aten.linear.default")
    x, weight, bias = linear.args
    buffers, values = program.graph_signature.inputs_to_buffers, program.state_dict
    scales = [values[buffers[node.args[1].name]] for node in (weight, bias)]
    assert torch.equal(scales[1], scales[0] * torch.tensor(x.args[1], dtype=torch.float32))


def test_softmax_and_16_bits() -> None:
    layers = {"*": {"weights": 16}, "head": {"activations": 16, "weights": 16}}
    program = converted(layers)
    calls = [
        n for n in program.graph.nodes if str(n.target).endswith(".quantize_per_tensor.default")
    ]
    made = {str(n.args[0].target).split(".")[-2]: n.args[1:] for n in calls if n.args[0].args}
    assert made["softmax"] == (2.0**-8, -128, -128, 127, torch.int8)
    assert made["linear"][1:] == (0, -(2**15), 2**15 - 1, torch.int16)
    weights = [value for value, _, high in stated_weights(program) if high == 2**15 - 1]
    assert len(weights) == 2
    for value in weights:  # beside int16 inputs no sum leaves int32
        sums = value.to(torch.int64).abs().flatten(1).sum(1)
        assert value.dtype == torch.int16
        assert int(sums.max()) * 2**15 < 2**31 - 2**28 + 2**15 * value[0].numel()


def test_what_cannot_be_asked_for() -> None:
    with pytest.raises(MyoedgeError, match="impossible bits") as bits:
        myoedge.GAP9Quantizer({"head": {"weights": 9}})
    assert (bits.value.code, "has" in dict(bits.value.notice.facts)) == ("E232", True)
    with pytest.raises(MyoedgeError, match='"haed" matches no layer') as pattern:
        converted({"haed": {"weights": 4}})
    assert pattern.value.code == "E233"
    assert "head" in dict(pattern.value.notice.facts)["has"]


class Calls(nn.Module):
    """A function of a tensor and of layers."""

    def __init__(self, net: Any, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.net = nn.ModuleList(layers), net

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.net(x, *self.layers)
        return made


F = nn.functional
NETS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv1d": (nn.Sequential(nn.Conv1d(3, 8, 5, padding=2), nn.ReLU()), (1, 3, 30)),
    "conv2d": (nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, stride=2), nn.ReLU6()), (1, 4, 9, 9)),
    "turned": (nn.ConvTranspose1d(4, 6, 4, stride=2), (1, 4, 9)),
    "norm": (
        nn.Sequential(nn.Conv1d(3, 8, 5), nn.BatchNorm1d(8), nn.MaxPool1d(2), nn.ReLU()),
        (1, 3, 30),
    ),
    "table": (nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.AvgPool1d(2)), (3, 4, 16)),
    "add": (Calls(lambda x: F.relu(x + x.flip(1))), (4, 16)),
    "mul": (Calls(lambda x: x * x.flip(1)), (4, 16)),
    "cat": (Calls(lambda x: torch.cat([torch.tanh(x), x], 1)[:, ::2]), (4, 16)),
    "mean": (Calls(lambda x: ((x - 0.5) / 2.0).mean(-1)), (1, 4, 16)),
    "product": (Calls(lambda x: (x @ x.transpose(1, 2)).softmax(-1)), (1, 8, 16)),
    "layer_norm": (nn.LayerNorm(32), (4, 32)),
    "lstm": (
        Calls(lambda x, lstm, head: head(lstm(x)[0][:, -1]), nn.LSTM(4, 6), nn.Linear(6, 3)),
        (1, 9, 4),
    ),
}


def converted_by(net: nn.Module, x: Tensor, layers: Any = None) -> Any:
    model: Any = torch.export.export(net.eval(), (x,)).module()
    quantizer: Any = myoedge.GAP9Quantizer(layers)
    prepared = flow.prepare_pt2e(model, quantizer)
    prepared(x)
    return flow.convert_pt2e(prepared)


def both(net: nn.Module, x: Tensor, layers: Any = None) -> tuple[QuantGraph, Tensor]:
    """The converted network in our integers, and what torch computes of it."""
    made = converted_by(net, x, layers)
    return quantized(torch.export.export(made, (x,)), x), made(x)


@pytest.mark.parametrize("name", NETS)
def test_builds_compute_what_the_converted_network_does(name: str) -> None:
    """Nothing is calibrated: the samples are wrong by far, and the integers the same."""
    torch.manual_seed(0)
    net, shape = NETS[name]
    x = torch.randn(shape)
    network, wanted = both(net, x)
    assert largest_difference(network, x, wanted) <= 1.0 + 1e-3


def sqnr_db(floats: Tensor, integers: Any) -> float:
    wanted = floats.detach().numpy()
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((integers - wanted) ** 2)))


def test_attention_of_32_keys_keeps_40_db_of_the_converted_network() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 2, 32, 16)
    net = Calls(lambda x: nn.functional.scaled_dot_product_attention(*x.unbind(1)))
    network, wanted = both(net, x)
    assert largest_difference(network, x, wanted) <= 1.0 + 1e-3
    assert sqnr_db(wanted, result(network, x)) > 40.0


@pytest.mark.parametrize("keys", [200, pytest.param(400, marks=pytest.mark.slow)])
def test_builds_of_attention_of_many_keys_keep_40_db(keys: int, tmp_path: Path) -> None:
    """By exponentials of 12 bits, which a build chooses. An operand on a tie is a step apart, as
    torch multiplies by the reciprocal of a scale, so that few results are two."""
    torch.manual_seed(0)
    x = torch.randn(1, 3, 2, keys, 16)
    net = Calls(lambda x: nn.functional.scaled_dot_product_attention(*x.unbind(1)))
    made = converted_by(net, x)
    torch.export.save(torch.export.export(made, (x,)), tmp_path / "model.pt2")
    options = {"target": "gap9", "output": tmp_path / "build", "simulate": False}
    build = myoedge.build(tmp_path / "model.pt2", calib=x[None].numpy(), **options)
    wanted, found = made(x), build.run(x.numpy())
    (output,) = build.network.graph.outputs
    steps = np.abs(wanted.detach().numpy() - found) / build.network.params[output].scale
    assert steps.max() <= 2.0 + 1e-3
    assert (steps > 1.5).mean() <= 1e-3
    assert sqnr_db(wanted, found) > 40.0


def test_four_bits_and_residual_streams_in_a_transformer() -> None:
    torch.manual_seed(0)
    layer, x = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), torch.randn(1, 10, 16)
    network, wanted = both(layer, x, {"linear*": {"weights": 4}})
    largest = [int(np.abs(s.integers.weight).max()) for s in network.steps if s.node.op == "linear"]
    assert sorted(largest) == [7, 7, 127, 127]
    assert [s.element_type for s in network.steps if s.node.op == "add"] == [INT16, INT16]
    assert sqnr_db(wanted, result(network, x)) > 40.0
