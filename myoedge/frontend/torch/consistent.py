# SPDX-License-Identifier: Apache-2.0
"""Check of the shapes and types recorded in a program, by running every call on meta tensors;
import of quantised networks.

Calls of quantized_decomposed are written by convert_pt2e of torchao or torch; torchao's own calls
are converted to these. A quantised tensor becomes a float tensor with the dequantised values. A
constant keeps its integers in addition.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.operator_table import ATEN_FOLDED, IMPORT, OF_INTEGERS
from myoedge.frontend.refusals import depends_on_values, short
from myoedge.frontend.torch.known_calls import KnownCall
from myoedge.frontend.torch.traced import (
    arguments_of,
    is_written_out,
    origin_of,
    target_of,
    type_of,
    without_values,
)
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.operators.fake_quantize import rounded, rounding_of
from myoedge.operators.graph_builder import GraphBuilder, Unsupported

if TYPE_CHECKING:
    import torch

NAMESPACE = "quantized_decomposed."
QUANTIZE, DEQUANTIZE = ("quantize_per_tensor", "quantize_per_channel"), "dequantize_per_"
STATIC = (
    "quantise statically: scales from calibration or training, is_dynamic=False in every "
    "QuantizationSpec, as myoedge.GAP9Quantizer has it"
)


def is_quantizer(node: Any) -> bool:
    """Return whether a call quantises, dequantises, or computes quantisation scales."""
    return str(node.target).startswith((NAMESPACE, "torchao."))


def is_rounding(node: Any) -> bool:
    """Return whether a call quantises or dequantises."""
    return _node_name(node).startswith((*QUANTIZE, DEQUANTIZE))


def dequantized(node: Any) -> Any:
    """Return the tensor that a dequantising call reads; None for other calls."""
    return node.args[0] if _node_name(node).startswith(DEQUANTIZE) else None


def quantizer(builder: GraphBuilder, values: Mapping[str, Any], node: Any) -> str:
    """Import a call that quantises or dequantises; return the name of its result.

    Errors: Unsupported for computed scales, and per-channel scales of activations.
    """
    if "choose_qparams" in str(node.target):
        raise Unsupported("scales that are computed from each input", STATIC)
    if not is_rounding(node):
        raise Unsupported("a scale for every block", "use one scale a tensor or a channel")
    given = _constant_arguments(builder, values, node)
    x = values[node.args[0].name]
    scale, zero = _constant_numbers(given, "scale"), _constant_numbers(given, "zero_point")
    limits = int(given["quant_min"]), int(given["quant_max"])
    if x in builder.constants:
        stated = _constant_format(builder.array(x), scale, zero, limits, int(given.get("axis", 0)))
        quantizes = _node_name(node).startswith(QUANTIZE)
        return (_quantise_constant if quantizes else _add_dequantized)(
            builder, builder.array(x), stated
        )
    if _node_name(node).startswith(QUANTIZE):
        return rounded(builder, x, scale, zero, *limits)
    before = rounding_of(builder, x)
    step = float(np.float32(scale[0]))
    if before is None or (before.attrs["scale"], before.attrs["zero_point"]) != (step, zero[0]):
        raise Unsupported("integers that are read with another scale than they were written with")
    return str(x)


def _node_name(node: Any) -> str:
    name = str(node.target)
    return name.removeprefix(NAMESPACE) if name.startswith(NAMESPACE) else ""


def _constant_arguments(
    builder: GraphBuilder, values: Mapping[str, Any], node: Any
) -> dict[str, Any]:
    """Return the arguments of a call by name; for a constant tensor, its values."""
    given = {}
    for name, x in arguments_of(node).items():
        given[name] = x
        if hasattr(x, "all_input_nodes"):
            read = values[x.name]
            given[name] = builder.find_array(read) if isinstance(read, str) else read
    return given


def _constant_numbers(given: Mapping[str, Any], name: str) -> Array:
    """Return a call's constant scales or zero points. Errors: Unsupported if they are computed."""
    key = next((key for key in given if key in (name, f"{name}s")), "")
    if given.get(key) is None:
        if name == "zero_point":
            return np.zeros(1, np.int64)  # zero points of per_channel calls may be None
        raise Unsupported("scales that are computed from each input", STATIC)
    return np.asarray(given[key]).reshape(-1)


def _constant_format(
    q: Array, scale: Array, zero: Array, limits: tuple[int, int], axis: int
) -> ConstantFormat:
    """Return the quantisation format of a constant. Errors: ValueError, Unsupported."""
    scales = scale.astype(np.float32).astype(np.float64)
    if not (np.all(scales > 0) and np.isfinite(scales).all()):
        raise Unsupported("a scale that is not positive")
    points = np.broadcast_to(zero, scales.shape)
    return ConstantFormat(tuple(scales.tolist()), tuple(map(int, points)), *limits, axis % q.ndim)


def _add_dequantized(builder: GraphBuilder, q: Array, stated: ConstantFormat) -> str:
    is_bias = stated.high - stated.low >= 1 << 16  # a bias, which has the steps of its product
    return builder.constant(stated.real(q), None if is_bias else stated)


def _quantise_constant(builder: GraphBuilder, x: Array, stated: ConstantFormat) -> str:
    """Quantise a float constant that the program quantises at run time (fold_quantize=False);
    return the name of the constant with its integers."""
    axes = [-1 if axis == stated.axis and len(stated.scale) > 1 else 1 for axis in range(x.ndim)]
    scale, zero = (np.reshape(n, axes) for n in (stated.scale, stated.zero_point))
    steps = np.rint(x.astype(np.float32) * (1.0 / scale.astype(np.float32))) + zero
    return builder.constant(np.clip(steps, stated.low, stated.high).astype(np.int64))


UNBACKED = re.compile(r"\bu\d+\b")  # torch's name of a data-dependent size
EXPORT_AGAIN = ["export the model again, with this version of torch"]


def verify_call_metadata(program: torch.export.ExportedProgram) -> None:
    """Check the shapes and types that a program records for each call, by running the call on meta
    tensors.

    Errors: E109 if they differ from torch's.
    """
    import torch

    known: dict[str, list[str]] = {}
    given = {*program.graph_signature.user_inputs}
    with torch.no_grad():
        for node in program.graph.nodes:
            if node.op == "call_function" and (node.target is operator.getitem or is_known(node)):
                _refuse_values_in_shape(node, given)
                key, stated = _call_key(node), described(node.meta.get("val"))
                made = known[key] if key in known else described(_meta_result(node))
                known[key] = made
                if made and made != stated:  # results that are no tensors are refused elsewhere
                    facts = {"needs": ", ".join(made), "has": ", ".join(stated) or "no tensor"}
                    raise _inconsistent_metadata_error(node, facts)


def _refuse_values_in_shape(node: Any, given: Set[Any]) -> None:
    """Raise E110 for a result whose shape depends on values.

    given   names of the network's inputs
    """
    if not _has_data_dependent_shape(node):
        return
    while before := next(filter(_has_data_dependent_shape, node.all_input_nodes), None):
        node = before
    is_constant = not _depends_on_inputs(node.all_input_nodes[-1:], given)  # the mask comes last
    raise depends_on_values(target_of(node), str(origin_of(node)), is_constant=is_constant)


def _has_data_dependent_shape(node: Any) -> bool:
    sizes = (str(size) for x in _tensors_in(node.meta.get("val")) for size in x.shape)
    return any(UNBACKED.search(size) for size in sizes)


def _depends_on_inputs(nodes: Sequence[Any], given: Set[Any]) -> bool:
    """Return whether any of these nodes' values depends on an input of the network."""
    pending, seen = [*nodes], {*nodes}
    while pending:
        node = pending.pop()
        if node.name in given:
            return True
        pending += {*node.all_input_nodes} - seen
        seen.update(node.all_input_nodes)
    return False


def _call_key(node: Any) -> str:
    """Return a key that is equal for calls with equal targets, arguments and operand types."""
    from torch.fx import map_arg

    def layout(read: Any) -> list[str]:
        return [f"{x.dtype} {x.shape} {x.stride()}" for x in _tensors_in(read.meta.get("val"))]

    args = node.args
    if by_element(node.target):  # shapes follow from the operands, whatever the values
        args = tuple(float if type(x) is float else x for x in args)
    return f"{node.target} {map_arg((args, node.kwargs), layout)}"


def _meta_result(node: Any) -> Any:
    """Return the result of a node's call on meta tensors, computed by torch from the operands'
    recorded types."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx import map_arg

    given = map_arg((node.args, node.kwargs), lambda read: read.meta["val"])
    modes = (x.fake_mode for x in _tensors_in(node.meta.get("val")) if hasattr(x, "fake_mode"))
    try:
        with next(modes, None) or FakeTensorMode(allow_non_fake_inputs=True):
            return without_values(node.target, given[0], given[1])
    except Exception as error:  # torch may raise anything on a crafted call
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _inconsistent_metadata_error(node, {"cause": cause}) from None


def described(value: Any) -> list[str]:
    """Return type and shape as text, of a tensor or of each result of a call."""
    return [f"{type_of(x.dtype)} {[*x.shape]}" for x in _tensors_in(value)]


def _tensors_in(value: Any) -> Iterable[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)
    elif hasattr(value, "shape"):
        yield value


def _inconsistent_metadata_error(node: Any, facts: dict[str, str]) -> MyoedgeError:
    place = str(origin_of(node)) or node.name
    what = f"{short(str(node.target))} at {place} differs from what the graph records"
    return MyoedgeError("E109", what, facts, EXPORT_AGAIN)


def is_known(node: Any) -> bool:
    """Return whether a call is imported, folded or decomposed, so that torch may run it."""
    if isinstance(node.target, KnownCall):
        return True
    target = str(node.target)
    is_called = (
        _is_folded_call(node.target) or by_element(node.target) or is_written_out(node.target)
    )
    return is_called or is_rounding(node) or target in IMPORT or target in OF_INTEGERS


@cache
def _is_folded_call(target: Any) -> bool:
    """Return whether any overload of a call is folded at import and writes to none of its
    operands."""
    schema = getattr(target, "_schema", None)
    name = str(target).rpartition(".")[0] or str(target)
    return schema is not None and not schema.is_mutable and name in ATEN_FOLDED


@cache
def by_element(target: Any) -> bool:
    """Return whether a call is pointwise, such as a comparison, logic or selection; torch tags only
    one overload of a name, and no operators (__or__)."""
    import torch

    packet = getattr(target, "overloadpacket", None)
    if packet is None or target.namespace != "aten" or target._schema.is_mutable:
        return False
    tags = {tag for name in packet.overloads() for tag in getattr(packet, name).tags}
    return torch.Tag.pointwise in tags or packet.__name__.startswith("__")
