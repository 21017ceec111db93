# SPDX-License-Identifier: Apache-2.0
"""me_attention_s16: rows of heads against the operator's integer meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.graph.ir import Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attention import ATTENTION
from myoedge.operators.attention.operands import sizes_of
from myoedge.operators.base import QuantizedNode, QuantizeInputs
from myoedge.operators.interpreter import integer_step
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_attention import _parts
from tests.kernels.test_elementwise import draw_bytes, qparams

KERNELS = ("me_attention_s16",)
NAMES = ("q", "k", "v", "bias", "y")
# rows, keys, width, columns, window, heads, keys at a time (0: all), what has 16 bits
SIZES: tuple[tuple[Any, ...], ...] = (
    (8, 60, 64, 32, None, 1, 0, "qkvy"), (8, 8, 4, 4, None, 5, 0, "qkvy"),
    (5, 13, 8, 12, None, 1, 4, "qk"), (1, 1, 4, 4, None, 1, 0, "q"),
    (20, 20, 16, 8, (2**20, 0), 2, 0, "vy"), (20, 20, 16, 8, (2**20, 0), 1, 8, "qkv"),
    (37, 37, 8, 4, (5, 4), 1, 12, "ky"), (37, 37, 8, 4, (5, 4), 3, 0, "qkvy"),
    (9, 41, 12, 4, (1, 2**20), 1, 16, "qkvy"), (1, 97, 4, 8, None, 3, 0, "qkvy"),
    (7, 30, 12, 8, None, 2, 0, "k"), (37, 37, 8, 4, (5, 4), 1, 12, "v"),
    (5, 13, 8, 12, None, 1, 4, "vy"),
)  # fmt: skip
# the same with a bias and a mask, of each head or of all: rows of hidden keys have equal shares
ADDED: tuple[tuple[Any, ...], ...] = (
    ((5, 13, 8, 12, None, 3, 4, "qkvy"), "bias", True, False),
    ((5, 13, 8, 12, None, 3, 0, "qkb"), "bias", False, False),
    ((37, 37, 8, 4, (1, 1), 1, 0, "qkvby"), "bias mask", False, True),
    ((37, 37, 8, 4, (1, 1), 2, 12, "v"), "mask", True, False),
    ((9, 9, 4, 4, None, 2, 4, "b"), "bias mask", True, True),
)
FIELDS = (
    "q_drop", "k_drop", "v_drop", "v_zero",
    "bias_mult", "bias_shift", "distance_drop", "mult", "most", "share", "out_shift", "zero",
)  # fmt: skip


def drawn_operand(rng: np.random.Generator, shape: Shape, *, wide: bool) -> Array:
    """Any numbers, many of them at the ends of the range."""
    ends = rng.choice([-32768, 32767], shape)
    spread = np.clip(rng.normal(0, 6000, shape), -32768, 32767)
    wider = np.where(rng.random(shape) < 0.05, ends, spread).astype(np.int16)
    return wider if wide else draw_bytes(rng, shape)


def params_of(rng: np.random.Generator, *, wide: bool) -> QuantParams:
    narrow = qparams(rng)
    return QuantParams(narrow.scale / 256, 0, INT16) if wide else narrow


def step_of(
    rng: np.random.Generator, shapes: tuple[Shape, ...], attrs: dict[str, Any], wide: str, more: str
) -> QuantizedNode:
    names = ("q", "k", "v", *more.split())
    kinds = {name: params_of(rng, wide=name[0] in wide) for name in NAMES}
    kinds |= {"q": QuantParams(kinds["q"].scale, 0, kinds["q"].element_type)}
    given = tuple(kinds.get(name, QuantParams(1 / 255, -128)) for name in names)
    out = ATTENTION.shape(attrs, *shapes)
    inputs = QuantizeInputs(attrs, shapes, out, given, kinds["y"], (None,) * len(shapes))
    node, y = Node("attention", names, ("y",), attrs), kinds["y"]
    integers = ATTENTION.constants.quantize(inputs)
    types = tuple(params.element_type for params in given)
    limits = (y.low, y.high, y.element_type)
    return QuantizedNode(node, names, shapes, out, integers, *limits, operand_types=types)


def case_of(
    rng: np.random.Generator, size: tuple[Any, ...], more: str = "", each: bool = False,
    flat: bool = False,
) -> Case:  # fmt: skip
    rows, keys, width, columns, window, heads, part, wide = size
    filled = -(-keys // 4) * 4
    shapes: tuple[Shape, ...] = (
        (1, rows, heads, width), (1, keys, heads, width), (1, heads, columns, filled),
        *[(1, heads if each else 1, rows, keys)] * len(more.split()),
    )  # fmt: skip
    attrs = {"scale": float(2.0 ** rng.uniform(-6, 0)), "window": window}
    attrs |= {"masked": True, "flat": flat} if "mask" in more else {}
    step = step_of(rng, shapes, attrs, wide, more)
    pairs = list(zip(step.operands, shapes, strict=True))
    operands = [drawn_operand(rng, shape, wide=name[0] in wide) for name, shape in pairs]
    held = [np.concatenate([cut.ravel() for cut in _parts(operands[2], part or filled)])]
    tables = [getattr(step.integers, name) for name in ("exp", "exp_far")]
    data = blob(*tables, *operands[:2], *held, *operands[3:])
    found = list(data.starts[5:])
    places = [found.pop(0) if name in more else -1 for name in ("bias", "mask")]
    sizes, apart = sizes_of(step), each * rows * keys
    numbers = (
        *(sizes[n] for n in ("keys", "width", "out_width", "before", "after")),
        *(int(n[0] in wide and n in (*step.operands, "y")) for n in NAMES),
        *step.integers.named(FIELDS).values(),
        *(step.low, step.high, int(flat)),
        *(*data.starts[:5], *places),
        *(rows, apart, apart, part, heads),
    )
    y = integer_step(step, operands)
    return Case(f"{size} {more} {each} {flat}", numbers, data.data, y.view(np.int8).ravel())


def every_case() -> list[Case]:
    rng = np.random.default_rng(48)
    return [*(case_of(rng, size) for size in SIZES), *(case_of(rng, *more) for more in ADDED)]


@pytest.mark.parametrize("run", RUNS)
def test_rows_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("attention_s16", KERNELS, cases, tmp_path))
