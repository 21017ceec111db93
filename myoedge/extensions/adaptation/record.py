# SPDX-License-Identifier: Apache-2.0
"""Settings of a build's adaptation, the memory of the firmware that it needs, and the classifier
that results from a session; classes that the network itself decided with confidence, in place of
labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from myoedge.extensions.adaptation.norm import InputNorm
from myoedge.extensions.adaptation.report import EXPONENTIALS, STEPS
from myoedge.numerics.arrays import Array

AGREEING, OF_HELD_BACK = (
    9,
    10,
)  # required share of held-back windows on which the old and the new classifier agree

MOST_FACTOR = 1 << 24  # with more, a difference of 1 is already past the table of exponentials


@dataclass(frozen=True)
class Pseudo:
    """Confidence in the network's decision, 15 bits after the point.

    threshold   the least confidence of a pseudo-label
    factor      of differences of scores: their step times 16 (1 / 16 is a step of the
                exponentials), with 12 bits after the point; of probabilities: their step, with 23;
                at most MOST_FACTOR
    is_probability   whether the network's scores are probabilities, else they are logits
    zero_point  of the scores
    """

    threshold: int
    factor: int
    is_probability: bool
    zero_point: int

    def confidence(self, scores: Array) -> int:
        """Return the confidence in the largest of integer scores [classes]."""
        values = scores.reshape(-1).astype(np.int64)
        best = int(values.max())
        if self.is_probability:
            return (best - self.zero_point) * self.factor >> 8
        behind = (best - values) * self.factor >> 12
        powers = np.where(behind < STEPS, EXPONENTIALS[np.minimum(behind, STEPS - 1)], 0)
        return (1 << 30) // int(powers.sum())

    def label(self, scores: Array) -> int:
        """Return the class of the largest score, the first of equals; -1: not confident."""
        is_confident = self.confidence(scores) >= self.threshold
        return int(scores.reshape(-1).argmax()) if is_confident else -1


def pseudo(threshold: float, scale: float, zero_point: int, *, is_probability: bool) -> Pseudo:
    """Return the settings for scores with a scale, whose decisions are labels from a confidence
    on."""
    step = scale * (2.0**23 if is_probability else 16 * 2.0**12)
    factor = min(max(round(step), 1), MOST_FACTOR)
    return Pseudo(round(threshold * 2**15), factor, is_probability, zero_point)


MOST_FEATURES = 256  # features per window: sums of products fit their integers
MOST_CLASSES = 64
NEVER = -(1 << 31)  # bias of a class without windows, which therefore never wins


@dataclass(frozen=True)
class Adaptation:
    """Settings of the adaptation of one network.

    layer, name     index in network.c of the layer whose results are the features, and its tensor;
                    -1 and "" with norm only
    features        features per window, at most MOST_FEATURES; 0 with norm only
    positions       positions of the layer's result, over which features are averaged
    group           neighbouring channels of the result whose average is a feature; the last feature
                    may have fewer
    classes         number of classes of the network's output
    zero_point      zero point of the features
    methods         supported methods, a subset of METHODS
    held_back       maximum number of windows per class that are held back to evaluate the result
    kept            maximum number of windows per class that the head is trained on
    exponent        features divided by 2**exponent have a root mean square near 1
    replay          int8 features of training windows [n, features]
    replay_labels   classes of these windows [n]
    norm            the input's channels, if norm is supported
    pseudo          confidence of pseudo-labels, if they are supported
    """

    layer: int
    name: str
    features: int
    positions: int
    group: int
    classes: int
    zero_point: int
    methods: tuple[str, ...]
    held_back: int
    kept: int
    exponent: int
    replay: Array = field(repr=False)
    replay_labels: Array = field(repr=False)
    norm: InputNorm | None = None
    pseudo: Pseudo | None = None


PARTS: dict[str, Any] = {"norm": InputNorm, "pseudo": Pseudo}  # fields that are dataclasses


def to_arrays(adaptation: Adaptation) -> dict[str, Array]:
    """Return the fields of an adaptation as arrays."""
    values = {one.name: getattr(adaptation, one.name) for one in fields(Adaptation)}
    for part in PARTS:
        of_part = values.pop(part)
        if of_part is not None:
            values |= {f"{part}.{one.name}": getattr(of_part, one.name) for one in fields(of_part)}
    return {name: np.array(value) for name, value in values.items()}


def from_arrays(arrays: Mapping[str, Array]) -> Adaptation:
    """Restore an adaptation from the result of `to_arrays`."""
    values: dict[str, Any] = {name: x if x.ndim else x.item() for name, x in arrays.items()}
    values["methods"] = tuple(map(str, arrays["methods"]))
    for part, kind in PARTS.items():
        names = [name for name in arrays if name.startswith(f"{part}.")]
        of_part = {name.removeprefix(f"{part}."): values.pop(name) for name in names}
        values[part] = kind(**of_part) if of_part else None
    return Adaptation(**values)


def pooled(results: Array, group: int = 1) -> Array:
    """Return int8 means over positions and groups of channels, rounded half up [features].

    results   [positions, channels]
    group     neighbouring channels of a feature; the last feature may have fewer
    """
    positions, channels = results.shape
    firsts = np.arange(0, channels, group)
    sums = np.add.reduceat(results.astype(np.int64).sum(axis=0), firsts)
    counts = positions * np.diff([*firsts, channels])
    return np.asarray((sums + counts // 2) // counts).astype(np.int8)


def label_at(labels: Array, ready: int) -> int:
    """Return the class of a window.

    labels   of a sample or recording: one class, or one of each output frame
    ready    output frames up to the window's last
    """
    row = np.atleast_1d(labels)
    return int(row[min(ready, len(row)) - 1])


@dataclass(frozen=True)
class Classifier:
    """A linear classifier: the class with the largest weights . x + bias; the first one in a tie.

    weights   int16 [classes, features], magnitudes of at most 2**14
    bias      int32 [classes]
    x         features minus their zero point, -255 .. 255, so that scores fit int32
    """

    weights: Array
    bias: Array

    def decide(self, x: Array) -> Array:
        """Return the class of each row of x [n, features]."""
        scores = x.astype(np.int64) @ self.weights.T.astype(np.int64) + self.bias
        return np.asarray(scores.clip(NEVER, -NEVER - 1).argmax(axis=1))


# --- memory of the firmware -----------------------------------------------------------------------


# Arrays whose contents are not kept between calls.
PASSING = (
    "means",
    "directions",
    "factor",
    "inverses",
    "gradient",
    "raw_input",
    "normed_input",
    "scores",
)


@dataclass(frozen=True)
class Room:
    """An array of the firmware's adaptation.

    name    its field of the C struct me_adapt_network
    dtype   element type
    count   number of elements
    """

    name: str
    dtype: str
    count: int


def rooms(adaptation: Adaptation) -> tuple[Room, ...]:
    """Return the firmware's arrays for the methods of a build."""
    size, classes, norm = adaptation.features, adaptation.classes, adaptation.norm
    lda, head = ("lda" in adaptation.methods), ("head" in adaptation.methods)
    sums = lda or "prototypes" in adaptation.methods
    numbers, triangle, factors = classes * size, size * (size + 1) // 2, classes * (size + 1)
    found = [
        Room("held", "int8", numbers * adaptation.held_back),
        Room("weights", "int16", 2 * numbers),
        Room("means", "int64", (numbers + size) * sums),
        Room("directions", "int64", (numbers + size) * sums),
        Room("sums", "int32", numbers * sums),
        Room("products", "int32", triangle * lda),
        Room("factor", "int32", triangle * lda),
        Room("inverses", "uint32", size * lda),
        Room("head", "int32", factors * head),
        Room("momentum", "int32", factors * head),
        Room("gradient", "int32", factors * head),
        Room("stored", "int8", numbers * adaptation.kept * head),
    ]
    if norm is not None:
        found.append(Room("norm_sums", "int64", 2 * norm.channels))
        found.append(Room("norm", "int32", 2 * norm.channels))
        found += [Room(name, norm.dtype, norm.elements) for name in ("raw_input", "normed_input")]
    found.append(Room("scores", "int32", classes * (adaptation.pseudo is not None)))
    return tuple(room for room in found if room.count)


def l2_bytes(adaptation: Adaptation, *, in_flash: bool = False) -> int:
    """Return the bytes of L2, or of RAM, for these arrays, the features and the stored windows.

    in_flash   whether calibration samples are read in place from flash
    """
    sizes = (np.dtype(room.dtype).itemsize * room.count for room in rooms(adaptation))
    replay = 0 if in_flash else adaptation.replay.nbytes + len(adaptation.replay)
    return sum(sizes) + replay + adaptation.features
