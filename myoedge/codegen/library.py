# SPDX-License-Identifier: Apache-2.0
"""The files of the C library that kernels need: their own, and all that these include."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from myoedge.codegen.render import template_dir

_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def library_files(kernels: Iterable[str]) -> dict[str, str]:
    """Path -> text of the files that kernels need; the bodies of an included header among them."""
    texts: dict[str, str] = {}
    names = [f"{kernel}.c" for kernel in kernels]
    while names:
        path = _folder() / names.pop()
        if path.name not in texts and path.is_file():
            texts[path.name] = path.read_text()
            for included in _INCLUDE.findall(texts[path.name]):
                stem = Path(included).stem
                names += [included, f"{stem}.c", f"{stem}.S"]
    return {f"library/{name}": text for name, text in sorted(texts.items())}


def headers(kernels: Iterable[str]) -> list[str]:
    """Paths of the headers that declare kernels: what their files include first."""
    texts = ((_folder() / f"{kernel}.c").read_text() for kernel in kernels)
    return sorted({f"library/{_INCLUDE.findall(text)[0]}" for text in texts})


def _folder() -> Path:
    return template_dir() / "library"
