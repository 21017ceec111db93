# SPDX-License-Identifier: Apache-2.0
"""Bytes of the weights that a build stores, by the plan that its files give."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.codegen.made_with import read_made_with
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.conv.ne16_form import JobForm
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan

# Stored arrays with weights; all others are tables, such as a channel's factor, shift and bias.
WEIGHTS = re.compile(r"weights|planes|rest_weights|x\d+")
AGAIN = "rest_weights"  # for the cores' share of a layer that NE16 computes too
# layers whose arrays are tables: sines and cosines, times a layer's factor; rows by index
OF_TABLES = ("rotary", "embedding")
PADDED_TO = 16  # input channels of an NE16 job

# jobs of 9 taps with phases, of a strided convolution, of which 8 are used at least
PHASES_SHARE = 1 / 8


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Bytes of the weights of a network.

    needed    the integers of all different weights, at their bits
    stored    as stored for one engine, each array once, without padding
    padding   channels and taps that NE16's layout adds
    again     layer -> weights that are stored a second time, in the cores' layout
    """

    needed: float
    stored: int
    padding: int
    again: dict[str, int]

    @property
    def share(self) -> float:
        """Stored bytes, of the bytes needed."""
        return self.stored / max(self.needed, 1.0)

    @property
    def share_of_all(self) -> float:
        """Stored bytes with padding and second copies, of the bytes needed."""
        return (self.stored + self.padding + sum(self.again.values())) / max(self.needed, 1.0)


def plan_of(build: Any) -> Plan:
    made = read_made_with(build.manifest["made_with"])
    return make_plan(made.network(build.network), made.chip, tile_ranks=made.tile_ranks)


def _integers(plan: Plan) -> Iterator[tuple[str, int, Array]]:
    """Yield (layer, bits, integers) of the weights of a plan's layers."""
    for step in plan.quant.steps:
        weight = getattr(step.integers, "weight", None)
        if weight is not None and OPS[step.node.op].weights.multiplicands is not None:
            yield step.node.name, step.weight_bits, np.ascontiguousarray(weight)


def _padding(array: Array, weights: list[tuple[int, Array]]) -> int:
    """Return the bytes that NE16's layout of a layer adds: rows of 16 channels per tap, or of all
    taps, or blocks of 16 channels; for the cores, those that complete words."""
    if array.dtype != np.uint8:
        return max((_words(array, bits, weight) for bits, weight in weights), default=0)
    for bits, weight in weights:
        rows, channels = len(weight), weight.shape[-1]
        taps = math.prod(weight.shape[1:-1])
        forms = (
            rows * taps * _padded(channels),
            rows * _padded(taps * channels),
            _padded(rows) * taps * channels,
        )
        for form in forms:
            if array.nbytes == form * bits // 8 or _has_windows(array, bits, weight):
                return array.nbytes - weight.size * bits // 8
        # a part of a recurrent layer's rows
        if array.ndim == 2 and array.shape[1] == _padded(channels) * bits // 8:
            return len(array) * (_padded(channels) - channels) * bits // 8
    return 0


def _has_windows(array: Array, bits: int, weight: Array) -> bool:
    """Return whether an array has, per output channel, the jobs of each kernel row: as few as hold
    the row's channels and taps, each of equal size."""
    if array.ndim != 4:
        return False
    kernel_rows, run = math.prod(weight.shape[1:-2]), math.prod(weight.shape[1:][-2:])
    jobs, rest = divmod(array.shape[2], kernel_rows)
    inputs = array.shape[3] * 8 // bits
    return not rest and (jobs - 1) * inputs < run <= jobs * inputs and len(array) == len(weight)


def _words(array: Array, bits: int, weight: Array) -> int:
    """Return the bytes by which rows, or rows per gate, are completed to words of 4; 0 if the array
    has another size."""
    size = weight.size * bits // 8
    more = array.nbytes - size
    return more if 0 < more <= 3 * (size // weight.shape[-1]) else 0


def _padded(count: int) -> int:
    return -(-count // PADDED_TO) * PADDED_TO


def stored_weights(plan: Plan) -> StoredWeights:
    needed = dict[tuple[Any, ...], float]()
    of_layers = dict[str, list[tuple[int, Array]]]()
    for name, bits, weight in _integers(plan):
        needed[weight.shape, weight.tobytes()] = weight.size * bits / 8
        of_layers.setdefault(name, []).append((bits, weight))
    stored, padding, again = 0, 0, dict[str, int]()
    for index, name in sorted({*plan.owners.values()}):
        array, step = plan.stored(index)[name], plan.steps[index]
        is_table = name[0] == "x" and (array.dtype == np.int32 or step.node.op in OF_TABLES)
        if is_table or not WEIGHTS.fullmatch(name):
            continue
        if name == AGAIN:
            again[step.node.name] = array.nbytes
            continue
        parts = (step, *step.members, *([step.behind] if step.behind else []))
        own = [x for part in parts for x in of_layers.get(part.node.name, [])]
        own = own or [x for rows in of_layers.values() for x in rows]  # of a layer fused into it
        more = _padding(array, own)
        jobs = plan.tilings[index].kernel.jobs
        if isinstance(jobs, JobForm) and jobs.way.phases is not None:
            needed_here = sum(weight.size * bits // 8 for bits, weight in own)
            added = array.nbytes - needed_here
            more = added if 0 < added <= PHASES_SHARE * needed_here else more
        stored, padding = stored + array.nbytes - more, padding + more
    return StoredWeights(sum(needed.values()), stored, padding, again)
