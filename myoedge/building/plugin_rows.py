# SPDX-License-Identifier: Apache-2.0
"""Checks of a plug-in's import rows: each of them imports the drawn uses of its operators."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.static_shapes import arguments_of_call
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.cases import DrawnUse
from myoedge.operators.formula import FORMULAS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import (
    ImportRow,
    OnnxCall,
    aten_names,
    onnx_row,
    torch_row,
)
from myoedge.system.user_code import cause_of

OK, NEVER, NO_CASE, NO_ROW = "ok", "never matches", "no case", "no row"
Uses = Mapping[str, Sequence[DrawnUse]]


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """Result of importing the drawn uses of operators through one import row.

    call    the call of PyTorch or ONNX; the operator's name if it has no row
    uses    number of uses that it imported
    state   "ok", "never matches", "no case" or "no row"
    cause   reason, if it is not ok
    """

    call: str
    uses: int = 0
    state: str = OK
    cause: str = ""


@dataclass(frozen=True)
class _UseInputs:
    """A graph with the inputs of a use, and its constants."""

    use: DrawnUse
    builder: GraphBuilder = field(default_factory=GraphBuilder)

    @property
    def names(self) -> tuple[str, ...]:
        shapes = [f"x{at}" for at in range(len(self.use.shapes))]
        return (*shapes, *self.constants)

    @property
    def constants(self) -> dict[str, Array]:
        return {f"w{at}": value for at, value in enumerate(self.use.weights)}

    @property
    def out(self) -> Shape:
        shapes = (*self.use.shapes, *(value.shape for value in self.use.weights))
        return OPS[self.use.op].shape(self.use.attrs, *shapes)

    def added(self) -> list[str]:
        """Add the inputs, and return their names."""
        tensors = [self.builder.input(f"x{at}", x) for at, x in enumerate(self.use.shapes)]
        return [*tensors, *map(self.builder.constant, self.constants.values())]


def checked_rows(rows: Sequence[ImportRow], uses: Uses) -> tuple[CheckedRow, ...]:
    """Import the uses of each row's operators through the row, once per call.

    uses   operator -> its drawn uses
    """
    return tuple(found for row in rows for found in _check_row(row, uses))


def _check_row(row: ImportRow, uses: Uses) -> Iterator[CheckedRow]:
    own = [use for op in row.ops.split() for use in uses.get(op, ())]
    for name in aten_names(row.aten):
        yield _check_torch_row(name, row, own)
    for text in filter(str.strip, row.onnx.split(";")):
        name = text.partition("(")[0].strip()
        yield _import_uses(name, row, own, partial(_import_by_onnx, row, text))


def _check_torch_row(name: str, row: ImportRow, own: Sequence[DrawnUse]) -> CheckedRow:
    known = arguments_of_call(name)
    if known is None:
        cause = "torch has no such call: a module torch_library.py registers it"
        return CheckedRow(name, 0, NEVER, cause)
    return _import_uses(name, row, own, partial(_import_by_torch, row, known))


def _import_uses(
    name: str, row: ImportRow, own: Sequence[DrawnUse], by: Callable[[_UseInputs], None]
) -> CheckedRow:
    if not own:
        return CheckedRow(name, 0, NO_CASE, f"no use of {row.ops or 'an operator'} in CASES")
    causes = [_import_fault(_UseInputs(use), by) for use in own]
    cause, count = next(filter(None, causes), ""), causes.count("")
    return CheckedRow(name, count, OK if count else NEVER, cause)


def _import_fault(inputs: _UseInputs, by: Callable[[_UseInputs], None]) -> str:
    """Import a use; return why that fails, "" if it does not."""
    try:
        by(inputs)
        _run_formulas(inputs.builder)
    except Unsupported as refusal:
        return f"refused: {refusal}"
    except MyoedgeError as error:
        has = "; ".join(f"{key} {text}" for key, text in error.notice.facts)
        tries = "".join(f"; try {text}" for text in error.notice.tries[:1])
        return f"{error.notice.title}: {has}{tries}"
    except Exception as error:
        return cause_of(error)
    made = {node.op for node in inputs.builder.nodes}
    return "" if inputs.use.op in made else f"it becomes {', '.join(made) or 'nothing'}"


def _run_formulas(builder: GraphBuilder) -> None:
    """Run the float function of each formula with the attributes that its row gave. Errors:
    E257."""
    for node in builder.nodes:
        if node.op in FORMULAS:
            given = [np.ones(builder.shape(name)) for name in node.inputs]
            OPS[node.op].real(node.attrs, *given)


def _import_by_torch(
    row: ImportRow, known: Mapping[str, tuple[bool, Any]], inputs: _UseInputs
) -> None:
    tensors, given = iter(inputs.added()), dict[str, Any]()
    for name, (is_tensor, default) in known.items():
        if is_tensor:
            given[name] = next(tensors, None)
        else:
            given[name] = inputs.use.attrs.get(name, default)
    torch_row(row)(inputs.builder, given, inputs.out)


def _import_by_onnx(row: ImportRow, text: str, inputs: _UseInputs) -> None:
    names, tensors = inputs.names, inputs.added()
    renamed = dict(re.findall(r"(\w+)\s*:\s*(\w+)\s*[=,)]", text))
    attrs = {renamed.get(name, name): value for name, value in inputs.use.attrs.items()}
    known = dict(zip(names, tensors, strict=True))
    name, call = onnx_row(row, text)
    call(
        OnnxCall(
            inputs.builder,
            name,
            names,
            attrs,
            (inputs.out,),
            inputs.constants,
            known,
            lambda _, array: inputs.builder.constant(array),
            lambda _, array: array,
        )
    )
