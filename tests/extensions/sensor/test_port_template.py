# SPDX-License-Identifier: Apache-2.0
"""examples/sensor_port: compiled for Cortex-M with the sensor application; its time, in QEMU."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from myoedge.extensions.qemu import runner
from myoedge.extensions.sensor.application import BARE_METAL, FIRMWARE, sensor_files
from myoedge.extensions.sensor.program import SampleLayout
from myoedge.system import tools
from myoedge.targets.cortex_m.chips import BOARDS
from tests.conftest import ROOT
from tests.extensions.qemu.test_qemu import built, in_qemu, linked
from tests.extensions.sensor.sensor_player import DIGEST, HOST, program

TEMPLATE = ROOT / "examples" / "sensor_port" / "port_cortex_m.c"
GCC, NM = "arm-none-eabi-gcc", "arm-none-eabi-nm"
FLAGS = ("-mthumb", "-mcpu=cortex-m4", "-O2", "-ffreestanding", "-Wall", "-Wextra", "-Werror")
TABLES = {"ads1298": {}, "uart": {"pins": {}, "bits": 16, "input_range": "2.4 V"}}
NETWORK = "int me_run(const void *const in[], void *const out[]);\n"


@pytest.mark.skipif(shutil.which(GCC) is None, reason="no GCC for Arm")
@pytest.mark.parametrize("front_end", TABLES)
def test_it_has_every_function_that_the_application_calls(front_end: str, tmp_path: Path) -> None:
    made = program(SampleLayout(8, 20, 1), 4, front_end=front_end, **TABLES[front_end])
    values = {"banner": "test", "calls": {}, "l3_bytes": 0, "mram_bytes": 0, "copies": 0}
    left_out = {name.removesuffix(".j2") for name in BARE_METAL}
    for path, text in sensor_files(made, values, DIGEST).items():
        if (name := Path(path).name) not in left_out:
            (tmp_path / name).write_text(text)
    header = (HOST / "network.h").read_text().replace("void me_reset", f"{NETWORK}void me_reset")
    (tmp_path / "network.h").write_text(header)
    (tmp_path / TEMPLATE.name).write_bytes(TEMPLATE.read_bytes())
    files = sorted(path.name for path in tmp_path.glob("*.c"))
    done = tools.run((GCC, *FLAGS, "-I.", "-c", *files), cwd=tmp_path, timeout_s=300)
    assert done.returncode == 0, done.stderr
    objects = sorted(path.name for path in tmp_path.glob("*.o"))
    symbols = tools.run((NM, *objects), cwd=tmp_path, timeout_s=60).stdout
    known = {"U": set[str](), "T": set[str]()}
    for kind, name in re.findall(r" ([UT]) (me_port_\w+)", symbols):
        known[kind].add(name)
    assert known["U"]
    assert known["U"] <= known["T"]


MAIN = """
#include "host.h"
#include "marks.h"
#include "network.h"
#include "platform.h"
#include "sensor_port.h"

volatile uint32_t me_marks[ME_LAYERS + 2];
void SysTick_Handler(void);
void me_sensor_ready(void) {}
static uint32_t table[128] __attribute__((aligned(512)));

/* Instructions, which QEMU runs at 1 GHz: 2 of them per turn. */
static void run(uint32_t turns)
{
    __asm__ volatile("1: subs %0, %0, #1\\n\\tbne 1b" : "+r"(turns) : : "cc");
}

static int is_near(uint32_t us, uint32_t wanted) { return us >= wanted && us <= wanted + 5; }

int main(void)
{
    for (uint32_t i = 0; i < 128; i++)
        table[i] = ((volatile uint32_t *)0)[i < 15 ? i : 0];
    table[15] = (uint32_t)SysTick_Handler;
    *(volatile uint32_t *)0xE000ED08 = (uint32_t)table;
    if (me_port_open())
        return 40;
    me_port_interrupts(true);
    uint32_t start = me_port_us();
    run(5250000); /* 10.5 ms */
    if (!is_near(me_port_us() - start, 10500))
        return 41;
    for (uint32_t last = start, i = 0; i < 100000; i++) {
        const uint32_t now = me_port_us();
        if (now - last > 10)
            return i ? 42 : 0;
        last = now;
    }
    me_port_interrupts(false);
    start = me_port_us();
    run(400000); /* 0.8 ms, in which a tick may be late */
    if (!is_near(me_port_us() - start, 800))
        return 43;
    return 0;
}
"""


@in_qemu
def test_time_is_that_of_the_core(tmp_path: Path) -> None:
    build = built("mlp", tmp_path, "cortex-m4")
    hz = BOARDS["cortex-m4"].clock_hz
    header = (FIRMWARE / "sensor_port.h").read_text()
    sensor = (FIRMWARE / "sensor.h").read_text()
    more = {
        "firmware/port.c": f"#define CORE_HZ {hz}u\n{TEMPLATE.read_text()}",
        "firmware/sensor_port.h": header,
        "firmware/sensor.h": sensor,
    }
    (tmp_path / "firmware.elf").write_bytes(linked(build, MAIN, more))
    machine = ("-machine", BOARDS["cortex-m4"].machine, "-kernel", "firmware.elf")
    command = (runner.find(), *machine, *runner.FLAGS)
    assert tools.run(command, cwd=tmp_path, timeout_s=60).returncode == 0
