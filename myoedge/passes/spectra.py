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
from myoedge.graph.match import attempt, floats, found, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize import rounds_to_16_bits
from myoedge.operators.graph_builder import GraphBuilder, reshape
from myoedge.operators.kernel_formats import (
    always_reads,
    always_writes,
    layer_shapes,
    may_read,
    may_write,
    operand_places,
)
from myoedge.operators.spectral.definition import CURVES
from myoedge.operators.spectral.fast_fourier import has_transform
from myoedge.operators.spectral.transforms import PARTS, as_products
from myoedge.passes.forms import cut_axis, factor_of, functions_of, square

VIEWS = ("reshape", "transpose", "slice")
MADE = ("spectrogram", "table")
SAMPLED = ("biquads", "running_norm")  # operators of [conditioning], with int16 results


@rewrite_pattern("magnitude", "add", "sum", "variance")
def find_spectrogram(graph: Graph, node: Node) -> Rewrite:
    """Fuse the magnitude of a Fourier transform, or its square, into a spectrogram, also if both
    parts are moved or scaled by equal operators first."""
    alike, views = _match_alike(graph, *_match_complex_parts(graph, node)), list[Node]()
    while alike[0].op != "spectrogram":
        views.append(alike[0])
        alike = _match_alike(graph, *(made.inputs[0] for made in alike))
    made, _ = alike
    require(has_transform(graph.shape(made.inputs[1])[0]))
    patch, attrs = GraphBuilder(graph, node), {"hop": made.attrs["hop"], "chain": ()}
    y = patch.add("spectrogram", *made.inputs, **attrs)
    chain: list[object] = [
        ("affine", _table_factor_magnitude(view), 0.0) for view in views if view.op == "table"
    ]
    if node.op != "magnitude" and not node.attrs.get("root"):
        chain.append(("square",))
    if chain:
        y = patch.add("table", y, chain=tuple(chain))
    for view in reversed(views):
        y = y if view.op == "table" else patch.add(view.op, y, **view.attrs)
    return patch.same_as(reshape(patch, y, graph.shape(node.name)))


def _match_alike(graph: Graph, a: str, b: str) -> tuple[Node, Node]:
    """Match the real and the imaginary part of one transform, or equal views or equal scalings of
    both; return their producers. Errors: NoMatch."""
    p, q = (
        writer(graph, attempt(_match_restored_concat, graph, x) or x, *VIEWS, *MADE) for x in (a, b)
    )
    require(p.op == q.op)
    if p.op == "spectrogram":
        require((p.inputs, p.attrs["hop"]) == (q.inputs, q.attrs["hop"]))
        require({node.attrs.get("part") for node in (p, q)} == {*PARTS})
    elif p.op == "table":
        require(_table_factor_magnitude(p) == _table_factor_magnitude(q))
    else:
        require(p.attrs == q.attrs)
    return p, q


def _table_factor_magnitude(table: Node) -> float:
    return abs(factor_of(table.attrs["chain"]))


def _match_restored_concat(graph: Graph, name: str) -> str:
    """Return the input of a concat that a slice of the concat restores. Errors: NoMatch."""
    cut = writer(graph, name, "slice")
    both = writer(graph, cut.inputs[0], "concat")
    axis, span = cut_axis(graph, cut)
    ends = itertools.accumulate(graph.shape(x)[axis] for x in both.inputs)
    ranges = itertools.starmap(range, itertools.pairwise((0, *ends)))
    require(axis == both.attrs["axis"])
    return found(next((x for x, own in zip(both.inputs, ranges, strict=True) if own == span), None))


def _match_complex_parts(graph: Graph, node: Node) -> tuple[str, ...]:
    """Return the real and imaginary tensors whose (squared) magnitude a node computes."""
    if node.op == "magnitude":
        return node.inputs
    if node.op == "add":
        return tuple(square(graph, name).inputs[0] for name in node.inputs)
    if node.op == "variance":
        require((node.attrs["centred"], node.attrs["divisor"]) == (False, 1.0))
    vectors = square(graph, node.inputs[0]).inputs[0] if node.op == "sum" else node.inputs[0]
    both = writer(graph, vectors, "concat")
    require(node.attrs["axes"] == (both.attrs["axis"],), len(both.inputs) == 2)
    return tuple(writer(graph, x, "reshape").inputs[0] for x in both.inputs)


@rewrite_pattern("spectrogram")
def magnitude_of_parts(graph: Graph, node: Node) -> Rewrite:
    """Compute a magnitude from the real and imaginary parts instead of a spectrogram, if other
    nodes read both parts anyway."""
    beside = (
        other
        for other in graph.users[node.inputs[0]]
        if other.inputs == node.inputs and other.attrs.get("hop") == node.attrs["hop"]
    )
    parts = {other.attrs["part"]: other.name for other in beside if "part" in other.attrs}
    require("part" not in node.attrs, not node.attrs.get("chain"), parts.keys() == {*PARTS})
    return GraphBuilder(graph, node).last("magnitude", *(parts[part] for part in PARTS))


@rewrite_pattern("spectrogram")
def lower_spectrogram(graph: Graph, node: Node) -> Rewrite:
    """Lower a Fourier transform to products with constant matrices: its real and imaginary parts,
    and spectrograms of inputs that cannot be int16.

    An input normalisation before the products can be moved to the host.
    """
    x, window, *_ = node.inputs
    is_part = "part" in node.attrs
    require(is_part or find_non_int16_use(graph, x, _is_normalization) is not None)
    patch = GraphBuilder(graph, node)
    values, parts = graph.array(window), (node.attrs["part"],) if is_part else PARTS
    made = [as_products(patch, x, values, node.attrs["hop"], part) for part in parts]
    return patch.same_as(made[0] if is_part else patch.add("magnitude", *made))


@rewrite_pattern("table", "mul")
def function_into_curve(graph: Graph, node: Node) -> Rewrite:
    """Fuse a pointwise function, also x * x, into the preceding spectrogram x, unless the
    spectrogram has factors or offsets of its own."""
    made = writer(graph, node.inputs[0], "spectrogram", reader=node)
    functions = functions_of(node)
    require(CURVES.issuperset(name for name, *_ in functions))
    scale, offset = (graph.array(name) for name in made.inputs[2:])
    require((scale == 1).all(), (offset == 0).all())
    attrs = {**made.attrs, "chain": (*made.attrs["chain"], *functions)}
    origin = joined_origins(made, node)
    return GraphBuilder(graph, node).last(made.op, *made.inputs, **attrs, origin=origin)


@rewrite_pattern("table")
def function_before_slice(graph: Graph, node: Node) -> Rewrite:
    """Move a pointwise function before a slice that only data movement separates from a
    spectrogram."""
    cut = writer(graph, node.inputs[0], "slice", reader=node)
    source = cut
    while source.op != "spectrogram":
        source = writer(graph, source.inputs[0], "spectrogram", *VIEWS, reader=source)
    patch = GraphBuilder(graph, node)
    y = patch.add("table", cut.inputs[0], **node.attrs)
    return patch.last("slice", y, **cut.attrs, origin=cut.origin)


@rewrite_pattern("affine")
def affine_into_lanes(graph: Graph, node: Node) -> Rewrite:
    """Fold a factor and an offset after a spectrogram, also after a reshape of it, into the
    spectrogram's factor and offset per signal."""
    reshape = made_by(graph, node.inputs[0], "reshape", reader=node)
    power = reshape.inputs[0] if reshape else node.inputs[0]
    spectrogram = writer(graph, power, "spectrogram", reader=reshape or node)
    require("act" not in node.attrs)
    scale, offset = floats(graph, spectrogram.inputs[2:])
    lanes = _channels_of_signals(graph, node, spectrogram)
    a, b = (values[lanes] for values in floats(graph, node.inputs[1:]))
    patch = GraphBuilder(graph, node)
    lane_factors = (patch.constant(scale * a), patch.constant(offset * a + b))
    y = (*spectrogram.inputs[:2], *lane_factors)
    origin = joined_origins(spectrogram, node)
    if reshape is None:
        return patch.last("spectrogram", *y, **spectrogram.attrs, origin=origin)
    normed = patch.add("spectrogram", *y, **spectrogram.attrs, origin=origin)
    return patch.last("reshape", normed, **reshape.attrs, origin=reshape.origin)


def _channels_of_signals(graph: Graph, node: Node, spectrogram: Node) -> Array:
    """Return, for each signal of a spectrogram, the channel of the affine that scales it. Errors:
    NoMatch if the factor varies within a signal."""
    out, shape, axis = graph.shape(spectrogram.name), graph.shape(node.name), node.attrs["axis"]
    count = math.prod(out[1:-1])
    along = np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    channel = np.broadcast_to(along, shape).reshape(out[0], count, out[-1])
    require((channel == channel[:1, :, :1]).all())
    return channel[0, :, 0]


def _is_normalization(graph: Graph, node: Node) -> bool:
    """Return whether a node only scales and shifts one tensor by constants."""
    if node.op == "table":
        return all(name == "affine" for name, *_ in node.attrs["chain"])
    computed = [name for name in node.inputs if not graph.is_const(name)]
    return node.op in ("affine", "add", "sub", "mul") and len(computed) == 1


def _producers_of(graph: Graph, name: str) -> list[Node]:
    return [graph.producer[name]] if name in graph.producer else []


def _is_data_movement(node: Node) -> bool:
    return OPS[node.op].is_data_movement or rounds_to_16_bits(node)


def _is_filter_node(node: Node) -> bool:
    return node.op in SAMPLED and "act" not in node.attrs


def find_non_int16_use(
    graph: Graph, name: str, leaves: Callable[[Graph, Node], bool] = lambda graph, node: False
) -> Node | None:
    """Return a node that prevents a tensor from being int16.

    leaves   (graph, producer) -> whether this producer is ignored
    -> None for an input that only spectrograms and filters read, possibly after data movement or
    filters
    """
    left = list[Node]()
    pending, checked = [name], set[str]()
    while pending:
        name = pending.pop()
        checked.add(name)
        readers, writers = graph.users.get(name, ()), _producers_of(graph, name)
        left += [node for node in writers if leaves(graph, node)]
        movers = [node for node in (*writers, *readers) if node in left or _is_data_movement(node)]
        int16 = [n for n in readers if always_reads(n, INT16)] + [*filter(_is_filter_node, writers)]
        others = (n for n in (*readers, *writers) if n not in int16 and n not in movers)
        if (other := next(others, None)) is not None:
            return other
        around = {x for node in movers for x in (*node.inputs, node.name)}
        pending += around & graph.users.keys() - checked
    return None


def _always_writes_int16(graph: Graph, name: str) -> bool:
    """Return whether the operator that computes a tensor always writes int16, as gates do."""
    made = graph.producer.get(name)
    return made is not None and always_writes(made.op, INT16)


def _can_be_int16(graph: Graph, name: str) -> bool:
    """Return whether the producer of a tensor can write int16 and all its readers can read int16,
    traced through data movement; False for inputs."""
    while True:
        for node in graph.users.get(name, ()):
            places = [i for i in operand_places(node) if node.inputs[i] == name]
            layer = layer_shapes(graph, node)
            if not _is_data_movement(node) and not all(
                may_read(node, i, INT16, *layer) for i in places
            ):
                return False
        made = graph.producer.get(name)
        if made is None or not _is_data_movement(made):
            return made is not None and may_write(made, INT16, *layer_shapes(graph, made))
        name = made.inputs[0]


def check_samples(graph: Graph) -> None:
    """Check that each tensor that an operator reads as int16 can be written as int16, or is an
    input without other readers. Errors: E111."""
    for node in graph.nodes:
        read = (node.inputs[i] for i in always_reads(node, INT16))
        samples = (
            x for x in read if not (_always_writes_int16(graph, x) or _can_be_int16(graph, x))
        )
        others = (find_non_int16_use(graph, x) for x in samples)
        if (other := next(filter(None, others), None)) is not None:
            raise MyoedgeError(
                "E111",
                f"{node.where} needs int16 samples, which {other.where} does not support",
                {"needs": "an input, unchanged or moved, that no other operator reads"},
                [
                    "use a separate input for the other readers of the samples",
                    "do the steps before it on the host",
                ],
            )


FIND_SPECTRA: tuple[RewritePattern, ...] = (find_spectrogram,)
SPECTRAL: tuple[RewritePattern, ...] = (
    function_into_curve,
    function_before_slice,
    affine_into_lanes,
)
