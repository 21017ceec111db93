# SPDX-License-Identifier: Apache-2.0
"""Normalisation of a network's input, which the host applies before quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array


@dataclass(frozen=True, slots=True)
class InputNormalization:
    """A factor and an offset per channel that the host applies before it quantises an input.

    scale, offset   float64 values along `axis`; a single value applies to all of the input
    axis            axis of the channels
    origin          places of the normalisation in the user's program
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    axis: int = 0
    origin: tuple[Origin, ...] = ()

    def apply(self, x: Array) -> Array:
        """Apply factor and offset: x float [...] of the input's shape -> float64."""
        scale, offset = self._broadcast_factors(x)
        return np.asarray(x.astype(np.float64) * scale + offset)

    def undo(self, x: Array) -> Array:
        """Return the values to which `apply` gives x, float64 [...]; 0 if the factor is 0."""
        scale, offset = self._broadcast_factors(x)
        return np.asarray(np.divide(x - offset, scale, out=np.zeros_like(x), where=scale != 0.0))

    def _broadcast_factors(self, x: Array) -> tuple[Array, Array]:
        along = [-1 if d == self.axis else 1 for d in range(x.ndim)]
        scale, offset = (np.reshape(values, along) for values in (self.scale, self.offset))
        return scale, offset
