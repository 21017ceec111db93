# SPDX-License-Identifier: Apache-2.0
"""Noise is told of what makes it: an input's rounding, not the layers that read or move it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.building.quantized import Known
from myoedge.building.warning_rules import weak_layers
from myoedge.errors import Notice
from myoedge.frontend.torch.export import from_exported
from myoedge.numerics.arrays import Array
from myoedge.passes import prepare
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.noise_sources import with_sources
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.reports import fidelity, wording
from myoedge.reports.report_json import Outcome, make_report
from myoedge.targets import find_chip
from tests.conftest import save_exported
from tests.support.warning_rules import warnings_of


class Frames(nn.Module):
    """A convolution over frames that does not read the loudest channel."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv1d(4, 8, 3), function
        with torch.no_grad():
            self.conv.weight[:, 0] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x.transpose(1, 2)))


class Sums(nn.Module):
    """Sums along time."""

    def forward(self, y: Tensor) -> Tensor:
        return y.cumsum(-1)


def loud_samples(times: float) -> Array:
    drawn = np.random.default_rng(0).standard_normal((12, 1, 20, 4)).astype(np.float32)
    drawn[..., 0] *= times
    return drawn


def quantized(net: nn.Module, samples: Array) -> tuple[QuantGraph, Fidelity]:
    """The network in 8 bits throughout."""
    with torch.no_grad():
        graph = prepare(from_exported(torch.export.export(net.eval(), (torch.zeros(1, 20, 4),))))
    given = {graph.inputs[0]: samples}
    q = quantize_graph(graph, calibrate(graph, given, Observer(), "drawn"))
    return q, with_sources(q, measure(q, given), given)


def told_of(network: QuantGraph, fidelity: Fidelity) -> list[Notice]:
    return warnings_of(weak_layers, Known(network=network, fidelity=fidelity))


def test_noise_of_an_input_is_the_inputs() -> None:
    """The oracle: torch's network of an input that is rounded to the same steps."""
    net, samples = Frames(nn.Identity()), loud_samples(300.0)
    q, fidelity = quantized(net, samples)
    (name,) = q.graph.inputs
    ops = {node.name: node.op for node in q.graph.nodes}
    assert "transpose" in ops.values()
    assert {ops[name] for name in fidelity.local} == {"conv"}, "a transpose has no noise"
    (conv,) = fidelity.local
    assert fidelity.sources == {conv: name}
    step = q.params[name].scale
    rounded = (np.round(samples / step) * step).astype(np.float32)
    with torch.no_grad():
        real, found = (net(torch.from_numpy(x[:, 0])).numpy() for x in (samples, rounded))
    db = 10 * math.log10((real**2).sum() / ((real - found) ** 2).sum())
    assert fidelity.local[conv] == pytest.approx(db, abs=0.5)
    (weak,) = told_of(q, fidelity)
    assert weak.title.startswith(f"input {name} keeps only")
    assert "as conv (conv" in dict(weak.facts)["found"]


def test_noise_of_a_layer_is_its_own() -> None:
    q, fidelity = quantized(Frames(nn.Identity()), loud_samples(1.0))
    (conv,) = fidelity.local
    assert fidelity.sources == {conv: conv}
    assert told_of(q, fidelity) == []


def test_one_warning_a_source_line() -> None:
    pools = nn.ReLU(), nn.AvgPool1d(2), nn.AvgPool1d(2)
    q, fidelity = quantized(Frames(nn.Sequential(*pools)), loud_samples(3e3))
    for count, others in ((2, "1 more layer near it"), (3, "2 more layers near it")):
        weak = {name: 5.0 - n for n, name in enumerate([*fidelity.local][:count])}
        alike = replace(fidelity, local=weak, sources=dict.fromkeys(weak, q.graph.inputs[0]))
        (told,) = told_of(q, alike)
        assert dict(told.facts)["found"].endswith(f", and in {others}")


class Joined(nn.Module):
    """The sum of two linear layers, which become one layer of the chip."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x[:, 0]) + self.b(x[:, 1])


def test_a_joined_layer_has_the_noise_of_its_weakest_member() -> None:
    """So that the table has the figure of each W102."""
    q, measured = quantized(Joined(), loud_samples(1.0))
    plan, ops = make_plan(q, find_chip("gap9")), {n.name: n.op for n in q.graph.nodes}
    (chain,) = (step for step in plan.steps if step.members)
    member, name = chain.members[0].node.name, chain.node.name
    assert ops[member] == "linear" != ops[name]
    for source, shown in ((member, {}), (q.graph.inputs[0], {name: q.graph.inputs[0]})):
        local, sources = {**measured.local, member: 5.0}, {member: source}
        of_output = replace(measured.outputs[name], db=25.0)
        weak = replace(measured, local=local, sources=sources, outputs={name: of_output})
        report = make_report(plan, Outcome("net", fidelity=weak))
        (row,) = (row for row in report["layers"] if row["name"] == name)
        assert row["sqnr_local_db"] == report["quantization"]["weakest"]["sqnr_local_db"] == 5.0
        assert report["quantization"]["noise_from"] == shown
        (told,) = told_of(q, weak)
        assert f"keeps only {row['sqnr_local_db']} dB" in told.title


def test_a_report_names_the_input(tmp_path: Path) -> None:
    model = save_exported(Frames(Sums()), (torch.zeros(1, 20, 4),), tmp_path / "net.pt2")
    options: dict[str, Any] = {"target": "host", "output": tmp_path / "out"}
    build = myoedge.build(model, calib=loud_samples(1.0), **options)
    report = build.report
    q = report["quantization"]
    first, *_ = report["inputs"]
    told = {**q, "sqnr_db": 25.0, "noise_from": {q["weakest"]["name"]: first["tensor"]}}
    sentence = fidelity.advice({**report, "quantization": told})
    assert sentence.startswith(f"the 8 bits of input {first['name']} add the most noise: ")
    assert not fidelity.is_weak(
        {**report, "quantization": told}, {**q["weakest"], "sqnr_local_db": 3}
    )
    assert wording.decibels(-0.04) == "0.0 dB"


def test_accurate_says_that_it_changed_nothing(tmp_path: Path) -> None:
    model = save_exported(nn.Linear(4, 3), (torch.zeros(1, 4),), tmp_path / "net.pt2")
    quantized = run_quantize(Options(model, "random", accurate=True, say=lambda stage: None))
    assert quantized.accurate
    (offer,) = quantized.choices
    assert offer.setting
    every = "--accurate changes nothing: every output reaches 30 dB already"
    some = "--accurate changes nothing: the calibration samples reach 30 dB already"
    assert fidelity.refinement((), 30.0, accurate=True) == [every]
    offered = {"remedy": "16 bits", "worst_db": 70.0, "setting": offer.setting}
    for choices in ((), (offered,)):
        assert fidelity.refinement(choices, 29.0, accurate=True) == [some]
    assert fidelity.refinement((), 29.0, accurate=False) == []
    source = quantized.network.calibration.source
    assert fidelity.judged_samples(13, "held-out", source) == "13 held-out random samples"
    assert (
        fidelity.judged_samples(64, "held-out", source, 225) == "64 of 225 held-out random samples"
    )
    row = {"remedy": "ranges by percentile", "worst_db": 19.1, "more_cycles": 0.0}
    twice = [{**row, "int16_tensors": 0, "kept": False}] * 2
    once = ["ranges by percentile: 19.1 dB, not kept", "dB of the calibration samples that choose"]
    assert fidelity.refinement(twice, 20.0, accurate=False) == once
    (told,) = (x for x in quantized.warnings if x.code == "W105")
    assert "calibration samples reach 30 dB" in dict(told.facts)["found"]
