# SPDX-License-Identifier: Apache-2.0
"""The energy model against what is published.

python -m tests.energy_page fit     new coefficients in myoedge/targets/gap9/energy.py
python -m tests.energy_page         docs/developers/energy.md's tables (`make docs`)
"""

from __future__ import annotations

import importlib
import math
import re
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from myoedge.backends.measurement import Activity
from myoedge.power.calibrate import Measured, non_negative, relative_contributions, rounded
from myoedge.power.model import PUBLISHED, SIGMAS, Coefficients, energy, energy_of
from myoedge.targets import OperatingPoint, find_chip
from myoedge.targets.gap9 import energy as gap9_energy
from tests.records.energy_counters import ON_CORES, recorded

PAGE = Path(__file__).resolve().parents[1] / "docs" / "developers" / "energy.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
IDLE = "idle"
POINTS = {point.name: point for point in find_chip("gap9").points}
DIGITS = 6  # that are kept
FREE, L3, MRAM = [0, 1, 2, 4], 3, 5  # coefficients that are fitted, and the two that are not


def published(counters: Mapping[str, Activity] | None = None) -> dict[tuple[str, str], Measured]:
    """Every published energy, or power, with the counters of our own firmware for that workload:
    those of MLPerf Tiny with NE16 and the published cycles, TinyMyo's of the cores."""
    known = {**(recorded() if counters is None else counters), IDLE: Activity(1e6)}
    found = {}
    for (name, at), milliwatts in gap9_energy.PUBLISHED.items():
        activity, point = known[name if name in known else name + ON_CORES], POINTS[at]
        cycles = gap9_energy.PUBLISHED_CYCLES.get(name, activity.cycles)
        activity = replace(activity, cycles=cycles)
        joules = milliwatts * 1e-3 * activity.cycles / point.clock_hz
        found[name, at] = Measured(name, [(activity, point)], joules)
    return found


def free_fit(rows: Sequence[Measured], fixed: Coefficients) -> Coefficients:
    """All coefficients but those of L3 and MRAM fitted to these rows without a prior; errors are
    relative. No row reads MRAM."""
    a, b = relative_contributions(rows)
    remainder, used = b - a[:, L3] * fixed.values[L3], a[:, FREE]
    found = non_negative(used, remainder)
    residuals = used @ found - remainder
    spread = float(residuals @ residuals) / max(len(rows) - len(FREE), 1)
    values, covariance = np.array(fixed.values), np.zeros((6, 6))
    values[FREE] = found
    covariance[np.ix_(FREE, FREE)] = spread * np.linalg.pinv(used.T @ used)
    for kept in (L3, MRAM):
        covariance[kept, kept] = fixed.covariance[kept][kept]
    return replace(fixed, values=rounded(values), covariance=tuple(map(rounded, covariance)))


def power_mw(activity: Activity, point: OperatingPoint, by: Coefficients) -> float:
    """Average power of an activity."""
    return 1e3 * energy(activity, point, by).joules * point.clock_hz / activity.cycles


def without(name: str) -> Coefficients:
    """Fitted to all workloads but one, at both operating points."""
    return free_fit([row for row in published().values() if row.name != name], PUBLISHED)


def error(row: Measured, by: Coefficients) -> float:
    """Relative, of what the coefficients predict."""
    return energy_of(row.spans, by).joules / row.joules - 1


def left_out() -> dict[tuple[str, str], float]:
    """Error of every point when its workload is not fitted to."""
    rows = published()
    by = {row.name: without(row.name) for row in rows.values()}
    return {key: error(row, by[row.name]) for key, row in rows.items()}


def fitted() -> Coefficients:
    """All points; the workload error is that of those left out (idle is no workload)."""
    errors = [e for (name, _), e in left_out().items() if name != IDLE]
    scatter = math.sqrt(statistics.fmean(e * e for e in errors))
    found = free_fit(list(published().values()), PUBLISHED)
    return replace(found, workload=round(scatter, 3))


def on_cores() -> list[Activity]:
    """Recorded networks that run on the cores alone."""
    return [activity for name, activity in recorded().items() if name.endswith(ON_CORES)]


def typical(counters: Iterable[Activity]) -> tuple[float, ...]:
    """Instructions, accesses and bytes of DMA in a cycle: means over networks."""
    rows = [
        (
            (a.instructions + a.fc_instructions) / a.cycles,
            a.accesses / a.cycles,
            a.dma_bytes / a.cycles,
        )
        for a in counters
    ]
    return tuple(round(statistics.fmean(column), 2) for column in zip(*rows, strict=True))


def typical_error(by: Coefficients, rates: tuple[float, ...] = gap9_energy.TYPICAL) -> float:
    """Root mean square over the recorded networks: typical activity against the counted one."""
    point, errors = POINTS["high"], []
    for activity in on_cores():
        instructions, accesses, dma_bytes = (rate * activity.cycles for rate in rates)
        rough = replace(
            activity,
            instructions=instructions,
            fc_instructions=0,
            accesses=accesses,
            dma_bytes=dma_bytes,
        )
        errors.append(energy(rough, point, by).joules / energy(activity, point, by).joules - 1)
    return round(math.sqrt(statistics.fmean(e * e for e in errors)), 3)


def write_fit() -> None:
    """What is fitted, in gap9_energy.py."""
    by, path, rates = fitted(), Path(gap9_energy.__file__), typical(on_cores())
    shown = [f"{value:.{DIGITS}g}" for value in by.values]
    shown[L3], shown[MRAM] = "L3_BYTE_PJ", "MRAM_BYTE_PJ"
    lines = [_row(row) for row in by.covariance]
    lines[L3] = "(0.0, 0.0, 0.0, (L3_SIGMA * L3_BYTE_PJ) ** 2, 0.0, 0.0)"
    lines[MRAM] = "(0.0, 0.0, 0.0, 0.0, 0.0, (MRAM_SIGMA * MRAM_BYTE_PJ) ** 2)"
    rows = "".join(f"    {line},\n" for line in lines)
    new = {
        r"VALUES = \(.*?\)": f"VALUES = ({', '.join(shown)})",
        r"COVARIANCE = \(\n.*?\n\)\n": f"COVARIANCE = (\n{rows})\n",
        r"WORKLOAD = [0-9.]+": f"WORKLOAD = {by.workload}",
        r"TYPICAL = \(.*?\)": f"TYPICAL = {rates}",
    }
    text = path.read_text()
    for pattern, line in new.items():
        text = re.sub(pattern, lambda _, line=line: line, text, count=1, flags=re.DOTALL)
    path.write_text(text)


def _row(values: Iterable[float]) -> str:
    return f"({', '.join(repr(value) for value in values)})"


# --- the page -------------------------------------------------------------------------------------


def tables() -> Iterator[str]:
    yield from _coefficients()
    yield ""
    yield from _powers()
    yield ""
    yield from _ratios()
    yield ""
    yield from _energies()


def _coefficients() -> Iterator[str]:
    names = ("leakage, mW", "clocks, pJ per cycle", "factor of the weights", "L3, pJ per byte")
    names = (*names, "NE16, pJ per busy cycle", "MRAM, pJ per byte")
    yield "| coefficient at 0.80 V | value | 2 sigma | source |"
    yield "|---|---|---|---|"
    guess = "a data sheet; the chip's part is a guess"
    sources = ("fitted", "fitted", "fitted", guess, "fitted", "assumed")
    for i, (name, source) in enumerate(zip(names, sources, strict=True)):
        sigma = SIGMAS * math.sqrt(PUBLISHED.covariance[i][i])
        yield f"| {name} | {PUBLISHED.values[i]:.3g} | {sigma:.3g} | {source} |"
    workload = f"{SIGMAS * PUBLISHED.workload:.0%}"
    yield f"| a workload that was not fitted | | {workload} | left out below |"
    yield f"| another board or chip | | {SIGMAS * PUBLISHED.board:.0%} | assumed |"


def _powers() -> Iterator[str]:
    yield "| workload, point | published, mW | fitted | error | left out | error |"
    yield "|---|---|---|---|---|---|"
    out = left_out()
    for (name, at), row in published().items():
        watts = gap9_energy.PUBLISHED[name, at]
        fit, loo = error(row, PUBLISHED), out[name, at]
        cells = (
            f"{watts * (1 + fit):.1f}",
            f"{fit:+.1%}",
            f"{watts * (1 + loo):.1f}",
            f"{loo:+.1%}",
        )
        yield f"| {name}, {at} | {watts} | {' | '.join(cells)} |"


def _ratios() -> Iterator[str]:
    """Power at 0.80 V, 370 MHz over that at 0.65 V, 240 MHz; and of what is above idle."""
    yield "| 0.80 V divided by 0.65 V | published | model | above idle, published | model |"
    yield "|---|---|---|---|---|"
    known = gap9_energy.PUBLISHED
    rows = published()
    watts = {key: power_mw(*row.spans[0], PUBLISHED) for key, row in rows.items()}
    for name in ("idle", "AD", "IC", "KWS", "VWW"):
        cells = [f"{p[name, 'high'] / p[name, 'low']:.2f}" for p in (known, watts)]
        above = ["" if name == IDLE else f"{_above(p, name):.2f}" for p in (known, watts)]
        yield f"| {name} | {' | '.join([*cells, *above])} |"


def _above(powers: Mapping[tuple[str, str], float], name: str) -> float:
    high, low = (powers[name, at] - powers[IDLE, at] for at in ("high", "low"))
    return high / low


def _energies() -> Iterator[str]:
    yield "| our firmware, one inference | cycles | 0.80 V, 370 MHz | 0.65 V, 240 MHz |"
    yield "|---|---|---|---|"
    for name, activity in recorded().items():
        cells = (_shown(activity, at) for at in ("high", "low"))
        yield f"| {name} | {activity.cycles:,} | {' | '.join(cells)} |"


def _shown(activity: Activity, at: str) -> str:
    from myoedge.reports.energy import interval

    found = energy(activity, POINTS[at], PUBLISHED)
    time = 1e3 * activity.cycles / POINTS[at].clock_hz
    watts = power_mw(activity, POINTS[at], PUBLISHED)
    return f"{interval(found.joules, found.low_j, found.high_j)}, {time:.3g} ms, {watts:.1f} mW"


def page() -> str:
    """docs/developers/energy.md with its tables anew."""
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    return "\n".join([head + BEGIN, "", *tables(), "", END + rest.split(END)[1]])


def main() -> None:
    if sys.argv[1:] == ["fit"]:
        write_fit()
        importlib.reload(gap9_energy)
        return
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
