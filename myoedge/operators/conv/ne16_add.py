# SPDX-License-Identifier: Apache-2.0
"""Layers on NE16 fused with an addition: the cores add another tensor to a job's results while
NE16 computes the next job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import round_up
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.ne16_rows import (
    first_job_rows,
    last_job_row,
    replaces_unread_rows,
    rows_on_ne16,
)
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.format import EIGHT, EITHER, STORED_BITS, Format
from myoedge.operators.kernel import FREE, Fields, Region, Sizes, TiledKernel, of_member
from myoedge.operators.library.ne16_jobs import JOB, JOBS_A_TILE
from myoedge.operators.library.ne16_rules import is_in_words, on_ne16
from myoedge.operators.library.pointwise import wide_sum
from myoedge.operators.library.rows import row_sizes
from myoedge.targets.chip import Engine

BESIDE_RESIDUAL = Format((EIGHT, EITHER), EITHER, STORED_BITS)
ADDED, WIDE_ADDED = 0.9, 1.05  # cycles of eight cores per sum: int8, otherwise
BESIDE_ENGINE = 0.25  # fraction of these cycles by which the engine is delayed
SIDES = ("mult", "wide", "once")  # fields per operand of a sum


@dataclass(frozen=True, slots=True)
class SummedKernel:
    """A kernel of NE16 that may be fused with an addition.

    own        the kernel alone, with the cost of the fused one
    axes       loops of a tile in the order of the dimensions of the results; "" for none
    prepared   sizes of a tile -> cycles of the cores to prepare its operands
    launches_next_tile   as in TiledKernel, if int8 results stay in scratch until they are added
    """

    own: TiledKernel
    axes: tuple[str, ...]
    prepared: Callable[[Sizes], Any] = lambda sizes: 0
    launches_next_tile: Callable[[Fields, Fields], bool] = lambda here, behind: False

    def results_at_bytes(self, region: Region) -> int:
        """Return the offset in scratch of a tile's results, after the kernel's own scratch."""
        sizes = dict(zip(self.axes, region.extent, strict=True))
        return int(round_up(self.own.scratch(sizes), 4))

    def with_sum(self, step: QuantizedNode, engine: Engine) -> TiledKernel:
        """Return the kernel fused with the addition after it. int8 sums take the place of the
        results; for int16 sums the results stay in scratch."""
        own, added, residual = self.own, _following_sum(step), len(step.operands) - 1
        in_place, b_type = added.element_type == INT8, step.read_type(residual)
        y = replace(own.out, itemsize=added.element_type.size_bytes, position_stride="")
        b = replace(y, name="b", source=residual, itemsize=b_type.size_bytes)
        sum_cycles = ADDED if in_place and b_type == INT8 else WIDE_ADDED
        rule = (in_place and own.launches_next_tile) or self.launches_next_tile

        def tile(regions: Mapping[str, Region]) -> Fields:
            at = "@y" if in_place else f"@scratch+{self.results_at_bytes(regions['y'])}"
            return {**own.tile(regions), "conv.y": at, "b": "@b", "y": "@y"}

        def scratch(sizes: Sizes) -> Any:
            if in_place:
                return own.scratch(sizes)
            return round_up(own.scratch(sizes), 4) + own.out.footprint({**own.axes, **sizes})

        def work(sizes: Sizes) -> Any:
            sums = sum_cycles * own.out.footprint({**own.axes, **sizes})
            cores = self.prepared(sizes) + sums + JOBS_A_TILE * JOB
            return np.maximum(own.work(sizes) + BESIDE_ENGINE * sums, cores) + sums / JOBS_A_TILE

        return replace(
            own,
            callbacks=("me_ne16_add",),
            operands=(*(o for o in own.operands if not o.written), b, y),
            op={**own.op, "finish": "me_ne16_add", **of_member("add", _sum_fields(step, engine))},
            tile=tile,
            launches_next_tile=rule,
            scratch=scratch,
            work=work,
        )


def linear_with_add_on_ne16(
    step: QuantizedNode, engine: Engine, *, in_place: bool = False
) -> TiledKernel:
    """Return the NE16 kernel of a linear layer fused with the addition after it.

    in_place   as in rows_on_ne16
    """
    cost = engine.kernels.get("me_ne16_jobs, rows, add", FREE)
    own = replace(rows_on_ne16(step, engine, in_place=in_place), cost=cost)
    rule = partial(_launches_next_tile, row_sizes(step)[1])
    return SummedKernel(own, ("row", "k"), launches_next_tile=rule).with_sum(step, engine)


def _following_sum(step: QuantizedNode) -> QuantizedNode:
    """Return the sum after a layer."""
    assert step.behind is not None, "a layer without a sum after it"
    return step.behind


def _sum_fields(step: QuantizedNode, engine: Engine) -> Fields:
    """Return the fields of the sum, with operands a and b swapped if the layer's result is b."""
    added = _following_sum(step)
    fields = wide_sum(added, engine).op
    if added.operands[0] != step.operands[-1]:
        return fields
    turned = {
        f"{one}_{side}": fields[f"{other}_{side}"] for one, other in ("ab", "ba") for side in SIDES
    }
    return {**fields, **turned}


def _launches_next_tile(c: int, here: Fields, behind: Fields) -> bool:
    """Return whether a tile's first job may start before the cores have added the previous tile's
    last results: neither its rows, of c bytes, nor its results take their place in scratch."""
    first, last = first_job_rows(behind), last_job_row(here)
    is_apart = behind["conv.padded"] == "@x" or replaces_unread_rows(c, here, behind)
    alike = here["conv.y"] == behind["conv.y"] and is_apart
    return bool(alike) and first * int(behind["conv.k"]) <= last * int(here["conv.k"])


def adds_another(step: QuantizedNode) -> ConstraintViolation | None:
    """Require an addend other than the layer's input, which may be converted in place.

    -> None, or the violated requirement
    """
    if step.operands[0] != step.operands[-1]:
        return None
    return ConstraintViolation("another operand", "its own", "a copy")


def is_same_size(step: QuantizedNode) -> ConstraintViolation | None:
    """Require an addition of equal shapes, without a table after it.

    -> None, or the violated requirement
    """
    added = _following_sum(step)
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
