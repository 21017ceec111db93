# SPDX-License-Identifier: Apache-2.0
"""[budget] l2 with and without the code of firmware.elf, which moves with every kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from myoedge.building import budget

COUNTED = {name: getattr(budget, name) for name in ("code_bytes", "linked_bytes")}


@contextmanager
def l2_of_data() -> Iterator[None]:
    """Limits of L2 are of data only: what a plan does with little room is then the same, however
    long the code of today is."""
    with pytest.MonkeyPatch.context() as patch:
        for name in COUNTED:
            patch.setattr(budget, name, lambda *_: 0)
        yield


@contextmanager
def l2_with_code() -> Iterator[None]:
    """Limits of L2 as people set them, in a test of conftest.py's that counts data only."""
    with pytest.MonkeyPatch.context() as patch:
        for name, counted in COUNTED.items():
            patch.setattr(budget, name, counted)
        yield
