# SPDX-License-Identifier: Apache-2.0
"""Functionalisation of in-place calls on tensors whose memory is not shared, such as
nn.ReLU(inplace=True) or x += y; torch traces the other in-place calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# torch decomposes these into other calls, the last of which allocates its result.
GIVES_ANEW = frozenset(
    f"aten.{name}"
    for name in (
        "batch_norm", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
        "group_norm", "instance_norm", "layer_norm", "linear", "matmul", "max_pool1d", "max_pool2d",
    )
)  # fmt: skip

DROPOUTS = tuple(f"aten.{name}dropout.default" for name in ("", "feature_", "alpha_"))


def writes(node: Any) -> bool:
    """Return whether a call writes to one of its operands; detach_ does not."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable and schema.name != "aten::detach_"


def functionalize(program: torch.export.ExportedProgram) -> None:
    """Replace in-place calls by functional ones, except on inputs and on tensors that may share
    memory."""
    order = {node: at for at, node in enumerate(program.graph.nodes)}
    written = [node for node in order if writes(node)]
    for node in order if written else ():
        if str(node.target) in DROPOUTS:  # their result is their input, also in torch
            node.replace_all_uses_with(node.args[0])
            program.graph_signature.replace_all_uses(node.name, node.args[0].name)
            program.graph.erase_node(node)
    for node in written:
        _replace_by_functional(program, node, order)


def _replace_by_functional(program: Any, node: Any, order: dict[Any, int]) -> None:
    """Replace an in-place call by its functional variant, whose result later calls read, if no
    other live tensor shares the memory that it writes, and all operands have the same type."""
    target = _functional_variant(node.target)
    if target is None:
        return
    written = node.args[0]
    before = [user for user in written.users if order[user] < order[node]]
    types = {getattr(read.meta.get("val"), "dtype", None) for read in node.all_input_nodes}
    if len(types) != 1 or not all(map(_allocates_result, (written, *before))):
        return
    name, node.target = node.name, target
    written.replace_all_uses_with(node, lambda user: order[user] > order[node])
    node._rename(target.overloadpacket.__name__)
    program.graph_signature.replace_all_uses(name, node.name)


def _functional_variant(target: Any) -> Any:
    """Return the functional variant of an in-place call, aten.add.Tensor for aten.add_.Tensor; None
    if it has none."""
    import torch

    name = target.overloadpacket.__name__.removesuffix("_")
    anew = getattr(getattr(torch.ops.aten, name, None), target._overloadname, None)
    if target.namespace != "aten" or anew is None or anew._schema.is_mutable:
        return None
    arguments = [[a.name for a in t._schema.arguments] for t in (target, anew)]
    return anew if arguments[0] == arguments[1] else None


def _allocates_result(node: Any) -> bool:
    """Return whether a call's result has memory of its own, according to its schema."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or any(given.alias_info is not None for given in schema.returns):
        return False
    return str(node.target).rpartition(".")[0] in GIVES_ANEW or not node.target._can_decompose()
