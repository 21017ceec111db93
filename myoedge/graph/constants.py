# SPDX-License-Identifier: Apache-2.0
"""Constants of a graph, with integer formats and quantisation parameters from a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.quant_params import QuantParams


@dataclass(frozen=True, slots=True)
class TensorQuant:
    """Quantisation parameters of a tensor from a model file or an older build; other tensors are
    calibrated.

    params           the parameters
    fake_quantized   whether the file rounds the float values to these parameters; ranges and SQNR
                     are then computed from the rounded values
    """

    params: QuantParams
    fake_quantized: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Constant:
    """A constant array that nodes of a graph read.

    array    its values
    format   format of its integers in the model file; None without any
    q        quantisation parameters as an operand; None: calibrated
    """

    array: Array
    format: ConstantFormat | None = None
    q: TensorQuant | None = None


def as_constants(arrays: Mapping[str, Array]) -> dict[str, Constant]:
    """Return constants with these values, without integer formats."""
    return {name: Constant(array) for name, array in arrays.items()}


class ConstantValues:
    """Base class with access to the values of constants by name, for a graph and its builder."""

    constants: Mapping[str, Constant]

    def array(self, name: str) -> Array:
        """Return the values of a constant."""
        return self.constants[name].array

    def find_array(self, name: str) -> Array | None:
        """Return the values of a constant; None for a tensor."""
        found = self.constants.get(name)
        return None if found is None else found.array

    @property
    def arrays(self) -> dict[str, Array]:
        """Values of all constants."""
        return {name: constant.array for name, constant in self.constants.items()}
