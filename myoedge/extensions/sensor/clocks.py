# SPDX-License-Identifier: Apache-2.0
"""Clocks of the chip with which the sensor application keeps up with its front end and its line."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from myoedge.codegen.application import Period
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.extensions.sensor.settings import COBS_BYTES, CODE, CRC_BYTES, TRANSFER_SHARE
from myoedge.power.states import RISE_US
from myoedge.targets import DEFAULT_CLOCKS as CLOCKS
from myoedge.targets.chip import Chip
from myoedge.targets.clocks import ChipClock
from myoedge.targets.sensor import Sensor

MOST_BAUD_ERROR = Fraction(1, 50)  # half of what a receiver of 10-bit frames bears
# Cycles of the controller, counted in playbacks on the simulated chip from 10 to 80 MHz, 8 and 64
# channels of ADS1298: of a sample and each of its counts, and each byte if it comes on the line; of
# them those until a window's last sample is kept; of a pass, each value of its window; of a packet.
SAMPLE_CYCLES, COUNT_CYCLES, BYTE_CYCLES = 1_900, 72, 250
LAST_CYCLES, LAST_COUNT_CYCLES = 1_080, 80
PASS_CYCLES, VALUE_CYCLES, PACKET_CYCLES = 1_000, 8, 2_500
GATE_CYCLES, GATE_INSTRUCTIONS = 11, 7  # of each value of a window, for its energy
PACKET_BYTES = 22  # of a decision on the line
START_CYCLES = 1_500  # of the cluster, which the controller waits for: counted at 10 and 60 MHz
TURN_CYCLES = 300  # of a turn of the main loop that begins before a window's last sample is kept
INTERRUPT_CYCLES, LEAST_INTERRUPT_US = 600, 8  # by which an interrupt is served late
LATE_SHARE = Fraction(1, 8)  # of a period, by which data-ready may be served late (data_ready.c)
SPI_CYCLES = 2  # by which the SPI's divider makes a bit longer, at most


def sample_cycles(sensor: Sensor) -> int:
    """Return the controller's cycles for a sample of all channels."""
    return SAMPLE_CYCLES + COUNT_CYCLES * sensor.channels + _byte_cycles(sensor)


def _byte_cycles(sensor: Sensor) -> int:
    return BYTE_CYCLES * (sensor.sample_bytes + CRC_BYTES + COBS_BYTES) * sensor.is_on_line


def period_of(program: SensorProgram, chip: Chip, *, gated: bool = False) -> Period:
    """Return the period of the application.

    gated   whether it has a gate: it computes the energy of each window, and the cluster's power
            rises only after the window that wakes the network
    """
    sensor, hop_s = program.sensor, program.hop / program.sensor.rate_hz
    values = program.frames * program.layout.samples * sensor.channels
    of_value = VALUE_CYCLES + GATE_CYCLES * gated
    of_first = PASS_CYCLES + of_value * values + PACKET_CYCLES
    of_pass = of_first + PACKET_CYCLES * (program.ready - 1)
    of_sample = sample_cycles(sensor)
    packet_bytes = PACKET_BYTES + program.values_bytes * program.all_values
    read_bits = 0 if sensor.is_on_line else 8 * sensor.sample_bytes
    line_s = Fraction(10 * packet_bytes, sensor.baud_rate)
    received = program.frames * program.hop * of_sample
    last_sample = LAST_CYCLES + LAST_COUNT_CYCLES * sensor.channels + _byte_cycles(sensor)
    last_sample += SPI_CYCLES * read_bits + TURN_CYCLES
    read_s = Fraction(read_bits, sensor.spi_hz) + Fraction(RISE_US * gated, 10**6)
    return Period(
        seconds=float(program.frames * hop_s),
        control_cycles=received + of_pass,
        receiving_cycles=received,
        decision_cycles=START_CYCLES + of_first + last_sample,
        last_sample_cycles=last_sample,
        packet_cycles=PACKET_CYCLES,
        decision_s=float((program.frames - 1) * hop_s + read_s + line_s),
        read_s=float(read_s),
        sample_s=float(1 / sensor.rate_hz),
        sample_cycles=of_sample,
        clocks_hz=clocks_hz(sensor, chip),
        waiting_hz=tuple(
            (clock_hz, waiting_hz)
            for clock_hz in _known_hz(chip)
            for waiting_hz in _divided_hz(clock_hz, chip)
            if _keeps_up(program, clock_hz, waiting_hz)
        ),
    )


def interrupt_us(clock_hz: int) -> int:
    """Return the microseconds by which the controller may serve an interrupt late."""
    return max(-(-INTERRUPT_CYCLES * 10**6 // clock_hz), LEAST_INTERRUPT_US)


def clocks_hz(sensor: Sensor, chip: Chip) -> tuple[int, ...]:
    """Return the clocks below the chip's operating points with which the application keeps up."""
    return tuple(
        hz for hz in chip.low_clocks_hz if not dict(_problems(sensor, CLOCKS.settings(hz)))
    )


def _divided_hz(clock_hz: int, chip: Chip, least_hz: int = 0) -> Iterator[int]:
    """Yield the clocks of waiting that dividers make, ascending, in tenths of a MHz if possible,
    otherwise in whole kHz.

    least_hz   lowest of them; 0: the chip's
    """
    most = CLOCKS.settings(clock_hz, least_hz or chip.low_clocks_hz[0]).waiting
    for waiting in range(most, 1, -1):
        exact_hz = CLOCKS.settings(clock_hz).hz / waiting
        rough_hz = int(exact_hz // 100_000) * 100_000
        is_same = rough_hz and CLOCKS.settings(clock_hz, rough_hz).waiting == waiting
        yield rough_hz if is_same else int(exact_hz // 1000) * 1000


def _keeps_up(program: SensorProgram, clock_hz: int, waiting_hz: int = 0) -> bool:
    clock = CLOCKS.settings(clock_hz, waiting_hz, fast_peripherals=program.fast_peripherals)
    return not dict(_problems(program.sensor, clock))


def _known_hz(chip: Chip) -> list[int]:
    of_points = {point.clock_hz for point in chip.points}
    return sorted({*chip.low_clocks_hz, *of_points, *(hz for _, hz in chip.voltages)})


def check_clock(program: SensorProgram, chip: Chip) -> None:
    """Raise E264 if the application does not keep up at the chip's operating point, or no divider
    makes its clock of waiting from the network's."""
    point, problems = chip.point, dict(_problems(program.sensor, program.clock))
    _check_divider(program, chip)
    if problems:
        title = f"the application does not keep up at {point.while_waiting.clock_hz / 1e6:g} MHz"
        raise MyoedgeError(CODE, title, problems, [_remedy(program, chip)])


def _check_divider(program: SensorProgram, chip: Chip) -> None:
    made, point = program.clock, chip.point
    if not point.waiting_hz or made.waits_at(point.waiting_hz):
        return
    clocks = f"{point.waiting_hz / 1e6:g} MHz from {point.clock_hz / 1e6:g} MHz"
    title = f"no divider of 2 or more makes {clocks}"
    facts = {"makes": f"{made.waiting_hz / 1e6:.4g} MHz, the nearest that is not below"}
    raise MyoedgeError(CODE, title, facts, [_remedy(program, chip, point.waiting_hz)])


def _remedy(program: SensorProgram, chip: Chip, least_hz: int = 0) -> str:
    """Return the option of an operating point with which the application keeps up: with the chip's
    clock if possible, and a clock of waiting if it has one; or else a lower rate.

    least_hz   lowest clock of waiting; 0: any
    """
    clocks = _candidate_clocks(program, chip, least_hz)
    if named := next((x for x in clocks if _keeps_up(program, *x)), None):
        return f'--operating-point "{"/".join(f"{hz / 1e6:g}" for hz in named)} MHz"'
    fastest = CLOCKS.settings(max(point_hz for _, point_hz in chip.voltages))
    taken_s = _taken_s(program.sensor, fastest) / TRANSFER_SHARE
    return f"[sensor] rate = {int(1 / max(taken_s, _late_s(program.sensor, fastest) / LATE_SHARE))}"


def _candidate_clocks(
    program: SensorProgram, chip: Chip, least_hz: int
) -> Iterator[tuple[int, ...]]:
    """Yield the chip's clock with clocks of waiting if it has one, then without, then others."""
    clock_hz = chip.point.clock_hz
    if chip.point.waiting_hz > 0:
        yield from ((clock_hz, hz) for hz in _divided_hz(clock_hz, chip, least_hz))
    yield (clock_hz,)
    # An application may read memories that lower clocks exclude.
    yield from ((hz,) for hz in _known_hz(chip) if hz > clock_hz or not program.fast_peripherals)


def _problems(sensor: Sensor, clock: ChipClock) -> Iterator[tuple[str, str]]:
    divider = max((2 * clock.periph_hz + sensor.baud_rate) // (2 * sensor.baud_rate), 1)
    error = Fraction(clock.periph_hz, divider * sensor.baud_rate) - 1
    if abs(error) > MOST_BAUD_ERROR:
        text = f"{sensor.baud_rate:,} Bd are {float(error):+.1%} off at this clock"
        yield "sensor.baud_rate", text
    taken_s, late_s = _taken_s(sensor, clock), _late_s(sensor, clock)
    period_s, period = 1 / sensor.rate_hz, f"{1e6 / float(sensor.rate_hz):,.0f} µs"
    if taken_s > TRANSFER_SHARE * period_s:
        least = f"{float(taken_s) * 1e6:,.0f} µs to read and keep it"
        yield "sensor.rate", f"a sample takes {least}, of {period}"
    elif late_s > LATE_SHARE * period_s:
        late = f"{float(late_s) * 1e6:,.0f} µs late, more than 1/{1 / LATE_SHARE} of {period}"
        yield "sensor.rate", f"data-ready may be served {late}"


def _taken_s(sensor: Sensor, clock: ChipClock) -> Fraction:
    """Return the time that a sample takes, read and then kept by the controller."""
    kept_s = Fraction(sample_cycles(sensor), clock.waiting_hz)
    if sensor.is_on_line:
        return kept_s
    return kept_s + 8 * sensor.sample_bytes / spi_hz(clock.periph_hz, sensor.spi_hz)


def _late_s(sensor: Sensor, clock: ChipClock) -> Fraction:
    """Return the time by which data-ready may be served late; 0 without one."""
    return Fraction(INTERRUPT_CYCLES * (not sensor.is_on_line), clock.waiting_hz)


def spi_hz(clock_hz: int, most_hz: int) -> Fraction:
    """Return the SPI's clock, which an even divider makes (port_gap9_front_end.c)."""
    return Fraction(clock_hz, (-(-clock_hz // most_hz) + 1) & ~1)
