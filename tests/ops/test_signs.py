# SPDX-License-Identifier: Apache-2.0
"""Parameters of both signs and 0: an operator states its limits, or computes what torch does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myoedge.operators.attributes import NOT_NEGATIVE, POSITIVE
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.queries import attribute_fault
from tests.ops.case import Case
from tests.ops.harness import drawn, mismatches, run_c
from tests.ops.test_ops import check_floats, check_meaning, integers
from tests.support.each import each

COUNT = 8  # drawn uses per operator


def other_signs(value: Any) -> Iterator[Any]:
    """An attribute with one of its numbers negated, and with it replaced by 0."""
    if isinstance(value, float) and math.isfinite(value):
        yield from (-value, 0.0)
    elif isinstance(value, tuple):
        for at, part in enumerate(value):
            yield from ((*value[:at], x, *value[at + 1 :]) for x in other_signs(part))


def with_other_signs(case: Case) -> Iterator[Case]:
    """A drawn use with another sign of each number of its attributes; weights are drawn so."""
    own = {each.name: getattr(case, each.name) for each in fields(case) if each.init}
    for name, value in case.attrs.items():
        changed = [] if name == "features" else other_signs(value)  # limits between integers
        yield from (Case(**{**own, "attrs": {**case.attrs, name: x}}) for x in changed)


def is_defined(case: Case) -> bool:
    """Whether torch's values are finite: those of a norm without eps over equal numbers are not."""
    return bool(torch.isfinite(case.real(case.dequantized)).all())


def refused(case: Case) -> bool:
    graph, (node,) = case.graph, case.graph.nodes
    shapes, dtypes = [*map(graph.shape, node.inputs)], [*map(graph.dtype, node.inputs)]
    return attribute_fault(node, shapes, dtypes) != ""


@each("op", sorted(OPS))
def test_every_sign_is_refused_or_computes_what_torch_does(op: str) -> None:
    for case in drawn(op, COUNT):
        for other in with_other_signs(case):
            if not refused(other) and is_defined(other):
                check_meaning(other)
                check_floats(other)


@pytest.mark.slow
@pytest.mark.parametrize("op", sorted(op for op in OPS if not OPS[op].view))
def test_c_computes_every_sign(op: str, tmp_path: Path) -> None:
    others = [x for case in drawn(op, COUNT) for x in with_other_signs(case) if not refused(x)]
    if others:
        differs = mismatches(others, integers(tuple(others)), run_c(others, tmp_path, "-O0"))
        assert not differs, differs


def test_no_drawn_use_is_out_of_limits() -> None:
    for op in OPS:
        assert not any(refused(case) for case in drawn(op, COUNT)), op


BOUNDED = sorted(op for op in OPS if {POSITIVE, NOT_NEGATIVE} & {*OPS[op].attributes.values()})


@each("scale", [-0.3, 0.0, 1e-45, -1e-3])
@each("op", BOUNDED)
def test_a_builder_refuses_what_the_operator_states(op: str, scale: float) -> None:
    (case,) = drawn(op, 1)
    d = GraphBuilder()
    read = [d.input(f"x{i}", shape) for i, shape in enumerate(case.shapes)]
    read += [d.constant(np.asarray(w)) for w in case.weights]
    for name, values in OPS[op].attributes.items():
        least = {POSITIVE: 2.0**-126, NOT_NEGATIVE: 0.0}.get(values, -math.inf)
        if scale < least:
            with pytest.raises(Unsupported, match=f"{op} with {name}={scale:g}, which must be"):
                d.add(op, *read, **{**case.attrs, name: scale})
