# SPDX-License-Identifier: Apache-2.0
"""Rules for layers, selected by patterns of module paths: [quant] and [engine] of myoedge.toml."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice

from myoedge.building.config_tables import Config, LayerTable
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import OPS
from myoedge.operators.engine_choice import EngineChoice
from myoedge.plan.l1.layer_kernels import accelerator_gain
from myoedge.quantization.calibrate import Observer
from myoedge.quantization.engines import EngineIntegers, EngineRules
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.stated_widths import LayerRule, matches
from myoedge.system.toml_text import exact_pattern, layer_key, toml_text
from myoedge.targets.chip import Chip


def layer_rules(graph: Graph, settings: Config) -> tuple[LayerRule, ...]:
    """Return the rules of [quant]. Errors: E233 a pattern that matches no layer or input."""
    rules = tuple(_parse_rule(pattern, table) for pattern, table in settings.quant.items())
    of_layers = [
        rule.pattern
        for rule in rules
        if rule.activations != INT16.bits
        or not any(rule.matches_input(graph, name) for name in graph.inputs)
    ]
    _check_patterns(graph, "quant", of_layers)
    for rule in rules:
        if rule.weight_bits is not None and rule.weight_bits < INT8.bits:
            _check_weights(graph, rule.pattern)
    return rules


def _parse_rule(pattern: str, table: LayerTable) -> LayerRule:
    observer = Observer(table.method, table.percentile) if table.method else None
    scales = "per_tensor" if table.weights == "per_tensor" else "per_channel"
    bits = table.weights if isinstance(table.weights, int) else None
    return LayerRule(pattern, scales, observer, bits, table.activations)


def _check_weights(graph: Graph, pattern: str) -> None:
    """Raise E233 if a pattern that sets weight bits matches no layer where they can be set."""
    has_weights = [node for node in graph.nodes if OPS[node.op].weights.multiplicands is not None]
    if any(matches(pattern, node) for node in has_weights):
        return
    found = sorted({node.op for node in graph.nodes if matches(pattern, node)})
    facts = {"needs": "conv, linear, or a recurrent layer", "has": ", ".join(found)}
    paths = filter(None, (o.path for node in has_weights for o in node.origin))
    tries = [f"[quant] {layer_key(path)} = {{ weights = 4 }}" for path in islice(paths, 1)]
    raise MyoedgeError(
        "E233",
        f'[quant] "{pattern}" matches no layer whose weights may have few bits',
        facts,
        tries,
    )


def engine_integers(
    graph: Graph, settings: Config, chip: Chip | None, engine: str, older: QuantGraph | None
) -> EngineIntegers:
    """Return the function that chooses engines. Errors: E233 a pattern that matches no layer.

    chip     the chip; None: only the cores
    engine   engine of layers that no pattern of [engine] matches
    older    network of an earlier build
    """
    usual = EngineChoice(engine, f"--engine {engine}")
    rules = _engine_rules(graph, settings, chip, usual)
    return EngineIntegers(rules, layer_rules(graph, settings), older)


def _engine_rules(
    graph: Graph, settings: Config, chip: Chip | None, usual: EngineChoice
) -> EngineRules:
    _check_patterns(graph, "engine", settings.engine)
    patterns = tuple(settings.engine.items())
    if chip is None:
        return EngineRules(usual=usual, patterns=patterns)
    accelerators = frozenset(chip.accelerators)
    return EngineRules(accelerators, usual, patterns, accelerator_gain(chip))


def _check_patterns(graph: Graph, table: str, patterns: Iterable[str]) -> None:
    """Raise E233 if a pattern matches no layer."""
    for pattern in patterns:
        if not any(matches(pattern, node) for node in graph.nodes):
            paths = sorted({o.path for node in graph.nodes for o in node.origin if o.path})
            inputs = {"inputs": ", ".join(graph.inputs)} if table == "quant" else {}
            facts = {"has": ", ".join(paths), **inputs}
            tries = [f"[{table}] {key} = ..." for key in _nearest_key(pattern, paths)]
            raise MyoedgeError("E233", f'[{table}] "{pattern}" matches no layer', facts, tries)


def _nearest_key(pattern: str, paths: Sequence[str]) -> list[str]:
    """Return the key of the most similar pattern that matches a layer, as a list; [] without
    one."""
    if not pattern.endswith(".*"):
        return [layer_key(near) for near in difflib.get_close_matches(pattern, paths, 1, 0.5)]
    if pattern[:-2] in paths:  # a layer without inner layers
        return [layer_key(pattern[:-2])]
    modules = sorted({path[:i] for path in paths for i, char in enumerate(path) if char == "."})
    nearest = difflib.get_close_matches(pattern[:-2], modules, 1, 0.5)
    return [toml_text(f"{exact_pattern(near)}.*") for near in nearest]
