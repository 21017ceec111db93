# SPDX-License-Identifier: Apache-2.0
"""Reading of samples for an existing build, such as test sets."""

from __future__ import annotations

from dataclasses import replace

from myoedge.backends.build import Build
from myoedge.backends.samples import given_data
from myoedge.building import config
from myoedge.errors import set_in
from myoedge.quantization.recordings.reading import OF_INPUT, OF_TEST
from myoedge.quantization.recordings.sources import AS_GIVEN
from myoedge.quantization.samples import Data, Given


def samples_for(build: Build, given: Given, *, is_test: bool = False) -> Data:
    """Read labelled samples, scaled to the unit of training, with the class names of the build.

    is_test   whether they are a test set, which must have labels and is read with the settings of
              [calib] in ./myoedge.toml
    Errors: as given_data, E230 .. E232.
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
