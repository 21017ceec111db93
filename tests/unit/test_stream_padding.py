# SPDX-License-Identifier: Apache-2.0
"""Padding before the first frame makes no stream late: an output comes with the last frame it
reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import infer_time_axes
from myoedge.streaming.time_axis import follow_time
from tests.support.networks.causal import Mixed, PadThen, push_all
from tests.support.networks.small import Function
from tests.unit.test_streaming import FRAMES, check, quantized

TAPS, CHANNELS = 16, 4
Layer = Callable[[Tensor], Tensor]


def padded(x: Tensor, value: float = 0.0, frames: int = TAPS - 1) -> Tensor:
    return F.pad(x, (frames, 0), value=value)


# causal, with the frames that one output stands for
CAUSAL: dict[str, tuple[Layer, int]] = {
    "average": (lambda x: F.avg_pool1d(padded(x), TAPS, 1), 1),
    "average with stride": (lambda x: F.avg_pool1d(padded(x, frames=3), 4, 2), 2),
    "average as images": (
        lambda x: F.avg_pool2d(padded(x).unsqueeze(1), (1, TAPS), 1).squeeze(1),
        1,
    ),
    "maximum": (lambda x: F.max_pool1d(padded(x), TAPS, 1), 1),
    "maximum of what is padded with less": (lambda x: F.max_pool1d(padded(x, -3.0), TAPS, 1), 1),
    "maximum behind a function": (lambda x: F.max_pool1d(padded(x).sigmoid(), TAPS, 1), 1),
    "maximum in two layers": (
        lambda x: F.max_pool1d(padded(F.max_pool1d(padded(x), TAPS, 1)), TAPS, 1),
        1,
    ),
    "mean of frames": (lambda x: padded(x).unfold(2, TAPS, 1).mean(-1), 1),
    "frames beside those before": (lambda x: padded(x, frames=3)[:, :, :-3] + x, 1),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_outputs_come_with_the_last_frame_that_they_read(name: str) -> None:
    layer, stride = CAUSAL[name]
    q, sample = quantized(Function(layer), 1, CHANNELS, FRAMES)
    for passes in (1, 3):
        stream = causal_stream(q, infer_time_axes(q.graph, 2), stride * passes)
        assert (stream.warmup, stream.early, stream.future) == (0, 0, 0)
        assert stream.first_frames == stride * passes
    check(q, sample, 2, stride, FRAMES // stride)
    check(q, sample, 2, 3 * stride, FRAMES // stride - 3)


def test_a_rolling_mean_is_the_mean_of_the_last_frames() -> None:
    """In floats, over a recording longer than the export: the window ends with the frame that was
    pushed last."""
    q, sample = quantized(Function(CAUSAL["average"][0]), 1, CHANNELS, FRAMES)
    stream, (name,) = causal_stream(q, infer_time_axes(q.graph, 2), 1), sample
    x = np.random.default_rng(5).normal(size=(1, CHANNELS, 3 * FRAMES)) / 2
    port, (output,) = stream.network.input_port(name), stream.outputs
    (got,) = push_all(stream, {name: port.integers(x)})
    real = stream.network.output_port(output.name).real(got)
    before = np.concatenate([np.zeros((1, CHANNELS, TAPS - 1)), x], 2)
    means = np.lib.stride_tricks.sliding_window_view(before, TAPS, 2).mean(-1)
    assert real.shape == means.shape
    assert 10 * np.log10(np.sum(means**2) / np.sum((means - real) ** 2)) > 20


def test_two_numbers_of_padding_follow_each_other() -> None:
    """A pad before a pad, of another number."""

    def twice(x: Tensor) -> Tensor:
        return F.max_pool1d(F.pad(padded(x, 0.5, 4).sigmoid(), (2, 0), value=0.1), 3, 1)

    q, sample = quantized(Function(twice), 1, CHANNELS, FRAMES)
    check(q, sample, 2, 1, FRAMES)
    check(q, sample, 2, 4, FRAMES - 4)


def test_padding_behind_a_layer_is_of_as_many_numbers_as_channels() -> None:
    q, sample = quantized(Mixed(), 1, CHANNELS, FRAMES)
    check(q, sample, 2, 1, FRAMES)
    check(q, sample, 2, 4, FRAMES - 4)
    (state,) = causal_stream(q, infer_time_axes(q.graph, 2), 1).states
    assert len(set(state.fill)) > 1


def judge(seed: int, layers: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network, x = list[nn.Module](), torch.zeros(1, 3, FRAMES)
    while len(network) < layers and x.shape[2] > FRAMES // 2:
        network.append(PadThen(rng, 3))
        with torch.no_grad():
            x = network[-1](x)
    q, sample = quantized(nn.Sequential(*network), 1, 3, FRAMES, seed=seed)
    most = follow_time(q.graph, infer_time_axes(q.graph, 2)).pass_multiple()
    check(q, sample, 2, most * times, 0)


drawn = st.tuples(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4))


@settings(max_examples=8, derandomize=True, database=None, deadline=None)
@given(drawn)
def test_drawn_pads_are_those_of_the_whole(case: tuple[int, int, int]) -> None:
    judge(*case)


@pytest.mark.slow
@settings(max_examples=300, database=None, deadline=None)
@given(drawn)
def test_more_drawn_pads_are_those_of_the_whole(case: tuple[int, int, int]) -> None:
    judge(*case)
