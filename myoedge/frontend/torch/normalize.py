# SPDX-License-Identifier: Apache-2.0
"""Vectors of length one, x / max(|x|, eps), and their products: an RMS norm with one factor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from myoedge.frontend.torch.traced import arguments_of
from myoedge.operators.import_rows import Arguments
from myoedge.operators.norm.import_rows import EPS_MOST

LENGTHS = ("aten.linalg_vector_norm.default", "aten.norm.ScalarOpt_dim")
LIMITS = ("aten.clamp_min.default", "aten.clamp.default")
SPREADS = ("aten.expand_as.default", "aten.expand.default")


@dataclass(frozen=True, slots=True)
class Unit:
    """x / max(|x|, eps): the node of x, the axis of its vectors."""

    x: Any
    axis: int
    eps: float


def unit_of(node: Any) -> Unit | None:
    """Vectors and axis of a division in torch's graph that normalises them to unit length."""
    if _target(node) != "aten.div.Tensor":
        return None
    given = arguments_of(node)
    x, eps, length = given["self"], 0.0, given["other"]
    while _target(length) in (*LIMITS, *SPREADS):
        given = arguments_of(length)
        if _target(length) in LIMITS and not _is_least(given):
            return None
        eps, length = max(eps, given.get("min", 0.0)), given["self"]
    if _target(length) not in LENGTHS or arguments_of(length)["self"] is not x:
        return None
    axis = _axis(arguments_of(length))
    return None if axis is None or eps > EPS_MOST else Unit(x, axis, eps)


def _target(node: Any) -> str:
    return str(getattr(node, "target", ""))


def _is_least(limits: Arguments) -> bool:
    return isinstance(limits["min"], int | float) and limits.get("max") is None


def _axis(given: Arguments) -> int | None:
    """Axis of a Euclidean norm with keepdim, if it is a single one."""
    order, axes = given.get("ord", given.get("p")), given["dim"]
    axes = [axes] if isinstance(axes, int) else axes
    plain = order in (2, None) and given["keepdim"] and given.get("dtype") is None
    return int(axes[0]) if plain and axes is not None and len(axes) == 1 else None


def reads(node: Any) -> Iterable[Any]:
    """The nodes that a call's result is made of."""
    unit = unit_of(node)
    return node.all_input_nodes if unit is None else (unit.x,)
