# SPDX-License-Identifier: Apache-2.0
"""Samples that a person gives to a build, as [calib] of the project says how they are read."""

from __future__ import annotations

from dataclasses import replace

from myoedge.backends.build import Build
from myoedge.backends.equivalence import given_data
from myoedge.building import config
from myoedge.quantization.samples import Data, Given


def samples_for(build: Build, given: Given, *, needs_labels: bool = False) -> Data:
    """Samples with their labels, read as [calib] of ./myoedge.toml says; classes have the names of
    the build's. Errors: those of given_data, E230 .. E232."""
    settings, _ = config.find(None)
    reading, known = settings.calib.reading, build.report["quantization"].get("classes") or {}
    classes = reading.classes or tuple(known.get("names") or ())
    reading = replace(reading, classes=classes)
    return given_data(build, given, reading, needs_labels=needs_labels)
