# SPDX-License-Identifier: Apache-2.0
"""The table of backends: those of this package, and of extensions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from myoedge.extension import BackendHook, with_hooks

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
        "gvsoc", "GVSoC", "myoedge.backends.equivalence:GVSOC", "GVSoC", "gvsoc", is_listed=True
    ),
    BackendHook(
        "gvsoc-sdk",
        "GVSoC of the GAP SDK",
        "myoedge.backends.equivalence:GVSOC_SDK",
        "GVSoC of the GAP SDK",
        "gvsoc-sdk",
    ),
)


@cache
def backends() -> Mapping[str, BackendHook]:
    """Return every backend by its name."""
    return {row.name: row for row in with_hooks(OWN, "backends")}


def backend_text(name: str) -> str:
    """Return the name of a backend in texts; of a package that is not installed, its plain name."""
    return backends()[name].text if name in backends() else name


def by_source() -> Mapping[str, str]:
    """Return the name of the backend by the source of cycles in report.json."""
    return {row.source: name for name, row in backends().items() if row.source}
