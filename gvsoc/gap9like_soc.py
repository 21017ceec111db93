# SPDX-License-Identifier: Apache-2.0
"""The SoC around the cluster: fabric controller, L2, peripherals, uDMA with external RAM.

Where GAP9 and pulp-open have a register at different addresses, both work.
"""

import gvsoc.systree
from cache.cache import Cache
from interco.interleaver import Interleaver
from interco.router import Router
from memory.memory import Memory
from pulp.cpu.iss.pulp_cores import PulpCore, _build_fc_isa
from pulp.icache_ctrl.icache_ctrl_v2 import Icache_ctrl
from pulp.itc.itc_v1 import Itc_v1
from pulp.soc_eu.soc_eu_v2 import Soc_eu
from pulp.stdout.stdout_v3 import Stdout
from pulp.timer.timer_v2 import Timer
from utils.loader.loader import ElfLoader

PRIVATE, PRIVATE_BYTES = 0x1C000000, 32 << 10  # two of them; the first also at address 0
SHARED, SHARED_BYTES = 0x1C010000, 1536 << 10
REGIONS, REGION_BANKS = 12, 4
CLUSTER, CLUSTER_BYTES = 0x10000000, 0x00400000
SOC, SOC_BYTES = 0x1A000000, 0x06000000
APB, APB_BYTES = 0x1A100000, 0x00100000

AXI = {"latency": 12, "bandwidth": 8}  # between cluster and SoC
APB_LATENCY, FETCH_LATENCY, UDMA_LATENCY = 8, 5, 4
EXIT = 0xA0  # offset of the exit register in its model

# name, block, first address, size, and the address that is offset 0 of the block
REGISTERS = (
    ("fll", "fll", 0x1A100000, 0x1000, 0x1A100000),
    ("udma", "udma", 0x1A102000, 0x2000, 0x1A102000),
    ("control", "control", 0x1A104000, 0xC0, 0x1A104000),  # pulp-open's exit: +0xA0
    ("exit_gap9", "control", 0x1A1040C0, 0x4, 0x1A1040C0 - EXIT),
    ("control_high", "control", 0x1A1040C4, 0xF3C, 0x1A104000),
    ("events", "events", 0x1A106000, 0x1000, 0x1A106000),
    ("pmu", "pmu", 0x1A107000, 0x800, 0x1A107000),
    ("icache_ctrl", "icache_ctrl", 0x1A108800, 0x800, 0x1A108800),
    ("itc_gap9", "itc", 0x1A109000, 0x800, 0x1A109000),
    ("itc", "itc", 0x1A109800, 0x800, 0x1A109800),
    ("timer0", "timer0", 0x1A10B000, 0x800, 0x1A10B000),
    ("timer1", "timer1", 0x1A10B800, 0x800, 0x1A10B800),
    ("stdout", "stdout", 0x1A10F000, 0x1000, 0x1A10F000),
    ("stdout_gap9", "stdout", 0x1A120000, 0x1000, 0x1A120000),
)
IRQ_DMA, IRQ_TIMER, IRQ_REF_CLOCK = 8, 10, 14
REF_CLOCK_EVENT = 56
HYPER_ID = 8  # peripheral of the uDMA; eight slots and the common registers follow it


class Model(gvsoc.systree.Component):
    """A compiled model of the installation that has no class of its own to our liking."""

    def __init__(self, parent, name, model, flags=(), **properties):
        super().__init__(parent, name)
        self.set_component(model)
        self.add_c_flags(list(flags))
        self.add_properties(properties)


def udma(parent):
    """The public uDMA v3 with nothing but the HyperBus interface."""
    hyper = {
        "version": 3,
        "nb_channels": 1,
        "ids": list(range(HYPER_ID, HYPER_ID + 9)),
        "offsets": [f"{0x80 * i:#x}" for i in range(HYPER_ID, HYPER_ID + 9)],
        "is_master": True,
    }
    return Model(
        parent,
        "udma",
        "pulp.udma.udma_v3_pulp_impl",
        flags=["-DPULP_OPEN_UDMA=1"],  # part of the installed model's name
        nb_periphs=HYPER_ID + 9,
        interfaces=["hyper"],
        properties={"l2_read_fifo_size": 8},
        hyper=hyper,
    )


def soc_control(parent):
    return Model(
        parent,
        "control",
        "pulp.chips.pulp.apb_soc_impl",
        cluster_power_event=31,
        cluster_clock_gate_event=35,
        nb_harts=10,
        nb_l2_shared_banks=REGIONS,
    )


class L2(gvsoc.systree.Component):
    """Two private banks, and 1.5 MB in regions of word-interleaved banks."""

    def __init__(self, parent, name):
        super().__init__(parent, name)
        self.shared = Router(self, "shared")
        self.bind(self, "shared", self.shared, "input")
        for i in range(2):
            bank = Memory(self, f"private{i}", size=PRIVATE_BYTES)
            self.bind(self, f"private{i}", bank, "input")
        for i in range(REGIONS):
            self._region(i)

    def _region(self, i):
        size = SHARED_BYTES // REGIONS
        start = SHARED + i * size
        region = Interleaver(self, f"region{i}", nb_slaves=REGION_BANKS, interleaving_bits=2)
        self.shared.add_mapping(f"region{i}", base=start, size=size, remove_offset=start)
        self.bind(self.shared, f"region{i}", region, "input")
        for j in range(REGION_BANKS):
            bank = Memory(self, f"bank{i}_{j}", size=size // REGION_BANKS)
            self.bind(region, f"out_{j}", bank, "input")


class Soc(gvsoc.systree.Component):
    """Ports: `input` from and `cluster` to the cluster, `dma_irq`, `periph_clock`, `l3`."""

    def __init__(self, parent, name, fc_hart, binary):
        super().__init__(parent, name)
        isa = _build_fc_isa("pulp_fc")
        fc = PulpCore(self, "fc", isa, cluster_id=fc_hart >> 5, core_id=fc_hart & 31)
        blocks = {
            "fll": Memory(self, "fll", size=0x1000),
            "udma": udma(self),
            "control": soc_control(self),
            "events": Soc_eu(self, "events", ref_clock_event=REF_CLOCK_EVENT),
            "pmu": Memory(self, "pmu", size=0x800),
            "icache_ctrl": Icache_ctrl(self, "icache_ctrl"),
            "itc": Itc_v1(self, "itc"),
            "timer0": Timer(self, "timer0"),
            "timer1": Timer(self, "timer1"),
            "stdout": Stdout(self, "stdout"),
        }
        axi = Router(self, "axi", **AXI)
        bus = self._bus(axi, blocks)
        self._fabric_controller(fc, bus, blocks)
        self._events(blocks)
        self._udma(blocks["udma"], bus)
        loader = ElfLoader(self, "loader", binary)
        self.bind(loader, "out", axi, "input")
        self.bind(loader, "entry", fc, "bootaddr")
        self.bind(loader, "start", fc, "fetchen")

    def _bus(self, axi, blocks):
        """What everybody in the SoC sees, and the way to the cluster and back."""
        l2 = L2(self, "l2")
        bus = Router(self, "bus")
        for name, base, block in (
            ("private0", PRIVATE, "private0"),
            ("private0_alias", 0, "private0"),
            ("private1", PRIVATE + PRIVATE_BYTES, "private1"),
        ):
            bus.add_mapping(name, base=base, size=PRIVATE_BYTES, remove_offset=base)
            self.bind(bus, name, l2, block)
        bus.add_mapping("shared", base=SHARED, size=SHARED_BYTES)
        self.bind(bus, "shared", l2, "shared")
        bus.add_mapping("axi", base=CLUSTER, size=CLUSTER_BYTES)
        self.bind(bus, "axi", axi, "input")
        self.bind(self, "input", axi, "input")
        axi.add_mapping("cluster", base=CLUSTER, size=CLUSTER_BYTES)
        self.bind(axi, "cluster", self, "cluster")
        axi.add_mapping("bus", base=SOC, size=SOC_BYTES)
        self.bind(axi, "bus", bus, "input")
        self._registers(bus, blocks)
        return bus

    def _registers(self, bus, blocks):
        apb = Router(self, "apb", latency=APB_LATENCY)
        bus.add_mapping("apb", base=APB, size=APB_BYTES)
        self.bind(bus, "apb", apb, "input")
        for name, block, base, size, zero in REGISTERS:
            apb.add_mapping(name, base=base, size=size, remove_offset=zero)
            self.bind(apb, name, blocks[block], "input")

    def _fabric_controller(self, fc, bus, blocks):
        icache = Cache(self, "icache", nb_sets_bits=5, nb_ways_bits=2, line_size_bits=4)
        fetch = Router(self, "fetch", latency=FETCH_LATENCY)
        fetch.add_mapping("bus")
        self.bind(fc, "fetch", icache, "input_0")
        self.bind(icache, "refill", fetch, "input")
        self.bind(fetch, "bus", bus, "input")
        self.bind(fc, "data", bus, "input")
        self.bind(fc, "data_debug", bus, "input")
        self.bind(fc, "flush_cache_req", icache, "flush")
        self.bind(icache, "flush_ack", fc, "flush_cache_ack")
        for signal in ("enable", "flush", "flush_line", "flush_line_addr"):
            self.bind(blocks["icache_ctrl"], signal, icache, signal)
        self.bind(blocks["icache_ctrl"], "flush", fc, "flush_cache")
        self.bind(fc, "irq_ack", blocks["itc"], "irq_ack")
        self.bind(blocks["itc"], "irq_req", fc, "irq_req")

    def _events(self, blocks):
        itc, events = blocks["itc"], blocks["events"]
        self.bind(self, "dma_irq", itc, f"in_event_{IRQ_DMA}")
        for i in range(4):
            timer, line = blocks[f"timer{i // 2}"], f"irq_itf_{i % 2}"
            self.bind(timer, line, itc, f"in_event_{IRQ_TIMER + i}")
        # The model of the SoC events crashes where this line goes nowhere.
        self.bind(events, "ref_clock_event", itc, f"in_event_{IRQ_REF_CLOCK}")
        self.bind(events, "fc_event_itf", itc, "soc_event")
        self.bind(blocks["udma"], "event_itf", events, "event_in")

    def _udma(self, block, bus):
        way = Router(self, "udma_way", latency=UDMA_LATENCY)
        way.add_mapping("bus")
        self.bind(block, "l2_itf", way, "input")
        self.bind(way, "bus", bus, "input")
        self.bind(self, "periph_clock", block, "periph_clock")
        self.bind(block, "hyper0", self, "l3")
