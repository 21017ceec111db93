# SPDX-License-Identifier: Apache-2.0
"""Classifiers of ai.onnx.ml on the simulated chip: exact, and as onnxruntime decides."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto

import myoedge
from tests.support.onnx.models import saved
from tests.unit.test_classic import FEATURES, Rng, floats, machine, ml, with_ml
from tests.unit.test_trees import ORDERED, Drawn, drawn

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
    lists = (one for node in made.graph.node for one in node.attribute)
    assert build.report["model"]["params"] == sum(len(one.floats) for one in lists) > 10
    found = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    assert found.onnx_db is not None
    assert found.onnx_db >= 40.0


class Features(torch.nn.Module):
    """Four features per channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        d = x[..., 1:] - x[..., :-1]
        crossings = (x[..., :-1] * x[..., 1:] < 0) & (d.abs() >= 0.1)
        turns = ((x[..., 1:-1] - x[..., :-2]) * (x[..., 1:-1] - x[..., 2:]) > 0.01).float().sum(-1)
        parts = (x.abs().mean(-1), d.abs().sum(-1), crossings.float().sum(-1), turns)
        return torch.cat(parts, -1)


def test_features_before_a_forest(tmp_path: Path) -> None:
    """Trees read 16 bits, which features write; both exact, samples of several tiles."""
    rng = np.random.default_rng(0)
    lists = drawn(rng, [0, 1, 2]).attributes("class")
    trees = ml("TreeEnsembleClassifier", "f", "label y", classlabels_int64s=[0, 1, 2], **lists)
    path = tmp_path / "features.onnx"
    example = torch.zeros(1, 2, 9000)
    torch.onnx.export(
        Features(), (example,), path, input_names=["x"], output_names=["f"], opset_version=17,
        dynamo=False,
    )  # fmt: skip
    made = onnx.load(path)
    made.graph.node.append(trees)
    made.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, (1, 3)))
    made.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    x = rng.normal(size=(8, 1, 2, 9000)).astype(np.float32)
    build = myoedge.build(
        saved(made, tmp_path), target="gap9", calib={"x": x}, output=tmp_path / "out"
    )
    found = myoedge.validate(build, on=("host", "simulator"))
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)


def test_the_header_has_the_files_class_names(tmp_path: Path) -> None:
    """As C has them, also those that no source file could have as they are."""
    names = ["Ruhe", 'Faust "zu"', "a\\b??/", "größer"]
    lists = drawn(np.random.default_rng(1), [0, 1, 2, 3]).attributes("class")
    made = with_ml(
        ml("TreeEnsembleClassifier", "x", "label y", classlabels_strings=names, **lists),
        outputs=("label", "y"),
    )
    x = np.random.default_rng(0).normal(size=(SAMPLES, 1, FEATURES)).astype(np.float32)
    build = myoedge.build(saved(made, tmp_path), calib={"x": x}, output=tmp_path / "out")
    program = """#include <stdio.h>
#include "model.h"
static const char *const names[MODEL_CLASSES] = MODEL_CLASS_NAMES;
int main(void) { for (int i = 0; i < MODEL_CLASSES; i++) puts(names[i]); return 0; }
"""
    (tmp_path / "names.c").write_text(program)
    source = build.folder / "src"
    compiler = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{source}", "names.c"]
    subprocess.run([*compiler, f"-I{source / 'include'}", "-o", "names"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "names"], capture_output=True, check=True).stdout
    assert printed.decode().splitlines() == names
