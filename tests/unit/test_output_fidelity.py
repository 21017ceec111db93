# SPDX-License-Identifier: Apache-2.0
"""Each output has an SQNR, a worst sample and an agreement of its own; the worst output is told."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

import myoedge
from myoedge.building.offers import sqnr_budget
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.building.quantized import Known, Quantized
from myoedge.building.warning_rules import weak_outputs
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import dequantize
from myoedge.operators.interpreter import result_bounds
from myoedge.quantization import holdout
from myoedge.quantization.fidelity import OutputFidelity, interval_db
from myoedge.quantization.judged import Row, judged
from myoedge.quantization.known_ranges import full_ranges
from myoedge.quantization.samples import Data
from myoedge.reports import fidelity
from myoedge.reports.evaluations import EXACT_DB
from myoedge.reports.fidelity import reachable
from tests.conftest import save_exported
from tests.support.warning_rules import warnings_of

LOUD = 5  # number of a sample whose values are far above the others'


class Three(nn.Module):
    """Scores, the same of very different sizes, and the input turned round."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.head(x)
        return scores, scores.clamp(-1, 1) * torch.tensor([300.0, 0.1, 0.1, 0.1]), x.flip(1)


@pytest.fixture(scope="module")
def samples() -> Array:
    drawn = np.random.default_rng(0).standard_normal((16, 1, 6)).astype(np.float32)
    drawn[LOUD] *= 0.01  # as few steps of the scale as noise has
    return drawn


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory, samples: Array) -> Quantized:
    folder = tmp_path_factory.mktemp("three")
    model = save_exported(Three(), (torch.zeros(1, 6),), folder / "model.pt2")
    return run_quantize(Options(model, samples))


def decibels(real: Array, found: Array) -> float:
    real = real.astype(np.float64)
    return float(10 * math.log10((real**2).sum() / ((real - found) ** 2).sum()))


def test_outputs_are_measured_on_their_own(quantized: Quantized, samples: Array) -> None:
    with torch.no_grad():
        wanted = [[y.numpy() for y in Three()(torch.from_numpy(x))] for x in samples]
    fidelity = quantized.fidelity
    for at, of in enumerate(fidelity.outputs.values()):
        real = np.stack([outputs[at] for outputs in wanted])
        found = np.stack([outputs[at] for outputs in fidelity.integer])
        assert of.db == pytest.approx(decibels(real, found), abs=0.01)
        each = [decibels(x, y) for x, y in zip(real, found, strict=True)]
        np.testing.assert_allclose(np.array(of.samples_db, float), each, atol=0.01)
        assert of.worst_sample is not None
        assert of.worst_sample[0] == int(np.argmin(each))
        same = np.mean(real.argmax(-1) == found.argmax(-1))
        assert of.agreement == pytest.approx(same)
    assert next(iter(fidelity.outputs.values())).worst_sample[0] == LOUD


def test_the_worst_computed_output_is_that_of_the_network(quantized: Quantized) -> None:
    scores, scaled, turned = quantized.fidelity.outputs.values()
    assert [x.is_passed_through for x in (scores, scaled, turned)] == [False, False, True]
    assert scores.db is not None
    assert scaled.db is not None
    assert quantized.fidelity.worst_db == min(scores.db, scaled.db)


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)


def test_a_network_that_only_moves_its_input_has_the_sqnr_of_that(
    tmp_path: Path, samples: Array
) -> None:
    model = save_exported(Turned(), (torch.zeros(1, 6),), tmp_path / "model.pt2")
    fidelity = run_quantize(Options(model, samples)).fidelity
    assert fidelity.worst_db is not None
    assert fidelity.worst_db > 30.0


class Fast(nn.Module):
    """A sine of many turns within a step of the input beside the input's mean."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(1), torch.sin(3000.0 * x)


def test_an_output_of_much_noise_is_warned_of(tmp_path: Path, samples: Array) -> None:
    model = save_exported(Fast(), (torch.zeros(1, 6),), tmp_path / "model.pt2")
    build = myoedge.build(model, calib=samples, output=tmp_path / "out")
    told = [row for row in build.report["warnings"] if row["code"] == "W104"]
    assert [row["title"].split()[1] for row in told] == ["output1"]
    mean, sine = build.report["outputs"]
    assert mean["sqnr_db"] > 30.0 > 20.0 > sine["sqnr_db"]
    assert build.report["quantization"]["sqnr_db"] == sine["sqnr_db"]
    assert f"sample {sine['worst_sample']}," in str(told[0]["facts"])


def test_a_loud_sample_is_named(tmp_path: Path) -> None:
    """One window of a broken recording takes the range of all others."""
    model = save_exported(nn.Linear(6, 3), (torch.randn(1, 6),), tmp_path / "model.pt2")
    loud = np.random.default_rng(2).standard_normal((40, 1, 6)).astype(np.float32)
    chosen = holdout.samples_by_purpose(Data({"x": loud}, None, "")).learn.numbers
    assert chosen is not None
    at = int(chosen[3])
    loud[at] = 1e30
    told = {x.code: x for x in run_quantize(Options(model, loud)).warnings}
    assert (
        told["W104"].tries[0].startswith(f"leave out sample {at}: values up to 1e+30, most samples")
    )
    assert "W207" not in told, "the unit of the others is right"


@pytest.mark.parametrize(
    ("db", "end_db", "told"),
    [
        (16.0, 6.2, "6.2 dB in int8, after its final function; 16.0 before it"),
        (25.0, 19.9, "19.9 dB in int8, after its final function; 25.0 before it"),
        (16.0, 24.0, "16.0 dB in int8"),
        (16.0, None, "16.0 dB in int8"),
        (25.0, 20.0, ""),
    ],
)
def test_an_output_is_weak_behind_its_softmax_too(
    quantized: Quantized, db: float, end_db: float | None, told: str
) -> None:
    name = quantized.network.graph.outputs[0]
    outputs = {name: OutputFidelity(db, (db,), end_db=end_db)}
    fidelity = replace(quantized.fidelity, outputs=outputs)
    found = warnings_of(weak_outputs, Known(network=quantized.network, fidelity=fidelity))
    assert [warning.title.partition("only ")[2] for warning in found] == [told] * bool(told)


@pytest.mark.parametrize(
    ("layer_db", "output_db", "end"),
    [
        *((33.0, 31.0, "own (30 dB or more is good)"), (33.0, 24.0, "own"), (24.0, 24.0, "own")),
        *((19.0, 31.0, "own, but the output is good"), (19.0, 29.9, "more calibration samples")),
    ],
)
def test_good_is_said_from_30_db_on(layer_db: float, output_db: float, end: str) -> None:
    layer = {"name": "y", "label": "y", "op": "conv", "function": "f", "origin": []}
    weakest = {**layer, "sqnr_local_db": layer_db}
    report = {"layers": [layer], "quantization": {"weakest": weakest, "sqnr_db": output_db}}
    assert fidelity.advice(report).endswith(end)
    weakest["sqnr_local_db"] = EXACT_DB  # nothing adds noise
    assert not fidelity.advice(report)


@pytest.mark.parametrize(("bits", "remedy"), [(4, "weights of more bits"), (8, "--accurate")])
def test_the_remedy_for_weights_of_few_bits_is_more_bits(bits: int, remedy: str) -> None:
    layer = {"name": "y", "label": "y", "op": "conv", "function": "f", "origin": []}
    weakest = {**layer, "sqnr_local_db": 19.0}
    told = {"weakest": weakest, "sqnr_db": 29.0, "observers_db": {"minmax": 30.0}}
    report = {"layers": [{**layer, "weight_bits": bits}], "quantization": told}
    assert f"; try {remedy}, or" in fidelity.advice(report)
    told["accurate"] = True  # was tried
    assert fidelity.advice(report).endswith("19.0 dB on its own")


DRAWN = np.random.default_rng(0).standard_normal((640, 1, 16)).astype(np.float32)


class Decided(nn.Module):
    """Classes by scores that have much in common, or those scores.

    follows   whether their common offset follows from the input
    """

    def __init__(self, spread: float, choose: str = "argmax", *, follows: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.spread, self.choose = nn.Linear(16, 8), spread, choose
        self.follows = follows

    def forward(self, x: Tensor) -> Tensor:
        offset = 20 * x.mean(-1, keepdim=True) if self.follows else 100
        scores = self.head(x) * self.spread + offset
        if self.choose == "softmax":
            return scores.softmax(-1)
        return getattr(scores, self.choose)(-1) if self.choose else scores


def decided(folder: Path, network: Decided, *, accurate: bool = False) -> Quantized:
    model = save_exported(network, (torch.zeros(1, 16),), folder / "model.pt2")
    return run_quantize(Options(model, DRAWN, accurate=accurate))


@pytest.mark.parametrize("choose", ["argmax", "argmin", "softmax"])
@pytest.mark.parametrize("follows", [False, True])
def test_what_scores_have_in_common_decides_nothing(
    tmp_path: Path, choose: str, follows: bool
) -> None:
    """Measured on the differences between the scores; a constant offset is removed."""
    network = Decided(0.2, choose, follows=follows)
    for accurate in (False, True):
        found = decided(tmp_path, network, accurate=accurate)
        graph = found.network.graph
        scores = graph.producer[graph.outputs[0]].inputs[0]
        assert (scores in found.network.int16) == follows
        fidelity = found.fidelity
        assert fidelity.worst_db is not None
        assert fidelity.worst_db > (30.0 if accurate else 25.0)
        if choose == "softmax":
            continue
        (agreement,) = (x.agreement for x in fidelity.outputs.values())
        same = [np.mean(x[0] == y[0]) for x, y in zip(fidelity.real, fidelity.integer, strict=True)]
        assert agreement == np.mean(same) > 0.95
        (numbers,) = (x.numbers for x in fidelity.outputs.values())
        of_torch = network(torch.from_numpy(DRAWN[[*numbers]])).numpy()
        assert np.mean(np.array(fidelity.integer).reshape(of_torch.shape) == of_torch) > 0.95
        assert not found.warnings


def test_sqnr_of_a_choice_is_that_of_differences(tmp_path: Path) -> None:
    drawn = np.random.default_rng(1).standard_normal((3, 5, 8)) * [1.0, 300.0, 1e-3, 1, 1, 1, 1, 1]
    found = (drawn + np.random.default_rng(2).standard_normal((3, 1, 8)) * 0.01).astype(np.float32)
    real = {"x": drawn.astype(np.float32)}
    row = {"x": Row(1, is_compared_only=True, is_chosen_from=True)}
    tensor = judged(row, "x", real)
    centred = [x - x.mean(1, keepdims=True) for x in (real["x"].astype(float), found.astype(float))]
    for x, wanted in zip((real["x"], found), centred, strict=True):
        np.testing.assert_allclose(tensor.counted(x), wanted.reshape(-1), atol=1e-12)
    assert np.allclose(tensor.counted(found + 1e3), tensor.counted(found), atol=1e-3)


@pytest.mark.parametrize("choose", ["argmax", "argmin"])
def test_decisions_that_differ_are_warned_of(tmp_path: Path, choose: str) -> None:
    """Scores so near to each other that 16 bits do not tell them apart either."""
    found = decided(tmp_path, Decided(1e-5, choose, follows=True))
    told = [warning for warning in found.warnings if warning.code == "W110"]
    (agreement,) = (x.agreement for x in found.fidelity.outputs.values())
    assert agreement is not None
    assert agreement < 0.95
    assert [x.title.rpartition("only ")[2] for x in told] == [f"{100 * agreement:.1f} %"]


def test_the_interval_is_a_bootstrap_over_samples() -> None:
    """scipy's, with draws of its own, of energies whose ratio has a heavy tail; between the
    percentiles of a t interval."""
    drawn = np.random.default_rng(4)
    outside = scipy.stats.norm.cdf(scipy.stats.t.ppf(0.025, 47) * math.sqrt(48 / 47))
    signal, error = drawn.standard_t(3, 48) ** 2, 1e-3 * drawn.standard_t(3, 48) ** 2
    found = interval_db(signal, error)
    wanted = scipy.stats.bootstrap(
        (signal, error),
        lambda s, e, axis: 10 * np.log10(s.sum(axis) / e.sum(axis)),
        paired=True,
        method="percentile",
        confidence_level=1.0 - 2.0 * outside,
        n_resamples=20_000,
        rng=1,
    ).confidence_interval
    assert found == pytest.approx((wanted.low, wanted.high), abs=0.3)
    assert found == interval_db(signal, error)


def test_intervals_of_few_samples_cover_what_they_promise() -> None:
    """The SQNR of all samples, 30 dB, by 8 samples whose errors have an exponential distribution:
    percentiles of the normal distribution cover 87.5 %."""
    drawn, inside = np.random.default_rng(0), 0
    for _ in range(600):
        low, high = interval_db(np.ones(8), 1e-3 * drawn.exponential(size=8)) or (0.0, 0.0)
        inside += low <= 30.0 <= high
    assert inside >= 0.9 * 600


def test_no_interval_of_one_sample_and_none_without_noise() -> None:
    assert interval_db(np.ones(1), np.ones(1)) is None
    assert interval_db(np.zeros(3), np.ones(3)) is None
    assert interval_db(np.ones(3), np.zeros(3)) == (math.inf, math.inf)


@pytest.mark.parametrize(
    ("db", "ends", "text"),
    [
        (44.83, (44.5, 45.12), "44.8 dB (44.5 to 45.1)"),
        (39.6, (13.0, 41.2), "40 dB (13 to 41)"),
        (26.9, (-0.2, EXACT_DB), "27 dB (0 to exact)"),
        (26.94, None, "26.9 dB"),
        (EXACT_DB, (EXACT_DB, EXACT_DB), "exact"),
    ],
)
def test_decimals_are_those_that_the_interval_allows(
    db: float, ends: tuple[float, float] | None, text: str
) -> None:
    assert fidelity.sqnr({"sqnr_db": db, "sqnr_interval_db": ends}) == text


@pytest.mark.parametrize("samples", [13, 63, 64])
def test_an_sqnr_has_one_form(samples: int) -> None:
    found = {"sqnr_db": 39.6, "sqnr_interval_db": (13.0, 41.2), "samples": samples}
    assert fidelity.sqnr(found) == "40 dB (13 to 41)"


class Product(nn.Module):
    """A product of four, which grows by the fourth power of its input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(16, 8), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) ** 3 * self.second(x)


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_held_out_samples_beyond_the_calibrated_range_are_warned_of(
    tmp_path: Path, factor: float
) -> None:
    drawn = np.random.default_rng(0).uniform(-1, 1, (48, 1, 16)).astype(np.float32)
    model = save_exported(Product(), (torch.zeros(1, 16),), tmp_path / "model.pt2")
    held_out = holdout.samples_by_purpose(Data({"x": drawn}, None, "samples")).held_out
    assert held_out is not None
    assert held_out.numbers is not None
    drawn[held_out.numbers[3]] *= factor
    found = run_quantize(Options(model, drawn))
    told = [warning for warning in found.warnings if warning.code == "W111"]
    assert [x.title.partition(" held")[0] for x in told] == ["1 of 10"] * (factor > 1)
    if told:
        assert dict(told[0].facts)["found"].startswith("input x: ")
    test = {"x": drawn[:12] * 4.0, "label": np.arange(12) % 8}
    titles = [w.title for w in run_quantize(Options(model, drawn, test=test)).warnings]
    assert "12 of 12 test samples leave the calibrated range" in titles
    ends = found.outputs()[0]["sqnr_interval_db"]
    assert ends[0] <= found.outputs()[0]["sqnr_db"] <= ends[1]
    assert ends[1] - ends[0] > 10.0  # 38 samples tell little of a fourth power


SMALL = 4  # inputs of a network of few cycles


class Detector(nn.Module):
    """A probability that is near 0 for noise, and near 1 for what is to be detected."""

    def __init__(self, width: int, ending: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        linear = nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(linear.weight)
        self.body = nn.Identity() if width == SMALL else linear
        self.ending = ending

    def forward(self, x: Tensor) -> Tensor:
        loud = self.body(x).square().mean(1, keepdim=True)
        return self.ending(loud * 20.0 - 9.0)


def windows(width: int, *loudness: float) -> Array:
    drawn = np.random.default_rng(0).standard_normal((len(loudness), 1, width))
    return (drawn * np.array(loudness)[:, None, None]).astype(np.float32)


def detector(
    folder: Path, samples: Array, ending: nn.Module | None = None
) -> tuple[Quantized, nn.Module]:
    return searched(folder, samples, Detector(samples.shape[-1], ending or nn.Sigmoid()).eval())


def searched(folder: Path, samples: Array, network: nn.Module) -> tuple[Quantized, nn.Module]:
    model = save_exported(network, (torch.zeros(samples.shape[1:]),), folder / "model.pt2")
    return run_quantize(Options(model, samples)), network


def largest_result(found: Quantized) -> float:
    """Of the integers of the only output."""
    q = found.network
    params = q.params[q.graph.outputs[0]]
    return float(dequantize(np.array(params.high), params))


QUIET = np.linspace(0.1, 0.3, 64)


class Each(nn.Module):
    """A probability of each input, so that hardly any cycles are not those of the results."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x * 2.0 - 5.0)


@pytest.mark.parametrize(
    ("network", "width", "is_allowed"),
    [(Detector(256, nn.Sigmoid()), 256, True), (Each(), 8192, False)],
)
def test_a_probability_has_the_full_range_if_the_cycles_allow_it(
    tmp_path: Path, network: nn.Module, width: int, is_allowed: bool
) -> None:
    """Calibrated on negatives, which 8 bits from 0 to 1 do not resolve: 16 bits do, or finer steps
    where 16 bits cost a large share of the cycles; a warning comes with both."""
    samples = windows(width, *QUIET)
    found, _ = searched(tmp_path, samples, network.eval())
    with torch.no_grad():
        most = float(network(torch.from_numpy(samples[:, 0])).max())
    assert most < 0.1
    assert largest_result(found) == pytest.approx(1.0 if is_allowed else most, rel=0.2)
    (told,) = (warning.title for warning in found.warnings if warning.code == "W112")
    above = float(told.partition("probabilities above ")[2].split()[0])
    assert above == pytest.approx(most, rel=0.2)
    assert found.fidelity.worst_judged_db is not None
    assert found.fidelity.worst_judged_db > 20.0


class Absent(nn.Module):
    """The probability that the event did not occur."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.0 - torch.sigmoid(x)


@pytest.mark.parametrize("width", [256, SMALL])
def test_the_opposite_probability_is_warned_of_too(tmp_path: Path, width: int) -> None:
    samples = windows(width, *QUIET)
    found, network = detector(tmp_path, samples, Absent())
    with torch.no_grad():
        least = float(network(torch.from_numpy(samples[:, 0])).min())
    (told,) = (warning for warning in found.warnings if warning.code == "W112")
    below = float(told.title.partition("probabilities below ")[2].split()[0])
    assert below == pytest.approx(least, abs=0.005)
    assert dict(told.facts)["needs"] == "calibration samples with a probability below 0.5"
    both = windows(64, *QUIET, *np.linspace(0.3, 1.0, 64))
    assert not [w for w in detector(tmp_path, both, Absent())[0].warnings if w.code == "W112"]


class Limited(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x).clamp(0.01, 0.99)


def test_a_limited_probability_is_warned_of_too(tmp_path: Path) -> None:
    found, _ = detector(tmp_path, windows(SMALL, *QUIET), Limited())
    assert [warning.code for warning in found.warnings].count("W112") == 1


def test_probabilities_of_both_classes_are_not_warned_of(tmp_path: Path) -> None:
    samples = windows(64, *QUIET, *np.linspace(0.3, 1.0, 64))
    found, network = detector(tmp_path, samples)
    assert not [warning for warning in found.warnings if warning.code == "W112"]
    assert largest_result(found) == pytest.approx(1.0, abs=0.01)
    with torch.no_grad():
        wanted = network(torch.from_numpy(samples[:, 0])).numpy()
    numbers = np.array(next(iter(found.fidelity.outputs.values())).numbers)
    integer = np.array([outputs[0][0] for outputs in found.fidelity.integer])
    np.testing.assert_allclose(integer, wanted[numbers], atol=0.05)


@pytest.mark.parametrize(
    ("ending", "bounds"),
    [
        (nn.Sigmoid(), (0.0, 1.0)),
        (nn.Hardsigmoid(), (0.0, 1.0)),
        (nn.Tanh(), (-1.0, 1.0)),
        (nn.ReLU6(), None),
    ],
)
def test_outputs_of_bounded_functions_have_their_bounds(
    tmp_path: Path, ending: nn.Module, bounds: tuple[float, float] | None
) -> None:
    found, _ = detector(tmp_path, windows(SMALL, *QUIET), ending)
    (node,) = (n for n in found.network.graph.nodes if n.name in found.network.graph.outputs)
    assert result_bounds(node) == bounds
    full = full_ranges(found.network.graph, found.network.calibration.seen)
    assert full.get(node.name) == bounds


def test_a_missed_goal_has_one_line() -> None:
    """The option that reaches it and its cost, relative to the build; or that none does."""
    kept = {"worst_db": 16.0, "more_cycles": 0.2, "kept": True, "setting": ""}
    offer = {"worst_db": 26.0, "more_cycles": 0.5, "kept": False, "setting": "[budget] sqnr = 25"}
    assert reachable([kept, offer], 16.0) == (
        "26.0 dB for 25 % more cycles than this build, estimated, with [budget] sqnr = 25"
    )
    assert reachable([kept], 16.0) == "no move tried reaches 25 dB"
    assert reachable([kept], 25.0) == reachable([], 16.0) == reachable([kept], None) == ""


@pytest.mark.parametrize(("db", "asked"), [(math.inf, 25), (31.7, 25), (22.9, 22)])
def test_a_budget_asks_for_what_was_reached(db: float, asked: int) -> None:
    assert sqnr_budget(db) == f"[budget] sqnr = {asked}"
