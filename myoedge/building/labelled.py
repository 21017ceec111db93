# SPDX-License-Identifier: Apache-2.0
"""Samples that a person gives to a build, and test sets."""

from __future__ import annotations

from dataclasses import replace

from myoedge.backends.build import Build
from myoedge.backends.equivalence import given_data
from myoedge.building import config
from myoedge.errors import set_in
from myoedge.quantization.recordings.reading import OF_INPUT, OF_TEST
from myoedge.quantization.recordings.sources import AS_GIVEN
from myoedge.quantization.samples import Data, Given


def samples_for(build: Build, given: Given, *, is_test: bool = False) -> Data:
    """Samples with their labels, in the unit of training; classes have the names of the build's.

    is_test   a test set, which has labels and is read as [calib] of ./myoedge.toml says
    Errors: those of given_data, E230 .. E232.
    """
    found = config.find(None)
    settings = found.settings
    reading = settings.test.reading(settings.calib.reading) if is_test else AS_GIVEN
    known = build.report["quantization"].get("class_names")
    classes = reading.classes or tuple(known or ())
    reading = replace(reading, classes=classes)
    place = config.test_set_in(found, is_typed=True) if is_test else "--input"
    with set_in(place, OF_TEST if is_test else OF_INPUT):
        return given_data(build, given, reading, needs_labels=is_test)
