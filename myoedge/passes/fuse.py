# SPDX-License-Identifier: Apache-2.0
"""Rules that fuse several operators into one."""

from __future__ import annotations

from dataclasses import replace

from myoedge.graph.ir import PRE, Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule
from myoedge.numerics.pointwise import Chain, bounds
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.matching import feeds_only, joined, made_by


def merge_tables(graph: Graph, node: Node) -> Rewrite | None:
    """g(f(x)) of pointwise functions is one table."""
    producer = made_by(graph, node.inputs[0], "table") if node.op == "table" else None
    if producer is None or not feeds_only(graph, producer.name, node):
        return None
    chain = (*producer.attrs["chain"], *node.attrs["chain"])
    origin = joined(producer, node)
    return GraphBuilder(graph, node).last("table", producer.inputs[0], chain=chain, origin=origin)


def fuse_product(graph: Graph, node: Node) -> Rewrite | None:
    """The product of two functions of one number is one table: GELU as exporters write it out."""
    if node.op != "mul" or "act" in node.attrs:
        return None
    sides = [_function_of(graph, name) for name in node.inputs]
    (x, first), (second_number, second) = sides
    if x != second_number or graph.is_const(x) or not (first or second):
        return None
    return GraphBuilder(graph, node).last("table", x, chain=(("product", first, second),))


def _function_of(graph: Graph, name: str) -> tuple[str, Chain]:
    """(number, functions applied to it)"""
    table = made_by(graph, name, "table")
    return (name, ()) if table is None else (table.inputs[0], table.attrs["chain"])


def fuse_activation(graph: Graph, node: Node) -> Rewrite | None:
    """An activation is fused into the operator before it that requantises, as limits or a table."""
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
    """sqrt(a^2 + b^2) of squares without other readers is one operator: a square would need twice
    the bits.

    Before functions go into what computes a and b: a square is not seen there.
    """
    if node.op != "table" or node.attrs["chain"][0] not in ROOTS:
        return None
    total = made_by(graph, node.inputs[0], "add")
    if total is None or not feeds_only(graph, total.name, node):
        return None
    squares = [
        square for name in total.inputs if (square := _square(graph, name, total)) is not None
    ]
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
    """A square that only `reader` reads: a function, or the product of a tensor with itself."""
    producer = made_by(graph, name, "table", "mul")
    if producer is None or not feeds_only(graph, producer.name, reader):
        return None
    if producer.op == "mul":
        return producer if producer.inputs[0] == producer.inputs[1] else None
    return producer if producer.attrs["chain"] in SQUARES else None


def clamp_before_max(graph: Graph, node: Node) -> Rewrite | None:
    """clamp(max_pool(x)) = max_pool(clamp(x)): the clamp can then be fused at no cost."""
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
    """Zero padding of spatial axes becomes the convolution's own, also through a transpose."""
    if node.op != "conv":
        return None
    transpose = made_by(graph, node.inputs[0], "transpose")
    pad = made_by(graph, transpose.inputs[0] if transpose else node.inputs[0], "pad")
    if pad is None or pad.attrs["value"] != 0.0:
        return None
    order = transpose.attrs["perm"] if transpose else range(len(pad.attrs["pads"]))
    batch, *spatial, channels = (pad.attrs["pads"][axis] for axis in order)
    if any((*batch, *channels)):
        return None
    pairs = zip(spatial, node.attrs["pads"], strict=True)
    attrs = {**node.attrs, "pads": tuple((a[0] + b[0], a[1] + b[1]) for a, b in pairs)}
    patch, x = GraphBuilder(graph, node), pad.inputs[0]
    if transpose:
        x = patch.add("transpose", x, **transpose.attrs, origin=transpose.origin)
    return patch.last("conv", x, *node.inputs[1:], **attrs, origin=joined(pad, node))


def slice_into_padding(graph: Graph, node: Node) -> Rewrite | None:
    """slice(conv(x)) that removes results of padding is a conv with less padding, as in causal
    convolutions.

    Only while no padding becomes negative, and where nobody reads what is cut off.
    """
    conv = made_by(graph, node.inputs[0], "conv") if node.op == "slice" else None
    if conv is None or "act" in conv.attrs or not feeds_only(graph, conv.name, node):
        return None
    out = graph.shape(conv.name)
    cuts = [*zip(node.attrs["cuts"], out, strict=True)]
    if any(step != 1 for (_, _, step), _ in cuts) or any(
        (start, stop) != (0, n) for (start, stop, _), n in (cuts[0], cuts[-1])
    ):
        return None
    spatial = zip(cuts[1:-1], conv.attrs["pads"], conv.attrs["stride"], strict=True)
    pads = tuple(
        (before - start * stride, after - (n - stop) * stride)
        for ((start, stop, _), n), (before, after), stride in spatial
    )
    if min(min(pair) for pair in pads) < 0:
        return None
    attrs, origin = {**conv.attrs, "pads": pads}, joined(conv, node)
    return GraphBuilder(graph, node).last("conv", *conv.inputs, **attrs, origin=origin)


def drop_softmax_before_symbols(graph: Graph, node: Node) -> Rewrite | None:
    """A softmax before greedy CTC is dropped: it keeps the order of the classes."""
    if node.op != "ctc_greedy":
        return None
    reshape = made_by(graph, node.inputs[0], "reshape")
    softmax = made_by(
        graph, reshape.inputs[0] if reshape else node.inputs[0], "softmax", "log_softmax"
    )
    if softmax is None or softmax.attrs["axis"] != len(graph.shape(softmax.name)) - 1:
        return None
    patch, x = GraphBuilder(graph, node), softmax.inputs[0]
    if reshape is not None:
        x = patch.add("reshape", x, **reshape.attrs, origin=reshape.origin)
    return patch.last("ctc_greedy", x, **node.attrs, origin=joined(softmax, node))


def drop_softmax_before_argmax(graph: Graph, node: Node) -> Rewrite | None:
    """A softmax before argmax is dropped: it keeps the order of the classes."""
    if node.op != "argmax":
        return None
    softmax = made_by(graph, node.inputs[0], "softmax", "log_softmax")
    if softmax is None or softmax.attrs["axis"] != node.attrs["axis"]:
        return None
    origin = joined(softmax, node)
    return GraphBuilder(graph, node).last("argmax", softmax.inputs[0], **node.attrs, origin=origin)


FUSE: tuple[Rule, ...] = (
    merge_tables,
    fuse_product,
    drop_softmax_before_argmax,
    drop_softmax_before_symbols,
    clamp_before_max,
    fuse_activation,
)
