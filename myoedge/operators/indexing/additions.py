# SPDX-License-Identifier: Apache-2.0
"""Import of additions to elements at constant indices."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, transpose, weights
from myoedge.operators.import_rows import Arguments


def index_add(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import index_add with constant indices: a product of the values by a matrix of the places."""
    x, axis = str(a["self"]), a["dim"] % len(out)
    places = weights(d, a["index"], "an index").reshape(-1)
    matrix = np.zeros((out[axis], len(places)), np.float32)
    np.add.at(matrix, (places % out[axis], np.arange(len(places))), float(a.get("alpha", 1)))
    last = [*range(axis), *range(axis + 1, len(out)), axis]
    rows = d.add("linear", transpose(d, a["source"], last), d.constant(matrix))
    added = transpose(d, rows, [int(i) for i in np.argsort(last)])
    is_zero = x in d.constants and not d.array(x).any()
    return added if is_zero else d.add("add", x, added)
