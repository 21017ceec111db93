# SPDX-License-Identifier: Apache-2.0
"""Applications around a network: other main programs for the chip and for the GAP SDK."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from myoedge.plan.plan import Plan


class Application(ABC):
    """A main program around the network, with its files in src/firmware/<name>.

    name   name of the program
    The files replace files of src/firmware with the same names; the program is linked to
    <name>.elf.
    """

    name: str

    @abstractmethod
    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the files of src/firmware/<name>.

        values   values that all templates share
        """

    @abstractmethod
    def sdk_sources(self, files: Mapping[str, str]) -> list[str]:
        """Return the C files of src/, among `files`, that the GAP SDK application compiles too."""

    @abstractmethod
    def sdk_files(self) -> dict[str, str]:
        """Return the files of gap_sdk/ that replace files of the console application."""

    def described(self) -> dict[str, Any]:
        """Return further JSON files of the build folder, as name -> document."""
        return {}

    @property
    def period_s(self) -> float | None:
        """Seconds between inferences; None if the application does not set them."""
        return None


@dataclass(frozen=True)
class ListedApplication(Application):
    """An application whose files are given as texts, such as the files of a build folder.

    listed   files of src/firmware/<name>
    """

    name: str
    listed: Mapping[str, str]

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        return dict(self.listed)

    def sdk_sources(self, files: Mapping[str, str]) -> list[str]:
        return []

    def sdk_files(self) -> dict[str, str]:
        return {}
