# SPDX-License-Identifier: Apache-2.0
"""Sweeps: builds of all combinations of models, budgets, options and operating points, with tables
of results and checks for regressions; and suggestions, the variations of one build."""

from __future__ import annotations

from myoedge.extension import CommandHook, Extension, StepHook

EXTENSION = Extension(
    commands=(
        CommandHook(
            "advise",
            "measure what would make a build better: at most five suggestions",
            "myoedge.extensions.sweeps.commands:advise",
            after="build",
        ),
        CommandHook(
            "sweep",
            "build all combinations of models, budgets and options; find regressions",
            "myoedge.extensions.sweeps.commands:sweep",
            after="check",
        ),
    ),
    steps=(StepHook("advise", "myoedge.extensions.sweeps.commands:advise_step", after="simulate"),),
)
