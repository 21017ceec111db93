# SPDX-License-Identifier: Apache-2.0
"""The option --app: the application that runs a build's network on the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from myoedge.extension import ApplicationHook, find_hook, hooks, load

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.codegen.application import Application
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream

SDK_APP = "gap-sdk"  # the application that answers myoedge's requests on a serial line
CORE = (ApplicationHook("baremetal"), ApplicationHook(SDK_APP))


class ApplicationRequest(Protocol):
    """Settings of an application, before the network is planned."""

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        """Return the application of a planned network."""


def application_names() -> tuple[str, ...]:
    """Return the names that --app accepts: of the core, then of extensions."""
    return tuple(hook.name for hook in (*CORE, *hooks("applications")))


def find_application(name: str | None) -> ApplicationHook | None:
    """Return the application that --app names; None if there is none. Errors: E257."""
    found: ApplicationHook | None = find_hook("applications", name or "", CORE)
    return found


def is_of_sdk(name: str | None) -> bool:
    """Return whether the application is also one of the GAP SDK: every one but "baremetal"."""
    hook = find_application(name)
    return hook is not None and hook.name != "baremetal"


def requested(options: BuildOptions, settings: Config) -> ApplicationRequest | None:
    """Return the settings of the application that --app names; None if it needs none.

    Errors: those of the application's tables.
    """
    hook = find_application(options.app)
    if hook is None or not hook.request:
        return None
    found: ApplicationRequest = load(hook.request)(options, settings)
    return found
