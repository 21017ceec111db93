# SPDX-License-Identifier: Apache-2.0
"""Layers and files as keys of settings: the printed lines are TOML, and match just the layer or
file, whatever characters its name has."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.building.config import from_tables
from myoedge.building.config_tables import Config, LayerTable
from myoedge.building.finished_build import _on_cores
from myoedge.building.layer_rules import engine_integers, layer_rules
from myoedge.building.precision import needs_db
from myoedge.building.sample_conditions import _scale_setting
from myoedge.catalogue import warning
from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps.variations import _precision
from myoedge.graph.ir import Graph
from myoedge.graph.origin import Origin
from myoedge.quantization.labels import fitted_labels
from myoedge.quantization.recordings.reading import factor_of
from myoedge.quantization.stated_widths import (
    LayerRule,
    few_weight_bits,
    matches,
    stated_int16,
)
from tests.support.warning_rules import printed
from tests.unit.test_refine import graph_of

NAMES = [
    *("head", 'a"b', "a'b", "a.b", "layers[0]", "layers[1]", "conv*", "c?d", "a, b = c", "x: y"),
    *("é ü", "日本", "a\\b", "a#b", "{x}", "%d", "a]b", "[!x]", "[quant] b", "tab\there", '"', "]"),
    *("a, [quant] b = 2", 'x, [quant] "c" = 2', "e\x1bf", "two\nlines", "wide\u2003space"),
    *("bidi\u202etext", "no\u200bwidth", "rub\x7fout", "\\", '\\"', "[[]0]", "long" * 30, "𝄞", "*"),
]


class Low(nn.Module):
    """Numbers below -1: a layer without a 16-bit kernel."""

    def forward(self, x: Tensor) -> Tensor:
        return x < -1.0


class Steps(nn.Module):
    """A linear layer, whose name is replaced, and steps of what is not hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.low, self.shares = nn.Linear(8, 5), Low(), nn.Softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        return torch.floor(8.0 * self.shares(y.masked_fill(self.low(y), -1e9)))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of(Steps(), 1, 8)


def named(graph: Graph, name: str) -> Graph:
    """The network with another name of its linear layer."""
    nodes = (replace(x, origin=(Origin(name),)) if x.op == "linear" else x for x in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def remedies(graph: Graph, name: str) -> Iterator[tuple[str, str]]:
    """(rule, remedy) of each that prints the linear layer as a key."""
    graph = named(graph, name)
    layer = next(x for x in graph.nodes if x.op == "linear")
    few = {"low": LayerTable(weights=4)}
    mistyped = f"{name}{name[-1]}"
    unknown = {mistyped: LayerTable(weights=4)}
    calls: dict[str, Any] = {
        "few bits of another layer": lambda: layer_rules(graph, Config(quant=few)),
        "16 bits of another layer": lambda: stated_int16(
            graph, graph.tensors, [LayerRule(x, activations=16) for x in ("*", "low")]
        ),
    }
    if not matches(mistyped, layer):
        calls |= {
            "a mistyped name": lambda: layer_rules(graph, Config(quant=unknown)),
            "its engine": lambda: engine_integers(
                graph, Config(engine={mistyped: "cores"}), None, "auto", None
            ),
        }
    for rule, call in calls.items():
        with pytest.raises(MyoedgeError) as e:
            call()
        yield rule, e.value.notice.tries[0]
    step: Any = SimpleNamespace(node=layer, weight_bits=2)
    words = {"layer": name, "db": 3.0, "noise": 0.01, "reader": "", "others": "", "dtype": "int8"}
    yield "W102", warning("W102", {**words, **few_weight_bits(step, step.node.name)}).tries[0]
    build: Any = SimpleNamespace(
        report={"layers": [{"engine": "ne16"}]},
        network=SimpleNamespace(graph=graph),
        manifest={"target": "gap9"},
    )
    difference: Any = SimpleNamespace(name=layer.name, layer=0)
    yield "a difference on an engine", _on_cores(build, difference)[0]


def only_key(toml: str) -> str:
    """The key of the only table, which settings accept."""
    ((table, keys),) = tomllib.loads(toml).items()
    ((key, value),) = keys.items()
    accepted = value if value != 0 else {"weights": 4} if table == "quant" else "cores"
    assert from_tables({table: {key: accepted}}, "myoedge.toml")
    return str(key)


def matched(pattern: str) -> list[str]:
    """The names that a pattern matches."""
    nodes: Any = {name: SimpleNamespace(origin=(Origin(name),)) for name in NAMES}
    return [name for name, node in nodes.items() if matches(pattern, node)]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_printed_key_matches_the_layer_alone(name: str, graph: Graph) -> None:
    found = dict(remedies(graph, name))
    assert len(found) >= 4
    for rule, remedy in found.items():
        begins, toml = printed(remedy)
        if remedy.endswith(" = ..."):  # the value is open
            begins, toml = "", remedy.replace("] ", "]\n", 1).removesuffix("...") + "0"
        assert begins == "", rule
        assert matched(only_key(toml)) == [name], rule
        assert not LayerRule(only_key(toml)).is_pattern or "?" in only_key(toml), rule


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_advice_names_the_layer_alone(name: str) -> None:
    row = {"name": "a", "op": "linear", "origin": [{"path": name, "source": ""}]}
    row |= {"sqnr_local_db": 9.0, "dtype": "int8", "weight_dtype": "int8"}
    report: Any = {"quantization": {"sqnr_db": 9.0, "calibration": {"observer": "minmax"}}}
    found = next(_precision(report | {"layers": [row]}, Config(), {}))
    assert matched(only_key(found.how)) == [name]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_names_of_outputs_are_keys_too(name: str, graph: Graph) -> None:
    with pytest.raises(MyoedgeError) as e:
        needs_db({"nothing": 20.0}, replace(graph, output_names=(name,)))
    for remedy in e.value.notice.tries:
        assert from_tables(tomllib.loads(printed(remedy)[1]), "x").budget.sqnr == {name: 20.0}


@pytest.mark.parametrize("name", ["", *NAMES], ids=ascii)
def test_names_of_classes_are_listed_if_settings_may_have_them(name: str, graph: Graph) -> None:
    """Otherwise the remedy is numbers, which are accepted."""
    with pytest.raises(MyoedgeError, match="E225") as e:
        fitted_labels(np.array(["rest", name]), graph)
    (remedy,) = e.value.notice.tries
    if remedy == "labels that are numbers of classes, 0 to 4":
        assert fitted_labels(np.arange(5), graph)[0].tolist() == [*range(5)]
        with pytest.raises(MyoedgeError, match="E232"):
            from_tables({"calib": {"classes": [name]}}, "x")
        return
    tables = tomllib.loads(printed(remedy)[1])
    listed = [*tables["calib"]["classes"], "fist", "open", "point"]
    from_tables({"calib": {"classes": listed}}, "x")
    assert fitted_labels(np.array(["rest", name]), graph, listed)[1] == (*listed,)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_scale_of_a_file_is_of_this_file_alone(name: str) -> None:
    given: Any = SimpleNamespace(scales=(("*", 2.0),))
    toml = tomllib.loads(printed(_scale_setting(given, 1000.0, name))[1])
    scales = tuple(toml["calib"]["scale"].items())
    from_tables(toml, "myoedge.toml")
    assert [x for x in NAMES if factor_of(scales, x) == 0.002] == [name]
