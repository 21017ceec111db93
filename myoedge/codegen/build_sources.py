# SPDX-License-Identifier: Apache-2.0
"""The sources of a build from its plan and golden sample: of `build`, and to check a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from myoedge.codegen.application import Application, FirmwarePart
from myoedge.codegen.known_answer import known_answer
from myoedge.codegen.made_with import SourceOptions
from myoedge.codegen.project import Sources, make_sources
from myoedge.numerics.arrays import Array
from myoedge.plan.plan import Plan
from myoedge.streaming.stream import Stream


@dataclass(frozen=True)
class GoldenSample:
    """The golden sample of a build.

    integers      input -> integers; for a stream any number of frames
    values        all tensors of the network on whole samples
    last_inputs   integers of the run that the generated C repeats: for a stream, of the last pass
    last_values   all tensors of that run
    """

    integers: Mapping[str, Array]
    values: Mapping[str, Array]
    last_inputs: Mapping[str, Array]
    last_values: Mapping[str, Array]


def build_sources(
    plan: Plan,
    name: str,
    sample: GoldenSample,
    options: SourceOptions,
    stream: Stream | None = None,
    application: Application | None = None,
    parts: Sequence[FirmwarePart] = (),
) -> Sources:
    """Generate src/ of a build; equal arguments give equal bytes.

    name   of the model
    Errors: as make_sources.
    """
    answer = known_answer(plan, stream, options, sample.integers, sample.values)
    golden = (
        [sample.last_inputs[name] for name in plan.graph_inputs],
        [sample.last_values[name] for name in plan.graph_outputs],
    )
    return make_sources(plan, name, golden, stream, application, parts, options, answer)
