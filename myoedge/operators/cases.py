# SPDX-License-Identifier: Apache-2.0
"""Random test cases of operators: shapes, attributes, ranges, weights, and a float oracle.

The families' cases.py define CASES: operator name -> function of a Draw. They are not part of the
wheel; `myoedge plugin check` uses those of plug-ins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators import modules
from myoedge.operators.base import OPS
from myoedge.operators.formula import FORMULAS, Formula
from myoedge.operators.formula_text import constants_slack

T = TypeVar("T")
Range = tuple[float, float]
Chain = tuple[tuple[Any, ...], ...]

PATTERNS = ("uniform", "uniform", "edges", "few", "narrow", "lowest", "highest")
# Range of the output: as needed, on one side of 0, far too small (results saturate), far too large.
FACTORS = (
    (1.0, 0.0), (1.0, 0.0), (0.5, 0.0), (1.3, 0.0), (1.0, 0.7), (1.0, -0.7), (0.002, 0.0),
    (300.0, 0.0),
)  # fmt: skip
ACTS: tuple[Chain, ...] = (
    (), (), (), (("clamp", 0.0, math.inf),), (("clamp", 0.0, 6.0),), (("clamp", -0.25, 0.75),),
    (("clamp", -math.inf, 0.5),), (("clamp", 0.0, math.inf), ("clamp", -1.0, 1.0)), (("gelu",),),
    (("silu",),), (("sigmoid",),), (("tanh",),), (("leaky_relu", 0.1),),
    (("abs",), ("affine", -0.5, 1.0)),
)  # fmt: skip


def exact(case: Any) -> float:
    return 0.0


@dataclass(frozen=True)
class DrawnUse:
    """A random test case: one use of an operator on random data, with its oracle.

    op              operator
    attrs           its attributes
    shapes, spans   shape and value range of each input that is read as integers
    torch           the oracle without the fused activation: lines of Python, whose last one is the
                    value. They may use attributes by name, inputs x0, x1 .. (list xs) and weights
                    w0, w1 .. (list ws), all float64 tensors, and torch, F (torch.nn.functional),
                    math, np, signal (scipy.signal), activated(x, chain) (a fused chain in torch)
    weights         float constants, which follow the inputs
    act             fused activation: chain of (function, *parameters)
    factors         (scale, shift) from the data's range to the output's range
    pattern         distribution of the data, one of PATTERNS
    seed            seed of the random data
    dtype           element type of all inputs in the float graph
    kinds           element type of each input if they differ, such as 16-bit gates; () otherwise
    per_tensor      whether all channels of the weights share one scale
    int16           positions of inputs that are int16, with parameters from their range
    positive        positions of int16 inputs without negative values
    slack           quantised case -> largest permitted deviation in output steps, from the
                    operator's own roundings
    classes         number of classes of index data; 0: int32 data are arbitrary
    least           smallest int32 index; negative indices count from the end, or are out of range
    unit            quantised case -> scale of the output, if its parameters do not define one
    """

    op: str
    attrs: Attrs
    shapes: tuple[Shape, ...]
    torch: str
    spans: tuple[Range, ...]
    weights: tuple[Array, ...] = field(default=(), repr=False)
    act: Chain = ()
    factors: tuple[float, float] = (1.0, 0.0)
    pattern: str = "uniform"
    seed: int = 0
    dtype: str = "float32"
    kinds: tuple[str, ...] = ()
    per_tensor: bool = False
    slack: Callable[[Any], Array | float] = field(default=exact, repr=False)
    int16: tuple[int, ...] = ()
    positive: tuple[int, ...] = ()
    classes: int = 0
    least: int = 0
    unit: Callable[[Any], float] = field(default=lambda case: 1.0, repr=False)


@dataclass(frozen=True)
class Draw:
    """Source of random numbers for test cases; all ranges include both ends.

    rng   NumPy's generator, seeded by the caller
    """

    rng: np.random.Generator

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def flag(self) -> bool:
        return bool(self.rng.integers(2))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def permuted(self, values: Sequence[T]) -> list[T]:
        return [values[int(i)] for i in self.rng.permutation(len(values))]

    def shape(self, low: int, high: int, largest: int = 5) -> Shape:
        """Return a random shape with `low` to `high` axes of 1 to `largest` elements; size 1 is
        frequent."""
        rank, n = self.integer(low, high), self.integer
        return tuple(self.pick([1, n(1, largest), n(2, largest)]) for _ in range(rank))

    def broadcast(self, low: int, high: int) -> tuple[Shape, Shape]:
        """Return two random shapes of `low` to `high` axes that broadcast to each other: one of
        them may have axes of size 1, or lack leading axes."""
        whole = self.shape(low, high, 4)
        part = tuple(n if self.flag() else 1 for n in whole)
        part = part[self.integer(0, len(part)) :] if self.flag() else part
        return self.pick([(whole, whole), (whole, whole), (whole, part), (part, whole)])

    def span(self) -> Range:
        """Return a random value range (low, high) that includes 0, with a magnitude from 1e-4 to
        1e3; its zero point is -128, 127 or in between."""
        scale = self.pick([1.0, 1.0, 1.0, 0.3, 6.0, 1e-3, 1e3])
        low, high = -scale * self.rng.uniform(0.0625, 1.0), scale * self.rng.uniform(0.0625, 1.0)
        both = (float(low), float(high))
        return self.pick([(0.0, both[1]), (both[0], 0.0), both, both, both])

    def weights(self, shape: Shape) -> tuple[Array, ...]:
        """Return random weights of a shape [K, ..] and, in most cases, a bias [K]; weights are
        arbitrary numbers, multiples of a power of two per channel, sparse, or zero."""
        rng = self.rng
        flat = rng.integers(-127, 128, (shape[0], math.prod(shape[1:]))).astype(np.float64)
        flat[:, 0] = rng.choice([-127, 127], shape[0])
        flat *= 2.0 ** rng.integers(-9, -4, (shape[0], 1))
        kind = self.pick(["exact", "exact", "any", "sparse", "zero channel", "all zero"])
        if kind == "any":
            flat = rng.normal(size=flat.shape)
        elif kind == "sparse":
            flat[:, 1:] *= rng.random(flat[:, 1:].shape) < 0.2
        elif kind == "zero channel":
            flat[rng.integers(shape[0])] = 0.0
        elif kind == "all zero":
            flat[...] = 0.0
        bias = self.pick([None, 0.1, 1.0, 1e3, 1e6])
        values = (flat.reshape(shape),)
        return values if bias is None else (*values, rng.normal(size=shape[0]) * bias)

    def common(self, operands: int, *, act: bool) -> dict[str, Any]:
        """Return random values for the fields of DrawnUse that all operators need: `spans`,
        `factors`, `act`, `pattern` and `seed`.

        operands   number of inputs
        act        whether a fused activation may be chosen
        """
        return {
            "spans": tuple(self.span() for _ in range(operands)),
            "factors": self.pick(FACTORS),
            "act": self.pick(ACTS) if act else (),
            "pattern": self.pick(PATTERNS),
            "seed": self.integer(0, 2**32 - 1),
        }


def weight_slack(case: Any) -> Array:
    """Return the largest permitted deviation per output channel, in output steps: half a weight
    step per weight that is not exactly representable, plus half a bias step."""
    w, x = case.weights[0].astype(np.float32).astype(np.float64), case.params("x0")
    rows = np.abs(w.reshape(w.shape[0], -1))
    bias = np.abs(case.weights[1]) if len(case.weights) > 1 else np.zeros(len(rows))
    step = np.maximum(rows.max(axis=1) / 127, bias / (x.scale * 2**22))
    if case.step.integers.weight.dtype == np.int16:  # limits of int32
        most = 1.75 * 2**30 / (abs(x.zero_point) - x.low) - rows.shape[1] / 2 - 2
        step = np.maximum(
            np.maximum(rows.max(axis=1) / 32767, rows.sum(axis=1) / most), bias / (x.scale * 2**28)
        )
    step = np.full(len(rows), step.max()) if case.per_tensor else step
    exact = np.zeros(len(rows), bool)
    used = step > 0
    units = rows[used] / step[used, None]
    exact[used] = np.abs(units - np.rint(units)).max(axis=1) < 1e-5
    exact[~used] = True
    reach = (x.high - x.low) * x.scale * rows.shape[1]
    error = np.where(exact, 1e-4 * rows.max(), step / 2) * reach + step * x.scale / 2
    return np.asarray(error / case.target.scale)


def uses(
    op: str, torch: str = "", **attrs: Sequence[float]
) -> dict[str, Callable[[Draw], DrawnUse]]:
    """Return CASES of one operator that is a formula: its name, and a function that draws uses.

    torch   the oracle, as in DrawnUse; checks of plug-ins use `real` in its place
    attrs   attribute -> values of which each use has one
    """

    for name, values in attrs.items():
        if not (isinstance(values, Sequence) and values):
            raise TypeError(f"{name} of {op} is {values!r}, not several values: ({values},)")

    def draw(d: Draw) -> DrawnUse:
        if op not in FORMULAS:
            facts = {"needs": f"one of {', '.join(FORMULAS)}", "has": op}
            title = "CASES draws uses of an operator that no class defines"
            raise MyoedgeError("E257", title, facts, [f'uses("{[*FORMULAS][-1]}")'])
        formula = FORMULAS[op]
        count, own = len(formula.operands), {name: d.pick(of) for name, of in attrs.items()}
        out, part = d.broadcast(1, 4) if count > 1 else (d.shape(1, 4, 9), ())
        whole = tuple(map(int, np.broadcast_shapes(out, part)))
        shapes = (out, part, *[whole] * count)[:count]
        weights = tuple(d.rng.normal(size=whole[-1]) for _ in formula.weights)
        common = d.common(count, act=True)
        common |= {"int16": tuple(at for at in range(count) if d.integer(0, 2) == 0)}
        _refuse_lacking_attributes(formula, own, [*map(np.ones, shapes), *weights])
        return DrawnUse(op, own, shapes, torch, weights=weights, slack=constants_slack, **common)

    return {op: draw}


def _refuse_lacking_attributes(formula: Formula, own: Attrs, inputs: Sequence[Array]) -> None:
    """Raise E257 if the float function reads an attribute that a use has not."""
    try:
        OPS[formula.name].real(own, *inputs)
    except MyoedgeError as error:
        if not isinstance(error.__cause__, KeyError):
            raise
        lacking, given = error.__cause__.args[0], "".join(f", {x}=..." for x in own)
        owner = dict(error.notice.facts)["class"]
        needs, has = f"values of {lacking}, which real reads", ", ".join(own) or "none"
        facts = {"class": owner, "needs": needs, "has": has}
        title = f"CASES of {formula.name} cannot be used: an attribute has no values"
        tries = [f'uses("{formula.name}"{given}, {lacking}=(0.5, 1.0))']
        raise MyoedgeError("E257", title, facts, tries) from error


def drawn_uses() -> dict[str, Callable[[Draw], DrawnUse]]:
    """Return the functions of all CASES, by operator. Errors: E257 CASES of a plug-in."""
    found: dict[str, Callable[[Draw], DrawnUse]] = {}
    for module in modules("cases"):
        own = getattr(module, "CASES", None)
        if not (isinstance(own, Mapping) and all(map(callable, own.values()))):
            title = f"CASES of {module.__name__} cannot be used"
            facts = {"needs": "a function of a Draw per operator", "has": f"{own!r}"[:60]}
            tries = ['CASES = uses("gains")']
            raise MyoedgeError("E257", title, facts, tries)
        found |= own
    return found


def drawn_use(op: str, draw: Draw) -> DrawnUse:
    """Return a drawn use of an operator. Errors: E257 a function of CASES that returns no use."""
    made = drawn_uses()[op](draw)
    if not isinstance(made, DrawnUse):
        facts = {"needs": "a DrawnUse", "has": f"a {type(made).__name__}"}
        tries = [f'CASES = uses("{op}")']
        raise MyoedgeError("E257", f"the function of {op} in CASES returned no use", facts, tries)
    return made
