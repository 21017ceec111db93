# SPDX-License-Identifier: Apache-2.0
"""Cases of the dense kernels: operands, and what must come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.requant import choose_requant, lookup
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.common_rules import ProductParams
from myoedge.operators.library.packing import WeightedParams, packed_channels, packed_weights

KERNELS = ("me_conv_s8", "me_linear_s8", "me_matmul_s8")

Fields = Mapping[str, int | str | None]  # of a C struct in its order: a number, or whose address


@dataclass(frozen=True)
class Case:
    """One call of a kernel.

    op, tile   its two structs: numbers, or names of operands
    operands   what is read, by name       shift   bytes that an operand lies behind a multiple of 4
    expected   every byte of y afterwards, gaps included (they hold GAP)
    scratch, padded   bytes of them, undefined afterwards
    """

    name: str
    kernel: str
    op: Fields
    tile: Fields
    operands: Mapping[str, Array]
    expected: Array
    scratch: int
    padded: int
    macs: int
    shift: Mapping[str, int] = field(default_factory=dict)


GAP = 0x5B


@dataclass(frozen=True)
class Asked:
    """A convolution. 1-D ones have height 1, linear layers are kernels of 1x1 over one column."""

    h: int
    w: int
    c: int
    k: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    row_gap: int = 0  # bytes between rows of x
    y_gap: int = 0  # bytes between pixels of y
    low: int = -128
    high: int = 127
    table: bool = False
    shift: tuple[int, int] = (0, 0)  # of x and y
    linear: bool = False
    padded: bool = False  # there is room for x with its padding
    together: bool = False  # windows are gathered once, by all cores
    crossing: bool = False  # windows of one piece are read across words
    nine_cores: bool = False  # core 8 computes as well: a linear layer whose rows are read in place
    seed: int = 0

    @property
    def in_place(self) -> bool:
        """Whether every row is read where it lies."""
        places = (self.c, self.w * self.c + self.row_gap, self.shift[0])
        return self.linear and all(place % 4 == 0 for place in places)

    @property
    def narrow(self) -> bool:
        """Whether rows of the kernel are words, of three taps or four."""
        in_word = self.kernel[1] * self.c in (3, 4) and self.kernel[0] > 1
        return self.padded and in_word and self.dilation[1] == 1


def _drawn(rng: np.random.Generator, *shape: int) -> Array:
    """int8, with many extremes."""
    values = rng.integers(-128, 128, shape)
    extreme = rng.choice([-128, 127], shape)
    return np.where(rng.random(shape) < 0.1, extreme, values).astype(np.int8)


def _table(rng: np.random.Generator, wanted: bool) -> Array | None:
    return _drawn(rng, 256) if wanted else None


def _scale(pre: int, low: int, high: int, table: Array | None) -> dict[str, int | str | None]:
    return {"pre": pre, "low": low, "high": high, "table": None if table is None else "table"}


def _spread(rows: Array, gap: int) -> Array:
    """Rows with `gap` bytes between them, none behind the last."""
    wide = np.full((rows.shape[0], rows.shape[1] + gap), GAP, np.int8)
    wide[:, : rows.shape[1]] = rows
    return wide.reshape(-1)[: wide.size - gap]


def _after(y: Array, table: Array | None) -> Array:
    return y if table is None else lookup(y, table)


def scratch_bytes(taps: int) -> int:
    """me_gemm_scratch_bytes of me_gemm.h."""
    groups = max(1, min(4, 512 // round_up(taps, 4)), min(8, 256 // round_up(taps, 4)))
    return 8 * 4 * groups * 4 * (round_up(taps, 4) // 4 | 1)


def gathered_bytes(a: Asked, taps: int, windows: int) -> int:
    """What a tile's scratch has to hold."""
    if a.together:
        return windows * 4 * (round_up(taps, 4) // 4 | 1)
    return 0 if a.in_place else scratch_bytes(taps)


def padded_bytes(a: Asked, out: tuple[int, ...]) -> int:
    """me_conv_padded_bytes of me_gemm.h; 0 where it is not wanted."""
    sizes = zip(out[1:3], a.kernel, a.stride, a.dilation, strict=True)
    rows, columns = ((n - 1) * s + (k - 1) * d + 1 for n, k, s, d in sizes)
    return round_up(rows * columns * a.c, 4) + 4 if a.padded else 0


def packed(a: Asked, weight: Array) -> Array:
    """Rows of three taps have a zero behind them."""
    if not a.narrow:
        return packed_weights(weight)
    rows = weight.reshape(a.k, a.kernel[0], -1)
    return packed_weights(np.pad(rows, ((0, 0), (0, 0), (0, 4 - rows.shape[-1]))))


def _conv_step(a: Asked, rng: np.random.Generator) -> tuple[Array, QuantizedNode]:
    """x, and a layer whose multipliers are chosen so that outputs fill their range."""
    x, weight = _drawn(rng, 1, a.h, a.w, a.c), _drawn(rng, a.k, *a.kernel, a.c)
    bias = rng.integers(-(2**15), 2**15, a.k)
    zero, taps = int(rng.integers(-128, 128)), weight[0].size
    bound = np.abs(bias) + 128 * np.abs(weight.reshape(a.k, -1).astype(np.int64)).sum(axis=1)
    real = rng.uniform(0.2, 2.0, a.k) * 60.0 / (74.0 * 74.0 * np.sqrt(taps))
    r = choose_requant(real, bound, int(rng.integers(-40, 40)))
    attrs = {"stride": a.stride, "dilation": a.dilation, "pads": a.pads, "groups": 1}
    out = OPS["conv"].shape(attrs, x.shape, weight.shape)
    arrays = {"weight": weight, "bias": bias.astype(np.int32), **r.arrays}
    node = Node("conv", ("x", "w"), ("y",), attrs)
    integers = WeightedParams(x_zero=zero, pre=r.pre, **arrays)
    return x, QuantizedNode(node, ("x",), (x.shape,), out, integers, a.low, a.high)


OPERANDS = {"weights": "weights", "channels": "channels", "y": "y"}


def _linear_structs(a: Asked, scale: Fields) -> tuple[Fields, Fields]:
    """me_linear_s8_params and me_linear_s8_tile."""
    x = {"x": "x", "rows": a.h, "x_stride": a.w * a.c + a.row_gap}
    ends = {"k": a.k, "y_stride": a.k + a.y_gap, "scratch": "scratch", "kernel_waits": 0}
    return {"c": a.c, **scale, "nine_cores": int(a.nine_cores)}, {**x, **OPERANDS, **ends}


def _conv_structs(a: Asked, step: QuantizedNode, scale: Fields) -> tuple[Fields, Fields]:
    """me_conv_s8_params and me_conv_s8_tile."""
    names = ("k_h", "k_w", "stride_h", "stride_w", "dilation_h", "dilation_w")
    shape = dict(zip(names, (*a.kernel, *a.stride, *a.dilation), strict=True))
    ways = {"narrow": a.narrow, "in_place": a.crossing, "together": a.together}
    region = {"x": "x", "h": a.h, "w": a.w, "pad_top": a.pads[0][0], "pad_left": a.pads[1][0]}
    region["row_stride"] = a.w * a.c + a.row_gap
    ends = {"oh": step.out[1], "ow": step.out[2], "k": a.k, "y_stride": a.k + a.y_gap}
    padded = "padded" if a.padded else None
    op = {
        "c": a.c,
        **shape,
        "x_zero": step.integers.x_zero,
        **scale,
        **{name: int(way) for name, way in ways.items()},
    }
    return op, {
        **region,
        **OPERANDS,
        **ends,
        "scratch": "scratch",
        "padded": padded,
        "kernel_waits": 0,
    }


def conv_case(a: Asked) -> Case:
    """Weights and data drawn."""
    rng = np.random.default_rng(a.seed)
    x, step = _conv_step(a, rng)
    table = _table(rng, a.table)
    scale, out, taps = (
        _scale(step.integers.pre, a.low, a.high, table),
        step.out,
        step.integers.weight[0].size,
    )
    op, tile = _linear_structs(a, scale) if a.linear else _conv_structs(a, step, scale)
    operands = {
        "x": _spread(x.reshape(a.h, -1), a.row_gap),
        "weights": packed(a, step.integers.weight),
        "channels": packed_channels(step),
        **({} if table is None else {"table": table}),
    }
    y = _after(OPS["conv"].integer(step, x), table).reshape(-1, a.k)
    return Case(
        str(a),
        KERNELS[int(a.linear)],
        op,
        tile,
        operands,
        _spread(y, a.y_gap),
        gathered_bytes(a, taps, out[1] * out[2]),
        padded_bytes(a, out),
        out[1] * out[2] * a.k * taps,
        {"x": a.shift[0], "y": a.shift[1]},
    )


def _product(
    rng: np.random.Generator, a: Array, b: Array, zeros: tuple[int, int], limits: tuple[int, int]
) -> QuantizedNode:
    c = a.shape[1]
    reach = [max(127 - z, z + 128) for z in zeros]
    real = 60.0 / (74.0 * 74.0 * np.sqrt(c))
    r = choose_requant(real, c * reach[0] * reach[1], int(rng.integers(-40, 40)))
    numbers = {"a_zero": zeros[0], "b_zero": zeros[1], **r.scalars}
    bound = c * reach[0] * reach[1]
    node = Node("matmul", ("a", "b"), ("y",), {})
    out = (a.shape[0], b.shape[1])
    return QuantizedNode(
        node,
        ("a", "b"),
        (a.shape, b.shape),
        out,
        ProductParams(**numbers, acc_bound=bound),
        *limits,
    )


def matmul_case(
    m: int,
    c: int,
    n: int,
    *,
    turned: bool = False,
    zeros: tuple[int, int] = (3, -5),
    gaps: tuple[int, int, int] = (0, 0, 0),
    limits: tuple[int, int] = (-128, 127),
    table: bool = False,
    shift: tuple[int, int, int] = (0, 0, 0),
    nine_cores: bool = False,
    seed: int = 0,
) -> Case:
    """a [m, c] times b [c, n]; gaps, shift of a, b and y. nine_cores: where a is read in place."""
    rng = np.random.default_rng(seed)
    a, b = _drawn(rng, m, c), _drawn(rng, c, n)
    step = _product(rng, a, b, zeros, limits)
    looked = _table(rng, table)
    lies = np.ascontiguousarray(b.T) if turned else b
    operands = {"a": _spread(a, gaps[0]), "b": _spread(lies, gaps[1])}
    operands |= {} if looked is None else {"table": looked}
    factors = step.integers.named(("mult", "offset", "shift"))
    op = {"c": c, "a_zero": zeros[0], "b_zero": zeros[1], "b_transposed": int(turned), **factors}
    in_place = all(place % 4 == 0 for place in (c, c + gaps[0], shift[0]))
    strides = {"a_stride": c + gaps[0], "b_stride": lies.shape[1] + gaps[1], "y": "y"}
    tile: Fields = {"a": "a", "b": "b", "m": m, "n": n, **strides}
    return Case(
        f"matmul {m}x{c}x{n} turned={turned} {zeros} {gaps} {limits} {shift} {nine_cores} {seed}",
        KERNELS[2],
        {
            **op,
            **_scale(step.integers.pre, *limits, looked),
            "nine_cores": int(nine_cores and in_place),
        },
        {**tile, "y_stride": n + gaps[2], "scratch": "scratch", "packed": 0, "kernel_waits": 0},
        operands,
        _spread(_after(OPS["matmul"].integer(step, a, b), looked), gaps[2]),
        n * (round_up(c, 4) + 16) + scratch_bytes(c),
        0,
        m * c * n,
        dict(zip("aby", shift, strict=True)),
    )
