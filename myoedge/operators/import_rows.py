# SPDX-License-Identifier: Apache-2.0
"""Import rows: functions that build the nodes of an ATen or ONNX operator.

Every family has them in its import_rows.py: ATEN and ONNX, by operator, then by the call's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.families import modules
from myoedge.operators.graph_builder import GraphBuilder, Unsupported

Arguments = Mapping[str, Any]  # by the names of the schema: tensors by name, the rest as values
AtenRow = Callable[[GraphBuilder, Arguments, Any], Any]  # (builder, arguments, output shape)


@dataclass(frozen=True)
class OnnxCall:
    """One node of an ONNX model.

    inputs   ONNX's names, "" for what is left out
    outs     shapes of the outputs; opset decides what is an attribute and what an input
    arrays   constants by ONNX's names, in the model's own types
    names    tensors and constants of the builder by ONNX's names
    stored   (name, array) -> its name in the builder; E112 where it may not be read
    finite   (name, array) -> the array; E112 where it is not finite
    """

    builder: GraphBuilder
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    outs: tuple[Shape, ...]
    opset: int
    arrays: Mapping[str, Array]
    names: MutableMapping[str, str]
    stored: Callable[[str, Array], str]
    finite: Callable[[str, Array], Array]

    @property
    def out(self) -> Shape:
        return self.outs[0]

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and bool(self.inputs[index])

    def x(self, index: int = 0) -> str:
        """The builder's name of an input; a constant is stored when it is first read."""
        name = self.inputs[index]
        if name not in self.names:
            self.names[name] = self.stored(name, self.arrays[name])
        return self.names[name]

    def shape(self, index: int = 0) -> Shape:
        return self.builder.shape(self.x(index))

    def array(self, index: int, what: str) -> Array:
        """The values of a constant input; Unsupported where they are computed."""
        found = self.arrays.get(self.inputs[index])
        if found is None:
            raise Unsupported(f"{what} must be a constant, here it is computed")
        return found

    def weights(self, index: int, what: str) -> Array:
        """The values of a constant input as finite float32."""
        self.array(index, what)
        return self.finite(self.inputs[index], self.builder.constants[self.x(index)])

    def ints(self, attribute: str, index: int, what: str) -> tuple[int, ...] | None:
        """Whole numbers that are an attribute in older opsets, an input in newer; None without."""
        if attribute in self.attrs:
            return tuple(self.attrs[attribute])
        if not self.has(index):
            return None
        return tuple(int(n) for n in self.array(index, what).reshape(-1))


OnnxRow = Callable[[OnnxCall], str | tuple[str, ...]]  # names of the first or of all outputs
Calls = Mapping[str, Mapping[str, Any]]  # operator -> {call: row}


def calls(row: AtenRow, *names: str) -> dict[str, AtenRow]:
    """One row for several ATen calls; a name without an overload means the default one."""
    return {f"aten.{name}" if "." in name else f"aten.{name}.default": row for name in names}


def first(a: Arguments) -> str:
    """The tensor a call works on, whatever its schema calls it."""
    return str(a["self"] if "self" in a else a["input"])


def first_of(row: AtenRow) -> AtenRow:
    """For calls that return several tensors of which only the first has a meaning here."""

    def wrapped(b: GraphBuilder, a: Arguments, out: Any) -> tuple[Any, ...]:
        return (row(b, a, out[0]),)

    return wrapped


def by_inputs(row: AtenRow, *inputs: str, **attributes: tuple[str, Any]) -> OnnxRow:
    """An ATen row for an ONNX operator.

    inputs      ATen's names of ONNX's inputs, in order
    attributes  by ATen's name: ONNX's name and default
    """

    def onnx_row(c: OnnxCall) -> Any:
        tensors = {name: c.x(i) for i, name in enumerate(inputs)}
        values = {name: c.attrs.get(*given) for name, given in attributes.items()}
        return row(c.builder, {**tensors, **values}, c.out)

    return onnx_row


def one_by_one(row: AtenRow) -> OnnxRow:
    """A row of two tensors for an ONNX operator of any number of them."""

    def onnx_row(c: OnnxCall) -> str:
        y = c.x()
        for i in range(1, len(c.inputs)):
            out = np.broadcast_shapes(c.builder.shape(y), c.shape(i))
            y = row(c.builder, {"self": y, "other": c.x(i)}, out)
        return str(y)

    return onnx_row


def union(*parts: Calls) -> dict[str, dict[str, Any]]:
    """Calls of all parts by operator. A call has one row, whatever operators it is listed under."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for op, rows in part.items():
            found.setdefault(op, {}).update(rows)
    return found


def aten_calls() -> dict[str, dict[str, AtenRow]]:
    return union(*(module.ATEN for module in modules("import_rows")))


def onnx_calls() -> dict[str, dict[str, OnnxRow]]:
    return union(*(module.ONNX for module in modules("import_rows")))
