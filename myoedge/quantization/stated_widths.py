# SPDX-License-Identifier: Apache-2.0
"""Bit widths that [quant] sets for tensors and weights, by rules for the layers whose module path
matches a pattern."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.errors import MyoedgeError, named_input
from myoedge.graph.ir import PRE, Graph, Node, Shape
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators import kernel_formats
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import has_table
from myoedge.quantization.calibrate import Observer
from myoedge.quantization.formats import joined_groups, residual_streams
from myoedge.system.toml_text import layer_key, toml_text


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
        """Whether it is a pattern for several layers instead of one layer's name, in which "[*]" is
        the letter "*"."""
        return re.search(r"[*?[]", re.sub(r"\[[*?[]\]", "", self.pattern)) is not None

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


def few_weight_bits(step: QuantizedNode, source: str) -> dict[str, object]:
    """Return the bits of a layer's weights if these are fewer than 8, with the pattern that changes
    them; otherwise, or if its noise has another source, {}."""
    has_weights = source == step.node.name and kernel_formats.weight_bits(step.node.op)
    if not has_weights or step.weight_bits >= INT8.bits:
        return {}
    key = next((layer_key(origin.path) for origin in step.node.origin if origin.path), '"*"')
    return {"few": True, "bits": step.weight_bits, "key": key, "usual": INT8.bits}


# --- widths ---------------------------------------------------------------------------------------


WIDE_BITS = 16


@dataclass(frozen=True)
class KeptOfFile:
    """Integers of the model file that a rule cannot change.

    asked    what the rule sets, for messages
    layers   names of layers and inputs, for messages
    """

    rule: LayerRule
    asked: str
    layers: list[str]


def stated_int16(graph: Graph, names: Iterable[str], rules: Iterable[LayerRule]) -> frozenset[str]:
    """Return the tensors that rules set to int16 (`activations = 16`), and those that share their
    parameters.

    names   names of all quantised tensors
    Errors: E244 if a producer or reader of one has no int16 kernel; for a pattern, only if no
    matching layer has one.
    """
    wide = [rule for rule in rules if rule.activations == WIDE_BITS]
    asked = _asked_layers(graph, wide)
    inputs = {name for rule in wide for name in graph.inputs if rule.matches_input(graph, name)}
    if not asked and not inputs:
        return frozenset()
    wanted = {*asked, *(name + PRE for name, (_, node) in asked.items() if has_table(node))}
    found = joined_groups(graph, {*names, *wanted}, wanted | inputs)
    left = wanted - found - residual_streams(graph) - graph.all_given.keys()
    _check_int16_support(asked, found, sorted(left))
    return found


def _check_int16_support(
    asked: Mapping[str, tuple[LayerRule, Node]], found: frozenset[str], left: Iterable[str]
) -> None:
    """Check that named layers, and one layer of each pattern, support int16. Errors: E244."""
    able = {rule.pattern for name, (rule, _) in asked.items() if name in found}
    for name in left:
        rule, node = asked[name.removesuffix(PRE)]
        if not rule.is_pattern or rule.pattern not in able:
            # The module paths of the matched layers that can be int16
            nodes = (node for name, (_, node) in asked.items() if name in found)
            int16_capable_layers = list(
                dict.fromkeys(origin.path for node in nodes for origin in node.origin)
            )
            raise _missing_kernel_error(rule, node, "results", int16_capable_layers)


def _asked_layers(graph: Graph, wide: Iterable[LayerRule]) -> dict[str, tuple[LayerRule, Node]]:
    """Return layer name -> (last rule that sets its results to int16, node)."""
    return {
        node.name: (rule, node)
        for rule in wide
        for node in graph.nodes
        if rule.matches(node) and _can_be_int8(graph, node)
    }


def left_in_8_bits(
    graph: Graph, params: Mapping[str, QuantParams], rules: Iterable[LayerRule]
) -> Iterator[tuple[LayerRule, list[str]]]:
    """Yield (rule, names) of the layers and inputs that stay int8 although a pattern sets int16."""
    for rule in (r for r in rules if r.activations == WIDE_BITS):
        left = _matching_int8_inputs(graph, params, rule)
        if rule.is_pattern:
            left += _matching_int8_layers(graph, params, rule)
        if left:
            yield rule, left


def kept_of_file(
    graph: Graph, steps: Iterable[QuantizedNode], rules: Sequence[LayerRule]
) -> Iterator[KeptOfFile]:
    """Yield integers of the model file that a rule cannot change to other bits or scales.

    steps   steps of the quantised network
    """
    # The layers whose weights are integers of the model file
    weighted = [step for step in steps if kernel_formats.weight_bits(step.node.op)]
    names = (step.node.inputs[OPS[step.node.op].weights.at[0]] for step in weighted)
    of_file = [s for s, name in zip(weighted, names, strict=True) if graph.format(name) is not None]
    yield from _int8_of_file(graph, rules)
    yield from _weight_widths_of_file(of_file, rules)
    yield from _fixed_scales_of_file(graph, of_file, rules)


def _int8_of_file(graph: Graph, rules: Sequence[LayerRule]) -> Iterator[KeptOfFile]:
    """Yield results and inputs that are set to int16 by name, but int8 in the file."""
    layers = [node for node in graph.nodes if _is_int8_in_file(graph, node.name)]
    inputs = [name for name in graph.inputs if _is_int8_in_file(graph, name)]
    for rule in rules:
        if rule.activations != WIDE_BITS or rule.is_pattern:
            continue
        narrow = map(_layer_name, filter(rule.matches, layers))
        yield from _kept_layers(rule, f"results of {rule.activations} bits", narrow)
        told = [named_input(name) for name in inputs if rule.matches_input(graph, name)]
        yield from _kept_layers(rule, f"inputs of {rule.activations} bits", told)


def _is_int8_in_file(graph: Graph, name: str) -> bool:
    """Return whether the model file stores a tensor as int8."""
    given = graph.given_params(name)
    return given is not None and given.element_type == INT8


def _weight_widths_of_file(
    of_file: Sequence[QuantizedNode], rules: Sequence[LayerRule]
) -> Iterator[KeptOfFile]:
    """Yield weights of the model file whose bits differ from a rule: more, or fewer than the 16
    that the rule sets."""
    for rule in (r for r in rules if r.weight_bits is not None):
        mine = [s for s in of_file if weight_rule(rules, s.node) is rule]
        kept = [s.node for s in mine if not _has_bits(s, rule.weight_bits or INT8.bits)]
        yield from _kept_layers(rule, f"weights of {rule.weight_bits} bits", map(_layer_name, kept))


def _fixed_scales_of_file(
    graph: Graph, of_file: Sequence[QuantizedNode], rules: Sequence[LayerRule]
) -> Iterator[KeptOfFile]:
    """Yield scales of the model file that a rule cannot change: per-channel weights, ranges of
    layer results."""
    for rule in rules:
        if rule.weights == "per_tensor":
            scaled = [step.node for step in of_file if rule.matches(step.node)]
            yield from _kept_layers(rule, "one scale for weights", map(_layer_name, scaled))
        if rule.observer is not None and not rule.is_pattern:
            named = filter(rule.matches, graph.nodes)
            stated = (node for node in named if graph.given(node.name) is not None)
            yield from _kept_layers(rule, "ranges of results by a method", map(_layer_name, stated))


def _layer_name(node: Node) -> str:
    module_path_in_model = next((origin.path for origin in node.origin if origin.path), "")
    return f"{node.op} {module_path_in_model}".rstrip()


def _kept_layers(rule: LayerRule, asked: str, named: Iterable[str]) -> Iterator[KeptOfFile]:
    if layers := list(dict.fromkeys(named)):
        yield KeptOfFile(rule, asked, layers)


def _has_bits(step: QuantizedNode, bits: int) -> bool:
    """Return whether weights have the requested bits, or fewer if the request is below 16."""
    return step.weight_bits == bits if bits == WIDE_BITS else step.weight_bits <= bits


def _matching_int8_inputs(
    graph: Graph, params: Mapping[str, QuantParams], rule: LayerRule
) -> list[str]:
    """Return the int8 inputs that a rule matches, except those for which the file specifies
    parameters."""
    asked = [name for name in graph.inputs if rule.matches_input(graph, name)]
    free = [name for name in asked if graph.given(name) is None]
    return [named_input(name) for name in free if params[name].element_type == INT8]


def _matching_int8_layers(
    graph: Graph, params: Mapping[str, QuantParams], rule: LayerRule
) -> list[str]:
    """Return the int8 layers that a rule matches and that compute; if there are none, those that
    move data."""
    asked = [n for n in filter(rule.matches, graph.nodes) if _can_be_int8(graph, n)]
    free = [node for node in asked if graph.given(node.name) is None]
    left = [node for node in free if params[node.name].element_type == INT8]
    computed = [node for node in left if not OPS[node.op].is_data_movement] or left
    return list(dict.fromkeys(map(_layer_name, computed)))


def _can_be_int8(graph: Graph, node: Node) -> bool:
    """Return whether a node's results are floats that can be stored as int8."""
    return graph.tensors[node.name].dtype == "float32" and not kernel_formats.always_writes(
        node.op, INT16
    )


def wide_weights(
    node: Node,
    shapes: Sequence[Shape],
    out: Shape,
    rules: Sequence[LayerRule],
    result: ElementType,
) -> int:
    """Return the storage bits of a layer's weights, before low-bit rounding: 8 or 16.

    result   element type of the layer's results
    Errors: E244 if a rule sets 16 bits for a layer without such a kernel.
    """
    op, rule = OPS[node.op], weight_rule(rules, node)
    if not op.weights.at or rule is None or rule.weight_bits != WIDE_BITS:
        return INT8.bits
    is_able = kernel_formats.may_weigh(node, WIDE_BITS, shapes, out)
    if rule.is_pattern and not (is_able and (result == INT16 or not op.weights.multiply_result)):
        return INT8.bits
    if not is_able:
        raise _missing_kernel_error(rule, node, "weights", ())
    wide_results = any(r.activations == WIDE_BITS and r.matches(node) for r in rules)
    if op.weights.multiply_result and not wide_results:
        raise MyoedgeError(
            "E244",
            f'[quant] "{rule.pattern}" sets 16-bit weights for {node.where}',
            {"needs": "16-bit results, because the weights multiply them", "has": "8 bits"},
            [f"[quant] {toml_text(rule.pattern)} = {{ activations = 16, weights = 16 }}"],
        )
    return WIDE_BITS


def _missing_kernel_error(
    rule: LayerRule, node: Node, what: str, able: Sequence[str]
) -> MyoedgeError:
    tries = [f"[quant] {layer_key(path)} = {{ activations = 16 }}" for path in able[:1]]
    return MyoedgeError(
        "E244",
        f'[quant] "{rule.pattern}" sets 16-bit {what} for {node.where}',
        {
            "needs": f"16-bit kernels of {node.op} and of the readers of its results",
            "has": "8-bit kernels",
        },
        [*tries, "a pattern of other layers; `myoedge ops --md` lists 16-bit kernels"],
    )
