# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what stages of a build take; speed of commands, simulator, kernels and layers."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import myoedge
from myoedge.backends import gvsoc, host
from myoedge.backends.packets import Decision, Flags, Packet, Start
from myoedge.codegen.firmware import Firmware
from myoedge.errors import MyoedgeError
from myoedge.extensions.zoo.all_convnet import hd
from myoedge.simulator import simulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.extensions.sensor.packets import encoded
from tests.firmware.programs import program
from tests.kernels import speed
from tests.records import network_cycles
from tests.simulator.ne16_jobs import recorded, repeated_job
from tests.support.networks.small import Small
from tests.support.pages import shown

RUNS = 5
os.environ["MYOEDGE_STAGES"] = "off"  # what is timed is computed


def median_s(action: Callable[[], Any], runs: int = RUNS) -> float:
    """Seconds, after one run that is not counted."""
    action()
    times = []
    for _ in range(runs):
        since = time.perf_counter()
        action()
        times.append(time.perf_counter() - since)
    return statistics.median(times)


def exported(model: torch.nn.Module, shape: tuple[int, ...], path: Path) -> Path:
    torch.export.save(torch.export.export(model.eval(), (torch.zeros(shape),)), path)
    return path


def stages(model: Path, calib: np.ndarray, folder: Path) -> Mapping[str, float]:
    """Medians over RUNS builds, then compiling (nothing from the cache) and one run of the C."""
    runs = [myoedge.build(model, calib=calib, output=folder).times_s for _ in range(RUNS + 1)][1:]
    found = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    build = myoedge.load_build(folder)

    def compiled() -> None:
        host.build_library(folder / "src").unlink()

    found["compile"] = median_s(compiled)
    found["one run of the C"] = median_s(lambda: build.run(calib[0]), 50)
    return found


def table_of(columns: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table("stage", *columns, title="milliseconds, medians", title_justify="left")
    for stage in next(iter(columns.values())):
        table.add_row(stage, *(f"{found[stage] * 1e3:,.1f}" for found in columns.values()))
    sums = (sum(v for k, v in c.items() if k != "one run of the C") for c in columns.values())
    table.add_row("sum without the run", *(f"{total * 1e3:,.1f}" for total in sums))
    return table


def command_line() -> Table:
    table = Table("command", "ms", "of an empty Python", title="start-up", title_justify="left")
    bare = median_s(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    for arguments in (["--help"], ["--version"], ["explain", "E111"], ["build", "--help"]):
        command = [sys.executable, "-m", "myoedge", *arguments]
        seconds = median_s(lambda c=command: subprocess.run(c, check=True, capture_output=True))
        table.add_row(
            "myoedge " + " ".join(arguments), f"{seconds * 1e3:.0f}", f"{seconds / bare:.1f} x"
        )
    return table


BUSY_TIMES = {1: 40_000, 8: 5_000}  # blocks of 4x2 sums over K = 768, by busy cores


def monitor_seconds_of_a_day(folder: Path) -> float:
    """Seconds to decode and print a day of ten decisions and a status a second, from a part."""
    packets, in_a_day = 20_000, 11 * 86_400
    sent: list[Packet] = [Start(0, 0, 0, Flags(0), "00" * 8, 8, 1000.0, 5, "reset")]
    sent += [Decision(n, 10**5 * n, n, Flags(0), n % 5, n) for n in range(1, packets)]
    taken_s = []
    for count in (1, packets):  # less the start of Python
        (folder / "line.bin").write_bytes(b"".join(map(encoded, sent[:count])))
        command = [sys.executable, "-m", "myoedge", "monitor", str(folder / "line.bin")]
        taken_s.append(
            median_s(lambda c=command: subprocess.run(c, capture_output=True, check=True), 3)
        )
    return (taken_s[1] - taken_s[0]) / packets * in_a_day


def simulated(firmware: Firmware) -> tuple[float, int, int]:
    """Processor seconds, instructions and cycles of one run."""
    since = time.process_time()
    run = simulate(firmware.elf)
    seconds = time.process_time() - since
    return seconds, sum(core.instructions for core in run.counts), run.cycles


def on_gvsoc(firmware: Firmware, folder: Path) -> float | None:
    """The same there, without its own start-up; None where it is missing."""
    elf = folder / "speed.elf"
    times = []
    try:
        for content in (program("speed", "BUSY=1", "TIMES=1").elf, firmware.elf):
            elf.write_bytes(content)
            since = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            gvsoc.run_elf(elf, folder, timeout_s=600)
            times.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - since)
    except MyoedgeError:
        return None
    return times[1] - times[0]


def simulator_speed(folder: Path) -> Table:
    """Instructions a second on this machine, and the same program on GVSoC in the same run."""
    table = Table(
        "busy cores",
        "M instructions/s",
        "M cluster cycles/s",
        "times GVSoC",
        title="simulator",
        title_justify="left",
    )
    for busy, times in BUSY_TIMES.items():
        firmware = program("speed", f"BUSY={busy}", f"TIMES={times}")
        simulated(firmware)  # compiles the core where that has not been done
        seconds, instructions, cycles = simulated(firmware)
        other = on_gvsoc(firmware, folder)
        ratio = "no GVSoC here" if other is None else f"{other / seconds:.1f} x"
        rates = (instructions / seconds / 1e6, cycles / seconds / 1e6)
        table.add_row(str(busy), *(f"{rate:.0f}" for rate in rates), ratio)
    return table


NE16_JOBS = {"1x1": "a21_1x1_192_192_w8", "3x3": "b16_3x3_64_64_w8", "linear": "d02_lin_w8_rem"}


def ne16_speed() -> Table:
    """Cycles of NE16 that are simulated in a second, one job after the other."""
    table = Table("mode", "M cycles/s", title="NE16 on the simulator", title_justify="left")
    for mode, name in NE16_JOBS.items():
        elf = repeated_job(recorded()[name], 100)
        since = time.process_time()
        run = simulate(elf)
        seconds = time.process_time() - since
        table.add_row(mode, f"{run.devices['ne16_busy_cycles'] / seconds / 1e6:.0f}")
    return table


def main() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        networks = {
            "small residual 2x12": (Small(), (1, 2, 12)),
            "All-ConvNet 16x8": (hd(), (1, 1, 16, 8)),
        }
        columns = {}
        for name, (network, shape) in networks.items():
            model = exported(network, shape, folder / "model.pt2")
            calib = rng.random((64, *shape), np.float32)
            columns[name] = stages(model, calib, folder / "out")
        console = Console()
        console.print(table_of(columns), command_line(), simulator_speed(folder), ne16_speed())
        day_s = monitor_seconds_of_a_day(folder)
        console.print(f"monitor: {day_s:.0f} s for a day of ten decisions a second")
        for kind in (speed, network_cycles):
            console.print(shown(kind.COLUMNS, kind.lines(kind.measured())))


if __name__ == "__main__":
    main()
