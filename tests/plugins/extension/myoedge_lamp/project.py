# SPDX-License-Identifier: Apache-2.0
"""The project "lamp" around a build's network: a Makefile, and files of the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from myoedge.backends.build import Build
from myoedge.codegen.application import Application
from myoedge.codegen.project import Sources
from myoedge.plan.plan import Plan
from myoedge.streaming.stream import Stream


def files(
    plan: Plan,
    model_name: str,
    sources: Sources,
    stream: Stream | None,
    application: Application | None,
) -> dict[str, str]:
    assert application is not None
    compiled = " ".join(application.sources_in("lamp", sources.files))
    made = {"Makefile": f"# {model_name}: {compiled}\n", "main.c": "", "user/mine.c": ""}
    return made | application.files_in("lamp")


def step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    if options["app"] == "lamp":
        yield f"make -C {build.folder / 'lamp'}"
