# SPDX-License-Identifier: Apache-2.0
"""The cluster: 8 + 1 cores, 128 kB of banked L1, two levels of instruction cache, mchan, events."""

import gvsoc.systree
from cache.hierarchical_cache import Hierarchical_cache
from interco.converter import Converter
from interco.router import Router
from memory.memory import Memory
from pulp.cluster.cluster_control_v2 import Cluster_control
from pulp.cluster.l1_interleaver import L1_interleaver
from pulp.cpu.iss.pulp_cores import ClusterCore
from pulp.event_unit.event_unit_v3 import Event_unit
from pulp.icache_ctrl.icache_ctrl_v2 import Icache_ctrl
from pulp.mchan.mchan_v7 import Mchan
from pulp.ne16.ne16 import Ne16
from pulp.timer.timer_v2 import Timer

CORES = 9
BANKS = 16
DMA_PORTS = 4
L1_BYTES = 128 << 10
BANK_WIDTH_BITS = 2  # 4 bytes a cycle: cores that meet on a bank queue

BASE = 0x10000000
SIZE = 0x00400000
TEST_AND_SET = 0x00100000  # offsets below are from BASE; cores also see them from address 0
PERIPHERALS = 0x00200000
ROUTER_LATENCY = 2

# name, offset, size; one bus for all cores and the SoC
REGISTERS = (
    ("control", 0x200000, 0x400),
    ("timer", 0x200400, 0x400),
    ("event_unit", 0x200800, 0x800),
    ("icache_ctrl", 0x201400, 0x400),
    ("dma", 0x201800, 0x400),
)
NE16_REGISTERS = ("ne16", 0x201000, 0x400)
# Every core has its own way to these. mchan lies at 0x204400 on pulp-open, at 0x204800 on GAP9.
CORE_REGISTERS = (
    ("event_unit", 0x204000, 0x400),
    ("dma", 0x204400, 0x400),
    ("dma_gap9", 0x204800, 0x400),
)
CORE_REGISTER_MODELS = {"event_unit": "event_unit", "dma": "dma", "dma_gap9": "dma"}

EVENT_DMA, EVENT_DMA_IRQ, EVENT_TIMER, EVENT_NE16, EVENT_DMA_OUTSIDE = 8, 9, 10, 12, 22
EVENT_UNIT = {
    "nb_core": CORES,
    "properties": {
        "dispatch": {"size": 8},
        "mutex": {"nb_mutexes": 8},
        "barriers": {"nb_barriers": CORES},
        "semaphores": {"nb_semaphores": 16, "width": 12},
        "bitfields": {"nb_bitfields": 24},
        "soc_event": {"nb_fifo_events": 8, "fifo_event": 27},
        "events": {"barrier": 16, "mutex": 17, "dispatch": 18, "semaphore": 19},
    },
}


def ways(sets_log2):
    """A cache of four ways and lines of 16 bytes."""
    return {
        "nb_sets_bits": sets_log2,
        "nb_ways_bits": 2,
        "line_size_bits": 4,
        "refill_latency": 2,
    }


ICACHE = {
    "has_cc": True,
    "nb_cores": CORES,
    "nb_l1_banks": 2,
    "l0": ways(3),
    "l0_cc": ways(5),
    "l1": ways(5),
}


class L1(gvsoc.systree.Component):
    """Banks, the crossbar in front of them, and each core's first router."""

    def __init__(self, parent, name):
        super().__init__(parent, name)
        crossbar = L1_interleaver(
            self,
            "crossbar",
            nb_slaves=BANKS,
            nb_masters=CORES + DMA_PORTS + 2,
            interleaving_bits=2,
        )
        for i in range(BANKS):
            bank = Memory(self, f"bank{i}", size=L1_BYTES // BANKS, width_log2=BANK_WIDTH_BITS)
            self.bind(crossbar, f"out_{i}", bank, "input")
        for i in range(CORES):
            self._core(i, crossbar)
        for i in range(DMA_PORTS):
            self.bind(self, f"dma_in_{i}", crossbar, f"in_{CORES + i}")
        for port in ("in", "ts_in"):
            words = Converter(self, f"outside_{port}", output_width=4, output_align=4)
            self.bind(self, f"outside_{port}", words, "input")
            self.bind(words, "out", crossbar, f"{port}_{CORES + DMA_PORTS}")
        self.bind(self, "ne16_in", crossbar, f"in_{CORES + DMA_PORTS + 1}")

    def _core(self, i, crossbar):
        router = Router(self, f"core{i}")
        self.bind(self, f"core{i}", router, "input")
        for alias, base in (("", BASE), ("_alias", 0)):
            data, locked = f"l1{alias}", f"l1_ts{alias}"
            router.add_mapping(data, base=base, size=L1_BYTES, remove_offset=base)
            self.bind(router, data, crossbar, f"in_{i}")
            ts = base + TEST_AND_SET
            router.add_mapping(locked, base=ts, size=L1_BYTES, remove_offset=ts)
            self.bind(router, locked, crossbar, f"ts_in_{i}")
            for block, offset, size in CORE_REGISTERS:
                port, start = f"{block}{alias}", base + offset
                router.add_mapping(port, base=start, size=size, remove_offset=start)
                self.bind(router, port, self, f"{CORE_REGISTER_MODELS[block]}{i}")
        router.add_mapping("elsewhere")
        self.bind(router, "elsewhere", self, "elsewhere")


class Cluster(gvsoc.systree.Component):
    """Ports: `input` from and `soc` to the SoC, `dma_irq` to its interrupt controller."""

    def __init__(self, parent, name, has_ne16):
        super().__init__(parent, name)
        cores = [ClusterCore(self, f"pe{i}", 0, i, pulpnn=False) for i in range(CORES)]
        l1 = L1(self, "l1")
        icache = Hierarchical_cache(self, "icache", ICACHE)
        blocks = {
            "control": Cluster_control(self, "control", nb_core=CORES),
            "timer": Timer(self, "timer"),
            "event_unit": Event_unit(self, "event_unit", EVENT_UNIT),
            "icache_ctrl": Icache_ctrl(self, "icache_ctrl"),
            "dma": Mchan(self, "dma", nb_channels=CORES + 1),
        }
        if has_ne16:
            blocks["ne16"] = Ne16(self, "ne16")
            # Without it xtensor 0.24 leaves weights of zero where the model unpacks bit planes.
            blocks["ne16"].add_c_flags(["-DXTENSOR_USE_XSIMD"])
        crossbar = Router(self, "crossbar", latency=ROUTER_LATENCY)
        self._route(crossbar, l1, blocks)
        self.bind(icache, "refill", crossbar, "input")
        for i, core in enumerate(cores):
            self._core(i, core, l1, icache, blocks)
        if has_ne16:
            self._ne16(blocks["ne16"], l1, blocks["event_unit"])
        self._dma(blocks["dma"], l1, crossbar)
        for signal in ("enable", "flush", "flush_line", "flush_line_addr"):
            self.bind(blocks["icache_ctrl"], signal, icache, signal)

    def _route(self, crossbar, l1, blocks):
        self.bind(self, "input", crossbar, "input")
        self.bind(l1, "elsewhere", crossbar, "input")
        crossbar.add_mapping("soc")
        self.bind(crossbar, "soc", self, "soc")
        for port, offset in (("in", 0), ("ts_in", TEST_AND_SET)):
            start = BASE + offset
            crossbar.add_mapping(f"l1_{port}", base=start, size=L1_BYTES, remove_offset=start)
            self.bind(crossbar, f"l1_{port}", l1, f"outside_{port}")
        bus = Router(self, "bus")
        space = {"size": PERIPHERALS, "remove_offset": 0}
        crossbar.add_mapping("bus", base=BASE + PERIPHERALS, **space)
        crossbar.add_mapping("bus_alias", base=PERIPHERALS, add_offset=BASE, **space)
        self.bind(crossbar, "bus", bus, "input")
        self.bind(crossbar, "bus_alias", bus, "input")
        ne16 = (NE16_REGISTERS,) if "ne16" in blocks else ()
        for block, offset, size in (*REGISTERS, *ne16):
            bus.add_mapping(block, base=BASE + offset, size=size, remove_offset=BASE + offset)
            self.bind(bus, block, blocks[block], f"in_{CORES}" if block == "dma" else "input")

    def _core(self, i, core, l1, icache, blocks):
        events, control = blocks["event_unit"], blocks["control"]
        self.bind(core, "data", l1, f"core{i}")
        self.bind(core, "data_debug", l1, f"core{i}")
        self.bind(core, "fetch", icache, f"input_{i}")
        self.bind(l1, f"dma{i}", blocks["dma"], f"in_{i}")
        self.bind(l1, f"event_unit{i}", events, f"demux_in_{i}")
        self.bind(core, "irq_ack", events, f"irq_ack_{i}")
        self.bind(events, f"irq_req_{i}", core, "irq_req")
        self.bind(events, f"clock_{i}", core, "clock")
        self.bind(control, f"bootaddr_{i}", core, "bootaddr")
        self.bind(control, f"fetchen_{i}", core, "fetchen")
        self.bind(blocks["icache_ctrl"], "flush", core, "flush_cache")
        for line, event in ((f"event_itf_{i}", EVENT_DMA), (f"irq_itf_{i}", EVENT_DMA_IRQ)):
            self.bind(blocks["dma"], line, events, f"in_event_{event}_pe_{i}")
        self.bind(blocks["dma"], "ext_irq_itf", events, f"in_event_{EVENT_DMA_OUTSIDE}_pe_{i}")
        for k in range(2):
            event = f"in_event_{EVENT_TIMER + k}_pe_{i}"
            self.bind(blocks["timer"], f"irq_itf_{k}", events, event)

    def _dma(self, dma, l1, crossbar):
        self.bind(dma, "ext_itf", crossbar, "input")
        self.bind(dma, "ext_irq_itf", self, "dma_irq")
        for i in range(DMA_PORTS):
            self.bind(dma, f"loc_itf_{i}", l1, f"dma_in_{i}")

    def _ne16(self, ne16, l1, events):
        self.bind(ne16, "out", l1, "ne16_in")
        for i in range(CORES):
            self.bind(ne16, "irq", events, f"in_event_{EVENT_NE16}_pe_{i}")
