# SPDX-License-Identifier: Apache-2.0
"""Attributes of convolutions in graphs that tests build."""

from __future__ import annotations


def attributes(rank: int) -> dict[str, object]:
    """Attributes of a convolution with stride and dilation 1, no padding, one group."""
    ones = (1,) * rank
    return {"stride": ones, "dilation": ones, "pads": ((0, 0),) * rank, "groups": 1}
