# SPDX-License-Identifier: Apache-2.0
"""QEMU runs programs for Cortex-M: each layer compared with the reference, instructions counted."""

from __future__ import annotations

from myoedge.extension import BackendHook, Extension, SectionHook, ToolHook

EXTENSION = Extension(
    backends=(
        BackendHook(
            "qemu",
            "QEMU",
            "myoedge.extensions.qemu.runner:RUNNER",
            shows_layers=True,
            is_listed=True,
        ),
    ),
    sections=(
        SectionHook(
            "instructions",
            "instructions",
            "myoedge.extensions.qemu.report:line",
            "Instructions",
            "Counted by QEMU for one run of the network. Cycles are instructions times a factor of "
            "the core, from published runs of other programs, if there are any.",
            "myoedge.extensions.qemu.report:table",
        ),
    ),
    tools=(ToolHook("qemu", "myoedge.extensions.qemu.runner:tool", after="gvsoc"),),
)
