# SPDX-License-Identifier: Apache-2.0
"""Random test cases for embeddings; some indices are outside the table."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse

ORACLE = "w0[(x0.long() - first).clamp(0, len(w0) - 1)]"


def embedding(d: Draw) -> DrawnUse:
    ids, width = d.shape(1, 3), d.pick([(), (1,), (3,), (16,), (2, 3), (70,), (200,)])
    rows, first = d.pick([2, 3, 17, 100]), d.pick([0, 0, 0, 2, -5])
    kind = d.pick(["int32", "int32", "uint8"])
    table = d.rng.normal(size=(rows, *width)) * d.pick([0.1, 1.0, 30.0])
    first = max(first, 0) if kind == "uint8" else first
    attrs = {"first": first, "rows": rows * d.flag(), "dtype": kind}
    common = d.common(1, act=False) | {"kinds": (kind,), "classes": rows + 3}
    return DrawnUse("embedding", attrs, (ids,), ORACLE, weights=(table,), **common)


CASES = {"embedding": embedding}
