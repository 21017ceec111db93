# SPDX-License-Identifier: Apache-2.0
"""Parts of a firmware beside its network: code of extensions that network.c calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from myoedge.numerics.arrays import Array
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream

NONE: Mapping[int, str] = {}


@dataclass(frozen=True)
class PartCalls:
    """C of a part in network.c and in the network's public header.

    header        path of the header that declares the functions
    before        statements before the first layer, one a line; `in` and `out` are the arguments of
                  the run
    after         statements after the last layer, one a line
    after_layer   layer -> statement after it, on every core
    public        lines of the public header
    """

    header: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    after_layer: Mapping[int, str] = field(default_factory=lambda: NONE)
    public: tuple[str, ...] = ()


class FirmwarePart(ABC):
    """A part of a firmware, for which myoedge.toml has a table.

    name   of its hook, and of its file <name>.npz in the build folder
    Its files in src/firmware/<name>, if any, replace files of src/firmware with the same names, and
    are linked to <name>.elf.
    """

    name: str

    @abstractmethod
    def calls(self, plan: Plan, stream: Stream | None, prefix: str) -> PartCalls:
        """Return the statements in network.c, and lines of the public header.

        prefix   of the network's C names, such as "gesture"
        """

    @abstractmethod
    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the files of src/.

        values   values that all templates share
        """

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Return the arrays of <name>.npz, from which the hook's `restore` makes the part again."""

    def reported(self) -> dict[str, Any]:
        """Return entries of report.json, by key."""
        return {}
