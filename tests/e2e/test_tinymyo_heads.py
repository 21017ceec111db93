# SPDX-License-Identifier: Apache-2.0
"""TinyMyo with every head, short and of few layers: both forms are one graph, builds are exact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import myoedge
from myoedge.extensions.zoo import recordings, tinymyo
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.e2e.test_on_chip import has_gvsoc

MYO = Path(__file__).resolve().parents[2] / "examples" / "data" / "libemg_myo.npz"
Make = Callable[..., torch.nn.Module]
# network, samples, shape of the input
HEADS: dict[str, tuple[Make, int, tuple[int, ...]]] = {
    "epn": (tinymyo.epn, 100, (1, 8, 100)),
    "db5": (tinymyo.db5, 60, (1, 16, 60)),
    "db8": (tinymyo.db8, 60, (1, 16, 60)),
    "pretraining": (tinymyo.pretraining, 60, (1, 16, 60)),
    "production": (tinymyo.production, 160, (1, 160, 8)),
    "recognition": (tinymyo.recognition, 840, (1, 840, 8)),  # 105 tokens: some are out of sight
    "neuromotor": (tinymyo.neuromotor, 221, (1, 16, 221)),
}
SPEECH = ("production", "recognition")
VERSIONED = ("epn", "db5", "db8", "pretraining")
# Built in every run; the others take longer: make test-all.
QUICK = (("epn", 1),)
BUILDS = [
    pytest.param(name, version, marks=[] if (name, version) in QUICK else [pytest.mark.slow])
    for name in HEADS
    for version in ((1, 2) if name in VERSIONED else (0,))
]


def model(name: str, version: int, **options: Any) -> torch.nn.Module:
    make, samples, _ = HEADS[name]
    torch.manual_seed(3)
    chosen = {"version": version} if version else {}
    return make(samples, **{"layers": 1, **chosen, **options}).eval()


def windows(shape: tuple[int, ...], count: int, seed: int) -> Array:
    """Normalised windows of a real recording, of several places side by side where need be."""
    emg = recordings.load(MYO).emg
    emg = (emg - emg.mean(0)) / emg.std(0)
    rng, turned = np.random.default_rng(seed), shape[-1] == 8
    channels, samples = (8, shape[1]) if turned else shape[1:]
    starts = rng.integers(0, len(emg) - samples, (count, channels // 8))
    rows = [np.concatenate([emg[s : s + samples].T for s in at]) for at in starts]
    found = np.stack(rows)[:, None]
    return np.ascontiguousarray(found.swapaxes(2, 3) if turned else found, np.float32)


def graph_of(network: torch.nn.Module, shape: tuple[int, ...]) -> Graph:
    return prepare(from_exported(torch.export.export(network, (torch.zeros(shape),))))


@pytest.mark.parametrize(("name", "version"), BUILDS)
def test_both_forms_become_the_same_operators(name: str, version: int) -> None:
    shape = HEADS[name][2]
    x = windows(shape, 1, 5)[0]
    forms = [{}] if name in SPEECH else [{}, {"explicit": True}]
    kinds = []
    for form in forms:
        network = model(name, version, layers=2, **form)
        graph = graph_of(network, shape)
        kinds.append(Counter(node.op for node in graph.nodes))
        with torch.no_grad():
            wanted = network(torch.from_numpy(x))
        found = run_float(graph, {graph.inputs[0]: x})
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for output, real in zip(graph.outputs, wanted, strict=True):
            np.testing.assert_allclose(found[output], real.numpy(), rtol=1e-4, atol=2e-5)
    assert kinds[0]["attention"] == 2
    assert kinds[0]["softmax"] == kinds[0]["sub"] == 0
    assert kinds[0]["rotary"] == (4 if version == 2 or name == "neuromotor" else 0)
    assert kinds[-1] == kinds[0]


def test_the_echo_of_the_input_is_a_second_output() -> None:
    graph = graph_of(model("epn", 1, echo=True), (1, 8, 100))
    assert len(graph.outputs) == 2
    assert graph.outputs[1] in graph.inputs


def built(name: str, version: int, folder: Path) -> myoedge.Build:
    shape = HEADS[name][2]
    program = torch.export.export(model(name, version), (torch.zeros(shape),))
    torch.export.save(program, folder / "m.pt2")
    calib = windows(shape, 4, 1)
    return myoedge.build(folder / "m.pt2", target="gap9", calib=calib, output=folder / "m")


@pytest.mark.parametrize(("name", "version"), BUILDS)
def test_builds_are_exact_on_the_chip(name: str, version: int, tmp_path: Path) -> None:
    build = built(name, version, tmp_path)
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.difference is None
    assert checked.exact["host"]
    assert checked.exact["simulator"]
    wide = [
        name for name, kind in build.network.params.items() if str(kind.element_type) == "int16"
    ]
    assert wide, "no residual stream"
    steps = json.loads((tmp_path / "m" / "plan.json").read_text())["steps"]
    assert all(step["tiles"] for step in steps), "a layer that works in L2"


@pytest.mark.slow
@pytest.mark.skipif(bool(has_gvsoc()), reason="GVSoC is not here: set GVSOC_HOME to judge by it")
@pytest.mark.parametrize(("name", "version"), [p.values for p in BUILDS])
def test_gvsoc_agrees(name: str, version: int, tmp_path: Path) -> None:
    build = built(name, version, tmp_path)
    checked = myoedge.validate(build, on=("gvsoc",))
    assert checked.difference is None
    assert checked.exact["gvsoc"]


@pytest.mark.slow
def test_outputs_differ_as_those_of_floats_do(tmp_path: Path) -> None:
    """The distances between the logits of two windows, and on a host as in tiles."""
    network = model("epn", 2, layers=2)
    torch.export.save(torch.export.export(network, (torch.zeros(1, 8, 100),)), tmp_path / "m.pt2")
    calib, held = windows((1, 8, 100), 8, 1), windows((1, 8, 100), 8, 99)
    build = myoedge.build(tmp_path / "m.pt2", target="host", calib=calib, output=tmp_path / "m")
    assert myoedge.validate(build, on=("host",)).difference is None
    found = np.stack([np.ravel(build.run(x)) for x in held]).astype(np.float64)
    with torch.no_grad():
        wanted = np.stack([network(torch.from_numpy(x)).numpy().ravel() for x in held])
    apart = [np.linalg.norm(y[:, None] - y[None], axis=-1) for y in (found, wanted)]
    assert np.corrcoef(apart[0].ravel(), apart[1].ravel())[0, 1] > 0.98
    noise = np.sum((found - wanted) ** 2) / np.sum(wanted**2)
    assert 10 * np.log10(1 / noise) > 20.0
