# SPDX-License-Identifier: Apache-2.0
"""Applications around a network: other main programs for the chip, and for projects of
development kits."""

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

    def sources_in(self, project: str, files: Mapping[str, str]) -> list[str]:
        """Return the C files of src/, among `files`, that a project compiles too.

        project   name of its ProjectHook
        """
        return []

    def files_in(self, project: str) -> dict[str, str]:
        """Return files of a project that replace those of its own application."""
        return {}

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
