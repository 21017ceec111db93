# SPDX-License-Identifier: Apache-2.0
"""Progress counters of long work, reported to an optional watcher, and pauses of the garbage
collector; results do not depend on them."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Watcher = Callable[[str, int, int], None]  # (unit, number done, total), within `purpose_now()`
Item = TypeVar("Item")
MILLION = 1_000_000

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_purpose: ContextVar[str] = ContextVar("purpose", default="")


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Context manager during which this thread's work reports its progress to a watcher."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def purpose(text: str) -> Iterator[None]:
    """Context manager that names what the counted work is for: "ranges of values"."""
    token = _purpose.set(text)
    try:
        yield
    finally:
        _purpose.reset(token)


def purpose_now() -> str:
    """Return what this thread's counted work is for; "" if nobody named it."""
    return _purpose.get()


def tell(unit: str, done: int, total: int) -> None:
    """Report progress to this thread's watcher, if there is one.

    unit          name of the units
    done, total   number of completed units and of all units
    """
    watcher = _watcher.get()
    if watcher is not None:
        watcher(unit, done, total)


def tell_cycles(done: int, estimated: float) -> None:
    """Report the progress of a simulation to the watcher, in millions of cycles.

    done        cycles simulated so far
    estimated   estimated cycles of the whole run
    """
    tell("M cycles", done // MILLION, math.ceil(max(done, estimated) / MILLION))


def counted(items: Iterable[Item], total: int, unit: str) -> Iterator[Item]:
    """Yield the items, and report each as progress when it is done.

    total   number of items
    unit    name of an item
    """
    for done, item in enumerate(items, 1):
        yield item
        tell(unit, done, total)


@contextmanager
def paused_collector() -> Iterator[None]:
    """Context manager that pauses garbage collection while many long-lived objects are created; the
    collector would take 30 % of the time for loading a large graph."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
