# SPDX-License-Identifier: Apache-2.0
"""Depthwise and grouped convolution against the integer meaning of conv."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.depthwise import depthwise_in_tiles, packed_depthwise
from myoedge.operators.conv.depthwise_lines import ChannelLines
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.interpreter import integer_step
from myoedge.targets import find_chip
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_elementwise import draw_bytes, plain, step_of

KERNELS = ("me_depthwise_conv_s8", "me_depthwise_lines_s8", "me_group_conv_s8")
LINES = -1  # in the place of groups


@dataclass(frozen=True)
class Conv:
    """A convolution over [h, w, c]; groups 0: depthwise; k output channels if not c; along: axis of
    lines, if it runs on these."""

    h: int
    w: int
    c: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))
    dilation: tuple[int, int] = (1, 1)
    groups: int = 0
    k: int = 0
    along: int | None = None

    @property
    def name(self) -> str:
        what = f"groups {self.groups} -> {self.k} along {self.along} "
        return (
            f"{what}{self.h}x{self.w}x{self.c} k{self.kernel} s{self.stride} p{self.pads}"
            f" d{self.dilation}"
        ).replace(" ", "")


def conv_step(rng: np.random.Generator, conv: Conv) -> QuantizedNode:
    groups, k = conv.groups or conv.c, conv.k or conv.c
    w = rng.normal(0, 1, (k, *conv.kernel, conv.c // groups))
    bias = rng.normal(0, 0.05, k)
    shapes = ((1, conv.h, conv.w, conv.c), w.shape, (k,))
    return step_of(
        rng, "conv", shapes, (w, bias), stride=conv.stride, dilation=conv.dilation,
        pads=conv.pads, groups=groups,
    )  # fmt: skip


def unlimited(step: QuantizedNode) -> QuantizedNode:
    """The step without clamp, table and pre-shift, as layers that may run on NE16."""
    c = step.integers
    integers = replace(c, table=None, pre=0, mult=c.mult >> c.pre)
    return QuantizedNode(step.node, step.operands, step.shapes, step.out, integers)


def case_of(
    rng: np.random.Generator,
    conv: Conv,
    shift: int = 0,
    *,
    simple: bool = False,
    in_pairs: bool = False,
) -> Case:
    """simple: without clamp or table, as most layers are; in_pairs: also without a pre-shift."""
    step = conv_step(rng, conv)
    step = plain(step) if simple else unlimited(step) if in_pairs else step
    x = draw_bytes(rng, step.shapes[0])
    kind, weights, more = stored(step, conv)
    each = np.stack(
        [getattr(step.integers, n) for n in ("bias", "mult", "offset", "shift")], axis=1
    )
    table = step.table if step.table is not None else np.zeros(0, np.int8)
    data = blob(weights.view(np.int32) if not conv.groups else weights, each.astype(np.int32))
    rest = blob(x, table, shift=shift)
    starts = [at + len(data.data) + -len(data.data) % 4 for at in rest.starts]
    raw = data.data + bytes(-len(data.data) % 4) + rest.data
    _, oh, ow, k = step.out
    c = conv.c // conv.groups if conv.groups else conv.c
    numbers = (
        kind, c, *conv.kernel, *conv.stride, *conv.dilation, step.integers.x_zero,
        step.integers.pre, step.low, step.high, starts[1] if step.table is not None else -1,
        starts[0], conv.h, conv.w, conv.pads[0][0], conv.pads[1][0], conv.w * conv.c,
        data.starts[0], data.starts[1], oh, ow, k, k, *more,
    )  # fmt: skip
    return Case(f"{conv.name}+{shift}", numbers, raw, integer_step(step, [x]))


def stored(step: QuantizedNode, conv: Conv) -> tuple[int, Array, tuple[int, ...]]:
    """Groups, or the kernel of depthwise convolutions; weights as the kernel wants them, numbers of
    its own."""
    weights, none = step.integers.weight, (0,) * 5
    if conv.groups:
        few = weights.shape[-1] < 4
        turned = np.ascontiguousarray(weights.transpose(0, 3, 1, 2)) if few else weights
        return conv.groups, turned, none
    if conv.along is None:
        return 0, packed_depthwise(weights[..., 0]), none
    way = ChannelLines(Conv2dGeometry.of(step), conv.along)
    _, rows, columns, k = step.out
    lines, along = way.blocks({"t0": rows, "t1": columns, "c": conv.c})
    numbers = (k // conv.c, 1 - way.along, way.phases, int(lines), int(along))
    return LINES, way.packed(weights), numbers


NONE = ((0, 0), (0, 0))
SHAPES = (
    Conv(16, 16, 64),
    Conv(5, 7, 4),
    Conv(1, 1, 4),
    Conv(2, 1, 8),
    Conv(9, 11, 13),
    Conv(8, 8, 16, pads=NONE),
    Conv(6, 5, 5, pads=((2, 0), (0, 2))),
    Conv(7, 7, 3),
    Conv(4, 4, 1),
    Conv(16, 16, 64, stride=(2, 2)),
    Conv(17, 15, 13, stride=(2, 2)),
    Conv(9, 9, 3, stride=(2, 2)),
    Conv(12, 12, 8, stride=(2, 2), pads=((0, 1), (0, 1))),
    Conv(5, 5, 4, stride=(2, 2), pads=((2, 2), (2, 2))),
    Conv(6, 5, 4, stride=(2, 2), pads=((2, 0), (2, 0))),
    Conv(1, 1, 6, stride=(2, 2)),
    Conv(2, 2, 6, stride=(1, 2)),
    Conv(11, 10, 12, stride=(3, 3)),
    Conv(11, 10, 12, stride=(2, 1)),
    Conv(12, 12, 32, (5, 5), pads=((2, 2), (2, 2))),
    Conv(12, 9, 9, (5, 5), (2, 2), ((2, 2), (2, 2))),
    Conv(1, 64, 16, (1, 21), pads=((0, 0), (10, 10))),
    Conv(1, 50, 6, (1, 3), pads=((0, 0), (1, 1))),
    Conv(10, 4, 7, (4, 2), pads=((1, 2), (0, 1))),
    Conv(9, 9, 8, dilation=(2, 2), pads=((2, 2), (2, 2))),
    Conv(6, 6, 2, (2, 2), pads=NONE),
    Conv(1, 700, 5, (1, 16), pads=((0, 0), (7, 8)), along=1),
    Conv(22, 70, 8, (22, 1), pads=NONE, k=16, along=0),
    Conv(9, 30, 6, (3, 5), (1, 2), ((1, 1), (4, 4)), (2, 3), k=18, along=1),
    Conv(13, 40, 8, (5, 5), pads=((2, 2), (2, 2)), along=0),
    Conv(12, 13, 7, (3, 3), along=1),
    Conv(6, 6, 12, groups=3, k=6),
    Conv(5, 4, 6, groups=6, k=12),
    Conv(4, 5, 16, (1, 1), pads=NONE, groups=2, k=10),
    Conv(5, 5, 10, (3, 2), (2, 1), groups=2, k=4),
    Conv(4, 9, 3, (2, 7), (1, 2), ((1, 0), (3, 5)), (2, 1), groups=3, k=3),
    Conv(3, 9, 14, (1, 5), (2, 3), ((0, 0), (4, 6)), (1, 2), groups=2, k=6),
    Conv(2, 6, 4, (3, 6), (1, 1), ((4, 4), (7, 7)), groups=2, k=2),
)


def every_case() -> list[Case]:
    rng = np.random.default_rng(11)
    drawn = [case_of(rng, conv, shift) for conv in SHAPES for shift in (0, 1, 0)]
    halves = [case_of(rng, conv, in_pairs=True) for conv in SHAPES if conv.stride[1] == 2]
    halves += [case_of(rng, halving(rng), int(rng.integers(4)), in_pairs=True) for _ in range(60)]
    return (
        drawn + halves + [case_of(rng, random_conv(rng), int(rng.integers(4))) for _ in range(80)]
    )


def halving(rng: np.random.Generator) -> Conv:
    """3x3 kernels that step over columns: odd sizes, any padding, one to seventy channels."""
    h, w, c = (int(rng.integers(3, n)) for n in (15, 15, 71))
    top, bottom, left, right = (int(n) for n in rng.integers(0, (3, 3, 2, 2)))
    pads = ((top, bottom), (left, right))
    return Conv(h, w, c, stride=(int(rng.integers(1, 4)), 2), pads=pads)


def random_conv(rng: np.random.Generator) -> Conv:
    """Any sizes with at least one window."""
    while True:
        h, w, c, r, s = (int(rng.integers(1, n)) for n in (14, 14, 24, 6, 6))
        sides = tuple((int(rng.integers(n)), int(rng.integers(n))) for n in (r, s))
        step, wide = (tuple(int(n) for n in rng.integers(1, 4, 2)) for _ in "ab")
        if rng.random() < 0.5:
            r, s, wide, step, sides = 3, 3, (1, 1), (step[0],) * 2, ((1, 1), (1, 1))
        reach = [(k - 1) * d + 1 for k, d in zip((r, s), wide, strict=True)]
        if all(n + sum(p) >= k for n, p, k in zip((h, w), sides, reach, strict=True)):
            along = (None, 0, 1)[int(rng.integers(3))]
            k = c * int(rng.integers(1, 3)) if along is not None else c
            return Conv(h, w, c, (r, s), step, sides, wide, k=k, along=along)  # type: ignore[arg-type]


def measured() -> list[Case]:
    """Sizes whose cycles docs and benchmarks speak of."""
    rng = np.random.default_rng(12)
    return [case_of(rng, conv, simple=True) for conv in SHAPES] + [
        case_of(rng, conv, simple=True)
        for conv in (Conv(48, 48, 8), Conv(24, 24, 32), Conv(6, 6, 128), Conv(3, 3, 256),
                     Conv(48, 48, 16, stride=(2, 2)), Conv(12, 12, 64, stride=(2, 2)))
    ]  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_channels_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("depthwise", KERNELS, cases, tmp_path))


def test_channels_that_are_no_multiple_of_four_take_scratch_as_the_next_one_does() -> None:
    rng = np.random.default_rng(3)
    odd, next_four = (
        depthwise_in_tiles(step, find_chip("gap9").engines[0], Conv2dGeometry.of(step))
        for step in (conv_step(rng, Conv(1, 3, c, (1, 3), pads=((0, 0), (1, 1)))) for c in (13, 16))
    )
    assert odd.scratch(odd.axes) == next_four.scratch(next_four.axes)
