# SPDX-License-Identifier: Apache-2.0
"""Faults of an operator's author: each is E257 with class, line, needs, has and a remedy that mends
it. The parts that need a fault here follow from the class itself."""

from __future__ import annotations

import ast
import copy
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from myoedge.building.plugin_check import c_results, joined
from myoedge.errors import MyoedgeError
from myoedge.operators.api import ElementwiseOperator, Scaled
from myoedge.operators.base import OPS
from myoedge.operators.cases import Draw
from myoedge.operators.formula import FORMULAS, FormulaParams
from myoedge.operators.interpreter import integer_step
from myoedge.operators.stated_class import HOOKS, SPECIAL, STATEMENT
from myoedge.quantization.drawn_case import DrawnCase
from tests.support.each import each

SOURCE = """
import numpy as np
from myoedge.operators.api import *


class Gained(ElementwiseOperator, name="gained", doc="one factor per channel", constants=1):
    gain: Constant

    def real(self, x, factors):
        return x * factors

    def quantize(self):
        step = max(np.abs(self.constant(1)).max(), 1e-30) / 32767
        gain = np.rint(self.constant(1) / step).astype(np.int16)
        return Scaled(self.params(0).scale * step, gain=gain)

    def nest(self, x):
        return x * self.gain


CASES = uses("gained")
"""
CLASS = 'ElementwiseOperator, name="gained", doc="one factor per channel", constants=1'
REAL, PRODUCT, GAIN = "return x * factors", "return x * self.gain", "    gain: Constant"
SCALED = "return Scaled(self.params(0).scale * step, gain=gain)"
# part: what is replaced, by a fault, by its remedy, what the error says, and what its try says
FAULTS: dict[str, list[tuple[str, str, str, str, str]]] = {
    "statement: a function is missing": [
        ("def nest(", "def nests(", "def nest(", "needs  a function nest", "def nest(self"),
        ("def real(", "def reel(", "def real(", "needs  a function real", "def real(self"),
    ],
    "statement: its name": [
        ('name="gained", ', 'name="add", ', 'name="gained", ', "has    add, which is one",
         'name="own_add"'),
        ('name="gained", ', 'name="Gains 2", ', 'name="gained", ', "'Gains 2'", 'name="gained"'),
    ],
    "statement: its documentation": [
        ('doc="one factor per channel"', 'doc=""', 'doc="gained of tensors"',
         "one line of text", 'doc="gained of tensors"'),
    ],
    "statement: its number of constants": [
        ("constants=1", "constants=2", "constants=1", "has    2", "constants=1"),
        ("constants=1", "constants=True", "constants=1", "has    True", "constants=1"),
    ],
    "statement: its limits": [
        ("constants=1", "constants=1, limits=[1]", "constants=1", "limits of attributes by name",
         'limits={"weight": (0, 1)}'),
        ("constants=1", 'constants=1, limits={"weight": 1}',
         'constants=1, limits={"weight": (0, 1)}', "has    1", 'limits={"weight": (0, 1)}'),
    ],
    "statement: arguments of a function": [
        (", constants=1", "", ", constants=1", "def nest(self, x, factors)", "constants=1"),
        ("nest(self, x)", "nest(self)", "nest(self, x)", "has    def nest(self)",
         "def nest(self, x)"),
        ("quantize(self)", "quantize(self, site)", "quantize(self)",
         "has    def quantize(self, site)", "def quantize(self)"),
        ("real(self, x, factors)", "real(self, *xs)", "real(self, x, factors)",
         "has    def real(self, *xs)", "def real(self, x"),
    ],
    "statement: a constant's name": [
        (GAIN, "    site: Constant", GAIN, "has    site", ": Constant"),
        (GAIN, "    _gain: Constant", GAIN, "has    _gain", ": Constant"),
        (GAIN, "    gain: Constant = 3", GAIN, "a value of gain", "gain: Constant"),
    ],
    "statement: another name": [
        ("constants=1", "constants=1, width=2", "constants=1", "has    width", "without width"),
        (GAIN, f"{GAIN}\n    lookup = 3", f"{GAIN}\n    own_lookup = 3", "has    lookup",
         "own_lookup"),
        *(
            (GAIN, f"{GAIN}\n    def {name}(self, *given): ...", GAIN, f"has    {name}", "own_")
            for name in SPECIAL
        ),
    ],
    "real: result": [
        (REAL, "return list(x)", REAL, "real returned a list", "return an array"),
        (REAL, "np.multiply(x, factors)", REAL, "real returned nothing", "return "),
        (REAL, "return (x * factors).sum()", REAL, "an array of floats [", "return "),
    ],
    "real: raises": [
        (REAL, "return x / 0 if isinstance(x, float) else 1 // 0", REAL,
         "ZeroDivisionError: integer division or modulo by zero (own.py:10)", ""),
        (REAL, 'return x * self.attrs["factor"]', REAL, "values of factor, which real reads",
         'uses("gained", factor=(0.5, 1.0))'),
    ],
    "quantize: result": [
        (SCALED, "Scaled(step, gain=gain)", SCALED, "quantize returned nothing", "gain=gain"),
        (SCALED, "return step", SCALED, "needs  Scaled(unit, gain=gain)", "gain=gain"),
    ],
    "quantize: raises": [
        (SCALED, f"raise SystemExit(0)\n        {SCALED}", SCALED, "SystemExit: 0 (own.py:15)", ""),
        (SCALED, "return Scaled(gain=gain)", SCALED, "TypeError: Scaled.__init__() missing 1", ""),
    ],
    "nest: result": [
        (PRODUCT, "x * self.gain", PRODUCT, "nest returned nothing", "return "),
        (PRODUCT, "return 3", PRODUCT, "nest returned 3", "return "),
    ],
    "nest: raises": [
        (PRODUCT, "return [][0]", PRODUCT, "IndexError: list index out of range (own.py:18)", ""),
        (PRODUCT, "return x * self.gian", PRODUCT,
         "no constant gian: annotated are gain (own.py:18)", "self.gain"),
        (PRODUCT, "return x * self.gain * 0.5", PRODUCT, "a formula has integers, not 0.5",
         "* self."),
        ("def nest(self, x):\n        return",
         "def nest(self, x):\n        if x > 0: x = 0 - x\n        return",
         "def nest(self, x):\n        x = where(x > 0, 0 - x, x)\n        return", "if, and, or",
         "where("),
        *(
            (PRODUCT, f"return self.gain * {wrong}", f"return self.gain * {right}", said, tried)
            for wrong, right, said, tried in (
                ("np.clip(x, -5, 5)", "clip(x, -5, 5)", "clip of a formula", "clip("),
                ("np.maximum(x, 0)", "maximum(x, 0)", "maximum of a formula", "maximum("),
                ("np.abs(x)", "abs(x)", "absolute of a formula", "abs(x)"),
                ("np.where(x > 0, x, 0)", "where(x > 0, x, 0)", "where of a formula", "where("),
                ("max(x, 0)", "where(x > 0, x, 0)", "if, and, or, min, max of", "where("),
                ("(x / 2)", "(x * 16384 >> 15)", "/ of a formula", ">> 15"),
                ("(x // 2)", "(x * 16384 >> 15)", "// of a formula", ">> 15"),
                ("(x ** 2)", "(x * x >> 15)", "** of a formula", "x * x"),
                ("(x == 0)", "(1 - (x < 0) - (x > 0))", "== of a formula", "1 - (a < b) - (a > b)"),
                ("(x != x)", "((x < 0) + (x > 0))", "!= of a formula", "(a < b) + (a > b)"),
                ("(0 == x)", "(1 - (x < 0) - (x > 0))", "== of a formula", "1 - (a < b) - (a > b)"),
                ("((x > 0) & (x < 9))", "((x > 0) * (x < 9))", "& of a formula", "a * b"),
                ("((x < 0) | (x > 9))", "maximum(x < 0, x > 9)", "| of a formula", "maximum("),
                ("((x < 0) ^ (x > 9))", "((x < 0) + (x > 9))", "^ of a formula", "(a > b)"),
                ("(~(x > 0))", "(1 - (x > 0))", "~ of a formula", "1 - a"),
                ("(x >= 0)", "(x > 0 - 1)", ">= of a formula", "> b - 1"),
                ("round(x)", "rounded_shift(x, 0)", "round() of a formula", "rounded_shift("),
                ("np.tanh(x)", 'self.lookup("gain", x * 0)', "tanh of a formula", "self.lookup("),
            )
        ),
    ],
    "nest: a shift": [
        (PRODUCT, f"return self.gain + ({wrong})", f"return self.gain + ({right})", said,
         f"{right} in place of {wrong}".replace("x ", "", tried))
        for wrong, right, said, tried in (
            ("x >> -3", "x << 3", "a shift by -3 bits", 2),
            ("x << -3", "x >> 3", "a shift by -3 bits", 2),
            ("rounded_shift(x, -2)", "x << 2", "a shift by -2 bits", 0),
        )
    ],
    "Scaled: unit": [
        ("self.params(0).scale * step", "-step", "self.params(0).scale * step", "the unit -",
         "self.params(0).scale"),
        ("self.params(0).scale * step", "10**400", "self.params(0).scale * step", "the unit 1000",
         "self.params(0).scale"),
        ("self.params(0).scale * step", "np.complex64(1)", "self.params(0).scale * step",
         "the unit (1+0j)", "self.params(0).scale"),
        ("self.params(0).scale * step", "None", "self.params(0).scale * step", "the unit nothing",
         "self.params(0).scale"),
    ],
    "Scaled: constants": [
        ("gain=gain)", "gains=gain)", "gain=gain)", "has    Scaled(unit, gains)",
         "gains: Constant"),
        ("gain=gain)", "gain=gain.astype(np.int64) << 40)", "gain=gain)", "magnitudes up to ",
         "gain=np.clip(gain, -2147483647, 2147483647)"),
        ("gain=gain)", "gain=gain * np.nan)", "gain=np.nan_to_num(gain))", "gain as finite",
         "gain=np.nan_to_num(gain)"),
        ("gain=gain)", "gain='3')", "gain=1)", "has    3", "gain=1"),
        ("gain=gain)", "gain=gain[:, None])", "gain=np.ravel(gain))", "1]", "gain=np.ravel(gain)"),
        ("gain=gain)", "gain=gain.repeat(3))", "gain=gain)", "gain has shape [", "gain"),
    ],
    "self.attrs": [
        (SCALED, 'return Scaled(self.attrs["factor"], gain=gain)', SCALED, "KeyError: 'factor'",
         "*, factor"),
    ],
    "self.params": [
        ("self.params(0)", "self.params(5)", "self.params(0)", "no params(5): there are 0",
         "self.params(0)"),
        (PRODUCT, "return x * self.params(0).zero_point", PRODUCT, "only quantize has",
         "in quantize"),
    ],
    "self.constant": [
        ("rint(self.constant(1)", "rint(self.constant(0)", "rint(self.constant(1)",
         "no constant(0): there are 1", "self.constant(1)"),
    ],
    "self.site": [
        (PRODUCT, "return x * self.site.out[0]", PRODUCT, "only quantize has", "in quantize"),
    ],
    "self.as_data": [(PRODUCT, "return self.as_data", PRODUCT, "nest returned False", "return ")],
    "self.multipliers": [
        (SCALED, "return Scaled(self.multipliers(1, 1)[0], gain=gain)", SCALED,
         "no params(1): there are 0", "self.params(0)"),
    ],
    "self.lookup": [
        (PRODUCT, "return self.lookup('gains', x)", PRODUCT, "no constant gains", "self.gain"),
    ],
}  # fmt: skip
ROWS = [(part, *row) for part, rows in FAULTS.items() for row in rows]


def parts() -> Iterator[str]:
    """What an author states: the class statement, functions and what they return and read."""
    yield from (f"statement: {part}" for part in STATEMENT)
    yield from (f"{hook}: {part}" for hook in HOOKS for part in ("result", "raises"))
    yield "nest: a shift"
    yield from (f"Scaled: {name}" for name in [*inspect.signature(Scaled.__init__).parameters][1:])
    yield "self.attrs"
    yield from (f"self.{name}" for name in vars(ElementwiseOperator) if name[0] != "_")


@contextmanager
def defined(source: str) -> Iterator[Callable[[], DrawnCase]]:
    """Defines the operator; what it gives draws a use."""
    names: dict[str, Any] = {"__name__": "own"}
    draw = Draw(np.random.default_rng(0))
    try:
        exec(compile(source, "own.py", "exec"), names)
        yield lambda: DrawnCase(**vars(names["CASES"]["gained"](draw)))
    finally:
        for table in (OPS, FORMULAS):
            table.pop("gained", None)


def use(source: str) -> None:
    """Define the operator, and compute with floats and integers."""
    with defined(source) as draw:
        for case in (draw() for _ in range(3)):
            integer_step(case.step, case.data)


C_WORDS = ("int", "register", "x0", "y", "tile", "low", "high", "me_next_b", "v0", "k0")
BOUND = [f.name for f in fields(FormulaParams)]  # names that the mechanism itself gives


def test_constants_may_have_any_name() -> None:
    """Those of the mechanism and of C, too: in NumPy, and in C that reads numbers as data."""
    names = (*BOUND, *C_WORDS)
    source = SOURCE.replace(GAIN, "\n".join(f"    {name}: Constant" for name in names))
    source = source.replace(
        "gain=gain",
        ", ".join(f"{name}=gain{'[0]' * (n % 2)} // 99" for n, name in enumerate(names)),
    )
    source = source.replace("self.gain", f"({' + '.join(f'self.{name}' for name in names)})")
    with defined(source) as draw:
        case = draw()
        want = integer_step(case.step, case.data)
        whole = joined([case])
        for network in (whole, whole.with_numbers_as_data):
            (made,) = c_results(network, case.data)
            np.testing.assert_array_equal(made, want)


def test_every_part_of_a_description_has_a_fault() -> None:
    """A new field, function or method needs a check."""
    assert {*parts()} == {*FAULTS}
    statement = {*inspect.signature(ElementwiseOperator.__init_subclass__).parameters} - {"others"}
    assert statement == {"name", "doc", "constants", "limits"}
    use(SOURCE)


@each(("part", "old", "wrong", "mended", "words", "tried"), ROWS)
def test_a_fault_of_an_author_is_told(
    part: str, old: str, wrong: str, mended: str, words: str, tried: str
) -> None:
    assert SOURCE.count(old) == 1
    with pytest.raises(MyoedgeError) as caught:
        use(SOURCE.replace(old, wrong))
    error = caught.value
    assert error.code == "E257"
    facts = dict(error.notice.facts)
    assert facts["class"].startswith("own.Gained (own.py:")
    assert {"needs", "has"} <= {*facts}
    said = " ".join(str(error).split())
    assert " ".join(words.split()) in said, str(error)
    assert tried in error.notice.tries[0], str(error)
    use(SOURCE.replace(old, mended))


UNIT = "Scaled(self.params(0).scale * step"
SQUARE = """
from myoedge.operators.api import *


class Squared(ElementwiseOperator, name="gained", doc="square of a difference"):
    m: Constant
    n: Constant

    def real(self, a, b):
        return (a - b) ** 2

    def quantize(self):
        unit, (m, n) = self.multipliers(1, -1)
        return Scaled(unit * unit, m=m, n=n)

    def nest(self, a, b):
        d = a * self.m + b * self.n
        return d * d


CASES = uses("gained")
"""


def remedies(source: str) -> tuple[str, tuple[str, ...]]:
    """What E117 says of a formula: the part that may overflow, and what to try."""
    with defined(source) as draw, pytest.raises(MyoedgeError) as caught:
        draw().step  # noqa: B018
    assert caught.value.code == "E117"
    return dict(caught.value.notice.facts)["has"], caught.value.notice.tries


class Names:
    """The formulas of a message's lines, with what their names stand for."""

    def __init__(self) -> None:
        self.known: dict[str, ast.expr] = {}

    def stated(self, line: str) -> str:
        """The line without its definitions, which are known from here on."""
        line, _, defined = line.partition(", with ")
        found = re.findall(r"(\w) = (.*?)(?=, \w = |$)", defined)
        for name, text in reversed(found):
            assert name not in self.known
            (self.known[name],) = self.formulas(text)
        return line

    def formulas(self, *texts: str) -> list[ast.expr]:
        """Formulas of a line, which repeat none with operands."""
        found = [ast.parse(text, mode="eval").body for text in texts]
        inner = [x for tree in found for x in ast.walk(tree)]
        parts = [ast.dump(x) for x in inner if isinstance(x, ast.BinOp | ast.Call | ast.Compare)]
        assert len({*parts}) == len(parts), texts
        for name, part in self.known.items():
            found = [replaced(tree, ast.Name(name, ast.Load()), part) for tree in found]
        return found


def replaced(tree: Any, old: ast.expr, new: ast.expr) -> Any:
    """The tree with one formula in the place of another."""

    class Replacement(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            return new if ast.dump(node) == ast.dump(old) else self.generic_visit(node)

    return Replacement().visit(copy.deepcopy(tree))


def followed(source: str, tried: str, names: Names) -> tuple[str, int]:
    """The source after a remedy, and the power of two by which its unit grows."""
    bits = 0
    own = source.partition("nest(self, x):\n        return ")[2].partition("\n")[0]
    tree = ast.parse(own, mode="eval").body
    for line in tried.removeprefix("if larger values may saturate: ").split(";\n"):
        if unit := re.fullmatch(r"Scaled\(2\*\*(\d+) \* unit, ...\) in quantize", line):
            bits = int(unit[1])
            source = source.replace(UNIT, UNIT.replace("(", f"(2**{bits} * ", 1))
            continue
        by, _, rest = names.stated(line).partition(" in place of ")
        operand, _, whole = rest.partition(", in ")
        new, old, *around = names.formulas(by, operand, *([whole] if whole else []))
        part = around[0] if around else old
        made = replaced(tree, part, replaced(part, old, new))
        assert ast.dump(made) != ast.dump(tree), tried
        tree = made
    return source.replace(own, ast.unparse(tree)), bits


def decibels(wanted: Any, found: Any) -> float:
    """Power of what is wanted to that of the difference."""
    exact, error = (np.asarray(x, float) for x in (wanted, wanted - found))
    return float(10 * np.log10((exact**2).mean() / max((error**2).mean(), 1e-30)))


def of_integers(source: str) -> Any:
    """A formula of drawn integers, which Python computes with as many bits as it needs."""
    rng, formula = np.random.default_rng(0), source.partition("nest(self, x):\n        return ")[2]
    x, gain = (rng.integers(-n, n + 1, 999).astype(object) for n in (128, 32767))
    names = {"x": x, "self": SimpleNamespace(gain=gain)}
    names |= {"where": np.where, "minimum": np.minimum}
    return eval(formula.partition("\n")[0], names)


@pytest.mark.parametrize(
    ("formula", "part", "shifts"),
    [
        ("x * self.gain * self.gain", "x * self.gain * self.gain from -", True),
        ("x * x * x * x * self.gain", "x * x * x * x", True),
        ("x * self.gain + (x << 26)", "x << 26 from -", True),
        ("(x << 20) * self.gain", "(x << 20) * self.gain from -", True),
        ("(x * self.gain * self.gain) >> 9", "x * self.gain * self.gain from -", True),
        ('self.lookup("gain", x) + x', 'self.lookup("gain", x) of any value', False),
        ("self.gain << x", "self.gain << x of any value", False),
        ("(x << 15) * (x << 15)", "p * p", True),
        ("where(x > 5, x * x * x * x, x << 30)", "x * x * x * x", True),
        ("abs(x * x) * self.gain * self.gain", "abs(x * x) * self.gain * self.gain from", True),
        ("self.gain * (x + (x << 16))", "self.gain * (x + (x << 16)) from -", True),
        (
            "minimum(abs(x), 9) * self.gain * self.gain",
            "minimum(abs(x), 9) * self.gain * self",
            True,
        ),
    ],
)
def test_a_formula_that_may_overflow_is_told_with_what_it_fits(
    formula: str, part: str, shifts: bool
) -> None:
    """Shifts, which keep the precision, before clips; both are followed as they are written."""
    source = SOURCE.replace(PRODUCT, f"return {formula}")
    has, tries = remedies(source)
    names = Names()
    assert names.stated(has).startswith(part), has
    assert ["saturate" in tried for tried in tries] == ([False, True] if shifts else [False])
    for tried in tries:
        mended, bits = followed(source, tried, names)
        with defined(mended) as draw:
            assert draw().step.bound < 2**31
        if "clip(" not in tried:
            assert decibels(of_integers(source), of_integers(mended) * 2**bits) > 30


@pytest.mark.parametrize("shift", [">> 40", "<< 40"])
def test_a_shift_by_a_number_of_bits_that_no_value_has_is_told(shift: str) -> None:
    """The remedies of both directions make the formula fit."""
    source = SOURCE.replace(PRODUCT, f"return (x * self.gain) {shift}")
    has, tries = remedies(source)
    names = Names()
    assert names.stated(has).startswith(f"(x * self.gain) {shift} of any value")
    for tried in tries:
        with defined(followed(source, tried, names)[0]) as draw:
            assert draw().step.bound < 2**31


def test_constants_of_any_byte_order() -> None:
    """As numbers that were read from a file, for example."""
    with defined(SOURCE.replace(".astype(np.int16)", '.astype(">i2")')) as draw:
        case = draw()
        (made,) = c_results(joined([case]), case.data)
    with defined(SOURCE) as draw:
        np.testing.assert_array_equal(made, integer_step(draw().step, case.data))


def test_a_square_of_a_difference_keeps_its_precision() -> None:
    has, (shift, _) = remedies(SQUARE)
    sums = has.partition(", with p = ")[2]
    squared, unit = shift.split(";\n")
    by, _, rest = squared.partition(" in place of ")
    assert has.startswith("p * p from 0 to ")
    assert rest == "p, in p * p"
    assert SQUARE.count(sums) == 1
    by = by.replace("p", f"({sums})")
    times = unit.removesuffix(" * unit, ...) in quantize")
    with defined(SQUARE.replace(sums, by).replace("Scaled(unit", f"{times} * unit")) as draw:
        case = draw()
        assert case.step.bound < 2**31
        result = integer_step(case.step, case.data).astype(np.int64)
        made = (result - case.target.zero_point) * case.target.scale
        assert decibels(case.real(case.dequantized), made) > 30
