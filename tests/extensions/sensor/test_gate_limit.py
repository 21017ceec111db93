# SPDX-License-Identifier: Apache-2.0
"""The limit midway between the windows of rest and the others, against its definition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from myoedge.extensions.sensor.gate_limit import limit_between
from myoedge.extensions.sensor.wake import GateOutput

OUTPUT = GateOutput(1, 2, 0, "int8", 3)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("output", [None, OUTPUT], ids=["energy", "output"])
def test_midway(output: GateOutput | None, seed: int) -> None:
    """By RMS, the root of the energy; or by the value: above the end of rest, at most `most`."""
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.integers(1, 17) if output is None else 100
    low = 0 if output is None else -100
    rest = np.sort(rng.integers(low, scale, rng.integers(1, 40)))
    miss = float(rng.choice([0.0, 0.01, 0.3, 0.99]))
    end = int(rest[math.ceil((1 - Fraction(str(miss))) * len(rest)) - 1])
    most = end + int(rng.integers(1, scale))
    found = limit_between(rest, most, miss, output)
    assert end < found <= most
    if output is None:
        assert found**2 > end * most >= (found - 1) ** 2
    else:
        assert 0 <= 2 * found - (end + most) <= 1


@pytest.mark.parametrize("output", [None, OUTPUT], ids=["energy", "output"])
def test_classes_that_overlap(output: GateOutput | None) -> None:
    assert limit_between(np.array([3, 8, 20]), 8, 0.0, output) == 8
    assert limit_between(np.array([3, 8, 20]), 20, 0.0, output) == 20
    assert limit_between(np.zeros(0, np.int64), 8, 0.0, output) == 8
    assert limit_between(np.array([3, 8, 20]), 8, 0.5, output) == 8
