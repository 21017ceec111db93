# SPDX-License-Identifier: Apache-2.0
"""Decoders appended to a network's output: greedy CTC, majority vote."""

from __future__ import annotations

from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Attrs, Graph, Node, Shape
from myoedge.operators.queries import output_of

SYMBOLS, CLASSES = "symbols", "classes"


def append_ctc_decoder(graph: Graph, blank: int, *, framewise: bool = False) -> Graph:
    """Append a greedy CTC decoder, whose output is int32 [batch, 1 + frames]: number of symbols,
    then the symbols.

    blank       index of the blank class; negative: from the end
    framewise   for streams, one symbol per frame instead: int32 [frames, batch], -1 for no new
                symbol
    The network's output is [frames, batch, classes], as for torch's CTCLoss, or [frames, classes];
    a batch axis of 1 may also come first. Errors: E207 another shape.
    """
    shape = _scores_output(graph)
    if not -shape[-1] <= blank < shape[-1]:
        raise _decoder_error(f"class {blank} is not among its {shape[-1]}", str(list(shape)))
    attrs = {"blank": blank % shape[-1]}
    if framewise:
        classes = _add_argmax(graph, SYMBOLS)
        return _append_operator(
            classes, "ctc_new", {**attrs, "axis": _time_axis_of(shape), "before": 1}, SYMBOLS
        )
    frames = shape[_time_axis_of(shape)]
    batch = shape[1] if len(shape) == 3 and shape[0] != 1 else 1
    in_time = (frames, batch, shape[-1])
    frames_first = _append_operator(graph, "reshape", {"shape": in_time}, SYMBOLS)
    return _append_operator(frames_first, "ctc_greedy", attrs, SYMBOLS)


def append_majority_vote(graph: Graph, frames: int) -> Graph:
    """Append a majority vote over the last `frames` frames, for every frame; the output is int32
    [frames, batch].

    The network's output has the shape described for `append_ctc_decoder`. Errors: E207 another
    shape.
    """
    shape = _scores_output(graph)
    attrs = {
        "frames": frames,
        "classes": shape[-1],
        "axis": _time_axis_of(shape),
        "before": frames - 1,
    }
    return _append_operator(_add_argmax(graph, CLASSES), "majority", attrs, CLASSES)


def _scores_output(graph: Graph) -> Shape:
    shape = graph.shape(graph.outputs[0])
    if len(graph.outputs) != 1 or len(shape) not in (2, 3):
        shapes = ", ".join(str(list(graph.shape(name))) for name in graph.outputs)
        raise _decoder_error("its outputs are no frames of classes", shapes)
    if graph.tensors[graph.outputs[0]].dtype != "float32":
        raise _decoder_error("its output is classes already", str(list(shape)))
    return shape


def _add_argmax(graph: Graph, name: str) -> Graph:
    last = len(graph.shape(graph.outputs[0])) - 1
    return _append_operator(graph, "argmax", {"axis": last, "keepdim": False}, name)


def _time_axis_of(shape: Shape) -> int:
    """Return the time axis: the first axis, or the second after a batch axis of 1."""
    return int(len(shape) == 3 and shape[0] == 1)


def _append_operator(graph: Graph, op: str, attrs: Attrs, name: str) -> Graph:
    """Return the graph with an operator appended to its output."""
    (x,) = graph.outputs
    producer = graph.producer.get(x)
    origin = () if producer is None else producer.origin
    node = Node(op, (x,), (f"{name}.{op}",), attrs, origin)
    tensor = output_of(node, [graph.shape(x)])
    return replace(
        graph,
        nodes=(*graph.nodes, node),
        tensors={**graph.tensors, node.name: tensor},
        outputs=(node.name,),
        output_names=(name,),
    )


def _decoder_error(reason: str, has: str) -> MyoedgeError:
    return MyoedgeError(
        "E207",
        f"the network has no frames to decode or to vote: {reason}",
        {"needs": "one output [frames, batch, classes] or [frames, classes]", "has": has},
        [
            "--ctc -1 if the last class is the blank, --ctc 0 if it is the first",
            "either --ctc or [model] vote",
        ],
    )
