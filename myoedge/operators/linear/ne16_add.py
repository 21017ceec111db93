# SPDX-License-Identifier: Apache-2.0
"""Linear layer on NE16 fused with an addition: the cores add another tensor to its results while
NE16 computes the next rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from myoedge.numerics.arrays import round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.tiling import wide_sum
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.format import EIGHT, EITHER, STORED_BITS, Format
from myoedge.operators.kernel import Fields, Operand, Region, Sizes, TiledKernel, of_member
from myoedge.operators.products.ne16 import first_job_rows, last_job_row, rows_on_ne16
from myoedge.operators.products.ne16_cycles import JOBS_A_TILE
from myoedge.operators.products.ne16_rules import is_in_words, on_ne16
from myoedge.operators.products.rows import row_sizes
from myoedge.targets.chip import Engine

BESIDE_RESIDUAL = Format((EIGHT, EITHER), weights=STORED_BITS)
ADDED = 1.05  # cycles of eight cores: a sum
BESIDE_ENGINE = 0.25  # of these, by which they delay the engine
SIDES = ("mult", "wide", "once")  # fields of each operand of a sum


def linear_with_add_on_ne16(
    step: QuantizedNode, engine: Engine, *, in_place: bool = False
) -> TiledKernel:
    """Return the NE16 kernel of a linear layer fused with the addition after it; its results stay
    in scratch until they are added.

    in_place   as in wide_rows_on_ne16
    """
    linear, (rows, _, k) = rows_on_ne16(step, engine, in_place=in_place), row_sizes(step)
    added, residual = _added(step), len(step.operands) - 1
    dims = linear.out.dims
    b = Operand("b", residual, (rows, k), dims, itemsize=step.read_type(residual).size_bytes)
    y = replace(linear.out, itemsize=added.element_type.size_bytes, position_stride="")

    def results(sizes: Sizes) -> Any:
        """Return the bytes of scratch before the results."""
        return round_up(linear.scratch(sizes), 4)

    def tile(regions: Mapping[str, Region]) -> Fields:
        height, width = regions["y"].extent
        at = f"@scratch+{results({'row': height, 'k': width})}"
        own = {**linear.tile(regions), "y": at}
        return {**of_member("linear", own), "b": "@b", "y": "@y"}

    def work(sizes: Sizes) -> Any:
        sums = ADDED * sizes["row"] * sizes["k"]
        return linear.work(sizes) + sums * (BESIDE_ENGINE + 1 / JOBS_A_TILE)

    return replace(
        linear,
        function="me_ne16_linear_add_s8",
        operands=(*(o for o in linear.operands if not o.written), b, y),
        op=of_member("linear", linear.op) | of_member("add", _sum_fields(step, engine)),
        tile=tile,
        launches_next_tile=_launches_next_tile,
        scratch=lambda sizes: results(sizes) + sizes["row"] * sizes["k"],
        work=work,
    )


def _added(step: QuantizedNode) -> QuantizedNode:
    """Return the sum after a linear layer."""
    assert step.behind is not None, "a layer without a sum after it"
    return step.behind


def _sum_fields(step: QuantizedNode, engine: Engine) -> Fields:
    """Fields of the sum, with the linear layer's result as its operand a."""
    added = _added(step)
    fields = wide_sum(added, engine).op
    if added.operands[0] != step.operands[-1]:
        return fields
    turned = {
        f"{one}_{side}": fields[f"{other}_{side}"] for one, other in ("ab", "ba") for side in SIDES
    }
    return {**fields, **turned}


def _launches_next_tile(here: Fields, behind: Fields) -> bool:
    """Return whether a tile's first job may start before the cores have added the previous tile's
    last results: neither its rows nor its results take their place in scratch."""
    own, then = (
        {name.removeprefix("linear."): value for name, value in fields.items()}
        for fields in (here, behind)
    )
    first, last = first_job_rows(then), last_job_row(own)
    alike = own["y"] == then["y"] and (first <= last or then["in_place"])
    return bool(alike) and first * int(then["k"]) <= last * int(own["k"])


def adds_another(step: QuantizedNode) -> ConstraintViolation | None:
    """Require an addend other than the linear layer's input, which may be converted in place.

    -> None, or the violated requirement
    """
    if step.operands[0] != step.operands[-1]:
        return None
    return ConstraintViolation("another operand", "its own", "a copy")


def is_same_size(step: QuantizedNode) -> ConstraintViolation | None:
    """Require an addition of equal shapes, without a table after it.

    -> None, or the violated requirement
    """
    added = _added(step)
    if added.table is None and all(shape == added.out for shape in added.shapes):
        return None
    return ConstraintViolation(
        "a sum of two tensors of equal shapes", "a broadcast sum", "equal shapes"
    )


WITH_SUM_ON_NE16 = (
    on_ne16(linear_with_add_on_ne16, is_same_size, form=BESIDE_RESIDUAL),
    on_ne16(
        partial(linear_with_add_on_ne16, in_place=True),
        is_same_size,
        is_in_words,
        adds_another,
        form=BESIDE_RESIDUAL,
    ),
)
