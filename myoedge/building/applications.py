# SPDX-License-Identifier: Apache-2.0
"""The option --app: the application that runs a build's network on the chip; and parts of the
firmware that tables of myoedge.toml request, such as [adapt]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from myoedge.extension import ApplicationHook, ProjectHook
from myoedge.system.hooks import find_hook, hooks, load

if TYPE_CHECKING:
    from myoedge.building.config import Found
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.codegen.application import Application, FirmwarePart
    from myoedge.codegen.project import Sources
    from myoedge.plan.plan import Plan
    from myoedge.quantization.samples import Data
    from myoedge.streaming.stream import Stream

BARE = ApplicationHook("baremetal", levels=True)  # the network alone, without a development kit
CORE = (BARE,)


@runtime_checkable
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


def project_of(name: str | None) -> ProjectHook | None:
    """Return the project of a development kit for the application that --app names; None if it has
    none."""
    hook = find_application(name)
    found: ProjectHook | None = find_hook("projects", "" if hook is None else hook.project)
    return found


def project_files(
    hook: ProjectHook | None,
    plan: Plan,
    model_name: str,
    sources: Sources,
    stream: Stream | None,
    application: Application | None,
) -> dict[str, str]:
    """Return the files of a project by their path in the build folder; {} without a project."""
    if hook is None:
        return {}
    files = load(hook, "files")(plan, model_name, sources, stream, application)
    return {f"{hook.name}/{name}": text for name, text in files.items()}


def requested(options: BuildOptions, settings: Config) -> ApplicationRequest | None:
    """Return the settings of the application that --app names; None if it needs none.

    Errors: those of the application's tables.
    """
    hook = find_application(options.app)
    if hook is None or not hook.request:
        return None
    found: ApplicationRequest = load(hook, "request")(options, settings)
    return found


def gate_of(options: BuildOptions, found: Found) -> dict[str, Any]:
    """Return the options `gate` and `first` of the application: a network in front, and an output
    that is computed before all others. Errors: those of the application."""
    hook = find_application(options.app)
    gate: dict[str, Any] = load(hook, "gate")(found) if hook is not None and hook.gate else {}
    return gate


# --- parts of the firmware ------------------------------------------------------------------------


@runtime_checkable
class PartRequest(Protocol):
    """Settings of a part, before the network is planned."""

    def part(self, plan: Plan, data: Data, stream: Stream | None) -> FirmwarePart:
        """Return the part for a planned network.

        data   calibration samples; for a stream recordings
        """


def requested_parts(options: BuildOptions, settings: Config) -> dict[str, PartRequest]:
    """Return the settings of the parts of a build, by name. Errors: as of the parts' tables."""
    asked = ((hook.name, load(hook, "request")(options, settings)) for hook in hooks("parts"))
    return {name: request for name, request in asked if request is not None}
