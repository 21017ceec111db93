# SPDX-License-Identifier: Apache-2.0
"""Attributes in a build from elsewhere: those that an operator does not allow are refused, and with
all others its C stays inside its arrays and computes what NumPy does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.errors import MyoedgeError
from myoedge.operators.base import OPS
from myoedge.operators.checks import enforce
from myoedge.operators.turns import IN_LOOPS
from myoedge.plan.check import PLANNED
from myoedge.plan.schedule import make_plan
from myoedge.quantization.files import from_files, to_json, to_safetensors, weight_shapes
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.stored_numbers import check_stored
from tests.ops.case import Case
from tests.ops.harness import HOST, drawn, mismatches, run_c
from tests.ops.test_ops import integers
from tests.support.each import each

VALUES = (-1, 0, 1, -1000, 1000, 2**31, 2**40, 0.5, float("nan"), float("inf"), "x", None, True)
COUNT = 4  # drawn uses per operator of the slow test
FEW = ("slice", "take")  # whose C runs in every run


def damaged(value: Any) -> Iterator[Any]:
    """The value with one of its parts replaced, missing, or twice."""
    if not isinstance(value, tuple):
        yield from (x for x in VALUES if repr(x) != repr(value))
        return
    yield from (value[1:], value[:-1], (*value, *value[-1:]))
    for at in sorted({0, len(value) // 2, len(value) - 1}):
        parts = damaged(value[at]) if value else ()
        yield from ((*value[:at], x, *value[at + 1 :]) for x in parts)


def read(document: dict[str, Any], weights: bytes) -> QuantGraph | None:
    """The network of edited files, as a computer that knows nothing else reads it; None if it
    refuses them."""
    text = json.loads(json.dumps(document))
    try:
        network = from_files(text, weights)
        check_stored(network, weight_shapes(text))
    except Exception:  # BuildFolder.meaningful makes E222 of any
        return None
    return network


def edited(case: Case, attrs: dict[str, Any]) -> Case | None:
    """The case with other attributes in its files, and the shape that they give; None if they are
    refused."""
    document = to_json(case.quant)
    (node,) = document["nodes"]
    node["attrs"] = attrs
    shapes = [case.graph.shape(x) for x in case.graph.nodes[0].inputs]
    try:
        document["tensors"]["y"]["shape"] = OPS[case.op].shape(attrs, *shapes)
        text = json.dumps(document)
    except Exception:
        return None
    network = read(json.loads(text), to_safetensors(case.quant))
    return None if network is None else with_network(case, attrs, network)


def with_network(case: Case, attrs: dict[str, Any], network: QuantGraph) -> Case:
    other = Case(**{**_own(case), "attrs": attrs})
    vars(other)["quant"] = network
    return other


def quantised_anew(case: Case, attrs: dict[str, Any]) -> Case | None:
    """The case with other attributes and the integers that quantisation gives for them, as somebody
    makes it who knows myoedge; None if it is refused."""
    other = Case(**{**_own(case), "attrs": attrs})
    try:
        document, weights = to_json(other.quant), to_safetensors(other.quant)
    except Exception:
        return None
    return None if read(document, weights) is None else other


def _own(case: Case) -> dict[str, Any]:
    return {each.name: getattr(case, each.name) for each in fields(case) if each.init}


def is_small(value: Any) -> bool:
    """Whether no number is so large that a test of it takes all memory."""
    if isinstance(value, tuple):
        return all(map(is_small, value))
    return not isinstance(value, int | float) or abs(value) <= 1000


def survivors(op: str, count: int) -> list[Case]:
    """Cases with damaged attributes whose files are read."""
    found = []
    for case in drawn(op, count):
        for name, value in case.attrs.items():
            for part in damaged(value):
                attrs = {**case.attrs, name: part}
                others = [edited(case, attrs)]
                others += [quantised_anew(case, attrs)] if is_small(part) else []
                found += [other for other in others if other is not None and runs(other)]
    return found


def runs(case: Case) -> bool:
    """Whether NumPy computes it, as the golden sample of a build folder before anything else."""
    try:
        return len(integers((case,))) == 1
    except Exception:
        return False


def test_scans_refuse_operands_that_numpy_would_broadcast() -> None:
    """NumPy broadcasts it; the C would read past its end."""
    (case,) = drawn("selective_scan", 1)
    x, step, *others = case.shapes
    short = Case(**{**_own(case), "shapes": (x, (*step[:-1], 1), *others)})
    with pytest.raises(ValueError, match="delta"):
        make_plan(short.quant, HOST)


@pytest.mark.parametrize("op", ["selective_scan", "add", "linear", "layer_norm"])
def test_a_plan_whose_operand_has_fewer_elements_than_the_kernel_takes_is_refused(op: str) -> None:
    case = next(x for x in drawn(op, 20) if math.prod(x.shapes[0]) > 1)
    plan = make_plan(case.quant, HOST)
    enforce(PLANNED, plan, plan.quant.graph, "planned")
    (at,) = (n for n, step in enumerate(plan.steps) if step.node.op == op)
    step = plan.steps[at]
    short = replace(step, shapes=((1,), *step.shapes[1:]))
    steps = (*plan.steps[:at], short, *plan.steps[at + 1 :])
    with pytest.raises(MyoedgeError, match="takes more of an operand"):
        enforce(PLANNED, replace(plan, steps=steps), plan.quant.graph, "planned")


@each("op", sorted(OPS))
def test_an_unknown_attribute_and_a_missing_one_are_refused(op: str) -> None:
    (case,) = drawn(op, 1)
    assert edited(case, {**case.attrs, "unknown": (1,)}) is None
    for name, values in OPS[op].attributes.items():
        left = {other: value for other, value in case.attrs.items() if other != name}
        assert values.optional or edited(case, left) is None, name


@pytest.mark.parametrize(
    "op",
    [
        pytest.param(op, marks=[pytest.mark.slow] * (op not in FEW))
        for op in sorted(OPS)
        if OPS[op].attributes and not OPS[op].view and op not in IN_LOOPS
    ],
)
def test_c_computes_what_is_read(op: str, tmp_path: Path) -> None:
    """Between guard pages, with findings of UBSan as errors."""
    others = survivors(op, 1 if op in FEW else COUNT)
    if others:
        differs = mismatches(others, integers(tuple(others)), run_c(others, tmp_path, "-O0"))
        assert not differs, differs


def other_shapes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The shape with another extent of each axis, without its first axis, and with one more."""
    for d, n in enumerate(shape):
        others = {1, n + 1, max(1, n // 2)} - {n}
        yield from ((*shape[:d], other, *shape[d + 1 :]) for other in sorted(others))
    yield from (shape[1:], (1, *shape))


def with_other_shapes(case: Case) -> Iterator[Case]:
    """The case with another shape of each operand, one after the other."""
    for name in ("shapes", "weights"):
        for at, part in enumerate(own := getattr(case, name)):
            for shape in other_shapes(np.shape(part) if name == "weights" else part):
                changed = np.resize(part, shape) if name == "weights" else shape
                rows = (*own[:at], changed, *own[at + 1 :])
                yield Case(**{**_own(case), name: rows})


def is_planned(case: Case) -> bool:
    """Whether the case is read, as a build from elsewhere that was quantised so, and planned."""
    try:
        files = to_json(case.quant), to_safetensors(case.quant)
        make_plan(case.quant, HOST)
    except Exception:
        return False
    return read(*files) is not None and runs(case)


@pytest.mark.parametrize(
    "op",
    [
        pytest.param(op, marks=[pytest.mark.slow] * (op != "gru_start"))
        for op in sorted(OPS)
        if not OPS[op].view and op not in IN_LOOPS
    ],
)
def test_c_computes_operands_of_other_shapes(op: str, tmp_path: Path) -> None:
    """What NumPy broadcasts and C does not is refused."""
    cases = [x for case in drawn(op, 2) for x in with_other_shapes(case) if is_planned(x)]
    if cases:
        differs = mismatches(cases, integers(tuple(cases)), run_c(cases, tmp_path, "-O0"))
        assert not differs, differs
