# SPDX-License-Identifier: Apache-2.0
"""The prefix of a network's C names, so that several networks link into one program."""

from __future__ import annotations

import re
from functools import cache

from myoedge.codegen.render import template_dir
from myoedge.errors import MyoedgeError

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
