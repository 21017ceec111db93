# SPDX-License-Identifier: Apache-2.0
"""Streams with more, or fewer, output frames than input frames: transposed convolutions, nearest
upsampling, and what joins tensors of one rate again. Oracle: torch over the whole recording."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import infer_time_axes
from myoedge.streaming.stream import Stream, passes
from myoedge.streaming.time_axis import follow_time
from tests.support.networks.causal import Decoder, DoublePooled, push_all
from tests.support.networks.small import Function
from tests.unit.test_streaming import prepared, quantized

FRAMES, CHANNELS, SAMPLES = 24, 4, 3
LEAST_DB = 22.0  # int8


def check(
    network: nn.Module, times: Sequence[int] = (1, 3), *, in_floats: bool = True
) -> list[Stream]:
    """Check that passes of any length give the integers of the whole network, and torch's floats of
    a longer recording; return the streams.

    in_floats   False: integers only, where values at the joins of samples may be beyond the ranges,
                and ReLU may hide a change at the end of a sample
    """
    torch.manual_seed(0)
    q, sample = quantized(network, 1, CHANNELS, FRAMES)
    (name,), (output,), axes = q.graph.inputs, q.graph.outputs, infer_time_axes(q.graph, 2)
    whole = run_int(q.steps, q.constants, sample)[output]
    samples = np.random.default_rng(0).normal(size=(SAMPLES, 1, CHANNELS, FRAMES))
    x = np.concatenate([*samples.astype(np.float32)], 2)  # one recording, in the range calibrated
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).numpy()
        short = network(torch.from_numpy(x[:, :, :FRAMES])).numpy()
    there = short.shape[2]  # all but those at the end that change if more frames follow
    changes = np.abs(wanted[:, :, :there] - short).max((0, 1)) > 1e-5
    known = int(np.argmax(changes)) if changes.any() else there
    wanted = wanted[:, :, : wanted.shape[2] - (there - known)]
    multiple = follow_time(q.graph, axes).pass_multiple()
    streams = [causal_stream(q, axes, multiple * n) for n in times]
    for stream in streams:
        (found,) = push_all(stream, sample)
        frames = min(found.shape[2], known)
        assert frames > 0
        np.testing.assert_array_equal(found[:, :, :frames], whole[:, :, :frames])
        if not in_floats:
            continue
        network_of_pass = stream.network
        (integers,) = push_all(stream, {name: network_of_pass.input_port(name).integers(x)})
        real = network_of_pass.output_port(stream.outputs[0].name).real(integers)
        close(real, wanted)
        made = (x.shape[2] - stream.frames + 1) / stream.rate
        assert real.shape[2] >= min(made, wanted.shape[2]) - stream.future / stream.rate
    return streams


def close(real: Array, wanted: Array) -> None:
    frames = min(real.shape[2], wanted.shape[2])
    wanted, error = wanted[:, :, :frames], real[:, :, :frames] - wanted[:, :, :frames]
    assert 10 * np.log10(np.sum(wanted**2) / np.sum(error**2)) > LEAST_DB


# kernel, stride, padding, output_padding, dilation, groups
FORMS = [
    (2, 2, 0, 0, 1, 1),
    (4, 2, 0, 0, 1, 1),
    (4, 2, 1, 0, 1, 1),
    (3, 2, 1, 1, 1, 1),
    (4, 2, 1, 0, 1, 2),
    (5, 3, 1, 1, 2, 4),
    (3, 4, 0, 2, 1, 1),  # with results of the bias alone
    (7, 2, 5, 0, 1, 4),
    (3, 1, 2, 0, 2, 1),
]


def transposed(form: tuple[int, ...], made: int = CHANNELS) -> nn.Module:
    kernel, stride, padding, more, dilation, groups = form
    return nn.ConvTranspose1d(
        CHANNELS, made, kernel, stride, padding, more, groups, dilation=dilation
    ).eval()


def ready_after_each_frame(stream: Stream) -> list[int]:
    name, shape = stream.inputs[0].name, (1, CHANNELS, FRAMES)
    frames = {name: np.zeros(shape, stream.network.dtype(name))}
    counts = [run.ready[0].shape[2] for run in passes(stream, frames)]
    return np.cumsum(counts).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_a_transposed_convolution_is_torchs_over_a_recording(form: tuple[int, ...]) -> None:
    """Result o is there as soon as input floor((o + padding) / stride) is, the last that adds to
    it."""
    _, stride, padding, *_ = form
    one, three = check(transposed(form, 2 * CHANNELS))
    assert (one.rate, three.rate) == (Fraction(1, stride),) * 2
    there = [max(n * stride - padding, 0) for n in range(1, FRAMES + 1)]
    assert ready_after_each_frame(one) == there
    assert ready_after_each_frame(three) == there[2::3]


@st.composite
def forms(draw: st.DrawFn) -> tuple[int, ...]:
    kernel, stride, dilation = (draw(st.integers(1, n)) for n in (5, 4, 3))
    padding = draw(st.integers(0, (kernel - 1) * dilation))
    more = draw(st.integers(0, max(stride, dilation) - 1))
    return kernel, stride, padding, more, dilation, draw(st.sampled_from([1, 2, CHANNELS]))


@settings(max_examples=5, derandomize=True, database=None, deadline=None)
@given(forms(), st.integers(1, 5))
def test_drawn_transposed_convolutions(form: tuple[int, ...], times: int) -> None:
    check(nn.Sequential(transposed(form), nn.ReLU(), nn.Conv1d(CHANNELS, 2, 1)), (times,))


@pytest.mark.slow
@settings(max_examples=150, database=None, deadline=None)
@given(forms(), forms(), st.integers(1, 5))
def test_drawn_pairs_of_transposed_convolutions(
    first: tuple[int, ...], second: tuple[int, ...], times: int
) -> None:
    check(
        nn.Sequential(transposed(first), nn.ReLU(), transposed(second)), (times,), in_floats=False
    )


UPSAMPLED: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "nn.Upsample(2)": (nn.Upsample(scale_factor=2), 2),
    "nn.Upsample(3)": (nn.Upsample(scale_factor=3), 3),
    "interpolate": (lambda x: F.interpolate(x.tanh(), scale_factor=2.0), 2),
    "repeat_interleave": (lambda x: x.repeat_interleave(3, dim=2), 3),
    "behind a layer": (lambda x: F.avg_pool1d(F.pad(x, (2, 0)), 3, 1).repeat_interleave(2, 2), 2),
    "up, then down": (lambda x: F.max_pool1d(x.repeat_interleave(3, 2).sigmoid(), 3), 1),
    "channels become frames": (lambda x: x.transpose(1, 2).reshape(1, -1, 2).transpose(1, 2), 2),
}


@pytest.mark.parametrize("name", UPSAMPLED)
def test_upsampling_is_torchs_over_a_recording(name: str) -> None:
    layer, up = UPSAMPLED[name]
    for stream in check(Function(layer)):
        assert stream.rate == Fraction(1, up)
        assert (stream.early, stream.warmup, stream.future) == (0, 0, 0)


def test_frames_become_channels() -> None:
    def folded(x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(1, -1, 3 * CHANNELS).transpose(1, 2).relu()

    (stream,) = check(Function(folded), (2,))
    assert stream.rate == 3


# down and up again, with the frames from before added or beside them, and the delay of the outputs
JOINED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "causal": (lambda: Decoder(CHANNELS, (2, 0), nn.ConvTranspose1d(6, 6, 2, 2)), 0),
    "nearest": (lambda: Decoder(CHANNELS, (2, 0), nn.Upsample(scale_factor=2)), 0),
    "padded on both sides": (lambda: Decoder(CHANNELS, (1, 1), nn.ConvTranspose1d(6, 6, 2, 2)), 5),
    "in two levels": (lambda: DoublePooled(CHANNELS), 0),
}


@pytest.mark.parametrize("name", JOINED)
def test_branches_of_one_rate_meet_in_time(name: str) -> None:
    network, delay = JOINED[name]
    torch.manual_seed(0)
    shortest, longer = check(network().eval())
    assert shortest.rate == longer.rate == 1
    assert shortest.future == delay
    assert longer.future >= delay


def test_tensors_of_different_rates_do_not_meet() -> None:
    def two(x: Tensor) -> Tensor:
        return x[:, :, :12].repeat_interleave(2, 2) + x

    with pytest.raises(MyoedgeError, match="joins tensors of different rates") as caught:
        infer_time_axes(prepared(Function(two), 1, CHANNELS, FRAMES), 2)
    assert caught.value.code == "E131"


# ---- what is cut off behind an operator that pads at the end


def cropped(x: Tensor, count: int) -> Tensor:
    return x[:, :, : x.shape[2] - count]


def chomped(x: Tensor, dilation: int = 1) -> Tensor:
    weight = torch.linspace(-1, 1, CHANNELS * CHANNELS * 3).reshape(CHANNELS, CHANNELS, 3)
    pad = 2 * dilation
    return cropped(F.conv1d(x, weight, padding=pad, dilation=dilation).relu(), pad)


CROPPED: dict[str, Callable[[Tensor], Tensor]] = {
    "convolution": chomped,
    "dilated convolutions": lambda x: x + chomped(chomped(x), 2),
    "function": lambda x: cropped(F.max_pool1d(x, 3, 1, padding=1).sigmoid(), 1)[:, :, 1:],
    "maximum": lambda x: cropped(F.max_pool1d(x, 3, 1, padding=1), 1),
    "average": lambda x: cropped(F.avg_pool1d(x, 3, 1, padding=1).tanh(), 1),
    "transposed": lambda x: cropped(
        F.conv_transpose1d(x, torch.ones(CHANNELS, 2, 8) / 8, stride=4).relu(), 4
    ),
}


@pytest.mark.parametrize("name", CROPPED)
def test_what_pads_at_the_end_and_is_cropped_streams(name: str) -> None:
    for stream in check(Function(CROPPED[name])):
        assert stream.future == 0


@pytest.mark.parametrize(
    ("taps", "stride", "padding"), [*itertools.product((3, 5), (1, 2), (1, 2))]
)
def test_layers_that_need_future_frames_are_late_by_them(
    taps: int, stride: int, padding: int
) -> None:
    """Result j needs input j * stride - padding + taps - 1, and comes with the pass that has it.
    What the layer has fewer than inputs is no delay."""
    layer, reach = nn.Conv1d(CHANNELS, 3, taps, stride, padding), taps - 1 - padding
    (stream,) = check(layer, (1,))
    fewer = FRAMES - stride * layer(torch.zeros(1, CHANNELS, FRAMES)).shape[2]
    assert stream.future == max(reach // stride * stride - max(fewer, 0), 0)
    counts = ready_after_each_frame(stream)
    ends = range(stride - stream.early, FRAMES + 1, stride)
    assert counts == [max((end - 1 - reach) // stride + 1, 0) for end in ends]


def test_the_axis_without_future_frames_is_time() -> None:
    """Both sides of an image could be frames, one of them only with a delay."""
    network = nn.Sequential(nn.ZeroPad2d((2, 0, 1, 1)), nn.Conv2d(1, 3, 3), nn.ReLU())
    graph = prepared(network, 1, 1, 8, FRAMES)
    assert infer_time_axes(graph) == {graph.inputs[0]: 3}
    assert infer_time_axes(graph, 2) == {graph.inputs[0]: 2}
