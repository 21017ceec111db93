# SPDX-License-Identifier: Apache-2.0
"""C names of a network: their prefix, so that several networks link into one program; constants,
comments of layers, and aliases of equal constants."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from myoedge.codegen.render import C_TYPES, initializer, template_dir
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.plan.levels.equal_constants import Key
from myoedge.plan.plan import Plan

# Names that a network cannot have, in any case: its header is <prefix>.h, its target in CMake
# <prefix>. Headers of the C library, of compilers and of platforms:
_HEADERS = """
alloca ar argz assert complex cpio ctype devctl dirent elf endian envlock envz errno fastmath fcntl
features fenv float fnmatch gcov getopt glob grp iconv ieeefp inttypes iso646 langinfo libgen limits
locale malloc math memory mm_malloc ndbm newlib paths picolibc pthread pwd reent regdef regex sched
search setjmp signal spawn stdalign stdarg stdatomic stdbool stdckdint stdcountof stddef stddefer
stdfix stdint stdio stdio_ext stdlib stdnoreturn string strings syslimits tar termios tgmath threads
time uchar unctrl unistd unwind utime utmp vadefs varargs wchar wctype wordexp xlocale yvals_core
altivec amo andes_vector arm64intr arm_acle arm_bf16 arm_cde arm_cmse arm_fp16 arm_mve arm_mve_types
arm_math arm_neon arm_neon_sve_bridge arm_sme arm_sve arm_vector_types armintr builtins cet cpuid
hexagon_protos hexagon_types hvx_hexagon_protos mm3dnow msa ptrauth riscv_bitmanip riscv_corev_alu
riscv_crypto riscv_mips riscv_nds riscv_ntlh riscv_vector sifive_vector wasm_simd128
arduino binary client eeprom hardwareserial ipaddress pmsis print printable pins_arduino server spi
stream udp wire wiring wstring
"""
# Targets of CMake and of its generators:
_TARGETS = """
all all_build clean continuous depend edit_cache experimental help install list_install_components
nightly package package_source preinstall rebuild_cache run_tests test zero_check
"""
_BEGINNINGS = ("me_", "known_")  # of the library's functions, and of the self-test's arrays
_PART = "intrin"  # of the names of headers with instructions
LONGEST = 40  # characters of a prefix


def default_prefix(model_name: str) -> str:
    """Return the default prefix of a build's C names: the model's name as a C identifier in lower
    case."""
    name = re.sub(r"\W+", "_", model_name, flags=re.ASCII).strip("_").lower()
    name = re.sub(r"_{2,}", "_", name)[:LONGEST].rstrip("_")
    is_free = name[:1].isalpha() and not _is_taken(name)
    return name if is_free else f"net_{name}"[:LONGEST].rstrip("_")


def check_prefix(prefix: str) -> None:
    """Check that a text can be the prefix of a build's C names. Errors: E204."""
    is_name = re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", prefix)
    if is_name and len(prefix) <= LONGEST and not _is_taken(prefix):
        return
    named = "which names no header or target of CMake"
    facts = {"needs": f"a C identifier, at most {LONGEST} characters, {named}"}
    tries = [f"--prefix {default_prefix(prefix)}"]
    raise MyoedgeError("E204", f"C names cannot start with {prefix!r}", facts, tries)


def _is_taken(prefix: str) -> bool:
    """Return whether a prefix names a header or a target, or begins names of other functions."""
    name = prefix.lower()
    return (
        name in {*_HEADERS.split(), *_TARGETS.split(), *_own_names()}
        or f"{name}_".startswith(_BEGINNINGS)
        or _PART in name
    )


@cache
def _own_names() -> frozenset[str]:
    """Return the names of the headers that generated files include."""
    headers = (path for form in ("*.h", "*.h.j2") for path in template_dir().rglob(form))
    return frozenset(path.name.partition(".")[0] for path in headers)


def public_names(prefix: str, header: str) -> list[tuple[str, str]]:
    """Return (name with the prefix me, name with the network's prefix) of all macros, functions and
    variables in a network's public header: ("me_run", "gesture_run"), ("ME_INPUTS",
    "GESTURE_INPUTS").

    header   text of the header
    """
    code = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    lower, upper = (re.findall(rf"\b{p}_(\w+)", code) for p in (prefix, prefix.upper()))
    variables = [(f"me_{name}", f"{prefix}_{name}") for name in dict.fromkeys(lower)]
    macros = [(f"ME_{name}", f"{prefix.upper()}_{name}") for name in dict.fromkeys(upper)]
    return [*macros, *variables]


# --- constants ------------------------------------------------------------------------------------


SLICE_BYTES = 4096  # bytes per check


def function_name(index: int, step: QuantizedNode) -> str:
    return f"l{index:02d}_{'chain' if step.members else step.node.op}"


def heading(step: QuantizedNode) -> str:
    """Return the comment above a layer's C code, one line: operators, shapes, module paths, and the
    source line of each: "a (net.py:12) + net.py:13" of a chain."""
    reads = ", ".join(dimensions(shape) for shape in step.shapes)
    names = ", ".join(step.operators)
    node = step.node
    where = " + ".join(dict.fromkeys(map(str, node.origin))) if step.members else node.where
    return comment(f"{names} {reads} -> {dimensions(step.out)}  {where or node.label}")


def comment(text: str) -> str:
    """Return a text from a user's program as one line that can neither end nor continue a C
    comment."""
    clean = re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /")
    clean = re.sub(r"\?(?=\?)", "? ", clean)  # avoids trigraphs
    return clean.rstrip("\\ ")


def c_string(text: str) -> str:
    """Return a text as a C string literal, of its bytes in UTF-8."""
    plain = {*range(0x20, 0x7F)} - {*b'"\\?'}  # ? may begin a trigraph
    return '"' + "".join(chr(x) if x in plain else f"\\{x:03o}" for x in text.encode()) + '"'


def dimensions(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def arrays(index: int, step: QuantizedNode, stored: Mapping[str, Array]) -> dict[str, Array]:
    """Return the constant arrays of layer `index` by C name, packed for its kernel.

    stored   name -> the layer's arrays
    """
    name = function_name(index, step)
    return {f"{name}_{key}": value for key, value in sorted(stored.items())}


def constants(plan: Plan) -> dict[str, Array]:
    """Return the constant arrays that are in L2, by C name."""
    arrays_of: dict[str, Array] = {}
    for index, step in enumerate(plan.steps):
        stored = plan.stored(index)
        near = {key: plan.resident((index, key)) for key in stored if plan.stays((index, key))}
        arrays_of |= arrays(index, step, near)
    return arrays_of | {
        constant_name(plan, name): plan.quant.constants[name] for name in plan.constants
    }


def check_slices(arrays: Mapping[str, Array]) -> Iterator[dict[str, Any]]:
    """Yield the slices of constant arrays that <prefix>_check compares, at most SLICE_BYTES each,
    with their CRC-32 (IEEE 802.3, as in zlib); C stores numbers little-endian.

    arrays   C name -> array
    """
    for name, values in arrays.items():
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        for number, crc in enumerate(slice_crcs(data)):
            first = number * SLICE_BYTES
            size = min(SLICE_BYTES, len(data) - first)
            yield {"name": name, "first": first, "bytes": size, "crc": crc}


def slice_crcs(data: bytes) -> list[int]:
    """Return the CRC-32 of each slice of SLICE_BYTES; the last may be shorter."""
    return [zlib.crc32(data[at : at + SLICE_BYTES]) for at in range(0, len(data), SLICE_BYTES)]


def partial_arrays(plan: Plan) -> dict[str, int]:
    """Return the bytes of each constant of which only parts stay in L2, by C name."""
    return {
        f"{function_name(index, plan.steps[index])}_{name}": plan.stored(index)[name].nbytes
        for index, name in plan.streamed
        if plan.stays((index, name))
    }


def array_aliases(plan: Plan) -> list[tuple[str, str]]:
    """Return (C name, C name of the stored array with equal bytes) for every duplicate array."""

    def name(key: Key) -> str:
        return f"{function_name(key[0], plan.steps[key[0]])}_{key[1]}"

    pairs = ((key, of) for key, of in plan.owners.items() if key != of and plan.stays(of))
    return sorted((name(key), name(of)) for key, of in pairs)


def constant_name(plan: Plan, name: str) -> str:
    """Return the C name of a constant operand; operands with equal bytes share one name."""
    return f"const{list(plan.constants).index(plan.same[name]):02d}"


def array_values(name: str, values: Array) -> dict[str, Any]:
    return {
        "name": name,
        "type": C_TYPES[str(values.dtype)],
        "count": values.size,
        "text": initializer(values),
    }
