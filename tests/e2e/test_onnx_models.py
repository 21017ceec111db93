# SPDX-License-Identifier: Apache-2.0
"""Real trained networks through the ONNX door: meaning, exactness on host and chip, SQNR."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import myoedge
from myoedge.building.loading import load_model
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE, every_value, run_float, run_int
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import before_final, quantized_inputs, real_values

MODELS = Path(__file__).resolve().parents[1] / "fixtures" / "models"
# Of the largest value: float32 sums in another order. Silero's magnitudes are roots of sums that
# cancel, which magnifies it.
ROUNDING = {"silero_vad_v6_16k": 2e-5}
ROWS = {row["name"]: row for row in json.loads((MODELS / "manifest.json").read_text())}
CALIBRATION = 32
# Their pairs have 24 and 7 numbers, or are one image: a last bit moves their SQNR by some dB.
OF_OTHERS = ("mtcnn_rnet", "fer_minixception", "mp_blazeface_128")
OTHERS = 64
OF_FEATURES = ("sleepecg_bigru",)
STREAMS = ("silero_vad_v6_16k",)
STREAM_CHUNKS = 8
LONG = (
    *("rxn_albert_embeds", "mp_blazeface_128", "fer_minixception", "crepe_tiny"),
    *("sleepecg_bigru", "silero_vad_v6_16k"),
)  # to build
BUILT = [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in ROWS]
OBSERVER = ("metadrive_ppo", "mtcnn_rnet")  # named, in place of the one that the build chooses
# of the table of docs/developers/real-networks.md, where NE16's search ends higher
ON_CORES_DB = {
    "mp_blazeface_128": {"output0": 28.1, "output1": 19.3},
    "mtcnn_rnet": {"output0": 26.1, "output1": 23.2},
    "silero_vad_v6_16k": {"output": 35.3},
}
NEAR_DB = 1.0  # what another processor's sums and the engine's roundings may move
COLUMNS = 7  # of the table of SQNR
PAGE = Path(__file__).resolve().parents[2] / "docs" / "developers" / "real-networks.md"
ON_SIMULATOR = (
    "metadrive_ppo",
    "mtcnn_rnet",
    "silero_vad_v6_16k",
    "sleepecg_bigru",
)  # the others take longer: make test-all


def pairs(name: str) -> Mapping[str, Array]:
    with np.load(MODELS / f"{name}.npz") as stored:
        return dict(stored)


def variations(
    x: Array, count: int = CALIBRATION, seed: int = 0, features: bool = False, own: bool = False
) -> Array:
    """Samples like the stored inputs: other gain, offset and place, a little noise.

    features   the last axis has no places but features, each of a spread of its own
    own        offset and noise are relative to a sample alone, so that silence stays silence
    """
    rng = np.random.default_rng(seed)
    spread = x.std(axis=tuple(range(x.ndim - 1))) if features else float(x.std())
    made = []
    for i in range(count):
        moved = np.roll(x[i % len(x)], int(rng.integers(-3, 4)), axis=-2 if features else -1)
        offset, noise = rng.normal(0, 0.05), rng.normal(0, 0.02, moved.shape)
        around = float(moved.std()) if own else spread
        made.append(moved * rng.uniform(0.8, 1.2) + (offset + noise) * around)
    return np.stack(made).astype(np.float32)


def calibration(name: str) -> dict[str, Array]:
    inputs = {key[3:]: x for key, x in pairs(name).items() if key.startswith("in:")}
    if name in STREAMS:
        return run_along(name, variations(inputs["input"], own=True), inputs["state"][0])
    return {port: variations(x, features=name in OF_FEATURES) for port, x in inputs.items()}


def run_along(name: str, chunks: Array, first: Array) -> dict[str, Array]:
    """Chunks of a stream, and the state before each, which floats leave behind the chunk before;
    `first` before every eighth, where another stream begins."""
    graph, states, left = load_model(MODELS / f"{name}.onnx").graph, [], first
    after = graph.outputs[graph.output_names.index("stateN")]
    for i, chunk in enumerate(chunks):
        states.append(first if i % STREAM_CHUNKS == 0 else left)
        left = run_float(graph, {"input": chunk, "state": states[-1]})[after]
    return {"input": chunks, "state": np.stack(states)}


def samples(stored: Mapping[str, Array]) -> list[dict[str, Array]]:
    inputs = {key[3:]: x for key, x in stored.items() if key.startswith("in:")}
    count = len(next(iter(inputs.values())))
    return [{name: x[i] for name, x in inputs.items()} for i in range(count)]


@pytest.mark.parametrize("name", ROWS)
def test_meaning(name: str) -> None:
    """The graph, before and after the passes, gives the stored outputs in floats."""
    model, stored = load_model(MODELS / f"{name}.onnx"), pairs(name)
    assert model.params == ROWS[name]["params"]
    for graph in (model.imported, model.graph):
        assert list(graph.output_names) == [port for port, _ in ROWS[name]["outputs"]]
        for i, sample in enumerate(samples(stored)):
            values = run_float(graph, sample)
            for tensor, shown in zip(graph.outputs, graph.output_names, strict=True):
                wanted = stored[f"out:{shown}"][i]
                largest = float(np.abs(wanted).max())
                atol = ROUNDING.get(name, 5e-6) * largest
                np.testing.assert_allclose(values[tensor], wanted, rtol=1e-4, atol=atol)


def fidelity(network: QuantGraph, name: str) -> dict[str, float]:
    """dB by output before a final softmax or sigmoid, over the stored pairs, or over as many other
    variations of them as scatter less."""
    return _of_pairs(network, others(network, name) if name in OF_OTHERS else pairs(name))


def others(network: QuantGraph, name: str) -> dict[str, Array]:
    """Pairs of other variations, with the floats before an output's final function."""
    inputs = {key[3:]: x for key, x in pairs(name).items() if key.startswith("in:")}
    varied = {f"in:{port}": variations(x, OTHERS, seed=5) for port, x in inputs.items()}
    graph = load_model(MODELS / f"{name}.onnx").graph
    floats = [every_value(graph, sample) for sample in samples(varied)]
    ports = zip(graph.outputs, graph.output_names, strict=True)
    outputs = {
        f"out:{shown}": np.stack([x[before_final(network, tensor)] for x in floats])
        for tensor, shown in ports
    }
    return {**varied, **outputs}


def _of_pairs(network: QuantGraph, stored: Mapping[str, Array]) -> dict[str, float]:
    graph, found = network.graph, {}
    for tensor, shown in zip(graph.outputs, graph.output_names, strict=True):
        wanted = stored.get(f"logits:{shown}", stored[f"out:{shown}"])
        signal = error = 0.0
        for i, sample in enumerate(samples(stored)):
            integers = quantized_inputs(network, sample)
            values = run_int(network.steps, network.constants, integers)
            mine = _logits(network, tensor, values)
            real = wanted[i].reshape(mine.shape).astype(np.float64)
            signal += float(np.sum(real**2))
            error += float(np.sum((real - mine) ** 2))
        found[shown] = 10.0 * math.log10(signal / error)
    return found


def _logits(network: QuantGraph, output: str, values: Mapping[str, Array]) -> Array:
    """An output before a final softmax, or before a sigmoid that is a table fused into a layer."""
    name = before_final(network, output)
    if name + PRE in values:  # the sigmoid is a layer of its own
        return real_values(network, name + PRE, values[name + PRE])
    step = next(step for step in network.steps if step.node.name == name)
    act = step.attrs.get("act", ())
    if [function for function, *_ in act] != ["sigmoid"]:
        return real_values(network, name, values[name])
    before = OPS[step.node.op].integer(step, *(values[x] for x in step.operands))
    return real_values(network, name + PRE, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def built(name: str, folder: Path) -> Any:
    calib = calibration(name)
    model = MODELS / f"{name}.onnx"
    return myoedge.build(model, target="gap9", calib=calib, output=folder / name, holdout=0.0)


@pytest.mark.parametrize("name", BUILT)
def test_built_exact_and_close(name: str, folder: Path) -> None:
    build, stored = built(name, folder), pairs(name)
    rungs = ("host", "simulator") if name in ON_SIMULATOR else ("host",)
    checked = myoedge.validate(build, on=rungs, input=_first(stored))
    assert checked.difference is None
    assert all(checked.exact[rung] for rung in rungs)
    found = fidelity(build.network, name)
    assert found == pytest.approx(on_page(name), abs=NEAR_DB)
    assert min(found.values()) > of_onnxruntime(name) - NEAR_DB
    assert not {"W102", "W104"} & {warning.code for warning in build.warnings}


def below_the_page(network: QuantGraph, name: str) -> dict[str, float]:
    """Outputs that keep less on the cores than the page says."""
    found, wanted = fidelity(network, name), on_page(name) | ON_CORES_DB.get(name, {})
    return {shown: db for shown, db in found.items() if db < wanted[shown] - NEAR_DB}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_close_on_the_cores(name: str) -> None:
    cores = myoedge.quantize(MODELS / f"{name}.onnx", calib=calibration(name), holdout=0.0)
    assert not below_the_page(cores.network, name)


@pytest.mark.slow
def test_accurate_keeps_30_db_of_the_voice_detector() -> None:
    """Its transform, magnitudes and LSTM have 16 bits."""
    name = "silero_vad_v6_16k"
    given = {"calib": calibration(name), "holdout": 0.0, "accurate": True}
    found = myoedge.quantize(MODELS / f"{name}.onnx", **given)
    assert found.fidelity is not None
    assert found.fidelity.worst_db > 33.0


@pytest.mark.slow
@pytest.mark.parametrize("name", OBSERVER)
def test_close_with_min_max(name: str) -> None:
    given = {"calib": calibration(name), "holdout": 0.0, "method": "minmax"}
    network = myoedge.quantize(MODELS / f"{name}.onnx", **given).network
    assert not below_the_page(network, name)


def on_page(name: str) -> dict[str, float]:
    """SQNR by output in the table of the page."""
    return {cells[3]: float(cells[4]) for cells in _rows_on_page(name)}


def of_onnxruntime(name: str) -> float:
    """SQNR of onnxruntime's worst output in the table of the page; 0 where it has none."""
    return max(float(cells[5] or 0.0) for cells in _rows_on_page(name))


def _rows_on_page(name: str) -> Iterator[list[str]]:
    current = ""
    for row in re.findall(r"^\| (.*) \|$", PAGE.read_text(), re.MULTILINE):
        cells = [cell.strip(" `") for cell in row.split("|")]
        current = cells[0] or current
        if current == name and len(cells) == COLUMNS:
            yield cells


def _first(stored: Mapping[str, Array]) -> dict[str, Array]:
    return {key[3:]: x[:1] for key, x in stored.items() if key.startswith("in:")}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ROWS if name not in ON_SIMULATOR])
def test_exact_on_the_simulated_chip(name: str, folder: Path) -> None:
    checked = myoedge.validate(built(name, folder), on=("simulator",))
    assert (checked.difference, checked.exact["simulator"]) == (None, True)
