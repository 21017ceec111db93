# SPDX-License-Identifier: Apache-2.0
"""Archives of networks that are quantised already, against torch's own run of them; the calls are
those that torchao's convert_pt2e writes, made here without torchao."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # names of the calls
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import count_parameters, from_exported
from myoedge.frontend.torch.load import SCHEMAS, load_exported
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer
from myoedge.quantization.search.moves.layers import observers_for
from myoedge.reports.fidelity import calibrated
from tests.support.oracles.integers import largest_difference, quantized

D: Any = torch.ops.quantized_decomposed
INT8_LIMITS = (-128, 127, torch.int8)


def rounded(x: Tensor, scale: float, zero: int, limits: Any = INT8_LIMITS) -> Tensor:
    """A tensor to int8 and back."""
    q = D.quantize_per_tensor(x, scale, zero, *limits)
    made: Tensor = D.dequantize_per_tensor(q, scale, zero, *limits)
    return made


class Quantized(nn.Module):
    """A module whose weights are integers, beside the float ones that an archive keeps unread."""

    def __init__(self, net: Callable[..., Tensor], shape: tuple[int, ...], high: int = 127) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.unread = nn.Parameter(torch.randn(1000, generator=draw))
        kind = torch.int8 if high < 128 else torch.int16
        weights = torch.randint(-high, high + 1, shape, generator=draw)
        self.register_buffer("weight", weights.to(kind))
        self.register_buffer("scale", (torch.rand(shape[0], generator=draw) + 0.2) / high)
        self.register_buffer("zero", torch.zeros(shape[0], dtype=torch.int64))
        bias = torch.randint(-33 * high, 33 * high, shape[:1], generator=draw, dtype=torch.int32)
        self.register_buffer("bias", bias)
        self.net, self.limits = net, (-high, high, kind)

    def floats(self, axis: int = 0) -> Tensor:
        channels = self.scale, self.zero, axis
        made: Tensor = D.dequantize_per_channel(self.weight, *channels, *self.limits)
        return made

    def biases(self, x_scale: float) -> Tensor:
        limits = -(2**31), 2**31 - 1, torch.int32
        zero = self.zero.to(torch.int32)
        made: Tensor = D.dequantize_per_channel(self.bias, self.scale * x_scale, zero, 0, *limits)
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self, x)


def stored(net: nn.Module, x: Tensor, folder: Path) -> Any:
    """The network's program, by way of an archive."""
    torch.export.save(torch.export.export(net.eval(), (x,)), folder / "net.pt2")
    return load_exported(folder / "net.pt2")


def conv(m: Quantized, x: Tensor) -> Tensor:
    y = nn.functional.conv1d(rounded(x, 0.03, 5), m.floats(), m.biases(0.03), padding=1)
    return rounded(torch.relu(y), 0.05, -128)


def linear(m: Quantized, x: Tensor) -> Tensor:
    y = nn.functional.linear(rounded(x, 0.03, 5), m.floats(), m.biases(0.03))
    return rounded(nn.functional.gelu(rounded(y, 0.1, 3)), 0.06, -100)


def unsigned(m: Quantized, x: Tensor) -> Tensor:
    limits = 0, 255, torch.uint8
    y = nn.functional.linear(rounded(x, 0.03, 133, limits), m.floats(), None)
    return rounded(y, 0.1, 7, limits)


def product(m: Quantized, x: Tensor) -> Tensor:
    """Weights of a product: channels along the second axis."""
    return rounded(rounded(x, 0.03, 5) @ m.floats().T, 0.1, 3)


def turned(m: Quantized, x: Tensor) -> Tensor:
    """Weights of a transposed convolution: output channels along the second axis."""
    weights = m.floats().transpose(0, 1)
    y = nn.functional.conv_transpose1d(rounded(x, 0.03, 5), weights, stride=2)
    return rounded(y, 0.07, 3)


def turned_wrong(m: Quantized, x: Tensor) -> Tensor:
    return nn.functional.conv_transpose1d(rounded(x, 0.03, 5), m.floats(), stride=2)


def from_tensors(m: Quantized, x: Tensor) -> Tensor:
    """Scales in tensors; weights that the program still quantises, of one scale."""
    scale, zero = torch.tensor(0.03), torch.tensor(5)
    q = D.quantize_per_tensor.tensor(x, scale, zero, *INT8_LIMITS)
    x = D.dequantize_per_tensor.tensor(q, scale, zero, *INT8_LIMITS)
    w = rounded(m.floats() + 0.0, 0.02, 0, (-127, 127, torch.int8))
    return rounded(nn.functional.linear(x, w), 0.1, 3)


def joined(m: Quantized, x: Tensor) -> Tensor:
    x = rounded(x, 0.03, 5)
    y = rounded(torch.cat([x, rounded(torch.tanh(x), 0.03, 5)], 1), 0.03, 5)
    return rounded(rounded(y.flatten(1), 0.03, 5) * 2.0, 0.05, 5)


CASES = {
    "conv": (conv, (6, 4, 3), 127, (1, 4, 12)),
    "conv4": (conv, (6, 4, 3), 7, (1, 4, 12)),
    "linear": (linear, (8, 16), 127, (9, 16)),
    "linear4": (linear, (8, 16), 7, (9, 16)),
    "linear16": (linear, (8, 16), 2000, (9, 16)),
    "unsigned": (unsigned, (8, 16), 127, (9, 16)),
    "product": (product, (8, 16), 127, (9, 16)),
    "turned": (turned, (6, 4, 4), 127, (1, 4, 9)),
    "from_tensors": (from_tensors, (8, 16), 127, (9, 16)),
    "joined": (joined, (1, 1), 127, (1, 4, 12)),
}


@pytest.mark.parametrize("name", CASES)
def test_integers_are_those_that_torch_computes(name: str, tmp_path: Path) -> None:
    net, shape, high, inputs = CASES[name]
    torch.manual_seed(1)
    module, x = Quantized(net, shape, high), torch.randn(inputs)
    with torch.no_grad():
        wanted = module(x)
    assert wanted.unique().numel() > 15
    network = quantized(stored(module, x, tmp_path), x)
    assert largest_difference(network, x, wanted) <= 1.0 + 1e-3
    weights = [step.integers.weight for step in network.steps if "weight" in step.integers.arrays]
    if name == "turned":  # every second tap for each phase of the stride
        assert sorted(np.concatenate([w.reshape(-1) for w in weights])) == sorted(
            module.weight.numpy().reshape(-1)
        )
    if name.startswith(("conv", "linear")):
        integers = module.weight.numpy().reshape(shape[0], -1)
        assert sorted(weights[0].reshape(-1)) == sorted(integers.reshape(-1))


def test_parameters_are_the_archives_and_unread_weights_are_not_counted(tmp_path: Path) -> None:
    module, x = Quantized(conv, (6, 4, 3)), torch.randn(1, 4, 12)
    program = stored(module, x, tmp_path)
    network = quantized(program, x)
    scale = float(np.float32(0.05))
    assert network.params[network.graph.outputs[0]] == QuantParams(scale, -128, INT8)
    assert count_parameters(program) == 6 * 4 * 3 + 6
    assert max(value.size for value in network.graph.arrays.values()) == 72
    assert network.steps[1].weight_type == INT8


def test_16_bits_stay(tmp_path: Path) -> None:
    limits = -(2**15), 2**15 - 1, torch.int16

    def net(m: Quantized, x: Tensor) -> Tensor:
        y = nn.functional.linear(rounded(x, 0.0002, 0, limits), m.floats())
        return rounded(y, 0.0005, 0, limits)

    module, x = Quantized(net, (8, 16)), torch.randn(3, 16)
    network = quantized(stored(module, x, tmp_path), x)
    assert {params.element_type for params in network.params.values()} == {INT16}
    # a multiplier has 15 bits: of results of 16 the last may be another
    assert largest_difference(network, x, module(x)) <= 2.0


def test_scales_for_each_channel_of_the_input_are_refused(tmp_path: Path) -> None:
    """As a first axis is where a convolution has its output channels, a transposed one its input's.

    With scales along the other one, as the advice has it, it is one of the cases above.
    """
    module, x = Quantized(turned_wrong, (4, 6, 4)), torch.randn(1, 4, 9)
    with pytest.raises(MyoedgeError, match="one for each output channel") as caught:
        quantized(stored(module, x, tmp_path), x)
    assert caught.value.code == "E111"


def test_scales_from_each_input_are_refused_with_advice(tmp_path: Path) -> None:
    def net(m: Quantized, x: Tensor) -> Tensor:
        scale, zero = D.choose_qparams(x, -128, 127, 1e-5, torch.int8)
        q = D.quantize_per_tensor.tensor(x, scale, zero, *INT8_LIMITS)
        x = D.dequantize_per_tensor.tensor(q, scale, zero, *INT8_LIMITS)
        return nn.functional.linear(x, m.floats())

    program = stored(Quantized(net, (8, 16)), torch.randn(3, 16), tmp_path)
    with pytest.raises(MyoedgeError, match="computed from each input") as caught:
        from_exported(program)
    assert caught.value.code == "E111"
    assert any("GAP9Quantizer" in line for line in caught.value.notice.tries)


def of_torchao(m: Quantized, x: Tensor) -> Tensor:
    """The calls of `linear` without its bias and activation in torchao's names."""
    calls, weights = torch.ops.torchao, m.weight
    whole = [*x.shape], torch.tensor(0.03), torch.tensor(5), torch.int8, -128, 127
    x = calls.dequantize_affine(calls.quantize_affine(x, *whole), *whole)
    channels = [1, weights.shape[1]], m.scale, m.zero, torch.int8, -127, 127
    y = nn.functional.linear(x, calls.dequantize_affine(weights, *channels))
    whole = [*y.shape], torch.tensor(0.1), torch.tensor(3), torch.int8, -128, 127
    made: Tensor = calls.dequantize_affine(calls.quantize_affine(y, *whole), *whole)
    return made


def plain(m: Quantized, x: Tensor) -> Tensor:
    return rounded(nn.functional.linear(rounded(x, 0.03, 5), m.floats()), 0.1, 3)


def test_calls_of_torchao_are_read_without_it(tmp_path: Path) -> None:
    """Names, and shapes of results, are all that torch needs to export them."""
    if hasattr(torch.ops.torchao, "quantize_affine"):
        pytest.skip("torchao is imported: its names are there")
    x, shape = torch.randn(9, 16), (8, 16)
    with torch.library._scoped_library("torchao", "FRAGMENT") as library:
        for schema in SCHEMAS[:2]:
            library.define(schema)
        library.impl("quantize_affine", lambda x, *a: torch.empty_like(x, dtype=a[3]), "Meta")
        library.impl(
            "dequantize_affine", lambda x, *a: torch.empty_like(x, dtype=torch.float32), "Meta"
        )
        torch.export.save(
            torch.export.export(Quantized(of_torchao, shape), (x,)), tmp_path / "net.pt2"
        )
    network = quantized(load_exported(tmp_path / "net.pt2"), x)
    assert largest_difference(network, x, Quantized(plain, shape)(x)) <= 1.0 + 1e-3
    assert [step.node.op for step in network.steps] == ["linear"]
    assert not hasattr(torch.ops.torchao, "quantize_affine")  # torchao may still be imported


@pytest.mark.parametrize("other", [(0.04, 5), (0.03, 6)])
def test_integers_read_with_another_scale_are_refused(other: Any, tmp_path: Path) -> None:
    def net(m: Quantized, x: Tensor) -> Tensor:
        q = D.quantize_per_tensor(x, 0.03, 5, *INT8_LIMITS)
        return nn.functional.linear(D.dequantize_per_tensor(q, *other, *INT8_LIMITS), m.floats())

    program = stored(Quantized(net, (8, 16)), torch.randn(3, 16), tmp_path)
    with pytest.raises(MyoedgeError, match="another scale"):
        from_exported(program)


def test_reports_say_that_nothing_was_calibrated(tmp_path: Path) -> None:
    """Where one tensor has no scale in the file, it is; older builds' observers are no file's."""
    x, tried = torch.randn(9, 16), [Observer("percentile"), Observer("file")]

    def half(m: Quantized, x: Tensor) -> Tensor:
        return linear(m, x) * torch.tanh(x[:, :8])

    graphs = [
        prepare(from_exported(stored(Quantized(net, (8, 16)), x, tmp_path)))
        for net in (linear, half)
    ]
    methods = [[o.method for o in observers_for(graph, tried)] for graph in graphs]
    assert methods == [["file"], ["percentile", "minmax"]]
    texts = {"file": "scales of the model file", "mse": "calibrated on 2 samples (least squares)"}
    for observer, text in texts.items():
        ranges = {"source": "2 samples", "observer": observer, "samples": 2}
        assert calibrated({"quantization": {"calibration": ranges}}) == text
