# SPDX-License-Identifier: Apache-2.0
"""Samples of a network by purpose: some calibrate and choose, others are held out to judge; builds
without samples have random ones, or ranges of the model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.embedding import id_limits
from myoedge.quantization.samples import Data, taken, thin, window

TEST, HELD_OUT, CALIBRATION = "test", "held-out", "calibration"  # roles of samples
SHARE = 0.2
MEASURED_SAMPLES = 64  # for SQNR, which runs every layer twice
JUDGED_SAMPLES = 1024  # held-out samples to measure accuracy on; of a test set all are used
SEED = 0
LEAST_SAMPLES = 20  # with fewer samples, all calibrate and all are evaluated


@dataclass(frozen=True)
class Samples:
    """Samples of a network by purpose, in file order: made once, and handed to every stage.

    given       all samples of the calibration recording; the first is the golden sample
    learn       those that are not held out
    calibrate   those of `learn` that determine ranges
    choose      MEASURED_SAMPLES of `learn` at most, on which candidate networks are compared
    judge       held-out samples, which influence no decision; `learn` if none are held out
    test        labelled samples of another file, for accuracy only; None without
    share       requested fraction of held-out samples
    """

    given: Data
    learn: Data
    calibrate: Data
    choose: Data
    judge: Data
    test: Data | None
    share: float

    @property
    def held_out(self) -> Data | None:
        """Held-out samples; None without."""
        return None if self.judge is self.learn else self.judge

    @property
    def judged_on(self) -> str:
        """Name, for reports, of the samples in `judge`."""
        return CALIBRATION if self.held_out is None else HELD_OUT

    @property
    def labelled(self) -> tuple[str, Data] | None:
        """Role and samples on which accuracy is measured: the test set, otherwise `judge`; None
        without labels."""
        role, data = self.judged_on, thin(self.judge, JUDGED_SAMPLES)
        if self.test is not None:
            role, data = TEST, self.test
        return None if data.labels is None else (role, data)


def samples_by_purpose(
    data: Data, share: float = SHARE, test: Data | None = None, *, most: int | None = None
) -> Samples:
    """Hold out a fraction of the samples at random with a fixed seed, because neighbouring samples
    of a recording are similar.

    share   fraction, 0 .. 1; no samples are held out if there are fewer than LEAST_SAMPLES
    test    samples of another file, on which accuracy is measured
    most    maximum number of samples that determine ranges; None: all that are not held out
    """
    count = round(share * data.count)
    learn = judge = data
    if data.count >= LEAST_SAMPLES and count:
        order = np.random.default_rng(SEED).permutation(data.count)
        learn = taken(data, np.sort(order[count:]), "of")
        judge = taken(data, np.sort(order[:count]), "held out of")
    return Samples(
        data, learn, thin(learn, most or learn.count), measured(learn), judge, test, share
    )


def measured(data: Data) -> Data:
    """Select the samples on which SQNR is measured: MEASURED_SAMPLES at most, evenly spaced."""
    return thin(data, MEASURED_SAMPLES)


def describe(samples: Samples) -> dict[str, Any] | None:
    """Return the held-out samples' entry in report.json; None if there are none."""
    if samples.held_out is None:
        return None
    return {"samples": samples.held_out.count, "share": samples.share, "seed": SEED}


# --- builds without samples -----------------------------------------------------------------------


RANDOM_SAMPLES = 64


def at_random(graph: Graph, count: int = RANDOM_SAMPLES) -> Data:
    """Return random samples for a first build: normal noise with a fixed seed, within the file's
    input ranges, and valid integers.

    Every report marks them as random.
    """
    rng = np.random.default_rng(0)
    inputs = {n: _draw_values(rng, graph, n, count) for n in graph.inputs}
    return Data(inputs, None, f"{count} random samples", is_random=True)


def _draw_values(rng: np.random.Generator, graph: Graph, name: str, count: int) -> Array:
    shape, limits = (count, *graph.shape(name)), id_limits(graph, name)
    if limits is None and graph.is_fake_quantized(name):
        return _scale_to_input_range(rng.random(shape), graph, name)
    if limits is None:
        return rng.standard_normal(shape, np.float32)
    return rng.integers(limits[0], limits[1] + 1, shape).astype(graph.tensors[name].dtype)


def _scale_to_input_range(shares: Array, graph: Graph, name: str) -> Array:
    """Map fractions 0 .. 1 to the input range of the model file, before the host's
    normalisation."""
    given, border = graph.given(name), graph.tensors[name].input_normalization
    assert given is not None, "a range of its own"
    params = given.params
    low, high = ((q - params.zero_point) * params.scale for q in (params.low, params.high))
    inside = low + shares * (high - low)
    undone = inside if border is None else np.stack([border.undo(sample) for sample in inside])
    return undone.astype(np.float32)


def need_none(graph: Graph) -> bool:
    """Return whether the model file specifies the parameters of all tensors, so that no samples are
    needed."""
    return bool(graph.has_fake_quantized) and not _uncalibrated_tensors(graph)


def _uncalibrated_tensors(graph: Graph) -> list[str]:
    """Return the float tensors to be calibrated, for which the file specifies no parameters."""
    floats = (name for name, tensor in graph.tensors.items() if tensor.dtype == "float32")
    return [name for name in floats if graph.given(name) is None]


def none_given(graph: Graph) -> MyoedgeError:
    """Return error E219 for missing samples, with code that creates a calibration file."""
    arrays = ", ".join(
        f"{name if len(graph.inputs) > 1 else 'input'}=windows" for name in graph.inputs
    )
    shape = ", ".join(map(str, window(graph.shape(graph.inputs[0]))))
    made = (graph.producer[name] for name in _uncalibrated_tensors(graph) if name in graph.producer)
    layers = list(dict.fromkeys(node.where for node in made)) if graph.has_fake_quantized else []
    return MyoedgeError(
        "E219",
        "there is nothing to calibrate with",
        {
            "needs": "some hundred real input windows",
            "has": "no --calib, no [calib], no example inputs",
            **({"in float": ", ".join(layers[:3])} if layers else {}),
        },
        [
            f"import numpy as np\nwindows = ...  # float32 [samples, {shape}], real recordings\n"
            f'np.savez("calib.npz", {arrays})',
            "myoedge build ... --calib calib.npz",
        ],
    )
