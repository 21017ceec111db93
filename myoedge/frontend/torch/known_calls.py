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
        return dict.fromkeys(self.required) | {x.arg: ast.literal_eval(y) for x, y in self._given}

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the parameters without a default."""
        return tuple(x.arg for x in self._arguments.args[: -len(self._given) or None])

    @property
    def _given(self) -> list[tuple[ast.arg, ast.expr]]:
        found = self._arguments
        return [*zip(found.args[::-1], found.defaults[::-1], strict=False)][::-1]

    @cached_property
    def _arguments(self) -> ast.arguments:
        (function,) = ast.parse(f"def _({self.signature}): ...").body
        assert isinstance(function, ast.FunctionDef)
        return function.args

    def __str__(self) -> str:
        return self.name


class CallTable(dict[str, KnownCall]):
    """Known calls by name."""

    def state(
        self, signatures: Iterable[str], results: Results, values: Results | None = None
    ) -> None:
        """Add calls, given as "transpose.int(self, dim0, dim1)"; without a dot, the overload is
        "default"."""
        for text in signatures:
            name, _, parameters = text.removesuffix(")").partition("(")
            full = f"aten.{name}" if "." in name else f"aten.{name}.default"
            self[full] = KnownCall(full, parameters, results, values)

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
    return tuple(sorted(axis_of(dim, rank) for dim in named))


def floats(*tensors: Any) -> Any:
    """Return the common type of tensors; numbers and None have none. Errors: TypeError for
    integers and for different types."""
    kinds = {x.dtype for x in tensors if isinstance(x, np.ndarray)}
    if len(kinds) != 1 or any(kind.kind != "f" for kind in kinds):
        raise TypeError("types are promoted")
    return next(iter(kinds))


def same_size(a: Sequence[int], b: Sequence[int]) -> None:
    if tuple(a) != tuple(b):
        raise ValueError(f"sizes {[*a]} and {[*b]}")
