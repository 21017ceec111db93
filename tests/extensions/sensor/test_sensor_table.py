# SPDX-License-Identifier: Apache-2.0
"""[sensor] of myoedge.toml and board.toml: defaults, precedence, what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from myoedge.building.config import from_tables
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.settings import sensor_of
from myoedge.targets.boards import DEFAULT_BOARD, boards_dir
from myoedge.targets.sensor import Sensor
from tests.support.each import each

LEAST: dict[str, Any] = {"rate": 1000, "hop": 16, "unit": "uV", "pins": {"data_ready": 42}}


def made(table: dict[str, Any], channels: int | None = 8, hop: int | None = None) -> Sensor:
    return sensor_of(from_tables({"sensor": table}, "myoedge.toml").table("sensor"), channels, hop)


def test_defaults() -> None:
    sensor = made(LEAST)
    assert (sensor.front_end, sensor.channels, sensor.chips, sensor.sample_bytes) == (
        *("ads1298", 8),
        *(1, 27),
    )
    assert (sensor.rate_hz, sensor.gain, sensor.hop) == (1000, 6, 16)
    assert made(LEAST, channels=64).sample_bytes == 8 * 27
    assert made(LEAST, hop=4).hop == 4


@pytest.mark.parametrize(
    ("table", "volts"),
    [
        ({"gain": 12}, Fraction("2.4") / 12 / (2**23 - 1)),
        ({"reference": "4.0 V"}, Fraction(4) / 6 / (2**23 - 1)),
        ({"front_end": "ads1299", "gain": 24}, Fraction("4.5") / 24 / 2**23),
        ({"front_end": "spi", "input_range": "5 mV", "bits": 16}, Fraction(5, 1000) / 2**15),
    ],
)
def test_volts_per_count(table: dict[str, Any], volts: Fraction) -> None:
    sensor = made({**LEAST, **table})
    assert sensor.count_v == volts
    units = [made({**LEAST, **table, "unit": unit}).count_units for unit in ("V", "mV", "uV")]
    assert units == [volts, volts * 1000, volts * 10**6]
    assert made({**LEAST, **table, "unit": "counts"}).count_units == 1


def test_the_board_supplies_what_the_file_does_not_set(tmp_path: Path) -> None:
    text = (boards_dir() / DEFAULT_BOARD / "board.toml").read_text()
    keys = "rate = 2000\nspi = 2\nunit = 'mV'\npins = { data_ready = 3, reset = 4 }"
    path = tmp_path / "board.toml"
    path.write_text(f"{text}\n[sensor]\n{keys}\n")
    sensor = made({"board": str(path), "rate": 500, "hop": 8})
    assert (sensor.rate_hz, sensor.spi, sensor.pins.reset, sensor.pins.start) == (500, 2, 4, -1)


@each(
    ("table", "key"),
    [
        ({"rate": 200}, "sensor.rate"),
        ({"rate": float("inf")}, "sensor.rate"),
        ({"gain": 5}, "sensor.gain"),
        ({"front_end": "ads1299", "gain": 3}, "sensor.gain"),
        ({"reference": "3 V"}, "sensor.reference"),
        ({"pins": {"start": 3}}, "sensor.pins"),
        ({"pins": {"data_ready": 3, "start": 3}}, "sensor.pins.start"),
        ({"pins": {"data_ready": 3, "stop": 4}}, "sensor.pins.stop"),
        ({"pins": {"data_ready": 96}}, "sensor.pins.data_ready"),
        ({"spi_clock": "25 MHz"}, "sensor.spi_clock"),
        ({"rate": 16000, "channels": 64}, "sensor.spi_clock"),
        ({"channels": 129}, "sensor.channels"),
        ({"bits": 16}, "sensor.bits"),
        ({"front_end": "spi"}, "sensor.input_range"),
        ({"front_end": "spi", "input_range": "0 V"}, "sensor.input_range"),
        ({"front_end": "spi", "input_range": "1 V", "gain": 2}, "sensor.gain"),
        ({"baud_rate": 300}, "sensor.baud_rate"),
        ({"hop": 0}, "sensor.hop"),
    ],
)
def test_what_is_refused(table: dict[str, Any], key: str) -> None:
    with pytest.raises(MyoedgeError, match="E264") as raised:
        made({**LEAST, **table})
    assert [*dict(raised.value.notice.facts)] == [key]


def test_all_that_is_missing_is_listed() -> None:
    with pytest.raises(MyoedgeError, match="E264") as raised:
        made({}, channels=None)
    assert [*dict(raised.value.notice.facts)] == [
        f"sensor.{x}" for x in ("rate", "channels", "hop", "unit", "pins")
    ]


def test_what_is_missing_and_what_is_wrong_come_together() -> None:
    table = {"front_end": "ads1299", "gain": 5, "pins": {"start": 7, "reset": 7, "drdy": 3}}
    with pytest.raises(MyoedgeError, match="E264") as raised:
        made({**table, "uart": 9}, channels=None)
    facts = dict(raised.value.notice.facts)
    wrong = ("rate", "channels", "hop", "unit", "pins", "pins.drdy", "gain", "uart", "pins.reset")
    assert {*facts} == {f"sensor.{x}" for x in wrong}
    assert "start" in str(facts["sensor.pins.reset"])


UART = {"front_end": "uart", "rate": 1000, "hop": 4, "unit": "counts", "bits": 16}


def test_samples_on_the_line_need_no_pin() -> None:
    sensor = made(UART)
    assert (sensor.pins.data_ready, sensor.sample_bytes) == (-1, 4 + 8 * 2)
    assert made({**UART, "pins": {"start": 43, "reset": 44}}).pins.start == 43


def test_a_key_of_another_front_end_names_those_that_use_it() -> None:
    with pytest.raises(MyoedgeError, match="E264") as raised:
        made({**UART, "pins": {"data_ready": 42, "start": 43}, "gain": 6})
    assert dict(raised.value.notice.facts) == {
        "sensor.gain": "is for ads1298, ads1299, not for uart",
        "sensor.pins.data_ready": "is for ads1298, ads1299, spi, not for uart",
    }
    assert raised.value.notice.tries[:2] == ("remove sensor.gain", "remove sensor.pins.data_ready")
    made({**UART, "pins": {"start": 43}})


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"channels": 124, "baud_rate": 6_000_000}, "sensor.channels"),
        ({"baud_rate": 115_200}, "sensor.baud_rate"),
        ({"spi_clock": "8 MHz"}, "sensor.spi_clock"),
        ({"header_bytes": 2}, "sensor.header_bytes"),
        ({"pins": {"data_ready": 42}}, "sensor.pins.data_ready"),
    ],
)
def test_what_the_line_does_not_take(table: dict[str, Any], key: str) -> None:
    with pytest.raises(MyoedgeError, match="E264") as raised:
        made({**UART, "baud_rate": 3_000_000, **table})
    assert [*dict(raised.value.notice.facts)] == [key]


def test_counts_need_no_input_range() -> None:
    table = {**LEAST, "front_end": "spi", "unit": "counts"}
    assert made(table).count_units == 1
    with pytest.raises(MyoedgeError, match="input_range"):
        made({**table, "unit": "uV"})
    with pytest.raises(MyoedgeError, match="input_range"):
        made({**table, "input_range": 0})


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ({"gian": 6}, "E230"),
        ({"gain": "six"}, "E232"),
        ({"front_end": "ads1300"}, "E232"),
        ({"spi_clock": "8"}, "E232"),
        ({"reference": "2.4 A"}, "E232"),
        ({"board": "no such board"}, "E253"),
    ],
)
def test_wrong_keys_and_values(table: dict[str, Any], code: str) -> None:
    with pytest.raises(MyoedgeError, match=code):
        made({**LEAST, **table})
