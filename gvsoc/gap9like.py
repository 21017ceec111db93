# SPDX-License-Identifier: Apache-2.0
"""A GAP9-like system for an installed public GVSoC: target `gap9like`, with three options.

frequency   of SoC and cluster in Hz: 370000000 (default) or 240000000, GAP9's operating points
fc_hart     mhartid of the fabric controller: 992 (0x3e0, public GVSoC's own) or 9 (GAP9's). With 9
            the peripheral clock equals the others, as on the platform the timing programs were
            recorded on; else it is half of them.
ne16        1 with NE16, whose model the target pulp-open does not build; 0 (default) without it
"""

import gvsoc.runner
import gvsoc.systree
from devices.hyperbus.hyperram import Hyperram
from gap9like_cluster import Cluster
from gap9like_soc import Soc
from vp.clock_domain import Clock_domain

L3_BYTES = 32 << 20
PICOSECONDS = 10**12


def slower(frequency: int, times: int) -> int:
    """The frequency whose period is exactly so many periods of the other.

    GVSoC rounds periods down to whole picoseconds, so dividing the frequency would drift.
    """
    return PICOSECONDS // (PICOSECONDS // frequency * times)


class Board(gvsoc.systree.Component):
    """The chip with its external RAM; clocks are fixed, there is no FLL."""

    def __init__(self, parent, name, parser, options):
        super().__init__(parent, name, options=options)
        self.set_target_name("gap9like")
        frequency = self._option("frequency", 370_000_000, "SoC and cluster clock in Hz")
        fc_hart = self._option("fc_hart", 0x3E0, "mhartid of the fabric controller")
        has_ne16 = bool(self._option("ne16", 0, "1 with the engine NE16"))
        periph_frequency = frequency if fc_hart == 9 else slower(frequency, 2)
        [arguments, _] = parser.parse_known_args()

        cluster = Cluster(self, "cluster", has_ne16)
        soc = Soc(self, "soc", fc_hart, arguments.binary)
        ram = Hyperram(self, "ram", size=L3_BYTES)
        soc_clock = Clock_domain(self, "soc_clock", frequency=frequency)
        cluster_clock = Clock_domain(self, "cluster_clock", frequency=frequency)
        periph_clock = Clock_domain(self, "periph_clock", frequency=periph_frequency)

        self.bind(soc_clock, "out", soc, "clock")
        self.bind(cluster_clock, "out", cluster, "clock")
        self.bind(periph_clock, "out", soc, "periph_clock")
        self.bind(periph_clock, "out", ram, "clock")
        self.bind(soc, "cluster", cluster, "input")
        self.bind(cluster, "soc", soc, "input")
        self.bind(cluster, "dma_irq", soc, "dma_irq")
        self.bind(soc, "l3", ram, "input")

    def _option(self, name, value, description):
        return self.declare_user_property(name=name, value=value, cast=int, description=description)


class Target(gvsoc.runner.Target):
    gapy_description = "GAP9-like system out of public blocks"
    model = Board
    name = "gap9like"

    def __init__(self, parser, options=None, name=None):
        super().__init__(parser, options, model=Board, name=name)
