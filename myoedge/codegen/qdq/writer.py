# SPDX-License-Identifier: Apache-2.0
"""An ONNX model while it is written: nodes, initialisers, and the names of our tensors in it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams


@dataclass
class OnnxWriter:
    """A myoedge.operators.qdq.Writer.

    constants   constants of the network after quantisation
    notes       metadata of the nodes that come next
    """

    params: Mapping[str, QuantParams]
    floats: Mapping[str, Array]
    constants: Mapping[str, Array]
    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
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
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), found))
        return found

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

    def cast(self, x: str, dtype: str) -> str:
        from onnx import helper

        return self.node("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def store(self, name: str, value: str, params: QuantParams) -> None:
        """Quantised; as it is where that takes more than 16 bits."""
        if params.element_type.bits > 16:
            self.integers[name] = self.reals[name] = value
            return
        scale, zero = self._parameters(name, params)
        integers = self.node("QuantizeLinear", value, scale, zero, output=self.free(f"{name}.q"))
        self.integers[name] = integers
        self.reals[name] = self.node("DequantizeLinear", integers, scale, zero)

    def dequantize(self, name: str, params: QuantParams, output: str = "") -> None:
        scale, zero = self._parameters(name, params)
        integers = self.integers[name]
        self.reals[name] = self.node("DequantizeLinear", integers, scale, zero, output=output)

    def _parameters(self, name: str, params: QuantParams) -> tuple[str, str]:
        zero = np.array(params.zero_point, params.element_type.dtype)
        return (
            self.constant(np.array(params.scale, np.float32), f"{name}.scale"),
            self.constant(zero, f"{name}.zero_point"),
        )
