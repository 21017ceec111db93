# SPDX-License-Identifier: Apache-2.0
"""GAP9Quantizer in torchao's flow: integers of converted networks against formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.errors import MyoedgeError

REASON = "torchao is not installed: pip install 'myoedge[qat]'"
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
