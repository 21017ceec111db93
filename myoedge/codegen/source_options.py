# SPDX-License-Identifier: Apache-2.0
"""Options of the generated C."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceOptions:
    """Options of the generated C.

    prefix         of all global C names; None: from the model's name
    checks         whether to generate <prefix>_check, which the program for the chip then calls
    weights_blob   whether weights, scales and tables are data that <prefix>_load replaces
    class_names    names of the classes of the first output's scores; (): unknown
    """

    prefix: str | None = None
    checks: bool = False
    weights_blob: bool = False
    class_names: tuple[str, ...] = ()


DEFAULT_OPTIONS = SourceOptions()
