# SPDX-License-Identifier: Apache-2.0
"""Rules of [quant] for the layers whose module path matches a pattern."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.element_type import INT8
from myoedge.quantization.calibrate import Observer


@dataclass(frozen=True, slots=True)
class LayerRule:
    """A line `"head.*" = {...}` of [quant]: settings of the layers whose module path matches.

    pattern       pattern of module paths
    weights       scales of the weights: "per_channel", or "per_tensor" for a single one
    observer      observer for the ranges of results; None: the default one
    weight_bits   2 to 8, or 16; None: not set by this rule
    activations   bits of results: 16, or 8, which the precision search may raise
    """

    pattern: str
    weights: str = "per_channel"
    observer: Observer | None = None
    weight_bits: int | None = None
    activations: int = 8

    @property
    def is_pattern(self) -> bool:
        """Whether it is a pattern for several layers instead of one layer's name."""
        return any(letter in self.pattern for letter in "*?[")

    def matches(self, node: Node) -> bool:
        return matches(self.pattern, node)

    def matches_input(self, graph: Graph, name: str) -> bool:
        """Return whether the pattern matches the name of a quantised input."""
        return graph.tensors[name].dtype == "float32" and fnmatch.fnmatchcase(name, self.pattern)


def matches(pattern: str, node: Node) -> bool:
    """Return whether a pattern matches the module path of a layer, with or without its last
    component."""
    names = {name for origin in node.origin for name in (origin.path, origin.layer)}
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def weight_rule(rules: Iterable[LayerRule], node: Node) -> LayerRule | None:
    """Return the last matching rule that sets a layer's weight bits; None if there is none."""
    named = [rule for rule in rules if rule.weight_bits is not None and rule.matches(node)]
    return named[-1] if named else None


def weight_bits(rules: Iterable[LayerRule], node: Node) -> int:
    """Return the bits that a rule sets for a layer's weights; 8 without a rule."""
    rule = weight_rule(rules, node)
    return INT8.bits if rule is None or rule.weight_bits is None else rule.weight_bits
