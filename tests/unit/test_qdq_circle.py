# SPDX-License-Identifier: Apache-2.0
"""model.int8.onnx is a quantised network: built again it has the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.numerics.quant_params import dequantize
from myoedge.operators.interpreter import run_integer
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from tests.onnx_models import saved_bytes
from tests.qdq_cases import ACTS, CASES, checked, one_operator, seeded

DRAWN = 4
SAMPLES = 2
# Written as several of ONNX's operators without rounding between them, of which several layers
# become: the largest difference of their integers in the cases drawn here.
SEVERAL = {
    "avg_pool": 2, "biquads": 1, "gru": 1, "gru_state": 1, "lstm": 1, "lstm_cell": 1, "resize": 2,
    "rnn_tanh": 1, "variance": 2,
}  # fmt: skip
# The same, with values between them that 8 bits are not enough for.
NO_BOUND = {"atan2", "group_norm", "running_norm", "selective_scan", "spectrogram"}
# Refused: indices that are computed, and a clip of states.
REFUSED = {"ctc_greedy", "rnn_relu"}
INTEGERS = {"biquads_past", "running_power"}  # states of 32 bits, which ONNX has as floats


def again(q: QuantGraph, model: bytes, folder: Path) -> tuple[QuantGraph, int]:
    """The network that the file is read as, and the largest difference of integers of outputs."""
    graph = load_model(saved_bytes(model, folder)).graph
    rng = np.random.default_rng(0)
    ports = [(a, b, q.params[a]) for a, b in zip(q.graph.inputs, graph.inputs, strict=True)]
    drawn = {
        a: rng.integers(p.low, p.high + 1, (SAMPLES, *q.graph.shape(a))).astype(
            p.element_type.dtype
        )
        for a, _, p in ports
    }
    floats = {b: dequantize(drawn[a], p) for a, b, p in ports}
    other = quantize_graph(graph, calibrate(graph, floats, Observer(), "test"))
    worst = 0
    for i in range(SAMPLES):
        mine = run_integer(q.steps, q.constants, {a: drawn[a][i] for a, _, _ in ports})
        sample = quantized_inputs(other, {b: floats[b][i] for _, b, _ in ports})
        theirs = run_integer(other.steps, other.constants, sample)
        for a, b in zip(q.graph.outputs, graph.outputs, strict=True):
            assert q.params.get(a) == other.params.get(b)
            far = np.abs(mine[a].astype(np.int64) - theirs[b].astype(np.int64))
            worst = max(worst, int(far.max(initial=0)))
    return other, worst


def found(op: str, folder: Path) -> list[int]:
    worst = []
    for number in range(DRAWN):
        rng = seeded(op, number)
        plan = one_operator(op, CASES[op](rng), rng, ACTS[int(rng.integers(len(ACTS)))])
        worst.append(again(plan.quant, checked(plan), folder)[1])
    return worst


@pytest.mark.parametrize("op", sorted({*CASES} - {*SEVERAL} - NO_BOUND - REFUSED - INTEGERS))
def test_an_operator_comes_back_with_the_same_integers(op: str, tmp_path: Path) -> None:
    assert found(op, tmp_path) == [0] * DRAWN


@pytest.mark.parametrize("op", sorted(SEVERAL))
def test_what_is_written_as_several_operators_comes_back_nearly(op: str, tmp_path: Path) -> None:
    assert max(found(op, tmp_path)) <= SEVERAL[op]


@pytest.mark.parametrize("op", sorted(NO_BOUND))
def test_what_needs_more_between_its_operators_differs(op: str, tmp_path: Path) -> None:
    """Those that come back with the same integers belong above."""
    assert max(found(op, tmp_path)) > 0


@pytest.mark.parametrize("op", sorted(REFUSED))
def test_what_is_not_read_is_refused(op: str, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="E111"):
        found(op, tmp_path)
