# SPDX-License-Identifier: Apache-2.0
"""Applications around a network: other main programs for the chip and for the GAP SDK."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myoedge.codegen.dataset import Dataset
from myoedge.codegen.mlperf import SDK_SERVE, mlperf_files
from myoedge.codegen.render import template_dir
from myoedge.codegen.sensor import SDK_PORT, TEMPLATES, sdk_sources, sensor_files
from myoedge.codegen.sensor_program import JSON, SensorProgram

if TYPE_CHECKING:
    from myoedge.plan.plan import Plan

SENSOR = "sensor"


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
class MlperfApplication(Application):
    """The application that answers MLPerf Tiny's serial protocol with samples of a data set."""

    dataset: Dataset
    name = "mlperf"

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the files. Errors: E258, E232 as mlperf_files."""
        return mlperf_files(plan, self.dataset, values, values["digest"])

    def sdk_sources(self, files: Mapping[str, str]) -> list[str]:
        return [name for name in files if name.startswith("firmware/mlperf/mlperf") and _is_c(name)]

    def sdk_files(self) -> dict[str, str]:
        return {SDK_SERVE: (template_dir() / "app_mlperf" / SDK_SERVE).read_text()}


@dataclass(frozen=True)
class SensorApplication(Application):
    """The application that runs the network on the samples of a front end and sends its
    decisions."""

    program: SensorProgram
    name = SENSOR

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        return sensor_files(self.program, values, values["digest"])

    def sdk_sources(self, files: Mapping[str, str]) -> list[str]:
        return sorted(filter(_is_c, sdk_sources(files)))

    def sdk_files(self) -> dict[str, str]:
        return {SDK_PORT: (template_dir() / TEMPLATES / SDK_PORT).read_text()}

    def described(self) -> dict[str, Any]:
        return {JSON: self.program.to_json()}

    @property
    def period_s(self) -> float:
        return float(self.program.hop * self.program.frames / self.program.sensor.rate_hz)


NAMES = (MlperfApplication.name, SensorApplication.name)


@dataclass(frozen=True)
class ListedApplication(Application):
    """An application whose files are given as texts, as those of a build folder.

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


def _is_c(name: str) -> bool:
    return name.endswith(".c")
