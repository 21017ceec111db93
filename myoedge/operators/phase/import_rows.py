# SPDX-License-Identifier: Apache-2.0
"""Import of atan2; complex_numbers has the angle of a complex number."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, expand
from myoedge.operators.import_rows import Arguments, ImportRow


def atan2(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    return expand(b, b.add("atan2", *(tensor(b, a[name]) for name in ("self", "other"))), out)


def tensor(b: GraphBuilder, value: Any) -> str:
    return value if isinstance(value, str) else b.constant(np.full((1,), value, np.float32))


ROWS = (ImportRow("atan2", atan2, "atan2 arctan2"),)
