# SPDX-License-Identifier: Apache-2.0
"""The option --app: the application that runs a build's network on the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from myoedge.extension import find_hook, hooks, load

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.codegen.application import Application
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream

CONSOLE_APP = "gap-sdk"  # the application that answers myoedge's requests on a serial line


class ApplicationRequest(Protocol):
    """Settings of an application, before the network is planned."""

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        """Return the application of a planned network."""


def application_names() -> tuple[str, ...]:
    """Return the names of all applications of the GAP SDK: the console, and those of extensions."""
    return (CONSOLE_APP, *(hook.name for hook in hooks("applications")))


def is_application(name: str | None) -> bool:
    """Return whether this is an application of the GAP SDK."""
    return name == CONSOLE_APP or bool(name and find_hook("applications", name))


def requested(options: BuildOptions, settings: Config) -> ApplicationRequest | None:
    """Return the settings of the application that --app names; None if it needs none.

    Errors: those of the application's tables.
    """
    hook = find_hook("applications", options.app or "")
    found: ApplicationRequest | None = load(hook.request)(options, settings) if hook else None
    return found
