# SPDX-License-Identifier: Apache-2.0
"""Symbols in place of the scores of their classes, where they are asked for."""

from __future__ import annotations

from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.ir import Attrs, Graph, Node, Shape
from myoedge.op import output_of

SYMBOLS = "symbols"


def decoded(graph: Graph, blank: int) -> Graph:
    """The network with greedy CTC behind its output: int32 [batch, 1 + frames], a count first.

    blank   class that stands for nothing; from the end where it is negative
    The output is [frames, batch, classes], as torch's CTCLoss takes it, or [frames, classes]; a
    batch of one may come first. Errors: E207.
    """
    shape = graph.shape(graph.outputs[0])
    if len(graph.outputs) != 1 or len(shape) not in (2, 3):
        shapes = ", ".join(str(list(graph.shape(name))) for name in graph.outputs)
        raise _undecodable("its outputs are no frames of classes", shapes)
    if not -shape[-1] <= blank < shape[-1]:
        raise _undecodable(f"class {blank} is not among its {shape[-1]}", str(list(shape)))
    frames = _in_time(shape)
    turned = _behind(graph, "reshape", {"shape": frames})
    return _behind(turned, "ctc_greedy", {"blank": blank % shape[-1]})


def _in_time(shape: Shape) -> Shape:
    """[frames, batch, classes]"""
    *lead, classes = shape
    if len(lead) == 1:
        return (lead[0], 1, classes)
    return (lead[1], 1, classes) if lead[0] == 1 else shape


def _behind(graph: Graph, op: str, attrs: Attrs) -> Graph:
    """One operator more, which takes the output and is the output."""
    (x,) = graph.outputs
    before = graph.producer.get(x)
    origin = () if before is None else before.origin
    node = Node(op, (x,), (f"{SYMBOLS}.{op}",), attrs, origin)
    made = output_of(node, [graph.shape(x)])
    return replace(
        graph,
        nodes=(*graph.nodes, node),
        tensors={**graph.tensors, node.name: made},
        outputs=(node.name,),
        output_names=(SYMBOLS,),
    )


def _undecodable(why: str, has: str) -> MyoedgeError:
    return MyoedgeError(
        "E207",
        f"the network has no symbols to decode: {why}",
        {"needs": "one output [frames, batch, classes] or [frames, classes]", "has": has},
        ["--ctc -1 where the last class is the blank, --ctc 0 where it is the first"],
    )
