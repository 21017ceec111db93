# SPDX-License-Identifier: Apache-2.0
"""Comments of generated functions: the layers that they compute, as formulas of their arrays.

a = tanh(mul(x0, x1))
y = add(a, mul(a, x2))
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping

from myoedge.numerics.pointwise import Chain
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import TiledKernel
from myoedge.operators.layer_names import chain_name
from myoedge.plan.plan import Plan

COLUMNS, FIRST, NEXT = 100, " *   ", " *       "
TITLE = "/* Layers as one loop; each value has a scale of its own."
OTHERS = " * or, with equal numbers:"
START = "void me_"  # of the function
LETTERS = "abcdefghijklmnopqrstuvw"  # of values that are read several times; x and y are arrays


def with_formulas(plan: Plan, sources: Mapping[str, str]) -> dict[str, str]:
    """Return generated files with the layers that each function computes in a comment.

    sources   file name -> text
    """
    found: dict[str, dict[str, None]] = {}
    for step, tiling in zip(plan.steps, plan.tilings, strict=True):
        if step.members or OPS[step.node.op].meaning is not None:
            text = _wrap_comment(formulas(step, tiling.kernel))
            found.setdefault(f"{tiling.kernel.function}.c", {})[text] = None
    return {
        name: _insert_comment(text, found[name]) if name in found else text
        for name, text in sources.items()
    }


def _insert_comment(source: str, comments: Iterable[str]) -> str:
    body = f"\n{OTHERS}\n".join(comments)
    return source.replace(START, f"{TITLE}\n{body}\n */\n{START}", 1)


def _wrap_comment(lines: Iterable[str]) -> str:
    each = (textwrap.wrap(x, COLUMNS, initial_indent=FIRST, subsequent_indent=NEXT) for x in lines)
    return "\n".join(line for wrapped in each for line in wrapped)


def formulas(step: QuantizedNode, kernel: TiledKernel) -> list[str]:
    """Return a line per result of a layer, and before it per value that is read several times."""
    members = step.members or (step,)
    stated = {step.tensors[x.source]: x.name for x in kernel.results}
    texts = _array_texts(step, kernel)
    uses = Counter(name for member in members for name in member.operands)
    letters, lines = iter(LETTERS), list[str]()
    for member in members:
        name, text = member.node.name, _formula(member, texts)
        own = stated.get(name) or (next(letters, "") if uses[name] > 1 else "")
        lines += [f"{own} = {text}"] if own else []
        texts[name] = own or text
    return lines


def _array_texts(step: QuantizedNode, kernel: TiledKernel) -> dict[str, str]:
    """Return tensor -> the array that is read; parts of one tensor are several arrays."""
    found: dict[str, str] = {}
    for x in (x for x in kernel.operands if isinstance(x.source, int)):
        name = step.tensors[x.source]
        found[name] = f"{found[name]}|{x.name}" if name in found else x.name
    return found


def _formula(member: QuantizedNode, texts: Mapping[str, str]) -> str:
    """Return a layer as a function of its operands, with the function that is fused into it."""
    node, read = member.node, ", ".join(texts.get(x, "constant") for x in member.operands)
    if node.op == "slice":
        return f"{read}[{', '.join(map(_slice_text, node.attrs['cuts'], member.shapes[0]))}]"
    if node.op == "table":
        return _apply_functions(node.attrs["chain"], read)
    return _apply_functions(node.attrs.get("act", ()), f"{node.op}({read})")


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
