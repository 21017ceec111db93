# SPDX-License-Identifier: Apache-2.0
"""Linear layers averaged over rotations of their rows, as convolutions, whose overlapping windows
an accelerator reads without copies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, made_by, rewrite_pattern
from myoedge.operators.graph_builder import GraphBuilder, concat, reshape, slice_axis

PLAIN: Mapping[str, Any] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "pads": ((0, 0), (0, 0)),
    "groups": 1,
}


@rewrite_pattern("linear")
def rotations_as_windows(graph: Graph, node: Node) -> Rewrite | None:
    """Replace the mean over rotations lo .. hi of E rows by a convolution whose kernel covers E
    rows, on the rows E + lo .. E - 1, 0 .. E - 1, 0 .. hi - 1."""
    stack = _stack(graph, node)
    if stack is None or graph.all_given:
        return None
    *lead, e, f = graph.shape(stack.name)
    rows, found = math.prod(lead[:-1]), [_rotation(graph, part) for part in stack.inputs]
    sources, shifts = {x for x, _ in found}, sorted((by + e // 2) % e - e // 2 for _, by in found)
    low, high = shifts[0], shifts[-1]
    if len(sources) > 1 or shifts != list(range(low, high + 1)) or not low <= 0 <= high:
        return None
    b, (source,) = GraphBuilder(graph, node), sources
    x = reshape(b, source, (1, rows, e, f))
    first = [slice_axis(b, x, 2, e + low, e)] if low else []
    last = [slice_axis(b, x, 2, 0, high)] if high else []
    padded = concat(b, [*first, x, *last], 2)
    weight, *bias = node.inputs[1:]
    kernel = b.constant(graph.array(weight).reshape(-1, 1, e, f))
    y = b.add("conv", padded, kernel, *bias, **PLAIN, **node.attrs)
    return b.last("reshape", y, shape=graph.shape(node.name))


def _stack(graph: Graph, node: Node) -> Node | None:
    """Return the concat of rotated tensors [.., 1, E, F] before a linear layer and a mean over the
    rotations; `node` is the linear layer. None if the pattern is another."""
    mean, flat = graph.only_user(node.name), made_by(graph, node.inputs[0], "reshape", reader=node)
    stack = made_by(graph, flat.inputs[0], "concat", reader=flat) if flat else None
    if mean is None or mean.op != "mean" or stack is None:
        return None
    *lead, e, f = graph.shape(stack.name)
    axis = len(lead) - 1
    is_stack = stack.attrs["axis"] == axis and lead[-1] == len(stack.inputs) > 1
    in_rows = graph.shape(node.inputs[0]) == (*lead, e * f)
    one_long = math.prod(lead[:-1]) == max(lead[:-1], default=1)
    known = all(name in graph.constants for name in node.inputs[1:])
    is_mean = tuple(mean.attrs["axes"]) == (axis,)
    return stack if is_stack and in_rows and one_long and known and is_mean else None


def _rotation(graph: Graph, name: str) -> tuple[str, int]:
    """Return the rotated tensor and the row that comes first in `name`; (`name`, 0) without a
    rotation. Views are resolved."""
    name, shape = _shown(graph, name), graph.shape(name)[-2:]
    join = made_by(graph, name, "concat")
    made = [made_by(graph, x, "slice") for x in join.inputs] if join else []
    parts = [part for part in made if part is not None]
    if join is None or len(parts) != 2 or len(made) != 2:
        return name, 0
    first, second = parts
    x, axis, by = first.inputs[0], len(graph.shape(name)) - 2, graph.shape(second.name)[-2]
    whole = tuple((0, n, 1) for n in graph.shape(x))
    ends = ((by, shape[0], 1), (0, by, 1))
    cuts = [(*whole[:axis], end, *whole[axis + 1 :]) for end in ends]
    given = [tuple(map(tuple, part.attrs["cuts"])) for part in parts]
    rotated = join.attrs["axis"] == axis and second.inputs[0] == x and given == cuts
    return (_shown(graph, x), by) if rotated else (name, 0)


def _shown(graph: Graph, name: str) -> str:
    """Follow reshapes back from `name` to the tensor they read, while its rows stay unchanged."""
    while (view := made_by(graph, name, "reshape")) is not None:
        if graph.shape(view.inputs[0])[-2:] != graph.shape(name)[-2:]:
            break
        name = view.inputs[0]
    return name
