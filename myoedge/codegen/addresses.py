# SPDX-License-Identifier: Apache-2.0
"""Macros in network.c for the addresses of layers' buffers in L1, L2 and L3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from myoedge.codegen.names import function_name
from myoedge.operators.kernel import Operand, Written
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.locations import Location
from myoedge.plan.loops import own_row
from myoedge.plan.plan import Plan, size_bytes

L1, L2 = "me_l1", "me_arena"  # C arrays


def macro(function: str, operand: str, memory: str = "") -> str:
    """Return the name of the macro for a buffer's address: ("l01_conv", "x", "L2") ->
    "L01_CONV_X_L2"; memory "" means L1."""
    return "_".join(part.upper() for part in (function, operand, memory) if part)


def added(start: str, offset: int) -> str:
    """Return the C expression start + offset."""
    if not offset:
        return start
    return f"{start} {'+' if offset > 0 else '-'} {abs(offset)}"


@dataclass(frozen=True, slots=True)
class Outside:
    """Address of an operand that is in L2 or in a caller's buffer, in C.

    text       C expression of a pointer to bytes
    origin     byte offset in the operand to which `text` points; for data from L3, an offset in the
               arena
    in_arena   whether network.c defines a macro for the address
    """

    text: str
    origin: int = 0
    in_arena: bool = False


class Base(Protocol):
    """Function that returns the address of an operand.

    stays   of a constant that is partly streamed: the part that stays in L2
    """

    def __call__(self, operand: Operand, stays: bool = False) -> Outside: ...


@dataclass
class Addresses:
    """Macros for the addresses of a layer's buffers.

    function   C name of the layer
    offsets    operand -> offset in L1 that its macro stands for
    lines      the #define lines
    """

    function: str
    offsets: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def define(self, operand: str, value: str, memory: str = "", note: str = "") -> str:
        """Add a macro for the address of an operand and return its name.

        value    C expression of the address
        memory   memory in the macro's name; "": L1
        note     comment
        """
        name = macro(self.function, operand, memory)
        value = f"({value})" if " " in value else value
        self.lines.append(f"#define {name} {value}{f' /* {note} */' if note else ''}")
        return name

    def l1(self, operand: str) -> str:
        """Return the C expression for the L1 address of an operand's buffers."""
        return macro(self.function, operand) if operand in self.offsets else L1

    def offset(self, operand: str) -> int:
        return self.offsets.get(operand, 0)


def l1_addresses(function: str, tiling: Tiling, resident: Callable[[int], str]) -> Addresses:
    """Define macros for all operands of a layer in L1.

    resident   offset of an operand that an earlier layer left in L1 -> C expression
    """
    found, sizes = Addresses(function), buffer_sizes(tiling)
    for name, buffers in sizes.items():
        found.offsets[name] = min(buffers)
        count, most = len(buffers), max(buffers.values())
        note = f"{f'{count} x ' if count > 1 else ''}{most:,} bytes"
        found.define(name, added(L1, min(buffers)), note=note)
    for name, offset in tiling.resident.items():
        if name not in sizes:
            found.offsets[name] = offset
            found.define(name, resident(offset))
    return found


def buffer_sizes(tiling: Tiling) -> dict[str, dict[int, int]]:
    """Return the buffers of a layer in L1: operand -> {offset: bytes}."""
    sizes: dict[str, dict[int, int]] = {}
    for buffer in tiling.buffers:
        sizes.setdefault(buffer.operand, {})[buffer.offset] = buffer.size_bytes
    return sizes


@dataclass(frozen=True)
class NetworkAddresses:
    """C expressions for the addresses of tensors, as seen by each layer and by the code after the
    last layer."""

    plan: Plan

    def written(self, index: int, result: int) -> str:
        """Return the macro for a layer's result in L1 or in the arena; "" if it is elsewhere."""
        step, tiling = self.plan.steps[index], self.plan.tilings[index]
        place = self.plan.place(index, step.written[result])
        memory = {"l1": "", "arena": "L2"}.get(place.kind)
        name = tiling.kernel.written(Written(result)).name
        return "" if memory is None else macro(function_name(index, step), name, memory)

    def address(self, location: Location, index: int) -> str:
        """Return the C expression of an address in L1 or the arena, relative to the result most
        recently written there.

        index   layer that uses it
        """
        for before in reversed(range(index)):
            for number, node in enumerate(x.node for x in self.plan.steps[before].results):
                start = self.plan.place(before, node.name)
                if own_row(self.plan.quant, node) or start.row_bytes:
                    continue
                ends = start.offset + max(size_bytes(self.plan.quant, node.name), 1)
                if start.kind == location.kind and start.offset <= location.offset < ends:
                    return added(self.written(before, number), location.offset - start.offset)
        return f"{L1 if location.kind == 'l1' else L2} + {location.offset}"

    def resident(self, index: int) -> Callable[[int], str]:
        return lambda offset: self.address(Location("l1", "", offset), index)


def named(base: Base, addresses: Addresses) -> Base:
    """Return a function like `base` whose arena addresses are macros, each defined on first use.

    base   operand -> its address
    """
    found: dict[str, Outside] = {}

    def of(operand: Operand, stays: bool = False) -> Outside:
        outside = base(operand, stays)
        if not outside.in_arena:
            return outside
        if operand.name not in found:
            name = addresses.define(operand.name, outside.text, "L2")
            found[operand.name] = Outside(name, outside.origin)
        return found[operand.name]

    return of
