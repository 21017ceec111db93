# SPDX-License-Identifier: Apache-2.0
"""Tensors and weights of an exported graph that a build quantises, grouped by shared scale.

Left out are results that are requantised only after a fused operator, such as a convolution's
result before its batch norm or ReLU.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myoedge.frontend.operator_table import CALLS
from myoedge.frontend.torch.traced import HARMLESS, origin_of
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.import_rows import aten_names

FLOATS = {op: calls for op, calls in CALLS.items() if op and OPS[op].result.dtype == "float32"}


# Calls that may import as an operator whose result has another scale than its operand
_RESCALING = {name for op, calls in FLOATS.items() if not OPS[op].same_scale for name in calls}
MOVES = frozenset[str]().union(*FLOATS.values()) - _RESCALING | {*CALLS[""]}
DROPOUTS = frozenset(name for name in CALLS[""] if "dropout" in name)  # they scale in training mode
REQUANTIZE = frozenset(name for op, calls in FLOATS.items() if OPS[op].epilogue for name in calls)
CLAMPS = aten_names("relu relu6 hardtanh clamp clamp_min clamp_max clip")
MAX_POOLS = aten_names("max_pool1d max_pool2d")
NORMS = aten_names("layer_norm rms_norm")
SUMS = aten_names("add.Tensor")
BATCH_NORM = "aten.batch_norm.default"
FILLS = aten_names("masked_fill.Scalar masked_fill.Tensor where.self where.ScalarOther")
SHIFTS = frozenset((*aten_names("add.Tensor sub.Tensor mul.Tensor div.Tensor"), BATCH_NORM))
CONVS, TURNED = aten_names("conv1d conv2d"), aten_names("conv_transpose1d conv_transpose2d.input")
PRODUCTS = aten_names("matmul mm bmm")  # whose right operand may be weights
RECURRENT: Mapping[str, str] = {f"aten.{op}.input": op for op in ("lstm", "gru", "rnn_tanh")}
FIXED = {**dict.fromkeys(aten_names("softmax.int _softmax"), "softmax"), **RECURRENT}
ATTENTION = "aten.scaled_dot_product_attention.default"


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Inputs and results of calls that share one scale and zero point.

    nodes       their nodes, in the graph's order
    fixed       scale and zero point if an operator fixes them; otherwise None
    symmetric   whether an operator requires zero point 0
    residual    whether it is a residual stream, which is int16
    """

    nodes: tuple[Any, ...]
    fixed: QuantParams | None
    symmetric: bool
    residual: bool


@dataclass(frozen=True, slots=True)
class CallWeights:
    """The weights of a call.

    node, bias   nodes of weights and bias
    axis         axis of the output channels
    """

    node: Any
    bias: Any
    axis: int


def tensor_groups(graph: Any) -> list[TensorGroup]:
    """Return the groups of quantised tensors, in the graph's order."""
    tensors = quantized_tensors(graph)
    parent = {node: node for node in tensors}

    def root(node: Any) -> Any:
        while parent[node] is not node:
            node = parent[node]
        return node

    for node in tensors:
        for read in map(source, moved(node)):
            if read in parent:
                parent[root(node)] = root(read)
    groups: dict[Any, list[Any]] = {}
    for node in tensors:
        groups.setdefault(root(node), []).append(node)
    return [_group_of_nodes(nodes) for nodes in groups.values()]


def _group_of_nodes(nodes: Sequence[Any]) -> TensorGroup:
    stated = (_fixed_params(node) for node in nodes)
    return TensorGroup(
        tuple(nodes),
        next((params for params in stated if params is not None), None),
        any(_needs_symmetric(node) for node in nodes),
        all(_is_residual_sum(node) for node in nodes),
    )


def quantized_tensors(graph: Any) -> list[Any]:
    """Return the nodes whose values are quantised: float inputs and results of them."""
    border = {node for node in graph.nodes if node.op == "placeholder"}
    computed, found = {*border}, []
    for node in graph.nodes:
        if computed.isdisjoint((node, *node.all_input_nodes)):
            continue
        computed.add(node)
        if not _is_float(node):
            continue
        if node in border and _is_normalization(reader := _only_reader(node)):
            border.add(reader)  # host normalisation before the quantisation
        elif not _is_fused_into_reader(node) and call_of(node) not in (*DROPOUTS, *HARMLESS):
            found.append(node)
    return found


def weights_of(node: Any) -> CallWeights | None:
    """Return the constant weights of a convolution, a linear layer or a matrix product; None for
    other calls."""
    call, given = call_of(node), [*node.args, None, None]
    if call in PRODUCTS:
        return CallWeights(given[1], None, 1) if _is_parameter(given[1], 2) else None
    if call not in (*CONVS, *TURNED, "aten.linear.default") or not _is_parameter(given[1]):
        return None
    return CallWeights(given[1], given[2], 1 if call in TURNED else 0)


def recurrent_weights(node: Any) -> Iterator[Any]:
    """Yield the weight matrices of a recurrent call; each has a scale per row."""
    lists = (
        (x for x in node.args if isinstance(x, list | tuple)) if call_of(node) in RECURRENT else ()
    )
    return (part for given in lists for part in given if _is_parameter(part, 2))


def paths_of(node: Any) -> Iterator[str]:
    """Yield the module paths of the call that computes a tensor and of the calls that are fused
    with it; for an input, its name."""
    if node.op == "placeholder":
        yield node.name
    while node.op == "call_function":
        yield origin_of(node).path
        node = next((read for read in node.all_input_nodes if _is_fused_into_reader(read)), None)
        if node is None:
            return


def call_of(node: Any) -> str:
    """Return the name of a node's call; in-place calls have the name of their functional form."""
    name, dot, overload = str(node.target).rpartition(".")
    return f"{name.removesuffix('_')}{dot}{overload}"


def moved(node: Any) -> tuple[Any, ...]:
    """Return the operands of a data movement, such as a reshape; () for calls that compute."""
    call = node.args[0] if node.target is operator.getitem else node
    is_move = call.op == "call_function" and call_of(call) in MOVES
    return tuple(filter(_is_float, call.all_input_nodes)) if is_move else ()


def source(node: Any) -> Any:
    """Return the tensor that a chain of dropouts reads; other nodes are returned unchanged."""
    while node.op == "call_function" and call_of(node) in DROPOUTS:
        node = node.args[0]
    return node


def _is_fused_into_reader(node: Any) -> bool:
    """Return whether a call's result is not quantised itself: its only reader is a fused batch norm
    or clamp, whose result is quantised, or a softmax, for which it may be a mask."""
    reader = _only_reader(node)
    if reader is None or node.op != "call_function":
        return False
    call, behind = call_of(node), call_of(reader)
    if FIXED.get(behind) == "softmax":
        return _can_be_mask(node)
    if behind == BATCH_NORM:
        return call in (*CONVS, *TURNED)
    if call in MAX_POOLS:  # it selects the same elements after a clamp
        node = node.args[0]
        return behind in CLAMPS and _only_reader(node) is not None and _is_requantised(node)
    return _is_requantised(node) and (behind in CLAMPS or _is_clamped_pool(reader))


def _can_be_mask(node: Any) -> bool:
    """Return whether a call fills a tensor with a constant, or adds a tensor that is not computed
    from floats."""
    results = [x for x in node.all_input_nodes if _is_float(x) and x.op == "call_function"]
    call = call_of(node)
    return call in FILLS or (call in SUMS and results != node.all_input_nodes)


def _is_clamped_pool(node: Any) -> bool:
    return call_of(node) in MAX_POOLS and _is_fused_into_reader(node)


def _is_requantised(node: Any) -> bool:
    return node.op == "call_function" and call_of(node) in REQUANTIZE


def _is_residual_sum(node: Any) -> bool:
    """Return whether a sum is read only by norms and possibly other sums
    (quantization/formats.py)."""
    readers = [call_of(reader) for reader in node.users]
    norms = [call in NORMS for call in readers]
    sums = all(norm or call in SUMS for norm, call in zip(norms, readers, strict=True))
    return node.op == "call_function" and call_of(node) in SUMS and any(norms) and sums


def _is_normalization(node: Any) -> bool:
    """Return whether a call shifts or scales one tensor by constants, per tensor or per channel."""
    if node is None or call_of(node) not in SHIFTS:
        return False
    others = node.all_input_nodes[1:]
    shapes = [_parameter_value(x).shape for x in others if x.op == "get_attr"]
    of_axis = [shape for shape in shapes if shape.numel() == max(shape, default=1)]
    return len(of_axis) == len(others)


def _fixed_params(node: Any) -> QuantParams | None:
    """Return the scale and zero point that the operator fixes, as for a softmax or hidden states;
    None otherwise."""
    call = node.args[0] if node.target is operator.getitem else node
    op = FIXED.get(call_of(call)) if call.op == "call_function" else None
    is_cell = call is not node and node.args[1] == 2
    fixed = None if op is None or is_cell else OPS[op].result.fixed_params
    return None if fixed is None else fixed({})


def _needs_symmetric(node: Any) -> bool:
    at = OPS["attention"].operands.symmetric
    return any(
        call_of(reader) == ATTENTION and any(reader.args[i] is node for i in at)
        for reader in node.users
        if reader.op == "call_function"
    )


def _only_reader(node: Any) -> Any:
    readers = [reader for reader in node.users if reader.op != "call_module"]  # torch's guards
    return readers[0] if len(readers) == 1 and readers[0].op == "call_function" else None


def _is_float(node: Any) -> bool:
    dtype = getattr(node.meta.get("val"), "dtype", None)
    return dtype is not None and bool(dtype.is_floating_point)


def _is_parameter(node: Any, rank: int | None = None) -> bool:
    """Return whether a node is a float parameter of the module, with `rank` axes if given."""
    if getattr(node, "op", None) != "get_attr":
        return False
    value = _parameter_value(node)
    return bool(value.is_floating_point()) and rank in (None, value.ndim)


def _parameter_value(node: Any) -> Any:
    """Return the parameter or buffer of the module that a get_attr node reads."""
    return operator.attrgetter(node.target)(node.graph.owning_module)
