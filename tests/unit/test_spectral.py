# SPDX-License-Identifier: Apache-2.0
"""Log spectrograms: import, what is folded in, refusals, the error on a real recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.extensions.zoo import emg2qwerty
from myoedge.extensions.zoo.emg2qwerty import LogSpectrogram, SpectrogramNorm
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import run_float, run_int
from myoedge.operators.spectral import fast_fourier as fourier
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from tests.support.networks.small import Function

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")
RECORDING = Path(__file__).parents[2] / "examples" / "data" / "libemg_myo.npz"


def graph_of(module: nn.Module, *shape: int) -> Graph:
    program = torch.export.export(module.eval(), (torch.zeros(shape),))
    return prepare(from_exported(program))


def spectra(x: Tensor, **changed: object) -> Tensor:
    options = {
        "n_fft": 16,
        "window": torch.ones(16),
        "hop_length": 4,
        "center": False,
        "return_complex": True,
        **changed,
    }
    return torch.stft(x, **options)  # type: ignore[arg-type]


def recording() -> Array:
    """Both bands from one armband of 8 electrodes, in its own units [samples, 1, 2, 16]."""
    x = np.load(RECORDING)["emg"][:1600]
    return np.tile(x, (1, 4)).reshape(-1, 1, 2, 16).astype(np.float32)


def norm() -> SpectrogramNorm:
    made = SpectrogramNorm()
    with torch.no_grad():
        for value in (made.batch_norm.running_mean, made.batch_norm.weight, made.batch_norm.bias):
            value.uniform_(-1.0, 1.0)
        made.batch_norm.running_var.uniform_(0.5, 2.0)
    return made


def test_a_front_end_and_its_norm_are_one_operator_in_order_of_time() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(LogSpectrogram(), norm()).eval()
    graph = graph_of(module, 160, 1, 2, 16)
    assert [node.op for node in graph.nodes] == ["reshape", "spectrogram", "reshape"]
    x = 50 * torch.randn(160, 1, 2, 16)
    with torch.no_grad():
        wanted = module(x).numpy()
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def quantized(graph: Graph, x: Array) -> QuantGraph:
    return quantize_graph(graph, calibrate(graph, {"x": x[None]}, Observer(), "here"))


def test_the_error_on_a_real_recording_is_a_twentieth_of_a_decade() -> None:
    """Half a step of the int8 results included; torch's own transform is the oracle. Transforms of
    16 bits add a four-hundredth of a decade."""
    x = recording()
    graph = graph_of(LogSpectrogram(), *x.shape)
    network = quantized(graph, x)
    values = run_int(network.steps, {}, quantized_inputs(network, {"x": x}))
    name = graph.outputs[0]
    params = network.params[name]
    found = (values[name].astype(np.float64) - params.zero_point) * params.scale
    with torch.no_grad():
        wanted = LogSpectrogram()(torch.as_tensor(x)).numpy()
    error = np.abs(found - wanted)
    assert network.params["x"].element_type.bits == 16
    assert np.quantile(error, 0.99) <= 0.05 + params.scale / 2
    assert np.quantile(error, 0.99) <= params.scale / 2 + 1 / 400
    assert 10 * np.log10(np.square(wanted).sum() / np.square(error).sum()) >= 40.0


@pytest.mark.parametrize("length", [60, 100])
def test_frames_of_other_lengths_are_as_exact(length: int) -> None:
    """Of a real recording, against torch's own transform."""
    x, window = recording()[:, 0, 0, :3].T, torch.hann_window(length)

    def front_end(x: Tensor) -> Tensor:
        power = torch.stft(x, length, 20, window=window, return_complex=True).abs() ** 2
        return torch.log10(power / window.square().sum() + 1e-3)

    graph = graph_of(Function(front_end), *x.shape)
    assert [node.op for node in graph.nodes if not OPS[node.op].is_data_movement] == ["spectrogram"]
    network = quantized(graph, x)
    values = run_int(network.steps, {}, quantized_inputs(network, {"x": x}))
    name = graph.outputs[0]
    params = network.params[name]
    found = (values[name].astype(np.float64) - params.zero_point) * params.scale
    wanted = front_end(torch.from_numpy(x.copy())).numpy()
    assert 10 * np.log10(np.square(wanted).sum() / np.square(found - wanted).sum()) >= 40.0


def test_silence_is_the_functions_value_at_zero() -> None:
    """Of samples in steps of 0.01, whose least magnitude's power is a hundred times the constant
    under the logarithm."""
    x = recording()[:160, 0, 0, :3].T * 20.0
    x[:, 60:] = 0.0
    graph = graph_of(Function(lambda x: torch.log10(spectra(x).abs() ** 2 + 1e-6)), *x.shape)
    network = quantized(graph, x)
    values = run_int(network.steps, {}, quantized_inputs(network, {"x": x}))
    params = network.params[graph.outputs[0]]
    found = (values[graph.outputs[0]].astype(np.float64) - params.zero_point) * params.scale
    assert network.params["x"].scale ** 2 > 1e-4
    assert np.abs(found[..., 15:] + 6.0).max() <= params.scale


LENGTHS = [n for n in range(4, fourier.MOST_SAMPLES + 1, 2) if fourier.has_transform(n)]


def full_scale(n: int) -> Array:
    """Frames of n int16 samples at both ends of their range: constant, alternating, the signs of
    waves, of which sums are largest, and noise."""
    turns = np.outer([0.5, 1, n // 4, n / 2 - 0.5, n // 2], np.arange(n)) / n
    signs = np.where(np.cos(2 * np.pi * turns) >= 0, 1.0, -1.0)
    noise = np.random.default_rng(n).uniform(-1, 1, (3, n))
    return np.clip(np.vstack([np.ones(n), signs, noise]) * 2**15, -(2**15), 2**15 - 1).astype(int)


def test_no_stage_leaves_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames at full scale, of all lengths, with the largest window; NumPy's transform is the
    oracle of the results."""
    combine, most = fourier._combine_transforms, list[int]()

    def recorded(*arguments: Any) -> Any:
        made = combine(*arguments)
        most.extend(int(np.abs(part).max()) for part in made)
        return made

    monkeypatch.setattr(fourier, "_combine_transforms", recorded)
    for n in LENGTHS:
        window = np.full(n, fourier.LARGEST_FACTOR)
        step: Any = SimpleNamespace(integers=SimpleNamespace(window=window, **fourier.tables_of(n)))
        x = full_scale(n)
        real, imaginary, exponent = fourier.transformed(step, x)
        found = np.hypot(real, imaginary) * 2.0**exponent * 2**15 / fourier.LARGEST_FACTOR
        wanted = np.abs(np.fft.rfft(x))
        error = np.square(found - wanted).sum(-1) / np.square(wanted).sum(-1)
        assert -10 * np.log10(error).max() >= 45.0, n
        assert (real**2 + imaginary**2).max() < 2**31, n
    assert max(most) <= 2**14.5 + 22


def test_other_functions_stay_tables_behind_it() -> None:
    graph = graph_of(Function(lambda x: torch.tanh(spectra(x).abs())), 1, 40)
    ops = [node.op for node in graph.nodes if node.op not in ("reshape", "transpose")]
    assert ops == ["spectrogram", "table"]


def test_samples_are_16_bits_through_what_moves_them() -> None:
    graph = graph_of(Function(lambda x: spectra(x.flip(1)).abs()), 3, 40)
    x = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    network = quantized(graph, x)
    moved = [n.name for n in graph.nodes if n.op in ("slice", "transpose", "reshape")]
    before = [name for name in ("x", *moved) if graph.tensors[name].size == x.size]
    assert len(before) > 1
    assert {network.dtype(name) for name in before} == {"int16"}


@pytest.mark.parametrize(
    "options",
    [
        {"center": True},
        {"normalized": True},
        {"win_length": 9, "window": torch.hann_window(9)},
        {"hop_length": None},
        {"hop_length": 21},
    ],
)
def test_the_options_of_torch(options: dict[str, object]) -> None:
    function = Function(lambda x: spectra(x, **options).abs())
    graph = graph_of(function, 3, 80)
    x = torch.randn(3, 80, generator=torch.Generator().manual_seed(0))
    found = run_float(graph, {"x": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, function(x).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: spectra(x), "complex numbers as an output"),
        (lambda x: spectra(x, window=x[0, :16]).abs(), "a window must be a parameter"),
        (lambda x: torch.fft.rfft(x, n=4099).abs(), "a transform of 4,099 samples"),
        (lambda x: torch.cumprod(spectra(x), 1).abs(), "complex numbers, which stft"),
    ],
)
def test_what_has_no_meaning_is_refused(function: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(MyoedgeError) as caught:
        graph_of(Function(function), 1, 40)
    assert caught.value.code == "E111"
    assert said in str(caught.value)


def ops(graph: Graph) -> list[str]:
    moves = ("reshape", "transpose", "slice", "concat")
    return [node.op for node in graph.nodes if node.op not in moves]


def test_spectra_of_what_a_layer_computes_are_convolutions() -> None:
    """int16 samples come from an input alone, which nothing else reads."""
    abs_ = Function(lambda x: spectra(x).abs())
    graph = graph_of(nn.Sequential(nn.Linear(40, 40), abs_), 1, 40)
    assert ops(graph) == ["linear", "conv", "conv", "magnitude"]
    graph = graph_of(Function(lambda x: (spectra(x).abs(), x * 2.0)), 1, 40)
    assert ops(graph) == ["conv", "conv", "magnitude", "table"]


POWERS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": lambda x: (spectra(x) / 3.0).abs().pow(2.0)[:, :5],
    "view_as_real": lambda x: torch.view_as_real(spectra(x)[:, 1:]).square().sum(-1),
    "length": lambda x: torch.view_as_real(spectra(x)).norm(dim=-1),
    "parts": lambda x: (z := spectra(x)).real ** 2 + z.imag.square(),
    "conj": lambda x: (z := spectra(x) * -0.5).mul(z.conj()).real,
    "product": lambda x: (y := spectra(x).abs()) * y,
    "log": lambda x: torch.log10((y := spectra(x).abs()) * y + 1e-6),
    "before": lambda x: spectra(x * 0.01).abs(),
    "rfft": lambda x: torch.fft.rfft(x[:, :16], norm="ortho").abs().log1p(),
}


@pytest.mark.parametrize("name", sorted(POWERS))
def test_powers_are_spectrograms_however_they_are_written(name: str) -> None:
    graph = graph_of(Function(POWERS[name]), 2, 40)
    assert ops(graph) == ["spectrogram"]
    x = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    found = run_float(graph, {"x": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, POWERS[name](x).numpy(), atol=1e-4)


def test_a_network_with_its_front_end_has_no_more_parameters() -> None:
    count = sum(p.numel() for p in emg2qwerty.with_front_end(emg2qwerty.kao()).parameters())
    assert count == 1_522_631
