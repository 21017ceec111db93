# SPDX-License-Identifier: Apache-2.0
"""The GAP SDK: a project for it around the network, with an application that answers requests on a
serial line; and the SDK's GVSoC, which runs the project."""

from __future__ import annotations

from myoedge.extension import (
    ApplicationHook,
    BackendHook,
    Extension,
    ProjectHook,
    StepHook,
    ToolHook,
)

_PLACE = "myoedge.extensions.gap_sdk"

EXTENSION = Extension(
    applications=(ApplicationHook("gap-sdk", project="gap_sdk", levels=True),),
    projects=(
        ProjectHook(
            "gap_sdk",
            f"{_PLACE}.gvsoc:project_files",
            l1_bytes=4096,  # the SDK's data, and a larger stack of core 8
            at_point="cmake -DME_POINT={} compiles it for this point",
        ),
    ),
    backends=(
        BackendHook(
            "gvsoc-sdk",
            "GVSoC of the GAP SDK",
            f"{_PLACE}.gvsoc:RUNNER",
            "GVSoC of the GAP SDK",
            "gvsoc-sdk",
            after="gvsoc",
        ),
    ),
    steps=(StepHook("image", f"{_PLACE}.gvsoc:image_step"),),
    tools=(
        ToolHook("gap_sdk", f"{_PLACE}.gvsoc:gap_sdk", after="openocd_tools"),
        ToolHook("cmake", f"{_PLACE}.gvsoc:cmake", after="gap_sdk"),
    ),
)
