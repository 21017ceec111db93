# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions that NE16 and the cores compute at once: each has a part of every tile's
rows, or of its results where these are one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.depthwise import depthwise_in_tiles
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16 import jobs_in_tiles
from myoedge.operators.conv.ne16_phases import Phases
from myoedge.operators.conv.ne16_schedule import DEPTHWISE, JobSchedule
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import FREE, Fields, Region, Sizes, TiledKernel, of_member
from myoedge.operators.products.ne16_constants import scale_bytes
from myoedge.operators.products.ne16_cycles import JOB
from myoedge.targets.chip import Engine

REST = "rest_"  # prefix for names of the cores' constants
SHARES = 16  # parts into which a tile is divided
FIRST_JOB = 0.25  # fraction of the engine's part
ENGINE_SLOWED, CORES_SLOWED = 1.4, 1.3  # factors on cycles due to bank conflicts in L1


@dataclass(frozen=True, slots=True)
class SharedTiles:
    """Division of a depthwise layer's tiles between NE16 and the cores.

    jobs    schedule of NE16's jobs
    cores   kernel of the cores for the rest
    share   part of a tile's units that NE16 computes, of SHARES
    """

    jobs: JobSchedule
    cores: TiledKernel
    share: int = SHARES

    def fastest(self) -> SharedTiles:
        """Return the division with the fewest estimated cycles if a single tile holds the layer."""
        ways = [replace(self, share=share) for share in range(1, SHARES + 1)]
        return min(ways, key=lambda way: float(way.cycles(self.cores.axes)))

    @property
    def axis(self) -> str:
        """Axis of a tile that is divided between NE16 and the cores."""
        return "t0" if self.jobs.in_rows else "t1"

    def units(self, sizes: Sizes) -> Any:
        """Return the rows or columns of a tile that NE16 computes: a multiple of those of its
        smallest job."""
        least, whole = self.jobs.least_units, sizes[self.axis]
        return np.minimum(np.maximum(whole * self.share // (SHARES * least), 1) * least, whole)

    def of_engine(self, sizes: Sizes) -> Sizes:
        return {**sizes, self.axis: self.units(sizes)}

    def cycles(self, sizes: Sizes) -> Any:
        """Return the estimated cycles of a tile: the cores prepare the first job, and while NE16
        computes they prepare the second and compute the rest."""
        of_engine, left = self.of_engine(sizes), sizes[self.axis] - self.units(sizes)
        rest = self.cores.cycles({**sizes, self.axis: np.maximum(left, 1)})
        prepared, computed = self.jobs.prepared(of_engine), self.jobs.computed(of_engine)
        slowed, others = np.where(left > 0, ENGINE_SLOWED, 1.0), JOB + (1 - FIRST_JOB) * prepared
        work = others + np.where(left > 0, CORES_SLOWED * rest, 0)
        return FIRST_JOB * prepared + np.maximum(slowed * computed, work)

    def scratch(self, sizes: Sizes) -> Any:
        """Return the scratch bytes of NE16's jobs, which precede the cores' scratch."""
        return round_up(self.jobs.scratch(self.of_engine(sizes)), 4)


def depthwise_on_both(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the kernel of a depthwise convolution that NE16 and the cores share; tiles divide rows
    t0 and columns t1."""
    conv = Conv2dGeometry.of(step)
    scale, bits, phases = scale_bytes(step), step.weight_bits, Phases.of(conv)
    jobs = JobSchedule(conv, DEPTHWISE, scale, bits=bits, phases=phases)
    own, cores = jobs_in_tiles(step, jobs), depthwise_in_tiles(step, engine, conv)
    cores = replace(cores, cost=replace(engine.kernels.get(cores.function, FREE), tile_cycles=0))
    shared = SharedTiles(jobs, cores).fastest()

    def whole(sizes: Sizes) -> Sizes:
        """Sizes of a tile, which has all channels."""
        return {**cores.axes, **sizes}

    def tile(regions: Mapping[str, Region]) -> Fields:
        _, rows, columns, _, _ = regions["y"].extent
        sizes = whole({"t0": rows, "t1": columns})
        of_engine = shared.of_engine(sizes)
        first, others = jobs.job_units(of_engine, 2)
        engine_fields = {**own.tile(regions), "first_units": first, "units_at_a_time": others}
        return {
            **of_member("jobs", engine_fields),
            "units": int(of_engine[shared.axis]),
            "weights": f"@{REST}weights",
            "channels": f"@{REST}channels",
            "scratch": f"@scratch+{shared.scratch(sizes)}",
        }

    constants = (
        replace(o, name=REST + o.name, source=REST + o.name, dims=((),) * len(o.dims))
        for o in cores.operands
        if o.name in ("weights", "channels")
    )
    return replace(
        own,
        function="me_ne16_depthwise_s8",
        operands=(*own.operands[:-1], *constants, replace(own.out, position_stride="")),
        op=of_member("jobs", own.op),
        tile=tile,
        launches_next_tile=lambda here, behind: False,
        scratch=lambda sizes: shared.scratch(whole(sizes)) + cores.scratch(whole(sizes)),
        work=lambda sizes: shared.cycles(whole(sizes)),
    )


def is_depthwise(step: QuantizedNode) -> ConstraintViolation | None:
    """Require a depthwise convolution: one filter per channel.

    -> None, or the violated requirement
    """
    groups = step.attrs["groups"]
    if groups > 1:
        return None
    return ConstraintViolation("a group per input", "one group", "a depthwise convolution")
