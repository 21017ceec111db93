# SPDX-License-Identifier: Apache-2.0
"""Import rows: a table that maps calls of PyTorch (ATen) and operators of ONNX to graph nodes.

Each family defines its part, ROWS, in its import_rows.py or in the package itself.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.graph.match import NoMatch
from myoedge.numerics.arrays import Array
from myoedge.operators import modules
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.system.user_code import cause_of, converted

Arguments = Mapping[str, Any]  # by parameter name: tensors as names, other arguments as values
Row = Callable[[GraphBuilder, Arguments, Any], Any]  # (builder, arguments, output shape)


@dataclass(frozen=True)
class ImportRow:
    """One call of PyTorch or ONNX, and how it maps to operators.

    ops    operators that compute the call, "linear matmul"; "" if none is needed
    row    (builder, arguments, output shape) -> name of the result; with `all_results`, the shapes
           and names of all results
    aten   names of ATen calls, "add.Tensor relu"; without an overload the default one; operators of
           torch.library with their namespace, "lab::rad"
    onnx   ONNX's operators, "Neg(self); Elu(self, *, alpha=1.0)": inputs under ATen's names, after
           the star attributes with ONNX's defaults, "negative_slope: alpha = 0.01" if the names
           differ; arguments that begin with _ are not read. Inputs are tensors except for

               name: weights   a tensor that is constant and finite
               name: finite    a tensor that is finite if it is constant
               name: array     the values of a constant
               name: ints, name: float   in Python
               name: axes, name: axis    ints that are an attribute in older opsets

    integers   whether the row is for integer operands and results; a call may also have a float row
    place      its file and line, which follow from where it is written
    """

    ops: str
    row: Row
    aten: str = ""
    onnx: str = ""
    all_results: bool = False
    integers: bool = False
    place: str = ""

    def __post_init__(self) -> None:
        if not self.place:
            object.__setattr__(self, "place", place_of_call(3))  # of ImportRow


def place_of_call(depth: int) -> str:
    """Return file and line of a calling function; that many frames above this one."""
    frame = sys._getframe(depth)
    return f"{'/'.join(Path(frame.f_code.co_filename).parts[-2:])}:{frame.f_lineno}"


class GivenArguments(dict[str, Any]):
    """Arguments of a call. Errors: E257 for a name that the call does not have."""

    def __init__(self, arguments: Arguments, row: ImportRow) -> None:
        super().__init__(arguments)
        self.row = row

    def __missing__(self, name: str) -> Any:
        call = self.row.aten or self.row.onnx
        near = difflib.get_close_matches(name, self, 1) or [*self]
        facts = {"row": self.row.place, "needs": f"one of {', '.join(self)}", "has": name}
        named = " or ".join(f'"{x}"' for x in near)
        tries = [f'{named} in place of "{name}"'] if near else []
        title = f"the import row of {call} cannot be used: it reads another argument"
        raise MyoedgeError("E257", title, facts, tries)


@dataclass(frozen=True)
class OnnxCall:
    """A node of an ONNX model, as passed to import functions.

    builder   builder of the graph
    op        ONNX operator
    inputs    ONNX names; "" for omitted inputs
    attrs     ONNX attributes
    outs      shapes of the outputs
    arrays    ONNX name of a constant -> its value in the model's own type
    names     ONNX name -> the builder's name, for tensors and constants
    stored    (name, array) -> the builder's name of a new constant; E112 if it is not supported
    finite    (name, array) -> the array; E112 if it is not finite
    """

    builder: GraphBuilder
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    outs: tuple[Shape, ...]
    arrays: Mapping[str, Array]
    names: MutableMapping[str, str]
    stored: Callable[[str, Array], str]
    finite: Callable[[str, Array], Array]

    def tensor(self, name: str) -> str:
        """Return the builder's name of an input; a constant is added on first use."""
        if name not in self.names:
            self.names[name] = self.stored(name, self.arrays[name])
        return self.names[name]

    def constant(self, name: str, what: str) -> Array:
        """Return the values of a constant input.

        what   name of the operand in messages
        Errors: Unsupported if it is computed.
        """
        if name not in self.arrays:
            by = self.builder.made_by(self.names.get(name, ""))
            raise Unsupported(f"{what} must be a constant, here {by}")
        return self.arrays[name]

    def ints(self, name: str, what: str) -> tuple[int, ...]:
        return tuple(int(n) for n in self.constant(name, what).reshape(-1))

    def weights(self, name: str, what: str) -> str:
        """Return the builder's name of a constant input whose values must be finite floats.

        what   name of the operand in messages
        """
        self.constant(name, what)
        return self.operand(name, what)

    def operand(self, name: str, what: str) -> str:
        """Return the builder's name of an input, which must be finite if it is a constant.

        what   name of the operand in messages
        """
        tensor = self.tensor(name)
        if name in self.arrays:
            self.finite(name, self.builder.array(tensor))
        return tensor


OnnxRow = Callable[[OnnxCall], str | tuple[str, ...]]  # -> name of the first output, or of all
KINDS: Mapping[str, Callable[[OnnxCall, str, str], Any]] = {
    "tensor": lambda c, name, what: c.tensor(name),
    "weights": OnnxCall.weights,
    "finite": OnnxCall.operand,
    "array": OnnxCall.constant,
    "ints": OnnxCall.ints,
    "axes": OnnxCall.ints,
    "axis": OnnxCall.ints,
    "float": lambda c, name, what: float(c.constant(name, what).reshape(-1)[0]),
}
OLDER = ("axes", "axis")  # kinds that are attributes of the same names in older opsets


def first(a: Arguments) -> str:
    """Return the call's first tensor argument, whatever its name is in the call's schema."""
    return str(a["self"] if "self" in a else a["input"])


def parse_signature(text: str, place: str) -> tuple[str, ast.arguments]:
    """Return the names in front of a signature, and its arguments. Errors: E257."""
    names, _, rest = text.strip().partition("(")
    try:
        (signature,) = ast.parse(f"def _({rest}: ...").body
    except SyntaxError:
        known = ", ".join(re.findall(r"[^\W\d]\w*|\*(?=.*\w)", rest)) or "self"
        facts = {"row": place, "needs": "a call with the names of its arguments", "has": text}
        title = f"the import row of {names} cannot be used"
        raise MyoedgeError("E257", title, facts, [f'"{names}({known})"']) from None
    assert isinstance(signature, ast.FunctionDef)
    return names.strip(), signature.args


def one_by_one(row: Row) -> Row:
    """Return an import function for any number of tensors, from left to right, by one for two."""

    def several(b: GraphBuilder, a: Arguments, out: Any) -> str:
        y, *others = a["tensors"]
        for other in others:
            shape = np.broadcast_shapes(b.shape(y), b.shape(other))
            y = row(b, {"self": y, "other": other}, shape)
        return str(y)

    return several


def import_rows() -> Iterator[ImportRow]:
    """Yield the entries (ImportRow) of the import tables of all operator families."""
    for module in modules("import_rows"):
        yield from module.ROWS


def called_names(entry: ImportRow) -> list[str]:
    """Return the calls of an entry: ATen's as "aten.add.Tensor", and ONNX's operators."""
    onnx = (text.partition("(")[0].strip() for text in entry.onnx.split(";"))
    return [*aten_names(entry.aten), *filter(None, onnx)]


def aten_names(text: str) -> list[str]:
    """Split names of ATen calls and complete them: "add.Tensor relu" -> "aten.add.Tensor",
    "aten.relu.default"."""
    qualified = [name if "::" in name else f"aten::{name}" for name in text.split()]
    dotted = [name.replace("::", ".") for name in qualified]
    return [name if name.count(".") > 1 else f"{name}.default" for name in dotted]


def aten_calls(*, integers: bool = False) -> dict[str, dict[str, Row]]:
    """Return the import functions as {operator: {ATen call: function}}; a call may be listed under
    several operators, always with the same function.

    integers   whether to return the functions for integer tensors instead of those for floats
    """
    calls: dict[str, dict[str, Row]] = {}
    for entry in (entry for entry in import_rows() if entry.integers == integers):
        named = dict.fromkeys(aten_names(entry.aten), torch_row(entry))
        for op in entry.ops.split(" "):
            calls.setdefault(op, {}).update(named)
    return calls


def onnx_calls(*, integers: bool = False) -> dict[str, dict[str, OnnxRow]]:
    """Return the import functions as {operator: {ONNX operator: function}}.

    integers   whether to return the functions for integer tensors instead of those for floats
    """
    calls: dict[str, dict[str, OnnxRow]] = {}
    for entry in (entry for entry in import_rows() if entry.integers == integers):
        named = dict(onnx_row(entry, text) for text in entry.onnx.split(";") if text.strip())
        for op in entry.ops.split(" "):
            calls.setdefault(op, {}).update(named)
    return calls


def torch_row(entry: ImportRow) -> Row:
    """Return the import function of a row for calls of one tensor or a list; it raises E257."""

    def row(b: GraphBuilder, a: Arguments, out: Any) -> Any:
        given = GivenArguments(a, entry)
        with converted(partial(_row_error, entry)):
            if entry.all_results or not isinstance(out, list):
                return entry.row(b, given, out)
            return (entry.row(b, given, out[0]),)

    return row


def _row_error(entry: ImportRow, error: BaseException) -> MyoedgeError:
    """Return the error of a row that raises; refusals and a lack of memory stay what they are."""
    if isinstance(error, (NoMatch, MemoryError, RecursionError)):
        raise error
    title = f"the import row of {entry.aten} cannot be used: it raises {type(error).__name__}"
    facts = {"row": entry.place, "cause": cause_of(error, [Path(__file__).parents[1]])}
    right = f"correct the row at {entry.place}; if it is myoedge's own, report it with the model"
    return MyoedgeError("E257", title, facts, [right])


def onnx_row(entry: ImportRow, text: str) -> tuple[str, OnnxRow]:
    """Parse an ONNX signature; return (operator, import function for its nodes)."""
    name, signature = parse_signature(text, entry.place)

    def row(c: OnnxCall) -> Any:
        given = GivenArguments(_bind_arguments(signature, c), entry)
        return entry.row(c.builder, given, c.outs if entry.all_results else (*c.outs, None)[0])

    return name, row


def _bind_arguments(signature: ast.arguments, c: OnnxCall) -> Arguments:
    """Return a node's inputs and attributes by the argument names of a signature."""
    arguments: dict[str, Any] = {}
    for i, argument in enumerate(signature.args):
        name, kind = argument.arg, argument_type(argument, "tensor")
        if kind in OLDER and kind in c.attrs:
            arguments[name] = tuple(np.ravel(c.attrs[kind]).tolist())
        elif not name.startswith("_"):
            is_given = i < len(c.inputs) and c.inputs[i]
            arguments[name] = KINDS[kind](c, c.inputs[i], name) if is_given else None
    if signature.vararg is not None:
        arguments[signature.vararg.arg] = [c.tensor(x) for x in c.inputs[len(signature.args) :]]
    for argument, default in zip(signature.kwonlyargs, signature.kw_defaults, strict=True):
        arguments[argument.arg] = _attribute_value(argument, default, c)
    return arguments


def _attribute_value(argument: ast.arg, default: ast.expr | None, c: OnnxCall) -> Any:
    """Return the value of an attribute of a node, with the type of its default."""
    name = argument_type(argument, argument.arg)
    if default is None and name not in c.attrs:
        raise Unsupported(f"no attribute {name}", f"give {c.op} the attribute {name}")
    usual = None if default is None else ast.literal_eval(default)
    value = c.attrs.get(name, usual)
    return value if usual is None else type(usual)(value)


def argument_type(argument: ast.arg, default: str) -> str:
    return default if argument.annotation is None else ast.unparse(argument.annotation)
