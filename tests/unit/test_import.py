# SPDX-License-Identifier: Apache-2.0
"""The rows of the import table that compute, against torch."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.frontend.torch.export import count_parameters, from_exported
from tests.support.oracles.torch import (
    FLAT,
    SQUARE,
    WHOLE,
    X1,
    X2,
    Case,
    agrees,
    case,
    module,
    positive,
    seeded,
)

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "relu6": F.relu6, "leaky": F.leaky_relu,
    "leaky_0.3": lambda x: F.leaky_relu(x, 0.3), "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
    "elu": F.elu, "elu_0.5": lambda x: F.elu(x, 0.5), "selu": F.selu, "celu": F.celu,
    "celu_2": lambda x: F.celu(x, 2.0), "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid,
    "hardtanh": F.hardtanh, "hardtanh_wide": lambda x: F.hardtanh(x, -0.5, 2.0),
    "softplus": F.softplus, "softplus_steep": lambda x: F.softplus(x, 3.0, 2.0), "mish": F.mish,
    "abs": torch.abs, "absolute": torch.absolute, "neg": torch.neg, "negative": torch.negative,
    "square": torch.square, "exp": torch.exp, "expm1": torch.expm1, "erf": torch.erf,
    "clamp": lambda x: x.clamp(-0.5, 0.7), "clamp_low": lambda x: x.clamp(min=-0.5),
    "clamp_high": lambda x: x.clamp(max=0.5), "clip": lambda x: torch.clip(x, -1, 1),
    "clamp_min": lambda x: torch.clamp_min(x, 0.2), "clamp_max": lambda x: torch.clamp_max(x, 0.2),
    "softsign": F.softsign, "logsigmoid": F.logsigmoid, "hardshrink": F.hardshrink,
    "softshrink": lambda x: F.softshrink(x, 0.3), "tanhshrink": F.tanhshrink,
    "threshold": lambda x: F.threshold(x, 0.1, -2.0), "sign": torch.sign, "floor": torch.floor,
    "ceil": torch.ceil, "round": torch.round, "sin": torch.sin, "cos": torch.cos,
    "rrelu": lambda x: F.rrelu(x, 0.1, 0.3), "pow_3": lambda x: x**3,
    "base_2": lambda x: 2.0**x, "max_with": lambda x: torch.maximum(x, torch.tensor(0.1)),
    "max_of": lambda x: torch.max(torch.tensor([0.1]), x),
    "min_with": lambda x: torch.minimum(x, torch.tensor(0.1)),
    "min_of": lambda x: torch.min(x, torch.tensor(0.1)),
}  # fmt: skip

OF_POSITIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "log": torch.log, "log2": torch.log2,
    "log10": torch.log10, "log1p": torch.log1p, "reciprocal": torch.reciprocal,
    "pow_1.5": lambda x: x**1.5, "one_over": lambda x: 1 / x, "two_over": lambda x: 2.0 / x,
}  # fmt: skip

CENTRES = seeded(5, 8)
POINTWISE = [
    *(case(name, function, FLAT) for name, function in ACTIVATIONS.items()),
    *(case(name, function, positive(3, 8)) for name, function in OF_POSITIVE.items()),
    module("prelu_one", nn.PReLU(), X2),
    module("prelu_many", nn.PReLU(4), X2),
    module("prelu_many_flat", nn.PReLU(8), FLAT),
    case("linear_up", lambda x: F.interpolate(x, size=40, mode="linear"), X1),
    case("linear_odd", lambda x: F.interpolate(x, size=23, mode="linear"), X1),
    case("linear_down", lambda x: F.interpolate(x, size=5, mode="linear"), X1),
    case(
        "linear_corners",
        lambda x: F.interpolate(x, size=40, mode="linear", align_corners=True),
        X1,
    ),
    module("layer_norm", nn.LayerNorm(8), FLAT),
    module("layer_norm_plain", nn.LayerNorm(8, elementwise_affine=False), FLAT),
    module("layer_norm_of_two_axes", nn.LayerNorm(X1.shape[-2:], eps=0.1), X1),
    module("rms_norm", nn.RMSNorm(8), FLAT),
    case("unit_rows", lambda x: F.normalize(x, dim=-1), X1),
    case("unit_columns", lambda x: F.normalize(x, dim=1, eps=1e-5), X1),
    case("unit_by_hand", lambda x: x / x.norm(dim=-1, keepdim=True), FLAT),
    case(
        "unit_clamped",
        lambda x: x / torch.linalg.vector_norm(x, dim=2, keepdim=True).clamp(min=1e-6),
        X1,
    ),
    case("unit_weights", lambda x: F.linear(x, F.normalize(CENTRES, dim=-1)), FLAT),
    case(
        "unit_weights_by_hand", lambda x: x @ (CENTRES / CENTRES.norm(dim=1, keepdim=True)).T, FLAT
    ),
    case("cosine_similarity", lambda x: F.cosine_similarity(x, x.flip(-1), dim=-1), X1),
    case("cosine_one_column", lambda x: F.cosine_similarity(x, x[:, :1], dim=1), X1),
    case("cosine_one_element", lambda x: F.cosine_similarity(x, x[..., :1], dim=-1), X1),
    case("cosine_other_rank", lambda x: F.cosine_similarity(x, x[0], dim=1), X1),
    case("cosine_of_a_batch", lambda x: F.cosine_similarity(x[0], x, dim=0), X1),
    case("cosine_centres", lambda x: F.cosine_similarity(x[:, None], CENTRES, dim=2), FLAT),
    case("cosine_columns", lambda x: F.cosine_similarity(x, x.roll(1, 1), dim=1), X1),
    module("rms_norm_plain", nn.RMSNorm(8, elementwise_affine=False), FLAT),
    case("glu", lambda x: F.glu(x, dim=1), X1),
    case("glu_last", lambda x: F.glu(x, dim=-1), FLAT),
]


def conv1d(x: Tensor = X1, to: int = 5, size: int = 3, **options: Any) -> Case:
    label = "_".join(f"{k}={v}" for k, v in options.items())
    made = nn.Conv1d(x.shape[-2], to, size, **options)
    return module(f"conv1d_{to}_{size}_{label}_{x.dim()}d", made, x)


def conv2d(x: Tensor = X2, to: int = 6, size: Any = 3, **options: Any) -> Case:
    label = "_".join(f"{k}={v}" for k, v in options.items())
    made = nn.Conv2d(x.shape[-3], to, size, **options)
    return module(f"conv2d_{to}_{size}_{label}_{x.dim()}d", made, x)


CONVOLUTIONS = [
    conv1d(),
    conv1d(stride=2),
    conv1d(padding=1),
    conv1d(padding="same"),
    conv1d(dilation=3),
    conv1d(padding="valid"),
    conv1d(padding="same", size=4),
    conv1d(padding="same", dilation=2),
    conv1d(bias=False),
    conv1d(to=6, groups=3),
    conv1d(to=6, groups=6),
    conv1d(to=12, groups=6),
    conv1d(size=1),
    conv1d(seeded(6, 17)),
    conv1d(size=17),
    conv1d(stride=3, padding=2),
    conv1d(padding=2, padding_mode="reflect"),
    conv1d(padding=2, padding_mode="replicate"),
    conv1d(padding=2, padding_mode="circular"),
    conv1d(padding=2, padding_mode="zeros"),
    conv2d(),
    conv2d(stride=(2, 1)),
    conv2d(padding=(0, 2)),
    conv2d(dilation=(2, 3)),
    conv2d(size=(1, 5)),
    conv2d(size=(9, 1)),
    conv2d(padding="same", size=(2, 4)),
    conv2d(to=8, groups=4),
    conv2d(to=4, groups=2, stride=2, padding=1),
    conv2d(seeded(4, 9, 11)),
    conv2d(seeded(3, 4, 9, 11)),
    conv2d(size=1, bias=False),
    conv2d(padding="same", dilation=(2, 1), size=(4, 3)),
    case("conv_own_weight", lambda x: F.conv1d(x, torch.ones(2, 6, 3), torch.ones(2)), X1),
    case(
        "convolution",
        lambda x: torch.convolution(x, torch.ones(2, 6, 3), None, [2], [1], [1], False, [0], 1),
        X1,
    ),
    module("weight_norm", nn.utils.parametrizations.weight_norm(nn.Conv1d(6, 4, 3)), X1),
]


def pool(name: str, function: Callable[..., Tensor], x: Tensor, *args: Any, **options: Any) -> Case:
    label = "_".join(map(str, (*args, *(f"{k}={v}" for k, v in options.items()))))
    return case(f"{name}_{label}_{x.dim()}d", lambda x: function(x, *args, **options), x)


POOLINGS = [
    *(
        pool(name, getattr(F, name), x, size, **options)
        for name, x in (
            ("max_pool1d", X1),
            ("avg_pool1d", X1),
            ("max_pool2d", X2),
            ("avg_pool2d", X2),
        )
        for size, options in (
            (2, {}),
            (3, {"stride": 2}),
            (3, {"stride": 2, "padding": 1}),
            (2, {"ceil_mode": True}),
            (3, {"stride": 2, "padding": 1, "ceil_mode": True}),
            (4, {"stride": 1, "padding": 2}),
            (2, {"stride": 3, "ceil_mode": True}),
        )
    ),
    pool("avg_pool1d", F.avg_pool1d, X1, 3, padding=1, count_include_pad=False),
    pool("avg_pool2d", F.avg_pool2d, X2, (3, 2), padding=(1, 0), count_include_pad=False),
    pool("avg_pool2d", F.avg_pool2d, X2, 3, divisor_override=7),
    pool("avg_pool2d", F.avg_pool2d, X2, 3, 2, 1, True, False, 5),
    pool("avg_pool3d", F.avg_pool3d, seeded(2, 3, 4, 5, 6), (2, 3, 1), padding=(1, 1, 0)),
    pool("avg_pool3d", F.avg_pool3d, seeded(2, 3, 4, 6, 6), (1, 2, 3), divisor_override=7),
    pool("max_pool3d", F.max_pool3d, seeded(2, 3, 4, 5, 6), 2, ceil_mode=True),
    pool("adaptive_avg_pool3d", F.adaptive_avg_pool3d, seeded(1, 3, 4, 5, 6), (3, 5, 2)),
    pool("max_pool2d", F.max_pool2d, X2, (1, 3), stride=(1, 2)),
    pool("max_pool1d", F.max_pool1d, seeded(6, 17), 2),
    pool("avg_pool1d", F.avg_pool1d, seeded(6, 17), 2),
    pool("max_pool2d", F.max_pool2d, seeded(4, 9, 11), 2),
    pool("avg_pool2d", F.avg_pool2d, seeded(4, 9, 11), 2),
    *(pool("adaptive_avg1", F.adaptive_avg_pool1d, X1, n) for n in (1, 5, 17)),
    *(pool("adaptive_max1", F.adaptive_max_pool1d, X1, n) for n in (1, 5, 17)),
    *(pool("adaptive_avg2", F.adaptive_avg_pool2d, X2, n) for n in (1, (2, 3), (4, 11), (None, 2))),
    *(pool("adaptive_max2", F.adaptive_max_pool2d, X2, n) for n in (1, (2, 3), (4, 11), (None, 2))),
    case("max_values1", lambda x: F.max_pool1d(x, 2, return_indices=True)[0], X1),
    case("max_values2", lambda x: F.max_pool2d(x, 2, return_indices=True)[0], X2),
]

WEIGHT = seeded(8, 5, seed=1)
BANDED = torch.ones(7, 7, dtype=torch.bool).tril().triu(-2)  # a frame and two before it
MASKS = {
    "truth_values": BANDED,
    "holes": torch.eye(7, dtype=torch.bool) | (torch.arange(7) % 3 == 0),
    "large_numbers": torch.zeros(7, 7).masked_fill(~BANDED, -1e9),
    "numbers": seeded(7, 7, seed=4),
    "keys_of_all_queries": (torch.arange(7) > 2)[None],
    "large_numbers_of_keys": torch.zeros(1, 1, 7).masked_fill(torch.arange(7) > 4, -1e9),
    "queries": torch.ones(7, 1, dtype=torch.bool),
    "infinities": torch.zeros(7, 7).masked_fill(~BANDED, -torch.inf),
    "infinities_of_keys": torch.zeros(1, 7).masked_fill(torch.arange(7) > 4, -torch.inf),
}
PADDED = (torch.arange(6) > 3)[None].repeat(2, 1)  # as keys of X1's two samples


def attending(q: Tensor, **options: Any) -> Case:
    """nn.MultiheadAttention over itself, its masks kept in the module."""
    name, made = "module_" + "_".join(options), nn.MultiheadAttention(8, 2, batch_first=True)
    return case(name, lambda net, x: net.a(x, x, x, **options)[0], q, a=made)


def written_out(scores: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: scores(x @ x.mT / 4.0).softmax(-1) @ x


CHOICES = [
    attending(seeded(2, 6, 8), key_padding_mask=PADDED),
    attending(seeded(2, 6, 8), key_padding_mask=PADDED, need_weights=False),
    attending(
        seeded(2, 6, 8),
        key_padding_mask=PADDED,
        attn_mask=torch.ones(6, 6, dtype=torch.bool).triu(1),
    ),
    case(
        "attention_of_joined_masks",
        lambda q: F.scaled_dot_product_attention(
            q, q, q, ~torch.logical_or(~BANDED, torch.arange(7) == 3) | (torch.eye(7) > 0)
        ),
        seeded(2, 3, 7, 8),
    ),
    case("filled_scores", written_out(lambda s: s.masked_fill(PADDED[:1], -torch.inf)), X1),
    case("filled_by_1e9", written_out(lambda s: s.masked_fill(PADDED[0], -1e9)), X1),
    case("chosen_scores", written_out(lambda s: torch.where(~PADDED[0], s, -torch.inf)), X1),
    case("filled_by_0", lambda x: x.masked_fill(torch.arange(8) > 4, 0.0), FLAT),
    case("filled_by_a_number", lambda x: x.masked_fill(torch.arange(8) > 4, 2.5), FLAT),
    case("chosen_constant", lambda x: torch.where(torch.arange(8) > 4, WEIGHT[:3, :1], x), FLAT),
    case("chosen_tensor", lambda x: torch.where(torch.arange(8) > 4, x, x * 3 - 1), FLAT),
    case("chosen_numbers", lambda x: x * torch.where(torch.arange(8) > 4, 1.5, -0.5), FLAT),
    case("chosen_wider", lambda x: torch.where(torch.ones(2, 1, 1) > 0, x, 0.0), FLAT),
    case("baddbmm", torch.baddbmm, seeded(5), seeded(2, 3, 4), seeded(2, 4, 5)),
    case("baddbmm_const", lambda x: torch.baddbmm(WEIGHT[0], x, x.mT[:, :, :5]), X1),
]
PRODUCTS = [
    module("linear", nn.Linear(8, 5), FLAT),
    module("linear_no_bias", nn.Linear(8, 5, bias=False), FLAT),
    module("linear_3d", nn.Linear(17, 5), X1),
    module("linear_1d", nn.Linear(8, 5), seeded(8)),
    module("linear_4d", nn.Linear(11, 2), X2),
    case("matmul_const", lambda x: x @ torch.arange(40.0).reshape(8, 5), FLAT),
    case("matmul_vector_const", lambda x: x @ torch.arange(8.0), FLAT),
    case("matmul_const_1d", lambda x: x @ torch.arange(40.0).reshape(8, 5), seeded(8)),
    case("matmul_const_left", lambda x: torch.arange(15.0).reshape(5, 3) @ x, FLAT),
    case("matmul_batched_const", lambda x: x @ torch.arange(204.0).reshape(2, 17, 6), X1),
    case("matmul", torch.matmul, FLAT, WEIGHT),
    case("mm", torch.mm, FLAT, WEIGHT),
    case("bmm", torch.bmm, seeded(2, 3, 4), seeded(2, 4, 5)),
    case("mv", torch.mv, FLAT, seeded(8)),
    case("dot", torch.dot, seeded(8), seeded(8, seed=1)),
    case("matmul_vectors", torch.matmul, seeded(8), seeded(8, seed=1)),
    case("matmul_vector_matrix", torch.matmul, seeded(8), WEIGHT),
    case("matmul_batch_vector", torch.matmul, X1, seeded(17)),
    case("matmul_vector_batch", torch.matmul, seeded(4), seeded(2, 4, 5)),
    case("matmul_broadcast", torch.matmul, seeded(3, 1, 2, 4), seeded(5, 4, 6)),
    case("addmm_const", lambda x: torch.addmm(torch.arange(5.0), x, torch.ones(8, 5)), FLAT),
    case("addmm_matrix", lambda x: torch.addmm(torch.ones(3, 5), x, torch.ones(8, 5)), FLAT),
    case("addmm", torch.addmm, seeded(5), FLAT, WEIGHT),
    case(
        "addmm_scaled",
        lambda x: torch.addmm(torch.arange(5.0), x, torch.ones(8, 5), beta=0.5, alpha=-2.0),
        FLAT,
    ),
    case(
        "addmm_of_inputs",
        lambda c, x, w: torch.addmm(c, x, w, beta=3.0, alpha=0.5),
        seeded(5),
        FLAT,
        WEIGHT,
    ),
    case("addmm_0d", lambda x, w: torch.addmm(torch.tensor(2.0), x, w), FLAT, WEIGHT),
    *(
        case(
            f"attention_of_{width}_and_{out}",
            F.scaled_dot_product_attention,
            *(seeded(2, 3, 7, n, seed=at) for at, n in enumerate((width, width, out))),
        )
        for width, out in ((10, 10), (8, 3), (5, 8))
    ),
    *(
        case(
            f"attention_of_heads_shared_{causal}",
            functools.partial(F.scaled_dot_product_attention, is_causal=causal, enable_gqa=True),
            *(seeded(2, n, 7, 8, seed=at) for at, n in enumerate((6, 2, 2))),
        )
        for causal in (False, True)
    ),
    *(
        case(
            f"attention_masked_by_{name}",
            functools.partial(
                lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m), m=m
            ),
            seeded(2, 3, 7, 8),
        )
        for name, m in MASKS.items()
    ),
    case("attention", lambda x: (x @ x.transpose(1, 2) / 4.0).softmax(-1) @ x, X1),
]

NORMS = [
    module("bn1d", nn.BatchNorm1d(6), X1),
    module("bn1d_flat", nn.BatchNorm1d(8), FLAT),
    module("bn2d", nn.BatchNorm2d(4), X2),
    module("bn_no_affine", nn.BatchNorm2d(4, affine=False), X2),
    module("bn_eps", nn.BatchNorm1d(6, eps=0.3), X1),
    module("conv_bn", nn.Sequential(nn.Conv1d(6, 5, 3), nn.BatchNorm1d(5)), X1),
    module("conv_nobias_bn", nn.Sequential(nn.Conv2d(4, 5, 3, bias=False), nn.BatchNorm2d(5)), X2),
    module("depthwise_bn", nn.Sequential(nn.Conv1d(6, 6, 3, groups=6), nn.BatchNorm1d(6)), X1),
    module("linear_bn", nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5)), FLAT),
    module("bn_conv", nn.Sequential(nn.BatchNorm1d(6), nn.Conv1d(6, 5, 3, padding=1)), X1),
    module(
        "relu_bn", nn.Sequential(nn.Conv1d(6, 5, 3), nn.ReLU(), nn.BatchNorm1d(5), nn.ReLU()), X1
    ),
    module("bn_twice", nn.Sequential(nn.BatchNorm1d(6), nn.ReLU(), nn.BatchNorm1d(6)), X1),
    module(
        "bn_relu_bn_relu_bn",
        nn.Sequential(
            nn.BatchNorm1d(6), nn.ReLU(), nn.BatchNorm1d(6), nn.ReLU(), nn.BatchNorm1d(6)
        ),
        X1,
    ),
]

PER_CHANNEL, PER_LAST = seeded(3, 1, 1), seeded(6)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}  # fmt: skip
CONSTANTS = {
    "scalar": 1.7, "integer": 3, "0d": torch.tensor(0.7), "1d": torch.tensor([0.7]), "whole": WHOLE,
    "channel": PER_CHANNEL, "last": PER_LAST, "wide": torch.ones(1, 1, 1, 1, 1) * 0.5,
    "int_tensor": torch.arange(1, 7), "matrix": seeded(4, 6), "one_axis": seeded(2, 1, 1, 1),
}  # fmt: skip


class Held(nn.Module):
    """operator(x, constant), or the other way round, with the constant as a buffer."""

    def __init__(self, operator: Callable[[Any, Any], Any], constant: Any, right: bool) -> None:
        super().__init__()
        self.operator, self.right = operator, right
        if isinstance(constant, Tensor):
            self.register_buffer("constant", constant)
        else:
            self.constant = constant

    def forward(self, x: Tensor) -> Any:
        return self.operator(x, self.constant) if self.right else self.operator(self.constant, x)


def held(name: str, kind: str, right: bool) -> Case:
    x = positive(2, 3, 4, 6) if name == "div" else SQUARE
    label = f"{name}_{kind}_{'right' if right else 'left'}"
    return Case(label, Held(OPERATORS[name], CONSTANTS[kind], right), (x,))


ARITHMETIC = [
    *(
        held(name, kind, right)
        for name in OPERATORS
        for kind in CONSTANTS
        for right in (True, False)
    ),
    case("add_tensors", torch.add, SQUARE, WHOLE),
    case("mul_self", lambda x: x * x, SQUARE),
    case("add_broadcast", torch.add, SQUARE, seeded(3, 1, 6)),
    case("sub_broadcast", torch.sub, seeded(4, 6), SQUARE),
    case("mul_broadcast", torch.mul, seeded(2, 1, 4, 1), SQUARE),
    case("multiply", torch.multiply, SQUARE, WHOLE),
    case("subtract", torch.subtract, SQUARE, WHOLE),
    case("divide", torch.divide, SQUARE, positive(2, 3, 4, 6)),
    case("true_divide", torch.true_divide, SQUARE, positive(2, 3, 4, 6)),
    case("alpha", lambda a, b: torch.add(a, b, alpha=0.3), SQUARE, WHOLE),
    case("alpha_0", lambda a, b: torch.add(a, b, alpha=0), SQUARE, WHOLE),
    case("alpha_sub", lambda a, b: torch.sub(a, b, alpha=-2), SQUARE, WHOLE),
    case("alpha_scalar", lambda a: torch.add(a, 3.0, alpha=0.5), SQUARE),
    case("alpha_const", lambda a: torch.add(a, torch.ones(6), alpha=0.5), SQUARE),
    case("rsub", lambda a: torch.rsub(a, 3.0, alpha=2.0), SQUARE),
    case("rsub_tensors", lambda a, b: torch.rsub(a, b), SQUARE, WHOLE),
    case("normalise", lambda x: (x - 0.3) / 2.5, SQUARE),
    case("scaled_twice", lambda x: (x * 3 + 1) * 0.5 - 2, SQUARE),
]

REDUCTIONS = [
    *(
        case(
            f"{f.__name__}_{dims}_{keep}",
            lambda x, f=f, d=dims, k=keep: f(x, dim=d, keepdim=k),
            SQUARE,
        )
        for f in (torch.mean, torch.sum, torch.amax)
        for dims in (0, -1, (2, 3), (0, 2), (1, 3), (0, 1, 2, 3), (3, 1))
        for keep in (False, True)
    ),
    case("mean_all", lambda x: x.mean(), SQUARE),
    case("sum_all", lambda x: x.sum(), SQUARE),
    case("max_all", lambda x: x.max(), SQUARE),
    case("max_values", lambda x: x.max(1).values, SQUARE),
    case("max_values_keep", lambda x: x.max(-1, keepdim=True)[0], X1),
    case("amax_flat", lambda x: x.amax(1), FLAT),
    *(
        case(f"amax_of_many_{axes}", lambda x, axes=axes: x.amax(axes), seeded(1, 3, 4, 5, 6))
        for axes in ((2,), (4,), (2, 3), (2, 3, 4), (0, 3))
    ),
    case("conv_mean", lambda net, x: net.c(x).mean((0, 2)), X1, c=nn.Conv1d(6, 5, 3)),
    case("conv_amax", lambda net, x: net.c(x).amax(2), X1, c=nn.Conv1d(6, 5, 3)),
    case("conv_mean_channels", lambda net, x: net.c(x).mean(1), X2, c=nn.Conv2d(4, 5, 3)),
    *(
        case(f"argmax_{dim}_{keep}", lambda x, d=dim, k=keep: x.argmax(d, keepdim=k), SQUARE)
        for dim in (0, 1, -1, None)
        for keep in (False, True)
    ),
    *(
        case(
            f"conv_argmax_{dim}_{keep}",
            lambda net, x, d=dim, k=keep: net.c(x).argmax(d, keepdim=k),
            X2,
            c=nn.Conv2d(4, 5, 3),
        )
        for dim in (1, 2, 3, None)
        for keep in (False, True)
    ),
    case("argmin", lambda x: x.argmin(1), SQUARE),
    case("argmax_int32", lambda x: x.argmax(1).to(torch.int32), FLAT),
    *(case(f"softmax_{d}", lambda x, d=d: x.softmax(d), SQUARE) for d in (0, 1, -1)),
    *(case(f"log_softmax_{d}", lambda x, d=d: F.log_softmax(x, d), SQUARE) for d in (0, -3, 3)),
    case("softmin", lambda x: F.softmin(x, 1), FLAT),
    case("softmax_argmax", lambda x: x.softmax(1).argmax(1), SQUARE),
    case("conv_softmax", lambda net, x: net.c(x).softmax(1), X1, c=nn.Conv1d(6, 5, 3)),
]

ALL = [
    *POINTWISE,
    *CONVOLUTIONS,
    *POOLINGS,
    *PRODUCTS,
    *CHOICES,
    *NORMS,
    *ARITHMETIC,
    *REDUCTIONS,
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("made", ALL, ids=lambda made: made.name)
def test_graph_computes_what_torch_computes(made: Case) -> None:
    agrees(made.model, *made.inputs)


def test_what_torch_warns_itself_of_is_not_passed_on() -> None:
    """Its own pickling of trees, where in-place calls are taken out of an attention."""

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu_(self.attention(x, x, x)[0] * 1.0)

    program = torch.export.export(Attending().eval(), (seeded(1, 6, 8),))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        from_exported(program)
    assert not told


class Encoder(nn.Module):
    """torch's encoder with a mask that the module keeps, as README calls it."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.inner, self.causal = (
            nn.TransformerEncoder(layer, 1, enable_nested_tensor=False),
            causal,
        )
        mask = torch.full((6, 6), -torch.inf).triu(1 if causal else 2)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, mask=self.mask, is_causal=self.causal)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("causal", [True, False])
def test_an_encoder_that_is_told_of_its_mask(causal: bool) -> None:
    agrees(Encoder(causal), seeded(1, 6, 8))


class Learnt(nn.Module):
    """What an output depends on is one weight under two names, two biases and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.aside = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 7)
        self.again.weight = self.first.weight
        self.register_buffer("mask", torch.ones(4, 4).triu())

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        return self.again(self.first(x)) @ self.mask


@pytest.mark.parametrize("stored", [False, True])
def test_parameters_are_what_was_learnt_and_is_read(stored: bool, tmp_path: Path) -> None:
    program = torch.export.export(Learnt().eval(), (torch.zeros(2, 4),))
    if stored:
        torch.export.save(program, tmp_path / "model.pt2")
        program = torch.export.load(tmp_path / "model.pt2")
    assert count_parameters(program) == 4 * 4 + 4 + 4
