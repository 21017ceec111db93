# SPDX-License-Identifier: Apache-2.0
"""Patterns that fuse several operators into one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from myoedge.graph.constants import TensorQuant
from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import attempt, found, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, rewrite_pattern
from myoedge.numerics.pointwise import Chain, bounds
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize import carried_params
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.fold import POOLS
from myoedge.passes.forms import ROOTS, before_functions, functions_of, square


@rewrite_pattern("table")
def merge_tables(graph: Graph, node: Node) -> Rewrite:
    """Merge pointwise functions g(f(x)) into one node; f can be x * x if g is no clamp, which is
    free behind a product."""
    producer = writer(graph, node.inputs[0], "table", "mul", reader=node)
    require(producer.op == "table" or bounds(node.attrs["chain"]) is None)
    chain = (*functions_of(producer), *node.attrs["chain"])
    origin = joined_origins(producer, node)
    return GraphBuilder(graph, node).last("table", producer.inputs[0], chain=chain, origin=origin)


TWO = {"mul": "product", "add": "total", "sub": "total", "maximum": "larger"}
MOST_CALLS = 64  # calls in a chain of functions, nested ones included


@rewrite_pattern(*TWO)
def fuse_functions(graph: Graph, node: Node) -> Rewrite:
    """Replace f(x) * g(x), f(x) + g(x), f(x) - g(x) or max(f(x), g(x)) by one pointwise function of
    x: decomposed GELU and softplus, `where` on a comparison."""
    require("act" not in node.attrs, not any(map(graph.is_const, node.inputs)))
    first, second = (dict(_pointwise_chains(graph, name)) for name in node.inputs)
    x = found(next((name for name in first if name in second), None))
    left, right = first[x], second[x]
    require(left or right)
    if node.op == "sub":
        right = (*right, ("affine", -1.0, 0.0))
    chain = ((TWO[node.op], left, right),)
    require(_chain_calls(chain) <= MOST_CALLS)
    return GraphBuilder(graph, node).last("table", x, chain=chain)


def _pointwise_chains(graph: Graph, name: str) -> Iterator[tuple[str, Chain]]:
    """Yield (source, functions): each tensor from which `name` is computed by pointwise functions
    only, nearest first."""
    chain: Chain = ()
    yield name, chain
    while (node := made_by(graph, name, "table", "mul")) is not None:
        if (functions := attempt(functions_of, node)) is None:
            return
        name = node.inputs[0]
        chain = (*functions, *chain)
        yield name, chain


def _chain_calls(chain: Chain) -> int:
    return sum(1 + sum(_chain_calls(p) for p in call[1:] if isinstance(p, tuple)) for call in chain)


@rewrite_pattern("table")
def fuse_activation(graph: Graph, node: Node) -> Rewrite:
    """Fuse an activation into the producer of its input: a clamp as saturation limits, other
    functions as a lookup table."""
    producer = _requantising_producer(graph, node.inputs[0], node)
    return _fuse_activation(graph, node, producer, graph.given(producer.name))


def _requantising_producer(graph: Graph, name: str, reader: Node) -> Node:
    """Return the producer of a tensor, if an activation can be fused into its requantisation.
    Errors: NoMatch."""
    producer = writer(graph, name, reader=reader, plain=True)
    require(OPS[producer.op].epilogue)
    return producer


@rewrite_pattern("table")
def fuse_rounded_activation(graph: Graph, node: Node) -> Rewrite:
    """Fuse an activation into the preceding operator across the fake_quantize node between them,
    whose parameters become those of the pre-activation value (`name.pre`).

    Clamps are not fused.
    """
    rounding = writer(graph, node.inputs[0], "fake_quantize", reader=node)
    producer = _requantising_producer(graph, rounding.inputs[0], rounding)
    require(bounds(node.attrs["chain"]) is None)
    return _fuse_activation(graph, node, producer, TensorQuant(carried_params(rounding.attrs)))


def _fuse_activation(
    graph: Graph, node: Node, producer: Node, before: TensorQuant | None
) -> Rewrite:
    """Fuse an activation node into its producer."""
    attrs = {**producer.attrs, "act": node.attrs["chain"]}
    patch, origin = GraphBuilder(graph, node), joined_origins(producer, node)
    patch.add(producer.op, *producer.inputs, name=node.name, origin=origin, **attrs)
    if before is not None:
        patch.tensors[node.name] = replace(patch.tensors[node.name], pre_q=before)
    return patch.done()


@rewrite_pattern("table")
def magnitude(graph: Graph, node: Node) -> Rewrite:
    """Fuse sqrt(a^2 + b^2) into one operator, because quantised squares would need twice as many
    bits.

    Applied before activations are fused into the producers of a and b, which would hide the
    squares.
    """
    total, (first, *rest) = writer(graph, node.inputs[0], "add", reader=node), node.attrs["chain"]
    require(first in ROOTS)
    squares = [square(graph, name, total) for name in total.inputs]
    a, b = (each.inputs[0] for each in squares)
    require(graph.shape(a) == graph.shape(b))
    origin = joined_origins(*squares, total, node)
    return before_functions(GraphBuilder(graph, node), rest, "magnitude", a, b, origin=origin)


@rewrite_pattern("table")
def clamp_before_max(graph: Graph, node: Node) -> Rewrite:
    """Move a clamp before a max pool, so that the layer before the pool can fuse it:
    clamp(max_pool(x)) = max_pool(clamp(x))."""
    pool = writer(graph, node.inputs[0], "max_pool", reader=node)
    require(bounds(node.attrs["chain"]) is not None)
    _requantising_producer(graph, pool.inputs[0], pool)
    patch = GraphBuilder(graph, node)
    clamped = patch.add("table", pool.inputs[0], **node.attrs)
    return patch.last("max_pool", clamped, **pool.attrs, origin=pool.origin)


@rewrite_pattern("conv")
def fuse_padding(graph: Graph, node: Node) -> Rewrite:
    """Fuse zero padding of spatial axes into the convolution, also through a transpose."""
    transpose = made_by(graph, node.inputs[0], "transpose")
    pad = writer(graph, transpose.inputs[0] if transpose else node.inputs[0], "pad")
    order = transpose.attrs["perm"] if transpose else range(len(pad.attrs["pads"]))
    batch, *spatial, channels = (pad.attrs["pads"][axis] for axis in order)
    require(pad.attrs["value"] == 0.0, not any((*batch, *channels)))
    pairs = zip(spatial, node.attrs["pads"], strict=True)
    attrs = {**node.attrs, "pads": tuple((a[0] + b[0], a[1] + b[1]) for a, b in pairs)}
    patch, x = GraphBuilder(graph, node), pad.inputs[0]
    if transpose:
        x = patch.add("transpose", x, **transpose.attrs, origin=transpose.origin)
    return patch.last("conv", x, *node.inputs[1:], **attrs, origin=joined_origins(pad, node))


@rewrite_pattern("slice")
def slice_into_padding(graph: Graph, node: Node) -> Rewrite:
    """Reduce a convolution's padding if a slice drops the outputs that read it, as in causal
    convolutions.

    Applies only if no padding becomes negative and no other node reads the convolution.
    """
    conv = writer(graph, node.inputs[0], "conv", reader=node, plain=True)
    batch, *sides, channels = zip(node.attrs["cuts"], graph.shape(conv.name), strict=True)
    require(all(cut == (0, n, 1) for cut, n in (batch, channels)))
    spatial = zip(sides, conv.attrs["pads"], conv.attrs["stride"], strict=True)
    pads = tuple(
        (before - start * stride, after - (n - stop) * stride)
        for ((start, stop, _), n), (before, after), stride in spatial
    )
    require(all(step == 1 for (_, _, step), _ in sides), min(map(min, pads)) >= 0)
    attrs, origin = {**conv.attrs, "pads": pads}, joined_origins(conv, node)
    return GraphBuilder(graph, node).last("conv", *conv.inputs, **attrs, origin=origin)


@rewrite_pattern("conv")
def drop_unpooled_results(graph: Graph, node: Node) -> Rewrite:
    """Reduce a convolution's padding at the end if the following pool does not read the last
    outputs: a pool of size 8 reads 400 of 401."""
    pool = found(graph.only_user(node.name))
    require(pool.op in POOLS)
    read = [max(end for _, end, _ in axis) for axis in pool.attrs["windows"]]
    axes = zip(graph.shape(node.name)[1:-1], read, node.attrs["stride"], strict=True)
    unread = [(n - end) * stride for n, end, stride in axes]
    pads = tuple((a, b - cut) for (a, b), cut in zip(node.attrs["pads"], unread, strict=True))
    require(any(unread), min(after for _, after in pads) >= 0)
    return GraphBuilder(graph, node).last("conv", *node.inputs, **{**node.attrs, "pads": pads})


@rewrite_pattern("argmax", "ctc_greedy")
def drop_softmax(graph: Graph, node: Node) -> Rewrite:
    """Drop a softmax before argmax or greedy CTC, because it does not change the order of the
    classes."""
    reshape = made_by(graph, node.inputs[0], "reshape") if node.op == "ctc_greedy" else None
    scores = reshape.inputs[0] if reshape else node.inputs[0]
    softmax = writer(graph, scores, "softmax", "log_softmax")
    require(softmax.attrs["axis"] == node.attrs.get("axis", len(graph.shape(scores)) - 1))
    patch, x = GraphBuilder(graph, node), softmax.inputs[0]
    if reshape is not None:
        x = patch.add("reshape", x, **reshape.attrs, origin=reshape.origin)
    return patch.last(node.op, x, **node.attrs, origin=joined_origins(softmax, node))


FUSE: tuple[RewritePattern, ...] = (
    drop_unpooled_results,
    merge_tables,
    fuse_functions,
    drop_softmax,
    clamp_before_max,
    fuse_activation,
    fuse_rounded_activation,
)
