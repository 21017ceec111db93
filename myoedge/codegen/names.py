# SPDX-License-Identifier: Apache-2.0
"""The prefix of a network's C names, so that several networks link into one program."""

from __future__ import annotations

import re

from myoedge.errors import MyoedgeError

# The public header is <prefix>.h, which must not clash with other files of src/, the C library's
# headers, and headers that these include. `known_` begins names of the self-test's arrays.
TAKEN = frozenset(
    (
        *("weights", "golden", "network", "stream", "known", "me"),
        *("assert", "complex", "ctype", "errno", "float", "limits", "locale", "math", "setjmp"),
        *("signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "time"),
        *(
            "fenv",
            "inttypes",
            "iso646",
            "stdalign",
            "stdatomic",
            "stdnoreturn",
            "tgmath",
            "threads",
        ),
        *("uchar", "wchar", "wctype", "alloca", "endian", "features", "newlib", "picolibc"),
        *("pmsis", "pthread", "sched", "strings", "unistd", "xlocale"),
    )
)
LONGEST = 40  # characters of a prefix


def default_prefix(model_name: str) -> str:
    """Return the default prefix of a build's C names: the model's name as a C identifier in lower
    case."""
    name = re.sub(r"\W+", "_", model_name, flags=re.ASCII).strip("_").lower()
    name = re.sub(r"_{2,}", "_", name)[:LONGEST].rstrip("_")
    is_free = name[:1].isalpha() and name not in TAKEN and not name.startswith("me_")
    return name if is_free else f"net_{name}"[:LONGEST].rstrip("_")


def check_prefix(prefix: str) -> None:
    """Check that a text can be the prefix of a build's C names. Errors: E204."""
    is_name = re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", prefix)
    is_taken = prefix.lower() in TAKEN or prefix.lower().startswith("me_")
    if is_name and len(prefix) <= LONGEST and not is_taken:
        return
    facts = {"needs": f"a C identifier, at most {LONGEST} characters, which names no header"}
    tries = [f"--prefix {default_prefix(prefix)}"]
    raise MyoedgeError("E204", f"C names cannot start with {prefix!r}", facts, tries)


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
