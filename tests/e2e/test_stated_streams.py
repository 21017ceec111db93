# SPDX-License-Identifier: Apache-2.0
"""A detector of voices over a whole recording, chunk by chunk, its state from push to push."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import myoedge
from myoedge.building.loading import load_model
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import quantize
from myoedge.operators.interpreter import PRE, every_value
from myoedge.quantization.sqnr import integers_of, real_values
from myoedge.streaming import stream as streams
from tests.e2e.test_onnx_models import MODELS, PAGE, calibration
from tests.support.networks.causal import push_all

NAME = "silero_vad_v6_16k"
MYO = Path(__file__).resolve().parents[2] / "examples" / "data" / "libemg_myo.npz"
HOP, CONTEXT = 512, 64  # samples of a chunk, and how many of the one before it sees
GAIN = 0.25  # of full scale: as loud as speech
CALIBRATED = 32
FEW = 3  # chunks that the simulator runs in every test
SETTINGS = """[stream]
rate = 16000
hop = 512
window = 576
states = { state = "stateN" }
"""


def chunks(channels: slice) -> Array:
    """[n, 1, 576]: channels of an armband, one behind the other, as if they were sound."""
    with np.load(MYO) as stored:
        sound = stored["emg"][:, channels].astype(np.float32).T.ravel() / 128 * GAIN
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    starts = range(0, len(sound) - HOP + 1, HOP)
    return np.stack([padded[at : at + HOP + CONTEXT] for at in starts])[:, None]


def in_floats(recording: Array) -> tuple[Array, Array]:
    """(logit of every chunk, the state before it)"""
    graph = load_model(MODELS / f"{NAME}.onnx").graph
    after = graph.outputs[graph.output_names.index("stateN")]
    logits, states = [], [np.zeros(graph.shape("state"), np.float32)]
    for chunk in recording:
        values = every_value(graph, {"input": chunk, "state": states[-1]})
        logits.append(float(values["sigmoid" + PRE].ravel()[0]))
        states.append(values[after])
    return np.array(logits), np.stack(states[:-1])


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> myoedge.Build:
    """Calibrated on variations of the stored pairs, and on other channels of the recording."""
    folder = tmp_path_factory.mktemp("stated")
    (folder / "myoedge.toml").write_text(SETTINGS)
    others = chunks(slice(0, 4))
    at = np.linspace(0, len(others) - 1, CALIBRATED).astype(int)
    seen = {"input": others[at], "state": in_floats(others)[1][at]}
    calib = {name: np.concatenate([x, seen[name]]) for name, x in calibration(NAME).items()}
    model, config = MODELS / f"{NAME}.onnx", folder / "myoedge.toml"
    return myoedge.build(
        model, calib=calib, output=folder / "out", config=config, stream=True, simulate=True
    )


@pytest.fixture(scope="module")
def recording() -> Array:
    return chunks(slice(4, 8))


def integers(build: myoedge.Build, recording: Array) -> dict[str, Array]:
    """As chunks one behind the other along the first axis."""
    return {"input": quantize(recording[:, 0].astype(np.float64), build.network.params["input"])}


def test_each_part_of_the_state_has_its_own_format(build: myoedge.Build) -> None:
    """h and c are tensors of their own, c in int16, both 0 at first; the model packs them into
    one."""
    kinds = [(s.input, build.network.dtype(s.input), s.fill) for s in build.streaming.states]
    assert kinds == [("lstm_3_h_past", "int8", (0,)), ("lstm_3_c_past", "int16", (0,))]
    assert build.frame_inputs == ("input",)
    assert build.report["stream"]["frame_hz"] == 16000 / 512


def test_a_whole_recording_on_this_computer(build: myoedge.Build, recording: Array) -> None:
    """The C's bytes are the reference's, from push to push and after a reset."""
    given = integers(build, recording)
    (wanted,) = push_all(build.streaming, given)
    for part in (slice(None), slice(5)):
        build.reset()
        found = [build.push(x, raw=True) for x in given["input"][part]]
        assert np.array_equal(np.concatenate(found).ravel(), wanted[part].ravel())


def test_logits_of_a_whole_recording(build: myoedge.Build, recording: Array) -> None:
    """Before the sigmoid, and of the probability, as the page of real networks has them."""
    network, wanted = build.network, in_floats(recording)[0]
    before = "sigmoid" + PRE
    found = []
    for one in streams.passes(build.streaming, integers(build, recording)):
        scores = integers_of(network, before, one.values)
        found.append(float(real_values(network, before, scores).ravel()[0]))
    said = re.search(
        r"SQNR is ([\d.]+) dB before the sigmoid and ([\d.]+) dB after", PAGE.read_text(), re.DOTALL
    )
    assert said is not None
    pair = (decibels(wanted, np.array(found)), decibels(*map(sigmoid, (wanted, np.array(found)))))
    assert pair == pytest.approx(tuple(map(float, said.groups())), abs=1.0)
    assert pair[0] >= 20.0


def test_a_file_for_calibration_is_taken_without_its_states(
    build: myoedge.Build, recording: Array
) -> None:
    """Every sample of it is a recording, whose states begin with 0."""
    states = np.ones((2, 2, 1, 128), np.float32)
    simulated = myoedge.simulate(build, input={"input": recording[:2], "state": states})
    assert simulated.exact
    wanted = [push_all(build.streaming, integers(build, x[None]))[0] for x in recording[:2]]
    found = [run.outputs[0] for run in simulated.measurement.inferences]
    assert np.array_equal(np.array(found).ravel(), np.array(wanted).ravel())


def decibels(wanted: Array, found: Array) -> float:
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((wanted - found) ** 2)))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("count", [FEW, pytest.param(None, marks=pytest.mark.slow)])
def test_exact_on_the_simulator(build: myoedge.Build, recording: Array, count: int | None) -> None:
    given = {"input": recording[:count].transpose(1, 0, 2)}
    checked = myoedge.validate(build, on=("host", "simulator"), input=given)
    assert checked.difference is None
    assert checked.exact["host"]
    assert checked.exact["simulator"]
