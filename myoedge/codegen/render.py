# SPDX-License-Identifier: Apache-2.0
"""The Jinja environment of the C templates, and where they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    from jinja2 import Environment

C_TYPES = {
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
}


def template_dir() -> Path:
    """firmware_templates: inside an installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / "firmware_templates"
    return installed if installed.is_dir() else package.parent / "firmware_templates"


def new_environment(*, escape: bool) -> Environment:
    """The jinja2 environment of all templates: undefined names are errors, blocks leave no blank
    lines."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(template_dir()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=escape,
    )


@cache
def environment() -> Environment:
    """The environment of the C."""
    env = new_environment(escape=False)
    env.filters["dims"] = lambda shape: "".join(f"[{n}]" for n in shape)
    env.filters["floats"] = floats
    env.filters["unused"] = unused
    return env


def unused(lines: Iterable[str]) -> str:
    """The C statement for parameters of a layer's function that none of these lines reads."""
    words = {*re.findall(r"\w+", "\n".join(lines))}
    names = [f"(void){name}" for name in ("t", "in", "out") if name not in words]
    return f"{', '.join(names)};" if names else ""


def render(name: str, values: Mapping[str, Any]) -> str:
    """One template with these values; a name that is missing is an error."""
    return environment().get_template(name).render(values)


def initializer(values: Array, indent: str = "    ", width: int = 96) -> str:
    """The numbers of a C array, wrapped; the same text for the same numbers."""
    lines, line = [], indent
    for number in np.asarray(values).reshape(-1).tolist():
        # -2147483648 is an expression of a wider type in C
        piece = f"{'INT32_MIN' if number == -(2**31) else number}, "
        if len(line) + len(piece) > width:
            lines.append(line.rstrip())
            line = indent
        line += piece
    return "\n".join([*lines, line.rstrip()]) if line.strip() else "\n".join(lines)


def floats(values: Sequence[float], in_a_line: int = 6) -> str:
    """The initializer of a float array, as the lines of a macro."""
    words = [f"{np.float32(value).item():.9g}" for value in values]
    words = [f"{word}f" if "." in word or "e" in word else f"{word}.0f" for word in words]
    lines = [words[i : i + in_a_line] for i in range(0, len(words), in_a_line)]
    return "{ \\\n    " + ", \\\n    ".join(", ".join(line) for line in lines) + " }"
