# SPDX-License-Identifier: Apache-2.0
"""Annotations of torch's schema classes, resolved once per class."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def hints_once() -> Iterator[None]:
    """Context manager during which `typing.get_type_hints` resolves the annotations of a class
    once; torch resolves them for every object of a program, half the time for loading it."""
    resolve = typing.get_type_hints
    known: dict[tuple[object, int], tuple[object, dict[str, Any]]] = {}

    def once(of: Any, globalns: Any = None, **others: Any) -> Mapping[str, Any]:
        if others or not isinstance(of, type):
            return resolve(of, globalns, **others)
        if (of, id(globalns)) not in known:  # kept with the names, whose id then stays unique
            known[of, id(globalns)] = globalns, resolve(of, globalns)
        return known[of, id(globalns)][1]

    try:
        typing.get_type_hints = once  # type: ignore[assignment]
        yield
    finally:
        typing.get_type_hints = resolve
