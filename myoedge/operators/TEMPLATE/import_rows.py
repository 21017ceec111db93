# SPDX-License-Identifier: Apache-2.0
"""Import rows of a tensor times a number."""

from __future__ import annotations

import math
from typing import Any

from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.import_rows import Arguments, Calls, calls, first


def to_radians(b: GraphBuilder, a: Arguments, out: Any) -> str:
    return b.add("TEMPLATE", first(a), factor=math.pi / 180)


ATEN: Calls = {"TEMPLATE": calls(to_radians, "deg2rad")}
ONNX: Calls = {}  # {"TEMPLATE": {"Name": by_inputs(row, "self")}} where ONNX has the operator
