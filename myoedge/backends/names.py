# SPDX-License-Identifier: Apache-2.0
"""Names of the backends in reports and messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backend:
    """Names of a backend in reports and messages.

    text           name, such as "C on the host"
    chip           name of its cycle counts, with {} for the chip; "": it counts no cycles
    source         source of the cycles in report.json
    shows_layers   whether `validate` compares every layer, not only the outputs
    is_listed      whether report.json lists it even if it has not been run
    """

    text: str
    chip: str = ""
    source: str = ""
    shows_layers: bool = False
    is_listed: bool = True


BACKENDS: Mapping[str, Backend] = {
    "host": Backend("C on the host", shows_layers=True),
    "simulator": Backend("simulator", "simulated {}", "simulated", shows_layers=True),
    "gvsoc": Backend("GVSoC", "GVSoC", "gvsoc"),
    "gvsoc-sdk": Backend(
        "GVSoC of the GAP SDK", "GVSoC of the GAP SDK", "gvsoc-sdk", is_listed=False
    ),
    "board": Backend("board", "{} board", "board"),
    "jtag": Backend("board over JTAG", "{} board over JTAG", "jtag", is_listed=False),
}

BY_SOURCE = {backend.source: name for name, backend in BACKENDS.items() if backend.source}
