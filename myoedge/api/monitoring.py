# SPDX-License-Identifier: Apache-2.0
"""The verb that uses the serial line of a sensor application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from myoedge.building.options import StrPath, silent
from myoedge.errors import Notice

if TYPE_CHECKING:
    from myoedge.backends.packets import Record


def monitor(
    source: StrPath, *, baud_rate: int = 1_000_000, warn: Callable[[Notice], None] = silent
) -> Iterator[Record]:
    """Yield the packets of a sensor application as they arrive: Decision, Status, Start,
    BrokenFrame.

    source      serial port, read until the connection breaks; or a file with recorded bytes
    baud_rate   bits per second of the port, as in [sensor]
    warn        called if no packet arrives: W603
    Errors: E501, E603, E607 the connection breaks, E615, E616.
    """
    from myoedge.backends.packet_source import records_from

    yield from records_from(str(source), baud_rate, warn)
