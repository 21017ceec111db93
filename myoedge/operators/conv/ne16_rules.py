# SPDX-License-Identifier: Apache-2.0
"""Constraints of NE16 on convolutions; each function returns None, or the violated requirement."""

from __future__ import annotations

from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16_phases import Phases
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.products.ne16_constants import SIDE


def is_filter(conv: Conv2dGeometry) -> bool:
    return conv.kernel == (3, 3) and conv.stride == conv.dilation == (1, 1)


def one_group_or_depthwise(step: QuantizedNode) -> ConstraintViolation | None:
    """Require one group, or a depthwise convolution with a 3x3 filter or a row of up to nine taps,
    of stride 1.

    -> None, or the violated requirement
    """
    groups, inputs, outputs = step.attrs["groups"], step.shapes[0][-1], step.out[-1]
    conv = Conv2dGeometry.of(step)
    phases = Phases.of(conv)
    has_jobs = phases is not None and phases.pixel == 1
    if groups == 1 or (groups == inputs == outputs and has_jobs):
        return None
    fits, kernel = conv.kernel == (SIDE, SIDE), "3x3"
    if len(step.out) == len(("n", "t", "c")):
        fits, kernel = conv.kernel[1] <= SIDE * SIDE, "up to 9"
    rules = (
        (groups == inputs, "one group, or one for each input", f"{groups} groups"),
        (
            outputs == inputs,
            "equal numbers of outputs and inputs, or one group",
            f"{outputs} of {inputs}",
        ),
        (fits, f"a kernel of {kernel}, or one group", _sizes(conv.kernel)),
        (conv.stride == (1, 1), "stride 1, or one group", _sizes(conv.stride)),
    )
    needs, has = next((needs, has) for is_kept, needs, has in rules if not is_kept)
    rest = "stride 1 and equal numbers of outputs and inputs"
    change = f"a convolution with groups=1, or a depthwise one of {kernel} with {rest}"
    return ConstraintViolation(needs, has, change)


def _sizes(numbers: tuple[int, int]) -> str:
    """Format sizes along two axes: "3x3"."""
    return "x".join(map(str, numbers))


def not_depthwise(step: QuantizedNode) -> ConstraintViolation | None:
    """Require several inputs or outputs per group: merged groups would be no faster than the cores.

    -> None, or the violated requirement
    """
    groups = step.attrs.get("groups", 1)
    if groups == 1 or groups < max(step.shapes[0][-1], step.out[-1]):
        return None
    return ConstraintViolation(
        "several channels per group, with int16", "one", "a convolution with groups=1"
    )


def in_one_group(step: QuantizedNode) -> ConstraintViolation | None:
    """Require one group, for convolutions whose sums the cores requantise.

    -> None, or the violated requirement
    """
    groups = step.attrs["groups"]
    if groups == 1:
        return None
    return ConstraintViolation("one group", f"{groups} groups", "a convolution with groups=1")


def has_windows_in_one_group(step: QuantizedNode) -> ConstraintViolation | None:
    """Require one group and a kernel larger than 1x1, as conv_by_channels_on_ne16 does.

    -> None, or the violated requirement; conv_on_ne16 supports the other layers
    """
    groups, conv = step.attrs["groups"], Conv2dGeometry.of(step)
    if groups == 1 and not conv.pointwise:
        return None
    has = "a kernel of 1x1" if conv.pointwise else str(groups)
    return ConstraintViolation(
        "windows in one group of channels", has, "a convolution with groups=1"
    )


def has_rows(step: QuantizedNode) -> ConstraintViolation | None:
    """Require a 3x3 kernel, or a kernel of one row with several rows of results.

    -> None, or the violated requirement
    """
    conv = Conv2dGeometry.of(step)
    if is_filter(conv) or (conv.kernel[0] == conv.dilation[1] == 1 < conv.y[1]):
        return None
    has = _sizes(conv.kernel)
    return ConstraintViolation(
        "a kernel of 3x3, or of one row", has, "a kernel of 3x3 or of one row, of stride 1"
    )
