# SPDX-License-Identifier: Apache-2.0
"""Xpulpv2 as instruction words: name, match, mask and fields of every instruction of the tests."""

from dataclasses import dataclass

# (lowest bit in the word, width, lowest bit of the operand) of each piece of an operand
Pieces = tuple[tuple[int, int, int], ...]

_RD: dict[str, Pieces] = {"rd": ((7, 5, 0),)}
_RS1: dict[str, Pieces] = {"rs1": ((15, 5, 0),)}
_RS2: dict[str, Pieces] = {"rs2": ((20, 5, 0),)}
_RS3: dict[str, Pieces] = {"rs3": ((7, 5, 0),)}
_IMM6: dict[str, Pieces] = {"imm": ((25, 1, 0), (20, 5, 1))}
_LOOP: dict[str, Pieces] = {"loop": ((7, 1, 0),)}

# operands of each format; a name ending in "+" also reads rd
FORMS: dict[str, dict[str, Pieces]] = {
    "r": _RD | _RS1 | _RS2,
    "r+": _RD | _RS1 | _RS2,
    "r1": _RD | _RS1,
    "simm6": _RD | _RS1 | _IMM6,
    "uimm6": _RD | _RS1 | _IMM6,
    "simm6+": _RD | _RS1 | _IMM6,
    "uimm6+": _RD | _RS1 | _IMM6,
    "norm": _RD | _RS1 | _RS2 | {"imm": ((25, 5, 0),)},
    "norm+": _RD | _RS1 | _RS2 | {"imm": ((25, 5, 0),)},
    "uimm5": _RD | _RS1 | {"imm": ((20, 5, 0),)},
    "bits": _RD | _RS1 | {"imm": ((20, 5, 0),), "size": ((25, 5, 0),)},
    "bits+": _RD | _RS1 | {"imm": ((20, 5, 0),), "size": ((25, 5, 0),)},
    "load": _RD | _RS1 | {"imm": ((20, 12, 0),)},
    "load_r": _RD | _RS1 | _RS2,
    "store": _RS1 | _RS2 | {"imm": ((7, 5, 0), (25, 7, 5))},
    "store_r": _RS1 | _RS2 | _RS3,
    "branch": _RS1
    | {"imm": ((20, 5, 0),), "target": ((7, 1, 11), (8, 4, 1), (25, 6, 5), (31, 1, 12))},
    "loop_i": _LOOP | {"imm": ((20, 12, 0),)},
    "loop_r": _LOOP | _RS1,
    "loop_setup": _LOOP | _RS1 | {"imm": ((20, 12, 0),)},
    "loop_setupi": _LOOP | {"count": ((20, 12, 0),), "imm": ((15, 5, 0),)},
}


@dataclass(frozen=True)
class Instruction:
    """One instruction: a word w is one when w & mask == match; `form` names its operands."""

    name: str
    match: int
    mask: int
    form: str

    @property
    def signed(self) -> bool:
        """Whether the immediate is sign-extended."""
        return self.form in ("simm6", "simm6+", "load", "store", "branch")


def word(instruction: Instruction, **operands: int) -> int:
    """The 32-bit word; raises KeyError for an operand it has not, ValueError for one too large."""
    fields = FORMS[instruction.form]
    result = instruction.match
    for name, value in operands.items():
        result |= _scatter(fields[name], value)
    return result


def _scatter(pieces: Pieces, value: int) -> int:
    width = max(source + size for _, size, source in pieces)
    if not -(1 << width - 1) <= value < 1 << width:
        raise ValueError(f"{value} does not fit {width} bits")
    return sum((value >> source & (1 << size) - 1) << low for low, size, source in pieces)


def _make(name: str, form: str, opcode: int, funct3: int, funct: int, bits: int) -> Instruction:
    """An instruction with the upper `bits` bits of the word fixed to `funct`."""
    match = opcode | funct3 << 12 | funct << 32 - bits
    mask = 0x7F | 7 << 12 | ((1 << bits) - 1) << 32 - bits
    if form == "r1" and opcode == 0x33:
        mask |= 0x1F << 20
    if form.startswith("loop"):
        mask |= 0xF << 8
    return Instruction(name, match, mask, form)


_WIDTHS = {"b": (0x00, 0, 4), "h": (0x08, 1, 5), "w": (0x10, 2, None)}


def _memory() -> list[Instruction]:
    made = []
    for width, (funct7, funct3, unsigned3) in _WIDTHS.items():
        signs = [("", funct7, funct3)]
        if unsigned3 is not None:
            signs.append(("u", funct7 | 0x20, unsigned3))
        for sign, register7, immediate3 in signs:
            name = f"p.l{width}{sign}"
            made += [
                _make(f"{name}.post", "load", 0x0B, immediate3, 0, 0),
                _make(f"{name}.postr", "load_r", 0x0B, 7, register7, 7),
                _make(f"{name}.reg", "load_r", 0x03, 7, register7, 7),
            ]
        made += [
            _make(f"p.s{width}.post", "store", 0x2B, funct3, 0, 0),
            _make(f"p.s{width}.postr", "store_r", 0x2B, funct3 | 4, 0, 7),
            _make(f"p.s{width}.reg", "store_r", 0x23, funct3 | 4, 0, 7),
        ]
    return [*made, _make("p.elw", "load", 0x03, 6, 0, 0)]


_LOOPS = [
    _make(f"lp.{name}", form, 0x7B, funct3, 0, 0)
    for funct3, (name, form) in enumerate(
        [
            ("starti", "loop_i"),
            ("endi", "loop_i"),
            ("count", "loop_r"),
            ("counti", "loop_i"),
            ("setup", "loop_setup"),
            ("setupi", "loop_setupi"),
        ]
    )
]

_BRANCHES = [
    _make("p.beqimm", "branch", 0x63, 2, 0, 0),
    _make("p.bneimm", "branch", 0x63, 3, 0, 0),
]


def _alu() -> list[Instruction]:
    table = {
        ("r", 0x02): {"p.avgu": 1, "p.slet": 2, "p.sletu": 3, "p.min": 4, "p.minu": 5}
        | {"p.max": 6, "p.maxu": 7},
        ("r", 0x04): {"p.ror": 5},
        ("r1", 0x08): {"p.ff1": 0, "p.fl1": 1, "p.clb": 2, "p.cnt": 3}
        | {"p.exths": 4, "p.exthz": 5, "p.extbs": 6, "p.extbz": 7},
        ("r1", 0x02): {"p.abs": 0},
        ("uimm5", 0x0A): {"p.clip": 1, "p.clipu": 2},
        ("r", 0x0A): {"p.clipr": 5, "p.clipur": 6},
        ("r", 0x40): {"p.extractr": 0, "p.extractur": 1, "p.bclrr": 3, "p.bsetr": 4},
        ("r+", 0x40): {"p.insertr": 2},
        ("r+", 0x21): {"p.mac": 0, "p.msu": 1},
    }
    made = [
        _make(name, form, 0x33, funct3, funct7, 7)
        for (form, funct7), names in table.items()
        for name, funct3 in names.items()
    ]
    bits = {"p.extract": 0, "p.extractu": 1, "p.bclr": 3, "p.bset": 4}
    made += [_make(name, "bits", 0x33, funct3, 3, 2) for name, funct3 in bits.items()]
    return [*made, _make("p.insert", "bits+", 0x33, 2, 3, 2)]


def _normalised() -> list[Instruction]:
    """16-bit products and sums with a shift and rounding (R); the upper two bits name the kind."""
    made = []
    for top, kind in enumerate(("u", "hhu", "s", "hhs")):
        for rounds in (0, 1):
            n = "RN" if rounds else "N"
            made += [
                _make(f"p.mul{kind}{n}", "norm", 0x5B, rounds << 2, top, 2),
                _make(f"p.mac{kind}{n}", "norm+", 0x5B, rounds << 2 | 1, top, 2),
            ]
    for top, sign in ((0, ""), (2, "u")):
        for rounds in (0, 1):
            n = "RN" if rounds else "N"
            for funct3, kind in ((2, "add"), (3, "sub")):
                high = funct3 | rounds << 2
                name = f"p.{kind}{sign}{n}"
                made += [
                    _make(name, "norm", 0x5B, high, top, 2),
                    _make(f"{name}r", "r+", 0x5B, high, (top | 1) << 5, 7),
                ]
    return made


# funct5 -> operation; "s" and "u" say how an immediate is extended
_VECTOR = {
    "add": (0x00, "s"), "sub": (0x02, "s"), "avg": (0x04, "s"), "avgu": (0x06, "u"),
    "min": (0x08, "s"), "minu": (0x0A, "u"), "max": (0x0C, "s"), "maxu": (0x0E, "u"),
    "srl": (0x10, "u"), "sra": (0x12, "s"), "sll": (0x14, "u"), "or": (0x16, "s"),
    "xor": (0x18, "s"), "and": (0x1A, "s"),
    "cmpeq": (0x01, "s"), "cmpne": (0x03, "s"), "cmpgt": (0x05, "s"), "cmpge": (0x07, "s"),
    "cmplt": (0x09, "s"), "cmple": (0x0B, "s"), "cmpgtu": (0x0D, "u"), "cmpgeu": (0x0F, "u"),
    "cmpltu": (0x11, "u"), "cmpleu": (0x13, "u"),
    "dotup": (0x20, "u"), "dotusp": (0x22, "s"), "dotsp": (0x26, "s"),
    "sdotup": (0x28, "u"), "sdotusp": (0x2A, "s"), "sdotsp": (0x2E, "s"),
}  # fmt: skip


def _vector(name: str, form: str, funct3: int, funct6: int) -> Instruction:
    return _make(f"pv.{name}", form, 0x57, funct3, funct6, 6)


def _simd() -> list[Instruction]:
    made = []
    for name, (funct6, sign) in _VECTOR.items():
        plus = "+" if name.startswith("sdot") else ""
        for low, size in enumerate("hb"):
            made += [
                _vector(f"{name}.{size}", f"r{plus}", low, funct6),
                _vector(f"{name}.sc.{size}", f"r{plus}", 4 | low, funct6),
                _vector(f"{name}.sci.{size}", f"{sign}imm6{plus}", 6 | low, funct6),
            ]
    return made + _lanes()


def _lanes() -> list[Instruction]:
    made = []
    for low, size in enumerate("hb"):
        made += [
            _make(f"pv.abs.{size}", "r1", 0x57, low, 0x38, 7),
            _vector(f"extract.{size}", "uimm6", 6 | low, 0x1E),
            _vector(f"extractu.{size}", "uimm6", 6 | low, 0x24),
            _vector(f"insert.{size}", "uimm6+", 6 | low, 0x2C),
            _vector(f"shuffle.{size}", "r", low, 0x30),
            _vector(f"shuffle2.{size}", "r+", low, 0x32),
        ]
    made += [
        _vector(f"shufflei{i}.sci.b", "uimm6", 7, funct6)
        for i, funct6 in enumerate((0x30, 0x3A, 0x3C, 0x3E))
    ]
    return [
        *made,
        _vector("shuffle.sci.h", "uimm6", 6, 0x30),
        _make("pv.pack.h", "r", 0x57, 0, 0x68, 7),
        _vector("packhi.b", "r+", 1, 0x36),
        _vector("packlo.b", "r+", 1, 0x38),
    ]


INSTRUCTIONS: dict[str, Instruction] = {
    made.name: made for made in [*_memory(), *_LOOPS, *_BRANCHES, *_alu(), *_normalised(), *_simd()]
}
