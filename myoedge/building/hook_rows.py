# SPDX-License-Identifier: Apache-2.0
"""Checks of a package's extensions for its author: what stands at the places of their hooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any

from myoedge.building.config_tables import Config
from myoedge.building.options import BuildOptions
from myoedge.errors import MyoedgeError
from myoedge.extension import kinds, places
from myoedge.system.hooks import GROUP, checked, load, load_extension
from myoedge.system.near_names import nearest_in
from myoedge.system.user_code import cause_of

EXTENSIONS = "extensions"  # kind of their entry points
OK, UNUSABLE = "ok", "unusable"


@dataclass(frozen=True, slots=True)
class CheckedPoint:
    """Result of loading an entry point of a package, or what stands at the places of a hook.

    kind    kind of plug-in: operators, boards or calibration; extensions; of a hook the field of
            Extension that has it
    name    name of the entry point or hook
    state   "ok" or "unusable"
    cause   reason if it is unusable
    """

    kind: str
    name: str
    state: str = OK
    cause: str = ""


def checked_extensions(
    points: Iterable[metadata.EntryPoint],
) -> tuple[tuple[CheckedPoint, ...], tuple[CheckedPoint, ...]]:
    """Load those entry points that are extensions; return a row for each, and for each of their
    hooks."""
    rows, hooks = list[CheckedPoint](), list[CheckedPoint]()
    for point in (point for point in points if point.group == GROUP):
        found = load_extension(point)
        if isinstance(found, MyoedgeError):
            rows.append(CheckedPoint(EXTENSIONS, point.name, UNUSABLE, cause_in(found)))
            continue
        rows.append(CheckedPoint(EXTENSIONS, point.name))
        for kind, hook in ((x, hook) for x in kinds() for hook in getattr(found, x)):
            cause = "; ".join(_causes(hook))
            hooks.append(CheckedPoint(kind, hook.name, UNUSABLE if cause else OK, cause))
    return tuple(rows), tuple(hooks)


def _causes(hook: Any) -> Iterator[str]:
    """Yield why what stands at a place cannot be used, for each such place of a hook."""
    optional = {field.name for field in fields(hook) if field.default == ""}
    for field in places(hook.__class__):
        place = getattr(hook, field)
        if not place and field in optional:
            continue
        try:
            checked(hook, field)
            _call_without_model(hook, field)
        except MyoedgeError as error:
            yield f"{field} {place}: {cause_in(error)}"
        except (Exception, SystemExit) as error:
            tries = (f"; try {remedy}" for remedy in nearest_in(error))
            yield f"{field} {place}: {cause_of(error)}{''.join(tries)}"


def _call_without_model(hook: Any, field: str) -> None:
    """Call the function at a place if no model is needed for its arguments, with the defaults of
    myoedge.toml and of `build`. Errors: E257 an exception, or another result than is stated."""
    text = places(hook.__class__)[field]
    names = re.findall(r"(\w+): ", text) if text.startswith("(") else [text]
    known: dict[str, Callable[[], Any]] = {
        "table": lambda: load(hook, "kind")(),
        "options": BuildOptions,
        "settings": Config,
    }
    if known.keys() >= {*names}:
        try:
            load(hook, field)(*(known[name]() for name in names))
        except MyoedgeError as error:
            if error.code == "E257":
                raise  # other errors are of the defaults


def cause_in(error: MyoedgeError) -> str:
    """Return an error's cause and remedies, without the last, which is to do without the package;
    of an error without a cause: its title, facts and remedies."""
    facts = dict(error.notice.facts)
    known = (f"{key} {facts[key]}" for key in ("class", "needs", "has") if key in facts)
    tries = [f"try {remedy}" for remedy in error.notice.tries]
    if "cause" in facts:
        return "; ".join((facts["cause"], *tries[:-1]))
    return "; ".join((error.notice.title, *known, *tries))
