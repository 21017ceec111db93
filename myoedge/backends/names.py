# SPDX-License-Identifier: Apache-2.0
"""The table of backends of the core and of extensions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from myoedge.extension import BackendHook
from myoedge.system.hooks import with_hooks
from myoedge.targets import CHIPS

OWN = (
    BackendHook(
        "host",
        "C on the host",
        "myoedge.backends.equivalence:HOST",
        shows_layers=True,
        is_listed=True,
    ),
    BackendHook(
        "simulator",
        "simulator",
        "myoedge.backends.equivalence:SIMULATOR",
        "simulated {}",
        "simulated",
        shows_layers=True,
        is_listed=True,
    ),
    BackendHook(
        "gvsoc",
        "GVSoC",
        "myoedge.backends.equivalence:GVSOC",
        "GVSoC",
        "gvsoc",
        is_listed=True,
    ),
)


@cache
def backends() -> Mapping[str, BackendHook]:
    """Return every backend by its name."""
    return {row.name: row for row in with_hooks(OWN, "backends")}


def backend_text(name: str) -> str:
    """Return the name of a backend in texts; of a package that is not installed, its plain name."""
    return backends()[name].text if name in backends() else name


def listed_backends(chip: str) -> tuple[str, ...]:
    """Return the names of the backends that report.json lists for a chip even if none has been run:
    of this package, whatever else is installed."""
    own = (row for row in backends().values() if row.is_listed and not row.package)
    return tuple(row.name for row in own if chip in (chips_of(row.name) or (chip,)))


def chips_of(backend: str) -> tuple[str, ...]:
    """Return the names of the chips that have a backend run their programs; () for a backend that
    runs any build."""
    return tuple(name for name, chip in CHIPS.items() if backend in chip.runners)


def cycle_text(source: str) -> str:
    """Return the name of the cycle counts of a source in report.json, with {} for the chip; of a
    package that is not installed, the plain source."""
    name = by_source().get(source)
    return source if name is None else backends()[name].chip


def by_source() -> Mapping[str, str]:
    """Return the name of the backend by the source of cycles in report.json."""
    return {row.source: name for name, row in backends().items() if row.source}
