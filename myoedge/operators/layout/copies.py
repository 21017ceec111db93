# SPDX-License-Identifier: Apache-2.0
"""Import of repeats along axes, such as repeat and tile."""

from __future__ import annotations

from collections.abc import Sequence

from myoedge.operators.graph_builder import GraphBuilder, reshape


def copied(d: GraphBuilder, x: str, counts: Sequence[int], *, whole: bool) -> str:
    """Repeat x counts[i] times along each axis i; return the result's name.

    whole   whether whole axes are repeated (abab) instead of each element (aabb)
    """
    shape = d.shape(x)
    if {*counts} <= {1}:
        return x
    pairs = [(c, n) if whole else (n, c) for n, c in zip(shape, counts, strict=True)]
    thin = [n for extent in shape for n in ((1, extent) if whole else (extent, 1))]
    y = d.add("expand", reshape(d, x, thin), shape=tuple(n for pair in pairs for n in pair))
    return reshape(d, y, [n * c for n, c in pairs])
