# SPDX-License-Identifier: Apache-2.0
"""[sensor] of myoedge.toml and of a board: defaults, valid ranges, consistency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from fractions import Fraction
from itertools import chain
from typing import Any

from myoedge.building.quantities import hertz, volts
from myoedge.errors import MyoedgeError
from myoedge.targets.boards import find_board
from myoedge.targets.sensor import (
    FRONT_ENDS,
    MESSAGE_HEAD_BYTES,
    MOST_CHANNELS,
    FrontEnd,
    Pins,
    Sensor,
    SensorTable,
)

CODE = "E264"
DEFAULTS: dict[str, Any] = {
    "front_end": "ads1298", "gain": 6, "spi": 1, "chip_select": 0,
    "uart": 1, "baud_rate": 1_000_000, "packets": "class", "bits": 24,
    "header_bytes": 0,
}  # fmt: skip
EXAMPLES: dict[str, Any] = {
    "rate": 1000.0, "channels": 8, "hop": 16, "unit": "uV", "input_range": "2.4 V"
}  # fmt: skip
DEFAULT_SPI_CLOCK = "8 MHz"
PIN_NAMES = tuple(field.name for field in fields(Pins))
# Front end -> the keys that it uses; all front ends use the other keys.
SPI_KEYS = ("spi", "spi_clock", "chip_select", "pins.data_ready")
KEYS_USED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(FRONT_ENDS, ("gain", "reference", *SPI_KEYS)),
    "spi": ("bits", "input_range", "header_bytes", *SPI_KEYS),
    "uart": ("bits", "input_range"),
}
MOST_PIN, MOST_HOP = 95, 1 << 16
MOST_RATE_HZ, MOST_SPI_HZ = 32_000, 50_000_000
MOST_BAUD_RATE, LEAST_BAUD_RATE = 12_000_000, 9_600
TRANSFER_SHARE = Fraction(4, 5)  # of a sample period; the rest is for jitter and interrupts
CRC_BYTES, COBS_BYTES, MOST_MESSAGE_BYTES = 2, 2, 253  # bytes of a sample on the UART
Problems = Iterator[tuple[str, str]]


def with_board(table: SensorTable) -> SensorTable:
    """Return the table with the missing keys taken from its board's [sensor]. Errors: E252,
    E253."""
    board = None if table.board is None else find_board(table.board).sensor
    if board is None:
        return table
    names = [field.name for field in fields(SensorTable)]
    known = {name: getattr(table, name) for name in names}
    return replace(board, **{name: x for name, x in known.items() if x is not None})


def sensor_of(table: SensorTable, channels: int | None = None, hop: int | None = None) -> Sensor:
    """Complete and check [sensor].

    channels   number of channels if [sensor] does not set it, from the network
    hop        [stream] hop, which replaces [sensor] hop
    Errors: E264 with all missing and wrong keys, E232 no voltage or clock, E252, E253 the board.
    """
    table = with_board(table)
    channels = table.channels if table.channels is not None else channels
    table = replace(table, channels=channels, hop=hop or table.hop)
    problems = dict(_missing_keys(table))
    table = _fill_missing_keys(table, problems)
    chosen = {name: getattr(table, name) for name in DEFAULTS}
    values = {name: DEFAULTS[name] if x is None else x for name, x in chosen.items()}
    kind = FRONT_ENDS.get(values["front_end"])
    sensor = _make_sensor(table, values, kind)
    foreign = dict(_keys_of_other_front_ends(table))
    problems |= {**foreign, **dict(_range_checks(sensor))}
    problems |= dict(_chip_problems(sensor, kind)) if kind else {}
    if not problems:
        problems = dict(_line_problems(sensor) if sensor.is_on_line else _transfer_problems(sensor))
    if problems:
        raise _settings_error(problems, foreign)
    return sensor


def _settings_error(problems: dict[str, str], foreign: Iterable[str]) -> MyoedgeError:
    remove = [f"remove {name}" for name in foreign]
    tries = [*remove, "docs/wearable/sensor.md has a complete [sensor]"]
    return MyoedgeError(CODE, "[sensor] is wrong or incomplete", problems, tries)


def _front_end_kind(table: SensorTable) -> str:
    return table.front_end or str(DEFAULTS["front_end"])


def _fill_missing_keys(table: SensorTable, missing: Mapping[str, str]) -> SensorTable:
    """Return the table with valid examples for missing keys, to check the other keys."""
    absent = {name: x for name, x in EXAMPLES.items() if f"sensor.{name}" in missing}
    known = {name: pin for name, pin in table.wired_pins.items() if name in PIN_NAMES}
    free = min({*range(len(PIN_NAMES))} - {*known.values()})
    pins = {"data_ready": free, **known} if "sensor.pins" in missing else known
    return replace(table, **{**absent, "pins": pins})


def _missing_keys(table: SensorTable) -> Problems:
    needed = {"rate": "1000", "channels": "8", "hop": "16", "unit": '"uV", of the calibration data'}
    used = KEYS_USED[_front_end_kind(table)]
    if "input_range" in used and table.unit != "counts":
        needed["input_range"] = '"2.4 V"'
    for name, example in needed.items():
        if getattr(table, name) is None:
            yield f"sensor.{name}", f"is missing; {example}, for example"
    if not math.isfinite(table.rate or 0):
        yield "sensor.rate", "is no number"
    pins = table.wired_pins
    if "data_ready" not in pins and "pins.data_ready" in used:
        yield "sensor.pins", "has no data_ready; { data_ready = 42 }, for example"
    for name in sorted(pins.keys() - set(PIN_NAMES)):
        yield f"sensor.pins.{name}", f"is none of {', '.join(PIN_NAMES)}"


def _make_sensor(table: SensorTable, values: dict[str, Any], kind: FrontEnd | None) -> Sensor:
    if kind is None:
        volts_of = {"gain": 1, "reference": 1 if table.input_range is None else table.input_range}
        is_on_line = table.front_end == "uart"
        header = MESSAGE_HEAD_BYTES if is_on_line else values["header_bytes"]
        of_kind = {"bits": values["bits"], "header_bytes": header}
    else:
        default = float(kind.references_v[0])
        given = default if table.reference is None else table.reference
        volts_of, of_kind = {"gain": values["gain"], "reference": given}, {}
    named = ("front_end", "spi", "chip_select", "uart", "baud_rate", "packets")
    return Sensor(
        **{name: values[name] for name in named},
        channels=table.channels or 0,
        rate_hz=Fraction(str(table.rate)),
        gain=Fraction(str(volts_of["gain"])),
        reference_v=Fraction(str(volts(volts_of["reference"] or 0, "[sensor]"))),
        spi_hz=round(hertz(table.spi_clock or DEFAULT_SPI_CLOCK, "[sensor] spi_clock")),
        pins=Pins(**table.wired_pins),
        hop=table.hop or 0,
        unit=table.unit or "",
        **of_kind,
    )


def _keys_of_other_front_ends(table: SensorTable) -> Problems:
    """Yield the keys that are set and that only other front ends use."""
    front_end = _front_end_kind(table)
    for name in dict.fromkeys(chain(*KEYS_USED.values())):
        key, _, pin = name.partition(".")
        value = table.wired_pins.get(pin) if pin else getattr(table, key)
        if value is not None and name not in KEYS_USED[front_end]:
            users = ", ".join(x for x in KEYS_USED if name in KEYS_USED[x])
            yield f"sensor.{name}", f"is for {users}, not for {front_end}"


def _range_checks(sensor: Sensor) -> Problems:
    limits: dict[str, tuple[int | Fraction, int | Fraction, int]] = {
        "channels": (sensor.channels, 1, MOST_CHANNELS),
        "rate": (sensor.rate_hz, 1, MOST_RATE_HZ),
        "spi": (sensor.spi, 0, 3),
        "chip_select": (sensor.chip_select, 0, 3),
        "spi_clock": (sensor.spi_hz, 100_000, MOST_SPI_HZ),
        "uart": (sensor.uart, 0, 4),
        "baud_rate": (sensor.baud_rate, LEAST_BAUD_RATE, MOST_BAUD_RATE),
        "hop": (sensor.hop, 1, MOST_HOP),
        "bits": (sensor.bits, 8, 32),
        "header_bytes": (sensor.header_bytes, 0, 64),
        "input_range": (sensor.reference_v, Fraction(1, 1000), 100),
    }
    for name in PIN_NAMES:
        least = 0 if name == "data_ready" and not sensor.is_on_line else -1
        limits[f"pins.{name}"] = (getattr(sensor.pins, name), least, MOST_PIN)
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            yield f"sensor.{name}", f"{float(value):,.10g} is not {float(low):,g} to {high:,}"
    wired: dict[int, str] = {}
    for name in PIN_NAMES:
        pin = getattr(sensor.pins, name)
        other = wired.setdefault(pin, name)
        if pin >= 0 and other != name:
            yield f"sensor.pins.{name}", f"{pin} is the number of {other} too"


def _chip_problems(sensor: Sensor, kind: FrontEnd) -> Problems:
    known: dict[str, tuple[Fraction, tuple[Fraction, ...]]] = {
        "rate": (sensor.rate_hz, tuple(map(Fraction, sorted(kind.rates)))),
        "gain": (sensor.gain, tuple(map(Fraction, sorted(kind.gains)))),
        "reference": (sensor.reference_v, kind.references_v),
    }
    for name, (value, possible) in known.items():
        if value not in possible:
            has = ", ".join(f"{float(x):g}" for x in possible)
            yield f"sensor.{name}", f"{float(value):g} is none of the {sensor.front_end}'s: {has}"
    if sensor.spi_hz > kind.most_spi_hz:
        yield "sensor.spi_clock", f"the {sensor.front_end} takes {kind.most_spi_hz:,} Hz at most"


def _transfer_problems(sensor: Sensor) -> Problems:
    """Yield a problem if reading a sample by SPI takes too large a part of the sample period."""
    read_s = Fraction(8 * sensor.sample_bytes, sensor.spi_hz)
    if read_s > TRANSFER_SHARE / sensor.rate_hz:
        needed = 8 * sensor.sample_bytes * sensor.rate_hz / TRANSFER_SHARE
        text = f"{sensor.sample_bytes} bytes per sample need {float(needed) / 1e6:.3g} MHz or more"
        yield "sensor.spi_clock", text


def _line_problems(sensor: Sensor) -> Problems:
    """Yield problems of samples sent over UART: a message longer than one COBS block, or too slow
    for the sample rate."""
    if sensor.sample_bytes + CRC_BYTES > MOST_MESSAGE_BYTES:
        most = MOST_MESSAGE_BYTES - CRC_BYTES - MESSAGE_HEAD_BYTES
        yield "sensor.channels", f"counts of {most:,} bytes are the most that a message takes"
    bits = 10 * (sensor.sample_bytes + CRC_BYTES + COBS_BYTES)
    if bits > TRANSFER_SHARE * sensor.baud_rate / sensor.rate_hz:
        needed = bits * sensor.rate_hz / TRANSFER_SHARE
        yield "sensor.baud_rate", f"samples of {bits} bits need {float(needed):,.0f} or more"
