# SPDX-License-Identifier: Apache-2.0
"""What every Xpulpv2 instruction computes, in plain Python integers.

Written from the RI5CY and CV32E40P user manuals and, where those leave a case open, from the
CV32E40P register-transfer code; `DIFFERENT` lists where the public GVSoC gives something else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.isa.encoding import Instruction

WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Operands:
    """What an instruction sees: registers as unsigned 32-bit, `imm` already extended."""

    rs1: int = 0
    rs2: int = 0
    rd: int = 0
    rs3: int = 0
    imm: int = 0
    size: int = 0


@dataclass(frozen=True)
class Access:
    """A load or store: `rs1` is the address register afterwards."""

    address: int
    bytes: int
    sign: bool
    store: bool
    rs1: int


def signed(value: int, bits: int = 32) -> int:
    """The two's complement value of the lowest bits."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def result(instruction: Instruction, operands: Operands) -> int:
    """What is in rd afterwards (not for memory, branches and hardware loops)."""
    if instruction.name.startswith("pv."):
        return _vector(instruction.name[3:].split("."), operands) & WORD
    return SCALAR[instruction.name](operands) & WORD


def access(instruction: Instruction, operands: Operands) -> Access:
    """Where a load or store goes and what becomes of its address register."""
    name, _, kind = instruction.name.partition(".")[2].partition(".")
    store = name[0] == "s"
    offset = operands.imm if instruction.form in ("load", "store") else operands.rs2
    if instruction.form == "store_r":
        offset = operands.rs3
    moved = (operands.rs1 + offset) & WORD
    after = moved if kind.startswith("post") else operands.rs1
    width = 4 if name == "elw" else {"b": 1, "h": 2, "w": 4}[name[1]]
    address = operands.rs1 if kind.startswith("post") else moved
    return Access(address, width, name[-1] != "u", store, after)


def taken(instruction: Instruction, operands: Operands) -> bool:
    """Whether an immediate branch is taken."""
    return (signed(operands.rs1) == operands.imm) == (instruction.name == "p.beqimm")


def _clip(value: int, low: int, high: int) -> int:
    # the lower bound first, which decides when high < low
    if value < low:
        return low
    return min(value, high)


def _immediate_bound(o: Operands) -> int:
    """2**(n-1) of p.clip, 1 for n = 0."""
    return 1 << max(o.imm - 1, 0)


def _rotate(o: Operands) -> int:
    amount = o.rs2 & 31
    return o.rs1 >> amount | o.rs1 << 32 - amount


def _leading(value: int) -> int:
    """Bits equal to the sign bit below it; 0 for 0."""
    if value == 0:
        return 0
    magnitude = ~signed(value) if value >> 31 else value
    return 31 - magnitude.bit_length()


def _field(o: Operands) -> tuple[int, int]:
    """(offset, width) of a bit field of immediates, cut to the word."""
    return o.imm, min(o.size + 1, 32 - o.imm)


def _register_field(o: Operands) -> tuple[int, int]:
    return _field(Operands(imm=o.rs2 & 31, size=o.rs2 >> 5 & 31))


def _mask(field: tuple[int, int]) -> int:
    offset, width = field
    return (1 << width) - 1 << offset


def _extract(o: Operands, field: tuple[int, int]) -> int:
    offset, width = field
    return o.rs1 >> offset & (1 << width) - 1


def _insert(o: Operands, field: tuple[int, int]) -> int:
    mask = _mask(field)
    return o.rd & ~mask | o.rs1 << field[0] & mask


SCALAR: dict[str, Callable[[Operands], int]] = {
    "p.avgu": lambda o: (o.rs1 + o.rs2 & WORD) >> 1,
    "p.slet": lambda o: int(signed(o.rs1) <= signed(o.rs2)),
    "p.sletu": lambda o: int(o.rs1 <= o.rs2),
    "p.min": lambda o: min(signed(o.rs1), signed(o.rs2)),
    "p.minu": lambda o: min(o.rs1, o.rs2),
    "p.max": lambda o: max(signed(o.rs1), signed(o.rs2)),
    "p.maxu": lambda o: max(o.rs1, o.rs2),
    "p.ror": _rotate,
    "p.ff1": lambda o: (o.rs1 & -o.rs1).bit_length() - 1 if o.rs1 else 32,
    "p.fl1": lambda o: o.rs1.bit_length() - 1 if o.rs1 else 32,
    "p.clb": lambda o: _leading(o.rs1),
    "p.cnt": lambda o: o.rs1.bit_count(),
    "p.exths": lambda o: signed(o.rs1, 16),
    "p.exthz": lambda o: o.rs1 & 0xFFFF,
    "p.extbs": lambda o: signed(o.rs1, 8),
    "p.extbz": lambda o: o.rs1 & 0xFF,
    "p.abs": lambda o: abs(signed(o.rs1)),
    "p.clip": lambda o: _clip(signed(o.rs1), -_immediate_bound(o), _immediate_bound(o) - 1),
    "p.clipu": lambda o: _clip(signed(o.rs1), 0, _immediate_bound(o) - 1),
    "p.clipr": lambda o: _clip(signed(o.rs1), ~signed(o.rs2), signed(o.rs2)),
    "p.clipur": lambda o: min(signed(o.rs1), signed(o.rs2)) if signed(o.rs1) > 0 else 0,
    "p.extract": lambda o: signed(_extract(o, _field(o)), _field(o)[1]),
    "p.extractu": lambda o: _extract(o, _field(o)),
    "p.extractr": lambda o: signed(_extract(o, _register_field(o)), _register_field(o)[1]),
    "p.extractur": lambda o: _extract(o, _register_field(o)),
    "p.insert": lambda o: _insert(o, _field(o)),
    "p.insertr": lambda o: _insert(o, _register_field(o)),
    "p.bclr": lambda o: o.rs1 & ~_mask(_field(o)),
    "p.bclrr": lambda o: o.rs1 & ~_mask(_register_field(o)),
    "p.bset": lambda o: o.rs1 | _mask(_field(o)),
    "p.bsetr": lambda o: o.rs1 | _mask(_register_field(o)),
    "p.mac": lambda o: o.rd + o.rs1 * o.rs2,
    "p.msu": lambda o: o.rd - o.rs1 * o.rs2,
}


def half_product(kind: str, o: Operands) -> int:
    """The 16 x 16 bit product of p.mul*: u, s of the lower halves, hhu, hhs of the upper ones."""
    high = 16 if kind.startswith("hh") else 0
    halves = (o.rs1 >> high & 0xFFFF, o.rs2 >> high & 0xFFFF)
    a, b = (signed(half, 16) if kind.endswith("s") else half for half in halves)
    return a * b


def _shifted(total: int, amount: int, rounds: bool, arithmetic: bool) -> int:
    """A 32-bit sum, rounded in 32 bits (as the data path is that wide) and shifted right."""
    if rounds and amount:
        total += 1 << amount - 1
    return (signed(total) if arithmetic else total & WORD) >> amount


def _product_shift(kind: str, adds: bool, rounds: bool) -> Callable[[Operands], int]:
    return lambda o: _shifted(
        half_product(kind, o) + (o.rd if adds else 0), o.imm, rounds, kind.endswith("s")
    )


def _sum_shift(sign: int, rounds: bool, arithmetic: bool) -> Callable[[Operands], int]:
    return lambda o: _shifted(o.rs1 + sign * o.rs2, o.imm, rounds, arithmetic)


def _register_sum_shift(sign: int, rounds: bool, arithmetic: bool) -> Callable[[Operands], int]:
    return lambda o: _shifted(o.rd + sign * o.rs1, o.rs2 & 31, rounds, arithmetic)


for _rounds, _n in ((False, "N"), (True, "RN")):
    for _kind in ("u", "hhu", "s", "hhs"):
        SCALAR[f"p.mul{_kind}{_n}"] = _product_shift(_kind, False, _rounds)
        SCALAR[f"p.mac{_kind}{_n}"] = _product_shift(_kind, True, _rounds)
    for _name, _sign in (("add", 1), ("sub", -1)):
        for _u in ("", "u"):
            SCALAR[f"p.{_name}{_u}{_n}"] = _sum_shift(_sign, _rounds, not _u)
            SCALAR[f"p.{_name}{_u}{_n}r"] = _register_sum_shift(_sign, _rounds, not _u)


def _lanes(value: int, bits: int) -> list[int]:
    return [value >> low & (1 << bits) - 1 for low in range(0, 32, bits)]


def _join(lanes: list[int], bits: int) -> int:
    return sum((lane & (1 << bits) - 1) << bits * i for i, lane in enumerate(lanes))


_ORDER: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}

# lane operations; those on signed lanes get signed numbers. The last argument is the lane's width.
_LANE: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, bits: a + b,
    "sub": lambda a, b, bits: a - b,
    "avg": lambda a, b, bits: signed(a + b, bits) >> 1,
    "avgu": lambda a, b, bits: (a + b & (1 << bits) - 1) >> 1,
    "min": lambda a, b, bits: min(a, b),
    "minu": lambda a, b, bits: min(a, b),
    "max": lambda a, b, bits: max(a, b),
    "maxu": lambda a, b, bits: max(a, b),
    "srl": lambda a, b, bits: a >> (b & bits - 1),
    "sra": lambda a, b, bits: a >> (b & bits - 1),
    "sll": lambda a, b, bits: a << (b & bits - 1),
    "or": lambda a, b, bits: a | b,
    "xor": lambda a, b, bits: a ^ b,
    "and": lambda a, b, bits: a & b,
}

_UNSIGNED = ("avgu", "minu", "maxu", "srl", "sll", "or", "xor", "and")


def _vector(parts: list[str], o: Operands) -> int:
    name, bits = parts[0], {"b": 8, "h": 16}[parts[-1]]
    if name in _PERMUTE:
        return _PERMUTE[name](o, bits)
    if name.startswith("shuffle"):
        return _join(_shuffled(name, parts[1] == "sci", o, bits), bits)
    first, second = _lanes(o.rs1, bits), _second(parts, o, bits)
    if "dot" in name:
        return _dot(name, first, second, bits) + (o.rd if name.startswith("s") else 0)
    if name.startswith("cmp"):
        return _join(_compare(name[3:], first, second, bits), bits)
    if name not in _UNSIGNED:
        first, second = ([signed(v, bits) for v in lanes] for lanes in (first, second))
    return _join([_LANE[name](a, b, bits) for a, b in zip(first, second, strict=True)], bits)


def _second(parts: list[str], o: Operands, bits: int) -> list[int]:
    """Lanes of the second operand: a vector, a replicated lowest lane or an immediate."""
    if parts[1] == "sc":
        return [o.rs2 & (1 << bits) - 1] * (32 // bits)
    if parts[1] == "sci":
        return [o.imm & (1 << bits) - 1] * (32 // bits)
    return _lanes(o.rs2, bits)


def _dot(name: str, first: list[int], second: list[int], bits: int) -> int:
    kind = name.rpartition("dot")[2]
    if kind == "sp":
        first = [signed(v, bits) for v in first]
    if kind in ("sp", "usp"):
        second = [signed(v, bits) for v in second]
    return sum(a * b for a, b in zip(first, second, strict=True))


def _compare(order: str, first: list[int], second: list[int], bits: int) -> list[int]:
    if order.endswith("u"):
        order = order[:-1]
    else:
        first, second = ([signed(v, bits) for v in lanes] for lanes in (first, second))
    return [-int(_ORDER[order](a, b)) for a, b in zip(first, second, strict=True)]


def _shuffled(name: str, immediate: bool, o: Operands, bits: int) -> list[int]:
    count = 32 // bits
    select = count.bit_length() - 1
    lanes = _lanes(o.rs1, bits)
    if immediate:
        chosen = [lanes[o.imm >> select * i & count - 1] for i in range(count)]
        # pv.shuffleiK.sci.b: six bits choose three bytes, the name the fourth
        return chosen if name == "shuffle" else [*chosen[:3], lanes[int(name[-1])]]
    if name == "shuffle":
        return [lanes[s & count - 1] for s in _lanes(o.rs2, bits)]
    both = _lanes(o.rd, bits) + lanes
    return [both[s & 2 * count - 1] for s in _lanes(o.rs2, bits)]


def _place(o: Operands, bits: int) -> int:
    lanes = _lanes(o.rd, bits)
    lanes[o.imm % len(lanes)] = o.rs1
    return _join(lanes, bits)


_PERMUTE: dict[str, Callable[[Operands, int], int]] = {
    "abs": lambda o, bits: _join([abs(signed(v, bits)) for v in _lanes(o.rs1, bits)], bits),
    # of the immediate only the bits that name a lane count; the manual wants the others zero
    "extract": lambda o, bits: signed(_lanes(o.rs1, bits)[o.imm % (32 // bits)], bits),
    "extractu": lambda o, bits: _lanes(o.rs1, bits)[o.imm % (32 // bits)],
    "insert": _place,
    "pack": lambda o, bits: (o.rs1 & 0xFFFF) << 16 | o.rs2 & 0xFFFF,
    "packhi": lambda o, bits: (o.rs1 & 0xFF) << 24 | (o.rs2 & 0xFF) << 16 | o.rd & 0xFFFF,
    "packlo": lambda o, bits: o.rd & 0xFFFF0000 | (o.rs1 & 0xFF) << 8 | o.rs2 & 0xFF,
}


def _wide_round(kind: str, adds: bool) -> Callable[[Operands], int]:
    """GVSoC adds the rounding to the wrapped sum in 64 bits."""

    def run(o: Operands) -> int:
        total = half_product(kind, o) + (o.rd if adds else 0)
        total = signed(total) if kind.endswith("s") else total & WORD
        return total + (1 << o.imm - 1 if o.imm else 0) >> o.imm & WORD

    return run


def _bound_first(o: Operands) -> int:
    value, high = signed(o.rs1), signed(o.rs2)
    return high & WORD if value > high else max(value, 0)


# Where the public GVSoC differs, as what it gives. p.mac*RN, p.mul*sRN: the multiplier of the
# open core (cv32e40p_mult, short_mac[31:0]) drops what the rounding carries out of 32 bits.
# p.clipur: manual and open core say 0 for rs1 <= 0 whatever the bound; GVSoC asks for
# rs1 > bound first, which matters for a negative bound only.
DIFFERENT: dict[str, Callable[[Operands], int]] = {
    f"p.{name}{kind}RN": _wide_round(kind, name == "mac")
    for name, kinds in (("mac", ("u", "hhu", "s", "hhs")), ("mul", ("s", "hhs")))
    for kind in kinds
} | {"p.clipur": _bound_first}
