# SPDX-License-Identifier: Apache-2.0
"""Classifiers of ai.onnx.ml on the simulated chip: exact, and as onnxruntime decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto

import myoedge
from tests.onnx_models import saved
from tests.unit.test_classic import FEATURES, Rng, floats, machine, ml, with_ml
from tests.unit.test_trees import ORDERED, Drawn

SAMPLES = 64


def forest(rng: Rng) -> NodeProto:
    """More trees than cores, of any depth up to ten; leaves of one class or of several."""
    made = Drawn(rng, (*ORDERED, "BRANCH_EQ"))
    for number in range(37):
        made.tree(number, int(rng.integers(11)), [0, 1, 2, 3])
    labels = [0, 1, 2, 3]
    lists = made.attributes("class")
    return ml("TreeEnsembleClassifier", "z", "label y", classlabels_int64s=labels, **lists)


def radial(rng: Rng) -> NodeProto:
    made = machine(rng, "RBF", classes=4)
    made.input[0] = "z"
    return made


@pytest.mark.parametrize("kind", [forest, radial])
def test_exact_and_as_onnxruntime_computes(
    kind: Callable[[Rng], NodeProto], tmp_path: Path
) -> None:
    """Features of unlike sizes, which a Scaler makes more unlike."""
    rng = np.random.default_rng(0)
    offset, scale = floats(rng.normal(size=FEATURES)), [1.0, 10.0, 0.1, 1.0, 5.0]
    made = with_ml(
        ml("Scaler", "x", "z", offset=offset, scale=scale), kind(rng), outputs=("label", "y")
    )
    x = (rng.normal(size=(SAMPLES, 1, FEATURES)) * [1.0, 0.1, 10.0, 1.0, 0.2]).astype(np.float32)
    build = myoedge.build(
        saved(made, tmp_path), target="gap9", calib={"x": x}, output=tmp_path / "out"
    )
    found = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    assert found.onnx_db is not None
    assert found.onnx_db >= 40.0
