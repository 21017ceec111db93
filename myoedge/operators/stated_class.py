# SPDX-License-Identifier: Apache-2.0
"""Checks of an operator's class: its statement when it is registered, its functions and what they
return when they are called. Every fault of its author is E257, with class and source line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.nest.ir import Expr
from myoedge.nest.undecided import Undecided, stated_by_author
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.base import is_taken
from myoedge.operators.integer_params import Scaled, is_unit
from myoedge.system.user_code import cause_of, converted

CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # in the name of a class, where a word begins
NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
FORMULAS_HAVE = "formulas: + - * >> << < >, abs(), and functions of myoedge.operators.api"


@dataclass(frozen=True)
class Mistake:
    """A mistake in a part of a class.

    needs, has   what it must be, and what it is
    instead      what to write
    """

    needs: str
    has: str
    instead: str


@dataclass(frozen=True)
class StatedClass:
    """An operator's class as its author states it.

    name       name of the operator
    stated     the class
    base       its base class, whose names are no names of constants
    weights    number of inputs, the last ones, that are constants
    """

    name: str
    stated: type
    base: type
    weights: int

    @cached_property
    def constants(self) -> tuple[str, ...]:
        """Names of its integer constants."""
        return tuple(inspect.get_annotations(self.stated))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs of its function `real`."""
        return tuple(x.name for x in self.arguments("real")[1:])

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the inputs that are tensors."""
        return self.inputs[: len(self.inputs) - self.weights]

    @property
    def scaled(self) -> str:
        """Result of `quantize`, as text."""
        return f"Scaled({', '.join(['unit', *(f'{name}={name}' for name in self.constants)])})"

    @property
    def takes(self) -> Mapping[str, tuple[str, ...]]:
        """Function of the class -> names that its arguments may have."""
        return {"real": self.inputs, "quantize": (), "nest": self.operands}

    def arguments(self, hook: str) -> tuple[inspect.Parameter, ...]:
        """Return the arguments of a function, `self` first."""
        return tuple(inspect.signature(self._hook_function(hook)).parameters.values())

    def _hook_function(self, hook: str) -> Callable[..., Any]:
        function: Callable[..., Any] = inspect.unwrap(vars(self.stated)[hook])
        return function

    def check(self, stated: Mapping[str, Any], line: str) -> None:
        """Check name, documentation, inputs, limits, constants and functions of the class.

        stated   arguments of the class statement
        line     file and line of the class statement
        Errors: E257.
        """
        for part, find in STATEMENT.items():
            for fault in find(self, stated):
                raise self.error(part, fault, line)

    def call(self, hook: str, layer: Any, given: Sequence[Any], right: Callable[..., Any]) -> Any:
        """Call a function of the class.

        layer   the instance
        right   result -> faults
        Errors: E257; Undecided for a layer whose constants are formulas.
        """
        with converted(lambda error: self._hook_error(hook, error, layer)), stated_by_author():
            made = getattr(layer, hook)(*given)
        for fault in right(made):
            raise self.error(f"{hook} returned {shown(made)}", fault, self._line_of_hook(hook))
        return made

    def _hook_error(self, hook: str, error: BaseException, layer: Any) -> MyoedgeError:
        if isinstance(error, Undecided) and layer.as_data:
            raise error
        code = self._hook_function(hook).__code__
        cause = cause_of(error, [Path(code.co_filename)])
        usual = f"mend {cause.rpartition('(')[2].rstrip(')')}; self.attrs is {dict(layer.attrs)}"
        # Which row gives an attribute that is missing
        name = str(error.args[0]) if isinstance(error, KeyError) and error.args else ""
        row = f'; or its row gives it: "...(..., *, {name})", and CASES, {name}=(0.5, 1.0)'
        usual += row if name.isidentifier() else ""
        returns = {"real": "an array of floats", "quantize": self.scaled, "nest": FORMULAS_HAVE}
        fault = Mistake(returns[hook], cause, getattr(error, "instead", "") or usual)
        return self.error(f"{hook} raises an exception", fault, self._line_of_hook(hook))

    def _line_of_hook(self, hook: str) -> str:
        code = self._hook_function(hook).__code__
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"

    def error(self, what: str, fault: Mistake, line: str) -> MyoedgeError:
        """Return E257 for a fault.

        what   part of the class
        line   its file and line
        """
        owner = f"{self.stated.__module__}.{self.stated.__qualname__} ({line})"
        facts = {"class": owner, "needs": fault.needs, "has": fault.has}
        title = f"the operator {self.name} cannot be used: {what}"
        return MyoedgeError("E257", title, facts, [fault.instead])


def shown(made: Any) -> str:
    """Return a value that a function returned as text."""
    if isinstance(made, np.ndarray):
        return f"an array of {made.dtype} {list(made.shape)}"
    if made is None:
        return "nothing"
    is_plain = isinstance(made, str | int | float | tuple | np.generic)
    return f"{made!s}"[:60] if is_plain else f"a {type(made).__name__}"


# --- the statement --------------------------------------------------------------------------------


def _check_name(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    name = stated["name"]
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        lower = re.sub(r"\W+", "_", CAPITAL.sub("_", own.stated.__name__).lower(), flags=re.ASCII)
        lower = lower.strip("_0123456789") or "own"
        yield Mistake("small letters, digits and _", repr(name), f'name="{lower}"')
    elif is_taken(name):
        yield Mistake("a name that no operator has", f"{name}, which is one", f'name="own_{name}"')


def _check_docstring(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    doc = stated["doc"]
    if not (isinstance(doc, str) and doc.strip() and len(doc.splitlines()) == 1):
        yield Mistake(
            "one line of text, for `myoedge ops`", repr(doc), f'doc="{own.name} of tensors"'
        )


def _check_constants(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    if not _has_plain_arguments(own.arguments("real")):
        return
    count, most = stated["constants"], len(own.inputs) - 1
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= most:
        nest = own.arguments("nest") if "nest" in vars(own.stated) else own.arguments("real")
        right = most + 2 - len(nest) if _has_plain_arguments(nest) else 0
        yield Mistake(
            f"the number of the last inputs of real({', '.join(own.inputs)}) that are constants, "
            f"0 to {most}",
            repr(count),
            f"constants={min(max(right, 0), max(most, 0))}",
        )


def _check_limits(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    limits = stated["limits"] or {}
    if not isinstance(limits, Mapping):
        yield Mistake("limits of attributes by name", repr(limits), 'limits={"weight": (0, 1)}')
        return
    for name, span in limits.items():
        pair = isinstance(span, tuple | list) and len(span) == 2
        if not (pair and all(isinstance(x, int | float) for x in span) and span[0] <= span[1]):
            low = 'limits={"' + str(name) + '": (0, 1)}'
            yield Mistake("a smallest and a largest number per attribute", repr(span), low)


def _check_functions(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    for hook in HOOKS:
        if not inspect.isfunction(vars(own.stated).get(hook)):
            has = ", ".join(name for name in vars(own.stated) if not name.startswith("__"))
            yield Mistake(
                f"a function {hook}", has or "none", f"def {hook}(self{EXAMPLE[hook]}): ..."
            )


def _check_arguments(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    for hook in HOOKS:
        found = own.arguments(hook)
        wanted = own.takes[hook] or (("x",) if hook == "real" else ())
        if _has_plain_arguments(found) and len(found) == 1 + len(wanted):
            continue
        has = f"def {hook}({', '.join(map(str, found))})"
        right = f"def {hook}({', '.join(('self', *wanted))})"
        more = len(wanted) + 1 - len(found)
        forgotten = hook == "nest" and not own.weights and 0 < more < len(wanted)
        yield Mistake(
            right, has, f"constants={more} in the class statement" if forgotten else right
        )


def _has_plain_arguments(arguments: Sequence[inspect.Parameter]) -> bool:
    return all(x.kind is x.POSITIONAL_OR_KEYWORD and x.default is x.empty for x in arguments)


def _check_annotations(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    taken = {*dir(own.base), "attrs", *HOOKS}
    for name in own.constants:
        if name in taken or name.startswith("_") or not name.isascii():
            instead = f"{re.sub(r'^_+|[^ -~]', '', name)}_value"
            yield Mistake("a name of its own, of ASCII", name, f"{instead}: Constant")
        elif name in vars(own.stated):
            yield Mistake(f"{name}: Constant", f"a value of {name}", f"{name}: Constant")


def _check_other_names(own: StatedClass, stated: Mapping[str, Any]) -> Iterator[Mistake]:
    if stated["others"]:
        needs, has = ", ".join(x for x in stated if x != "others"), ", ".join(stated["others"])
        yield Mistake(needs, has, f"the class statement without {has}")
    special = {x for x in vars(own.stated) if x in SPECIAL}
    taken = {name for name in dir(own.base) if not name.startswith("__")} | {"attrs"}
    for name in sorted(special | (taken & vars(own.stated).keys() - {*HOOKS})):
        yield Mistake("names that the base class has not", name, f"own_{name} in place of {name}")


SPECIAL = ("__new__", "__init__", "__getattr__", "__getattribute__", "__setattr__")
HOOKS = ("real", "quantize", "nest")
EXAMPLE = {"real": ", x", "quantize": "", "nest": ", x"}
STATEMENT: Mapping[str, Callable[[StatedClass, Mapping[str, Any]], Iterator[Mistake]]] = {
    "a function is missing": _check_functions,
    "its name": _check_name,
    "its documentation": _check_docstring,
    "its number of constants": _check_constants,
    "its limits": _check_limits,
    "arguments of a function": _check_arguments,
    "a constant's name": _check_annotations,
    "another name": _check_other_names,
}


def faults_of_real(shape: Shape | None) -> Callable[[Any], Iterator[Mistake]]:
    """Return the check of a float result.

    shape   its shape; None for what model.int8.onnx is written from
    """

    def find(made: Any) -> Iterator[Mistake]:
        if shape is None:
            return
        is_array = isinstance(made, np.ndarray | np.generic) and made.dtype.kind in "fiub"
        if not (is_array and made.shape == tuple(shape)):
            wanted = f"an array of floats {list(shape)}"
            yield Mistake(
                wanted, shown(made), f"return an array of the operands' shape, {list(shape)}"
            )

    return find


def faults_of_nest(own: StatedClass) -> Callable[[Any], Iterator[Mistake]]:
    def find(made: Any) -> Iterator[Mistake]:
        if not isinstance(made, Expr):
            names = ", ".join(own.operands)
            yield Mistake(f"a formula of {names}", shown(made), "return ... before the formula")

    return find


def faults_of_quantize(own: StatedClass) -> Callable[[Any], Iterator[Mistake]]:
    def find(made: Any) -> Iterator[Mistake]:
        if not isinstance(made, Scaled):
            yield Mistake(own.scaled, shown(made), f"return {own.scaled}")
            return
        yield from _faults_of_names(own, made.constants)
        unit = made.unit
        if not is_unit(unit):
            needs = "a unit above 0, the real value of one unit of nest's result"
            yield Mistake(needs, f"the unit {shown(unit)}", "Scaled(self.params(0).scale, ...)")
        for name, value in made.constants.items():
            yield from _faults_of_constant(name, value)

    return find


def _faults_of_names(own: StatedClass, given: Iterable[str]) -> Iterator[Mistake]:
    if sorted(given) != sorted(own.constants):
        has = f"Scaled({', '.join(['unit', *given])})"
        lacking = [name for name in given if name not in own.constants]
        annotated = ", ".join(f"{name}: Constant in the class" for name in lacking)
        yield Mistake(own.scaled, has, annotated or f"return {own.scaled}")


def _faults_of_constant(name: str, value: Any) -> Iterator[Mistake]:
    values = np.asarray(value)
    if values.dtype.kind not in "iubf" or not np.isfinite(values).all():
        finite = f"{name}=np.nan_to_num({name})" if values.dtype.kind == "f" else f"{name}=1"
        yield Mistake(f"{name} as finite numbers", f"{shown(value)}", finite)
    elif not (int(values.min(initial=0)) >= -INT32_MAX and int(values.max(initial=0)) <= INT32_MAX):
        largest = int(np.abs(values.astype(object)).max())
        clipped = f"{name}=np.clip({name}, -{INT32_MAX}, {INT32_MAX})"
        yield Mistake(f"{name} of 32-bit integers", f"magnitudes up to {largest:,}", clipped)
    elif values.ndim > 1 or not values.size:
        needs = f"{name} as a number, or of one dimension"
        yield Mistake(needs, f"shape {list(values.shape)}", f"{name}=np.ravel({name})")
