# SPDX-License-Identifier: Apache-2.0
"""Operators that are one formula per element: the page's, a plug-in's, and one with conditions,
drawn like those of the package."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from myoedge.building.plugin_check import check_package, checked_operator, joined
from myoedge.codegen.project import make_sources
from myoedge.errors import MyoedgeError
from myoedge.frontend import operator_table
from myoedge.frontend.onnx import refusals as onnx_refusals
from myoedge.frontend.refusals import Refusal, refusal_of, unsupported
from myoedge.graph.origin import Origin
from myoedge.nest.intervals import UNKNOWN, intervals
from myoedge.nest.ir import Array, Axis, Lookup, Nest
from myoedge.operators.api import (
    Constant,
    ElementwiseOperator,
    Scaled,
    clip,
    rounded_shift,
    uses,
    where,
)
from myoedge.operators.attributes import NodeSite, fault, number
from myoedge.operators.base import OPS
from myoedge.operators.cases import Draw
from myoedge.operators.formula import FORMULAS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.streaming_rule import OperandAxis
from myoedge.plan.schedule import make_plan
from myoedge.quantization.drawn_case import DrawnCase
from myoedge.targets import DEFAULT
from tests.conftest import ROOT
from tests.ops import harness, test_ops, test_stored_numbers, test_tiles
from tests.support.onnx.quantized import check_file
from tests.support.pages import code_of

PAGE = ROOT / "docs" / "developers" / "adding-an-operator.md"
NAMES = ("lerp", "gains", "kept_above")
Shapes = tuple[tuple[int, ...], ...]


def define_others() -> dict[str, Any]:
    """A choice between operands, by a number and a constant per channel."""

    class KeptAbove(
        ElementwiseOperator, name="kept_above", doc="x where |gate| > limit", constants=1
    ):
        limit: Constant

        def real(self, x: Any, gate: Any, limits: Any) -> Any:
            return np.where(np.abs(gate) > self.attrs["factor"] * limits, x, 0.0)

        def quantize(self) -> Scaled:
            limits = self.attrs["factor"] * self.constant(2) / self.params(1).scale
            steps = np.clip(np.floor(limits), -1, 2**16)
            return Scaled(self.params(0).scale, limit=steps.astype(np.int64))

        def nest(self, x: Any, gate: Any) -> Any:
            return where(abs(gate) > self.limit, x, 0)

    return uses("kept_above", "torch.where(x1.abs() > factor * w0, x0, 0.0)", factor=(0.3, 1.0))


@pytest.fixture(scope="module", autouse=True)
def operators() -> Iterator[None]:
    """The operators, for the tests of this module."""
    before = [(table, dict(table)) for table in (OPS, FORMULAS, harness.USES)]
    OPS.pop("lerp", None)  # of a reader who has added it
    page = ModuleType("page")
    exec(code_of(PAGE, "myoedge/operators/lerp/__init__.py"), page.__dict__)
    sys.path.insert(0, str(ROOT / "tests" / "plugins" / "gains"))
    import_module("myoedge_gains")
    sys.path.pop(0)
    harness.USES.update(page.CASES | uses("gains", "x0 * w0") | define_others())
    yield
    harness.drawn.cache_clear()
    for table, kept in before:
        table.clear()
        table.update(kept)
    del sys.modules["myoedge_gains"]


@pytest.mark.parametrize("op", NAMES)
def test_a_formula_is_an_operator_like_others(op: str, tmp_path: Path) -> None:
    """By torch, in both widths; C and tiles by NumPy; ONNX by onnxruntime; damage is refused."""
    cases = harness.drawn(op, 40)
    assert {case.step.element_type.bits for case in cases} == {8, 16}
    assert {kind.bits for case in cases for kind in case.step.operand_types} == {8, 16}
    test_ops.follow(cases)
    inspect.unwrap(test_ops.test_an_operator_is_complete)(op)
    inspect.unwrap(test_ops.test_a_batch_is_its_samples)(op)
    inspect.unwrap(test_stored_numbers.test_integers_that_quantisation_gives_are_accepted)(op)
    inspect.unwrap(test_stored_numbers.test_no_damage_is_accepted_but_of_weights)(op)
    (tmp_path / "whole").mkdir()
    test_ops.compare(tmp_path / "whole", [op], 16, 0, "-O0")
    test_tiles.compare([op], 40, 0, tmp_path)
    for case in cases[:5]:
        check_file(case)


def test_constants_that_stay_inside_int32_alone_are_accepted() -> None:
    """Whoever edits a build cannot make C do what C leaves undefined."""
    wide = (case for case in harness.drawn("gains", 30) if case.step.has_int16)
    case = next(case for case in wide if case.step.integers.mult < 2**14)
    assert test_stored_numbers.accepted(case.quant)
    largest = test_stored_numbers.with_number(case, "mult", 2**15 - 1)
    assert not test_stored_numbers.accepted(largest.quant)
    bare = test_stored_numbers.with_number(largest, "own_gain", 0 * case.step.integers.own_gain)
    assert test_stored_numbers.accepted(bare.quant)


@pytest.mark.parametrize(("name", "factor"), [("halved", 1), ("less", 0.85), ("more", 1.2)])
def test_a_wrong_unit_is_found_beside_numbers_of_bits(name: str, factor: float) -> None:
    """Rounding moves a factor by a half, but not the bits of a shift."""

    class Halved(ElementwiseOperator, name=name, doc="half of it"):
        one: Constant
        bits: Constant

        def real(self, x: Any) -> Any:
            return x / 2

        def quantize(self) -> Scaled:
            unit, (one,) = self.multipliers(0.5)
            return Scaled(unit * factor * 2.0**12, one=one, bits=12)

        def nest(self, x: Any) -> Any:
            return rounded_shift(x * self.one, self.bits)

    draw, of_use = Draw(np.random.default_rng(1)), uses(name)[name]
    cases = [DrawnCase(**vars(of_use(draw))) for _ in range(24)]
    assert checked_operator(name, cases).state == ("ok" if factor == 1 else "differs")


@contextmanager
def scaled(**stated: Any) -> Iterator[tuple[DrawnCase, ...]]:
    """Drawn uses of x * attrs["factor"], whose `quantize` states one constant and a unit in steps
    of the operand, functions of the factor."""

    class Scaling(ElementwiseOperator, doc="a tensor times a number"):
        one: Constant

        def real(self, x: Any) -> Any:
            return x * self.attrs["factor"]

        def quantize(self) -> Scaled:
            one, unit = (made(self.attrs["factor"]) for made in (stated["one"], stated["unit"]))
            return Scaled(self.params(0).scale * unit, one=one)

        def nest(self, x: Any) -> Any:
            return x * self.one

    draw, of_use = Draw(np.random.default_rng(1)), uses("scaling", factor=stated["factors"])
    try:
        yield tuple(DrawnCase(**vars(of_use["scaling"](draw))) for _ in range(24))
    finally:
        for table in (OPS, FORMULAS):
            table.pop("scaling")


@pytest.mark.parametrize("wrong", [0.5, 0.9, 1, 1.1, 2])
@pytest.mark.parametrize("one", [1, 1.0, 3, 300.4, 2**14 / 3])
def test_a_wrong_unit_is_found_whatever_the_constant_is(one: float, wrong: float) -> None:
    """No constant is so small that its rounding could hide a factor."""
    unit = {"one": lambda factor: one, "unit": lambda factor: wrong * factor / one}
    with scaled(factors=(0.5, 2.0), **unit) as cases:
        assert checked_operator("scaling", cases).state == ("ok" if wrong == 1 else "differs")


@pytest.mark.parametrize(
    ("one", "told", "mended"),
    [
        (0.3, "a smaller unit in quantize, so that rounding one loses less", 300.4),
        (1.4, "a smaller unit in quantize, so that rounding one loses less", 1400.4),
        (round(300.4), "one unrounded in quantize: myoedge rounds", 300.4),
    ],
)
def test_a_constant_that_is_rounded_too_much_is_told(one: float, told: str, mended: float) -> None:
    own = mended if isinstance(one, int) else one
    for given, per, state in ((one, own, "differs"), (mended, mended, "ok")):
        stated = {"one": lambda factor, x=given: x, "unit": lambda factor, x=per: factor / x}
        with scaled(factors=(0.5, 2.0), **stated) as cases:
            found = checked_operator("scaling", cases)
        assert found.state == state
        assert (told in found.cause) == (state == "differs"), found.cause


def test_a_number_of_a_model_without_a_unit_is_the_model_s_fault() -> None:
    """Both ways out are told; the author's refuses the number at import."""
    stated = {"one": lambda factor: 1, "unit": lambda factor: factor}
    with scaled(factors=(0.0,), **stated) as (case, *others):
        with pytest.raises(MyoedgeError) as caught:
            case.step  # noqa: B018
        checked = checked_operator("scaling", others)
    assert (checked.state, "factor = 0" in checked.cause) == ("differs", True)
    notice = caught.value.notice
    assert notice.code == "E111"
    assert "scaling cannot be built with factor = 0" in notice.title
    assert dict(notice.facts)["layer"] == "layer (scaling, net.py:1)"
    assert notice.tries[0] == "another factor in the model"
    limits = eval(notice.tries[1].partition("limits=")[2].partition(" in its")[0])
    with scaled(factors=(1.0,), **stated) as (case, *_):
        assert case.step
    schema = {name: number(*span) for name, span in limits.items()}
    assert "must be from 0.001" in fault(schema, NodeSite({"factor": 0.0}, (), ()))
    assert not fault(schema, NodeSite({"factor": 1.0}, (), ()))


def test_a_table_that_is_read_twice_is_in_c_once() -> None:
    class Twice(ElementwiseOperator, doc="a table of x and of -x"):
        table: Constant

        def real(self, x: Any) -> Any:
            return np.minimum(np.abs(x), 1.0)

        def quantize(self) -> Scaled:
            steps = np.arange(300) * self.params(0).scale
            return Scaled(2.0**-20, table=np.minimum(steps, 1.0) * 2**20)

        def nest(self, x: Any) -> Any:
            table = (self.lookup("table", clip(y, 0, 255)) for y in (x, -x))
            return sum(table)

    of_use, draw = uses("twice")["twice"], Draw(np.random.default_rng(0))
    try:
        case = DrawnCase(**vars(replace(of_use(draw), shapes=((3, 40),), pattern="uniform")))
        q = joined([case]).with_numbers_as_data
        header = make_sources(make_plan(q, DEFAULT), "own").files["weights.h"]
    finally:
        for table in (OPS, FORMULAS):
            table.pop("twice")
    assert header.count("[300]") == 1, header


def test_frames_are_independent_except_along_constants() -> None:
    rule = OPS["gains"].streaming_rule
    found = [rule(OperandAxis({}, ((1, 60, 24), (24,)), 0, axis)) for axis in range(3)]
    assert [x is not None and x.is_by_frame for x in found] == [True, True, False]
    assert rule(OperandAxis({}, ((1, 60, 24), (1,)), 0, 2)) is not None


def test_an_index_outside_a_table_and_a_long_shift_have_no_range() -> None:
    """So neither C nor a bound is derived from them."""
    i, x = Axis("i", 4), Array("x", "int8", (4,))
    table = Array("t", "int16", (256,), np.arange(256, dtype=np.int16))
    for value, known in (
        (Lookup(table, x[i] + 128), (0, 255)),
        (Lookup(table, x[i] + 129), UNKNOWN),
        (x[i] >> x[i], UNKNOWN),
        (x[i] << 32, UNKNOWN),
        (x[i] << 3, (-1024, 1016)),
    ):
        nest = Nest((i,), (x,), Array("y", "int32", (4,)), (i.at,), value)
        assert intervals(nest)[id(value)] == known


@pytest.mark.parametrize(
    ("shapes", "told", "fitting"),
    [
        (((2, 3), (2, 1)), "x.transpose(0, -1) and the constant as .reshape(2)", ((3, 2), (2,))),
        (((2, 3), (2,)), "x.transpose(0, -1) and the constant as .reshape(2)", ((3, 2), (2,))),
        (((2, 3), (1, 3)), "the constant as .reshape(3)", ((2, 3), (3,))),
        (((2, 3), (1, 1)), "the constant as .reshape(1)", ((2, 3), (1,))),
        (((2, 3), (5,)), "a constant of shape [3] or [1]", ((2, 3), (3,))),
    ],
)
def test_a_constant_of_another_shape_is_refused(shapes: Shapes, told: str, fitting: Shapes) -> None:
    """The user is told which axis has the channels, and no rewrite makes such a node."""
    words = r"gains of shapes \[2, 3\], .*one value per channel, and channels are the last axis, 3"
    with pytest.raises(Unsupported, match=words) as caught:
        OPS["gains"].shape({}, *shapes)
    assert caught.value.instead.startswith(told)
    assert OPS["gains"].shape({}, *fitting) == fitting[0]


def test_operands_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(Unsupported, match=r"lerp of shapes \[2, 3\], \[4, 3\]"):
        OPS["lerp"].shape({}, (2, 3), (4, 3))


def test_a_refused_use_of_a_plugin_s_operator_says_what_to_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not which plug-in to name, as the operator is known."""
    target = "lab.gain.default"
    (row,) = sys.modules["myoedge_gains"].ROWS
    monkeypatch.setitem(operator_table.IMPORT, target, row.row)  # type: ignore[attr-defined]
    b = GraphBuilder()
    x, computed = (b.input(name, (2, 3)) for name in "xf")
    fixed = {"wide": b.constant(np.ones((2, 3), np.float32)), "own": b.constant(np.ones(3))}
    for factors, told in ((computed, "factors as a buffer"), (fixed["wide"], "shape [3] or [1]")):
        with pytest.raises(Unsupported) as caught:
            row.row(b, {"x": x, "factors": factors}, (2, 3))
        refusal = refusal_of(caught.value, target, Origin("layer", ""))
        first, last = unsupported([refusal]).notice.tries
        assert told in first
        assert "myoedge ops" in last
    assert row.row(b, {"x": x, "factors": fixed["own"]}, (2, 3))
    (last,) = unsupported([Refusal(target, Origin("layer", ""), "no")]).notice.tries
    assert "myoedge ops" in last
    (bare, _) = unsupported([Refusal(target, Origin("layer", ""))]).notice.tries
    assert "torch_library.py" in bare
    (other, _) = unsupported([Refusal("lab.other.default", Origin("layer", ""))]).notice.tries
    assert "name a plug-in that registers lab::other" in other
    refused = Refusal("lab.Gain", Origin("node", ""))
    (told, _) = unsupported([refused], onnx_refusals.instead).notice.tries
    assert 'name a plug-in with a row of "lab.Gain(...)"' in told
    monkeypatch.setitem(operator_table.ONNX_IMPORT, "lab.Gain", row.row)  # type: ignore[attr-defined]
    (last,) = unsupported([refused], onnx_refusals.instead).notice.tries
    assert "myoedge ops" in last


def test_formulas_of_the_package_itself_are_checked() -> None:
    found = check_package("where")
    assert [(x.name, x.state) for x in found.operators] == [("where", "ok")]
    assert (found.entry_points, found.exit_code) == ((), 0)
