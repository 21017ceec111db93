# SPDX-License-Identifier: Apache-2.0
"""Tables of text, which the terminal and the pages draw alike."""

from __future__ import annotations

from dataclasses import dataclass

Cells = tuple[str, ...]


@dataclass(frozen=True)
class TextTable:
    """Titles and rows of cells.

    words   titles of the columns of words; numbers, of all others, stand at the right
    """

    titles: Cells
    rows: tuple[Cells, ...]
    words: Cells = ()

    def __bool__(self) -> bool:
        return bool(self.rows)
