# SPDX-License-Identifier: Apache-2.0
"""Inputs and outputs of a quantised network: the one record of what their integers mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import ElementType
from myoedge.numerics.quant_params import QuantParams, dequantize, quantize


@dataclass(frozen=True, slots=True)
class QuantPort:
    """An input or output of a quantised network.

    The host's conversion, headers, reports, applications and streams read this record, and nothing
    that it was made from.

    name            name of the tensor
    shape           shape; of a stream, that of the frames of a pass
    element_type    type of the integers
    params          scale and zero point; None for integers without a scale, such as class indices
    normalization   factor and offset that the host applies before it quantises an input
    """

    name: str
    shape: Shape
    element_type: ElementType
    params: QuantParams | None = None
    normalization: InputNormalization | None = None

    @property
    def dtype(self) -> str:
        """Name of the element type, as in files and reports."""
        return str(self.element_type)

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.element_type.size_bytes

    def integers(self, x: Array) -> Array:
        """Convert an input array to the integers that the network reads."""
        if self.params is None:
            return x.astype(self.dtype)
        return quantize(self.normalized(x), self.params)

    def normalized(self, x: Array) -> Array:
        """Apply the host's normalisation: x [...] of the input's rank -> float64 [...]."""
        return x.astype(np.float64) if self.normalization is None else self.normalization.apply(x)

    def real(self, integers: Array) -> Array:
        """Convert integers of the port to the real numbers that they stand for, before any
        normalisation is undone."""
        return integers if self.params is None else dequantize(integers, self.params)

    def means_the_same(self, other: QuantPort) -> bool:
        """Return whether the integers of two ports mean the same, whatever their names and
        shapes."""
        return replace(self, name=other.name, shape=other.shape) == other
