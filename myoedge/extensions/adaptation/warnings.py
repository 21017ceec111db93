# SPDX-License-Identifier: Apache-2.0
"""Warnings about the labelled windows of a session of adaptation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from myoedge.building.warning_rules import warnings_about
from myoedge.catalogue import warning
from myoedge.errors import Notice
from myoedge.extensions.adaptation.session import LEAST_CLASSES
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.holdout import TEST
from myoedge.quantization.samples import Data

if TYPE_CHECKING:
    from myoedge.backends.build import Build


def missing_classes(data: Data, labels: Sequence[int], classes: int) -> Iterator[Notice]:
    """Yield W212 if a session has no windows of some classes.

    labels    class of each window
    classes   number of classes of the network
    """
    present = sorted({*map(int, labels)})
    if len(present) == classes:
        return
    names = data.class_names or tuple(map(str, range(classes)))
    values = {
        "source": data.source,
        "present": ", ".join(names[i] for i in present),
        "missing": ", ".join(names[i] for i in range(classes) if i not in present),
        "one": len(present) < LEAST_CLASSES,
    }
    yield warning("W212", values)


def unlike_decisions(
    build: Build, data: Data, labels: Sequence[int], decided: Sequence[int], role: str
) -> tuple[Notice, ...]:
    """Return the warnings of `validate` about samples and labels: W207, W209, W211.

    labels    class of each window
    decided   class of each window by the network as built
    role      "test" for a test set, otherwise as Evaluation.data
    """
    given, integer = (np.asarray(x, np.int64) for x in (labels, decided))
    of_samples = (role, data.source, data.count, data.class_names)
    found = Evaluation(given, None, integer, *of_samples)
    return warnings_about(build, data, found, is_test=role == TEST)
