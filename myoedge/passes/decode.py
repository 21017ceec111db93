# SPDX-License-Identifier: Apache-2.0
"""Symbols in place of the scores of their classes, where they are asked for."""

from __future__ import annotations

from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Attrs, Graph, Node, Shape
from myoedge.operators.base import output_of

SYMBOLS, CLASSES = "symbols", "classes"


def decoded(graph: Graph, blank: int, *, framewise: bool = False) -> Graph:
    """The network with greedy CTC behind its output: int32 [batch, 1 + frames], a count first.

    blank      class that stands for nothing; from the end where it is negative
    framewise  a symbol a frame instead, as on streams: int32 [frames, batch], -1 where none is new
    The output is [frames, batch, classes], as torch's CTCLoss takes it, or [frames, classes]; a
    batch of one may come first. Errors: E207.
    """
    shape = _scores(graph)
    if not -shape[-1] <= blank < shape[-1]:
        raise _undecodable(f"class {blank} is not among its {shape[-1]}", str(list(shape)))
    known = {"blank": blank % shape[-1]}
    if framewise:
        best = _best(graph, SYMBOLS)
        return _behind(best, "ctc_new", {**known, "axis": _time(shape), "before": 1}, SYMBOLS)
    turned = _behind(graph, "reshape", {"shape": _in_time(shape)}, SYMBOLS)
    return _behind(turned, "ctc_greedy", known, SYMBOLS)


def voted(graph: Graph, frames: int) -> Graph:
    """The class that most of the last so many frames have, of every frame: int32 [frames, batch].

    The output is as `decoded` takes it. Errors: E207.
    """
    shape = _scores(graph)
    attrs = {"frames": frames, "classes": shape[-1], "axis": _time(shape), "before": frames - 1}
    return _behind(_best(graph, CLASSES), "majority", attrs, CLASSES)


def _scores(graph: Graph) -> Shape:
    shape = graph.shape(graph.outputs[0])
    if len(graph.outputs) != 1 or len(shape) not in (2, 3):
        shapes = ", ".join(str(list(graph.shape(name))) for name in graph.outputs)
        raise _undecodable("its outputs are no frames of classes", shapes)
    if graph.tensors[graph.outputs[0]].dtype != "float32":
        raise _undecodable("its output is classes already", str(list(shape)))
    return shape


def _best(graph: Graph, name: str) -> Graph:
    last = len(graph.shape(graph.outputs[0])) - 1
    return _behind(graph, "argmax", {"axis": last, "keepdim": False}, name)


def _time(shape: Shape) -> int:
    """The axis of frames: the first one, or behind a batch of one."""
    return int(len(shape) == 3 and shape[0] == 1)


def _in_time(shape: Shape) -> Shape:
    """[frames, batch, classes]"""
    *lead, classes = shape
    if len(lead) == 1:
        return (lead[0], 1, classes)
    return (lead[1], 1, classes) if lead[0] == 1 else shape


def _behind(graph: Graph, op: str, attrs: Attrs, shown: str) -> Graph:
    """One operator more, which takes the output and is the output."""
    (x,) = graph.outputs
    before = graph.producer.get(x)
    origin = () if before is None else before.origin
    node = Node(op, (x,), (f"{shown}.{op}",), attrs, origin)
    made = output_of(node, [graph.shape(x)])
    return replace(
        graph,
        nodes=(*graph.nodes, node),
        tensors={**graph.tensors, node.name: made},
        outputs=(node.name,),
        output_names=(shown,),
    )


def _undecodable(why: str, has: str) -> MyoedgeError:
    return MyoedgeError(
        "E207",
        f"the network has no frames to decode or to vote: {why}",
        {"needs": "one output [frames, batch, classes] or [frames, classes]", "has": has},
        [
            "--ctc -1 where the last class is the blank, --ctc 0 where it is the first",
            "either --ctc or [model] vote",
        ],
    )
