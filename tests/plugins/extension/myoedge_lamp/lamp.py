# SPDX-License-Identifier: Apache-2.0
"""The application "lamp": the firmware of a build, and the pin of a lamp in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from myoedge.building.config import find
from myoedge.building.config_tables import Config
from myoedge.building.options import BuildOptions
from myoedge.codegen.application import Application
from myoedge.plan.plan import Plan
from myoedge.quantization.recordings.reading import Content, Reading
from myoedge.streaming.stream import Stream


@dataclass(frozen=True)
class LampTable:
    """[lamp]: pin is the number of the lamp's pin; blinks, whether the lamp does after an
    inference."""

    pin: int = 3
    blinks: bool = False


def rules(table: LampTable) -> Iterator[tuple[str, bool]]:
    yield "lamp.pin must be 0 to 31", 0 <= table.pin <= 31


@dataclass(frozen=True)
class LampApplication(Application):
    pin: int
    name = "lamp"

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        pin = f"extern const int lamp_pin;\nconst int lamp_pin = {self.pin};\n"
        return {"firmware/lamp/lamp.c": pin}

    def sources_in(self, project: str, files: Mapping[str, str]) -> list[str]:
        return [f"{project}: {name}" for name in files if name.endswith("lamp/lamp.c")]

    def files_in(self, project: str) -> dict[str, str]:
        return {"main.c": f"int {project}_pin = {self.pin};\n"}


@dataclass(frozen=True)
class LampRequest:
    pin: int

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        return LampApplication(self.pin)


def requested(options: BuildOptions, settings: Config) -> LampRequest:
    return LampRequest(settings.table("lamp").pin)


def read_lamp(path: Path, reading: Reading) -> Content:
    """Four bytes LAMP, then windows of 24 int8 values."""
    values = np.frombuffer(path.read_bytes()[4:], np.int8).astype(np.float32)
    return Content({"input": values.reshape(-1, 1, 2, 12)})


@click.command("lamp")
def lamp() -> None:
    """Tell the pin of [lamp]."""
    click.echo(f"pin {find(None).settings.table('lamp').pin}")
