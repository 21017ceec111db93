# SPDX-License-Identifier: Apache-2.0
"""Any computer with a C compiler: no limits, no cycles.

Its kernels are those of the cluster of GAP9: one thread takes the part of each core in turn.
"""

from __future__ import annotations

from myoedge.targets.chip import Chip, Engine, OperatingPoint

HOST = Chip(
    name="host",
    doc="any computer with a C11 compiler; memory is not limited",
    l1_bytes=0,
    l2_bytes=2**31 - 1,
    l3_bytes=0,
    l3_bytes_per_s=0,
    engines=(
        Engine("cluster", cores=8, macs_per_cycle=0),
        Engine("nine cores", cores=9, macs_per_cycle=0, control_core=True),
    ),
    points=(OperatingPoint("any", volts=0.0, clock_hz=0),),
)
