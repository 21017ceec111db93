# SPDX-License-Identifier: Apache-2.0
"""How uses of every operator are drawn: legal shapes and attributes, odd ones among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st
from scipy import signal
from torch.nn import functional as F

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.norm.definition import fraction_bits
from myoedge.operators.pool.definition import adaptive, regular
from myoedge.quantization.calibrate import Range
from tests.ops.case import Case, activated

Draw = Callable[[st.SearchStrategy[Any]], Any]

PATTERNS = ("uniform", "uniform", "edges", "few", "narrow", "lowest", "highest")
SEEDS = st.integers(0, 2**32 - 1)
EXTENTS = st.integers(1, 5)
# The output's range: fits, moved to one side of 0, far too small (all saturates), far too large.
FACTORS = (
    (1.0, 0.0), (1.0, 0.0), (0.5, 0.0), (1.3, 0.0), (1.0, 0.7), (1.0, -0.7), (0.002, 0.0),
    (300.0, 0.0),
)  # fmt: skip
ACTS: tuple[tuple[tuple[Any, ...], ...], ...] = (
    (), (), (), (("clamp", 0.0, math.inf),), (("clamp", 0.0, 6.0),), (("clamp", -0.25, 0.75),),
    (("clamp", -math.inf, 0.5),), (("clamp", 0.0, math.inf), ("clamp", -1.0, 1.0)), (("gelu",),),
    (("silu",),), (("sigmoid",),), (("tanh",),), (("leaky_relu", 0.1),),
    (("abs",), ("affine", -0.5, 1.0)),
)  # fmt: skip
CHAINS = (
    *(act for act in ACTS if act), (("square",),), (("hardswish",),), (("elu", 1.5),), (("sqrt",),),
    (("log",),), (("reciprocal",),), (("affine", 3.0, -1.0),), (("tanh",), ("abs",), ("sqrt",)),
)  # fmt: skip


@st.composite
def span(draw: Draw) -> Range:
    """Ranges with the zero point at -128, at 127 and between, tiny and huge."""
    scale = draw(st.sampled_from([1.0, 1.0, 1.0, 0.3, 6.0, 1e-3, 1e3]))
    kind = draw(st.sampled_from(["positive", "negative", "both", "both", "both"]))
    low, high = draw(st.floats(0.0625, 1.0, width=16)), draw(st.floats(0.0625, 1.0, width=16))
    return {
        "positive": (0.0, high * scale),
        "negative": (-low * scale, 0.0),
        "both": (-low * scale, high * scale),
    }[kind]


def shape(low: int, high: int, largest: int = 5) -> st.SearchStrategy[Shape]:
    """Shapes of ranks low..high; many extents of 1."""
    extent = st.one_of(st.just(1), st.integers(1, largest), st.integers(2, largest))
    return st.integers(low, high).flatmap(lambda rank: st.tuples(*[extent] * rank))


def common(draw: Draw, operands: int, *, act: bool) -> dict[str, Any]:
    return {
        "spans": tuple(draw(span()) for _ in range(operands)),
        "factors": draw(st.sampled_from(FACTORS)),
        "act": draw(st.sampled_from(ACTS)) if act else (),
        "pattern": draw(st.sampled_from(PATTERNS)),
        "seed": draw(SEEDS),
    }


# ---- weighted operators


def drawn_weights(draw: Draw, w: Shape, seed: int) -> tuple[Array, ...]:
    """Weights, perhaps a bias: multiples of a power of two per channel, or any; dead channels."""
    rng = np.random.default_rng(seed + 1)
    flat = rng.integers(-127, 128, (w[0], math.prod(w[1:]))).astype(np.float64)
    flat[:, 0] = rng.choice([-127, 127], w[0])
    flat *= 2.0 ** rng.integers(-9, -4, (w[0], 1))
    kind = draw(st.sampled_from(["exact", "exact", "any", "sparse", "zero channel", "all zero"]))
    if kind == "any":
        flat = rng.normal(size=flat.shape)
    elif kind == "sparse":
        flat[:, 1:] *= rng.random(flat[:, 1:].shape) < 0.2
    elif kind == "zero channel":
        flat[rng.integers(w[0])] = 0.0
    elif kind == "all zero":
        flat[...] = 0.0
    bias = draw(st.sampled_from([None, 0.1, 1.0, 1e3, 1e6]))
    values = (flat.reshape(w),)
    return values if bias is None else (*values, rng.normal(size=w[0]) * bias)


def weight_slack(case: Case) -> Array:
    """Per channel: half a step per weight unless weights are multiples of it, half a bias step."""
    w, x = case.weights[0].astype(np.float32).astype(np.float64), case.params("x0")
    rows = np.abs(w.reshape(w.shape[0], -1))
    bias = np.abs(case.weights[1]) if len(case.weights) > 1 else np.zeros(len(rows))
    step = np.maximum(rows.max(axis=1) / 127, bias / (x.scale * 2**22))
    if case.step["weight"].dtype == np.int16:  # what int32 has room for, docs/integer-semantics.md
        most = 1.75 * 2**30 / (abs(x.zero_point) - x.low) - rows.shape[1] / 2 - 2
        step = np.maximum(
            np.maximum(rows.max(axis=1) / 32767, rows.sum(axis=1) / most), bias / (x.scale * 2**28)
        )
    step = np.full(len(rows), step.max()) if case.per_tensor else step
    exact = np.zeros(len(rows), bool)
    used = step > 0
    units = rows[used] / step[used, None]
    exact[used] = np.abs(units - np.rint(units)).max(axis=1) < 1e-5
    exact[~used] = True
    reach = (x.high - x.low) * x.scale * rows.shape[1]
    return (
        np.where(exact, 1e-4 * rows.max(), step / 2) * reach + step * x.scale / 2
    ) / case.target.scale


@st.composite
def conv(draw: Draw) -> Case:
    rank = draw(st.sampled_from([1, 2, 2]))
    groups, per_group = draw(st.sampled_from([1, 1, 1, 2, 3, 5])), draw(st.integers(1, 4))
    taps = draw(st.sampled_from([1, 1, 2, 3, 4, 5, 7] if groups > 1 else [1, 2, 3, 4, 5, 8, 13]))
    pairs = st.tuples(st.integers(0, 3), st.integers(0, 3))
    few = st.integers(1, 3)
    axis = st.tuples(EXTENTS, st.integers(1, 4), few, few, pairs)
    axes = [draw(axis) for _ in range(rank)]
    spatial, kernel, stride, dilation, pads = (tuple(column) for column in zip(*axes, strict=True))
    pads = tuple(
        (before, after + max(0, (r - 1) * d + 1 - n - before - after))
        for n, r, d, (before, after) in zip(spatial, kernel, dilation, pads, strict=True)
    )
    attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
    drawn = common(draw, 1, act=True)
    w = (groups * per_group, *kernel, taps)

    def meaning(x: torch.Tensor, w: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x.movedim(-1, 1), [edge for pair in pads[::-1] for edge in pair])
        run = (F.conv1d, F.conv2d)[rank - 1]
        y = run(padded, w.movedim(-1, 1), *bias, stride=stride, dilation=dilation, groups=groups)
        return y.movedim(1, -1)

    weights = drawn_weights(draw, w, drawn["seed"])
    shapes = ((draw(st.sampled_from([1, 1, 2])), *spatial, groups * taps),)
    drawn |= {"slack": weight_slack, "per_tensor": draw(st.booleans())}
    return Case("conv", attrs, shapes, meaning=meaning, weights=weights, **drawn)


@st.composite
def linear(draw: Draw) -> Case:
    lead, c = draw(shape(0, 3, 4)), draw(st.sampled_from([1, 2, 3, 5, 8, 17, 150]))
    drawn = common(draw, 1, act=True)
    weights = drawn_weights(draw, (draw(st.integers(1, 9)), c), drawn["seed"])
    drawn |= {"slack": weight_slack, "per_tensor": draw(st.booleans())}
    return Case("linear", {}, ((*lead, c),), meaning=F.linear, weights=weights, **drawn)


@st.composite
def matmul(draw: Draw) -> Case:
    batch_a, batch_b = broadcast_pair(draw, 0, 3)
    m, k = draw(EXTENTS), draw(EXTENTS)
    c = draw(st.sampled_from([1, 2, 3, 5, 9, 100]))
    drawn = common(draw, 2, act=True)
    if draw(st.booleans()):
        shapes = ((*batch_a, m, c), (*batch_b, k, c))
        return Case("matmul", {"b_turned": True}, shapes, meaning=_by_rows, **drawn)
    shapes = ((*batch_a, m, c), (*batch_b, c, k))
    return Case("matmul", {}, shapes, meaning=torch.matmul, **drawn)


def _by_rows(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.matmul(a, b.transpose(-1, -2))


# ---- elementwise operators


def broadcast_pair(draw: Draw, low: int, high: int) -> tuple[Shape, Shape]:
    """Two shapes that broadcast: extents of 1 and missing leading axes on either side."""
    whole = draw(shape(low, high, 4))

    def part() -> Shape:
        own = tuple(n if draw(st.booleans()) else 1 for n in whole)
        return own[draw(st.integers(0, len(own))) :] if draw(st.booleans()) else own

    pair = (whole, part()) if draw(st.booleans()) else (part(), whole)
    return pair if draw(st.booleans()) else (whole, whole)


def binary(op: str, meaning: Callable[..., torch.Tensor]) -> st.SearchStrategy[Case]:
    @st.composite
    def strategy(draw: Draw) -> Case:
        shapes = broadcast_pair(draw, 1, 5)
        return Case(op, {}, shapes, meaning=meaning, slack=term_slack, **common(draw, 2, act=True))

    return strategy()


def term_slack(case: Case) -> float:
    """A sum's terms share a shift: where one factor is large the other has few bits."""
    if case.op == "mul":
        return 0.0
    largest = max(case.params(n).scale for n in case.names) / case.target.scale
    return 255 * 2 * max(largest, 1.0) / 2**15


def along(values: torch.Tensor, rank: int, axis: int) -> torch.Tensor:
    return values.reshape([-1 if d == axis else 1 for d in range(rank)])


def channel_slack(case: Case) -> float:
    """A large offset leaves fewer bits for the factor, a large factor for itself."""
    x, step = case.params("x0"), case.target.scale
    factor = float(np.abs(case.weights[0]).max()) * x.scale / step
    offset = float(np.abs(case.weights[1]).max()) / step if case.op == "affine" else 0.0
    return 255 * max(factor, 1.0) / 2**15 + 255 * (offset + 255 * factor) / 2**30


@st.composite
def affine(draw: Draw) -> Case:
    x, drawn = draw(shape(1, 4)), common(draw, 1, act=True)
    axis = draw(st.integers(0, len(x) - 1))
    rng = np.random.default_rng(drawn["seed"] + 1)
    scale = rng.normal(size=x[axis]) * draw(st.sampled_from([0.0, 1e-3, 1.0, 50.0]))
    far = drawn["spans"][0][1] * np.abs(scale)
    offset = rng.normal(size=x[axis]) - draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])) * far

    def meaning(x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        return x * along(scale, x.ndim, axis) + along(offset, x.ndim, axis)

    drawn |= {"weights": (scale, offset), "slack": channel_slack}
    return Case("affine", {"axis": axis}, (x,), meaning=meaning, **drawn)


@st.composite
def prelu(draw: Draw) -> Case:
    x, drawn = draw(shape(1, 4)), common(draw, 1, act=True)
    axis = draw(st.integers(0, len(x) - 1))
    slope = np.random.default_rng(drawn["seed"] + 1).normal(size=x[axis])
    slope *= draw(st.sampled_from([0.0, 0.2, 1.0, 30.0]))

    def meaning(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        turned = x.movedim(axis, 1 if x.ndim > 1 else 0)
        if x.ndim == 1:  # torch takes the only axis for a batch
            return F.prelu(x[None], slope)[0]
        return F.prelu(turned, slope).movedim(1, axis)

    drawn |= {"weights": (slope,), "slack": channel_slack}
    return Case("prelu", {"axis": axis}, (x,), meaning=meaning, **drawn)


@st.composite
def table(draw: Draw) -> Case:
    chain = draw(st.sampled_from(CHAINS))
    x = draw(st.one_of(shape(0, 5), st.just((300,))))

    drawn = common(draw, 1, act=False)
    return Case("table", {"chain": chain}, (x,), meaning=lambda x: activated(chain, x), **drawn)


# ---- windows, reductions, rows


def pool(op: str) -> st.SearchStrategy[Case]:
    @st.composite
    def strategy(draw: Draw) -> Case:
        rank = draw(st.sampled_from([1, 2, 2]))
        make = adaptive_windows if draw(st.integers(0, 3)) == 0 else regular_windows
        spatial, attrs, run = make(draw, op, rank)

        def meaning(x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = run(x.movedim(-1, 1)).movedim(1, -1)
            return y

        shapes = ((draw(st.sampled_from([1, 1, 2])), *spatial, draw(st.integers(1, 6))),)
        return Case(op, attrs, shapes, meaning=meaning, **common(draw, 1, act=op == "avg_pool"))

    return strategy()


def adaptive_windows(draw: Draw, op: str, rank: int) -> tuple[Shape, dict[str, Any], Any]:
    spatial = tuple(draw(st.integers(1, 9)) for _ in range(rank))
    out = tuple(draw(st.integers(1, 6)) for _ in range(rank))
    run = getattr(F, f"adaptive_{op}{rank}d")
    windows = tuple(adaptive(n, m) for n, m in zip(spatial, out, strict=True))
    return spatial, {"windows": windows}, lambda x: run(x, out)


def regular_windows(draw: Draw, op: str, rank: int) -> tuple[Shape, dict[str, Any], Any]:
    axes = []
    for _ in range(rank):
        size = draw(st.integers(1, 5))
        pad = draw(st.integers(0, size // 2))
        n = draw(st.integers(max(1, size - 2 * pad), 8))
        axes.append((n, size, draw(st.integers(1, 4)), pad))
    spatial, size, stride, pad = (tuple(column) for column in zip(*axes, strict=True))
    ceil, count = draw(st.booleans()), draw(st.booleans())
    windows = tuple(regular(*axis, ceil=ceil, count_pad=count) for axis in axes)
    options: dict[str, Any] = {"stride": stride, "padding": pad, "ceil_mode": ceil}
    attrs: dict[str, Any] = {"windows": windows}
    if op == "avg_pool":
        options["count_include_pad"] = count
        if rank == 2 and draw(st.integers(0, 3)) == 0:
            attrs["divisor"] = options["divisor_override"] = draw(st.integers(1, 12))
    run = getattr(F, f"{op}{rank}d")
    return spatial, attrs, lambda x: run(x, size, **options)


def reduction(op: str) -> st.SearchStrategy[Case]:
    @st.composite
    def strategy(draw: Draw) -> Case:
        x = draw(st.one_of(shape(1, 5), st.just((2, 200, 3))))
        first = draw(st.integers(0, len(x) - 1))
        axes = tuple(range(first, draw(st.integers(first + 1, len(x)))))
        keep = draw(st.booleans())
        run = getattr(torch, op)
        attrs = {"axes": axes, "keepdim": keep}
        drawn = common(draw, 1, act=True)
        return Case(op, attrs, (x,), meaning=lambda x: run(x, axes, keepdim=keep), **drawn)

    return strategy()


def row_shape(draw: Draw) -> tuple[Shape, int]:
    x = draw(st.one_of(shape(1, 4, 12), st.sampled_from([(1000,), (2, 1000), (1000, 2), (3000,)])))
    return x, draw(st.integers(0, len(x) - 1))


def rows(op: str) -> st.SearchStrategy[Case]:
    @st.composite
    def strategy(draw: Draw) -> Case:
        x, axis = row_shape(draw)
        run, drawn = getattr(torch, op), common(draw, 1, act=False)
        wide = draw(st.sampled_from([1.0, 8.0, 60.0]))
        drawn["spans"] = tuple((low * wide, high * wide) for low, high in drawn["spans"])
        slack = {"softmax": softmax_slack, "log_softmax": log_softmax_slack}[op]
        return Case(op, {"axis": axis}, (x,), meaning=lambda x: run(x, axis), slack=slack, **drawn)

    return strategy()


@st.composite
def softmax(draw: Draw) -> Case:
    """Without a mask, or with one that is alike along leading axes."""
    case = draw(rows("softmax"))
    if draw(st.booleans()):
        return case
    axis, (x,) = case.attrs["axis"], case.shapes
    alike = draw(st.integers(0, axis % len(x)))
    attrs = {"axis": axis, "masked": True, "flat": draw(st.booleans())}
    mask = (*[1] * alike, *x[alike:])

    def meaning(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return masked(x, mask, axis, flat=attrs["flat"]).softmax(axis)

    changes = {"attrs": attrs, "shapes": (x, mask), "meaning": meaning}
    return replace(case, spans=(*case.spans, (0.0, 1.0)), **changes)


def masked(scores: torch.Tensor, mask: torch.Tensor, axis: int, *, flat: bool) -> torch.Tensor:
    """Scores, minus infinity where a mask hides them; a row that is hidden whole is 0, or kept."""
    hidden = (mask < 0.5).expand(scores.shape)
    blind = hidden.all(axis, keepdim=True)
    return scores.masked_fill(hidden & ~blind, -math.inf).masked_fill(blind & flat, 0.0)


@st.composite
def magnitude(draw: Draw) -> Case:
    """Of one scale and zero point, or of two of each."""
    x, drawn = draw(shape(0, 4)), common(draw, 2, act=True)
    if draw(st.booleans()):
        drawn["spans"] = drawn["spans"][:1] * 2
    return Case("magnitude", {}, (x, x), meaning=torch.hypot, slack=magnitude_slack, **drawn)


def magnitude_slack(case: Case) -> float:
    """A root rounded down, of squares times whole factors: where one of them is far below 1, what
    it leaves out is still below half a step of 16 bits times the other's range."""
    a, b = (case.params(name) for name in case.names)
    most = math.hypot(*(max(q.high - q.zero_point, q.zero_point - q.low) * q.scale for q in (a, b)))
    rounding = 2.0 * most / 65536
    lost = math.sqrt(255**2 / 2) * most / 65536
    return (rounding + lost) / case.target.scale


@st.composite
def rotary(draw: Draw) -> Case:
    period, repeats = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    pairs = draw(st.sampled_from([1, 2, 3, 8, 32]))
    lead, behind = draw(shape(0, 2, 3)), draw(shape(0, 1, 3))
    x = (*lead, period * repeats, *behind, 2 * pairs)
    drawn = common(draw, 1, act=False)
    angle = np.random.default_rng(drawn["seed"] + 1).normal(size=(period, pairs)) * 3
    drawn |= {"weights": (np.cos(angle), np.sin(angle)), "slack": rotary_slack}
    axis = len(lead)

    def meaning(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        thin = (period * repeats, *(1 for _ in behind), pairs)
        turn = torch.complex(cos, sin).repeat(repeats, 1).reshape(thin)
        pairs_ = torch.view_as_complex(x.reshape(*x.shape[:-1], pairs, 2).contiguous())
        return torch.view_as_real(pairs_ * turn).flatten(-2)

    return Case("rotary", {"axis": axis}, (x,), meaning=meaning, **drawn)


def rotary_slack(case: Case) -> float:
    """Two factors of 15 bits, or of fewer where the output's range is far smaller."""
    return 2 * 255 * 2.0 ** -(1 + case.step["shift"])


@st.composite
def attention(draw: Draw) -> Case:
    rows, keys = draw(st.integers(1, 9)), draw(st.sampled_from([1, 2, 3, 5, 8, 13, 16]))
    heads, width = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 4, 8, 12, 64]))
    columns = draw(st.sampled_from([1, 4, 8, 10]))
    lead = draw(st.integers(1, 2))
    window = draw(st.sampled_from([None, None, (2**20, 0), (1, 1), (3, 2**20)]))
    keys = max(keys, rows) if window else keys  # every row sees a key
    attrs = {"scale": draw(st.sampled_from([0.125, 1.0, 1e-3])), "window": window}
    biased = draw(st.booleans())
    is_masked, flat = draw(st.booleans()), draw(st.booleans())
    attrs |= {"masked": True, "flat": flat} if is_masked else {}
    q, k = (lead, rows, heads, width), (lead, keys, heads, width)
    v = (lead, heads, columns, -(-keys // 4) * 4)
    alone = (draw(st.sampled_from([1, lead])), draw(st.sampled_from([1, heads])))
    shapes = (q, k, v, *[(*alone, rows, keys)] * (biased + is_masked))
    drawn = common(draw, len(shapes), act=False)
    if biased:  # of the order of the scores
        reach = math.prod(max(map(abs, span)) for span in drawn["spans"][:2]) * width
        factor = reach * attrs["scale"] * draw(st.sampled_from([0.05, 1.0, 4.0]))
        low, high = draw(st.sampled_from([(-1.0, 1.0), (0.0, 1.0), (-1.0, 0.0)]))
        drawn["spans"] = (*drawn["spans"][:3], (low * factor, high * factor))
    if is_masked:
        drawn["spans"] = (*drawn["spans"][: 3 + biased], (0.0, 1.0))

    def meaning(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *more: torch.Tensor) -> Any:
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) * attrs["scale"]
        scores = scores + more[0] if biased else scores
        away = torch.arange(keys) - torch.arange(rows)[:, None]
        outside = (away < -window[0]) | (away > window[1]) if window else away > keys
        seen = torch.ones(scores.shape) if not is_masked else more[-1].expand(scores.shape)
        seen = seen.masked_fill(outside, 0.0)
        blind = (seen < 0.5).all(-1, keepdim=True) & ~outside
        scores = scores.masked_fill(blind & flat, 0.0) if is_masked else scores
        scores = scores.masked_fill((seen < 0.5) & ~blind, -math.inf)
        return torch.einsum("bhnm,bhem->bnhe", scores.softmax(-1), v[..., :keys])

    return Case("attention", attrs, shapes, meaning=meaning, slack=attention_slack, **drawn)


def attention_slack(case: Case) -> float:
    """An exponential is off by 1.3 % of itself and by half of 1/255 of the largest."""
    v = case.params("x2")
    keys = case.shapes[1][1]
    relative = 0.025 + keys * 0.5 / 255 + (0.01 if len(case.shapes) > 3 else 0.0)
    return min(2 * relative, 1.0) * 255 * v.scale / case.target.scale


def norm(op: str) -> st.SearchStrategy[Case]:
    @st.composite
    def strategy(draw: Draw) -> Case:
        length = draw(st.sampled_from([1, 2, 3, 4, 7, 16, 64, 192, 768, 1023]))
        x = (*draw(shape(0, 3, 4)), length)
        drawn = common(draw, 1, act=False)
        rng = np.random.default_rng(drawn["seed"] + 1)
        gain = rng.normal(size=length) * draw(st.sampled_from([0.0, 1.0, 30.0]))
        offset = rng.normal(size=length) * draw(st.sampled_from([0.0, 1.0, 30.0]))
        eps = draw(st.sampled_from([1e-5, 1e-12, 0.1]))
        layer = op == "layer_norm"
        drawn |= {"weights": (gain, offset) if layer else (gain,), "slack": norm_slack}

        def meaning(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
            run = F.layer_norm if layer else F.rms_norm
            return run(x, (length,), *weights, eps=eps)

        return Case(op, {"eps": eps}, (x,), meaning=meaning, **drawn)

    return strategy()


def norm_slack(case: Case) -> Array:
    """The normalised number has so many bits after its point; its root 14; eps is whole."""
    x = case.data[0].astype(np.float64)
    middle = x.mean(-1, keepdims=True) if case.op == "layer_norm" else case.params("x0").zero_point
    spread = np.maximum(np.square(x - middle).sum(-1, keepdims=True) * x.shape[-1], 1.0)
    normal = np.abs(x - middle) * x.shape[-1] / np.sqrt(spread)
    error = 2.0 ** -fraction_bits(x.shape[-1]) + normal * (2.0**-13 + 0.25 / spread)
    gain, largest = np.abs(case.weights[0]), np.abs(case.weights[0]).max()
    return (gain * error + normal * largest * 2.0**-15) / case.target.scale


def softmax_slack(case: Case) -> float:
    """Each exponential is rounded to 2**-15: the sum is off by half of that per element."""
    return 256 * case.shapes[0][case.attrs["axis"]] / 2**16


def log_softmax_slack(case: Case) -> float:
    """As softmax; ln from 256 entries (1/512) of Q12; two factors that share a shift."""
    row, step = case.shapes[0][case.attrs["axis"]], case.target.scale
    factor = max(case.params("x0").scale, 1 / 4096) / step
    shared = 255 * max(factor, 1.0) / 2**14 + 2 * max(factor, 1 / 64)
    return (row / 2**16 + 1 / 512 + 1 / 256) / step + shared


@st.composite
def argmax(draw: Draw) -> Case:
    x, axis = row_shape(draw)
    keep = draw(st.booleans())
    attrs = {"axis": axis, "keepdim": keep}

    # Of several equal ones the first is meant; torch leaves that open.
    def meaning(x: torch.Tensor) -> torch.Tensor:
        place = along(torch.arange(x.shape[axis], 0, -1), x.ndim, axis)
        best = (x == x.amax(axis, keepdim=True)) * place
        return best.argmax(axis, keepdim=keep)

    drawn = common(draw, 1, act=False) | {"factors": (1.0, 0.0)}
    return Case("argmax", attrs, (x,), meaning=meaning, **drawn)


# ---- operators that move bytes


def moved(
    draw: Draw, op: str, attrs: dict[str, Any], shapes: tuple[Shape, ...], meaning: Any
) -> Case:
    """int32 too: indices are moved like anything else."""
    drawn = common(draw, len(shapes), act=False)
    dtype = draw(st.sampled_from(["float32", "float32", "int32"])) if op != "pad" else "float32"
    return Case(op, attrs, shapes, meaning=meaning, dtype=dtype, **drawn)


@st.composite
def reshape(draw: Draw) -> Case:
    x = draw(shape(0, 5))
    ones = draw(st.integers(0, 2))
    parts = list(draw(st.permutations([*x, *[1] * ones])))
    if len(parts) > 1 and draw(st.booleans()):
        parts = [parts[0] * parts[1], *parts[2:]]
    return moved(draw, "reshape", {"shape": tuple(parts)}, (x,), lambda x: x.reshape(parts))


@st.composite
def transpose(draw: Draw) -> Case:
    x = draw(shape(1, 5))
    perm = tuple(draw(st.permutations(range(len(x)))))
    return moved(draw, "transpose", {"perm": perm}, (x,), lambda x: x.permute(perm))


@st.composite
def slice_(draw: Draw) -> Case:
    x = draw(shape(1, 5, 7))
    picks = []
    for n in x:
        start, step = draw(st.integers(0, n - 1)), draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        stop = draw(st.integers(start + 1, n)) if step > 0 else draw(st.integers(-1, start - 1))
        picks.append((start, stop, step))

    def meaning(x: torch.Tensor) -> torch.Tensor:
        for axis, cut in enumerate(picks):
            x = x.index_select(axis, torch.tensor(list(range(*cut))))
        return x

    return moved(draw, "slice", {"cuts": tuple(picks)}, (x,), meaning)


@st.composite
def expand(draw: Draw) -> Case:
    x = draw(shape(0, 4, 3))
    grown = tuple(draw(st.integers(1, 4)) if n == 1 else n for n in x)
    out = (*draw(shape(0 if x else 1, 5 - len(x), 3)), *grown)
    return moved(draw, "expand", {"shape": out}, (x,), lambda x: x.expand(out))


@st.composite
def pad(draw: Draw) -> Case:
    x = draw(shape(1, 4, 4))
    pads = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in x)
    value = draw(st.sampled_from([0.0, 0.0, 1.0, -1.0, 0.3, -7.5, 100.0]))
    flat = [edge for pair in pads[::-1] for edge in pair]
    attrs = {"pads": pads, "value": value}
    return moved(draw, "pad", attrs, (x,), lambda x: F.pad(x, flat, value=value))


@st.composite
def concat(draw: Draw) -> Case:
    first = draw(shape(1, 5))
    axis = draw(st.integers(0, len(first) - 1))
    count = draw(st.integers(1, 4))
    shapes = tuple(
        tuple(draw(EXTENTS) if d == axis else n for d, n in enumerate(first)) for _ in range(count)
    )
    return moved(draw, "concat", {"axis": axis}, shapes, lambda *xs: torch.cat(xs, axis))


# ---- recurrent layers


@st.composite
def gates(draw: Draw) -> Case:
    lead, c = draw(shape(1, 3, 4)), draw(st.sampled_from([1, 2, 3, 4, 5, 8, 17, 150]))
    drawn = common(draw, 1, act=False)
    weights = drawn_weights(draw, (draw(st.integers(1, 9)), c), drawn["seed"])
    drawn |= {"slack": gates_slack, "per_tensor": draw(st.booleans())}
    return Case("gates", {}, ((*lead, c),), meaning=F.linear, weights=weights, **drawn)


def gates_slack(case: Case) -> Array:
    """Of the weights; and a factor of 15 bits, or what a pre-shift drops, over 16 bits."""
    bits = 2.0 ** -np.floor(np.log2(np.maximum(case.step["mult"], 1)))
    dropped = np.ldexp(case.step["mult"].astype(np.float64), -case.step["shift"])
    return weight_slack(case) + 2**14 * bits * 2 + dropped * (case.step["pre"] > 0) + 1


def recurrent(op: str) -> st.SearchStrategy[Case]:
    """LSTMs and GRUs of a few units; the weights of most forget what was long ago."""
    per_unit, states = (3, 1) if op.startswith("gru") else (4, 2)

    @st.composite
    def strategy(draw: Draw) -> Case:
        steps, batch = draw(st.integers(1, 6)), draw(st.sampled_from([1, 1, 1, 2, 3]))
        units = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 17]))
        reverse, size = draw(st.booleans()), draw(st.sampled_from([0.1, 0.1, 1.0, 8.0]))
        drawn = common(draw, states + 1, act=False)
        rng = np.random.default_rng(drawn["seed"] + 1)
        r = rng.normal(size=(per_unit * units, units)) * size / units
        bias = (rng.normal(size=per_unit * units) * size,) if op.startswith("gru") else ()
        shapes = ((steps, batch, per_unit * units), *((batch, units),) * states)
        kinds = ("int16", *("float32",) * states)
        drawn |= {"kinds": kinds, "weights": (r, *bias), "slack": recurrent_slack}
        attrs = {"reverse": reverse}
        attrs |= {"reset_first": draw(st.booleans())} if op.startswith("gru") else {}
        early = attrs.get("reset_first", False)
        meaning = _gru_reset_first(op, reverse) if early else _by_cells(op, reverse)
        return Case(op, attrs, shapes, meaning=meaning, **drawn)

    return strategy()


def _by_cells(op: str, reverse: bool) -> Callable[..., torch.Tensor]:
    """torch's own cells, to which what comes in is given ready: the identity as its weights."""

    def meaning(x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        per_unit = 3 if op.startswith("gru") else 4
        states, (r, *bias) = (rest[:1], rest[1:]) if op.startswith("gru") else (rest[:2], rest[2:])
        units = r.shape[1]
        order = torch.arange(per_unit * units).reshape(units, per_unit).T.reshape(-1)
        eye = torch.eye(per_unit * units, dtype=x.dtype)
        none = torch.zeros(per_unit * units, dtype=x.dtype)
        own = (eye, r[order], none, bias[0][order] if bias else none)
        gru, found = op.startswith("gru"), []
        h: torch.Tensor | tuple[torch.Tensor, ...] = states[0] if gru else tuple(states)
        step = torch.gru_cell if gru else torch.lstm_cell
        for now in x.flip(0) if reverse else x:
            h = step(now[:, order], h, *own)
            found.append(h if gru else h[0])
        if op == "lstm_cell":
            return h[1]
        if op == "gru_state":
            return h
        return torch.stack(found[::-1] if reverse else found)

    return meaning


def _gru_reset_first(op: str, reverse: bool) -> Callable[..., torch.Tensor]:
    """The formulas of ONNX's GRU with linear_before_reset = 0, which torch has not."""

    def meaning(x: torch.Tensor, h: torch.Tensor, r: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        of_r, of_z, of_n = r.reshape(-1, 3, r.shape[1]).unbind(1)
        b_r, b_z, b_n = b.reshape(-1, 3).unbind(1)
        found = []
        for now in x.flip(0) if reverse else x:
            x_r, x_z, x_n = now.reshape(*h.shape, 3).unbind(-1)
            reset = torch.sigmoid(x_r + h @ of_r.T + b_r)
            update = torch.sigmoid(x_z + h @ of_z.T + b_z)
            new = torch.tanh(x_n + (reset * h) @ of_n.T + b_n)
            h = (1 - update) * new + update * h
            found.append(h)
        if op == "gru_state":
            return h
        return torch.stack(found[::-1] if reverse else found)

    return meaning


def recurrent_slack(case: Case) -> Array:
    """What roundings may add up to, step after step; see _grown."""
    steps = case.shapes[0][0]
    errors = _grown(case, steps)
    alone = case.op in ("lstm_cell", "gru_state")
    last = errors[-1][1] if alone else np.array([h for h, _ in errors])
    if alone:
        return np.asarray(last / case.target.scale)
    ordered = last[::-1] if case.attrs["reverse"] else last
    return np.asarray(ordered[:, None, None] / case.target.scale)


def _grown(case: Case, steps: int) -> list[tuple[float, float]]:
    """Bounds on the errors of h and c (a GRU's h with 16 bits) behind every step.

    A gate's sum is off by what its factor, weights (half a step each) and h are; the functions pass
    on a quarter of it (sigmoid) or all (tanh), and are off by 2**-11 themselves.
    """
    r = np.abs(case.weights[0])
    total, weights = float(r.sum(axis=1).max()), float(r.max()) / 254 * r.shape[1]
    if case.op.startswith("gru"):
        weights += float(np.abs(case.weights[1]).max()) / 254
    first = [case.params(name).scale for name in case.names[1:]]
    reach = [255 * scale for scale in first]
    outside = max(reach[0] - 1.0, 0.0)  # h is kept to +-1
    beyond = outside if case.op == "gru_state" else max(reach[-1] - 15.9, 0.0)
    h, c = 2.0**-7 + outside, 2.0**-11 + beyond
    largest, found = min(reach[-1], 16.0), []
    for _ in range(steps):
        gate = 2.0**-8 * (1 + total) + weights + total * h
        if case.op.startswith("gru"):
            size = max(float(total), 1.0)
            new = gate * (1 + size / 4) + 2.0**-10
            c = c + new + (2 + max(reach[0] - 1.0, 0.0)) * (gate / 4 + 2.0**-10) + 2.0**-13
            h = c + 2.0**-8
        else:
            c = c + largest * (gate / 4 + 2.0**-10) + gate * 1.25 + 2.0**-9
            largest = min(largest + 1.0, 16.0)
            h = c + gate / 4 + 2.0**-9 + 2.0**-8
        found.append((h, c))
    return found


# ---- spectrograms

CURVES: tuple[tuple[tuple[Any, ...], ...], ...] = (
    (), (("square",),), (("abs",), ("pow", 2.0), ("affine", 0.05, 1e-6), ("log10",)),
    (("square",), ("log1p",), ("affine", -2.0, 1.0)), (("sqrt",),),
    (("square",), ("clamp", 1e-4, math.inf), ("log",)),
)  # fmt: skip


@st.composite
def spectrogram(draw: Draw) -> Case:
    length = draw(st.sampled_from([8, 16, 32, 64, 256]))
    hop, lanes = draw(st.integers(1, length + 3)), draw(shape(0, 2, 3))
    samples = length + draw(st.integers(0, 4 * hop))
    drawn = common(draw, 1, act=False)
    rng = np.random.default_rng(drawn["seed"] + 1)
    count = math.prod(lanes)
    window = np.hanning(length + 1)[:-1] if draw(st.booleans()) else rng.uniform(0, 2, length)
    scale, offset = rng.choice([0.5, 1.0, -1.5], count), rng.normal(size=count)
    chain = draw(st.sampled_from(CURVES))
    attrs = {"hop": hop, "chain": chain}

    def meaning(x: torch.Tensor, w: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(samples, -1).T
        found = torch.stft(rows, length, hop, window=w, center=False, return_complex=True)
        y = activated(chain, found.abs()) * a[:, None, None] + b[:, None, None]
        return y.permute(2, 0, 1).reshape(-1, *lanes, length // 2 + 1)

    drawn |= {"weights": (window, scale, offset), "slack": curve_slack}
    return Case("spectrogram", attrs, ((samples, *lanes),), meaning=meaning, **drawn)


def curve_slack(case: Case) -> Array:
    """Of chords between 16 points an octave, which lie within the output's range and an eighth of
    it beyond, and of magnitudes that some steps of 2**-15 blur."""
    window, scale, offset = case.weights
    unit = case.params("x0").scale * len(window) * float(np.abs(window).max()) * 2.0**-15
    attrs = {**case.attrs, "chain": ()}
    ones, none = np.ones(scale.size), np.zeros(scale.size)
    x = case.dequantized[0]
    size = OPS["spectrogram"].real(attrs, x, window, ones, none).astype(np.float64) / unit

    def f(size: Array) -> Array:
        return activated(case.attrs["chain"], torch.as_tensor(size * unit)).numpy()

    power = np.maximum(size, 1.0) ** 2
    octave = np.exp2(np.floor(np.log2(power)))
    first = octave * (1 + np.floor((power / octave - 1) * 16) / 16)
    points = (np.sqrt(n) for n in (first, first + octave / 16))
    low, high = (within_reach(case, f(point), scale, offset) for point in points)
    chord = low + (high - low) * (power - first) / (octave / 16)
    blur = 4 * np.log2(len(window)) + size * 2.0**-12  # floors; 15 bits, 256 parts
    around = f(np.maximum(size + blur, 1.0)) - f(np.maximum(size - blur, 1.0))
    steps = (np.abs(chord - f(np.maximum(size, 1.0))) + np.abs(around)) / case.target.scale
    lanes = np.abs(scale).reshape(*case.shapes[0][1:], 1)
    return np.asarray(steps * lanes + 0.1)


def within_reach(case: Case, y: Array, scale: Array, offset: Array) -> Array:
    """Where a curve's points lie that would be far beyond what any lane can give."""
    y_q = case.target
    edges = (np.array([[y_q.low], [y_q.high]]) - y_q.zero_point) * y_q.scale
    seen = (edges - offset) / scale
    beyond = np.ptp(seen) / 8
    return np.clip(y, seen.min() - beyond, seen.max() + beyond)


@st.composite
def biquads(draw: Draw, kept: bool = False) -> Case:
    """Sections with poles inside the unit circle, some of them sharp."""
    x = draw(shape(1, 3, 4))
    axis = draw(st.integers(0, len(x) - 1))
    x = tuple(draw(st.integers(1, 40)) if d == axis else n for d, n in enumerate(x))
    drawn = common(draw, 1, act=not kept)
    rng = np.random.default_rng(drawn["seed"] + 1)
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        radius = draw(st.sampled_from([0.3, 0.7, 0.95, 0.99]))
        angle = rng.uniform(0, np.pi, 2)
        a0 = draw(st.sampled_from([1.0, 2.0]))
        poles = np.array([1.0, -2 * radius * np.cos(angle[0]), radius**2])
        zeros = np.array([1.0, -2 * np.cos(angle[1]), 1.0]) * rng.uniform(0.02, 0.8)
        rows.append(a0 * np.concatenate([zeros, poles]))
    assume(_peak(np.array(rows)) < 2.0**14)  # more has no room in 32 bits: E117
    drawn |= {"weights": (np.array(rows),), "slack": biquads_slack}

    def meaning(x: torch.Tensor, sections: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(signal.sosfilt(_over_a0(sections.numpy()), x.numpy(), axis))

    def latest(x: torch.Tensor, sections: torch.Tensor) -> torch.Tensor:
        """Of the samples and of every section's results the last one and the one before."""
        rows = _over_a0(sections.numpy())
        some = [x.numpy(), *(signal.sosfilt(rows[: i + 1], x, axis) for i in range(len(rows)))]
        pairs = np.pad(np.stack(some), [(0, 0), *((2 * (d == axis), 0) for d in range(x.ndim))])
        found = np.take(pairs, [pairs.shape[axis + 1] - 1, pairs.shape[axis + 1] - 2], axis + 1)
        return torch.as_tensor(np.moveaxis(found, axis + 1, 1))

    if kept:
        drawn["unit"] = lambda case: case.params("x0").scale * 2.0 ** -case.step["guard"]
        return Case("biquads_past", {"axis": axis}, (x,), meaning=latest, **drawn)
    return Case("biquads", {"axis": axis}, (x,), meaning=meaning, **drawn)


def _peak(sections: Array) -> float:
    """The largest sum of a section's impulse response from the input on."""
    rows, impulse = _over_a0(sections), np.zeros(4000)
    impulse[0] = 1.0
    return max(np.abs(signal.sosfilt(rows[: i + 1], impulse)).sum() for i in range(len(rows)))


def _over_a0(sections: Array) -> Array:
    return np.asarray(sections / sections[:, 3:4])


def biquads_slack(case: Case) -> Array:
    """Of coefficients and sums that are rounded, which each section rings on; of the factor."""
    sections = _over_a0(case.weights[0].astype(np.float32).astype(np.float64))
    impulse = np.zeros(4000)
    impulse[0] = 1.0
    rings = [np.abs(signal.sosfilt(sections[i:], impulse)).sum() for i in range(len(sections))]
    poles = [np.abs(signal.lfilter([1.0], s[3:], impulse)).sum() for s in sections]
    noise = sum(r * p for r, p in zip(rings, poles, strict=True)) * 2.0 ** -case.step["guard"]
    large = np.abs(case.data[0]).max(initial=1) * max(rings) * 2.0**-27 * sum(poles) * 10
    step = case.unit(case) if case.op == "biquads_past" else case.target.scale
    return np.asarray((noise + large) * case.params("x0").scale / step)


@st.composite
def ctc_greedy(draw: Draw) -> Case:
    """Few classes and levels, so that repetitions, blanks and equal values are many."""
    t, n, c = draw(st.integers(1, 9)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    blank = draw(st.integers(0, c - 1))

    def meaning(x: torch.Tensor) -> torch.Tensor:
        y = torch.full((n, 1 + t), -1, dtype=torch.int32)
        for row, best in zip(y, x.argmax(-1).T, strict=True):
            seen = torch.unique_consecutive(best)
            symbols = seen[seen != blank]
            row[0] = len(symbols)
            row[1 : 1 + len(symbols)] = symbols
        return y

    drawn = common(draw, 1, act=False)
    return Case("ctc_greedy", {"blank": blank}, ((t, n, c),), meaning=meaning, **drawn)


@st.composite
def classes(draw: Draw, op: str) -> Case:
    """Indices as argmax gives them: few classes, so that repetitions and ties are many."""
    count, frames = draw(st.integers(1, 4)), draw(st.integers(1, 5)) if op == "majority" else 2
    before = draw(st.integers(0, frames - 1))
    x = draw(shape(1, 3, 4))
    axis = draw(st.integers(0, len(x) - 1))
    x = tuple(draw(st.integers(frames, 12)) if d == axis else n for d, n in enumerate(x))
    blank = draw(st.integers(0, count - 1))
    attrs = {"axis": axis, "before": before}
    attrs |= {"frames": frames, "classes": count} if op == "majority" else {"blank": blank}

    def vote(x: torch.Tensor) -> torch.Tensor:
        """torch's mode is the smallest of several."""
        made = range(x.shape[axis] + before - frames + 1)
        spans = [(max(t - before, 0), t - before + frames) for t in made]
        found = [x.narrow(axis, low, high - low).mode(axis).values for low, high in spans]
        return torch.stack(found, axis)

    def new(x: torch.Tensor) -> torch.Tensor:
        was = torch.cat([torch.full_like(x.narrow(axis, 0, 1), -1)] * before + [x], axis)
        same = was.narrow(axis, 0, was.shape[axis] - 1)
        now = was.narrow(axis, 1, was.shape[axis] - 1)
        return now.where((now != same) & (now != blank), -torch.ones_like(now))

    drawn = common(draw, 1, act=False) | {"dtype": "int32", "classes": count}
    meaning = vote if op == "majority" else new
    return Case(op, attrs, (x,), meaning=meaning, **drawn)


@st.composite
def running(draw: Draw, op: str) -> Case:
    """Signals and what they begin with, of any size."""
    x = draw(shape(1, 3, 4))
    axis = draw(st.integers(0, len(x) - 1))
    x = tuple(draw(st.integers(1, 40)) if d == axis else n for d, n in enumerate(x))
    drawn = common(draw, 1, act=op == "running_norm")
    share = draw(st.sampled_from([0.25, 0.1, 0.01, 1 / 4096]))
    largest = max(abs(edge) for edge in drawn["spans"][0])
    start = max(largest, 1e-6) * draw(st.sampled_from([0.01, 0.1, 1.0]))
    attrs = {"axis": axis, "share": share, "start": start}

    def power(x: torch.Tensor) -> Array:
        """A filter of first order, as scipy has it, from its steady state on."""
        squares = np.moveaxis(x.numpy() ** 2, axis, -1)
        begin = np.full((*squares.shape[:-1], 1), (1 - share) * start**2)
        found, _ = signal.lfilter([share], [1.0, share - 1.0], squares, zi=begin)
        return np.asarray(np.moveaxis(found, -1, axis))

    def meaning(x: torch.Tensor) -> torch.Tensor:
        return x / torch.as_tensor(power(x)).sqrt()

    def last(x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(np.take(power(x), -1, axis))

    if op == "running_power":
        drawn["unit"] = lambda case: case.params("x0").scale ** 2
        return Case(op, attrs, (x,), meaning=last, slack=power_slack, **drawn)
    return Case(op, attrs, (x,), meaning=meaning, slack=running_slack, **drawn)


def power_slack(case: Case) -> Array:
    """Results are in steps of 2**-16 of a square: of the share's bits, and of sums of halves."""
    x0 = case.params("x0")
    largest = max((case.dequantized[0] ** 2).max(), case.attrs["start"] ** 2) / x0.scale**2
    return np.asarray((largest * 2.0**-13 * 4 + 8 / case.attrs["share"] * 2.0**-16) * 2.0**16)


def running_slack(case: Case) -> Array:
    """What its power and the root's bits are off by, of the result itself."""
    x = case.dequantized[0]
    wanted = np.abs(case.meaning(torch.as_tensor(x)).numpy())
    return np.asarray((wanted * 2.0**-10 + 2.0**-11) / case.target.scale)


STRATEGIES: dict[str, st.SearchStrategy[Case]] = {
    "conv": conv(),
    "linear": linear(),
    "matmul": matmul(),
    "max_pool": pool("max_pool"),
    "avg_pool": pool("avg_pool"),
    "mean": reduction("mean"),
    "sum": reduction("sum"),
    "add": binary("add", torch.add),
    "sub": binary("sub", torch.sub),
    "mul": binary("mul", torch.mul),
    "affine": affine(),
    "gates": gates(),
    "lstm": recurrent("lstm"),
    "lstm_cell": recurrent("lstm_cell"),
    "gru": recurrent("gru"),
    "gru_state": recurrent("gru_state"),
    "prelu": prelu(),
    "attention": attention(),
    "layer_norm": norm("layer_norm"),
    "rms_norm": norm("rms_norm"),
    "rotary": rotary(),
    "magnitude": magnitude(),
    "table": table(),
    "softmax": softmax(),
    "spectrogram": spectrogram(),
    "log_softmax": rows("log_softmax"),
    "argmax": argmax(),
    "biquads": biquads(),
    "biquads_past": biquads(kept=True),
    "ctc_greedy": ctc_greedy(),
    "ctc_new": classes("ctc_new"),
    "majority": classes("majority"),
    "running_norm": running("running_norm"),
    "running_power": running("running_power"),
    "reshape": reshape(),
    "transpose": transpose(),
    "slice": slice_(),
    "expand": expand(),
    "pad": pad(),
    "concat": concat(),
}
