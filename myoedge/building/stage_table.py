# SPDX-License-Identifier: Apache-2.0
"""Stages of the pipeline as rows of a table, and the loop that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from myoedge.building.stages import key, reused

# Stages of a build in order: "evaluate" with labels, "simulate" for a chip. `quantize` has
# the first four.
STAGES = ("load", "quantise", "measure", "evaluate", "plan", "emit", "simulate", "check")
QUANTIZE_STAGES = STAGES[:4]
Say = Callable[[str], None]


@contextmanager
def timed(stage: str, times_s: dict[str, float], say: Say) -> Iterator[None]:
    """Context manager that reports the name of a stage, and adds its duration to times_s[stage].

    say   progress callback
    """
    say(stage)
    began = time.perf_counter()
    yield
    times_s[stage] = times_s.get(stage, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    name       its name: in progress, in times, and in the cache
    inputs     names of the values that it takes, in the order of the arguments
    outputs    names of the values that it makes: one, or those of a tuple
    function   what computes the outputs; or the stages that do, which are cached as one
    key        names of the values that determine the outputs, for the cache; (), or if one of them
               is None: no caching
    kind       dataclass of a cached output, as in `reused`
    needs      name of a value without which (None) the stage is left out; its outputs are None
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Callable[..., Any] | tuple[Stage, ...]
    key: tuple[str, ...] = ()
    kind: type[Any] | None = None
    needs: str = ""


def run(
    stages: Sequence[Stage], values: Mapping[str, Any], times_s: dict[str, float], say: Say
) -> dict[str, Any]:
    """Run stages in order, or take their outputs from the cache; return `values` and all outputs.

    values    name -> value, for the inputs that no stage makes
    times_s   receives the seconds of each stage
    say       progress callback
    """
    known = dict(values)
    for stage in stages:
        if stage.needs and known[stage.needs] is None:
            known |= dict.fromkeys(stage.outputs)
            continue
        given = {name: known[name] for name in stage.inputs}
        cached = partial(reused, stage.name, _stage_key(stage, known), say=say, kind=stage.kind)
        if isinstance(stage.function, tuple):
            made = cached(partial(_stage_outputs, stage, given, times_s, say))
        else:
            with timed(stage.name, times_s, say):
                made = cached(partial(stage.function, *given.values()))
        known |= zip(stage.outputs, made if len(stage.outputs) > 1 else (made,), strict=True)
    return known


def _stage_outputs(
    stage: Stage, given: Mapping[str, Any], times_s: dict[str, float], say: Say
) -> Any:
    """Return the outputs of a stage that consists of stages: one value, or a tuple."""
    assert isinstance(stage.function, tuple)
    made = run(stage.function, given, times_s, say)
    outputs = tuple(made[name] for name in stage.outputs)
    return outputs if len(outputs) > 1 else outputs[0]


def _stage_key(stage: Stage, known: Mapping[str, Any]) -> str | None:
    """Return the cache key of a stage; None without one, or if one of its values is None."""
    parts = [known[name] for name in stage.key]
    return None if not parts or any(x is None for x in parts) else key(stage.name, *parts)
