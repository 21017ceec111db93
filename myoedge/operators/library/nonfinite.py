# SPDX-License-Identifier: Apache-2.0
"""Tests of the tensors from which others are computed, that tell where these are infinite or NaN.

A function such as 1 / x, log or sqrt is not finite for some of its arguments. Pointwise operators
carry this on: a / b is infinite where b is 0 and a is not, and NaN where both are 0. Integers have
neither, so a guard such as nan_to_num or isfinite becomes a test of the argument.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.library.known_values import (
    ANY,
    IMPOSSIBLE,
    NOT,
    producer,
    results,
    sign_of,
    sign_of_result,
)
from myoedge.operators.library.masks import full, once

VALUES: Mapping[str, float] = {"posinf": math.inf, "neginf": -math.inf, "nan": math.nan}
TESTS: Mapping[str, Chain] = {
    "posinf": (("eq", math.inf),),
    "neginf": (("eq", -math.inf),),
    "nan": (("is_nan",),),
    "any": (("is_finite",), *NOT),
}
MIRRORED = {"posinf": "neginf", "neginf": "posinf"}
ZEROED = ("nan_to_num", 0.0, 0.0, 0.0)
SUMS = ("add", "sub")
LONGEST = 16  # functions of a run
DEEPEST = 100  # operators between a function and a guard


def at_nonfinite(chain: Chain) -> dict[str, float]:
    """Return a chain's results for arguments that are not finite, by kind."""
    found = evaluate(chain, np.array(list(VALUES.values())))
    return dict(zip(VALUES, found.tolist(), strict=True))


def is_kind(values: Array | float, kind: str) -> Array:
    """Return, per value, whether it is of a kind: "posinf", "neginf", "nan", or "any" of them."""
    return evaluate(TESTS[kind], np.asarray(values)) > 0.5


@dataclass
class Nonfinite:
    """Facts about the tensors of a builder.

    runs           result of pointwise functions -> (their argument, all functions since)
    signs          computed tensor -> sign of its elements, if known
    possible       tensors that may be infinite or NaN -> operators since the function that is
    first          tensor -> the first one that is computed in the same way
    equal          text of an operator and its operands -> its first result
    made           (tensor, kind or "finite") -> what `where` or `finite` returned
    count          nodes that are looked at already
    """

    d: GraphBuilder
    runs: dict[str, tuple[str, Chain]] = field(default_factory=dict)
    signs: dict[str, int] = field(default_factory=dict)
    possible: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    equal: dict[str, str] = field(default_factory=dict)
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    count: int = 0

    @classmethod
    def of(cls, d: GraphBuilder) -> Nonfinite:
        """Return what is known about a builder's tensors so far; nodes are looked at once."""
        known: Nonfinite = d.analyses.setdefault(cls, cls(d))
        for node in d.nodes[known.count :]:
            known._run_node(node)
        known.count = len(d.nodes)
        return known

    def _run_node(self, node: Node) -> None:
        x, read = node.name, [self.first.get(name, name) for name in node.inputs]
        depth = max((self.possible.get(name, 0) for name in read), default=0)
        if node.op == "table":
            is_possible, sign = self._run_function(node, read[0])
            same = f"{self.runs[x]}"
        else:
            same = f"{node.op} {read} {node.attrs}"
            is_possible = (
                depth > 0 and OPS[node.op].result.dtype == "float32" and node.op != "fake_quantize"
            )
            sign = sign_of_result(node, [self.sign(name) for name in node.inputs])
        self.first[x] = self.equal.setdefault(same, x)
        self.possible |= {x: depth + 1} if is_possible else {}
        self.signs[x] = sign

    def _run_function(self, node: Node, x: str) -> tuple[bool, int]:
        """Add a pointwise function of x to the runs; return whether its result may be infinite or
        NaN, and its sign."""
        base, before = self.runs.get(x, (x, ()))
        if len(before) > LONGEST:
            base, before = x, ()
        chain = (*before, *node.attrs["chain"])
        self.runs[node.name] = base, chain
        values = results(chain, self.sign(base))
        if base in self.possible:
            values = np.append(values, list(at_nonfinite(chain).values()))
        known = values[~np.isnan(values)]
        return not np.isfinite(values).all(), sign_of(known)

    def sign(self, x: str) -> int:
        """Return the sign that all elements of a tensor have."""
        value = self.d.find_array(x)
        return self.signs.get(x, ANY) if value is None else sign_of(value)

    def add_selection(self, y: str, left: Mapping[str, str]) -> None:
        """Note what a selection y leaves of values that are infinite or NaN, and that are 0 in y.

        left   kind -> test
        """
        if left:
            self.possible[y], self.made[y, "finite"] = 1, y
            tests = {**dict.fromkeys(VALUES, ""), **left, "any": self.union(*left.values())}
            self.made |= {(y, kind): test for kind, test in tests.items()}

    def is_one_function(self, x: str) -> bool:
        """Return whether a tensor is a function of one finite tensor, which becomes one table."""
        return x in self.runs and self.runs[x][0] not in self.possible

    def finite(self, x: str) -> str:
        """Return a tensor with the finite values of x, and zeros or finite limits elsewhere: it is
        computed as x is, from functions that are 0 where they are not finite.

        Errors: Unsupported for operators that mix elements.
        """
        if x not in self.possible:
            return x
        if (x, "finite") not in self.made:
            self.made[x, "finite"] = self._finite_value(self.operator(x))
        return self.made[x, "finite"]

    def _finite_value(self, node: Node) -> str:
        x, d = node.name, self.d
        if node.op == "table":
            return self._finite_function_value(x)
        read = [self.finite(name) for name in node.inputs]
        if node.op == "mul" or OPS[node.op].is_data_movement:
            return once(d, node.op, *read, **node.attrs)
        if node.op not in SUMS:
            raise self._refusal_of(node)
        return self.unless(self.where(x, "any"), once(d, node.op, *read, **node.attrs))

    def _finite_function_value(self, x: str) -> str:
        base, chain = self.runs[x]
        whole: Chain = (*chain, ZEROED)
        y, at_zero = (
            once(self.d, "table", self.finite(base), chain=whole),
            evaluate(whole, np.zeros(1)),
        )
        if base not in self.possible:
            return y
        for kind, value in at_nonfinite(whole).items():
            y = self.plus(y, value - float(at_zero[0]), self.where(base, kind))
        return y

    def plus(self, y: str, factor: float, at: str) -> str:
        """Return y + factor * at, where `at` is 1 or 0; "" stands for 0."""
        if not at or factor == 0.0:
            return y
        return once(self.d, "add", y, once(self.d, "table", at, chain=(("affine", factor, 0.0),)))

    def where(self, x: str, kind: str) -> str:
        """Return a tensor that is 1 where x is of a kind and 0 elsewhere; "" if it never is.

        kind   "posinf", "neginf", "nan", or "any" of them
        Errors: Unsupported for operators that mix elements.
        """
        if x not in self.possible:
            return ""
        if (x, kind) not in self.made:
            self.made[x, kind] = self._find_nonfinite(self.operator(x), kind)
        return self.made[x, kind]

    def _find_nonfinite(self, node: Node, kind: str) -> str:
        if node.op == "table":
            return self._find_in_function(node.name, kind)
        if node.op in SUMS:
            return self._find_in_sum(node, kind)
        if node.op == "mul":
            return self._find_in_product(node, kind)
        if OPS[node.op].is_data_movement:
            return self._find_in_moved(node, kind)
        raise self._refusal_of(node)

    def _find_in_moved(self, node: Node, kind: str) -> str:
        found = [self.where(name, kind) for name in node.inputs]
        if not any(found):
            return ""
        shapes = [self.d.shape(name) for name in node.inputs]
        parts = (
            full(self.d, at or self.d.constant(np.zeros(1, np.float32)), shape)
            for at, shape in zip(found, shapes, strict=True)
        )
        attrs = {**node.attrs, "value": 0.0} if "value" in node.attrs else node.attrs
        return once(self.d, node.op, *parts, **attrs)

    def _find_in_function(self, x: str, kind: str) -> str:
        base, chain = self.runs[x]
        own, tested = "", results(chain, self.sign(base))
        if is_kind(tested, kind).any():
            own = once(self.d, "table", self.finite(base), chain=(*chain, *TESTS[kind]))
        if base not in self.possible:
            return own
        after = (k for k, value in at_nonfinite(chain).items() if is_kind(value, kind))
        return self.union(
            self.unless(self.where(base, "any"), own), *(self.where(base, k) for k in after)
        )

    def _find_in_sum(self, node: Node, kind: str) -> str:
        a, b = node.inputs
        if kind == "any":
            return self.union(self.where(a, kind), self.where(b, kind))
        of_b = MIRRORED if node.op == "sub" else {}
        signs = [(self.where(a, k), self.where(b, of_b.get(k, k))) for k in VALUES]
        (high_a, high_b), (low_a, low_b), (nan_a, nan_b) = signs
        if kind == "nan":
            return self.union(nan_a, nan_b, self.both(high_a, low_b), self.both(low_a, high_b))
        own, against = ((high_a, high_b), (low_a, low_b))[:: 1 if kind == "posinf" else -1]
        return self.unless(self.union(*against, nan_a, nan_b), self.union(*own))

    def _find_in_product(self, node: Node, kind: str) -> str:
        a, b = node.inputs
        if kind == "any":
            return self.union(self.where(a, kind), self.where(b, kind))
        if kind == "nan":
            zero_times = (
                self.both(
                    self.unless(self.where(x, "any"), self._compare_with_zero(x, "eq")),
                    self.union(self.where(y, "posinf"), self.where(y, "neginf")),
                )
                for x, y in ((a, b), (b, a))
            )
            return self.union(self.where(a, kind), self.where(b, kind), *zero_times)
        other = MIRRORED[kind]
        infinite = (
            self.both(self.where(x, sign), self._is_positive_or_negative(y, to))
            for x, y in ((a, b), (b, a))
            for sign, to in (("posinf", kind), ("neginf", other))
        )
        return self.union(*infinite)

    def _is_positive_or_negative(self, x: str, sign: str) -> str:
        """Return 1 where x is above 0 ("posinf") or below 0 ("neginf"), also if it is infinite."""
        return self.union(
            self._compare_with_zero(x, "gt" if sign == "posinf" else "lt"), self.where(x, sign)
        )

    def _compare_with_zero(self, x: str, comparison: str) -> str:
        """Return 1 where the finite value of x compares with 0; "" if it never does."""
        step = ((comparison, 0.0),)
        if comparison in IMPOSSIBLE[self.sign(x)]:
            return ""
        if x in self.d.constants:
            holds = evaluate(step, self.d.array(x)).astype(np.float32)
            return self.d.constant(holds) if holds.any() else ""
        return once(self.d, "table", self.finite(x), chain=step)

    def union(self, *tests: str) -> str:
        """Return 1 where any of the tests is 1; "" stands for 0."""
        return functools.reduce(self._either, tests, "")

    def _either(self, a: str, b: str) -> str:
        return once(self.d, "maximum", a, b) if a and b and a != b else a or b

    def both(self, a: str, b: str) -> str:
        return once(self.d, "mul", a, b) if a and b else ""

    def unless(self, test: str, y: str) -> str:
        """Return y with zeros where a test is 1."""
        return once(self.d, "mul", y, once(self.d, "table", test, chain=NOT)) if test and y else y

    def operator(self, x: str) -> Node:
        """Return the node that computes a tensor. Errors: Unsupported far from its functions."""
        node = producer(self.d, x)
        assert node is not None
        if self.possible[x] > DEEPEST:
            raise self._refusal_of(node)
        return node

    def _refusal_of(self, node: Node) -> Unsupported:
        return Unsupported(
            f"a guard against infinities that {node.op} has mixed with other elements",
            "guard the division, logarithm or root itself: a / torch.where(b == 0, 1.0, b)",
        )
