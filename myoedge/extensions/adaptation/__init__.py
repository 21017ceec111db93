# SPDX-License-Identifier: Apache-2.0
"""Adaptation of a built network to labelled windows of a new session, with integer arithmetic: on
the device, and as a reference in Python, the same integers in the same order."""

from __future__ import annotations

from myoedge.extension import CommandHook, Extension, PartHook, SectionHook, TableHook

EXTENSION = Extension(
    commands=(
        CommandHook(
            "adapt",
            "adapt a build to a new session, and measure accuracy and cost",
            "myoedge.extensions.adaptation.command_line:adapt",
            after="energy",
        ),
    ),
    tables=(TableHook("adapt", "myoedge.extensions.adaptation.table:AdaptTable"),),
    parts=(
        PartHook(
            "adapt",
            "myoedge.extensions.adaptation.part:requested",
            "myoedge.extensions.adaptation.part:restored",
            levels=True,
        ),
    ),
    sections=(
        SectionHook(
            "adaptation",
            "adapts",
            "myoedge.extensions.adaptation.report:one_line",
            "Adaptation",
            "What the firmware learns a new session with, on the device.",
            "myoedge.extensions.adaptation.report:adaptation_table",
        ),
    ),
)
