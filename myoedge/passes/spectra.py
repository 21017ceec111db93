# SPDX-License-Identifier: Apache-2.0
"""Patterns for Fourier transforms: magnitudes of int16 samples become spectrograms, real and
imaginary parts convolutions; functions after a spectrogram are fused into it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, made_by, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize.definition import rounds_to_16_bits
from myoedge.operators.graph_builder import GraphBuilder, reshape
from myoedge.operators.kernel_formats import always_reads, always_writes
from myoedge.operators.spectral.definition import CURVES
from myoedge.operators.spectral.fourier import has_transform
from myoedge.operators.spectral.transforms import PARTS, as_products
from myoedge.passes.fuse import SQUARES

VIEWS = ("reshape", "transpose", "slice")
SAMPLED = ("biquads", "running_norm")  # [conditioning], with 16-bit results


@rewrite_pattern("magnitude", "add", "sum", "variance")
def find_spectrogram(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse the magnitude, or its square, of a transform's real and imaginary parts into a
    spectrogram, even if both parts were moved and scaled equally."""
    parts, views = _parts(graph, node), list[Node]()
    made = parts and _made_alike(graph, *parts)
    while made and made[0].op != "spectrogram":
        views.append(made[0])
        made = _made_alike(graph, *(n.inputs[0] for n in made))
    if not made or not has_transform(graph.shape(made[0].inputs[1])[0]):
        return None
    patch, attrs = GraphBuilder(graph, node), {"hop": made[0].attrs["hop"], "chain": ()}
    y = patch.add("spectrogram", *made[0].inputs, **attrs)
    chain = [("affine", _factor_of(view), 0.0) for view in views if view.op == "table"]
    is_root = node.op == "magnitude" or node.attrs.get("root")
    if chain or not is_root:
        square = () if is_root else (("square",),)
        y = patch.add("table", y, chain=(*chain, *square))
    for view in reversed(views):
        y = y if view.op == "table" else patch.add(view.op, y, **view.attrs)
    return patch.same_as(reshape(patch, y, graph.shape(node.name)))


def _made_alike(graph: Graph, a: str, b: str) -> tuple[Node, Node] | None:
    """Return the nodes that write both parts, if they are transforms, or move or scale both parts
    alike."""
    p, q = (graph.producer.get(_uncut(graph, x)) for x in (a, b))
    if p is None or q is None or p.op != q.op:
        return None
    is_alike = p.op in VIEWS and p.attrs == q.attrs
    if p.op == "spectrogram":
        parts = {node.attrs.get("part") for node in (p, q)}
        is_alike = (p.inputs, p.attrs["hop"]) == (q.inputs, q.attrs["hop"]) and parts == {*PARTS}
    elif p.op == "table":
        factor = _factor_of(p)
        is_alike = factor is not None and factor == _factor_of(q)
    return (p, q) if is_alike else None


def _factor_of(table: Node) -> float | None:
    """Return the magnitude of the factor, if a table only multiplies by a factor."""
    (name, *numbers), *rest = table.attrs["chain"]
    return abs(numbers[0]) if name == "affine" and not (rest or numbers[1]) else None


def _uncut(graph: Graph, name: str) -> str:
    """Return the tensor that a slice restores from a concat; otherwise the slice itself."""
    cut = made_by(graph, name, "slice")
    both = made_by(graph, cut.inputs[0], "concat") if cut else None
    if cut is None or both is None:
        return name
    axis = both.attrs["axis"]
    ends = np.cumsum([0, *(graph.shape(x)[axis] for x in both.inputs)]).tolist()
    taken = list(cut.attrs["cuts"])
    start, stop, _ = taken[axis]
    taken[axis] = (0, graph.shape(both.name)[axis], 1)
    whole = taken == [(0, n, 1) for n in graph.shape(both.name)]
    spans = zip(both.inputs, itertools.pairwise(ends), strict=True)
    return next((x for x, span in spans if span == (start, stop)), name) if whole else name


def _parts(graph: Graph, node: Node) -> tuple[str, ...] | None:
    """Return the real and imaginary tensors whose (squared) magnitude a node computes."""
    if node.op == "magnitude":
        return node.inputs
    if node.op == "add":
        squares = tuple(_squared(graph, name) for name in node.inputs)
        return squares if all(squares) else None
    if node.op == "variance" and (node.attrs["centred"], node.attrs["divisor"]) != (False, 1.0):
        return None
    vectors = _squared(graph, node.inputs[0]) if node.op == "sum" else node.inputs[0]
    both = made_by(graph, vectors, "concat")
    if both is None or node.attrs["axes"] != (both.attrs["axis"],) or len(both.inputs) != 2:
        return None
    thin = [made.inputs[0] for x in both.inputs if (made := made_by(graph, x, "reshape"))]
    return tuple(thin) if len(thin) == 2 else None


def _squared(graph: Graph, name: str) -> str:
    """Return x if the tensor is x * x; "" otherwise."""
    square = made_by(graph, name, "table", "mul")
    if square is None:
        return ""
    is_square = (
        square.attrs["chain"] in SQUARES
        if square.op == "table"
        else square.inputs[0] == square.inputs[1]
    )
    return square.inputs[0] if is_square else ""


@rewrite_pattern("spectrogram")
def magnitude_of_parts(graph: Graph, node: Node) -> Rewrite | None:
    """Compute a magnitude from real and imaginary parts if other nodes need both parts as well."""
    beside = (
        other
        for other in graph.users[node.inputs[0]]
        if other.inputs == node.inputs and other.attrs.get("hop") == node.attrs["hop"]
    )
    parts = {other.attrs["part"]: other.name for other in beside if "part" in other.attrs}
    if "part" in node.attrs or node.attrs["chain"] or parts.keys() != {*PARTS}:
        return None
    return GraphBuilder(graph, node).last("magnitude", *(parts[part] for part in PARTS))


@rewrite_pattern("spectrogram")
def lower_spectrogram(graph: Graph, node: Node) -> Rewrite | None:
    """Lower real and imaginary parts to products with constant matrices, and so spectrograms of
    tensors other than int16 samples. An input normalisation before them is moved to the host."""
    x, window, *_ = node.inputs
    is_part = "part" in node.attrs
    if not is_part and find_non_int16_use(graph, x, _normalizes) is None:
        return None
    patch = GraphBuilder(graph, node)
    values, parts = graph.array(window), (node.attrs["part"],) if is_part else PARTS
    made = [as_products(patch, x, values, node.attrs["hop"], part) for part in parts]
    return patch.same_as(made[0] if is_part else patch.add("magnitude", *made))


@rewrite_pattern("table")
def function_into_curve(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse a pointwise function after a spectrogram into it, if its signals have no factors."""
    spectrogram = made_by(graph, node.inputs[0], "spectrogram", reader=node)
    if spectrogram is None or not CURVES.issuperset(name for name, *_ in node.attrs["chain"]):
        return None
    scale, offset = (graph.array(name) for name in spectrogram.inputs[2:])
    if (scale != 1).any() or (offset != 0).any():
        return None
    attrs = {**spectrogram.attrs, "chain": (*spectrogram.attrs["chain"], *node.attrs["chain"])}
    origin = joined_origins(spectrogram, node)
    return GraphBuilder(graph, node).last(
        "spectrogram", *spectrogram.inputs, **attrs, origin=origin
    )


@rewrite_pattern("table")
def function_before_slice(graph: Graph, node: Node) -> Rewrite | None:
    """Move a pointwise function before a slice of a spectrogram, with only data movement between
    them."""
    cut = made_by(graph, node.inputs[0], "slice", reader=node)
    source = cut
    while source is not None and source.op in VIEWS:
        source = made_by(graph, source.inputs[0], reader=source)
    if cut is None or source is None or source.op != "spectrogram":
        return None
    patch = GraphBuilder(graph, node)
    y = patch.add("table", cut.inputs[0], **node.attrs)
    return patch.last("slice", y, **cut.attrs, origin=cut.origin)


@rewrite_pattern("affine")
def affine_into_lanes(graph: Graph, node: Node) -> Rewrite | None:
    """Fold a factor and an offset after a spectrogram, also through a reshape, into its factors per
    signal."""
    reshape = made_by(graph, node.inputs[0], "reshape", reader=node)
    power = reshape.inputs[0] if reshape else node.inputs[0]
    spectrogram = made_by(graph, power, "spectrogram", reader=reshape or node)
    if spectrogram is None or "act" in node.attrs:
        return None
    scale, offset = (graph.array(name).astype(np.float64) for name in spectrogram.inputs[2:])
    lanes = _lanes(graph, node, spectrogram)
    if lanes is None:
        return None
    a, b = (graph.array(name).astype(np.float64)[lanes] for name in node.inputs[1:])
    patch = GraphBuilder(graph, node)
    lane_factors = (patch.constant(scale * a), patch.constant(offset * a + b))
    y = (*spectrogram.inputs[:2], *lane_factors)
    origin = joined_origins(spectrogram, node)
    if reshape is None:
        return patch.last("spectrogram", *y, **spectrogram.attrs, origin=origin)
    normed = patch.add("spectrogram", *y, **spectrogram.attrs, origin=origin)
    return patch.last("reshape", normed, **reshape.attrs, origin=reshape.origin)


def _lanes(graph: Graph, node: Node, spectrogram: Node) -> Array | None:
    """Return the affine's channel of every lane; None if the channel varies within a lane."""
    out, shape, axis = graph.shape(spectrogram.name), graph.shape(node.name), node.attrs["axis"]
    count = math.prod(out[1:-1])
    along = np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    channel = np.broadcast_to(along, shape).reshape(out[0], count, out[-1])
    is_same = (channel == channel[:1, :, :1]).all()
    return channel[0, :, 0] if is_same else None


def _normalizes(graph: Graph, node: Node) -> bool:
    """Return whether a node's results are a tensor's elements times constants, plus constants."""
    if node.op == "table":
        return all(name == "affine" for name, *_ in node.attrs["chain"])
    computed = [name for name in node.inputs if not graph.is_const(name)]
    return node.op in ("affine", "add", "sub", "mul") and len(computed) == 1


def _writers(graph: Graph, name: str) -> list[Node]:
    return [graph.producer[name]] if name in graph.producer else []


def _moves(node: Node) -> bool:
    return OPS[node.op].is_data_movement or rounds_to_16_bits(node)


def _is_filter(node: Node) -> bool:
    return node.op in SAMPLED and "act" not in node.attrs


def find_non_int16_use(
    graph: Graph, name: str, leaves: Callable[[Graph, Node], bool] = lambda graph, node: False
) -> Node | None:
    """Return a node that does not allow a tensor to be int16; None if it is an input, moved or
    filtered at most, that only spectrograms and filters read.

    leaves   (graph, producer) -> whether this producer is ignored
    """
    left = list[Node]()
    pending, checked = [name], set[str]()
    while pending:
        name = pending.pop()
        checked.add(name)
        readers, writers = graph.users.get(name, ()), _writers(graph, name)
        left += [node for node in writers if leaves(graph, node)]
        movers = [node for node in (*writers, *readers) if node in left or _moves(node)]
        int16 = [n for n in readers if always_reads(n, INT16)] + [*filter(_is_filter, writers)]
        others = (n for n in (*readers, *writers) if n not in int16 and n not in movers)
        if (other := next(others, None)) is not None:
            return other
        around = {x for node in movers for x in (*node.inputs, node.name)}
        pending += around & graph.users.keys() - checked
    return None


def _is_written_so(graph: Graph, name: str) -> bool:
    """Return whether an operator always writes a tensor as int16: gates, sums."""
    made = graph.producer.get(name)
    return made is not None and always_writes(made.op, INT16)


def check_samples(graph: Graph) -> None:
    """Raise E111 unless the int16 samples of spectrograms come from an input, moved at most, that
    has no other readers."""
    for node in graph.nodes:
        read = (node.inputs[i] for i in always_reads(node, INT16))
        samples = (x for x in read if not _is_written_so(graph, x))
        others = (find_non_int16_use(graph, x) for x in samples)
        if (other := next(filter(None, others), None)) is not None:
            raise MyoedgeError(
                "E111",
                f"{node.where} needs samples of 16 bits, which {other.where} does not give or take",
                {"needs": "an input of the network, moved at most, that nothing else reads"},
                [
                    "give what else reads the samples an input of its own",
                    "move what comes before to the host",
                ],
            )


FIND_SPECTRA: tuple[RewritePattern, ...] = (find_spectrogram,)
SPECTRAL: tuple[RewritePattern, ...] = (
    function_into_curve,
    function_before_slice,
    affine_into_lanes,
)
