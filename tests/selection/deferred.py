# SPDX-License-Identifier: Apache-2.0
"""Tests that deferred.txt leaves to make test-all (tests/selection/record.py writes it)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

DEFERRED = Path(__file__).with_name("deferred.txt")  # an id of a test per line


def read_deferred() -> frozenset[str]:
    return frozenset(DEFERRED.read_text(encoding="utf-8").splitlines())


def measures_reach() -> bool:
    """Whether all tests run, for what they reach: tests/selection/reached.py."""
    return os.environ.get("MEASURES") == "reach"


def mark_slow(items: Iterable[pytest.Item], deferred: frozenset[str]) -> None:
    """Mark these tests as slow, but for those of pages, which change with any part of the product.
    A new or renamed test is not among them: it runs."""
    for item in items:
        if item.nodeid in deferred and item.get_closest_marker("pages") is None:
            item.add_marker(pytest.mark.slow)
