# SPDX-License-Identifier: Apache-2.0
"""The Jinja environment of the C templates, and their folder; the digest of the code of this
package, which tells versions apart that have one number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.system import cache as files
from myoedge.system.cache import content, keep, sha256
from myoedge.system.tools import cache_folder

if TYPE_CHECKING:
    from jinja2 import Environment

C_TYPES = {
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
}
TABLE_TYPES = ("int8", "uint8", "int16", "uint16", "int32")  # differences of these fit int32_t


def least_c_type(values: Sequence[int]) -> str:
    """Return the C type of TABLE_TYPES that takes the fewest bytes for these values."""
    limits = ((dtype, np.iinfo(dtype)) for dtype in TABLE_TYPES)
    low, high = min(values), max(values)
    return C_TYPES[next(dtype for dtype, x in limits if x.min <= low and high <= x.max)]


@cache
def template_dir() -> Path:
    """Return the folder firmware_templates: in an installed package, or next to the package in a
    checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / "firmware_templates"
    return installed if installed.is_dir() else package.parent / "firmware_templates"


def new_environment(*, escape: bool, folder: Path | None = None) -> Environment:
    """Return the jinja2 environment for templates: undefined names are errors, blocks leave no
    blank lines. Translated templates are cached, as Python's modules are.

    escape   whether values are escaped for HTML
    folder   of an extension's templates, which may include those of firmware_templates
    """
    from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
    from jinja2.bccache import Bucket, bc_magic

    def path_of(bucket: Bucket) -> Path:
        return cache_folder("templates") / f"{sha256(bc_magic)[:8]}-{escape}-{bucket.key}"

    class TemplateCache(BytecodeCache):
        """Cache of templates as bytecode; jinja2 checks that it is of the template's text."""

        def load_bytecode(self, bucket: Bucket) -> None:
            if (kept := content(path_of(bucket))) is not None:
                bucket.bytecode_from_string(kept)

        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError, MyoedgeError):  # a cache that cannot be written
                keep(bucket.bytecode_to_string(), path_of(bucket))

    return Environment(
        bytecode_cache=TemplateCache(),
        loader=FileSystemLoader([*filter(None, (folder,)), template_dir()]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=escape,
    )


@cache
def environment(folder: Path | None = None) -> Environment:
    """Return the environment for C templates.

    folder   of an extension's templates
    """
    env = new_environment(escape=False, folder=folder)
    env.filters["dims"] = lambda shape: "".join(f"[{n}]" for n in shape)
    env.filters["floats"] = floats
    env.filters["quoted"] = json.dumps
    env.filters["initializer"] = initializer
    env.filters["reads_tile"] = lambda lines: bool(re.search(r"\bt\b", "\n".join(lines)))
    return env


def render(name: str, values: Mapping[str, Any], folder: Path | None = None) -> str:
    """Render a template; a missing value is an error.

    folder   of an extension's templates
    """
    return environment(folder).get_template(name).render(values)


def initializer(values: Array, indent: str = "    ", width: int = 96) -> str:
    """Format the initialiser of a C array, wrapped at `width` columns; equal numbers give equal
    text."""
    lines, line = [], indent
    for number in np.asarray(values).reshape(-1).tolist():
        # in C, -2147483648 is an expression of a wider type
        piece = f"{'INT32_MIN' if number == -(2**31) else number}, "
        if len(line) + len(piece) > width:
            lines.append(line.rstrip())
            line = indent
        line += piece
    return "\n".join([*lines, line.rstrip()]) if line.strip() else "\n".join(lines)


def floats(values: Sequence[float], in_a_line: int = 6) -> str:
    """Format the initialiser of a float array, as the lines of a macro."""
    words = [f"{np.float32(value).item():.9g}" for value in values]
    words = [f"{word}f" if "." in word or "e" in word else f"{word}.0f" for word in words]
    lines = [words[i : i + in_a_line] for i in range(0, len(words), in_a_line)]
    return "{ \\\n    " + ", \\\n    ".join(", ".join(line) for line in lines) + " }"


# --- designated initialisers ----------------------------------------------------------------------

WIDTH = 100  # columns
INDENT = 4

Nested = dict[str, "str | Nested"]


Fields = Sequence[tuple[str, str]]  # (name, value) pairs of a C struct, in order


def assignment(place: str, kind: str, fields: Fields, *, by_field: bool = False) -> list[str]:
    """Return the C statements that assign fields to a struct, as one compound literal.

    place   C expression of the struct
    kind    its C type
    by_field   whether only these fields are stored, because the kernel reads no others
    A struct with arrays is assigned field by field, because a compound literal would also store
    zeros to all other elements.
    """
    if by_field or any("[" in name for name, _ in fields):
        return [f"{place}.{name} = {value};" for name, value in fields]
    lines = designated(fields)
    statement = f"{place} = ({kind}){{ {lines[0].removesuffix(',')} }};"
    if len(lines) == 1 and INDENT + len(statement) <= WIDTH:
        return [statement]
    return [f"{place} = ({kind}){{", *(f"    {line}" for line in lines), "};"]


def designated(fields: Fields, indent: int = 8) -> list[str]:
    """Format designated initialisers, one field per line; fields that are 0 are left out.

    "scale.low" is a field of a nested struct, "extent[1]" an array element.
    """
    nested: Nested = {}
    for name, value in fields:
        *path, last = re.findall(r"\w+", name)
        struct = nested
        for part in path:
            inside = struct.setdefault(part, {})
            assert isinstance(inside, dict), name
            struct = inside
        struct[last] = value
    made = [x for item in nested.items() for x in _initialisers(*item, WIDTH - indent)]
    return wrapped(made or ["0"], indent)


def _initialisers(name: str, value: str | Nested, width: int) -> list[str]:
    """Return the initialisers of a field: one line, or a line per nested field if it is too wide;
    [] if the value is 0."""
    text = f".{name} = {_initialiser(value)},"
    if isinstance(value, str) or len(text) <= width or all(key.isdigit() for key in value):
        return [text] if value != "0" else []
    return [x for key in value for x in _initialisers(f"{name}.{key}", value[key], width)]


def _initialiser(value: str | Nested) -> str:
    """Format a C initialiser: an expression, a nested { .name = value, ... }, or array elements."""
    if isinstance(value, str):
        return value
    texts = {name: _initialiser(each) for name, each in value.items()}
    if all(name.isdigit() for name in texts):
        return f"{{ {', '.join(texts.values())} }}"
    fields = [f".{name} = {text}" for name, text in texts.items() if text != "0"]
    return f"{{ {', '.join(fields) or '0'} }}"


def wrapped(words: Iterable[str], indent: int) -> list[str]:
    """Wrap words into lines that end before column WIDTH if they are indented by `indent`."""
    lines: list[str] = []
    for word in words:
        if lines and indent + len(lines[-1]) + 1 + len(word) <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


# --- digest of the code of this package, which tells versions apart that have one number ----------


@cache
def sources() -> str:
    """Return a digest of the sources of this package, its C library and the simulator."""

    return "".join(map(digest_of, (Path(__file__).parents[1], template_dir())))


def digest_of(folder: Path) -> str:
    """Return a digest of the names and contents of all files below a folder."""
    below = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return files.digest(folder, sorted(below), ())
