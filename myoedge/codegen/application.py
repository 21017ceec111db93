# SPDX-License-Identifier: Apache-2.0
"""Applications around a network: other main programs for the chip, and for projects of
development kits; and parts, code beside the network in each program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from myoedge.errors import Notice
    from myoedge.numerics.arrays import Array
    from myoedge.plan.plan import Plan
    from myoedge.quantization.samples import Data
    from myoedge.streaming.stream import Stream


@dataclass(frozen=True, slots=True)
class Period:
    """Period of an application: time and the controller's cycles from one inference to the next.

    seconds            between inferences
    control_cycles     cycles of the controller per inference, estimated
    receiving_cycles   of them those for samples
    decision_cycles    of them those between the last sample and the end of the decision's packet
    last_sample_cycles   of these those for the last sample
    packet_cycles      of these those for the packet, after the inference
    decision_s         time that a decision takes on the bus and the line, and that the first frame
                       of a pass waits for the last one
    read_s             of it the time before the last sample is read
    sample_s           between two samples; 0: none interrupts the controller
    sample_cycles      cycles of the controller for a sample that interrupts it
    clocks_hz          clocks below the chip's operating points with which it keeps up
    waiting_hz         pairs: clock of the network, and a lower one with which the application keeps
                       up while it waits and receives samples; all that the chip makes
    rest_share         share of the periods in which the run ends early, expected
    rest_layers        layers that run in these periods
    """

    seconds: float
    control_cycles: int = 0
    receiving_cycles: int = 0
    decision_cycles: int = 0
    last_sample_cycles: int = 0
    packet_cycles: int = 0
    decision_s: float = 0.0
    read_s: float = 0.0
    sample_s: float = 0.0
    sample_cycles: int = 0
    clocks_hz: tuple[int, ...] = ()
    waiting_hz: tuple[tuple[int, int], ...] = ()
    rest_share: float = 0.0
    rest_layers: int = 0


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
        """Return files that replace files of a project's own application."""
        return {}

    def learned(self, plan: Plan, data: Data) -> Application:
        """Return the application with the settings that calibration samples determine.

        data   calibration samples; for a stream recordings
        """
        return self

    def reported(self) -> dict[str, Any]:
        """Return entries of report.json, by key."""
        return {}

    def described(self) -> dict[str, Any]:
        """Return further JSON files of the build folder, as name -> document."""
        return {}

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Warnings about the settings that calibration samples determined."""
        return ()

    @property
    def exit_output(self) -> int | None:
        """Number of the output after which the application may end a run; None: it never does."""
        return None

    @property
    def period(self) -> Period | None:
        """Period of the network; None if the application does not set it."""
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


# --- parts of the firmware ------------------------------------------------------------------------


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
