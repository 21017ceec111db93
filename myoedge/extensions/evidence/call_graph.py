# SPDX-License-Identifier: Apache-2.0
"""Call graph and stack frames of a linked RV32 program, read from its instructions; instructions
that cores 0 .. 7 execute a different number of times for other inputs.

A function that holds another function's address, in its code or through a table that it reads,
counts as a caller of it: the call is made by the function itself or by one that it calls.
"""

from __future__ import annotations

import functools
import graphlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from myoedge.backends.equivalence import cases, chip_inputs
from myoedge.backends.samples import Sample
from myoedge.simulator import RunOptions
from myoedge.system.elf import Program
from myoedge.system.instruction_facts import (
    ADDRESS,
    CALL,
    FRAME,
    INDIRECT,
    JUMP,
    UNKNOWN_FRAME,
    Decoder,
    values_by_kind,
)

if TYPE_CHECKING:
    from myoedge.backends.build import Build


@dataclass(frozen=True)
class Function:
    """A function of a compiled program.

    frame_bytes      bytes by which it lowers the stack pointer, all decrements added
    calls            names of the functions that it calls directly
    holds            names of the functions whose addresses its code or tables contain
    is_indirect      whether it calls through a register
    is_frame_known   whether every change of the stack pointer is known from the code
    """

    name: str
    frame_bytes: int
    calls: frozenset[str]
    holds: frozenset[str]
    is_indirect: bool
    is_frame_known: bool

    @property
    def callees(self) -> frozenset[str]:
        return self.calls | self.holds


@dataclass(frozen=True)
class CallGraph:
    """The functions of a compiled program and their calls.

    functions   name -> function
    roots       functions with which a core starts
    """

    functions: Mapping[str, Function]
    roots: tuple[str, ...]

    @functools.cached_property
    def recursion(self) -> tuple[str, ...]:
        """Names of functions that call each other recursively, the first one repeated at the end;
        () if there are none."""
        try:
            self._topological_sorter.prepare()
        except graphlib.CycleError as error:
            return tuple(error.args[1])
        return ()

    @property
    def _topological_sorter(self) -> graphlib.TopologicalSorter[str]:
        return graphlib.TopologicalSorter(
            {name: sorted(f.callees) for name, f in self.functions.items()}
        )

    @functools.cached_property
    def unreached(self) -> tuple[str, ...]:
        """Names of functions that no root reaches in the graph: the pointer through which they are
        called is unknown."""
        return tuple(sorted(self.functions.keys() - self.reached(self.roots)))

    def reached(self, roots: Iterable[str]) -> set[str]:
        """Return the functions that `roots` call, directly or indirectly, and `roots`."""
        found, waiting = set[str](), [*roots]
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting.extend(self.functions[name].callees)
        return found

    def stack_bytes(self, root: str) -> int:
        """Return an upper bound of the stack below `root`, its own frame included.

        A function whose address is in code or tables may be called at the end of any chain of
        direct calls, so the bound adds both depths. Errors: ValueError if functions call each other
        in a circle.
        """
        return self._stack_depths[root]

    @functools.cached_property
    def _stack_depths(self) -> Mapping[str, int]:
        if self.recursion:
            raise ValueError(f"recursion: {' -> '.join(self.recursion)}")
        depths: dict[str, int] = {}
        for name in self._topological_sorter.static_order():  # callees first
            function = self.functions[name]
            called = max((depths[callee] for callee in function.calls), default=0)
            held = max((depths[callee] for callee in function.holds), default=0)
            depths[name] = function.frame_bytes + called + held
        return depths


def call_graph(program: Program, roots: Sequence[str]) -> CallGraph:
    """Return the call graph of a program.

    roots   functions with which a core starts; each may call, through a register, the functions
            whose
    addresses the code of another root contains
    """
    places = _CodeAddresses.of(program)
    functions = {name: places.function(start, end, name) for start, end, name in program.functions}
    functions = {n: replace(f, holds=f.holds - {*roots}) for n, f in functions.items()}
    handed = frozenset(chain.from_iterable(f.holds for f in functions.values()))
    for root in roots:
        if functions[root].is_indirect:
            functions[root] = replace(functions[root], holds=functions[root].holds | handed)
    return CallGraph(functions, tuple(roots))


@dataclass(frozen=True)
class _CodeAddresses:
    """Addresses of functions in a program, and tables that contain such addresses.

    starts   address of the first instruction -> name
    tables   (first address, end, names of the functions that the table holds), in order
    """

    program: Program
    starts: Mapping[int, str]
    tables: tuple[tuple[int, int, frozenset[str]], ...]

    @staticmethod
    def of(program: Program) -> _CodeAddresses:
        starts = {start: name for start, _, name in program.functions}
        held: dict[tuple[int, int], set[str]] = {}
        for address, data in program.segments:
            for at in range(0, len(data) - 3, 4):
                name = starts.get(int.from_bytes(data[at : at + 4], "little"))
                table = None if name is None else program.object_at(address + at)
                if name is not None and table is not None:
                    held.setdefault(table, set()).add(name)
        tables = ((first, end, frozenset(names)) for (first, end), names in held.items())
        return _CodeAddresses(program, starts, tuple(sorted(tables)))

    def function(self, start: int, end: int, name: str) -> Function:
        whole = ((at, x) for at, x in self.program.code if at <= start and end <= at + len(x))
        address, code = next(whole, (start, b""))
        facts = values_by_kind(Decoder().facts(code[start - address : end - address], start))
        jumps = {at for at in facts[JUMP] if not start <= at < end}
        targets = {*facts[CALL], *jumps}
        calls = frozenset(self.starts[at] for at in targets & self.starts.keys())
        return Function(
            name,
            sum(-change for change in facts[FRAME] if change < 0),
            calls,
            self._functions_at({*facts[ADDRESS]}) - calls - {name},
            # A register that seems constant but leads to no function is not constant.
            is_indirect=bool(facts[INDIRECT]) or not targets <= self.starts.keys(),
            is_frame_known=not facts[UNKNOWN_FRAME],
        )

    def _functions_at(self, addresses: Set[int]) -> frozenset[str]:
        """Return the names of functions at these addresses, and of those in tables at these
        addresses."""
        held = {self.starts[at] for at in addresses & self.starts.keys()}
        for first, end, names in self.tables:
            if any(first <= at < end for at in addresses):
                held |= names
        return frozenset(held)


# --- code that depends on data --------------------------------------------------------------------


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
