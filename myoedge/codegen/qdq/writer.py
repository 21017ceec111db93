# SPDX-License-Identifier: Apache-2.0
"""An ONNX model while it is written: nodes, initialisers, and the names of our tensors in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams


@dataclass
class Writer:
    """The model so far.

    integers, reals   ONNX names of our tensors, quantised and as the floats they stand for
    label, notes      name and metadata of the nodes that come next
    """

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    integers: dict[str, str] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)
    label: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def free(self, wanted: str) -> str:
        """The name wanted, numbered where it is taken."""
        numbered = (f"{wanted}_{i}" for i in itertools.count(1))
        name = next(n for n in itertools.chain([wanted], numbered) if n not in self.taken)
        self.taken.add(name)
        return name

    def constant(self, value: Array, name: str = "") -> str:
        from onnx import numpy_helper

        found = self.free(name or f"{self.label}/constant")
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), found))
        return found

    def whole(self, *values: int) -> str:
        """An int64 vector: axes, shapes, starts."""
        return self.constant(np.array(values, np.int64))

    def node(self, op: str, *inputs: str, output: str = "", result: int = 0, **attrs: Any) -> str:
        """Adds an ONNX operator and returns the name of its output, or of number `result`."""
        from onnx import helper

        name = self.free(f"{self.label}/{op}")
        output = output or self.free(f"{name}:0")
        made = helper.make_node(op, list(inputs), [*[""] * result, output], name=name, **attrs)
        for key, value in self.notes.items():
            made.metadata_props.add(key=f"myoedge.{key}", value=value)
        self.nodes.append(made)
        return output


Write = Callable[
    ..., str
]  # (Writer, QuantGraph, QuantizedNode, *inputs) -> output: names of float tensors


def store(w: Writer, name: str, value: str, params: QuantParams) -> None:
    """Our tensor `name` is `value`, quantised; as it is where that takes more than 16 bits."""
    if params.element_type.bits > 16:
        w.integers[name] = w.reals[name] = value
        return
    scale, zero = parameters(w, name, params)
    w.integers[name] = w.node("QuantizeLinear", value, scale, zero, output=w.free(f"{name}.q"))
    w.reals[name] = w.node("DequantizeLinear", w.integers[name], scale, zero)


def parameters(w: Writer, name: str, params: QuantParams) -> tuple[str, str]:
    zero = np.array(params.zero_point, params.element_type.dtype)
    return (
        w.constant(np.array(params.scale, np.float32), f"{name}.scale"),
        w.constant(zero, f"{name}.zero_point"),
    )


def dequantize(w: Writer, name: str, params: QuantParams, output: str = "") -> None:
    scale, zero = parameters(w, name, params)
    w.reals[name] = w.node("DequantizeLinear", w.integers[name], scale, zero, output=output)


def channels_first(w: Writer, x: str, rank: int) -> str:
    return w.node("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])


def channels_last(w: Writer, x: str, rank: int) -> str:
    return w.node("Transpose", x, perm=[0, *range(2, rank), 1])
