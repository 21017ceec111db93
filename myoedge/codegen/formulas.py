# SPDX-License-Identifier: Apache-2.0
"""Comments of generated functions: the layers that they compute, as formulas of their arrays.

x0, x1 = in0[:, 0:4], in0[:, 4:8]
a = tanh(mul(x0, x1))
y = add(a, sum(mul(a, x2), axes=(1,)))

in0 is operand 0 of the layer, of which several arrays are parts. Axes and indices are those of the
network's tensors.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import Chain
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.operators.layer_names import chain_name
from myoedge.plan.plan import Plan

COLUMNS, FIRST, NEXT = 100, " *   ", " *       "
TITLE = "/* Layers as one loop; each value has a scale of its own."
OTHERS = " * or, with equal numbers:"
START = "void me_"  # of the function
LETTERS = "abcdefghijklmnopqrstuvw"  # of values that are read several times; x and y are arrays
OTHERWISE_STATED = ("act", "chain", "cuts", "loop")  # attributes that are no arguments
FEW = 8  # entries of an attribute that are stated


def with_formulas(plan: Plan, sources: Mapping[str, str]) -> dict[str, str]:
    """Return generated files with the layers that each function computes in a comment.

    sources   file name -> text
    """
    found: dict[str, dict[str, None]] = {}
    for step, tiling in zip(plan.steps, plan.tilings, strict=True):
        if step.members or OPS[step.node.op].meaning is not None:
            each = (
                textwrap.wrap(x, COLUMNS, initial_indent=FIRST, subsequent_indent=NEXT)
                for x in formulas(step, tiling.kernel)
            )
            text = "\n".join(line for wrapped in each for line in wrapped)
            found.setdefault(f"{tiling.kernel.function}.c", {})[text] = None
    bodies = {name: f"\n{OTHERS}\n".join(comments) for name, comments in found.items()}
    return {
        name: text.replace(START, f"{TITLE}\n{bodies[name]}\n */\n{START}", 1)
        if name in bodies
        else text
        for name, text in sources.items()
    }


def formulas(step: QuantizedNode, kernel: TiledKernel) -> list[str]:
    """Return the arrays that are parts of one operand, and a line per result of a layer, and before
    it per value that is read several times."""
    members = step.members or (step,)
    stated = {step.tensors[x.source]: x.name for x in kernel.results}
    texts, lines = _array_texts(step, kernel)
    uses = Counter(name for member in members for name in member.operands)
    letters = iter(LETTERS)
    for member in members:
        name, text = member.node.name, _formula(member, texts)
        own = stated.get(name) or (next(letters, "") if uses[name] > 1 else "")
        lines += [f"{own} = {text}"] if own else []
        texts[name] = own or text
    return lines


def _array_texts(step: QuantizedNode, kernel: TiledKernel) -> tuple[dict[str, str], list[str]]:
    """Return (tensor, or slice of a tensor -> array that is read, lines about the arrays that are
    parts of one tensor)."""
    found = defaultdict[int, list[Operand]](list)
    for x in kernel.operands:
        if isinstance(x.source, int):
            found[x.source].append(x)
    texts, lines = dict[str, str](), list[str]()
    for source, arrays in found.items():
        name = step.operands[source]
        parts = {x.name: _elements(x, kernel.axes) for x in arrays}
        texts[name], *others = parts
        if others or len(parts[texts[name]]) < math.prod(arrays[0].shape):
            texts[name] = f"in{source}"
            texts |= _names_of_slices(step.members, name, parts)
            each = []
            for x in arrays:
                # a sequence has a row for each iteration of a loop, the operand the shape of one
                shape = step.shapes[source]
                whole = shape if math.prod(shape) == math.prod(x.shape) else x.shape
                each.append(_part_text(texts[name], parts[x.name], whole))
            lines += [f"{', '.join(parts)} = {', '.join(each)}"]
    return texts, lines


def _elements(x: Operand, axes: Mapping[str, int]) -> Array:
    """Return the places in a tensor, in ascending order, of the elements that an array has."""
    places = []
    for dim, at, n in zip(x.dims, x.first or itertools.repeat(0), x.shape, strict=False):
        place = np.arange(n)
        if dim:
            reached = reduce(np.add.outer, (by * np.arange(axes[a]) for a, by in dim)) + at
            place = np.unique(reached[(reached >= 0) & (reached < n)])  # without padding
        places.append(place)
    return np.ravel_multi_index(np.ix_(*places), x.shape).ravel() if places else np.zeros(1, int)


def _names_of_slices(
    members: Iterable[QuantizedNode], tensor: str, parts: Mapping[str, Array]
) -> dict[str, str]:
    """Return slice of a tensor -> the only array that has the slice's elements."""
    found = dict[str, str]()
    for member in members:
        if member.node.op == "slice" and member.operands[0] == tensor:
            shape, cuts = member.shapes[0], member.node.attrs["cuts"]
            own = np.arange(np.prod(shape)).reshape(shape)[*(slice(*cut) for cut in cuts)].ravel()
            names = [name for name, part in parts.items() if np.array_equal(part, own)]
            found |= {member.node.name: names[0]} if len(names) == 1 else {}
    return found


def _part_text(name: str, part: Array, shape: Shape) -> str:
    """Return a part of a tensor as Python indexes it; "part of in0" if slices do not suffice."""
    indices = [np.unique(x) for x in np.unravel_index(part, shape)]
    steps = [x[1] - x[0] if len(x) > 1 else 1 for x in indices]
    cuts = [(int(x[0]), int(x[-1]) + 1, int(by)) for x, by in zip(indices, steps, strict=True)]
    is_slice = np.prod([len(range(*cut)) for cut in cuts]) == len(part)
    return _index_text(name, cuts, shape) if is_slice else f"part of {name}"


def _index_text(name: str, cuts: Sequence[tuple[int, int, int]], shape: Shape) -> str:
    """Return a tensor indexed by slices; its name if the slices are all of it."""
    texts = [*map(_slice_text, cuts, shape)]
    return name if {*texts} <= {":"} else f"{name}[{', '.join(texts)}]"


def _formula(member: QuantizedNode, texts: Mapping[str, str]) -> str:
    """Return a layer as a function of its operands and attributes, with the function that is fused
    into it."""
    node, read = member.node, [texts.get(x, "constant") for x in member.operands]
    if node.op == "slice":
        return texts.get(node.name) or _index_text(read[0], node.attrs["cuts"], member.shapes[0])
    if node.op == "table":
        return _apply_functions(node.attrs["chain"], read[0])
    arguments = [
        f"{name}={_value_text(value)}"
        for name, value in node.attrs.items()
        if name not in OTHERWISE_STATED and value is not False
    ]
    text = f"{node.op}({', '.join([*read, *arguments])})"
    return _apply_functions(node.attrs.get("act", ()), text)


def _value_text(value: Any) -> str:
    """Return an attribute's value as in Python, of a long list the first entries."""
    if not isinstance(value, list | tuple):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    each = [*map(_value_text, value[:FEW]), *(["..."] if len(value) > FEW else [])]
    return f"({', '.join(each)}{',' if len(value) == 1 else ''})"


def _slice_text(cut: tuple[int, int, int], extent: int) -> str:
    """Return the indices along an axis as in Python."""
    if range(*cut) == range(extent):
        return ":"
    start, stop, by = cut
    return ":".join([str(start), str(stop) if stop >= 0 else "", *([str(by)] if by != 1 else [])])


def _apply_functions(functions: Chain, text: str) -> str:
    """Return functions applied to a text, the first one innermost."""
    for name in chain_name(functions, "|").split("|") if functions else ():
        text = f"{name}({text})"
    return text
