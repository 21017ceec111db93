# SPDX-License-Identifier: Apache-2.0
"""Analogue front ends and their wiring: table [sensor] of myoedge.toml or board.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

FrontEndName = Literal["ads1298", "ads1299", "spi", "uart"]
UnitName = Literal["uV", "mV", "V", "counts"]
PacketContent = Literal["class", "outputs"]

UNIT_V: Mapping[str, Fraction] = {
    "uV": Fraction(1, 10**6),
    "mV": Fraction(1, 1000),
    "V": Fraction(1),
}
CHIP_CHANNELS = 8  # channels of an ADS1298 or ADS1299
MOST_CHANNELS = 128  # channels of a front end
STATUS_BYTES = 3  # before the channels of each chip
MESSAGE_HEAD_BYTES = 4  # of a UART sample: kind, version, number
NOT_WIRED = -1  # pin number


@dataclass(frozen=True, slots=True)
class SensorTable:
    """Table [sensor]; keys that are not set are None.

    board       id or path of the board whose [sensor] supplies the other keys
    front_end   name of the front end chip, or "spi"
    rate        samples per second and channel
    reference   reference voltage, as "2.4 V"
    spi, uart   numbers of the chip's devices
    spi_clock   as "8 MHz"
    pins        data_ready, start, reset -> GPIO number; the last two may be absent
    unit        unit of the calibration data
    hop         samples between the starts of two windows; a stream has [stream] hop
    packets     content of a decision's packet: class and score, or all integers of the first output
    bits, header_bytes, input_range   of front_end = "spi": bits of a count (converter value), bytes
                                      before the first count, and the voltage of the largest count
    """

    board: str | None = None
    front_end: FrontEndName | None = None
    channels: int | None = None
    rate: float | None = None
    gain: float | None = None
    reference: str | float | None = None
    spi: int | None = None
    spi_clock: str | None = None
    chip_select: int | None = None
    pins: dict[str, int] | None = None
    uart: int | None = None
    baud_rate: int | None = None
    unit: UnitName | None = None
    hop: int | None = None
    packets: PacketContent | None = None
    bits: int | None = None
    header_bytes: int | None = None
    input_range: str | float | None = None

    @property
    def wired_pins(self) -> dict[str, int]:
        """GPIO numbers by signal; {} if none is stated."""
        return self.pins or {}


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """A type of analogue front end chip, with its register values.

    rates           samples per second -> value of CONFIG1 without daisy-chain and clock bits
    gains           gain -> bits 6 to 4 of CHnSET
    references_v    possible reference voltages
    identity        lowest 5 bits of register ID
    largest_count   converter value at reference / gain
    most_spi_hz     fastest SPI clock
    """

    rates: Mapping[int, int]
    gains: Mapping[int, int]
    references_v: tuple[Fraction, ...]
    identity: int
    largest_count: int
    most_spi_hz: int


# SBAS459 (ADS1298) and SBAS499 (ADS1299), both at 2.048 MHz. Rates with counts of fewer than 24
# bits are left out.
FRONT_ENDS: Mapping[str, FrontEnd] = {
    "ads1298": FrontEnd(
        rates={250: 0x06, **{16000 >> n: 0x81 + n for n in range(6)}},
        gains={6: 0, 1: 1, 2: 2, 3: 3, 4: 4, 8: 5, 12: 6},
        references_v=(Fraction(12, 5), Fraction(4)),
        identity=0x12,
        largest_count=2**23 - 1,
        most_spi_hz=20_000_000,
    ),
    "ads1299": FrontEnd(
        rates={16000 >> n: 0x90 + n for n in range(7)},
        gains={1: 0, 2: 1, 4: 2, 6: 3, 8: 4, 12: 5, 24: 6},
        references_v=(Fraction(9, 2),),
        identity=0x1E,
        largest_count=2**23,
        most_spi_hz=20_000_000,
    ),
}


@dataclass(frozen=True, slots=True)
class Pins:
    """GPIO numbers of the front end's pins; NOT_WIRED if a command starts or resets it, or if it
    sends samples by itself."""

    data_ready: int = NOT_WIRED
    start: int = NOT_WIRED
    reset: int = NOT_WIRED


@dataclass(frozen=True, slots=True)
class Sensor:
    """A front end and its wiring: [sensor], completed and checked.

    front_end         name of the front end chip, or "spi"
    rate_hz           samples per second and channel
    reference_v       gain times the voltage of the largest count
    spi, spi_hz, chip_select   SPI device, its clock, and its chip select
    pins              GPIO numbers
    uart, baud_rate   serial line of the packets
    unit              unit of the calibration data
    hop               samples between the starts of two windows
    packets           content of a decision's packet: "class" or "outputs"
    bits              bits of a count (converter value)
    header_bytes      bytes of a sample before the first count of each chip
    """

    front_end: str
    channels: int
    rate_hz: Fraction
    gain: Fraction
    reference_v: Fraction
    spi: int
    spi_hz: int
    chip_select: int
    pins: Pins
    uart: int
    baud_rate: int
    unit: str
    hop: int
    packets: str
    bits: int = 24
    header_bytes: int = STATUS_BYTES

    @property
    def kind(self) -> FrontEnd | None:
        """Type of the front end chip; None for any other device."""
        return FRONT_ENDS.get(self.front_end)

    @property
    def is_on_line(self) -> bool:
        """Whether the UART that sends the decisions also receives the samples."""
        return self.front_end == "uart"

    @property
    def chips(self) -> int:
        """Number of chips in the daisy chain."""
        return 1 if self.kind is None else -(-self.channels // CHIP_CHANNELS)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all channels on the SPI, or of its message on the UART before the
        CRC."""
        if self.kind is None:
            return self.header_bytes + self.channels * -(-self.bits // 8)
        return self.chips * (STATUS_BYTES + 3 * CHIP_CHANNELS)

    @property
    def count_v(self) -> Fraction:
        """Input voltage per count (converter step), in volts."""
        largest = 2 ** (self.bits - 1) if self.kind is None else self.kind.largest_count
        return self.reference_v / self.gain / largest

    @property
    def count_units(self) -> Fraction:
        """Value of one count (converter step) in `unit`."""
        return Fraction(1) if self.unit == "counts" else self.count_v / UNIT_V[self.unit]

    @property
    def count_limits(self) -> tuple[int, int]:
        """Smallest and largest count (converter value), at which a channel saturates."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
