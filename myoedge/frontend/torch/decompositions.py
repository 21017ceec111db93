# SPDX-License-Identifier: Apache-2.0
"""Decomposition of calls by torch into calls that are supported.

Only the calls listed here are decomposed: large operators with their own import row, such as
attention, stay whole, and a file cannot request other decompositions.
"""

from __future__ import annotations

from typing import Any

from myoedge.frontend.torch.known_calls import KnownCall
from myoedge.frontend.torch.program import NeedsTorch
from myoedge.frontend.torch.traced import arguments_of

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
