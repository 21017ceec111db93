# SPDX-License-Identifier: Apache-2.0
"""Labelled samples: reading them for an existing build, and their names in messages."""

from __future__ import annotations

from dataclasses import replace

from myoedge.backends.build import Build
from myoedge.backends.samples import given_data
from myoedge.building.config import Found, find
from myoedge.errors import set_in
from myoedge.quantization.recordings.reading import OF_LABELLED, of_option
from myoedge.quantization.recordings.sources import AS_GIVEN
from myoedge.quantization.samples import Data, Given

INPUT = "--input"


def samples_for(
    build: Build, given: Given, option: str = INPUT, *, any_length: bool = False
) -> Data:
    """Read labelled samples, scaled to the unit of training, with the class names of the build.

    option   command-line option of the samples, for messages; for options except INPUT, samples
             must have labels and are read with the settings of [calib] in ./myoedge.toml
    any_length   as given_data
    Errors: as given_data, E230 .. E232.
    """
    is_test = option != INPUT
    found = find(None)
    settings = found.settings
    reading = settings.test.reading(settings.calib.reading) if is_test else AS_GIVEN
    reading = replace(reading, classes=reading.classes or build.class_names)
    place = labelled_in(found, option) if is_test else INPUT
    with set_in(place, of_option(option) | (OF_LABELLED if is_test else {})):
        return given_data(build, given, reading, needs_labels=is_test, any_length=any_length)


def test_set_in(found: Found, *, is_typed: bool) -> str:
    """Return the source of the test set for messages: --test if it was given, otherwise [test]."""
    return labelled_in(found, "--test") if is_typed else f"[test] of {found.file}"


def labelled_in(found: Found, option: str) -> str:
    """Return the source of labelled samples for messages: the option, and [test] if it names the
    labels."""
    label = found.settings.test.label
    return option if label is None else f"{option}, with the label of [test] of {found.file}"
