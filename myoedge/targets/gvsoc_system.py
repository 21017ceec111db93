# SPDX-License-Identifier: Apache-2.0
"""Systems of public GVSoC, which run a chip's programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GvsocSystem:
    """A system that gvsoc/ describes.

    target       its name there
    clock_hz     clock of controller and cluster
    first_core   mhartid of the fabric controller, by which programs choose drivers
    models       engine -> its model in an installation, which may lack it
    """

    target: str
    clock_hz: int
    first_core: int
    models: Mapping[str, str]
