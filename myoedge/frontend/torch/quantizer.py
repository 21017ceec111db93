# SPDX-License-Identifier: Apache-2.0
"""GAP9Quantizer for torchao's PT2E flow: annotates an exported network with the quantisation that a
build uses. Only imported with torchao installed.

Each quantised tensor is annotated at the call that computes it; results of data movement share the
annotation of their operand.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    Quantizer,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch import quantizer_specs as specs
from myoedge.frontend.torch.quantized_tensors import (
    TensorGroup,
    paths_of,
    recurrent_weights,
    source,
    tensor_groups,
    weights_of,
)

BITS = {"activations": (8, 16), "weights": (*range(2, 9), 16)}
Rules = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class LayerBits:
    """Bits of a layer's quantised tensors.

    activations   bits of results: 8 or 16
    weights       bits of weights: 2 to 8, or 16
    """

    activations: int = 8
    weights: int = 8


class GAP9Quantizer(Quantizer):
    """Quantizer for torchao's prepare_pt2e and prepare_qat_pt2e with the quantisation of a build.

    Activations are int8 with a scale and zero point per tensor, weights int8 within +-127 with a
    scale per output channel, biases int32, residual streams int16; batch norm and ReLU after a
    convolution are fused with it; a softmax and hidden states have the scales that their operators
    fix.

    layers   bits by module-path pattern; later patterns override earlier ones: {"blocks.*":
             {"weights": 4}, "head": {"activations": 16, "weights": 16}}; weights have 2 to 8 or 16
             bits, results (and inputs, by name) 8 or 16
    is_qat   for prepare_qat_pt2e: activation ranges are moving averages over batches instead of
             ranges over all samples, as in torchao's own quantizers
    Errors: E232 impossible bits; E233 a pattern that matches no layer, raised by `annotate`.
    """

    def __init__(self, layers: Rules | None = None, *, is_qat: bool = False) -> None:
        self._layers = {
            pattern: _requested_bits(pattern, row) for pattern, row in (layers or {}).items()
        }
        self._is_qat = is_qat

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate the nodes of a model in place and return it."""
        groups = tensor_groups(model.graph)
        self._check_patterns(groups, model.graph.nodes)
        for group in groups:
            self._annotate_group(group)
        for node in model.graph.nodes:
            if node.op == "call_function":
                self._annotate_weights(node)
        return model

    def validate(self, model: GraphModule) -> None:
        """Do nothing: torchao requires it; unsupported operators are reported at the build."""

    def _annotate_group(self, group: TensorGroup) -> None:
        first, *others = group.nodes
        bits = max(self._requested_bits(paths_of(node)).activations for node in group.nodes)
        if group.fixed is not None:
            spec = specs.fixed(group.fixed)
        else:
            bits = 16 if group.residual else bits
            spec = specs.activation(bits, symmetric=group.symmetric, is_qat=self._is_qat)
        _annotation_of(first).output_qspec = spec
        for node in others:
            _annotation_of(node).output_qspec = SharedQuantizationSpec(first)

    def _annotate_weights(self, node: Node) -> None:
        bits, found = self._requested_bits(paths_of(node)).weights, weights_of(node)
        for matrix in recurrent_weights(node):
            asked = _annotation_of(node).input_qspec_map
            asked[matrix] = specs.weight(bits, 0, is_qat=self._is_qat)
        if found is None:
            return
        asked, x = _annotation_of(node).input_qspec_map, source(node.args[0])
        is_quantized = _annotation_of(x).output_qspec is not None
        # torchao identifies operand, weights and bias by their order
        asked[node.args[0]] = SharedQuantizationSpec(x) if is_quantized else None
        asked[found.node] = specs.weight(bits, found.axis, is_qat=self._is_qat)
        if found.bias is not None and is_quantized:
            asked[found.bias] = specs.bias(x, (found.node, node))

    def _requested_bits(self, paths: Iterable[str]) -> LayerBits:
        paths, bits = [*paths], LayerBits()
        for pattern, row in self._layers.items():
            if any(fnmatch.fnmatchcase(path, pattern) for path in paths):
                bits = row
        return bits

    def _check_patterns(self, groups: Iterable[TensorGroup], nodes: Iterable[Node]) -> None:
        tensors = (*(node for group in groups for node in group.nodes), *nodes)
        paths = {path for node in tensors for path in paths_of(node) if path}
        for pattern in self._layers:
            if not fnmatch.filter(paths, pattern):
                facts = {"has": ", ".join(sorted(paths))}
                raise MyoedgeError("E233", f'"{pattern}" matches no layer', facts)


def _annotation_of(node: Any) -> QuantizationAnnotation:
    made = node.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation())
    made._annotated = True
    return made


def _requested_bits(pattern: str, row: Mapping[str, int]) -> LayerBits:
    """Parse a row of `layers`. Errors: E232."""
    known = {field.name for field in fields(LayerBits)}
    for name, bits in row.items():
        if name not in known or bits not in BITS[name]:
            needs = "; ".join(f"{key} of {', '.join(map(str, BITS[key]))}" for key in BITS)
            facts = {"needs": needs, "has": f"{name} = {bits}"}
            raise MyoedgeError("E232", f'impossible bits for "{pattern}"', facts)
    return LayerBits(**row)
