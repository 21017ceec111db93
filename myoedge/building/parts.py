# SPDX-License-Identifier: Apache-2.0
"""Parts of a firmware for which myoedge.toml has a table, such as [adapt]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from myoedge.system.hooks import hooks, load

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.codegen.part import FirmwarePart
    from myoedge.plan.plan import Plan
    from myoedge.quantization.samples import Data
    from myoedge.streaming.stream import Stream


class PartRequest(Protocol):
    """Settings of a part, before the network is planned."""

    def part(self, plan: Plan, data: Data, stream: Stream | None) -> FirmwarePart:
        """Return the part for a planned network.

        data   calibration samples; for a stream recordings
        """


def requested_parts(options: BuildOptions, settings: Config) -> tuple[PartRequest, ...]:
    """Return the settings of the parts of a build. Errors: as of the parts' tables."""
    asked = (load(hook.request)(options, settings) for hook in hooks("parts"))
    return tuple(request for request in asked if request is not None)
