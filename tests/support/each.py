# SPDX-License-Identifier: Apache-2.0
"""Many small cases as one test, whose failure names every case that fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from _pytest.outcomes import Failed, Skipped

MOST_TOLD = 400  # characters of a case's error

Test = Callable[..., None]


def each(
    names: str | Sequence[str],
    cases: Iterable[Any],
    ids: Callable[[Any], object] | Sequence[object] | None = None,
) -> Callable[[Test], Test]:
    """As pytest.mark.parametrize, in one test: for cases of milliseconds without a folder or patch
    of their own. A case that is skipped leaves the others, and if all are, the test is skipped. A
    mark of a case is a TypeError."""
    given = names.replace(" ", "").split(",") if isinstance(names, str) else [*names]
    rows = [_row(case, len(given), number, ids) for number, case in enumerate(cases)]

    def joined(test: Test) -> Test:
        @functools.wraps(test)
        def every(**others: Any) -> None:
            failed = dict[str, BaseException]()
            skipped = list[Skipped]()
            for name, values in rows:
                try:
                    test(**others, **dict(zip(given, values, strict=True)))
                except Skipped as skip:
                    skipped.append(skip)
                except (Exception, Failed) as error:
                    failed[name] = error
            if failed:
                told = [
                    f"[{name}] {type(e).__name__}: {e}"[:MOST_TOLD] for name, e in failed.items()
                ]
                text = "\n".join(told)
                first = next(iter(failed.values()))
                raise AssertionError(f"{len(failed)} of {len(rows)} cases:\n{text}") from first
            if rows and len(skipped) == len(rows):
                raise skipped[0]

        left = [p for n, p in inspect.signature(test).parameters.items() if n not in given]
        every.__signature__ = inspect.Signature(left)  # type: ignore[attr-defined]
        return every

    return joined


def _row(case: Any, count: int, number: int, ids: Any) -> tuple[str, tuple[Any, ...]]:
    """(name, values) of a case."""
    if hasattr(case, "marks"):  # of pytest.param
        if case.marks:
            raise TypeError(f"case {number} has marks: {case.marks}")
        values, own = case.values, case.id
    else:
        values, own = ((case,) if count == 1 else tuple(case)), None
    if own is None and callable(ids):
        own = "-".join(str(ids(value)) for value in values)
    elif own is None and ids is not None:
        own = ids[number]
    return str(own or f"{number}: {', '.join(map(repr, values))}"[:80]), values
