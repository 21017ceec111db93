# SPDX-License-Identifier: Apache-2.0
"""Values that guards, clamps and choices insert: near torch if no calibration sample shows them, or
a warning tells that they saturate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.building.quantized import Known
from myoedge.building.warning_rules import cut_branch
from myoedge.errors import Notice
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph, quantize_graph
from tests.conftest import save_exported
from tests.support.oracles.torch import Net, agrees, seeded
from tests.support.warning_rules import warnings_of
from tests.unit.test_cell_steps import decibels
from tests.unit.test_guards import quotient, samples, torch_values, whole

Function = Callable[[Tensor, Tensor], Tensor]
NEAREST_DB = 20.0  # of values that share 8 bits with others that are 7 times as large
# Inserted value -> function, and the largest magnitude that it has for samples without a 0.
FORMS: dict[str, tuple[Callable[[float], Function], float]] = {
    "infinity of a function": (lambda v: lambda a, b: (whole(b) ** -2).nan_to_num(posinf=v), 0.25),
    "nan of a function": (lambda v: lambda a, b: (whole(b) / whole(b)).nan_to_num(nan=v), 1.0),
    "infinity of a quotient": (lambda v: lambda a, b: quotient(a, b).nan_to_num(v, v, -v), 2.0),
    "clamped quotient": (lambda v: lambda a, b: quotient(a, b).clamp(-v, v), 2.0),
    "clamped on one side": (lambda v: lambda a, b: (whole(b).log() + a).clamp(min=-v), 5.6),
    "hardtanh": (lambda v: lambda a, b: F.hardtanh(quotient(a, b).mT, -v, v), 2.0),
    "threshold": (lambda v: lambda a, b: F.threshold(whole(b), 0.5, v), 5.0),
    "choice": (lambda v: lambda a, b: torch.where(whole(b) == 0, v, a), 4.0),
    "factor": (lambda v: lambda a, b: torch.where(whole(b) == 0, a * (v / 4), a), 4.0),
    "before a function": (lambda v: lambda a, b: torch.where(whole(b) == 0, v, a).abs() * 2, 4.0),
    "fused function": (lambda v: lambda a, b: (1 / whole(a.abs() * b)).nan_to_num(posinf=v), 1.0),
}  # fmt: skip


WARNED = ("infinity of a function", "clamped quotient")


def usual_samples() -> list[Array]:
    return samples(False, count=8)


def fresh_samples() -> list[Array]:
    """As samples with zeros, but no 0 / 0, which a clamp leaves NaN."""
    a, b = samples(True, count=8)
    return [np.where(a == 0.0, np.float32(0.5), a), b]


def functions(factor: float) -> dict[str, Function]:
    return {form: make(factor * largest) for form, (make, largest) in FORMS.items()}


@functools.cache
def graph_of(*forms: str, factor: float) -> Graph:
    """A network with one output per form."""
    a, b = (torch.as_tensor(x[0]) for x in fresh_samples())
    made = functions(factor)
    return agrees(Net(lambda net, a, b: [made[form](a, b) for form in forms]), a, b)


def network_of(*forms: str, factor: float, shown: bool) -> QuantGraph:
    graph, given = graph_of(*forms, factor=factor), fresh_samples() if shown else usual_samples()
    named = dict(zip(graph.inputs, given, strict=True))
    return quantize_graph(graph, calibrate(graph, named, Observer(), ""))


def reached_db(network: QuantGraph, *forms: str, factor: float) -> dict[str, float]:
    """SQNR of each output on samples with zeros."""
    fresh, made = fresh_samples(), functions(factor)
    wanted = [torch_values(made[form], fresh) for form in forms]
    given = dict(zip(network.graph.inputs, fresh, strict=True))
    return dict(zip(forms, decibels(network, given, wanted), strict=True))


def told_of(network: QuantGraph) -> list[Notice]:
    named = dict(zip(network.graph.inputs, usual_samples(), strict=True))
    return warnings_of(cut_branch, Known(network=network, data=Data(named, None, "")))


@pytest.mark.parametrize(
    ("factor", "shown"), [(2.0, False), (7.0, False), (40.0, False), (40.0, True)]
)
def test_an_inserted_value_is_near_torch(factor: float, shown: bool) -> None:
    """Unless it is far larger than all others, and no sample shows it."""
    network = network_of(*FORMS, factor=factor, shown=shown)
    is_far = factor == 40.0 and not shown
    found = reached_db(network, *FORMS, factor=factor)
    assert {form: db > NEAREST_DB for form, db in found.items()} == dict.fromkeys(FORMS, not is_far)
    assert bool(told_of(network)) == is_far


def test_a_value_that_a_guard_of_two_tests_inserts_is_near_torch() -> None:
    """Integers hide the infinite quotient by a factor of 0, which is NaN in floats."""

    def guarded(a: Tensor, b: Tensor) -> Tensor:
        divisor = whole(b)
        return torch.where((divisor == 0) & (a > 0), 3 * a, a / divisor)

    usual, (a, b) = usual_samples(), fresh_samples()
    fresh = [np.abs(a), b]
    graph = agrees(Net(lambda net, a, b: guarded(a, b)), *(torch.as_tensor(x[0]) for x in usual))
    named = dict(zip(graph.inputs, usual, strict=True))
    network = quantize_graph(graph, calibrate(graph, named, Observer(), ""))
    given = dict(zip(graph.inputs, fresh, strict=True))
    wanted = torch_values(guarded, fresh)
    assert np.isfinite(wanted).all()
    assert min(decibels(network, given, [wanted])) > NEAREST_DB


@pytest.mark.parametrize("form", WARNED)
def test_a_value_that_saturates_is_warned_of_with_a_remedy_that_helps(form: str) -> None:
    (told,) = told_of(network_of(form, factor=40.0, shown=False))
    most = float(told.tries[0].removeprefix("insert at most "))
    helped = network_of(form, factor=most / FORMS[form][1], shown=False)
    assert told.code == "W111"
    assert not told_of(helped)
    assert reached_db(helped, form, factor=most / FORMS[form][1])[form] > NEAREST_DB


def test_a_build_warns_of_a_value_that_saturates(tmp_path: Path) -> None:
    net = Net(lambda net, x: (whole(x) ** -2).nan_to_num(posinf=9.0))
    model = save_exported(net, (torch.ones(1, 8),), tmp_path / "model.pt2")
    drawn = np.random.default_rng(0).uniform(2.25, 6.0, (24, 1, 8)).astype(np.float32)
    told = [x for x in run_quantize(Options(model, drawn)).warnings if x.code == "W111"]
    assert [dict(x.facts)["found"].rpartition(": ")[2] for x in told] == ["9 to 9"]
    drawn[:4] = 0.0
    assert "W111" not in {x.code for x in run_quantize(Options(model, drawn)).warnings}


def scores(x: Tensor) -> Tensor:
    return x.exp() / x.exp().sum(-1, keepdim=True)


def standard(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)


def length_one(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt()


@pytest.mark.parametrize("function", [scores, standard, length_one])
def test_norms_and_shares_need_no_tests(
    function: Callable[[Tensor], Tensor],
) -> None:
    x = seeded(1, 4, 8)
    bare = agrees(Net(lambda net, x: function(x)), x)
    limited = agrees(Net(lambda net, x: function(x).clamp(-0.5, 0.5)), x)
    assert len(limited.nodes) <= len(bare.nodes) + 1


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_branch_that_no_sample_takes_leaves_the_other_one_as_it_is(
    unit: float, bits: int, tmp_path: Path
) -> None:
    """The range of the first branch, all 0, is stated by no sample: 1, whatever the unit is."""

    def chosen(net: object, x: Tensor) -> Tensor:
        loud = torch.where(x.mean() > 0.2 * unit, x, torch.zeros(())) * 0.8
        return torch.where(x > 0, loud, x)

    model = save_exported(Net(chosen), (torch.ones(1, 64),), tmp_path / "model.pt2")
    drawn = unit * np.random.default_rng(0).normal(-0.5, 1.0, (24, 1, 64)).astype(np.float32)
    config = tmp_path / "myoedge.toml"
    config.write_text(f'[quant]\n"*" = {{ activations = {bits} }}\n')
    network = run_quantize(Options(model, drawn, config=config)).network
    wanted = [np.where(drawn > 0, np.float32(0), drawn)]
    found = decibels(network, {network.graph.inputs[0]: drawn}, wanted)
    assert min(found) > {8: 35.0, 16: 60.0}[bits]
