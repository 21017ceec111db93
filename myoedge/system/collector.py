# SPDX-License-Identifier: Apache-2.0
"""Python's cyclic garbage collector, which scans all objects as their number grows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Context manager: pause the garbage collector while many long-lived objects are created; it
    takes 30 % of loading a long graph."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
