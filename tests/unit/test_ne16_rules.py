# SPDX-License-Identifier: Apache-2.0
"""Rules of NE16 about multipliers, convolutions in groups and steps of an LSTM: the property that
breaks one."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode, QuantizedParams
from myoedge.operators.conv.ne16_rules import one_group_or_depthwise
from myoedge.operators.library.ne16_rules import requantised_by_engine
from myoedge.operators.library.packing import WeightedParams
from myoedge.operators.recurrent.ne16 import one_sequence_of_many_units, resets_products
from myoedge.quantization.engines import more_cycles


def weighted(weight: Array) -> WeightedParams:
    none = np.zeros(len(weight), np.int32)
    return WeightedParams(
        x_zero=0, pre=0, mult=none, offset=none, shift=none, weight=weight, bias=none
    )


def conv(groups: int, outputs: int, kernel: int, stride: int, dilation: int) -> QuantizedNode:
    """A convolution of 16 channels and 12 x 12 pixels."""
    weight = torch.zeros(outputs, 16 // groups, kernel, kernel)
    x = torch.zeros(1, 16, 12, 12)
    y = functional.conv2d(x, weight, None, stride, 1, dilation, groups)
    stored = weight.permute(0, 2, 3, 1).numpy().astype(np.int8)
    attrs = {
        "stride": (stride, stride),
        "dilation": (dilation, dilation),
        "pads": ((1, 1), (1, 1)),
        "groups": groups,
    }
    shapes = [tuple(t.permute(0, 2, 3, 1).shape) for t in (x, y)]
    node = Node("conv", ("x",), ("y",), attrs)
    integers = weighted(stored)
    return QuantizedNode(node, ("x",), (shapes[0],), shapes[1], integers)


@pytest.mark.parametrize("multiplier", [0, 1, 31, 32])
@pytest.mark.parametrize("shift", [12, 16, 20, 24])
@pytest.mark.parametrize("weight", [1, 127])
def test_multipliers_of_few_bits_are_for_channels_without_a_whole_step(
    multiplier: int, shift: int, weight: int
) -> None:
    """Channel 0 has a multiplier of 9 bits; products of channel 1 move the result by `step`."""
    node = conv(groups=1, outputs=2, kernel=3, stride=1, dilation=1)
    weights = np.full_like(node.integers.arrays["weight"], weight)
    constants = {
        "mult": np.array([1 << 8, multiplier], np.int32),
        "shift": np.array([18, shift], np.int32),
    }
    step = Fraction(255 * 9 * 16 * weight * multiplier, 1 << shift)
    broken = requantised_by_engine(replace(node, integers=replace(weighted(weights), **constants)))
    assert (broken is None) == (step < 1 or multiplier >= 32)
    if broken is not None:
        assert f"{multiplier.bit_length()} bits" in broken.has


@pytest.mark.parametrize(
    ("layer", "needs", "has"),
    [
        ((4, 16, 3, 1, 1), "one group, or one for each input", "4 groups"),
        ((16, 32, 3, 1, 1), "equal numbers of outputs and inputs, or one group", "32 of 16"),
        ((16, 16, 5, 1, 1), "a kernel of 3x3, or one group", "5x5"),
        ((16, 16, 3, 2, 1), "stride 1, or one group", "2x2"),
        ((16, 16, 5, 1, 2), "a kernel of 3x3, or one group", "5x5"),
    ],
)
def test_a_convolution_in_groups_is_told_the_property_that_breaks_the_rule(
    layer: tuple[int, int, int, int, int], needs: str, has: str
) -> None:
    rule = one_group_or_depthwise(conv(*layer))
    assert rule is not None
    assert (rule.needs, rule.has) == (needs, has)


def row_filters(taps: int) -> QuantizedNode:
    """A depthwise convolution over 20 positions of 16 channels."""
    attrs = {"stride": (1,), "dilation": (1,), "pads": ((0, 0),), "groups": 16}
    integers = weighted(np.ones((16, taps, 1), np.int8))
    node = Node("conv", ("x",), ("y",), attrs)
    return QuantizedNode(node, ("x",), ((1, 20, 16),), (1, 21 - taps, 16), integers)


@pytest.mark.parametrize(("taps", "has"), [(9, None), (10, "1x10")])
def test_depthwise_filters_of_a_row_have_up_to_nine_taps(taps: int, has: str | None) -> None:
    rule = one_group_or_depthwise(row_filters(taps))
    assert (rule and (rule.needs, rule.has)) == (has and ("a kernel of up to 9, or one group", has))


@pytest.mark.parametrize("layer", [(16, 16, 3, 1, 1), (16, 16, 3, 1, 2), (1, 32, 5, 2, 2)])
def test_depthwise_filters_and_convolutions_in_one_group_keep_the_rule(
    layer: tuple[int, int, int, int, int],
) -> None:
    assert one_group_or_depthwise(conv(*layer)) is None


@pytest.mark.parametrize(
    ("batch", "units", "change"),
    [(2, 16, "a batch of 1"), (1, 8, "more units"), (2, 8, "a batch of 1"), (1, 16, None)],
)
def test_advice_on_steps_follows_the_half_of_the_rule_that_is_broken(
    batch: int, units: int, change: str | None
) -> None:
    shapes = ((5, batch, 4 * units), (batch, units))
    node = Node("lstm", ("gates", "h"), ("y",))
    step = QuantizedNode(node, ("gates", "h"), shapes, (5, batch, units), QuantizedParams())
    rule = one_sequence_of_many_units(step)
    assert (rule and rule.change) == change


@pytest.mark.parametrize(("reset_first", "needs"), [(True, "after"), (False, None)])
def test_a_gru_that_resets_h_before_its_products_stays_on_the_cores(
    reset_first: bool, needs: str | None
) -> None:
    node = Node("gru", ("gates", "h"), ("y",), {"reset_first": reset_first})
    step = QuantizedNode(node, ("gates", "h"), ((5, 1, 48), (1, 16)), (5, 1, 16), QuantizedParams())
    rule = resets_products(step)
    assert (rule and rule.needs.split()[3]) == needs


def test_equal_cycles_are_no_reason_against_an_engine() -> None:
    assert more_cycles("ne16", 1234.4) == "ne16: 1,234 estimated cycles more"
    assert more_cycles("ne16", 0.5) == more_cycles("ne16", 0.0) == more_cycles("ne16", -0.0) == ""
    assert more_cycles("cores", float("inf")) == "cores: no tile in L1"
