# SPDX-License-Identifier: Apache-2.0
"""Import rows that state the names of a call's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, weights
from myoedge.operators.import_rows import (
    Arguments,
    ImportRow,
    Row,
    argument_type,
    parse_signature,
    place_of_call,
)


def import_row(
    op: str, aten: str = "", onnx: str = "", *, only: Arguments | None = None
) -> ImportRow:
    """Return the row of calls whose arguments are an operator's inputs and attributes; inputs that
    it turns into integers must be parameters. A call with an argument that is not read is refused.

    aten   calls of PyTorch with the names of their arguments, "lerp.Scalar(self, end, *, weight)":
           the operator's inputs in their order, after the star its attributes, with the argument's
           name if that differs, "weight: alpha"
    onnx   as in ImportRow, with these names; without `aten`, the first one has those of attributes.
           An operator without a bracket has the arguments of `aten`
    only   an argument that is not read -> its value, {"reduction": 0}; by default None or False
    """
    place = place_of_call(2)
    names, signature = parse_signature(aten or onnx.partition(";")[0], place)
    operands = [argument.arg for argument in signature.args]
    attrs = {x.arg: argument_type(x, x.arg) if aten else x.arg for x in signature.kwonlyargs}
    row = _adding(op, operands, attrs, only or {})
    own = ", ".join([*operands, *(["*", *attrs.values()] if attrs else [])])
    named = filter(None, map(str.strip, onnx.split(";")))
    texts = [x if "(" in x else f"{x}({own})" for x in named]
    return ImportRow(op, row, names if aten else "", "; ".join(texts), place=place)


def _adding(op: str, operands: Sequence[str], attrs: Mapping[str, str], only: Arguments) -> Row:
    """Return an import function that adds an operator.

    operands   names of the call's tensors, in the order of the operator's inputs
    attrs      attribute -> name of the call's argument
    """
    read = {*operands, *attrs.values()}

    def row(b: GraphBuilder, a: Arguments, out: Any) -> str:
        tensors = [a[name] for name in operands]
        given = {name: a[argument] for name, argument in attrs.items()}
        _refuse_unread_arguments({x: a[x] for x in a if x not in read}, only)
        for at in OPS[op].weights.at:
            own = operands[at]
            weights(
                b, tensors[at], f"{own} of {op}", f"{own} as a buffer or parameter of the module"
            )
        return b.add(op, *tensors, **given)

    return row


def _refuse_unread_arguments(others: Arguments, only: Arguments) -> None:
    """Refuse arguments that a row does not read, unless they are None, False, private, or have the
    values in `only`."""
    wrong = [
        x
        for x, value in others.items()
        if x[0] != "_"
        and not (bool(value == only[x]) if x in only else value is None or value is False)
    ]
    if wrong:
        has = ", ".join(f"{x} = {others[x]!r}" for x in wrong)
        row = ", ".join(f'"{x}": {others[x]!r}' for x in wrong)
        unless = f"to accept this, if its operator computes it: only={{{row}}}"
        raise Unsupported(f"{has}, which its row does not read; {unless}")
