# SPDX-License-Identifier: Apache-2.0
"""Networks in passes of some frames: the integers of the network over all frames, for any pass."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from myoedge.building import stream_rate
from myoedge.building.budget import Budget
from myoedge.building.config_tables import StreamTable
from myoedge.errors import MyoedgeError
from myoedge.extensions.zoo import emg2qwerty
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.passes.condition import Conditioning, add_conditioning_filters
from myoedge.passes.decode import append_ctc_decoder, append_majority_vote
from myoedge.quantization import files
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import infer_time_axes, window_axes, windowed_stream
from myoedge.streaming.stream import firmware_head, first_frames, passes
from myoedge.streaming.stream_json import from_json, to_json
from myoedge.streaming.time_axis import follow_time
from myoedge.system.folder import to_json as json_text
from myoedge.targets.gap9.chip import GAP9
from tests.support.networks.causal import (
    Convolution,
    Counted,
    CropAdd,
    Late,
    PerFrame,
    Pool,
    Recurrent,
    causal,
    push_all,
)
from tests.support.networks.small import Function

FRAMES = 60
PASS_FRAMES = [1, 3, pytest.param(16, marks=pytest.mark.slow)]


def prepared(network: nn.Module, *shape: int) -> Graph:
    with torch.no_grad():
        return prepare(from_exported(torch.export.export(network.eval(), (torch.zeros(shape),))))


def quantized(
    network: nn.Module, *shape: int, seed: int = 0
) -> tuple[QuantGraph, dict[str, Array]]:
    """(the network over all frames in integers, a sample)."""
    graph = prepared(network, *shape)
    x = np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)
    samples = {graph.inputs[0]: x}
    q = quantize_graph(graph, calibrate(graph, samples, Observer("minmax"), "noise"))
    return q, quantized_inputs(q, {graph.inputs[0]: x[0]})


def check(q: QuantGraph, sample: Mapping[str, Array], axis: int, frames: int, least: int) -> None:
    """A stream as a build folder has it gives the frames of the whole, from the first on and at
    least so many."""
    stream = causal_stream(q, infer_time_axes(q.graph, axis), frames)
    document = json.loads(json_text(files.to_json(stream.network)))
    stored = files.from_files(document, files.to_safetensors(stream.network))
    stream = replace(stream, network=stored)
    whole = run_int(q.steps, q.constants, sample)
    for name, port, found in zip(
        q.graph.outputs, stream.outputs, push_all(stream, sample), strict=True
    ):
        count = found.shape[port.axis]
        assert count >= least
        np.testing.assert_array_equal(found, np.take(whole[name], range(count), port.axis))


def judge(seed: int, layers: int, times: int) -> None:
    network, channels = causal(np.random.default_rng(seed), layers, FRAMES)
    q, sample = quantized(network, 1, channels, FRAMES, seed=seed)
    most = follow_time(q.graph, infer_time_axes(q.graph, 2)).pass_multiple()
    check(q, sample, 2, most * times, 0)


drawn = st.tuples(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6))


@settings(max_examples=3, derandomize=True, database=None, deadline=None)
@given(drawn)
def test_random_networks_in_passes_are_the_whole(case: tuple[int, int, int]) -> None:
    judge(*case)


@pytest.mark.slow
@settings(max_examples=200, database=None, deadline=None)
@given(drawn)
def test_more_random_networks_in_passes_are_the_whole(case: tuple[int, int, int]) -> None:
    judge(*case)


@pytest.mark.parametrize("frames", PASS_FRAMES)
def test_frames_that_meet_late_and_anchors_behind_valid_convolutions(frames: int) -> None:
    """Frame 0 of a padded layer is the first one of a pass, though it comes 12 frames late."""
    network = nn.Sequential(
        CropAdd(4, 6), Late(3), PerFrame(4), CropAdd(4, 5), Convolution(4, 4, 1, 2, 6, 1)
    )
    q, sample = quantized(network, 1, 4, FRAMES)
    check(q, sample, 2, frames, FRAMES - 12 - 2 * frames)


@pytest.mark.parametrize("frames", PASS_FRAMES)
def test_counts_go_on_and_frames_pick_their_own_elements(frames: int) -> None:
    """Sums of integers from pass to pass; computed indices read elements of their frame."""
    q, sample = quantized(Counted(), 1, FRAMES, 3)
    ops = {node.op for node in q.graph.nodes}
    assert {"integer_cumsum", "gather"} <= ops
    check(q, sample, 1, frames, FRAMES - frames)
    states = causal_stream(q, infer_time_axes(q.graph, 1), frames).states
    assert len(states) == 1


def test_elements_that_frames_pick_of_all_frames_are_not_causal() -> None:
    def picked(x: Tensor) -> Tensor:
        return torch.gather(torch.tanh(x), 1, x.argmax(-1, keepdim=True))

    q, _ = quantized(Function(picked), 1, FRAMES, 3)
    with pytest.raises(MyoedgeError) as caught:
        follow_time(q.graph, infer_time_axes(q.graph, 1))
    assert caught.value.code == "E131"


@pytest.mark.parametrize("hops", [1, 3])
def test_spectra_of_samples_that_come(hops: int) -> None:
    """History has 16 bits, and a pass of a hop gives one spectrum."""
    q, sample = quantized(emg2qwerty.LogSpectrogram(), 200, 1, 2, 3)
    assert q.dtype(q.graph.inputs[0]) == "int16"
    check(q, sample, 0, 16 * hops, 9 - hops)


@functools.cache
def recurrent(kind: type[nn.LSTM | nn.GRU]) -> tuple[QuantGraph, dict[str, Array]]:
    """Two recurrent layers between layers that look back."""
    return quantized(
        nn.Sequential(
            CropAdd(4, 6), Recurrent(4, kind), PerFrame(4), Recurrent(4, kind), CropAdd(4, 3)
        ), 1, 4, FRAMES,
    )  # fmt: skip


@pytest.mark.parametrize("frames", PASS_FRAMES)
def test_lstms_go_on_where_they_were(frames: int) -> None:
    """h and c from pass to pass, exact; behind frames that there never were they begin at 0."""
    q, sample = recurrent(nn.LSTM)
    check(q, sample, 2, frames, FRAMES - 7 - 2 * frames)


def test_c_of_an_lstm_is_kept_in_16_bits() -> None:
    """With 8 bits the streams would part: c is 16 bits between steps, its result is not."""
    q, sample = quantized(Recurrent(4), 1, 4, FRAMES)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), 1)
    kinds = {s.input: stream.network.dtype(s.input) for s in stream.states}
    assert sorted(kinds.values()) == ["int16", "int8"]
    values = [
        one.values[name] for one in passes(stream, sample) for name in kinds if "c_past" in name
    ]
    assert max(np.abs(c).max() for c in values) > 127


@pytest.mark.parametrize("frames", PASS_FRAMES)
def test_grus_go_on_where_they_were(frames: int) -> None:
    """The state between steps has 16 bits, as between passes: with 8 the streams would part."""
    q, sample = recurrent(nn.GRU)
    check(q, sample, 2, frames, FRAMES - 7 - 2 * frames)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), frames)
    kept = [s.output for s in stream.states if "_h_" in s.input]
    assert [stream.network.dtype(name) for name in kept] == ["int16"] * 2
    assert max(np.abs(one.values[kept[0]]).max() for one in passes(stream, sample)) > 127


BAND = Conditioning(200.0, (20.0, 90.0), notch_hz=50.0, axis=2)


def filtered(network: nn.Module, given: Conditioning) -> tuple[QuantGraph, dict[str, Array]]:
    """The network behind what stands in front of it, over a time axis of 60."""
    exported = torch.export.export(network.eval(), (torch.zeros(1, 4, FRAMES),))
    graph = prepare(add_conditioning_filters(from_exported(exported), given))
    x = np.random.default_rng(0).normal(size=(3, 1, 4, FRAMES)).astype(np.float32)
    q = quantize_graph(graph, calibrate(graph, {graph.inputs[0]: x}, Observer("minmax"), "noise"))
    return q, quantized_inputs(q, {graph.inputs[0]: x[0]})


@pytest.mark.parametrize("frames", PASS_FRAMES)
def test_filters_go_on_where_they_were(frames: int) -> None:
    """Between passes there are the last two samples of every section, with their guard bits."""
    q, sample = filtered(nn.Sequential(CropAdd(4, 6), PerFrame(4)), BAND)
    check(q, sample, 2, frames, FRAMES - 5 - 2 * frames)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), frames)
    state = next(s for s in stream.states if "samples" in s.input)
    assert stream.network.dtype(state.input) == "int32"
    assert stream.network.graph.shape(state.input) == (6, 2, 1, 4)


@pytest.mark.parametrize("frames", PASS_FRAMES)
@pytest.mark.parametrize("band_hz", [(20.0, 90.0), None])
def test_running_deviations_go_on_where_they_were(
    frames: int, band_hz: tuple[float, float] | None
) -> None:
    """The power is kept in 64 bits, and is the deviation that was given in front of all frames."""
    given = replace(BAND, band_hz=band_hz, zscore_s=0.1, deviation=0.5, rectify=True)
    q, sample = filtered(CropAdd(4, 6), given)
    check(q, sample, 2, frames, FRAMES - 5 - 2 * frames)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), frames)
    state = next(s for s in stream.states if "power" in s.input)
    assert stream.network.dtype(state.input) == "int64"
    norm = next(step for step in q.steps if step.node.op == "running_norm")
    unit = q.params[norm.operands[0]].scale
    assert np.sqrt(state.fill[0] / 2**16) * unit == pytest.approx(0.5, rel=1e-3)


class Scores(nn.Module):
    """[T, 1, 4] of [1, 4, T], as CTC and votes take them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = CropAdd(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.first(x).permute(2, 0, 1).log_softmax(-1)
        return found


def around(put: Callable[[Graph], Graph]) -> tuple[QuantGraph, dict[str, Array]]:
    """Scores with something behind them."""
    torch.manual_seed(0)
    exported = torch.export.export(Scores().eval(), (torch.zeros(1, 4, FRAMES),))
    graph = prepare(put(from_exported(exported)))
    x = np.random.default_rng(0).normal(size=(3, 1, 4, FRAMES)).astype(np.float32)
    q = quantize_graph(graph, calibrate(graph, {graph.inputs[0]: x}, Observer("minmax"), "noise"))
    return q, quantized_inputs(q, {graph.inputs[0]: x[0]})


@pytest.mark.parametrize("frames", PASS_FRAMES)
def test_symbols_come_as_those_of_the_whole(frames: int) -> None:
    """The symbol of the frame before goes from pass to pass: nothing is told twice."""
    q, sample = around(lambda graph: append_ctc_decoder(graph, 0, framewise=True))
    check(q, sample, 2, frames, FRAMES - 3 - 2 * frames)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), frames)
    (found,) = push_all(stream, sample)
    whole, _ = around(lambda graph: append_ctc_decoder(graph, 0))
    (listed,) = run_int(whole.steps, whole.constants, sample)[whole.graph.outputs[0]]
    symbols = found[found >= 0]
    assert 0 < len(symbols) <= listed[0]
    np.testing.assert_array_equal(symbols, listed[1 : 1 + len(symbols)])


@pytest.mark.parametrize("frames", PASS_FRAMES)
def test_votes_are_those_of_the_frames_that_there_are(frames: int) -> None:
    q, sample = around(lambda graph: append_majority_vote(graph, 5))
    check(q, sample, 2, frames, FRAMES - 3 - 2 * frames)
    (best, found) = (q.graph.nodes[-2].name, q.graph.outputs[0])
    values = run_int(q.steps, q.constants, sample)
    wanted = [
        stats.mode(values[best][max(t - 4, 0) : t + 1, 0]).mode for t in range(len(values[found]))
    ]
    np.testing.assert_array_equal(values[found][:, 0], wanted)


def test_a_pass_is_no_later_than_its_frames() -> None:
    """The frame that comes out with a pass is made of the last one that went in."""
    q, sample = quantized(CropAdd(4, 6), 1, 4, FRAMES)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), 1)
    assert (stream.early, stream.warmup) == (0, 5)
    ready = [one.ready[0].shape[2] for one in passes(stream, sample)]
    assert ready == [0] * 5 + [1] * (FRAMES - 5)


def test_frames_that_are_the_first_axis() -> None:
    """emg2qwerty's order, [T, N, C], on which time is also the batch of some layers."""

    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv1d(6, 6, 4), nn.LayerNorm(6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x.permute(1, 2, 0)).permute(2, 0, 1) + x[3:]
            return self.head(self.norm(y)).log_softmax(-1)

    q, sample = quantized(TimeFirst(), 40, 1, 6)
    assert infer_time_axes(q.graph) == {q.graph.inputs[0]: 0}
    for frames in (1, 4, 7):
        check(q, sample, 0, frames, 37 - frames)


def test_the_typing_network_takes_its_receptive_field_to_begin() -> None:
    graph = prepared(emg2qwerty.tds(), 130, 1, 2, 16, 33)
    assert infer_time_axes(graph) == {"x": 0}
    found = follow_time(graph, {"x": 0})
    assert found.pass_multiple() == 1


def test_a_stream_is_written_and_read() -> None:
    q, _ = quantized(nn.Sequential(CropAdd(2, 3), Pool(2, 2, 1, True)), 1, 2, FRAMES)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), 4)
    assert from_json(to_json(stream), stream.network) == stream


def test_streams_are_told_apart_in_the_input_of_the_firmware() -> None:
    assert firmware_head([0, 1, 2, 0, 1]).tolist() == [2, 3, 2]
    assert firmware_head([0]).tolist() == [1, 1]


def test_a_short_sample_is_run_through_again_for_some_passes() -> None:
    """So that there is a pass behind the first one to look at."""
    q, sample = quantized(Pool(2, 2, 1, True), 1, 2, 6)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), 4)
    for count, wanted in ((1, [*range(4)]), (3, [*range(6), *range(6)])):
        found = first_frames(stream, count, sample)["x"]
        assert stream.early == 0
        np.testing.assert_array_equal(found, sample["x"][..., wanted])


# ---- what is refused


class BothWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.lstm(x)[0]
        return found


BANDED = torch.ones(FRAMES, FRAMES, dtype=torch.bool).tril().triu(-5)


def attended(x: Tensor, **more: Any) -> Tensor:
    return F.scaled_dot_product_attention(*[x.transpose(1, 2)[:, None]] * 3, **more)


FUTURE: Mapping[str, tuple[nn.Module, str]] = {
    "an average over time": (Function(lambda x: x.mean(2)), "all frames at once"),
    "softmax over time": (Function(lambda x: x.softmax(2)), "all frames at once"),
    "pooling of everything": (nn.AdaptiveAvgPool1d(1), "all frames at once"),
    "average pooling of fewer at the edge": (
        nn.AvgPool1d(3, 1, 1, count_include_pad=False),
        "all frames at once",
    ),
    "the order of time turned": (Function(lambda x: x.flip(2)), "all frames at once"),
    "attention over time": (
        Function(attended),
        "attends to future frames",
    ),
    "causal attention": (
        Function(lambda x: attended(x, is_causal=True)),
        "attends to all earlier frames, an unlimited number",
    ),
    "causal attention to some frames": (
        Function(lambda x: attended(x, attn_mask=BANDED)),
        "stores no keys and values of earlier frames",
    ),
    "a constant for every frame": (
        Function(lambda x: x + torch.arange(FRAMES) / FRAMES),
        "change from frame to frame",
    ),
    "time in one axis with channels": (
        nn.Sequential(nn.Flatten(), nn.Linear(4 * FRAMES, 2)),
        "all frames at once",
    ),
    "a bidirectional LSTM": (BothWays(), "all frames at once"),
}


@pytest.mark.parametrize("what", FUTURE)
def test_what_needs_frames_to_come_is_refused(what: str) -> None:
    network, reason = FUTURE[what]
    shape = (1, FRAMES, 4) if "LSTM" in what else (1, 4, FRAMES)
    with pytest.raises(MyoedgeError) as caught:
        infer_time_axes(prepared(network, *shape), shape.index(FRAMES))
    assert caught.value.code == "E131"
    assert reason in str(caught.value)
    advised = any("[stream] past = " in line for line in caught.value.notice.tries)
    fits = fits_windows(prepared(network, *shape), shape.index(FRAMES))
    assert advised == fits, "the try leads on"


def fits_windows(graph: Graph, axis: int) -> bool:
    try:
        window_axes(graph, axis)
    except MyoedgeError as error:
        return error.code != "E131"
    return True


def unrolled(x: Tensor) -> Tensor:
    """A loop whose weights change: each frame is picked, and its axis dropped."""
    state, states = torch.zeros(len(x), 4), []
    for at, frame in enumerate(x.unbind(1), 9):
        state = torch.tanh(F.linear(frame, torch.eye(4) / 2) + state @ (torch.ones(4, 4) / at))
        states.append(state)
    return torch.stack(states, 1)


# Network, input of two windows, axis of time, reason, whether one window streams.
WINDOWS: Mapping[str, tuple[nn.Module, tuple[int, ...], int, str, bool]] = {
    "frames of a linear layer": (
        nn.Sequential(nn.Flatten(0, 1), nn.Linear(4, 3)),
        (2, FRAMES, 4),
        1,
        "joins the frames of 2 windows along one axis",
        True,
    ),
    "frames of a convolution": (
        nn.Sequential(nn.Conv2d(1, 3, (3, 4)), Function(lambda x: x[..., 0].mT.flatten(0, 1))),
        (2, 1, FRAMES, 4),
        2,
        "joins the frames of 2 windows along one axis",
        True,
    ),
    "a layer of each frame": (
        Function(lambda x: F.conv2d(x.reshape(-1, 1, 4, 4), torch.ones(2, 1, 3, 3)).flatten(1)),
        (2, FRAMES, 4, 4),
        1,
        "joins the frames of 2 windows along one axis",
        True,
    ),
    "windows one behind the other": (
        nn.Sequential(nn.Conv1d(4, 4, 3), Function(lambda x: torch.cat([x[0], x[-1]], 1))),
        (2, 4, FRAMES),
        2,
        "brings frames of different times together",
        False,
    ),
    "steps of a loop": (Function(unrolled), (2, 8, 4), 1, "joins frames one by one", False),
    "a cumulative sum": (
        Function(lambda x: x.cumsum(1)),
        (2, FRAMES, 4),
        1,
        "takes all frames at once",
        False,
    ),
}


@pytest.mark.parametrize("what", WINDOWS)
def test_windows_beside_time_are_told_of_where_they_are_the_cause(what: str) -> None:
    """The error that one window of input heals names it; windows are never told to overlap along
    another axis than time."""
    network, shape, axis, reason, streams = WINDOWS[what]
    with pytest.raises(MyoedgeError, match=reason) as caught:
        infer_time_axes(prepared(network, *shape), axis)
    tries = " ".join(caught.value.notice.tries)
    assert (f"an input of {[1, *shape[1:]]}: one window" in tries) == streams
    if streams:
        assert infer_time_axes(prepared(network, 1, *shape[1:]), axis)
    if "[stream] past = " in tries:
        assert window_axes(prepared(network, *shape), axis)


def test_attention_is_told_how_it_can_run_on_windows() -> None:
    network = Function(lambda x: attended(x, is_causal=True).transpose(-1, -2)[:, 0])
    graph = prepared(network, 1, 4, FRAMES)
    with pytest.raises(MyoedgeError, match=f"past = {FRAMES - 1} ") as caught:
        infer_time_axes(graph, 2)
    assert "60 frames, as it was exported" in str(caught.value)
    assert window_axes(graph, 2)  # so that what is told can be done
    table = StreamTable(axis=2, past=FRAMES - 1)
    assert stream_rate.check_stream(graph, table) is graph


def test_the_axis_that_gets_farthest_is_the_one_that_is_told_of() -> None:
    network = nn.Sequential(Convolution(4, 3, 1, 1, 2, 1), nn.AdaptiveAvgPool1d(1))
    with pytest.raises(MyoedgeError, match=r"^error\[E131\] 1 .*takes all frames at once"):
        infer_time_axes(prepared(network, 1, 4, FRAMES))


@pytest.mark.parametrize("axis", [3, 11, -4])
@pytest.mark.parametrize("past", [None, 4])
def test_an_axis_that_no_input_has(axis: int, past: int | None) -> None:
    graph = prepared(nn.Conv1d(4, 3, 3), 1, 4, FRAMES)
    with pytest.raises(MyoedgeError, match=rf"axis = {axis}: .* no such axis") as caught:
        stream_rate.check_stream(graph, StreamTable(axis=axis, past=past))
    assert caught.value.code == "E232"


def test_several_axes_are_asked_about() -> None:
    graph = prepared(nn.Sequential(nn.Linear(5, 3), nn.ReLU()), 1, 20, 8, 5)
    with pytest.raises(MyoedgeError) as caught:
        infer_time_axes(graph)
    assert caught.value.code == "E235"
    assert "axes 1, 2" in str(caught.value)
    assert infer_time_axes(graph, 1) == infer_time_axes(graph, -3) == {graph.inputs[0]: 1}


def test_outputs_at_different_rates_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.relu(), F.max_pool1d(x, 2)

    with pytest.raises(MyoedgeError, match="different rates"):
        infer_time_axes(prepared(Two(), 1, 4, FRAMES), 2)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_first_state_of_several_numbers_is_kept(kind: type[nn.LSTM | nn.GRU]) -> None:
    class Begun(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = kind(4, 3)
            self.register_buffer("first", torch.tensor([[[0.5, 0.5, -0.5]]]))

        def forward(self, x: Tensor) -> Tensor:
            first = self.first if kind is nn.GRU else (self.first, self.first)
            found: Tensor = self.inner(x, first)[0]
            return found

    q, sample = quantized(Begun(), FRAMES, 1, 4)
    check(q, sample, 0, 4, FRAMES)
    assert any(
        len(state.fill) == 3 for state in causal_stream(q, infer_time_axes(q.graph, 0), 4).states
    )


@pytest.mark.parametrize(
    ("k", "stride", "dilation", "pad"), [*itertools.product((1, 4), (1, 2, 3), (1, 2), (0, 2))]
)
def test_what_is_kept_of_a_convolution(k: int, stride: int, dilation: int, pad: int) -> None:
    """(k - 1) * d frames, less what a stride leaves out; pads in front are part of it."""
    q, sample = quantized(Convolution(2, k, stride, dilation, pad, 1), 1, 2, FRAMES)
    stream = causal_stream(q, infer_time_axes(q.graph, 2), 6)
    kept = sum(stream.network.graph.shape(state.input)[1] for state in stream.states)
    reach = max((k - 1) * dilation + 1 - stride, pad)
    assert reach <= kept <= reach + stride - 1
    check(q, sample, 2, 6, 1)


# ---- windows, for networks that need the future


def as_windows(q: QuantGraph, x: Array, past: int, future: int) -> Array:
    """The whole network on overlapping windows, which zeros come in front of: time first."""
    name = q.graph.inputs[0]
    window = q.graph.shape(name)[0]
    hop = window - past - future
    front = np.full((past + future, *x.shape[1:]), q.params[name].zero_point, x.dtype)
    long = np.concatenate([front, x])
    found = []
    for first in range(0, len(long) - window + 1, hop):
        values = run_int(q.steps, q.constants, {name: long[first : first + window]})
        found.append(values[q.graph.outputs[0]][past : past + hop])
    return np.concatenate(found)[future:]


@pytest.mark.parametrize(("past", "future"), [(0, 0), (5, 0), (0, 4), (7, 2)])
def test_a_bidirectional_lstm_on_windows(past: int, future: int) -> None:
    """Outputs come later by the future, and are those of windows cut by hand."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 3, bidirectional=True), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.head(self.lstm(x)[0])
            return found

    q, _ = quantized(Both(), 16, 1, 4)
    axes = window_axes(q.graph)
    assert set(axes.values()) == {0}
    stream = windowed_stream(q, axes, past, future)
    x = np.random.default_rng(4).integers(-128, 128, (70, 1, 4), np.int8)
    (found,) = push_all(stream, {q.graph.inputs[0]: x})
    wanted = as_windows(q, x, past, future)
    hop = 16 - past - future
    assert len(found) == 70 // hop * hop - future
    np.testing.assert_array_equal(found, wanted[: len(found)])


def test_factors_of_an_input_must_not_change_along_time_in_windows() -> None:
    class Tapered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("taper", torch.hann_window(16)[:, None])
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.head(x * self.taper)
            return found

    q, _ = quantized(Tapered(), 16, 6)
    assert [border.axis for border in q.graph.input_normalization.values()] == [0]
    with pytest.raises(MyoedgeError, match="change from frame to frame") as caught:
        windowed_stream(q, window_axes(q.graph), 12, 0)
    assert caught.value.code == "E131"


def test_windows_need_as_many_outputs_as_frames() -> None:
    with pytest.raises(MyoedgeError) as caught:
        window_axes(prepared(nn.Sequential(nn.Flatten(), nn.Linear(80, 3)), 1, 4, 20))
    assert caught.value.code == "E131"
    assert caught.value.notice.tries[0].startswith("build without --stream")
    assert "[4, 4, 20]" in caught.value.notice.tries[1]
    square = prepared(nn.ReLU(), 1, 8, 8)
    with pytest.raises(MyoedgeError):
        window_axes(square)
    q, _ = quantized(nn.Conv1d(2, 3, 3, padding=1), 1, 2, 12)
    assert window_axes(q.graph) == {**dict.fromkeys(q.graph.inputs, 2), q.graph.outputs[0]: 2}
    for table in (StreamTable(past=8, future=4), StreamTable(past="20 ms")):
        with pytest.raises(MyoedgeError) as caught:
            stream_rate.check_stream(q.graph, table)
        assert caught.value.code == "E236"
    stream_rate.check_stream(q.graph, StreamTable(past="20 ms", rate=500.0))


# ---- how many frames at once


@pytest.mark.parametrize(
    ("fixed", "each", "most"), [(900, 10, 1), (100, 40, 2), (0, 10, 3), (7000, 49, 1)]
)
def test_as_few_frames_as_keep_up(
    monkeypatch: pytest.MonkeyPatch, fixed: int, each: int, most: int
) -> None:
    """A pass of n frames takes fixed + each * n cycles: fewest n, by trying all of them."""
    monkeypatch.setattr(stream_rate, "modelled_cycles", lambda cycles: cycles)
    tried: list[int] = []

    def of(frames: int) -> Any:
        tried.append(frames)
        return None, fixed + each * frames

    fit = [n for n in range(most, stream_rate.MOST_FRAMES + 1, most) if fixed + each * n <= 50 * n]
    assert stream_rate.least_frames(of, 50.0, most) == (fit[0] if fit else None)
    assert len(set(tried)) <= 20


def test_what_finds_no_room_does_not_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_rate, "modelled_cycles", lambda cycles: cycles)

    tried: list[int] = []

    def of(frames: int) -> Any:
        tried.append(frames)
        if frames > 10:
            raise MyoedgeError("E301", "too large")
        return None, 10**6 if frames < 9 else 0

    assert stream_rate.least_frames(of, 50.0, 1) == 9, "between what is slow and what is too large"
    assert max(tried) == 16, "what is larger than what is too large is not tried"
    monkeypatch.setattr(stream_rate, "modelled_cycles", lambda cycles: 10**6)
    assert stream_rate.least_frames(of, 50.0, 1) is None


def test_every_pass_stands_beside_longer_ones() -> None:
    """Also one of more frames than the estimate has, which a run that was too slow asks for."""
    q, _ = quantized(nn.Sequential(nn.ZeroPad1d((2, 0)), nn.Conv1d(2, 3, 3)), 1, 2, 64)
    plans = stream_rate.stream_plans(q, StreamTable(axis=2, rate=1000.0), GAP9, Budget())
    found = [
        (plan.stream.frames, {row.frames for row in plan.passes})
        for plan in itertools.islice(plans, 4)
    ]
    assert found == [(frames, {frames, 1, 2, 4, 8}) for frames in (1, 2, 3, 4)]
