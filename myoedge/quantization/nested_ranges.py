# SPDX-License-Identifier: Apache-2.0
"""Ranges of a tensor with all samples and without those that reach furthest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from myoedge.quantization.masked_ranges import Range

# Of n samples that do not exceed an end, new ones do with a chance of at most 3 / n, with a
# confidence of 95 % (J. Hanley and A. Lippman-Hand, If nothing goes wrong, is everything all
# right?, 1983).
MOST_BEYOND = 3


def outer_ranges(ends: Mapping[str, Sequence[Range]]) -> dict[str, Range]:
    """Return the range of every tensor over all samples.

    ends   tensor -> smallest and largest value of each sample
    """
    return {name: _range_without_outliers(0, rows) for name, rows in ends.items()}


def inner_ranges(ends: Mapping[str, Sequence[Range]]) -> dict[str, list[Range]]:
    """Return tensor -> its ranges with each end as without the 1, 2, .. samples that reach
    furthest, up to MOST_BEYOND; {} for a single sample.

    ends   tensor -> smallest and largest value of each sample
    """
    return {
        name: [
            _range_without_outliers(count, rows)
            for count in range(1, min(MOST_BEYOND + 1, len(rows)))
        ]
        for name, rows in ends.items()
        if len(rows) > 1
    }


def _range_without_outliers(count: int, ends: Sequence[Range]) -> Range:
    """Return a range with each end as without the samples that reach furthest."""
    lows, highs = (sorted(each) for each in zip(*ends, strict=True))
    return lows[count], highs[-1 - count]
