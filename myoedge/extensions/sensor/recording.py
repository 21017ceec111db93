# SPDX-License-Identifier: Apache-2.0
"""A recording as a sensor application's front end delivers it: counts, and bytes on the line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.backends.packets import sample_message
from myoedge.catalogue import warning
from myoedge.errors import MyoedgeError, Notice
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.numerics.arrays import Array
from myoedge.numerics.counts import CountConversion
from myoedge.quantization.recordings.files import read_file
from myoedge.quantization.recordings.reading import Content, Reading, is_rate
from myoedge.simulator import Fault, Playback
from myoedge.targets.sensor import NOT_WIRED, Sensor

CODE = "E266"
START_S = 0.01  # until a front end without a start pin sends its first sample
LOAD_CYCLES_PER_BYTE = 60  # programming and checking MRAM took 58 on the simulated chip
TAIL_S = 0.05  # least time after the last sample, for its pass, its packets and a final status
REAL = "fiu"  # kinds of NumPy types that are real numbers
FINITE_ROWS = "emg = emg[np.isfinite(emg).all(axis=1)]  # leaves such rows out"
MOST_SHOWN = 3  # different rates of a file, in a message
MOST_BEYOND, FEWEST_INTEGERS = 0.05, 4  # share outside the calibrated range; distinct integers


@dataclass(frozen=True)
class Delivered:
    """A recording as the converter's integers (counts).

    counts       int32 [samples, channels]
    labels       int [samples]: array `labels` of the file; None if it has none
    is_unlabelled   whether the file's `labels` are no class numbers, one per sample
    is_assumed   whether the rate of [sensor] is assumed, because the file specifies none
    """

    counts: Array = field(repr=False)
    is_assumed: bool = False
    labels: Array | None = field(default=None, repr=False)
    is_unlabelled: bool = False


def recording_of(sensor: Sensor, signal: str | Path | Array) -> Delivered:
    """Convert a recording to the converter's integers (counts), rounded and saturated.

    Errors: E216 NaN or infinite values; E266 other channels, or another rate; as reading samples.
    """
    is_assumed = False
    if isinstance(signal, str | Path):
        content = read_file(Path(signal), Reading())
        arrays: Mapping[str, Array] = content.arrays
        is_assumed = not _states_rate(content, sensor)
    else:
        arrays = {"recording": np.asarray(signal)}
    values = _sample_array(arrays, sensor)
    low, high = sensor.count_limits
    counts = np.rint(values.astype(np.float64) / float(sensor.count_units))
    labels = arrays.get("labels")
    fits = labels is None or (labels.shape == (len(counts),) and labels.dtype.kind in "iu")
    limited = np.asarray(np.clip(counts, low, high), np.int32)
    return Delivered(limited, is_assumed, labels if fits else None, not fits)


def _states_rate(content: Content, sensor: Sensor) -> bool:
    """Return whether a file specifies its rate, as one number or several that are equal. Errors:
    E266 if it differs from [sensor], or if there are different ones, or none."""
    arrays = {n: x for n, x in content.arrays.items() if is_rate(n) and not _fits(x, sensor)}
    stated = {**content.rates, **arrays}
    for name, rates in stated.items():
        values = [*dict.fromkeys(rates.ravel().tolist())]
        stored = float(sensor.rate_hz), float(np.float32(sensor.rate_hz))  # of a decimal fraction
        if len(values) == 1 and _finite(values[0]) in stored:
            continue
        rate_hz = np.format_float_positional(float(sensor.rate_hz), trim="-")
        remedy = f"{name} = {rate_hz} alone in the file"
        if len(values) == 1:
            remedy = f"resample it to {rate_hz} samples per second, or change [sensor] rate"
        shown = ", ".join(map(str, values[:MOST_SHOWN])) or "empty"
        raise _recording_error(f"{rate_hz} samples per second", f"{name} = {shown}", remedy)
    return bool(stated)


def _fits(values: Array, sensor: Sensor) -> bool:
    """Return whether an array has the shape of the samples."""
    return values.ndim == 2 and values.shape[1] == sensor.channels


def _finite(value: Any) -> float | None:
    """Return a number; None if it is no finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _sample_array(arrays: Mapping[str, Array], sensor: Sensor) -> Array:
    """Return the array of the samples. Errors: E216 NaN or infinite values; E266 none, several, or
    no real numbers."""
    names = [n for n, x in arrays.items() if _fits(x, sensor)]
    if len(names) != 1:
        has = ", ".join(f"{name} {list(x.shape)}" for name, x in arrays.items()) or "no array"
        raise _recording_error(
            f"one array [samples, {sensor.channels}]", has, _array_remedy(arrays, names, sensor)
        )
    name, values = names[0], arrays[names[0]]
    if values.dtype.kind not in REAL:
        raise _recording_error(
            "real numbers", f"{name} {values.dtype}", "emg = x.real.astype(np.float32)"
        )
    bad: Array = np.logical_not(np.isfinite(values).all(axis=1))
    if bad.any():
        facts = {"first in row": int(np.argmax(bad)), "rows": f"{int(bad.sum()):,} of {len(bad):,}"}
        raise MyoedgeError("E216", f"{name} holds NaN or infinite values", facts, [FINITE_ROWS])
    return values


def _array_remedy(arrays: Mapping[str, Array], fitting: Sequence[str], sensor: Sensor) -> str:
    """Return the remedy for a recording with several arrays that fit, or none."""
    if fitting:
        return f'np.savez("one.npz", emg={fitting[0]})  # a file with one of them'
    for name, x in arrays.items():
        if x.ndim == 2 and x.shape[0] == sensor.channels:
            return f'np.savez("turned.npz", emg={name}.T)'
        if x.ndim == 3 and x.shape[2] == sensor.channels:
            return f'np.savez("flat.npz", emg={name}.reshape(-1, {sensor.channels}))'
    return f"a recording of {sensor.channels} channels, or a build with other [sensor] channels"


def check_length(samples: int, needed: int) -> None:
    """Raise E266 if a recording ends before the first decision."""
    if samples < needed:
        needs = f"{needed:,} samples for the first decision"
        raise _recording_error(needs, f"{samples:,}", "play a longer part, or a longer recording")


def unlike_calibration(conversion: CountConversion, counts: Array) -> Notice | None:
    """Return W605 if a recording seems to have another scale than the calibration data."""
    beyond, used = conversion.beyond(counts), len(np.unique(conversion.integers(counts)))
    if beyond <= MOST_BEYOND and used >= FEWEST_INTEGERS:
        return None
    integers = conversion.high - conversion.low + 1
    return warning("W605", {"beyond": beyond, "used": used, "integers": integers})


def _recording_error(needs: str, has: object, remedy: str) -> MyoedgeError:
    title = "the recording does not fit the sensor application"
    return MyoedgeError(CODE, title, {"needs": needs, "has": has}, [remedy])


def playback_of(
    program: SensorProgram,
    counts: Array,
    faults: Sequence[Fault] = (),
    image_bytes: int = 0,
) -> Playback:
    """Return the simulated front end, wired as in [sensor], that delivers these counts.

    image_bytes   images of L3 and MRAM, which the program loads before it receives samples
    """
    sensor, clock = program.sensor, program.clock
    pins = {name: getattr(sensor.pins, name) for name in ("data_ready", "start", "reset")}
    is_chip = sensor.kind is not None
    start_s = START_S + LOAD_CYCLES_PER_BYTE * image_bytes / clock.hz
    return Playback(
        counts=counts if is_chip else on_the_line(sensor, counts),
        rate_hz=sensor.rate_hz,
        clock_hz=clock.hz,
        clock_divider=clock.divider if clock.waiting > 1 else 0,
        front_end=sensor.front_end,
        chips=sensor.chips,
        spi=sensor.spi,
        chip_select=sensor.chip_select,
        uart=sensor.uart,
        **{name: None if pin == NOT_WIRED else pin for name, pin in pins.items()},
        start_s=0.0 if is_chip else start_s,
        tail_s=max(TAIL_S, float(sensor.hop / sensor.rate_hz)),
        faults=faults,
    )


def on_the_line(sensor: Sensor, counts: Array) -> Array:
    """Return the bytes that a front end without a chip model sends for each sample, uint8 [samples,
    bytes]."""
    width = -(-sensor.bits // 8)
    shifts = 8 * np.arange(width - 1, -1, -1)
    bits = counts.astype(np.int64)[:, :, None] >> shifts & 0xFF
    rows = bits.reshape(len(counts), -1).astype(np.uint8)
    if sensor.is_on_line:
        lines = [sample_message(number, row.tobytes()) for number, row in enumerate(rows)]
        return np.frombuffer(b"".join(lines), np.uint8).reshape(len(lines), -1)
    return np.pad(rows, ((0, 0), (sensor.header_bytes, 0)))
