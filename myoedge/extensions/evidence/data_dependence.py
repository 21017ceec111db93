# SPDX-License-Identifier: Apache-2.0
"""Code that depends on data: instructions that cores 0 .. 7 execute a different number of times for
other inputs.

These cores wait in the event unit, not in a loop, so that only data can change what they execute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myoedge.backends.equivalence import cases, chip_inputs
from myoedge.backends.samples import Sample
from myoedge.simulator import RunOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myoedge.backends.build import Build
    from myoedge.extensions.evidence.call_graph import CallGraph

MOST_LINES = 8  # source lines named per function


@dataclass(frozen=True)
class DataDependence:
    """A function with instructions whose number of executions depends on the input.

    function   its name
    lines      source lines of the instructions, "me_argmax.c:31", MOST_LINES at most
    layers     names of the layers that call it
    """

    function: str
    lines: tuple[str, ...]
    layers: tuple[str, ...]


def data_dependences(
    build: Build, samples: Sequence[Sample], graph: CallGraph
) -> Iterator[DataDependence]:
    """Simulate each sample, and yield the functions in which the executed instructions differ.

    Samples of a stream with more or fewer passes than the first are left out.
    """
    # The addresses whose execution counts differ between two runs
    counts = _execution_counts(build, samples)
    first, varying = next(counts), set[int]()
    for other in counts:
        varying |= {at for at, _ in first.items() ^ other.items()}
    program, functions = build.program, dict[str, list[str]]()
    for address in sorted(varying):
        name, line = program.function_at(address) or "?", program.line_at(address) or "?"
        functions.setdefault(name, []).append(line)
    reached = _reached_by_layers(build, graph)
    for name, lines in sorted(functions.items()):
        named = tuple(dict.fromkeys(lines))[:MOST_LINES]
        layers = tuple(layer for layer, found in reached.items() if name in found)
        yield DataDependence(name, named, layers)


def _execution_counts(build: Build, samples: Sequence[Sample]) -> Iterator[Mapping[int, int]]:
    passes = 0
    for sample in samples:
        runs = [*cases(build.network, build.stream, [sample])]
        passes = passes or len(runs)
        if len(runs) == passes:
            options = RunOptions(profile=True)
            yield build.simulate(chip_inputs(build.stream, runs), options=options)[1].executed


def _reached_by_layers(build: Build, graph: CallGraph) -> dict[str, set[str]]:
    """Return the functions that each layer's compute functions reach."""
    reached = {}
    for index, layer in enumerate(build.layer_names):
        own = (f for f in graph.functions if f.startswith(f"l{index:02d}_"))
        reached[layer] = graph.reached([f for f in own if f.endswith("_compute")])
    return reached
