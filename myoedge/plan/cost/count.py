# SPDX-License-Identifier: Apache-2.0
"""How what a layer pays is counted: in cycles, or price by price for a fit of the prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.targets.gap9.costs import Prices

NAMES = tuple(field.name for field in fields(Prices))
READY = "dense_ready"  # what of a call is over before operands are touched
Paid = Any  # a float or an array, as Count says


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """How what is paid is counted: in cycles, or how often each price is paid.

    one      unit of each price     ready   the same, of READY alone
    cycles   of what is paid
    """

    one: Prices
    ready: Prices
    nothing: Paid
    cycles: Callable[[Paid], float]


@lru_cache(maxsize=4)
def in_cycles(prices: Prices) -> Count:
    ready = Prices(*((name == READY) * value for name, value in _each(prices)))
    return Count(prices, ready, 0.0, float)


def by_price(prices: Prices) -> Count:
    values, every = vector(prices), np.eye(len(NAMES))
    of_ready = np.where([[name == READY] for name in NAMES], every, 0.0)
    return Count(
        Prices(*every), Prices(*of_ready), np.zeros(len(NAMES)), lambda paid: float(paid @ values)
    )


def _each(prices: Prices) -> Iterator[tuple[str, float]]:
    return ((name, getattr(prices, name)) for name in NAMES)


def vector(prices: Prices) -> Array:
    return np.array([value for _, value in _each(prices)])
