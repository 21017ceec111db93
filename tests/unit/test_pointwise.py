# SPDX-License-Identifier: Apache-2.0
"""Every function of one number against torch in float64, and the tables made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from myoedge.numerics.pointwise import FUNCTIONS, bounds, erf, evaluate, listed
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.elementwise.tables import make_table
from tests.support.each import each

INF = math.inf
Meaning = Callable[..., torch.Tensor]

# name -> (torch's meaning, parameters to try)
LARGEST = torch.finfo(torch.float32).max
TORCH: dict[str, tuple[Meaning, list[tuple[Any, ...]]]] = {
    **{
        name: (getattr(torch, name), [()])
        for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "exp2", "frac")
    },
    **{name: (getattr(torch, name), [()]) for name in ("sinc", "sinh", "tan", "trunc")},
    "abs": (torch.abs, [()]),
    "affine": (lambda x, a, b: x * a + b, [(2.0, -1.0), (-0.5, 3.0), (0.0, 1.0)]),
    "ceil": (torch.ceil, [()]),
    "clamp": (torch.clamp, [(0.0, 6.0), (-1.0, 1.0), (0.0, INF), (-INF, 2.0)]),
    "cos": (torch.cos, [()]),
    "elu": (
        lambda x, a=1.0, s=1.0, i=1.0: torch.ops.aten.elu(x, a, s, i),
        [(), (0.3,), (1.6732632423543772, 1.0507009873554805), (2.0, 1.0, 0.5)],
    ),
    "erf": (torch.erf, [()]),
    "exp": (torch.exp, [()]),
    "expm1": (torch.expm1, [()]),
    "floor": (torch.floor, [()]),
    "gelu": (F.gelu, [()]),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), [()]),
    "hardshrink": (F.hardshrink, [(), (1.5,)]),
    "hardsigmoid": (F.hardsigmoid, [()]),
    "hardswish": (F.hardswish, [()]),
    "is_finite": (lambda x: x.isfinite().double(), [()]),
    "is_inf": (lambda x: x.isinf().double(), [()]),
    "is_nan": (lambda x: x.isnan().double(), [()]),
    "larger": (
        lambda x, a, b: torch.maximum(x.sigmoid(), x.abs()),
        [((("sigmoid",),), (("abs",),))],
    ),
    "leaky_relu": (F.leaky_relu, [(), (0.2,), (-0.5,), (3.0,)]),
    "log": (torch.log, [()]),
    "log10": (torch.log10, [()]),
    "log1p": (torch.log1p, [()]),
    "log2": (torch.log2, [()]),
    "lookup": (
        lambda x, scale, first, values: torch.tensor([0.5, -1.0, 3.0], dtype=x.dtype)[
            (torch.round(x.nan_to_num() / scale) - first).clamp(0, 2).long()
        ],
        [(0.5, -1, listed(np.array([0.5, -1.0, 3.0])))],
    ),
    "log_sigmoid": (F.logsigmoid, [()]),
    "mish": (F.mish, [()]),
    "nan_to_num": (
        lambda x, n=0.0, p=LARGEST, m=-LARGEST: x.nan_to_num(n, p, m),
        [(), (1.0, 2.0, -3.0)],
    ),
    "neg": (torch.neg, [()]),
    "pow": (torch.pow, [(2.0,), (3.0,), (0.5,), (-1.0,), (0.0,), (1.7,)]),
    "product": (
        lambda x, a, b: x.sigmoid() * x.abs(),
        [((("sigmoid",),), (("abs",),))],
    ),
    "quotient": (torch.div, [(3.0,), (-0.7,)]),
    "reciprocal": (torch.reciprocal, [()]),
    "round": (torch.round, [()]),
    "rsqrt": (torch.rsqrt, [()]),
    "sigmoid": (torch.sigmoid, [()]),
    "sign": (torch.sign, [()]),
    "silu": (F.silu, [()]),
    "sin": (torch.sin, [()]),
    "softplus": (F.softplus, [(), (2.0, 20.0), (1.0, 3.0)]),
    "softshrink": (F.softshrink, [(), (1.5,)]),
    "softsign": (F.softsign, [()]),
    "sqrt": (torch.sqrt, [()]),
    "square": (torch.square, [()]),
    "tanh": (torch.tanh, [()]),
    "tanhshrink": (F.tanhshrink, [()]),
    "total": (
        lambda x, a, b: x.sigmoid() + x.abs(),
        [((("sigmoid",),), (("abs",),))],
    ),
    "threshold": (F.threshold, [(0.5, -2.0), (0.0, 0.0)]),
    **{
        name: (lambda x, c, name=name: getattr(torch, name)(x, c).double(), [(0.5,), (0.0,)])
        for name in ("lt", "le", "gt", "ge", "eq", "ne")
    },
}
CASES = [(name, parameters) for name, (_, tried) in TORCH.items() for parameters in tried]
EDGES = [
    0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, 3.0, -3.0, 6.0, 20.0, 20.001, 30.0, -30.0,
    88.0, -88.0, 1e-12, -1e-12, 700.0, -700.0, INF, -INF,
]  # fmt: skip
POINTS = np.concatenate([EDGES, np.linspace(-9.0, 9.0, 2001)])


def test_every_function_has_an_oracle() -> None:
    assert set(TORCH) == set(FUNCTIONS)


@each(("name", "parameters"), CASES, ids=str)
def test_a_function_is_what_torch_says(name: str, parameters: tuple[Any, ...]) -> None:
    """NaN and infinities at the same places; only at an infinity itself one may have NaN."""
    wanted = TORCH[name][0](torch.tensor(POINTS), *parameters).numpy()
    got = evaluate([(name, *parameters)], POINTS)
    assert got.dtype == np.float64
    finite = np.isfinite(POINTS)
    np.testing.assert_allclose(got[finite], wanted[finite], rtol=1e-12, atol=1e-13)
    known = ~finite & ~np.isnan(wanted) & ~np.isnan(got)
    np.testing.assert_array_equal(got[known], wanted[known])


def test_a_chain_inside_another_may_be_the_number_itself() -> None:
    """As of masks: torch.where(x > 0.5, x, 0.0)."""
    mask = (("product", (), (("gt", 0.5),)),)
    np.testing.assert_array_equal(evaluate(mask, POINTS), np.where(POINTS > 0.5, POINTS, 0.0))


def test_a_chain_is_applied_from_left_to_right() -> None:
    got = evaluate(
        [("affine", 2.0, 1.0), ("clamp", 0.0, 4.0), ("square",)], np.array([-3.0, 1.0, 9.0])
    )
    assert got.tolist() == [0.0, 9.0, 16.0]
    assert evaluate([], np.array([1.5], np.float32)).tolist() == [1.5]


def test_erf_is_exact_to_double_precision() -> None:
    assert erf(np.array([[-1.0, 0.3]])).tolist() == [[math.erf(-1.0), math.erf(0.3)]]


@pytest.mark.parametrize(
    ("chain", "wanted"),
    [
        ((), (-INF, INF)),
        ((("clamp", 0.0, INF),), (0.0, INF)),
        ((("clamp", 0.0, 6.0), ("clamp", -1.0, 4.0)), (0.0, 4.0)),
        ((("clamp", 0.0, 6.0), ("clamp", 8.0, 9.0)), (8.0, 8.0)),
        ((("clamp", 3.0, 6.0), ("clamp", -2.0, 1.0)), (1.0, 1.0)),
        ((("clamp", 0.0, 6.0), ("tanh",)), None),
        ((("affine", 1.0, 0.0),), None),
    ],
)
def test_bounds_of_a_chain_of_clamps(chain: Any, wanted: Any) -> None:
    assert bounds(chain) == wanted


@pytest.mark.parametrize(
    "chain", [(("clamp", 0.0, 6.0), ("clamp", -1.0, 4.0)), (("clamp", 8.0, 9.0),)]
)
def test_bounds_mean_what_the_chain_means(chain: Any) -> None:
    limits = bounds(chain)
    assert limits is not None
    np.testing.assert_array_equal(evaluate(chain, POINTS), np.clip(POINTS, *limits))


# ---- tables


X, Y = QuantParams(4 / 255, -3), QuantParams(1 / 32, -20)


@each("name", sorted(TORCH))
@each("x", [X, QuantParams(0.05, -128), QuantParams(0.05, 127)], ids=["both", "low", "high"])
def test_a_table_is_the_function_at_every_input(name: str, x: QuantParams) -> None:
    """Each entry within half a step, saturated; where the function is undefined, real 0."""
    meaning, tried = TORCH[name]
    real = torch.tensor((np.arange(-128, 128) - x.zero_point) * x.scale)
    table = make_table(((name, *tried[-1]),), x, Y)
    assert table.shape == (256,)
    assert table.dtype == np.int8
    value = np.nan_to_num(meaning(real, *tried[-1]).numpy(), nan=0.0, posinf=1e9, neginf=-1e9)
    steps = np.clip(value / Y.scale + Y.zero_point, -128, 127)
    assert np.abs(table - steps).max() <= 0.5 + 1e-9


def test_undefined_inputs_become_zero_and_poles_saturate() -> None:
    x = QuantParams(1.0, 0)
    at = {number: number + 128 for number in (-5, 0, 5)}
    log, root = make_table((("log",),), x, Y), make_table((("sqrt",),), x, Y)
    assert log[at[-5]] == root[at[-5]] == Y.zero_point
    assert log[at[0]] == -128
    assert make_table((("reciprocal",),), x, Y)[at[0]] == 127
    assert root[at[0]] == Y.zero_point
    assert make_table((("exp",),), QuantParams(100.0, 0), Y)[255] == 127


def test_the_error_function_of_many_numbers() -> None:
    """As math.erf, at odd places, far outside and where it is not defined."""
    x = np.concatenate([np.linspace(-7, 7, 9999), [0.0, -0.0, 1e-30, 1e300, -np.inf, np.inf]])
    wanted = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(erf(x), wanted, rtol=1e-11, atol=1e-13)
    assert np.isnan(erf(np.full(5000, np.nan))).all()


def test_many_numbers_are_evaluated_block_by_block_in_their_places() -> None:
    x = np.arange(90_000.0).reshape(3, 30_000) - 45_000
    found = evaluate((("affine", 2.0, 1.0), ("clamp", -80_000.0, 70_000.0)), x)
    np.testing.assert_array_equal(found, np.clip(2 * x + 1, -80_000, 70_000))
