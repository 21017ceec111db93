# SPDX-License-Identifier: Apache-2.0
"""Nodes of an exported program: origin, arguments, shapes, types, and dependencies.

Normalisation to unit length, x / max(|x|, eps), is recognised as one operation, because it imports
as an RMS norm.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.sources import source_of_trace
from myoedge.frontend.torch.known_calls import KnownCall
from myoedge.frontend.torch.program import NeedsTorch, StoredTensor
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.operators.import_rows import Arguments
from myoedge.operators.norm.import_rows import EPS_MOST

# Checks of torch that have no result.
HARMLESS = ("aten._assert_tensor_metadata.default", "aten._assert_async.msg")
LENGTHS = ("aten.linalg_vector_norm.default", "aten.norm.ScalarOpt_dim")
LIMITS = ("aten.clamp_min.default", "aten.clamp.default")
SPREADS = ("aten.expand_as.default", "aten.expand.default")
ONLY_WITH_VALUES = ("aten.fake_quantize_per_tensor_affine.default",)  # results are like operands


def origin_of(node: Any) -> Origin:
    """Return a node's module path and source line: the user's, followed by the library's that it
    calls."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str([*stack.values()][-1][0]) if stack else ""
    source = source_of_trace(str(node.meta.get("stack_trace") or ""))
    return Origin(path.removeprefix("L['self'].").removeprefix("L['self']"), source)


def module_class_of(node: Any) -> str:
    """Return the qualified class name of the innermost module that makes a call; "" if unknown."""
    stack = [*(node.meta.get("nn_module_stack") or {}).values()]
    named = stack[-1][1] if stack else ""
    return named if isinstance(named, str) else f"{named.__module__}.{named.__qualname__}"


def target_of(node: Any) -> str:
    """Return the name of a node's call; for getitem, of the call whose result it selects."""
    return str((node.args[0] if node.target is operator.getitem else node).target)


def arguments_of(node: Any) -> dict[str, Any]:
    """Return a call's arguments by the names in its schema; {} for a node that is no operator
    call."""
    if isinstance(node.target, KnownCall):
        return {**node.target.defaults, **node.kwargs}
    schema = getattr(node.target, "_schema", None)
    bound: dict[str, Any] = {}
    for position, argument in enumerate(() if schema is None else schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        given = node.args[position] if position < len(node.args) else default
        bound[argument.name] = node.kwargs.get(argument.name, given)
    return bound


def static(shape: Iterable[Any], name: str) -> tuple[int, ...]:
    """Return a tensor's shape as ints. Errors: E110 for a dynamic axis.

    name   name of the tensor for messages
    """
    sizes = tuple(shape)
    for axis, size in enumerate(sizes):
        if not isinstance(size, int):
            raise MyoedgeError(
                "E110",
                f"axis {axis} of {name} is dynamic",
                {"needs": "static shapes", "has": f"{name} [{', '.join(map(str, sizes))}]"},
                ["export without dynamic_shapes, with an example input of the device's size"],
            )
    return sizes


def type_of(dtype: Any) -> str:
    """Return the name of a dtype: "float32"."""
    return str(dtype).removeprefix("torch.")


def kind_of(node: Any) -> str:
    """Return the kind of numbers of a call's result: "bool", "int", or "float", also for complex
    numbers."""
    dtype = getattr(node.meta.get("val"), "dtype", None)
    if dtype is None or dtype.is_floating_point or dtype.is_complex:
        return "float"
    return "bool" if type_of(dtype) == "bool" else "int"


def gives_complex(node: Any) -> bool:
    """Return whether a call's result is complex."""
    dtype = getattr(node.meta.get("val"), "dtype", None)
    return dtype is not None and bool(dtype.is_complex)


def complex_source(node: Any) -> Any:
    """Return the call that first produces the complex numbers which a call reads."""
    while found := [n for n in node.all_input_nodes if gives_complex(n)]:
        node = found[0]
    return node


def array(tensor: Any) -> Array:
    """Convert a tensor to NumPy: floats of any width to float32, integers unchanged."""
    if isinstance(tensor, StoredTensor):
        return tensor.values
    import torch

    tensor = tensor.detach().to("cpu")
    floats = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    return np.asarray(floats.contiguous().numpy())


@dataclass(frozen=True, slots=True)
class Unit:
    """Operands of x / max(|x|, eps), the division of vectors by their length, found in a program.

    x      node of the vectors
    axis   axis of the vectors' elements
    eps    least length
    """

    x: Any
    axis: int
    eps: float


def unit_of(node: Any) -> Unit | None:
    """Return the operands of a division that normalises vectors to unit length; else None."""
    if _call_target(node) != "aten.div.Tensor":
        return None
    given = arguments_of(node)
    x, eps, length = given["self"], 0.0, given["other"]
    while _call_target(length) in (*LIMITS, *SPREADS):
        given = arguments_of(length)
        least = isinstance(given.get("min"), int | float) and given.get("max") is None
        if _call_target(length) in LIMITS and not least:
            return None
        eps, length = max(eps, given.get("min", 0.0)), given["self"]
    if _call_target(length) not in LENGTHS or arguments_of(length)["self"] is not x:
        return None
    axis = _norm_axis(arguments_of(length))
    return None if axis is None or eps > EPS_MOST else Unit(x, axis, eps)


def _call_target(node: Any) -> str:
    return str(getattr(node, "target", ""))


def _norm_axis(given: Arguments) -> int | None:
    """Return the axis of a Euclidean norm with keepdim; None for several axes or other norms."""
    order, axes = given.get("ord", given.get("p")), given["dim"]
    axes = [axes] if isinstance(axes, int) else axes
    plain = order in (2, None) and given["keepdim"] and given.get("dtype") is None
    has_axis = axes is not None and len(axes) == 1 and given["self"].meta["val"].shape
    return int(axes[0]) if plain and has_axis else None


def without_values(call: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a call with torch on meta tensors (without data).

    The Python implementation that torch.export traces is used if the other one needs values, as
    istft does to check whether windows overlap. Where torch has none, a single value is computed,
    which checks the arguments.
    """
    import torch
    from torch._C import DispatchKey
    from torch._subclasses.fake_tensor import DataDependentOutputException, unset_fake_temporarily

    if str(call) in ONLY_WITH_VALUES:
        with unset_fake_temporarily():
            call(torch.zeros(1), *args[1:], **kwargs)
        return torch.empty_like(args[0])
    try:
        return call(*args, **kwargs)
    except DataDependentOutputException:
        forms = getattr(call, "py_kernels", {})
        if DispatchKey.CompositeImplicitAutograd not in forms:
            raise
        return forms[DispatchKey.CompositeImplicitAutograd](*args, **kwargs)


# --- decomposition of calls by torch into calls that are supported --------------------------------

DIMENSIONS = ("dim", "dims", "dimension", "source")  # arguments that count those of the operand
WRITTEN_OUT = frozenset(
    f"aten.{name}"
    for name in (
        "addcdiv", "addcmul", "addmv", "addr", "atleast_1d", "atleast_2d", "atleast_3d",
        "broadcast_tensors", "channel_shuffle", "column_stack", "count_nonzero", "cross", "deg2rad",
        "diag_embed", "diff", "dist", "dsplit", "dstack", "fliplr", "flipud", "hsplit", "hstack",
        "huber_loss", "index_copy", "index_fill", "inner", "kron", "ldexp", "lerp", "linalg_cross",
        "linalg_multi_dot", "linalg_vecdot", "logaddexp", "logaddexp2", "logit", "meshgrid",
        "mse_loss", "nansum", "outer", "pairwise_distance", "pixel_shuffle", "pixel_unshuffle",
        "rad2deg", "renorm", "rot90", "row_stack", "smooth_l1_loss", "special_entr",
        "special_expit", "special_logit", "sum_to_size", "tensordot", "trapezoid", "unsafe_chunk",
        "unsafe_split", "unsafe_split_with_sizes", "vsplit", "vstack",
    )
)  # fmt: skip


def is_written_out(target: Any) -> bool:
    """Return whether any overload of a call is decomposed into basic calls at import."""
    return str(target).rpartition(".")[0] in WRITTEN_OUT


def counts_none(node: Any) -> bool:
    """Return whether a call names dimensions of a tensor without any, as torch allows: 0 and -1
    are that of a row of one element."""
    given = arguments_of(node)
    operand = getattr([*given.values(), None][0], "meta", {}).get("val")
    named = [given[name] for name in DIMENSIONS if name in given]
    return getattr(operand, "shape", None) == () and bool(named) and named[0] != []


def written_out(node: Any) -> Any:
    """Return torch's decomposition of a call as a graph, whose placeholders are the operands; for
    dimensions of a tensor without any, the same call of rows."""
    if isinstance(node.target, KnownCall):
        raise NeedsTorch(f"{node.target} of a tensor without dimensions")
    from torch._decomp import get_decompositions
    from torch.fx import map_arg
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils._pytree import tree_map

    read, of_rows = node.all_input_nodes, counts_none(node)

    def call(*given: Any) -> Any:
        rows = [x.reshape(x.shape or (1,)) for x in given] if of_rows else given
        named = dict(zip(read, rows, strict=True))
        args, kwargs = map_arg((node.args, node.kwargs), named.__getitem__)
        found = node.target(*args, **kwargs)
        return tree_map(_repeat_for_results, found, node.meta["val"]) if of_rows else found

    table: Any = get_decompositions([node.target] if is_written_out(node.target) else [])
    return make_fx(call, decomposition_table=table)(*(n.meta["val"] for n in read)).graph


def _repeat_for_results(y: Any, known: Any) -> Any:
    return y.reshape(known.shape)
