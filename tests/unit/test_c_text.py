# SPDX-License-Identifier: Apache-2.0
"""Statements of generated C in an order that suits the cores."""

from __future__ import annotations

from myoedge.nest.formula_parts import side_by_side


def test_of_many_arrays_values_are_loaded_where_they_are_read() -> None:
    """In the order of memory, each array's elements next to each other, and all before a result is
    written: it may be in the place of an operand."""

    def column(name: str) -> tuple[list[str], list[str]]:
        loads = [f"const int32_t {name}{n} = me_next_b(&x{n});" for n in range(6)]
        first = f"const int32_t {name}6 = {name}4 + {name}1;"
        return loads, [
            first,
            f"const int32_t {name}7 = {name}6 + {name}0;",
            f"me_put_b(&y, {name}7);",
        ]

    lines = side_by_side([column("v"), column("w")])
    defined = [line.split()[2] for line in lines if " = " in line]
    assert defined[:6] == ["v4", "w4", "v1", "w1", "v6", "w6"]
    assert defined[6:10] == ["v0", "w0", "v7", "w7"]
    assert defined[10:] == ["v2", "w2", "v3", "w3", "v5", "w5"]
    assert lines[-2:] == ["me_put_b(&y, v7);", "me_put_b(&y, w7);"]
