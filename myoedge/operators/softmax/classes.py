# SPDX-License-Identifier: Apache-2.0
"""Decoding of class indices over time: greedy CTC of a sequence, new CTC symbols of a stream,
majority vote.

For the latter two, output frame j reads `taps` input frames from j - attrs["before"] on; missing
frames count as NOTHING.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, clip, equal, index_of, maximum, remainder, where
from myoedge.nest.ir import Axis, Element, Expr, Lookup, Nest, Number, Reduced, as_expr, as_index
from myoedge.nest.nodes import Taken
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32
from myoedge.operators.attributes import (
    ANY_INTEGER,
    AXIS,
    MOST_TIMES,
    NodeSite,
    Values,
    is_whole,
    whole,
)
from myoedge.operators.base import QuantizedNode, add_operator, add_variant
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import as_in_floats
from myoedge.operators.described import nest_constant, operand, result
from myoedge.operators.format import EITHER, INTEGERS, Format
from myoedge.operators.kernel import OUT, Operand, TiledKernel, on_cluster
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Described, Operands, Result
from myoedge.targets.chip import Engine

NOTHING = -1  # no symbol: after the last one, or without frames
PAIR = 2  # frames that are compared to find a new symbol
WORD_BITS = 31  # of a word that counts votes
COUNT = whole(1, MOST_TIMES)


def greedy_real(attrs: Attrs, x: Array) -> Array:
    """Decode scores x [T, N, C] by greedy CTC; return int32 [N, 1 + T]: number of symbols, the
    symbols, then -1.

    Repetitions and blanks are removed. A frame's class is the index of its first maximum.
    """
    best = x.argmax(-1)
    before = np.vstack([np.full_like(best[:1], NOTHING), best[:-1]])
    kept = (best != before) & (best != attrs["blank"])
    y = np.full((x.shape[1], 1 + len(x)), NOTHING, np.int32)
    for row, symbols, keep in zip(y, best.T, kept.T, strict=True):
        row[0] = keep.sum()
        row[1 : 1 + row[0]] = symbols[keep]
    return y


def greedy_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of greedy CTC decoding; tiles divide the sequences, each of which one
    core decodes."""
    (t, n, c), along = step.shapes[0], (("n", 1),)
    return TiledKernel(
        function="me_ctc_greedy_s16" if step.has_int16 else "me_ctc_greedy_s8",
        axes={"n": n},
        split=("n",),
        operands=(
            Operand("x", 0, (t, n, c), ((), along, ()), itemsize=step.read_type(0).size_bytes),
            Operand("y", OUT, step.out, (along, ()), itemsize=4),
        ),
        op={"steps": t, "classes": c, "blank": step.attrs["blank"]},
        tile=lambda regions: {"x": "@x", "y": "@y", "batch": regions["y"].extent[0]},
        work=lambda sizes: (
            -(-t * sizes["n"] // engine.cores) * (c + 2) + -(-sizes["n"] // engine.cores) * 2 * t
        ),
    )


CTC_GREEDY = add_operator(
    name="ctc_greedy",
    attributes={"blank": ANY_INTEGER},
    doc="symbols of CTC: the best class of every frame without repetitions and blanks; --ctc",
    shape=lambda attrs, x: (x[1], 1 + x[0]),
    real=greedy_real,
    integer=ByHand(as_in_floats(greedy_real)),
    operands=Operands(are_compared=True),
    result=Result(dtype="int32", are_symbols=True),
    kernels=on_cluster(greedy_in_tiles, Format((EITHER,), (INT32,))),
)


def _count_taps(attrs: Attrs) -> int:
    return int(attrs.get("frames", PAIR))


def _is_frame_count(value: Any, site: NodeSite) -> bool:
    return is_whole(value, 0, _count_taps(site.attrs) - 1)


BEFORE = Values("fewer frames than it reads", _is_frame_count)


def classes_shape(attrs: Attrs, x: Shape) -> Shape:
    axis, made = attrs["axis"], x[attrs["axis"]] + attrs["before"] - _count_taps(attrs) + 1
    return (*x[:axis], made, *x[axis + 1 :])


def _frames_of_windows(attrs: Attrs, x: Array) -> Array:
    """Return the frames that each result frame reads, [.., T', .., taps]."""
    pads = [(attrs["before"] * (d == attrs["axis"]), 0) for d in range(x.ndim)]
    long = np.pad(x, pads, constant_values=NOTHING)
    return np.lib.stride_tricks.sliding_window_view(long, _count_taps(attrs), attrs["axis"])


def new_real(attrs: Attrs, x: Array) -> Array:
    """Return the CTC symbol that each frame of classes x int32 [.., T, ..] adds: its class if that
    differs from the previous frame's and is not the blank; otherwise NOTHING."""
    was, now = np.moveaxis(_frames_of_windows(attrs, x), -1, 0)
    return np.where((now != was) & (now != attrs["blank"]), now, NOTHING).astype(np.int32)


def new_nest(step: QuantizedNode) -> Nest:
    """Describe the symbols of new_real."""
    axes, x, along = broadcast_axes(step.out), operand(step, 0), step.attrs["axis"]
    before, frame = step.attrs["before"], index_of(axes[along])
    index = tuple(axis.at for axis in axes)
    start = Element(x, (*index[:along], as_index(0), *index[along + 1 :]))
    was: Expr = Taken(start, along, maximum(frame - before, 0))
    was = where(frame < before, NOTHING, was) if before else was
    now = Taken(start, along, frame + (1 - before))
    is_new = where(equal(now, was), 0, 1 - equal(now, step.attrs["blank"]))
    return Nest(axes, (x,), result(step), index, where(is_new, now, NOTHING))


def vote_real(attrs: Attrs, x: Array) -> Array:
    """Return the most frequent class among the last `taps` frames of x int32 [.., T, ..]; the
    smallest class in a tie.

    Values outside 0 .. classes - 1 are ignored; without any valid frame, the result is class 0.
    """
    windows = _frames_of_windows(attrs, x)
    votes = np.stack([(windows == c).sum(-1) for c in range(attrs["classes"])])
    return np.asarray(votes.argmax(0), np.int32)


def vote_nest(step: QuantizedNode) -> Nest:
    """Describe the votes of vote_real."""
    axes, along, before = broadcast_axes(step.out), step.attrs["axis"], step.attrs["before"]
    tap, frame = Axis("tap", _count_taps(step.attrs)), axes[along]
    x = replace(operand(step, 0), outside=NOTHING)
    index = [axis.at for axis in axes]
    index[along] = frame.at + tap + -before
    first = np.maximum(before - np.arange(frame.extent, dtype=np.int32), 0)
    ends = (nest_constant("first", first)[frame], as_expr(tap.extent)) if before else None
    value = _majority_class(x[tuple(index)], step.attrs["classes"], tap, ends)
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), value)


def _majority_class(vote: Expr, classes: int, tap: Axis, ends: tuple[Expr, Expr] | None) -> Expr:
    """Return the class of most votes. The bits of a word count the votes of several classes; the
    first class of most votes has the largest votes * 2**key_bits - class."""
    bits, key_bits = tap.extent.bit_length(), (classes - 1).bit_length()
    word = Axis("word", -(-classes // (WORD_BITS // bits)))
    places = -(-classes // word.extent)
    units = nest_constant("units", np.array([0, *(1 << bits * np.arange(places)), 0], np.int32))
    first = index_of(word) * places
    place = clip(maximum(vote, NOTHING) - first, NOTHING, places)
    is_known = Number(1) if places * word.extent == classes else vote < classes
    unit = where(is_known, Lookup(units, place + 1), 0)
    votes = Reduced("sum", tap, unit, ends)
    counts = (remainder(votes >> bits * p, 1 << bits) for p in range(places))
    keys = [(count << key_bits) - p for p, count in enumerate(counts)]
    most = Reduced("max", word, functools.reduce(maximum, keys) - first)
    return remainder(as_expr(0) - most, 1 << key_bits)


def classes_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    if at.axis != at.attrs["axis"]:
        return StreamingRule(at.axis)
    return StreamingRule(
        at.axis,
        lambda made: {**at.attrs, "before": 0},
        taps=_count_taps(at.attrs),
        before=at.attrs["before"],
        fill=lambda step: NOTHING,
    )


CTC_NEW = add_operator(
    name="ctc_new",
    attributes={"axis": AXIS, "before": BEFORE, "blank": ANY_INTEGER},
    doc="CTC symbols frame by frame: a new class, otherwise -1; --ctc on a stream",
    shape=classes_shape,
    real=new_real,
    integer=Described(new_nest, as_in_floats(new_real)),
    result=Result(dtype="int32", are_symbols=True),
    kernels=generated(Format((INTEGERS,), INTEGERS)),
    operands=Operands(are_indices=True),
    streaming_rule=classes_streaming_rule,
)

MAJORITY = add_variant(
    CTC_NEW,
    name="majority",
    attributes={"axis": AXIS, "before": BEFORE, "frames": COUNT, "classes": COUNT},
    result=Result(dtype="int32"),
    doc="the most frequent class of the last frames: [model] vote",
    real=vote_real,
    integer=Described(vote_nest, as_in_floats(vote_real)),
    kernels=generated(Format((INTEGERS,), INTEGERS)),
)
