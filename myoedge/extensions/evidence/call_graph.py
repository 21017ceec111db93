# SPDX-License-Identifier: Apache-2.0
"""Call graph and stack frames of a linked RV32 program, read from its instructions.

A function that holds another function's address, in its code or through a table that it reads,
counts as a caller of it: the call is made by the function itself or by one that it calls.
"""

from __future__ import annotations

import functools
import graphlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

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
