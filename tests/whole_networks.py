# SPDX-License-Identifier: Apache-2.0
"""Drawn networks of whole numbers, as QuantLib writes them, and what their operators mean: Python's
integers, which never overflow, place by place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto

from tests.onnx_models import model, node

Numbers = np.ndarray[Any, Any]  # of Python's integers


def exact(values: Any) -> Numbers:
    return np.vectorize(int, otypes=[object])(np.asarray(values))


def each(function: Any) -> Any:
    return np.vectorize(function, otypes=[object])


def attributes(*, div: int = 2**16, levels: int = 256, signed: int = 1) -> dict[str, Any]:
    """Numbers of one element, as QuantLib has them in tensors."""
    from onnx import numpy_helper

    given = {"div": [div], "n_levels_out": [levels], "signed": [signed]}
    return {k: numpy_helper.from_array(np.array(v, np.float32)) for k, v in given.items()}


def requantised(
    x: Numbers, mul: Any, add: Any, div: int = 2**16, levels: int = 256, signed: int = 1
) -> Numbers:
    """(x mul + add) / div to the nearest, halves up, within the levels."""
    low = -(levels // 2) if signed else 0

    def one(value: int, m: int, a: int) -> int:
        nearest = math.floor(Fraction(value * m + a, div) + Fraction(1, 2))
        return min(max(nearest, low), low + levels - 1)

    return np.asarray(each(one)(x, exact(mul), exact(add)))


def convolved(x: Numbers, w: Numbers, groups: int) -> Numbers:
    """3x3 with a padding of zeros: x [C, H, W], w [K, C / groups, 3, 3]."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=0)
    per, height, width = w.shape[1], *x.shape[1:]
    out = np.empty((len(w), height, width), object)
    for k, i, j in np.ndindex(*out.shape):
        first = k // (len(w) // groups) * per
        window = padded[first : first + per, i : i + 3, j : j + 3]
        out[k, i, j] = sum((window * w[k]).reshape(-1).tolist())
    return out


def gelu(b: int, one: int) -> Any:
    def of(x: int) -> int:
        sign, size = (x > 0) - (x < 0), min(abs(x), -b)
        return x * ((one + sign * (one - (size + b) ** 2)) // 2)

    return each(of)


def hardswish(three: int, six: int, sixth: int) -> Any:
    return each(lambda x: x * min(max(x + three, 0), six) * sixth)


def softmax(row: list[int], b: int, c: int, log2: int) -> list[int]:
    below = [max(row) - x for x in row]
    e = [((b - d + d // log2 * log2) ** 2 + c) // 2 ** (d // log2) for d in below]
    return [255 * value // sum(e) for value in e]


def powers(row: list[int]) -> list[int]:
    halved = [(max(row) - x + 16) // 32 for x in row]
    share = 255 * 256 // sum(256 // 2**h for h in halved)
    return [share // 2**h for h in halved]


def normalised(row: list[int], weight: list[int], bias: list[int] | None, div: int) -> list[int]:
    """Divisions toward zero; with a bias less the mean."""
    middle = 0 if bias is None else int(Fraction(sum(row), len(row)))
    v = [x - middle for x in row]
    root = math.isqrt(sum(x * x for x in v) // len(row) + 1)
    added = bias or [0] * len(row)
    return [
        (int(Fraction(x * g, root)) + a) // div for x, g, a in zip(v, weight, added, strict=True)
    ]


def rows(function: Any, x: Numbers) -> Numbers:
    """A function of lists, along the last axis."""
    flat = [exact(function(row.tolist())) for row in x.reshape(-1, x.shape[-1])]
    return np.asarray(np.stack(flat).reshape(x.shape))


def convolutions(rng: np.random.Generator) -> tuple[ModelProto, Mapping[str, Numbers], Any]:
    """Two convolutions, one by channels, with a multiplier a channel, below 0 too; pooled, and a
    linear layer. (model, constants, x [3, 4, 4] -> y)"""
    c: dict[str, Any] = {
        "w0": rng.integers(-128, 128, (6, 3, 3, 3)),
        "m0": rng.integers(-400, 400, (6, 1, 1)),
        "a0": rng.integers(-(2**20), 2**20, (6, 1, 1)),
        "w1": rng.integers(-128, 128, (6, 1, 3, 3)),
        "m1": rng.integers(1, 800, (1, 6, 1, 1)),
        "a1": rng.integers(-(2**20), 2**20, (1, 6, 1, 1)),
        "w2": rng.integers(-128, 128, (5, 24)),
        "b2": rng.integers(-3000, 3000, 5),
        "m2": np.array(514.0),
        "a2": np.array(-77.0),
    }
    c["w1"][2], c["m1"][0, 2] = 0, 128_631_864  # a dead channel has any multiplier
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    unsigned = attributes(signed=0)
    made = [
        node("Conv", "x w0", "s0", **pads),
        node("RequantShift", "s0 m0 a0", "y0", **unsigned),
        node("Conv", "y0 w1", "s1", group=6, **pads),
        node("RequantShift", "s1 m1 a1", "y1", **unsigned),
        node("MaxPool", "y1", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "p", "f"),
        node("Gemm", "f w2 b2", "s2", transB=1),
        node("RequantShift", "s2 m2 a2", "y", **attributes()),
    ]
    numbers = {name: exact(value) for name, value in c.items()}

    def meaning(x: Numbers) -> Numbers:
        y = requantised(convolved(x, numbers["w0"], 1), c["m0"], c["a0"], signed=0)
        y = requantised(convolved(y, numbers["w1"], 6), c["m1"][0], c["a1"][0], signed=0)
        pooled = y.reshape(6, 2, 2, 2, 2).max(axis=(2, 4)).reshape(-1)
        return requantised(numbers["w2"] @ pooled + numbers["b2"], c["m2"], c["a2"])

    return of_floats(made, (1, 3, 4, 4), c), numbers, meaning


def of_floats(nodes: list[NodeProto], shape: tuple[int, ...], c: Mapping[str, Any]) -> ModelProto:
    constants = {name: np.asarray(value, np.float32) for name, value in c.items()}
    return model(nodes, {"x": shape}, constants=constants, opset=13)


MULTIPLIERS = {"m": 120, "n": 505, "o": 308, "l": 81_369, "s": 57_197, "i": 130, "z": 0}


def block(rng: np.random.Generator) -> tuple[ModelProto, Mapping[str, Numbers], Any]:
    """A norm, attention of one head, a residual sum, RMS norm and functions: x [4, 8] -> y."""
    c: dict[str, Any] = {
        **{name: rng.integers(-128, 128, (8, 8)) for name in ("q", "k", "v", "u")},
        "g": rng.integers(2**20, 2**22, 8),
        "h": rng.integers(-(2**20), 2**20, 8),
        "r": rng.integers(2**20, 2**22, 8),
        **{name: [number] for name, number in MULTIPLIERS.items()},
    }
    signed = attributes()
    soft = {"coeffA": 1, "coeffB": 345, "coeffC": 62395, "log2": 255, "n_levels": 256}
    made = [
        node("iLayerNorm", "x g h", "t", D=2**16, n_levels=256),
        *(
            part
            for name in "qkv"
            for part in (
                node("MatMul", f"t {name}", f"{name}0"),
                node("RequantShift", f"{name}0 m z", f"{name}1", **signed),
            )
        ),
        node("Transpose", "k1", "k2", perm=[0, 2, 1]),
        node("MatMul", "q1 k2", "s0"),
        node("RequantShift", "s0 n z", "s1", **signed),
        node("iSoftmax", "s1", "p", **soft),
        node("ITAMax", "s1", "p2", n_levels=256),
        node("Add", "p p2", "p3"),
        node("RequantShift", "p3 s z", "p4", **attributes(signed=0)),
        node("MatMul", "p4 v1", "a0"),
        node("RequantShift", "a0 o z", "a1", **signed),
        node("RequantShift", "x l z", "x1", **signed),
        node("Add", "a1 x1", "a2"),
        node("RequantShift", "a2 s z", "a3", **signed),
        node("iRMSNorm", "a3 r", "n0", D=2**16, n_levels=256),
        node("MatMul", "n0 u", "u0"),
        node("RequantShift", "u0 m z", "u1", **signed),
        node("iGELU", "u1", "e0", b=-40, one=1743),
        node("RequantShift", "e0 i z", "e1", **signed),
        node("iHardswish", "u1", "w0", three=122, six=244, one_over_six=42),
        node("RequantShift", "w0 i z", "w1", **signed),
        node("Mul", "e1 w1", "y0"),
        node("RequantShift", "y0 o z", "y", **signed),
    ]
    n = {name: exact(value) for name, value in c.items()}

    def meaning(x: Numbers) -> Numbers:
        def of(name: str, value: Numbers, signed: int = 1) -> Numbers:
            return requantised(value, c[name], 0, signed=signed)

        gains = [n[name].tolist() for name in "ghr"]
        t = rows(lambda row: normalised(row, gains[0], gains[1], 2**16), x)
        assert abs(t).max() <= 127
        q, k, v = (of("m", t @ n[name]) for name in "qkv")
        s = of("n", q @ k.T)
        p = of("s", rows(lambda row: softmax(row, 345, 62395, 255), s) + rows(powers, s), 0)
        a = of("s", of("o", p @ v) + of("l", x))
        u = rows(lambda row: normalised(row, gains[2], None, 2**16), a)
        u = of("m", each(lambda value: min(max(value, -128), 127))(u) @ n["u"])
        e = of("i", gelu(-40, 1743)(u))
        return of("o", e * of("i", hardswish(122, 244, 42)(u)))

    return of_floats(made, (1, 4, 8), c), n, meaning
