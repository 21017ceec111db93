# SPDX-License-Identifier: Apache-2.0
"""The option --app mlperf: a request of the application, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myoedge.codegen.application import Application
from myoedge.errors import MyoedgeError
from myoedge.extensions.mlperf.dataset import Dataset
from myoedge.extensions.mlperf.program import FIRMWARE, FOLDER, SDK_SERVE, mlperf_files

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream


@dataclass(frozen=True)
class MlperfApplication(Application):
    """The application that answers MLPerf Tiny's serial protocol with samples of a data set."""

    dataset: Dataset
    name = "mlperf"

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the files. Errors: E258, E232 as mlperf_files."""
        return mlperf_files(plan, self.dataset, values, values["digest"])

    def sources_in(self, project: str, files: Mapping[str, str]) -> list[str]:
        starts = f"{FOLDER}/mlperf"
        return [name for name in files if name.startswith(starts) and name.endswith(".c")]

    def files_in(self, project: str) -> dict[str, str]:
        return {SDK_SERVE: (FIRMWARE / SDK_SERVE).read_text()}


@dataclass(frozen=True)
class MlperfRequest:
    """Settings of the application: [mlperf], with all keys that the protocol requires."""

    dataset: Dataset

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        """Return the application of a planned network."""
        return MlperfApplication(self.dataset)


def requested(options: BuildOptions, settings: Config) -> MlperfRequest:
    """Return the request of a build. Errors: E232 [mlperf] lacks a key; E258 a stream."""
    dataset: Dataset = settings.table("mlperf")
    if options.stream:
        title = "MLPerf Tiny's protocol has whole inputs, and no frames"
        raise MyoedgeError("E258", title, {}, ["--app gap-sdk", "without --stream"])
    missing = [key for key in ("model", "input") if getattr(dataset, key) is None]
    if missing:
        tries = ['[mlperf] model = "ic01" and input = "uint8" in myoedge.toml, say']
        title = f"--app mlperf needs [mlperf] {' and '.join(missing)}"
        raise MyoedgeError("E232", title, {}, tries)
    return MlperfRequest(dataset)
