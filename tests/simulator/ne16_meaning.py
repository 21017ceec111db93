# SPDX-License-Identifier: Apache-2.0
"""Drawn jobs of NE16: plain convolutions in NumPy, and the registers and bytes that ask for them.

Nothing here is tiled: a whole layer is computed as its meaning, then laid out as the engine reads
it. The layouts are those that shared recordings of GAP9's platform model establish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from tests.simulator.ne16_jobs import NAMES

AREA_BYTES = 16 * 1024
RANDOM_WORD = ("INFEAT_D2_STRIDE", "WEIGHTS_D2_STRIDE")
KINDS = ("3x3", "depthwise", "1x1", "linear")
MODES = {"3x3": 0, "depthwise": 1, "1x1": 2, "linear": 2}


@dataclass(frozen=True)
class Shape:
    """A layer: channels, output size, filter side, padded rows and columns (top, right, ...)."""

    kind: str
    outputs: int
    inputs: int
    height: int
    width: int
    padding: tuple[int, int, int, int]
    mask: tuple[int, int, int, int]
    wide: bool
    strided: bool

    @property
    def side(self) -> int:
        return 3 if self.kind in ("3x3", "depthwise") else 1


@dataclass(frozen=True)
class Drawn:
    """24 registers, and an area of L1 before and after the job."""

    registers: tuple[int, ...]
    before: Array
    after: Array
    text: str


class _TooLarge(Exception):
    pass


class _Area:
    """Memory that is given out in order, from random addresses on."""

    def __init__(self, rng: np.random.Generator, base: int) -> None:
        self.rng, self.base, self.used = rng, base, int(rng.integers(0, 64))
        self.bytes = rng.integers(0, 256, AREA_BYTES, np.uint8)

    def take(self, size: int) -> int:
        """Offset of so many bytes."""
        at = self.used + int(self.rng.integers(0, 12))
        self.used = at + size
        if self.used + 64 > AREA_BYTES:
            raise _TooLarge
        return at

    def place(self, data: Array) -> int:
        raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        at = self.take(raw.size)
        self.bytes[at : at + raw.size] = raw
        return at


def draw(rng: np.random.Generator, base: int) -> Drawn:
    """A legal job whose data fit an area of L1 that begins at `base`."""
    while True:
        try:
            return _draw(rng, base)
        except _TooLarge:
            continue


def _draw_padding(rng: np.random.Generator, height: int) -> tuple[int, int]:
    """Rows before and behind: those behind must all lie in the last tile of three."""
    last = (height - 1) % 3 + 1
    before = int(rng.integers(0, 3))
    behind = int(rng.integers(0, min(2, last if height > 3 else 2) + 1))
    return (before, behind) if height + 2 - before - behind >= 1 else (0, 0)


def _draw_shape(rng: np.random.Generator) -> Shape:
    kind = str(rng.choice(KINDS))
    wide = kind != "depthwise" and rng.random() < 0.25
    strided = kind != "linear" and rng.random() < 0.15
    height, width = (int(n) for n in rng.integers(1, 4 if strided else 9, 2))
    inputs = int(rng.integers(1, 20 if wide else 40))
    outputs = int(rng.integers(1, 70))
    if kind == "linear":
        inputs = 32 * int(rng.integers(1, 9)) if wide else 16 * int(rng.integers(1, 34))
        height = width = 1
    if kind == "depthwise":
        inputs = outputs = int(rng.integers(1, 41))
    padding = mask = (0, 0, 0, 0)
    if kind in ("3x3", "depthwise"):
        (top, bottom), (left, right) = _draw_padding(rng, height), _draw_padding(rng, width)
        padding = (top, right, bottom, left) if rng.random() < 0.6 else padding
        if rng.random() < 0.25:
            mask = tuple(int(n) for n in rng.integers(0, 3, 4))  # type: ignore[assignment]
    return Shape(kind, outputs, inputs, height, width, padding, mask, wide, strided)


# ---- meaning


def _masked(shape: Shape, weights: Array) -> Array:
    """Weights [Ko, Ki, side, side] with the rows and columns of the mask at 0."""
    top, right, bottom, left = shape.mask
    side = shape.side
    rows = (np.arange(side) >= top) & (np.arange(side) < side - bottom)
    columns = (np.arange(side) >= left) & (np.arange(side) < side - right)
    return weights * rows[:, None] * columns


def sums(shape: Shape, padded: Array, weights: Array) -> Array:
    """Correlation of inputs [H, W, Ki] with weights [Ko, Ki, side, side] -> [Ho, Wo, Ko]."""
    result = np.zeros((shape.height, shape.width, shape.outputs), np.int64)
    weights = _masked(shape, weights)
    for y in range(shape.side):
        for x in range(shape.side):
            part = padded[y : y + shape.height, x : x + shape.width]
            tap = weights[:, :, y, x]
            result += part * tap[:, 0] if shape.kind == "depthwise" else part @ tap.T
    return result


def _wrapped(values: Array) -> Array:
    return values.astype(np.uint64).astype(np.uint32).astype(np.int32).astype(np.int64)


@dataclass(frozen=True)
class Normalisation:
    """Scale and shift by output channel; bias or None."""

    scale: Array
    shift: Array
    bias: Array | None

    def __call__(self, acc: Array) -> Array:
        scaled = acc * self.scale
        return (scaled if self.bias is None else _wrapped(scaled + self.bias)) >> self.shift


def stored(values: Array, bits: int, signed: bool, normalised: bool) -> Array:
    """Bytes of the results, [Ho, Wo, Ko * bits / 8]."""
    if bits == 8:
        low, high = (-128, 127) if signed else (0, 255)
        return (np.clip(values, low, high) & 255).astype(np.uint8)
    if normalised and not signed:
        values = np.clip(values, 0, 2**32 - 1)
    words = np.ascontiguousarray((values & 0xFFFFFFFF).astype("<u4"))
    return words.view(np.uint8).reshape(*values.shape[:2], -1)


# ---- layouts


def packed_weights(shape: Shape, stored_weights: Array, bits: int) -> Array:
    """Bit planes of unsigned weights [Ko, Ki, side, side]; a row for each output channel."""
    lanes = 8 if shape.wide else 16
    w = stored_weights.reshape(stored_weights.shape[0], stored_weights.shape[1], -1)
    if shape.kind == "depthwise":
        w = w.transpose(1, 0, 2)
    planes = w[None] >> np.arange(bits)[:, None, None, None] & 1  # bit, Ko, Ki, tap
    if shape.kind == "linear":
        rows = planes[..., 0].transpose(1, 0, 2)
    else:
        groups = -(-w.shape[1] // lanes)
        planes = np.pad(planes, ((0, 0), (0, 0), (0, groups * lanes - w.shape[1]), (0, 0)))
        split = planes.reshape(bits, w.shape[0], groups, lanes, -1)
        rows = split.transpose(1, 2, 0, 4, 3)  # Ko, group, bit, tap, lane
    rows = rows.reshape(rows.shape[0], -1).astype(np.uint8)
    return np.packbits(rows, axis=1, bitorder="little")


def _tiles(
    size: int, tile: int, rng: np.random.Generator, zero_is_full: bool = True
) -> tuple[int, int]:
    """How many tiles, and the remainder as a register may have it."""
    count, last = -(-size // tile), (size - 1) % tile + 1
    return count, 0 if last == tile and zero_is_full and rng.random() < 0.5 else last


def _draw(rng: np.random.Generator, base: int) -> Drawn:
    shape, area = _draw_shape(rng), _Area(rng, base)
    bits = int(rng.integers(1, 9))
    offset = int(rng.choice([0, -(2 ** (bits - 1)), -128, int(rng.integers(-400, 400))]))
    registers: dict[str, int] = {name: int(rng.integers(0, 1 << 32)) for name in RANDOM_WORD}
    registers |= dict.fromkeys(set(NAMES) - set(registers), 0)
    padded = _input(rng, shape, area, registers)
    weights = _weights(rng, shape, area, registers, bits)
    signed, words = rng.random() < 0.5, rng.random() < 0.45
    normalised = rng.random() < 0.7
    streams = words and rng.random() < 0.4 and (shape.kind != "depthwise" or shape.outputs <= 8)
    acc = sums(shape, padded, weights + offset)
    config = bits - 1 | shape.wide << 3 | normalised << 4 | MODES[shape.kind] << 5
    config |= (shape.kind == "linear") << 7 | shape.strided << 8 | streams << 14 | signed << 23
    config |= (2 if words else 0) << 21 | int(rng.integers(0, 2)) << 15
    y, write = _output(rng, shape, area, registers, words)
    if streams:
        acc = acc + y.copy().view("<i4").astype(np.int64)
    if normalised:
        normalise, more = _normalisation(rng, shape, area, registers, acc)
        acc, config = normalise(acc), config | more
    registers |= {"CONFIG0": config, "WEIGHT_OFFSET": offset & 0xFFFFFFFF}
    before = area.bytes.copy()
    write(stored(acc, 32 if words else 8, bool(signed), bool(normalised)))
    for name in (
        "WEIGHTS_PTR",
        "INFEAT_PTR",
        "OUTFEAT_PTR",
        "SCALE_PTR",
        "SCALE_SHIFT_PTR",
        "SCALE_BIAS_PTR",
    ):
        registers[name] = (registers[name] + base) & 0xFFFFFFFF
    text = f"{shape}, {bits} bits, offset {offset}, CONFIG0 0x{config:08x}"
    return Drawn(tuple(registers[name] for name in NAMES), before, area.bytes, text)


def _input(rng: np.random.Generator, shape: Shape, area: _Area, registers: dict[str, int]) -> Array:
    """Writes the tensor; returns it padded, [Ho + side - 1, Wo + side - 1, Ki]."""
    top, right, bottom, left = shape.padding
    rows, columns = (n + shape.side - 1 for n in (shape.height, shape.width))
    item, kind = (2, "<u2") if shape.wide else (1, "u1")
    value = int(rng.integers(0, 1 << 8 * item))
    implicit = rng.random() < 0.3
    value = 0 if implicit else value
    inner = rng.integers(
        0, 1 << 8 * item, (rows - top - bottom, columns - left - right, shape.inputs)
    )
    padded = np.pad(inner, ((top, bottom), (left, right), (0, 0)), constant_values=value)
    d0 = shape.inputs * item + int(rng.integers(0, 9)) * (rng.random() < 0.5)
    d1 = d0 * inner.shape[1] + int(rng.integers(0, 9)) * (rng.random() < 0.5)
    at = area.take(d1 * inner.shape[0])
    raw = np.ascontiguousarray(inner.astype(kind)).view(np.uint8)
    for y in range(inner.shape[0]):
        for x in range(inner.shape[1]):
            first = at + y * d1 + x * d0
            area.bytes[first : first + raw.shape[2]] = raw[y, x]
    registers |= {
        "INFEAT_PTR": at - top * d1 - left * d0,
        "INFEAT_D0_STRIDE": d0,
        "INFEAT_D1_STRIDE": d1,
    }
    _input_tiles(rng, shape, registers, value, implicit)
    return padded


def _input_tiles(
    rng: np.random.Generator, shape: Shape, registers: dict[str, int], value: int, implicit: bool
) -> None:
    top, right, bottom, left = shape.padding
    (ho, ho_rem), (wo, wo_rem) = (_tiles(n, 3, rng) for n in (shape.height, shape.width))
    hi, wi = ((n - 1) % 3 + shape.side for n in (shape.height, shape.width))
    if implicit:  # rows behind that are left out read as 0
        hi, wi, fields = hi - bottom, wi - right, (top, 0, 0, left)
        ho_rem, wo_rem = ((n - 1) % 3 + 1 for n in (shape.height, shape.width))
    else:
        fields = (top, 5 - (wi - right) if right else 0, 5 - (hi - bottom) if bottom else 0, left)
    full = 5 if shape.side == 3 else 3
    hi, wi = (0 if n == full and rng.random() < 0.5 else n for n in (hi, wi))
    if shape.kind == "linear":
        unit = 256
        ki, ki_rem = -(-shape.inputs // unit), (shape.inputs - 1) % unit // 16 + 1
        ki_rem = 0 if ki_rem == 16 and rng.random() < 0.5 else ki_rem
        registers["INFEAT_D0_STRIDE"] = 16
        ho = wo = 1
        ho_rem = wo_rem = hi = wi = 0
    else:
        ki, ki_rem = _tiles(shape.inputs * (2 if shape.wide else 1), 16, rng, zero_is_full=False)
    tile = 16 if shape.kind == "depthwise" else 32
    ko, ko_rem = _tiles(shape.outputs, tile, rng, zero_is_full=shape.kind != "depthwise")
    registers |= {
        "SUBTILE_REM0": ko_rem << 16 | ki_rem,
        "SUBTILE_REM1": ho_rem << 16 | wo_rem,
        "SUBTILE_REM2": hi << 16 | wi,
        "SUBTILE_NB0": ko << 16 | ki,
        "SUBTILE_NB1": ho << 16 | wo,
        "PADDING": fields[0] << 28 | fields[1] << 24 | fields[2] << 20 | fields[3] << 16 | value,
        "FILTER_MASK": shape.mask[0] << 24
        | shape.mask[1] << 16
        | shape.mask[2] << 8
        | shape.mask[3],
    }


def _weights(
    rng: np.random.Generator, shape: Shape, area: _Area, registers: dict[str, int], bits: int
) -> Array:
    """Writes unsigned weights; returns them, [Ko, Ki, side, side]."""
    inputs = 1 if shape.kind == "depthwise" else shape.inputs
    weights = rng.integers(0, 1 << bits, (shape.outputs, inputs, shape.side, shape.side))
    rows = packed_weights(shape, weights, bits)
    gap = int(rng.integers(0, 9)) if shape.outputs <= 32 and shape.kind in ("3x3", "1x1") else 0
    rows = np.pad(rows, ((0, 0), (0, gap)))
    plane = 9 if shape.wide else 18
    unused = int(rng.integers(0, 1 << 32))
    registers |= {
        "WEIGHTS_PTR": area.place(rows),
        "WEIGHTS_D0_STRIDE": plane if shape.side == 3 else unused,
        "WEIGHTS_D1_STRIDE": rows.shape[1] if shape.kind in ("3x3", "1x1") else unused,
    }
    return weights


def _output(
    rng: np.random.Generator, shape: Shape, area: _Area, registers: dict[str, int], words: bool
) -> tuple[Array, Callable[[Array], None]]:
    """The tensor's bytes as they are, [Ho, Wo, bytes], and what writes the stored pixels."""
    size = shape.outputs * (4 if words else 1)
    d1 = size + int(rng.integers(0, 9)) * (rng.random() < 0.5)
    d2 = d1 * shape.width + int(rng.integers(0, 9)) * (rng.random() < 0.5)
    at = area.take(d2 * shape.height)
    registers |= {"OUTFEAT_PTR": at, "OUTFEAT_D0_STRIDE": 32, "OUTFEAT_D1_STRIDE": d1}
    registers["OUTFEAT_D2_STRIDE"] = d2
    pixels = [
        [area.bytes[at + y * d2 + x * d1 :][:size] for x in range(shape.width)]
        for y in range(shape.height)
    ]

    def write(results: Array) -> None:
        for y, row in enumerate(pixels):
            for x, pixel in enumerate(row):
                if not shape.strided or (y != 1 and x != 1):
                    pixel[:] = results[y, x]

    return np.array(pixels), write


def _normalisation(
    rng: np.random.Generator, shape: Shape, area: _Area, registers: dict[str, int], acc: Array
) -> tuple[Normalisation, int]:
    """Scales, shifts and biases in memory; the bits of CONFIG0 that say so."""
    code = int(rng.integers(0, 3))
    kind = ("u1", "<u2", "<u4")[code]
    most = min((1 << (8 << code)) - 1, 2**62 // (int(abs(acc).max()) + 1))  # products in int64
    scale = rng.integers(0, most, shape.outputs, endpoint=True)
    has_shifts, has_bias = rng.random() < 0.5, rng.random() < 0.6
    shift = (
        rng.integers(0, 32, shape.outputs)
        if has_shifts
        else np.full(shape.outputs, rng.integers(0, 32))
    )
    bias = rng.integers(-(2**31), 2**31, shape.outputs) >> rng.integers(0, 24) if has_bias else None
    registers["SCALE_PTR"] = area.place(scale.astype(kind))
    config = code << 12
    if has_shifts:
        registers["SCALE_SHIFT_PTR"] = area.place(shift.astype(np.uint8))
        config |= 1 << 24 | int(rng.integers(0, 32)) << 16
    else:
        config |= int(shift[0]) << 16
    if bias is not None:
        registers["SCALE_BIAS_PTR"] = area.place(bias.astype("<i4"))
        config |= 1 << 25
    return Normalisation(scale, shift, bias), config
