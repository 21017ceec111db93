# SPDX-License-Identifier: Apache-2.0
"""Type checks of the values that a plug-in's functions return; E257 states the expected type."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.graph.match import NoMatch
from myoedge.nest.ir import Nest
from myoedge.operators.base import OPS, OpDef, QuantizedParams
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.import_rows import ImportRow, called_names, import_rows
from myoedge.operators.kernel import TiledKernel
from myoedge.operators.traits import ByHand, Described
from myoedge.system.user_code import cause_of, converted

Function = Callable[..., Any]
Blame = Callable[[str], MyoedgeError]  # cause -> error that names the plug-in


def with_checked_returns(op: OpDef, blame: Blame) -> OpDef:
    """Return an operator of a plug-in with functions that check the types of their results.

    blame   makes the error E257 for this plug-in
    """
    checked = partial(_check_results_of, op.name, blame)

    def shape_of(attrs: Any, *arrays: Any) -> Shape:
        return op.shape(attrs, *(x.shape for x in arrays))

    return replace(
        op,
        shape=checked("shape", op.shape, lambda y, *_: _is_shape(y), lambda *_: "a tuple of ints"),
        real=checked(
            "real",
            op.real,
            lambda y, *given: _is_array(y, "fiub", shape_of(*given)),
            lambda *given: f"an array of floats {list(shape_of(*given))}",
        ),
        integer=_check_arithmetic(op.integer, checked),
        constants=replace(
            op.constants,
            quantize=checked(
                "quantize",
                op.constants.quantize,
                lambda y, _: isinstance(y, QuantizedParams),
                lambda _: "QuantizedParams",
            ),
        ),
        kernels=tuple(
            replace(kernel, tiling=_check_tiling(op.name, kernel.tiling, blame))
            for kernel in op.kernels
        ),
    )


def _check_arithmetic(integer: Described | ByHand, checked: Function) -> Described | ByHand:
    if isinstance(integer, Described):
        nest = checked("nest", integer.nest, lambda y, _: isinstance(y, Nest), lambda _: "a Nest")
        return replace(integer, nest=nest)
    return ByHand(
        checked(
            "integer",
            integer.function,
            lambda y, step, *_: _is_array(y, "iu", step.out),
            lambda step, *_: f"an array of integers {list(step.out)}",
        ),
        checked(
            "bound",
            integer.bound,
            lambda y, _: isinstance(y, numbers.Integral),
            lambda _: "an int",
        ),
    )


def _check_results_of(
    op: str,
    blame: Blame,
    name: str,
    function: Function,
    is_right: Callable[..., bool],
    wanted: Callable[..., str],
) -> Function:
    """Return a function of an operator that checks its results.

    is_right   (result, *arguments) -> whether it has the right type
    wanted     arguments -> text of the right type
    """

    @functools.wraps(function)
    def call(*given: Any) -> Any:
        made = function(*given)
        if not is_right(made, *given):
            raise blame(_type_error_text(f"{name} of {op}", made, wanted(*given)))
        return made

    return call


def _check_tiling(op: str, tiling: Callable[..., Any], blame: Blame) -> Callable[..., Any]:
    @functools.wraps(tiling)
    def call(*given: Any) -> Any:
        made = tiling(*given)
        if not isinstance(made, TiledKernel):
            raise blame(_type_error_text(f"the tiling of {op}", made, "a TiledKernel"))
        return made

    return call


def with_checked_result(row: ImportRow, blame: Blame) -> ImportRow:
    """Return an import row of a plug-in whose function checks its result: the name of a tensor of
    the right shape. What it raises names the plug-in, unless the row refuses a use.

    blame   makes the error E257 for this plug-in
    """

    def raised(error: BaseException) -> MyoedgeError:
        if isinstance(error, NoMatch):
            raise error
        return blame(f"the row of {row.aten or row.onnx} ({row.place}) raises {cause_of(error)}")

    @functools.wraps(row.row)
    def call(b: GraphBuilder, a: Mapping[str, Any], out: Any) -> Any:
        with converted(raised):
            made = row.row(b, a, out)
        results = made if row.all_results else (made,)
        shapes = out if row.all_results else (out,)
        named = isinstance(results, list | tuple) and len(results) == len(shapes)
        if not (named and all(_is_tensor(b, *pair) for pair in zip(results, shapes, strict=True))):
            raise blame(_row_error_text(row, b, made, shapes))
        return made

    return replace(row, row=call)


def checked_rows(rows: Any, blame: Blame, own: Collection[str]) -> tuple[ImportRow, ...]:
    """Return `rows`, the ROWS of a plug-in's import_rows, after checking that they are a sequence
    of ImportRow of operators that there are, and of calls that no other row has.

    blame   makes the error E257 for this plug-in
    own     operators of this plug-in
    """
    if not (isinstance(rows, list | tuple) and all(isinstance(row, ImportRow) for row in rows)):
        raise blame(f"ROWS of its import_rows is {_format_value(rows)}, not a tuple of ImportRow")
    for row in rows:
        if lacking := {*row.ops.split()} - {*own, *OPS}:
            there = f"its own are {', '.join(own)}" if own else "it defines none"
            raise blame(f"the row at {row.place} has no operator {min(lacking)}: {there}")
    _check_calls(rows, blame)
    return tuple(with_checked_result(row, blame) for row in rows)


def _check_calls(rows: Sequence[ImportRow], blame: Blame) -> None:
    """Check that each call has one row: a plug-in adds calls, and replaces none."""
    known = {(row.integers, call): row for row in import_rows() for call in called_names(row)}
    for row in rows:
        for call in called_names(row):
            other = known.setdefault((row.integers, call), row)
            if other is not row:
                raise blame(f"the row at {row.place} has {call}, and so has a row of {other.ops}")


def _type_error_text(what: str, made: Any, wanted: str) -> str:
    return f"{what} returned {_format_value(made)}, not {wanted}"


def _format_value(made: Any) -> str:
    if isinstance(made, np.ndarray):
        return f"an array of {made.dtype} {list(made.shape)}"
    if made is None or isinstance(made, str):
        return repr(made)
    return f"{made!r}"[:60] if isinstance(made, int | float | tuple) else f"a {type(made).__name__}"


def _row_error_text(row: ImportRow, b: GraphBuilder, made: Any, shapes: Sequence[Any]) -> str:
    """Return the message for an import row that returned anything but tensors of these shapes."""
    known = isinstance(made, str) and (made in b.tensors or made in b.constants)
    returned = f"{made} {list(b.shape(made))}" if known else made
    wanted = ", ".join(
        f"the name of a tensor {list(shape) if isinstance(shape, tuple) else ''}"
        for shape in shapes
    )
    return _type_error_text(f"the row of {row.aten or row.onnx}", returned, wanted)


def _is_shape(made: Any) -> bool:
    whole = isinstance(made, tuple) and all(isinstance(n, numbers.Integral) for n in made)
    return whole and all(n >= 0 for n in made)


def _is_array(made: Any, kinds: str, shape: Shape) -> bool:
    is_array = isinstance(made, np.ndarray | np.generic)
    return is_array and made.dtype.kind in kinds and made.shape == tuple(shape)


def _is_tensor(b: GraphBuilder, name: Any, shape: Any) -> bool:
    if not isinstance(name, str) or not (name in b.tensors or name in b.constants):
        return False
    return not isinstance(shape, tuple) or b.shape(name) == tuple(shape)
