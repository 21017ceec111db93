# SPDX-License-Identifier: Apache-2.0
"""ATen calls that import reads without torch, each with its parameters and its results in NumPy.

A function of results has a call's arguments by name, tensors as arrays. Import calls it with arrays
of one element of memory (`empty`), whose results have the shapes and types of the call; where the
function is exact, also with constants. What it refuses by an error is left to torch.
Signatures are those of torch 2.9 to 2.15 (aten/src/ATen/native/native_functions.yaml).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array

Given = Mapping[str, Any]
Results = Callable[[Given], Any]


INTEGER = """
axis0 axis1 chunks dim0 dim1 end_dim groups index length num_groups num_layers padding_idx
split_size start_dim step
"""
INTEGERS = """
dilation dims kernel_size normalized_shape output_size pad shape shifts size sizes split_sizes
stride
"""
FLAGS = """
align_corners batch_first bidirectional ceil_mode count_include_pad has_biases is_causal keepdim
train
"""


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _are_integers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_integer, value))


KINDS: Mapping[str, Callable[[Any], bool]] = {  # parameter -> whether torch takes a value there
    **dict.fromkeys(INTEGER.split(), _is_integer),
    **dict.fromkeys(INTEGERS.split(), _are_integers),
    **dict.fromkeys(FLAGS.split(), lambda value: isinstance(value, bool)),
    **dict.fromkeys(
        ("dim", "source", "destination"), lambda x: x is None or _is_integer(x) or _are_integers(x)
    ),
    "dtype": lambda value: value is None or isinstance(value, np.dtype),
}
OPTIONAL = ("output_size",)  # parameters that may be None
MOST_PARTS = 4096  # results of a call


def checked(given: Given) -> Given:
    """Return a call's arguments. Errors: TypeError for one of another kind than torch takes, as a
    float for an axis."""
    for name, value in given.items():
        if name in KINDS and not KINDS[name](value) and not (value is None and name in OPTIONAL):
            raise TypeError(f"{name} {value!r}")
    return given


@dataclass(frozen=True)
class KnownCall:
    """A call that is read without torch, as the target of a node.

    name         "aten.add.Tensor"
    signature    parameters as in Python: "self, other, alpha=1"
    results      function from the arguments to the result, or to a tuple of results, whose types
                 and shapes are right
    values       such a function whose values are those of torch; None if NumPy has none
    """

    name: str
    signature: str
    results: Results
    values: Results | None = None

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """Return parameter -> default in the order of the signature; None without one."""
        return dict.fromkeys(self.required) | {
            x.arg: ast.literal_eval(y) for x, y in self._bound_arguments
        }

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the parameters without a default."""
        return tuple(
            x.arg for x in self._call_arguments.args[: -len(self._bound_arguments) or None]
        )

    @property
    def _bound_arguments(self) -> list[tuple[ast.arg, ast.expr]]:
        found = self._call_arguments
        return [*zip(found.args[::-1], found.defaults[::-1], strict=False)][::-1]

    @cached_property
    def _call_arguments(self) -> ast.arguments:
        (function,) = ast.parse(f"def _({self.signature}): ...").body
        assert isinstance(function, ast.FunctionDef)
        return function.args

    def __str__(self) -> str:
        return self.name


def _wrap_checked(function: Results) -> Results:
    return lambda given: function(checked(given))


class CallTable(dict[str, KnownCall]):
    """Known calls by name."""

    def state(
        self, signatures: Iterable[str], results: Results, values: Results | None = None
    ) -> None:
        """Add calls, given as "transpose.int(self, dim0, dim1)"; without a dot, the overload is
        "default"."""
        of_results = _wrap_checked(results)
        of_values = None if values is None else _wrap_checked(values)
        for text in signatures:
            name, _, parameters = text.removesuffix(")").partition("(")
            full = f"aten.{name}" if "." in name else f"aten.{name}.default"
            self[full] = KnownCall(full, parameters, of_results, of_values)

    def shaped(self, *signatures: str) -> Callable[[Results], Results]:
        """Return a decorator for a function that computes types and shapes of calls."""

        def stated(results: Results) -> Results:
            self.state(signatures, results)
            return results

        return stated

    def exact(self, *signatures: str) -> Callable[[Results], Results]:
        """Return a decorator for a function that computes values of calls, too."""

        def stated(results: Results) -> Results:
            self.state(signatures, results, results)
            return results

        return stated


def empty(shape: Sequence[int], dtype: Any = np.float32) -> Array:
    """Return an array of zeros of any shape in the memory of one element."""
    return np.broadcast_to(np.zeros((), dtype), tuple(shape))


def axis_of(dim: int, rank: int) -> int:
    """Return an axis as a number from 0. Errors: IndexError."""
    if not -rank <= dim < rank:
        raise IndexError(f"axis {dim} of {rank}")
    return dim % rank


def axes_of(dims: Any, rank: int) -> tuple[int, ...]:
    """Return axes as numbers from 0; all axes for None and for []."""
    named = [dims] if isinstance(dims, int) else dims or range(rank)
    found = {axis_of(dim, rank) for dim in named}
    if len(found) < len(named):
        raise ValueError("an axis twice")
    return tuple(sorted(found))


def floats(*tensors: Any) -> Any:
    """Return the common type of tensors; numbers and None have none. Errors: TypeError for
    integers and for different types."""
    kinds = {x.dtype for x in tensors if isinstance(x, np.ndarray)}
    if len(kinds) != 1 or any(kind.kind != "f" for kind in kinds):
        raise TypeError("types are promoted")
    return next(iter(kinds))


def fitting(value: Any, dtype: Any) -> Array:
    """Return a number as an array of a type. Errors: OverflowError if it is outside its range."""
    kind = np.dtype(dtype)
    if kind.kind in "iu" and not np.iinfo(kind).min <= value <= np.iinfo(kind).max:
        raise OverflowError(f"{value} as {dtype}")
    with np.errstate(over="ignore"):
        found = np.asarray(value, kind)
    if kind.kind == "f" and np.any(np.isinf(found) & np.isfinite(value)):
        raise OverflowError(f"{value} as {dtype}")
    return found


def require(*conditions: Any) -> None:
    """Raise ValueError unless all conditions hold, which torch checks as well."""
    if not all(conditions):
        raise ValueError("arguments that torch refuses")


def same_size(a: Sequence[int], b: Sequence[int]) -> None:
    if tuple(a) != tuple(b):
        raise ValueError(f"sizes {[*a]} and {[*b]}")
