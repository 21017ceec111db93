# SPDX-License-Identifier: Apache-2.0
"""Import from torch and ONNX of the multiplication by a number."""

from __future__ import annotations

import math
from typing import Any

from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.import_rows import Arguments, ImportRow, first


def to_radians(b: GraphBuilder, a: Arguments, out: Any) -> str:
    return b.add("TEMPLATE", first(a), factor=math.pi / 180)


# After the ATen calls come ONNX's operators, if any: "Name(self, *, alpha=1.0)".
ROWS = (ImportRow("TEMPLATE", to_radians, "deg2rad"),)
