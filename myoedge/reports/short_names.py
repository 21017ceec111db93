# SPDX-License-Identifier: Apache-2.0
"""Shortened layer names that fit a table column and stay distinct."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

ELLIPSIS = "…"
SEPARATORS = "./: "  # characters after which a long name may be broken
MIN_PREFIX_CHARS = 4  # minimum length of a common prefix that is left out


def shortened(names: Sequence[str], max_chars: int) -> list[str]:
    """Shorten layer names to `max_chars` characters per line, keeping them distinct.

    Fused parts, common leading modules and further leading modules are dropped, in this order; a
    name takes several lines if it would otherwise equal another one.
    """
    for shorter in (_without_fused, _without_common_modules):
        if all(len(name) <= max_chars for name in names):
            break
        names = _if_distinct(names, shorter(names))
    ends = {name: _last_modules(name, max_chars) for name in names}
    count = Counter(ends.values())
    return [
        ends[name] if ends[name] and count[ends[name]] == 1 else in_lines(name, max_chars)
        for name in names
    ]


def on_one_line(names: Sequence[str], max_chars: int) -> list[str]:
    """Shorten layer names as `shortened` does, with an ellipsis in the middle instead of line
    breaks."""
    head, tail = (max_chars - 1) // 2, max_chars // 2
    pairs = zip(names, shortened(names, max_chars), strict=True)
    return [
        f"{name[:head]}{ELLIPSIS}{name[-tail:]}" if "\n" in short else short
        for name, short in pairs
    ]


def _if_distinct(names: Sequence[str], shorter: Sequence[str]) -> Sequence[str]:
    return shorter if len(set(shorter)) == len(set(names)) else names


def _without_fused(names: Sequence[str]) -> list[str]:
    """Return fused layers' names shortened to their first layer; numbers as in "(2)" are kept."""
    return [re.sub(r" \+ .*?( \(\d+\))?$", r"\1", name) for name in names]


def _without_common_modules(names: Sequence[str]) -> list[str]:
    first, last = min(names), max(names)
    pairs = enumerate(zip(first, last, strict=False))
    prefix = first[: next((n for n, (a, b) in pairs if a != b), len(first))]
    # as in ONNX's "layer.0"
    module_chars = prefix.rfind("/" if "/" in prefix else ".") + 1
    if module_chars < MIN_PREFIX_CHARS or len(names) < 2:
        return list(names)
    return [ELLIPSIS + name[module_chars:] for name in names]


def _last_modules(name: str, max_chars: int) -> str:
    """Return an ellipsis and as many last modules as fit; "" if even the last is too long."""
    if len(name) <= max_chars:
        return name
    starts = (n + 1 for n, char in enumerate(name) if char in "./" and name[n + 1 :])
    ends = (ELLIPSIS + name[start:].lstrip() for start in starts)
    return next((end for end in ends if len(end) <= max_chars), "")


def in_lines(name: str, max_chars: int) -> str:
    """Break a name into lines of at most `max_chars` characters."""
    return "\n".join(_lines(name, max_chars))


def _lines(name: str, max_chars: int) -> Iterator[str]:
    """Yield a name in lines of at most `max_chars`, if possible broken after modules."""
    while len(name) > max_chars:
        ends = [n + 1 for n, char in enumerate(name[:max_chars]) if char in SEPARATORS and n]
        cut = max(ends, default=max_chars)
        yield name[:cut].rstrip()
        name = name[cut:]
    yield name
