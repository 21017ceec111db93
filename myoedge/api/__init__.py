# SPDX-License-Identifier: Apache-2.0
"""One function per verb of the command line, with the same arguments."""

from __future__ import annotations

from myoedge.api.models import build, inspect, load, load_build, ops, quantize
from myoedge.api.projects import (
    check_plugin,
    doctor,
    explain,
    init,
)
from myoedge.api.reports import calibrate_energy, check, diff, energy, peaks, report
from myoedge.api.results import Inspection, Operator, Validation
from myoedge.api.runs import simulate, simulate_elf, validate
from myoedge.backends.build import Build

__all__ = [
    "Build",
    "Inspection",
    "Operator",
    "Validation",
    "build",
    "calibrate_energy",
    "check",
    "check_plugin",
    "diff",
    "doctor",
    "energy",
    "explain",
    "init",
    "inspect",
    "load",
    "load_build",
    "ops",
    "peaks",
    "quantize",
    "report",
    "simulate",
    "simulate_elf",
    "validate",
]
