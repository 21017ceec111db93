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
            "Counted by QEMU for one run of the network. Cycles are instructions times the mean "
            "factor of published runs of other programs on the core, with the 95 % interval of a "
            "further program; another flash, or other waits for it, changes them. Other compilers, "
            "and levels such as -Os, take other numbers of instructions.",
            "myoedge.extensions.qemu.report:table",
            "myoedge.extensions.qemu.report:card",
        ),
    ),
    tools=(ToolHook("qemu", "myoedge.extensions.qemu.runner:tool", after="gvsoc"),),
)
