# SPDX-License-Identifier: Apache-2.0
"""torchao's QuantizationSpecs for the quantisation of a build, and an observer of weights. Only
imported with torchao installed."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torchao.quantization.pt2e import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    PerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantizer import (
    DerivedQuantizationSpec,
    FixedQParamsQuantizationSpec,
    QuantizationSpec,
)

from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.weight_format import INT16_BIAS_MAX, WeightFormat

AVERAGING = 0.01  # weight of a new batch in the moving average of activation ranges
SMALLEST_ROW = 2.0**-10  # relative to the largest channel: a smaller one is negligible
WEIGHT_MOST = (2**31 - INT16_BIAS_MAX) // 2**15  # sum of a channel's weights next to int16 inputs


class PerChannelWeightObserver(PerChannelMinMaxObserver):  # torchao expects "PerChannel" in it
    """torchao observer of weights: symmetric scales per output channel, from the current values
    only.

    16-bit weights get larger scales if their sums would exceed int32. Channels that are nearly 0
    get the scale of a channel 1,024 times smaller than the largest, so that their bias fits int32.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Record the ranges of x and return it."""
        rows = x.detach().transpose(0, self.ch_axis).flatten(1).abs().float()
        largest = rows.amax(1)
        if self.quant_max > INT8.high:
            largest = torch.maximum(largest, rows.sum(1) * (self.quant_max / WEIGHT_MOST))
        largest = largest.clamp_min(float(largest.max()) * SMALLEST_ROW)
        self.max_val, self.min_val = largest, -largest
        return x


@cache
def activation(bits: int, *, symmetric: bool, is_qat: bool) -> QuantizationSpec:
    """Return torchao's specification of a result: int8 with a zero point (0 if `symmetric`), or
    int16 without one.

    bits     8 or 16
    is_qat   whether it is for quantisation-aware training
    """
    element, affine = (INT8 if bits == INT8.bits else INT16), bits == INT8.bits and not symmetric
    observer: Any = HistogramObserver.with_args(eps=2**-20) if affine else MinMaxObserver
    if is_qat:
        average = MovingAverageMinMaxObserver.with_args(averaging_constant=AVERAGING)
        observer = FusedMovingAvgObsFakeQuantize.with_args(observer=average)
    return QuantizationSpec(
        dtype=torch.int8 if element == INT8 else torch.int16,
        observer_or_fake_quant_ctr=observer,
        quant_min=element.low,
        quant_max=element.high,
        qscheme=torch.per_tensor_affine if affine else torch.per_tensor_symmetric,
    )


@cache
def weight(bits: int, axis: int, *, is_qat: bool) -> QuantizationSpec:
    """Return torchao's specification of weights: symmetric, one scale per channel.

    bits     2 to 8, or 16
    axis     axis of the output channels
    is_qat   whether it is for quantisation-aware training
    """
    observer: Any = PerChannelWeightObserver.with_args(ch_axis=axis)
    if is_qat:
        observer = FakeQuantize.with_args(observer=observer)
    high = WeightFormat(bits).high
    return QuantizationSpec(
        dtype=torch.int8 if bits <= INT8.bits else torch.int16,
        observer_or_fake_quant_ctr=observer,
        quant_min=-high,
        quant_max=high,
        qscheme=torch.per_channel_symmetric,
        ch_axis=axis,
    )


def bias(x: Any, weights: tuple[Any, Any]) -> DerivedQuantizationSpec:
    """Return torchao's specification of an int32 bias, whose scale is the operand's times the
    weights'.

    x         node of the operand
    weights   edge of the weights: (their node, the operator's node)
    """
    return DerivedQuantizationSpec(
        derived_from=[x, weights],
        derive_qparams_fn=_bias_scales,
        dtype=torch.int32,
        quant_min=-(2**31),
        quant_max=2**31 - 1,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )


def _bias_scales(observers: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    x, weights = (observer.calculate_qparams()[0] for observer in observers)
    scales = x.float() * weights.float()
    return scales, torch.zeros_like(scales, dtype=torch.int32)


def fixed(params: QuantParams) -> FixedQParamsQuantizationSpec:
    """Return torchao's specification of a result whose scale the operator fixes, such as a
    softmax."""
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8 if params.element_type == INT8 else torch.int16,
        scale=params.scale,
        zero_point=params.zero_point,
        quant_min=params.low,
        quant_max=params.high,
        qscheme=torch.per_tensor_affine,
    )
