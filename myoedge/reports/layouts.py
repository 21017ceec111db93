# SPDX-License-Identifier: Apache-2.0
"""Data layouts of two builds: whether new data alone updates the old build (`myoedge diff`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from myoedge.codegen.blob import without_comments
from myoedge.system.notebook import Card, Shown

# Generated files that contain the model itself, and are not part of the layout.
OF_THE_MODEL = ("LICENSE", "Makefile", "golden.h", "info.c", "load.c", "selftest.c", "weights.c")
MOST_NAMES = 3  # files that are named


@dataclass(frozen=True, slots=True)
class LayoutDiff(Shown):
    """Layout digests of two builds with model.blob.

    differing   generated files with other code
    """

    old: str
    new: str
    differing: tuple[str, ...] = ()

    @property
    def blob_suffices(self) -> bool:
        return self.old == self.new

    def plain(self) -> dict[str, Any]:
        layouts = {"old": self.old, "new": self.new, "differing": [*self.differing]}
        return {"blob_suffices": self.blob_suffices, **layouts}

    def _card(self) -> Card:
        return Card(str(self))

    def __str__(self) -> str:
        if self.blob_suffices:
            return f"the blob suffices: both builds have layout {self.new[:16]}"
        layouts = f"layout {self.old[:16]} became {self.new[:16]}"
        more = len(self.differing) - MOST_NAMES
        names = ", ".join(self.differing[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
        other = f"\n  other code in {names}" if names else ""
        return f"the firmware has to be updated too: {layouts}{other}"


def differing_code(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of generated files whose code differs, beyond the model's own content.

    old, new   file name -> text, of the files of src/
    """
    covered = (n for n in {*old, *new} if PurePath(n).name not in OF_THE_MODEL)
    names = sorted(covered, key=lambda n: (n.count("/"), n))  # the network before its library
    return tuple(n for n in names if _code(old.get(n, "")) != _code(new.get(n, "")))


def _code(text: str) -> object:
    """Return a file's code without comments; of the public header, the class names and the names of
    further inputs and outputs."""
    if "#ifndef ME_PUBLIC_" in text:
        return re.findall(
            r"^.*_CLASS_NAMES \{.*|^/\* (?:in|out)\[[1-9]\d*\]: [^,]*", text, re.MULTILINE
        )
    return without_comments(text)
