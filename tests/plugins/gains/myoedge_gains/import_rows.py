# SPDX-License-Identifier: Apache-2.0
"""The import row of lab::gain."""

from __future__ import annotations

from typing import Any

from myoedge.operators.graph_builder import GraphBuilder, Unsupported, weights
from myoedge.operators.import_rows import Arguments, ImportRow


def gain(b: GraphBuilder, a: Arguments, out: Any) -> str:
    factors = weights(b, a["factors"], "the factors of lab::gain")
    if factors.shape != b.shape(a["x"])[-1:]:
        raise Unsupported("factors that are not one per channel")
    return b.add("gains", a["x"], a["factors"])


ROWS = (ImportRow("gains", gain, "lab::gain"),)
