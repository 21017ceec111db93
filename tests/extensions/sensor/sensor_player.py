# SPDX-License-Identifier: Apache-2.0
"""The sensor application on this machine: compiled with a port that plays a front end."""

from __future__ import annotations

import binascii
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from myoedge.extensions.sensor.application import BARE_METAL, FIRMWARE, sensor_files
from myoedge.extensions.sensor.program import SampleLayout, SensorProgram
from myoedge.extensions.sensor.settings import sensor_of
from myoedge.extensions.sensor.wake import Gate
from myoedge.numerics.arrays import Array
from myoedge.numerics.counts import CountConversion
from myoedge.targets.sensor import SensorTable
from tests.support.run import optimization

HOST = Path(__file__).parent / "sensor_host"
FLAGS = (
    *("-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-Wconversion"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-D_DEFAULT_SOURCE=1"),
)
DIGEST = "0123456789abcdef" * 4
CONVERSION = CountConversion((1 << 20,), ((1 << 27) * 5 + (1 << 27),), 28, -128, 127)
LOST, OPEN, SATURATED, SPI, RESET, SKIPPED, WATCHDOG, RESTING = (1 << n for n in range(8))
DECISION, STATUS, START, OUTPUTS = 1, 2, 3, 4
COUNTERS = ("lost", "saturated", "spi_errors", "resets", "skipped", "overruns", "restarts")
Fault = tuple[int, str, int]


def program(
    layout: SampleLayout, hop: int, frames: int = 1, results: int = 5, **table: object
) -> SensorProgram:
    """An application with the network of sensor_host: one result frame per frame."""
    pins = {"data_ready": 42, "start": 43, "reset": 44}
    keys = {
        "rate": 1000.0,
        "unit": "uV",
        "pins": pins,
        "channels": layout.outer * layout.inner,
        **table,
    }
    sensor = sensor_of(SensorTable(**keys), hop=hop)  # type: ignore[arg-type]
    return SensorProgram(
        sensor, layout, CONVERSION, hop, frames, results, frames, "largest", "int8", "int8",
        (), is_stream=frames > 1,
    )  # fmt: skip


INTERRUPTS = ("ready", "sample", "sent", "received")
PORTS = ("port_host", "front_end_host", "network_host")
RENAMED = (  # their functions if port_sdk.c is the port, with the shim in between
    *("open", "us", "interrupts", "sleep", "pin", "spi_exchange", "spi_start", "uart_start", "run"),
    "pass",
    *("uart_receive", "uart_sends", "spi_stop", "has_pin", "watchdog_restarts"),
)


def with_sdk(folder: Path) -> tuple[list[Path], list[str]]:
    """Return sources and flags with which the application calls PMSIS."""
    names = {f"me_port_{name}": f"host_{name}" for name in RENAMED}
    names |= {"me_port_watchdog_feed": "host_feed"}
    names |= {f"me_sensor_{name}": f"host_{name}" for name in INTERRUPTS}
    renamed = "".join(f"#define {old} {new}\n" for old, new in names.items())
    hosts = [folder / f"{name}.c" for name in PORTS]
    for path in hosts:
        path.write_text(f'{renamed}#include "{HOST / path.name}"\n')
    port = FIRMWARE / "port_sdk.c"
    flags = ["-DME_UART=1", "-DME_SDK_4", f"-I{HOST / 'sdk'}"]
    return [*hosts, HOST / "sdk" / "shim.c", port], flags


def compiled(made: SensorProgram, folder: Path, *, sdk: bool = False) -> Path:
    """Compile the application, apart from what is for the chip only."""
    files = sensor_files(
        made, {"banner": "test", "calls": {}, "l3_bytes": 0, "mram_bytes": 0, "copies": 0}, DIGEST
    )
    left_out = {name.removesuffix(".j2") for name in BARE_METAL}
    for path, text in files.items():
        if (name := Path(path).name) not in left_out:
            (folder / name).write_text(text)
    sources, flags = [*folder.glob("*.c")], list[str]()
    ports, flags = with_sdk(folder) if sdk else ([HOST / f"{name}.c" for name in PORTS], [])
    flags = [optimization(), *FLAGS, *flags, f"-I{folder}", f"-I{HOST}"]
    compiler = ["gcc", *flags, "-o", str(folder / "app")]
    subprocess.run([*compiler, *map(str, (*sources, *ports))], check=True)
    return folder / "app"


@dataclass(frozen=True)
class Packet:
    """A packet with the time in ns of its last bit, and what its kind adds."""

    end_ns: int
    kind: int
    sequence: int
    time_us: int
    frame: int
    flags: int
    rest: bytes

    @property
    def decision(self) -> tuple[int, int]:
        """Class and score."""
        return struct.unpack("<Hh", self.rest[:4])

    @property
    def counters(self) -> dict[str, int]:
        """Counters of a status, and open electrodes."""
        values = struct.unpack("<7IQ", self.rest)
        return dict(zip((*COUNTERS, "open"), values, strict=True))


def unstuffed(frame: bytes) -> bytes:
    """COBS, by its definition: a code byte, then code - 1 bytes, then a 0 unless code is 255."""
    made = b""
    while frame:
        code, frame = frame[0], frame[1:]
        made += frame[: code - 1]
        frame = frame[code - 1 :]
        made += b"\0" * (code < 255 and bool(frame))
    return made


def packets(line: bytes) -> Iterator[Packet]:
    """Packets of the records that the host's port writes; each is checked."""
    rows = list(struct.iter_unpack("<QB", line))
    frame = b""
    for end_ns, byte in rows:
        if byte:
            frame += bytes([byte])
            continue
        packet, frame = unstuffed(frame), b""
        (crc,) = struct.unpack("<H", packet[-2:])
        assert crc == binascii.crc_hqx(packet[:-2], 0xFFFF)
        kind, version, sequence, time_us, number, flags = struct.unpack("<BBHIIH", packet[:14])
        assert version == 1
        yield Packet(end_ns, kind, sequence, time_us, number, flags, packet[14:-2])
    assert not frame


def played(
    app: Path, counts: Array, faults: Sequence[Fault] = (), **environment: str
) -> list[Packet]:
    """The packets of a recording with faults."""
    folder = app.parent
    counts.astype("<i4").tofile(folder / "samples")
    (folder / "faults").write_text("".join(f"{f} {kind} {value}\n" for f, kind, value in faults))
    arguments = [str(folder / name) for name in ("app", "samples", "faults", "line")]
    ran = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return [*packets((folder / "line").read_bytes())]


# ---- what decisions must be


def integers(made: SensorProgram, counts: Array) -> Array:
    """Counts to integers by the formula of sensor_network.h, in Python's integers."""
    c = made.conversion
    rows = [
        [
            min(max((int(n) * c.multipliers[0] + c.offsets[0]) >> c.shift, c.low), c.high)
            for n in row
        ]
        for row in counts
    ]
    return np.array(rows, np.int64)


def window(made: SensorProgram, q: Array, first: int) -> Array:
    """Elements of the network's input, by their definition."""
    layout = made.layout
    made_of = np.zeros(layout.outer * layout.samples * layout.inner, np.int64)
    for at in range(layout.samples):
        for channel in range(layout.outer * layout.inner):
            outer, inner = divmod(channel, layout.inner)
            made_of[(outer * layout.samples + at) * layout.inner + inner] = q[first + at, channel]
    return made_of


def results(made: SensorProgram, values: Array, memory: int = 0) -> Array:
    """The network of sensor_host on a window: int8 results."""
    places = np.arange(len(values)) % 7
    sums = [int((values * (places + r + 1)).sum()) + memory for r in range(made.results)]
    return np.array(sums, np.int64).astype(np.uint8).view(np.int8)


def decision(scores: Array) -> tuple[int, int]:
    return int(np.argmax(scores)), int(scores.max())


def spread(rows: Array) -> Fraction:
    """The sum over channels of the variances of a window [samples, channels], by definition."""
    total = Fraction(0)
    for channel in rows.T.tolist():
        mean = Fraction(sum(channel), len(channel))
        total += sum(((q - mean) ** 2 for q in channel), Fraction(0)) / len(channel)
    return total


def resting(gate: Gate, samples: int, q: Array, first: int, hop: int) -> dict[int, bool]:
    """Whether the network rests on each window from sample `first` on, by frame number: if neither
    it nor one of the `hold` before has the energy, and the first `hold` have passed."""
    starts = range(first, len(q) - samples + 1, hop)
    above = [spread(q[s : s + samples]) * samples**2 >= gate.limit for s in starts]
    found = {}
    for number, start in enumerate(starts):
        near = above[max(number - gate.hold, 0) : number + 1]
        found[start + samples - 1] = number >= gate.hold and not any(near)
    return found


def resting_by_output(made: SensorProgram, q: Array, first: int) -> dict[int, bool]:
    """The same of a gate by an output of the network of sensor_host: the largest value less that of
    rest, or the only value."""
    gate, samples = made.gate, made.layout.samples
    assert gate is not None
    assert gate.output is not None
    starts, above = range(first, len(q) - samples + 1, made.hop), []
    for start in starts:
        values = (~results(made, window(made, q, start)).astype(np.int64)).tolist()
        values = values[: gate.output.values]
        rest = values.pop(gate.output.rest) if len(values) > 1 else 0
        above.append(max(values) - rest >= gate.limit)
    found = {}
    for number, start in enumerate(starts):
        near = above[max(number - gate.hold, 0) : number + 1]
        found[start + samples - 1] = number >= gate.hold and not any(near)
    return found


def stream_decisions(made: SensorProgram, q: Array, first: int) -> dict[int, tuple[int, int]]:
    """Decisions by frame number of a stream that starts with sample `first`."""
    memory, found = 0, {}
    while first + made.layout.samples <= len(q):
        values = window(made, q, first)
        found[first + made.layout.samples - 1] = decision(results(made, values, memory))
        places = np.arange(len(values)) % 7
        memory = (3 * memory + int((values * (places + 1)).sum())) % 2**32
        first += made.hop
    return found
