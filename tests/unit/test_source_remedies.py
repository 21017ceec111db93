# SPDX-License-Identifier: Apache-2.0
"""Remedies in terms of what made the model: scikit-learn's estimators, torchao's quantize_."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.onnx.scikit_learn import ESTIMATORS, in_terms_of_the_source
from myoedge.frontend.refusals import Refusal
from myoedge.frontend.torch.checkpoint import load_checkpoint
from myoedge.frontend.torch.load import load_exported
from myoedge.graph.origin import Origin
from tests.support import attacks
from tests.support.onnx.models import model, node, saved
from tests.unit.test_classic import ml, with_ml

# Operators of files that skl2onnx 1.20 writes, with the one that is refused.
WRITTEN = {
    "KNeighborsClassifier": ("TopK", "Scan TopK Flatten ArrayFeatureExtractor Equal Cast ArgMax"),
    "AdaBoostRegressor": ("TopK", "TreeEnsembleRegressor Concat TopK CumSum ArgMax Cast"),
    "AdaBoostClassifier": ("Cast", "TreeEnsembleClassifier ArgMax Where Mul Sum Cast Equal"),
    'method="isotonic"': ("ArrayFeatureExtractor", "LinearClassifier ArrayFeatureExtractor Clip"),
    '"Imputer" not in': ("Imputer", "Imputer LinearClassifier Normalizer Cast"),
    "PowerTransformer": ("Pow", "Pow Log Imputer Where Scaler"),
    "docs/train-and-deploy/networks.md": ("StringNormalizer", "StringNormalizer TfIdfVectorizer"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_files_of_skl2onnx_are_answered_with_an_estimator(name: str) -> None:
    refused, written = WRITTEN[name]
    made = model([node(op, "x", "y") for op in written.split()], producer_name="skl2onnx")
    refusals = [Refusal(f"ai.onnx.ml.{refused}", Origin(), "why", "an operator of ONNX")]
    (told,) = in_terms_of_the_source(made, refusals)
    assert name in told.instead
    made.producer_name = "pytorch"
    assert [*in_terms_of_the_source(made, refusals)] == refusals
    assert len(ESTIMATORS) == len(WRITTEN) - 1, "each has a case"


def test_a_refusal_of_a_whole_file_names_estimators_alone(tmp_path: Path) -> None:
    imputer = with_ml(ml("Imputer", imputed_value_floats=[0.0], replaced_value_float=np.nan))
    imputer.producer_name = "skl2onnx"
    with pytest.raises(MyoedgeError) as caught:
        load_onnx(saved(imputer, tmp_path))
    assert caught.value.code == "E111"
    assert "make_pipeline(*steps)" in caught.value.notice.tries[0]
    assert "ONNX's own operators" not in str(caught.value)


@pytest.fixture
def quantised(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """A weight of a class that is named as torchao's: pickles hold its name and its tensors."""

    class Int8Tensor(torch.Tensor):
        pass

    module = ModuleType("torchao.quantization")
    monkeypatch.setitem(sys.modules, "torchao", ModuleType("torchao"))
    monkeypatch.setitem(sys.modules, "torchao.quantization", module)
    Int8Tensor.__module__, Int8Tensor.__qualname__ = module.__name__, "Int8Tensor"
    module.Int8Tensor = Int8Tensor  # type: ignore[attr-defined]
    return torch.Tensor._make_subclass(Int8Tensor, torch.ones(4, 2, 3))


def test_an_archive_with_weights_of_torchao(quantised: torch.Tensor, tmp_path: Path) -> None:
    content = attacks.members(attacks.saved(tmp_path))

    def change(tree: dict[str, dict[str, dict[str, object]]]) -> None:
        tree["config"]["conv.weight"]["use_pickle"] = True

    content = attacks.edited(content, attacks.WEIGHTS, change)
    names = [name for name in content if "data/weights/weight_" in name]
    content[names[0]] = attacks.torch_pickle(quantised)
    refused(attacks.pack(tmp_path / "m.pt2", content), "E107")


def test_a_checkpoint_with_weights_of_torchao(quantised: torch.Tensor, tmp_path: Path) -> None:
    torch.save(OrderedDict(weight=quantised), tmp_path / "m.pt")
    refused(tmp_path / "m.pt", "E109")


def refused(path: Path, code: str) -> None:
    """The remedy, run on a module whose weights torch quantised, gives plain floats."""
    with pytest.raises(MyoedgeError, match="objects of torchao") as caught:
        load_exported(path) if path.suffix == ".pt2" else load_checkpoint(
            path, "tests.support.networks.small:make_small", None
        )
    assert caught.value.code == code
    assert "export it again" not in str(caught.value)
    first, second = caught.value.notice.tries
    assert "before quantize_" in second
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.LayerNorm(2, 1e-5, False)
    )
    weight = model[0].weight.detach()
    packed = torch.quantize_per_tensor(weight, 0.01, 0, torch.qint8)
    model[0].weight = torch.nn.Parameter(packed, requires_grad=False)
    exec(first.partition("\n")[2], {"torch": torch, "model": model})
    assert torch.equal(model[0].weight, packed.dequantize())
    assert model[0].weight.dtype == torch.float32
