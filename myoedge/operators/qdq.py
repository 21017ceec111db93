# SPDX-License-Identifier: Apache-2.0
"""Operators of model.int8.onnx: functions that write an operator as ONNX's own float operators.

Every family has them in its qdq.py: WRITE, by operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.families import modules


class Writer(Protocol):
    """An ONNX model while it is written.

    label            names of what is added begin with it
    integers, reals  ONNX's names of tensors of the network: quantised, and as dequantised floats
    params           of these tensors     floats   constants of the network before quantisation
    """

    label: str

    @property
    def integers(self) -> Mapping[str, str]: ...
    @property
    def reals(self) -> Mapping[str, str]: ...
    @property
    def params(self) -> Mapping[str, QuantParams]: ...
    @property
    def floats(self) -> Mapping[str, Array]: ...

    def constant(self, value: Array, name: str = "") -> str:
        """Adds an initialiser."""

    def node(self, op: str, *inputs: str, output: str = "", result: int = 0, **attrs: Any) -> str:
        """Adds an ONNX operator; the name of its output, or of number `result`."""

    def cast(self, x: str, dtype: str) -> str:
        """To a type by its NumPy name."""

    def store(self, name: str, value: str, params: QuantParams) -> None:
        """Quantises a float tensor; it is found under `name` from then on."""


Write = Callable[..., str]  # (Writer, QuantizedNode, *inputs) -> output: names of float tensors


def number(w: Writer, value: float) -> str:
    return w.constant(np.array(value, np.float32))


def whole(w: Writer, *values: int) -> str:
    """An int64 vector: axes, shapes, starts."""
    return w.constant(np.array(values, np.int64))


def named(op: str, **attrs: Any) -> Write:
    """The ONNX operator of the same inputs."""
    return lambda w, step, *xs: w.node(op, *xs, **attrs)


def reshaped(w: Writer, x: str, *shape: int) -> str:
    return w.node("Reshape", x, whole(w, *shape))


def channels_first(w: Writer, x: str, rank: int) -> str:
    return w.node("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])


def channels_last(w: Writer, x: str, rank: int) -> str:
    return w.node("Transpose", x, perm=[0, *range(2, rank), 1])


def operator_writers() -> dict[str, Write]:
    return {op: write for module in modules("qdq") for op, write in module.WRITE.items()}
