# SPDX-License-Identifier: Apache-2.0
"""Complex numbers: what torch computes with them, in floats and in integers, and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fft import fft, fft2, fftn, fftshift, ifft, ifftshift, irfft, irfft2, rfft, rfft2

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float, run_int
from myoedge.operators.spectral import transforms
from myoedge.operators.spectral.fourier import stages_of
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from tests.support.networks.small import Function

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")

TURN = torch.Generator().manual_seed(1)
C = torch.randn(16, dtype=torch.complex64, generator=TURN)
WINDOW = torch.hann_window(12)


def graph_of(function: Callable[[Tensor], Tensor], x: Tensor) -> Graph:
    return prepare(from_exported(torch.export.export(Function(function).eval(), (x,))))


def integers_of(graph: Graph, x: Array) -> Array:
    """The network in int8, its results as real numbers."""
    name, output = graph.inputs[0], graph.outputs[0]
    q = quantize_graph(graph, calibrate(graph, {name: x[None]}, Observer(), "here"))
    values = run_int(q.steps, q.constants, quantized_inputs(q, {name: x}))
    params = q.params[output]
    return (values[output].astype(np.float64) - params.zero_point) * params.scale


def decibels(wanted: Array, found: Array) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(found - wanted).sum()))


def stft(x: Tensor, **options: object) -> Tensor:
    given = {"hop_length": 5, "window": WINDOW, "return_complex": True, **options}
    return torch.stft(x, 12, **given)  # type: ignore[arg-type]


def rotary(x: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.reshape(3, 8, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones(8), torch.arange(8.0))).flatten(1)


def normalized(x: Tensor) -> Tensor:
    """torchaudio.functional.spectrogram with normalized="window"."""
    spectra = stft(x)
    spectra /= WINDOW.pow(2.0).sum().sqrt()
    return spectra.abs().pow(2.0)


HIGH = torch.arange(9) > 5


def written(
    places: Callable[[Tensor], None], transform: Callable[[Tensor], Tensor] = rfft
) -> Callable[[Tensor], Tensor]:
    """A change of a spectrum in its place, then back."""

    def changed(x: Tensor) -> Tensor:
        spectrum = transform(x)
        places(spectrum)
        return irfft(spectrum) if transform is rfft else torch.view_as_real(spectrum)

    return changed


def _cut(spectrum: Tensor) -> None:
    spectrum[..., 5:] = 0


def _strided(spectrum: Tensor) -> None:
    spectrum[:, 1:-1:3] = 0.5 - 2j


def _first(spectrum: Tensor) -> None:
    spectrum[:, -1] = 0


def _masked(spectrum: Tensor) -> None:
    spectrum[:, HIGH] = 0


def _listed(spectrum: Tensor) -> None:
    spectrum[:, torch.tensor([0, 3])] = 1.5


def _halved(spectrum: Tensor) -> None:
    spectrum[:, 4:] *= 0.5


def _copied(x: Tensor) -> Tensor:
    kept = torch.zeros_like(rfft(x))
    kept[:, :4] = rfft(x)[:, :4]
    return kept.abs()


# Spectra without some of their frequencies: filters
FILTERS = {
    "cut": written(_cut),
    "without the last": written(_first),
    "masked": written(_masked),
    "filled": lambda x: irfft(rfft(x).masked_fill(HIGH, 0)),
    "where": lambda x: irfft(torch.where(HIGH, 0, rfft(x))),
}
# x [3, 16] -> real numbers, and the least decibels of the int8 network
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "fft": (lambda x: torch.view_as_real(fft(x)), 38.0),
    "of another length": (
        lambda x: fft(x, n=11, norm="ortho").real + fft(x, n=19)[:, :11].imag,
        35.0,
    ),
    "rfft along another axis": (lambda x: rfft(x, n=4, dim=0, norm="forward").imag, 38.0),
    "odd": (lambda x: irfft(rfft(x[:, :15]) * C[:8], n=15), 38.0),
    "ifft": (lambda x: ifft(fft(x).conj() * C).imag, 35.0),
    "fft2": (lambda x: fft2(x).real - fftn(x, dim=(1, 0)).imag, 35.0),
    "rfft2 and back": (lambda x: irfft2(rfft2(x) * C[:9], s=(3, 16)), 33.0),
    "shift": (lambda x: ifftshift(fftshift(fft(x)), dim=1).abs()[:, 1:], 38.0),
    "products": (lambda x: (fft(x) * fft(x.flip(1))).abs(), 33.0),
    "quotients": (lambda x: (fft(x) / (2j * C)).real + (rfft(x).sum(1) / 3j).imag[:, None], 35.0),
    "sums": (lambda x: torch.view_as_real(2.0 - (x + fft(x) - 1j) + C), 38.0),
    "matrices": (lambda x: (fft(x) @ C.reshape(16, 1)).real, 35.0),
    "powers": (lambda x: (torch.complex(x, x.flip(1)) ** 3).imag, 30.0),
    "exp": (lambda x: torch.exp(0.5 * x + 1j * x).imag, 33.0),
    "joined": (lambda x: torch.cat([fft(x)[:, ::3], x.to(torch.complex64)], 1).real, 36.0),
    "split": (lambda x: fft(x).chunk(2, 1)[1].mT.reshape(4, 6).roll(1, 0).imag, 38.0),
    "padded": (lambda x: irfft(F.pad(rfft(x)[:, :4], (0, 5)), n=16), 36.0),
    "mean": (lambda x: fft(x).mean(0).abs(), 38.0),
    "rotary": (rotary, 38.0),
    "stft": (lambda x: torch.view_as_real(stft(x)), 36.0),
    "stft, both sides": (lambda x: stft(x, onesided=False, normalized=True).imag, 36.0),
    "stft, replicate": (lambda x: stft(x, pad_mode="replicate").abs(), 33.0),
    "real stft": (lambda x: stft(x, return_complex=False)[..., 1], 36.0),
    "spectrogram": (normalized, 30.0),
    **{name: (function, 36.0) for name, function in FILTERS.items()},
    "strided write": (written(_strided, fft), 36.0),
    "listed write": (written(_listed), 36.0),
    "computed write": (written(_halved), 33.0),
    "written into zeros": (_copied, 33.0),
    "computed choice": (lambda x: torch.where(x > 0, fft(x), 1j).imag, 36.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:stft with return_complex=False")
def test_a_function_means_what_torch_computes(name: str) -> None:
    function, least_db = FUNCTIONS[name]
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    graph, wanted = graph_of(function, x), function(x).numpy()
    found = run_float(graph, {"x": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, wanted, atol=2e-5 * float(np.abs(wanted).max()))
    assert decibels(wanted, integers_of(graph, x.numpy())) >= least_db


def test_a_filter_of_frequencies_is_one_matrix() -> None:
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < 4
    graph = graph_of(lambda x: irfft(rfft(x, norm="ortho") * C[:9] * mask, norm="ortho"), x)
    assert [node.op for node in graph.nodes] == ["linear"]
    delta = run_float(graph, {"x": np.eye(3, 16, dtype=np.float32)})[graph.outputs[0]]
    np.testing.assert_allclose(delta[1], np.roll(delta[0], 1), atol=1e-6)  # circular


@pytest.mark.parametrize("name", FILTERS)
def test_a_spectrum_without_some_frequencies_is_one_matrix(name: str) -> None:
    assert [node.op for node in graph_of(FILTERS[name], torch.zeros(3, 16)).nodes] == ["linear"]


def test_a_rotary_embedding_of_complex_numbers_is_that_operator() -> None:
    graph = graph_of(rotary, torch.zeros(3, 16))
    assert "rotary" in {node.op for node in graph.nodes}


MINUS = torch.tensor([-0.0])
# Angles that a negative zero turns -> what the refusal advises.
ZEROS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "y": (lambda x: torch.atan2(MINUS, x), lambda x: -1 * torch.atan2(-MINUS, x)),
    "one of y": (
        lambda x: torch.atan2(torch.tensor([0.5, -0.0, 0.0, -1.0]), x),
        lambda x: (
            torch.atan2(torch.tensor([0.5, 0.0, 0.0, -1.0]), x)
            * torch.tensor([1.0, -1.0, 1.0, 1.0])
        ),
    ),
    "x": (
        lambda x: torch.atan2(x.relu(), MINUS),
        lambda x: math.pi - torch.atan2(x.relu(), -MINUS),
    ),
    "an imaginary part": (
        lambda x: torch.complex(x, MINUS.expand(4)).angle(),
        lambda x: -1 * torch.complex(x, -MINUS.expand(4)).angle(),
    ),
    "a conjugate": (
        lambda x: torch.complex(x, torch.zeros(4)).conj().angle(),
        lambda x: -1 * torch.complex(x, torch.zeros(4)).angle(),
    ),
}


@pytest.mark.parametrize("name", ZEROS)
def test_angles_of_a_constant_negative_zero_are_refused(name: str) -> None:
    made, advised = ZEROS[name]
    x = torch.tensor([-1.5, -0.5, 0.25, 2.0])
    with pytest.raises(MyoedgeError, match=r"an angle of a constant -0\.0") as caught:
        graph_of(made, x)
    assert "and a factor of -1 where its sign matters" in "\n".join(caught.value.notice.tries)
    torch.testing.assert_close(made(x), advised(x))
    graph = graph_of(advised, x)
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, made(x).numpy(), atol=1e-6)


def test_angles() -> None:
    """But for whole turns: a value beside the negative real axis may lie on its other side."""
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    wanted = torch.fft.rfft(x)[:, 1:8].angle().numpy()
    graph = graph_of(lambda x: torch.fft.rfft(x)[:, 1:8].angle(), x)
    found = run_float(graph, {"x": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(np.angle(np.exp(1j * (found - wanted))), 0.0, atol=1e-4)
    away = np.angle(np.exp(1j * (integers_of(graph, x.numpy()) - wanted)))
    assert np.sqrt(np.square(away).mean()) <= 0.05


def test_a_refused_call_says_where_its_complex_numbers_come_from() -> None:
    with pytest.raises(MyoedgeError) as caught:
        graph_of(lambda x: torch.cumprod(stft(x), 1).abs(), torch.zeros(3, 60))
    assert caught.value.code == "E111"
    assert "cumprod: complex numbers, which stft at small.py" in str(caught.value)
    graph_of(lambda x: torch.view_as_real(stft(x)), torch.zeros(3, 60))


# ---- transforms of many samples, in two stages


MANY: dict[str, Callable[[Tensor], Tensor]] = {
    "rfft": lambda x: torch.view_as_real(rfft(x, norm="ortho")),
    "odd": lambda x: rfft(x[:, :45]).abs(),
    "another axis": lambda x: rfft(x.T, dim=0, n=50).imag,
    "fft": lambda x: torch.view_as_real(fft(torch.complex(x, x.flip(1)))),
    "irfft": lambda x: irfft(torch.complex(x[:, :25], x[:, 20:45]), n=48),
    "of imaginary numbers": lambda x: irfft(1j * x[:, :25], n=48),
    "ifft": lambda x: torch.view_as_real(ifft(torch.complex(x, x.flip(1)))),
    "there and back": lambda x: irfft(rfft(x) * torch.linspace(1, 0, 25), n=48),
    "samples behind": lambda x: rfft(x, n=60).real,
}


@pytest.mark.parametrize("name", MANY)
def test_a_transform_of_many_samples_has_two_stages(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of as many as a matrix of 2,000 weights is too small for; torch is the oracle."""
    monkeypatch.setattr(transforms, "MOST_AT_ONCE", 500)
    monkeypatch.setattr(transforms, "MOST_WEIGHTS", 2000)
    x = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    graph, wanted = graph_of(MANY[name], x), MANY[name](x).numpy()
    assert any(n.op == "conv" and n.attrs["groups"] > 1 for n in graph.nodes)
    weights = [graph.array(n.inputs[1]) for n in graph.nodes if n.op in ("conv", "linear")]
    assert max(w.size for w in weights) <= 2000
    found = run_float(graph, {"x": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    assert decibels(wanted, integers_of(graph, x.numpy())) >= 33.0


@pytest.mark.parametrize("n", [4096, 5000, 32768])
def test_stages_have_weights_that_fit(n: int) -> None:
    stages = stages_of(n, n // 2 + 1, transforms.MOST_WEIGHTS)
    assert stages is not None
    assert stages.first * stages.second == n
    assert stages.count >= n // 2 + 1
    assert stages.weights <= transforms.MOST_WEIGHTS


def test_a_prime_number_of_samples_has_no_stages() -> None:
    assert stages_of(4099, 2050, transforms.MOST_WEIGHTS) is None


# ---- inverse short-time transforms


def masked(x: Tensor, *, forward: dict[str, Any], back: dict[str, Any]) -> Tensor:
    """Frames times a mask made of their magnitudes."""
    spectra = torch.stft(x, 12, return_complex=True, **forward)
    y = torch.istft(spectra * torch.sigmoid(spectra.abs()), 12, **back)
    return torch.view_as_real(y) if y.is_complex() else y


HANN = {"window": WINDOW, "hop_length": 3}
INVERSE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hann": (HANN, HANN),
    "a length": (HANN, {**HANN, "length": 50}),
    "normalized": ({**HANN, "normalized": True}, {**HANN, "normalized": True}),
    "not centred": (
        {"hop_length": 6, "center": False, "window": torch.ones(12)},
        {"hop_length": 6, "center": False, "window": torch.ones(12)},
    ),
    "hops as torch takes them": (
        {"hop_length": None, "window": None},
        {"hop_length": None, "window": None},
    ),
    "a short window": (
        {"window": WINDOW[:8], "win_length": 8, "hop_length": 2},
        {"window": WINDOW[:8].roll(1) + 1, "win_length": 8, "hop_length": 2},
    ),
    "both sides": ({**HANN, "onesided": False}, {**HANN, "onesided": False}),
    "complex results": (
        {**HANN, "onesided": False},
        {**HANN, "onesided": False, "return_complex": True},
    ),
}


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("name", INVERSE)
def test_inverse_short_time_transforms(name: str, rank: int) -> None:
    """torch is the oracle; magnitudes are made of the parts that are there, not of others."""
    forward, back = INVERSE[name]

    def function(x: Tensor) -> Tensor:
        return masked(x, forward=forward, back=back)

    x = torch.randn((2, 60)[-rank:], generator=torch.Generator().manual_seed(0))
    graph, wanted = graph_of(function, x), function(x).numpy()
    transforms_there = [n for n in graph.nodes if n.op == "conv"]
    assert len(transforms_there) == 3 + (name == "complex results")
    found = run_float(graph, {"x": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert decibels(wanted, integers_of(graph, x.numpy())) >= 30.0


def test_windows_that_leave_samples_out_are_refused() -> None:
    """torch looks at them when it runs, not when it exports."""
    given = {"hop_length": 6, "center": False, "window": WINDOW}
    with pytest.raises(MyoedgeError) as caught:
        graph_of(lambda x: masked(x, forward=given, back=given), torch.zeros(2, 60))
    assert "windows that leave samples out" in str(caught.value)


# ---- ONNX: a last axis of real and imaginary parts


def read_onnx(text: str, folder: Path) -> Graph:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>\n{text}')
    onnx.save(model, folder / "model.onnx")
    return prepare(load_onnx(folder / "model.onnx").graph)


# What exporters write of abs(): a norm of the last axis, or slices of it.
MAGNITUDES = {
    "norm": "y = ReduceL2 <keepdims = 0> (z, last)",
    "slices": "a, b = Split <axis = -1, num_outputs = 2> (z)\n c = Mul (a, a)\n d = Mul (b, b)\n"
    "e = Add (c, d)\n f = Sqrt (e)\n y = Squeeze (f, last)",
    "gathers": "a = Gather <axis = 3> (z, zero)\n b = Gather <axis = 3> (z, one)\n c = Mul (a, a)\n"
    "d = Mul (b, b)\n e = Add (c, d)\n y = Sqrt (e)",
}


@pytest.mark.parametrize("name", MAGNITUDES)
def test_magnitudes_of_an_stft_of_onnx(name: str, tmp_path: Path) -> None:
    text = f"""g (float[2, 40, 1] x) => (float[2, 7, 9] y)
    <int64 hop = {{4}}, int64[1] last = {{-1}}, int64 zero = {{0}}, int64 one = {{1}},
     int64 n = {{16}}>
    {{ z = STFT <onesided = 1> (x, hop, , n)
       {MAGNITUDES[name]} }}"""
    graph = read_onnx(text, tmp_path)
    x = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    wanted = torch.stft(x, 16, 4, window=torch.ones(16), center=False, return_complex=True).abs()
    found = run_float(graph, {"x": x.numpy()[..., None]})[graph.outputs[0]]
    np.testing.assert_allclose(found, wanted.mT.numpy(), atol=1e-5)
    kept = [node.op for node in graph.nodes if node.op not in ("reshape", "transpose")]
    assert kept == ["spectrogram"]


def test_a_filter_of_frequencies_in_onnx(tmp_path: Path) -> None:
    text = """g (float[3, 15, 1] x) => (float[3, 15, 2] y) <int64 axis = {-2}>
    { z = DFT (x, , axis)
      y = DFT <inverse = 1> (z, , axis) }"""
    graph = read_onnx(text, tmp_path)
    x = np.random.default_rng(0).normal(size=(3, 15, 1)).astype(np.float32)
    found = run_float(graph, {"x": x})[graph.outputs[0]]
    np.testing.assert_allclose(found[..., :1], x, atol=1e-5)
    np.testing.assert_allclose(found[..., 1], 0.0, atol=1e-5)
