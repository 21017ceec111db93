# SPDX-License-Identifier: Apache-2.0
"""Constants as C: arrays that stay in L2, names for those that are alike or come from L3."""

from __future__ import annotations

from typing import Any

from myoedge.codegen.kernels import arrays, function_name
from myoedge.codegen.render import C_TYPES, initializer
from myoedge.numerics.arrays import Array
from myoedge.plan.l2.resident_weights import Key
from myoedge.plan.plan import Plan


def constants(plan: Plan) -> dict[str, Array]:
    """L2-resident constants by C name."""
    found: dict[str, Array] = {}
    for index, step in enumerate(plan.steps):
        stored = plan.stored(index)
        near = {key: a for key, a in stored.items() if plan.stays((index, key))}
        found |= arrays(index, step, near)
    return found | {
        constant_name(plan, name): plan.quant.constants[name] for name in plan.constants
    }


def alike(plan: Plan) -> list[tuple[str, str]]:
    """C names of arrays that are the bytes of others, and those of these."""

    def name(key: Key) -> str:
        return f"{function_name(key[0], plan.steps[key[0]])}_{key[1]}"

    pairs = ((key, of) for key, of in plan.owners.items() if key != of and plan.stays(of))
    return sorted((name(key), name(of)) for key, of in pairs)


def constant_name(plan: Plan, name: str) -> str:
    """C name of a constant operand; those that are alike, byte for byte, have one."""
    return f"const{list(plan.constants).index(plan.same[name]):02d}"


def array_values(name: str, values: Array) -> dict[str, Any]:
    return {
        "name": name,
        "type": C_TYPES[str(values.dtype)],
        "count": values.size,
        "text": initializer(values),
    }
