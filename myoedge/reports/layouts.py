# SPDX-License-Identifier: Apache-2.0
"""Data layouts of two builds: whether new data alone updates the old build (`myoedge diff`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from myoedge.system.notebook import Card, Shown


@dataclass(frozen=True, slots=True)
class LayoutDiff(Shown):
    """Layout digests of two builds with model.blob."""

    old: str
    new: str

    @property
    def blob_suffices(self) -> bool:
        return self.old == self.new

    def plain(self) -> dict[str, Any]:
        return {"blob_suffices": self.blob_suffices, "old": self.old, "new": self.new}

    def _card(self) -> Card:
        return Card(str(self))

    def __str__(self) -> str:
        if self.blob_suffices:
            return f"the blob suffices: both builds have layout {self.new[:16]}"
        layouts = f"layout {self.old[:16]} became {self.new[:16]}"
        return f"the firmware has to be updated too: {layouts}"
