# SPDX-License-Identifier: Apache-2.0
"""Cache of float results per network and sample."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import Watch, run_float

KEPT_BYTES = 2**27  # bytes of cached values: 100 samples of most networks
MAX_RUN_BYTES = KEPT_BYTES // 8  # larger runs are not cached: too few would fit


@dataclass(frozen=True)
class _FloatRun:
    """Float values of one sample: inputs, results, and `name.pre` before fused tables; no
    constants.

    last   tensor -> its value; of a state of a loop, the last one
    seen   (tensor, value) in the order of computation, one per iteration of a loop
    """

    last: dict[str, Array]
    seen: Sequence[tuple[str, Array]]


@dataclass
class _FloatRunCache:
    """Cache of float values by graph and sample; it keeps the graphs, whose ids stay unique."""

    graphs: dict[int, Graph] = field(default_factory=dict)
    runs: dict[tuple[int, bytes], _FloatRun] = field(default_factory=dict)
    sizes_bytes: dict[tuple[int, bytes], int] = field(default_factory=dict)
    total_bytes: int = 0

    def keep(self, graph: Graph, key: tuple[int, bytes], run: _FloatRun) -> None:
        """Cache the values of one sample, evicting other graphs if necessary; values that still do
        not fit are not cached."""
        # The bytes of the values; shared memory counts once, constants not at all
        constants = {id(_memory_owner(x)) for x in graph.arrays.values()}
        owners = {
            id(x): x.nbytes
            for x in map(_memory_owner, (*run.last.values(), *(x for _, x in run.seen)))
            if id(x) not in constants
        }
        size_bytes = sum(owners.values())
        if size_bytes > MAX_RUN_BYTES:
            return
        self._evict_runs(graph, size_bytes)
        if self.total_bytes + size_bytes <= KEPT_BYTES:
            self.graphs[id(graph)] = graph
            self.runs[key], self.sizes_bytes[key] = run, size_bytes
            self.total_bytes += size_bytes

    def _evict_runs(self, graph: Graph, size_bytes: int) -> None:
        """Evict the values of other graphs, oldest first, until `size_bytes` fit."""
        if self.total_bytes + size_bytes <= KEPT_BYTES:
            return
        for other in [key for key in self.runs if key[0] != id(graph)]:
            del self.runs[other]
            self.total_bytes -= self.sizes_bytes.pop(other)
            if self.total_bytes + size_bytes <= KEPT_BYTES:
                return


_RUNS: ContextVar[_FloatRunCache | None] = ContextVar("_RUNS", default=None)


@contextmanager
def float_run_cache() -> Iterator[None]:
    """Context manager during which results of `float_values` are cached, up to KEPT_BYTES."""
    token = _RUNS.set(_FloatRunCache())
    try:
        yield
    finally:
        _RUNS.reset(token)


def float_values(
    graph: Graph, sample: Mapping[str, Array], watch: Watch | None = None
) -> dict[str, Array]:
    """Return the float values of all tensors for one sample, from the cache if possible.

    watch   callback as in `run_float`
    The arrays are shared and must not be modified.
    """
    runs = _RUNS.get()
    key = id(graph), _sample_digest(sample)
    run = None if runs is None else runs.runs.get(key)
    if run is None:
        seen = list[tuple[str, Array]]()
        last = run_float(graph, sample, lambda name, x: seen.append((name, _make_read_only(x))))
        # States of loops have their last values.
        run = _FloatRun({name: _make_read_only(last.get(name, x)) for name, x in seen}, seen)
        if runs is not None:
            runs.keep(graph, key, run)
    if watch is not None:
        for name, value in run.seen:
            watch(name, value)
    return {**graph.arrays, **run.last}


def _sample_digest(sample: Mapping[str, Array]) -> bytes:
    sha = hashlib.blake2b(digest_size=20)
    for name, values in sorted(sample.items()):
        sha.update(f"{name}{values.shape}{values.dtype}".encode())
        sha.update(np.ascontiguousarray(values).tobytes())
    return sha.digest()


def _make_read_only(value: Array) -> Array:
    view = np.asarray(value).view()  # NumPy returns scalars for arrays without axes
    view.flags.writeable = False
    return view


def _memory_owner(value: Array) -> Array:
    while isinstance(value.base, np.ndarray):
        value = value.base
    return value
