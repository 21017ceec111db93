# SPDX-License-Identifier: Apache-2.0
"""Rules that make one operator out of several."""

from __future__ import annotations

from dataclasses import replace

from myoedge.graph.ir import PRE, Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule
from myoedge.numerics.pointwise import Chain, bounds
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.matching import feeds_only, joined, made_by


def merge_tables(graph: Graph, node: Node) -> Rewrite | None:
    """g(f(x)) is one function of one number."""
    before = made_by(graph, node.inputs[0], "table") if node.op == "table" else None
    if before is None or not feeds_only(graph, before.name, node):
        return None
    chain = (*before.attrs["chain"], *node.attrs["chain"])
    origin = joined(before, node)
    return GraphBuilder(graph, node).last("table", before.inputs[0], chain=chain, origin=origin)


def one_number(graph: Graph, node: Node) -> Rewrite | None:
    """The product of two functions of the same number is one: GELU as exporters write it out."""
    if node.op != "mul" or "act" in node.attrs:
        return None
    found = [_function_of(graph, name) for name in node.inputs]
    (x, first), (other, second) = found
    if x != other or graph.is_const(x) or not (first or second):
        return None
    return GraphBuilder(graph, node).last("table", x, chain=(("product", first, second),))


def _function_of(graph: Graph, name: str) -> tuple[str, Chain]:
    """(number, functions applied to it)"""
    table = made_by(graph, name, "table")
    return (name, ()) if table is None else (table.inputs[0], table.attrs["chain"])


def fuse_activation(graph: Graph, node: Node) -> Rewrite | None:
    """An operator that requantises takes the activation behind it along: limits, or a table."""
    producer = graph.producer.get(node.inputs[0]) if node.op == "table" else None
    if producer is None or not OPS[producer.op].epilogue or "act" in producer.attrs:
        return None
    if not feeds_only(graph, producer.name, node):
        return None
    attrs = {**producer.attrs, "act": node.attrs["chain"]}
    change = GraphBuilder(graph, node).last(
        producer.op, *producer.inputs, **attrs, origin=joined(producer, node)
    )
    before = graph.quant_params.get(producer.name)
    return change if before is None else replace(change, quant_params={node.name + PRE: before})


SQUARES: tuple[Chain, ...] = ((("square",),), (("pow", 2.0),))
ROOTS = (("sqrt",), ("pow", 0.5))


def magnitude(graph: Graph, node: Node) -> Rewrite | None:
    """sqrt(a^2 + b^2), with squares that nobody else reads: they would need twice the bits.

    Before functions go into what computes a and b: a square is not seen there.
    """
    if node.op != "table" or node.attrs["chain"][0] not in ROOTS:
        return None
    total = made_by(graph, node.inputs[0], "add")
    if total is None or not feeds_only(graph, total.name, node):
        return None
    squares = [found for name in total.inputs if (found := _square(graph, name, total)) is not None]
    if len(squares) < 2:
        return None
    a, b = (square.inputs[0] for square in squares)
    if graph.shape(a) != graph.shape(b):
        return None
    patch, (_, *rest) = GraphBuilder(graph, node), node.attrs["chain"]
    origin = joined(*squares, total, node)
    if not rest:
        return patch.last("magnitude", a, b, origin=origin)
    return patch.last("table", patch.add("magnitude", a, b, origin=origin), chain=tuple(rest))


def _square(graph: Graph, name: str, reader: Node) -> Node | None:
    """A square that `reader` alone reads: a function, or a product of a tensor with itself."""
    made = made_by(graph, name, "table", "mul")
    if made is None or not feeds_only(graph, made.name, reader):
        return None
    if made.op == "mul":
        return made if made.inputs[0] == made.inputs[1] else None
    return made if made.attrs["chain"] in SQUARES else None


def clamp_before_max(graph: Graph, node: Node) -> Rewrite | None:
    """clamp(max_pool(x)) = max_pool(clamp(x)): the clamp is then fused where it costs nothing."""
    if node.op != "table" or bounds(node.attrs["chain"]) is None:
        return None
    pool = made_by(graph, node.inputs[0], "max_pool")
    if pool is None or not feeds_only(graph, pool.name, node):
        return None
    producer = graph.producer.get(pool.inputs[0])
    if producer is None or not OPS[producer.op].epilogue or "act" in producer.attrs:
        return None
    if not feeds_only(graph, producer.name, pool):
        return None
    patch = GraphBuilder(graph, node)
    clamped = patch.add("table", pool.inputs[0], **node.attrs)
    return patch.last("max_pool", clamped, **pool.attrs, origin=pool.origin)


def fuse_padding(graph: Graph, node: Node) -> Rewrite | None:
    """Zeros around the spatial axes become a convolution's own padding, also before a transpose."""
    if node.op != "conv":
        return None
    turned = made_by(graph, node.inputs[0], "transpose")
    pad = made_by(graph, turned.inputs[0] if turned else node.inputs[0], "pad")
    if pad is None or pad.attrs["value"] != 0.0:
        return None
    order = turned.attrs["perm"] if turned else range(len(pad.attrs["pads"]))
    outside, *spatial, channels = (pad.attrs["pads"][axis] for axis in order)
    if any((*outside, *channels)):
        return None
    both = zip(spatial, node.attrs["pads"], strict=True)
    attrs = {**node.attrs, "pads": tuple((a[0] + b[0], a[1] + b[1]) for a, b in both)}
    patch, x = GraphBuilder(graph, node), pad.inputs[0]
    if turned:
        x = patch.add("transpose", x, **turned.attrs, origin=turned.origin)
    return patch.last("conv", x, *node.inputs[1:], **attrs, origin=joined(pad, node))


def cut_into_padding(graph: Graph, node: Node) -> Rewrite | None:
    """slice(conv(x)) that takes off what padding made: less padding, as in causal convolutions.

    Only while no padding becomes negative, and where nobody reads what is cut off.
    """
    conv = made_by(graph, node.inputs[0], "conv") if node.op == "slice" else None
    if conv is None or "act" in conv.attrs or not feeds_only(graph, conv.name, node):
        return None
    out = graph.shape(conv.name)
    kept = [*zip(node.attrs["cuts"], out, strict=True)]
    if any(step != 1 for (_, _, step), _ in kept) or any(
        (start, stop) != (0, n) for (start, stop, _), n in (kept[0], kept[-1])
    ):
        return None
    spatial = zip(kept[1:-1], conv.attrs["pads"], conv.attrs["stride"], strict=True)
    pads = tuple(
        (before - start * stride, after - (n - stop) * stride)
        for ((start, stop, _), n), (before, after), stride in spatial
    )
    if min(min(pair) for pair in pads) < 0:
        return None
    attrs, origin = {**conv.attrs, "pads": pads}, joined(conv, node)
    return GraphBuilder(graph, node).last("conv", *conv.inputs, **attrs, origin=origin)


def drop_softmax_before_symbols(graph: Graph, node: Node) -> Rewrite | None:
    """Symbols need the order of a frame's classes alone, as the index of the largest does."""
    if node.op != "ctc_greedy":
        return None
    shaped = made_by(graph, node.inputs[0], "reshape")
    soft = made_by(graph, shaped.inputs[0] if shaped else node.inputs[0], "softmax", "log_softmax")
    if soft is None or soft.attrs["axis"] != len(graph.shape(soft.name)) - 1:
        return None
    patch, x = GraphBuilder(graph, node), soft.inputs[0]
    if shaped is not None:
        x = patch.add("reshape", x, **shaped.attrs, origin=shaped.origin)
    return patch.last("ctc_greedy", x, **node.attrs, origin=joined(soft, node))


def drop_softmax_before_argmax(graph: Graph, node: Node) -> Rewrite | None:
    """softmax keeps the order, so that the index of the largest is the same without it."""
    if node.op != "argmax":
        return None
    soft = made_by(graph, node.inputs[0], "softmax", "log_softmax")
    if soft is None or soft.attrs["axis"] != node.attrs["axis"]:
        return None
    origin = joined(soft, node)
    return GraphBuilder(graph, node).last("argmax", soft.inputs[0], **node.attrs, origin=origin)


FUSE: tuple[Rule, ...] = (
    merge_tables,
    one_number,
    drop_softmax_before_argmax,
    drop_softmax_before_symbols,
    clamp_before_max,
    fuse_activation,
)
