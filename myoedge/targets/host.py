# SPDX-License-Identifier: Apache-2.0
"""Any computer with a C compiler: no limits, no cycles."""

from __future__ import annotations

from myoedge.targets.chip import Chip, Engine, OperatingPoint

HOST = Chip(
    name="host",
    doc="any computer with a C11 compiler; memory is not limited",
    l1_bytes=0,
    l2_bytes=2**31 - 1,
    l3_bytes=0,
    l3_bytes_per_s=0,
    engines=(Engine("cpu", cores=1, macs_per_cycle=0),),
    points=(OperatingPoint("any", volts=0.0, clock_hz=0),),
)
