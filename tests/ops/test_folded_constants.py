# SPDX-License-Identifier: Apache-2.0
"""Sums over constant operands: what depends on one of them alone is computed at build time, and the
function equals the layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from myoedge.nest.intervals import intervals
from myoedge.nest.ir import Binary, Element, Number, Reduced, walk
from myoedge.operators.folded_constants import with_folded_constants
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.e2e.test_less_l2 import quantized
from tests.ops.harness import mismatches, run_results
from tests.ops.test_chains import SUMS, Chain, drawn_chain, tilings_of
from tests.support.networks.small import Function
from tests.support.run import AT_LENGTH, optimization

CHAINS = 40 if AT_LENGTH else 10


def constants(chain: Chain) -> dict[str, np.ndarray]:
    """All operands as constants."""
    return dict(zip(chain.step.operands, chain.data, strict=True))


@cache
def folded_chains() -> tuple[tuple[Chain, Chain], ...]:
    """Drawn chains with sums, and the same with folded constants."""
    return tuple(islice(_folded_chains(), CHAINS))


def _folded_chains() -> Iterator[tuple[Chain, Chain]]:
    for chain in filter(None, map(drawn_chain, range(3000, 9000))):
        if any(member.node.op in SUMS for member in chain.members):
            step = with_folded_constants(chain.step, constants(chain))
            if step is not None:
                known = constants(chain)
                yield chain, replace(chain, step=step, data=tuple(known[x] for x in step.operands))


def test_folded_constants_change_no_integer(tmp_path: Path) -> None:
    found = folded_chains()
    assert len(found) == CHAINS
    wanted = [y for chain, _ in found for y in chain.one_by_one()]
    chains = [chain for _, chain in found]
    results = run_results(chains, tmp_path, optimization(), tilings_of(chains))
    of_result = [chain for chain, _ in found for _ in chain.step.results]
    assert not mismatches(of_result, wanted, [y for each in results for y in each])
    types = {
        read.array.dtype
        for chain in chains
        for read in chain.step.integers.chain.flat.reads
        if read.array.name.startswith("folded")
    }
    assert types == {"int8", "uint8", "int16"}


def test_operations_on_a_constant_alone_leave_16_bits() -> None:
    """Others are computed at build time."""
    for _, chain in folded_chains():
        nest = chain.step.integers.chain.flat.nest
        ranges = intervals(nest)
        sums = (x.value for x in nest.parts if isinstance(x, Reduced))
        for part in (x for x in walk(*sums) if isinstance(x, Binary)):
            read = {id(x): x for x in part.operands if not isinstance(x, Number)}
            if all(isinstance(x, Element) and x.array.name[:6] == "folded" for x in read.values()):
                low, high = ranges[id(part)]
                assert len(read) > 1 or low < -(2**15) or high >= 2**15


def test_numbers_that_are_data_are_not_folded() -> None:
    chain, folded = folded_chains()[0]
    assert len(folded.step.operands) < len(chain.step.operands)
    step = replace(chain.step, as_data=True)
    assert with_folded_constants(step, constants(chain)) is None


WEIGHTS = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 24, 40), np.float32))


def cell(x: torch.Tensor) -> torch.Tensor:
    """A sum of sigmoids, each with a rate and a threshold of its own."""
    rate, threshold, share = WEIGHTS.to(x.dtype)
    return (torch.sigmoid(rate * (x.mean(1).unsqueeze(1) - threshold)) * share).sum(2)


def test_weights_of_sums_of_functions_are_folded() -> None:
    x = torch.zeros(1, 4, 40)
    calib = np.random.default_rng(0).standard_normal((4, *x.shape), np.float32)
    network = quantized(torch.export.export(Function(cell).eval(), (x,)), calib)
    plan = make_plan(network, find_chip("gap9"))
    (step,) = (x for x in plan.steps if len(x.members) > 1)
    assert len(step.operands) == 1
    read = {read.array.name for read in step.integers.chain.flat.reads}
    assert sum(name.startswith("folded") for name in read) == 3
