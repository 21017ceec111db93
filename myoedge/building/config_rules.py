# SPDX-License-Identifier: Apache-2.0
"""Valid ranges of the numbers in myoedge.toml and in sweeps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from myoedge.building.quantities import (
    EXAMPLES,
    LARGEST,
    decibels,
    joules,
    positive,
    seconds,
    size_bytes,
)
from myoedge.errors import MyoedgeError
from myoedge.system.hooks import find_hook, load

if TYPE_CHECKING:
    from myoedge.building.config_tables import BudgetTable, Config

MOST_ORDER = 64  # filter order: with a higher one, double precision is not enough
WITHIN = f"more than 0, and {LARGEST:,.0f} at most"
MOST_FRAMES = 1 << 16  # frames of a pass, which are in L2 together
_POSITIVE = ("rate_hz", "notch_hz", "notch_q", "zscore_s", "deviation")  # keys of [conditioning]
Checks = Iterator[tuple[str, bool]]  # (rule, whether it is satisfied)


def check_numbers(config: Config, name: str) -> None:
    """Raise E232 for the first number of a configuration that is out of range.

    name   file name for messages
    """
    for checks in (_calib_checks, _stream_checks, _conditioning_checks, _extension_checks):
        for rule, holds in checks(config):
            if not holds:
                raise MyoedgeError("E232", f"{name}: {rule}")
    check_limits(config.budget)


def remedies(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield remedies for texts that pydantic refuses: a list of the one name, and the nearest name
    that is known.

    rows   errors of pydantic
    """
    for row in rows:
        value, path = row.get("input"), row["loc"]
        if not isinstance(value, str):
            continue
        if row["type"] == "list_type":
            yield from _list_remedies(value, path)
        elif row["type"] == "literal_error":
            for name in _nearest_name(value, re.findall(r"'(\w+)'", row["ctx"]["expected"])):
                yield f"{json.dumps(value)}  ->  {json.dumps(name)}"


def _list_remedies(value: str, path: Sequence[str | int]) -> Iterator[str]:
    """Yield a list of the one name; in a table of an extension, of the nearest that is known."""
    table = find_hook("tables", str(path[0]))
    kind = get_type_hints(load(table, "kind")).get(str(path[-1])) if table else None
    known = tuple(name for names in get_args(kind) for name in get_args(names))
    for name in _nearest_name(value, known or (value,)):
        yield f"[{path[0]}] {path[-1]} = [{json.dumps(name)}]"


def _nearest_name(name: str, known: Iterable[str]) -> list[str]:
    return [name] if name in known else get_close_matches(name.lower(), [*known], 1, 0.5)


def _calib_checks(config: Config) -> Checks:
    """Return the range checks of [calib] and [quant]."""
    calib, rules = config.calib, config.quant.values()
    bits = [rule.weights for rule in rules if isinstance(rule.weights, int)]
    percentiles = [calib.percentile, *(rule.percentile for rule in rules)]
    yield "bits of weights must be 2 to 8, or 16", all(2 <= n <= 8 or n == 16 for n in bits)
    yield "percentile must lie between 50 and 100", all(50.0 < p <= 100.0 for p in percentiles)
    yield "calib.samples must be at least 1", calib.samples >= 1
    for key, rows in (("window", calib.window), ("hop", calib.hop)):
        yield f"calib.{key} must be 1 to {LARGEST:,.0f} rows", rows is None or 1 <= rows <= LARGEST
    yield "calib.columns must name a column", calib.columns != []
    yield (
        f"calib.scale must be {WITHIN}",
        all(_checked_number(x) > 0 for _, x in calib.reading.scales),
    )
    yield "calib.holdout must be 0 to 0.9", 0.0 <= calib.holdout <= 0.9


def _stream_checks(config: Config) -> Checks:
    """Return the range checks of [stream] and [model] vote."""
    stream, vote, limit = config.stream, config.model.vote, f"{MOST_FRAMES:,}"
    yield f"model.vote must be 1 to {limit} frames", vote is None or 1 <= vote <= MOST_FRAMES
    sizes = {f"stream.{key}": getattr(stream, key) for key in ("frames", "rate", "hop", "window")}
    yield from positive_sizes(sizes)
    at_most = stream.frames is None or stream.frames <= MOST_FRAMES
    yield f"stream.frames must be at most {limit}", at_most
    for key in ("past", "future"):
        count = getattr(stream, key)
        if isinstance(count, str):
            seconds(count, f"stream.{key}")
        yield f"stream.{key} must not be less than 0", not isinstance(count, int) or count >= 0


def _conditioning_checks(config: Config) -> Checks:
    filters = config.conditioning
    edges = filters.band_hz or ()
    yield from positive_sizes({f"conditioning.{key}": getattr(filters, key) for key in _POSITIVE})
    yield from positive_sizes(
        {"conditioning.band_hz": min(edges, key=_checked_number)} if edges else {}
    )
    yield f"conditioning.order must be 1 to {MOST_ORDER}", 1 <= filters.order <= MOST_ORDER


def _extension_checks(config: Config) -> Checks:
    """Return the rules of the tables of extensions."""
    for name, table in config.tables.items():
        if (hook := find_hook("tables", name)).rules:
            yield from load(hook, "rules")(table)


def positive_sizes(sizes: Mapping[str, Any]) -> Checks:
    """Yield the rules that sizes are more than 0 and at most 1e9, for each that is not None."""
    for key, x in sizes.items():
        yield f"{key} must be {WITHIN}", x is None or _checked_number(x) > 0


def _checked_number(value: float) -> float:
    """Return a number unchanged, but 0 for NaN and beyond 1e9, which range checks reject."""
    return value if -LARGEST <= value <= LARGEST else 0.0


def check_limits(table: BudgetTable) -> None:
    """Raise E232 for a limit of [budget] that is not a size, time, energy or number of dB, or that
    no build can meet."""
    for key in ("l1", "l2", "l3", "flash"):
        if (size := getattr(table, key)) is not None:
            size_bytes(size, f"budget.{key}")
    sqnr = table.sqnr if isinstance(table.sqnr, dict) else {"": table.sqnr}
    for name, db in sqnr.items():
        if db is not None:
            positive(decibels(db), f"budget.sqnr{'.' * bool(name)}{name}", [EXAMPLES["sqnr"]])
    readers = {"latency": seconds, "energy": joules}
    for key, reader in readers.items():
        if (value := getattr(table, key)) is not None:
            positive(reader(value, f"budget.{key}"), f"budget.{key}", [EXAMPLES[key]])
