# SPDX-License-Identifier: Apache-2.0
"""Evidence for a build's requirements, with a software bill of materials."""

from __future__ import annotations

from myoedge.extension import CommandHook, Extension

EXTENSION = Extension(
    commands=(
        CommandHook(
            "evidence",
            "collect evidence for a build's requirements, with a bill of materials",
            "myoedge.extensions.evidence.commands:evidence",
            after="adapt",
        ),
    ),
)
