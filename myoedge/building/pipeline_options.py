# SPDX-License-Identifier: Apache-2.0
"""Options of the pipeline, and the time of its stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from myoedge.building.options import QuantizeOptions
from myoedge.graph.ir import Graph
from myoedge.operators.engine_choice import AUTO
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.moves.weight_bits import Keeps
from myoedge.system.regular_files import MAX_UNPACKED_BYTES
from myoedge.targets.chip import Chip

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options(QuantizeOptions):
    """Options of quantisation, and the limits that a build adds.

    reuse       network of an older build; unchanged layers keep its parameters
    max_bytes   maximum unpacked size of samples and of a compressed checkpoint
    planned_cycles   network -> estimated cycles of its plan, infinite if it does not fit the
                     memories; None: the estimates of the layers are added
    examine     called with the loaded network before the long part; returns the part to build, or
                raises
    say         progress callback with the name of each stage
    stream      whether frames are pushed, so that a decoder works frame by frame
    engine      engine of layers that [engine] does not name: "auto", "cores", or an accelerator
    chip        chip whose accelerators may run layers; such layers get the accelerator's integers
    keeps       network -> whether it meets [budget] l2 and energy; None without such limits
    decided_by  values that determine planned_cycles, keeps and examine, for the cache key; None: no
                caching
    """

    reuse: QuantGraph | None = None
    max_bytes: int = MAX_UNPACKED_BYTES
    examine: Callable[[Graph], Graph] = field(default=lambda graph: graph)
    planned_cycles: Callable[[QuantGraph], float] | None = None
    say: Progress = field(default=lambda stage: None)
    stream: bool = False
    engine: str = AUTO
    chip: Chip | None = None
    keeps: Keeps | None = None
    decided_by: object = None


@contextmanager
def timed(stage: str, times_s: dict[str, float], say: Progress) -> Iterator[None]:
    """Return a context that reports the name of a stage, and adds its duration to times_s[stage].

    say   progress callback
    """
    say(stage)
    began = time.perf_counter()
    yield
    times_s[stage] = times_s.get(stage, 0.0) + time.perf_counter() - began
