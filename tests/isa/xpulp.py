# SPDX-License-Identifier: Apache-2.0
"""The table of Xpulpv2 instructions that kernels use, and the headers that are generated from it.

python -m tests.isa.xpulp            writes library/xpulp*.inc and include/me_intrinsics_*.h anew
python -m tests.isa.xpulp --check    fails where one of them is not as the table says
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping

from myoedge.codegen.render import template_dir
from tests.isa.xpulp_macros import encoded_macros, native_macros
from tests.isa.xpulp_table import SIZES, Row, Table, table

BEGIN = "/* generated from xpulp/instructions.toml by tests/isa/xpulp.py */\n"
END = "/* end of what is generated */\n"
FORMS = {"one": "ME_ONE", "two": "ME_TWO", "accumulate": "ME_THREE"}
MEMORY = {"load": "ME_NEXT", "load_r": "ME_STEP", "load_at": "ME_AT", "store": "ME_PUT"}
FUNCTIONS = ("min", "max", "abs", "power", "word", "half", "byte", "lowest", "highest", "ones")


# ---- meaning


def _signed(value: int, bits: int = 32) -> int:
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def _lane(a: int, order: int) -> int:
    return a >> 8 * (order & 3) & 0xFF


def _pair(d: int, a: int, order: int) -> int:
    """A byte of two words, d the lower one."""
    return (d | a << 32) >> 8 * (order & 7) & 0xFF


_NAMES: Mapping[str, Callable[..., int]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "power": lambda n: 1 << max(n, 0),
    "word": _signed,
    "half": lambda x: _signed(x, 16),
    "byte": lambda x: _signed(x, 8),
    "lowest": lambda x: (x & -x).bit_length() - 1 if x else 32,
    "highest": lambda x: x.bit_length() - 1 if x else 32,
    "ones": int.bit_count,
    "lane": _lane,
    "pair": _pair,
}


def result(rows: Table, name: str, operands: Mapping[str, int]) -> int:
    """rd after an instruction, of registers a, b, d as unsigned numbers and of its constants."""
    if name in rows["scalar"] or name in rows["words"]:
        row = {**rows["scalar"], **rows["words"]}[name]
        keep = row.get("unsigned", name in rows["words"])
        seen = {k: v if keep or k not in "abd" else _signed(v) for k, v in operands.items()}
        return int(eval(row["meaning"], dict(_NAMES), seen)) & 0xFFFFFFFF
    return _vector(rows, name, operands)


def _vector(rows: Table, name: str, operands: Mapping[str, int]) -> int:
    stem, size = name.rsplit(".", 1)
    base = stem.removesuffix(".sci").removesuffix(".sc")
    bits = SIZES[size][1]
    row = {**rows["lanes"], **rows["dot"]}[base]
    signs = row["signs"]
    first = _lanes(operands["a"], bits, signs[0])
    second = [0] * len(first) if len(signs) == 1 else _seconds(stem, operands, bits, signs[1])
    if base in rows["dot"]:
        start = operands["d"] if base.startswith("pv.sdot") else 0
        return start + sum(p * q for p, q in zip(first, second, strict=True)) & 0xFFFFFFFF
    lanes = [_lane_result(row, p, q, bits) for p, q in zip(first, second, strict=True)]
    return sum((lane & (1 << bits) - 1) << bits * i for i, lane in enumerate(lanes))


def _lane_result(row: Row, p: int, q: int, bits: int) -> int:
    return int(
        eval(row["meaning"], dict(_NAMES), {"p": p, "q": q, "r": q & bits - 1, "width": bits})
    )


def _seconds(stem: str, operands: Mapping[str, int], bits: int, sign: str) -> list[int]:
    if stem.endswith(".sci"):
        return _lanes(
            sum((operands["n"] & (1 << bits) - 1) << at for at in range(0, 32, bits)), bits, sign
        )
    lanes = _lanes(operands["b"], bits, sign)
    return [lanes[0]] * len(lanes) if stem.endswith(".sc") else lanes


def _lanes(value: int, bits: int, sign: str) -> list[int]:
    found = [value >> low & (1 << bits) - 1 for low in range(0, 32, bits)]
    return [_signed(lane, bits) if sign == "s" else lane for lane in found]


# ---- the bodies of the intrinsics


def _intrinsic(row: Row) -> tuple[str, list[str]]:
    name, parameters = row["intrinsic"].rstrip(")").split("(")
    return name, parameters.split(", ")


def _types(row: Row) -> tuple[str, str]:
    """Of the result and of the operands."""
    taken = "uint32_t" if row.get("unsigned") else "int32_t"
    return row.get("result", taken), taken


def encoded_bodies(rows: Table) -> Iterator[str]:
    for name, row in rows["scalar"].items():
        if "intrinsic" in row:
            yield _encoded(name, row)
    for name, row in [*rows["lanes"].items(), *rows["dot"].items()]:
        if "intrinsic" in row:
            accumulates = row["intrinsic"].startswith("me_sdot")
            shape = "ME_ONE" if len(row["signs"]) == 1 else "ME_THREE" if accumulates else "ME_TWO"
            kind = "int32_t" if "dot" in row["intrinsic"] else "uint32_t"
            yield f'ME_BOTH({shape}, "{name}", {row["intrinsic"]}, {kind}, 0x{row["code"]:02x})\n'
    for name, row in rows["words"].items():
        opcode, funct3, funct7 = row["code"]
        macro = f"#define ME_{name.upper().replace('.', '_')}"
        code = f'"0x{opcode:02x}", "{funct3}", "0x{funct7:02x}", "%0", "%1", "%2"'
        yield f'{macro} ME_XPULP_R("{name} %0,%1,%2", {code})\n'
    for name, row in rows["memory"].items():
        if "intrinsic" in row:
            shape = MEMORY[row["form"]]
            code = f"0x{row['code'][2]:02x}" if len(row["code"]) > 2 else row["code"][1]
            native = f'"{name.rsplit(".", 1)[0]}", {row["intrinsic"]}'
            yield f"{shape}({native}, {row['type']}, {code}, {row['bytes']})\n"


def _encoded(native: str, row: Row) -> str:
    name, parameters = _intrinsic(row)
    kind, taken = _types(row)
    opcode, funct3, funct7 = row["code"]
    code = f"0x{opcode:02x}, {funct3}, 0x{funct7:02x}"
    if row["form"] in FORMS:
        return f'{FORMS[row["form"]]}("{native}", {name}, {kind}, {taken}, {code})\n'
    shape = {"clip": "ME_IMMEDIATE", "round": "ME_ROUNDED", "field": "ME_FIELD"}[row["form"]]
    shape += "_INTO" if row.get("accumulates") else ""
    given = [*parameters[:-1], row.get("n", parameters[-1])]
    head = f"#define {name}({', '.join(parameters)})"
    return f'{head} {shape}("{native}", {code}, {kind}, {", ".join(given)})\n'


def plain_bodies(rows: Table) -> Iterator[str]:
    for row in rows["scalar"].values():
        if "intrinsic" in row:
            yield _plain(row)
    for row in rows["lanes"].values():
        if "intrinsic" in row:
            for size in SIZES:
                unsigned = "u" if row["signs"][0] == "u" else ""
                lane, shape = f"me_lane_{size}{unsigned}", f"ME_LANES_{len(row['signs'])}"
                yield f"{shape}({row['intrinsic']}, {size}, {lane}, {_c(row['meaning'])})\n"
    for row in rows["dot"].values():
        if row["intrinsic"].startswith("me_sdot"):
            for size in SIZES:
                sides = ", ".join(f"me_lane_{size}{'u' if s == 'u' else ''}" for s in row["signs"])
                yield f"ME_DOT({row['intrinsic'].removeprefix('me_sdot')}, {size}, {sides})\n"


def _plain(row: Row) -> str:
    name, parameters = _intrinsic(row)
    kind, taken = _types(row)
    names = ("n", "size", "at", "bits")
    types = [kind if p == "acc" else "int32_t" if p in names else taken for p in parameters]
    given = ", ".join(f"{t} {p}" for t, p in zip(types, parameters, strict=True))
    meaning = re.sub(r"\bd\b", "acc", row["meaning"])
    if "n" in row:
        meaning = re.sub(r"\bn\b", row["n"], meaning)
    wide = re.sub(r"\b(acc|a|b)\b", r"(int64_t)\1", meaning)
    return f"static inline {kind} {name}({given})\n{{\n    return ({kind})({_c(wide)});\n}}\n\n"


def _c(meaning: str) -> str:
    functions = "|".join(FUNCTIONS)
    return re.sub(rf"\b({functions})\(", r"me_number_\1(", meaning).replace("//", "/")


def builtin_bodies(rows: Table) -> Iterator[str]:
    for row in rows["scalar"].values():
        if "sdk" in row:
            name, parameters = _intrinsic(row)
            yield f"#define {name}({', '.join(parameters)}) {row['sdk']}\n"
    for row in rows["lanes"].values():
        if "sdk" in row:
            unsigned = "u" if row["signs"][0] == "u" else ""
            kinds = f"me_bytes{unsigned}, me_halves{unsigned}"
            yield f"ME_BUILTIN_{len(row['signs'])}({row['intrinsic']}, {row['sdk']}, {kinds})\n"
    for row in rows["dot"].values():
        if row["intrinsic"].startswith("me_sdot"):
            for size, lanes, kind in (("b", 4, "me_bytes"), ("h", 2, "me_halves")):
                sides = ", ".join(f"{kind}{'u' if s == 'u' else ''}" for s in row["signs"])
                suffix = row["intrinsic"].removeprefix("me_sdot")
                yield f"ME_BUILTIN_DOT({suffix}, {size}, {lanes}, {sides})\n"


# ---- files

FILES: Mapping[str, Callable[[Table], Iterator[str]]] = {
    "library/xpulp.inc": encoded_macros,
    "library/xpulp_native.inc": native_macros,
    "include/me_intrinsics_gap9.h": encoded_bodies,
    "include/me_intrinsics_c.h": plain_bodies,
    "include/me_intrinsics_sdk.h": builtin_bodies,
}


def generated(name: str) -> str:
    """Text of a file with its generated part as the table says."""
    before, _, rest = (template_dir() / name).read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}{''.join(FILES[name](table()))}{END}{after}"


def main(arguments: list[str]) -> int:
    """1 where --check finds a file that is not as the table says."""
    stale = [name for name in FILES if (template_dir() / name).read_text() != generated(name)]
    if "--check" not in arguments:
        for name in stale:
            (template_dir() / name).write_text(generated(name))
        return 0
    for name in stale:
        print(f"{name} is not as xpulp/instructions.toml says: python -m tests.isa.xpulp")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
