# SPDX-License-Identifier: Apache-2.0
"""`--reuse`: layers whose weights stayed keep the bytes of the older build; and `--ctc`."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.quantization.files import from_files
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.reports import wording
from tests.conftest import save_exported

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")
FRAMES, CLASSES = 12, 5


class Typing(nn.Module):
    """Frames [T, 1, 6] to log-probabilities [T, 1, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh())
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x)).log_softmax(-1)
        return y


def built(network: nn.Module, calib: Any, folder: Path, **options: Any) -> myoedge.Build:
    example = (torch.zeros(FRAMES, 1, 6),)
    model = save_exported(network.eval(), example, folder.parent / f"{folder.name}.pt2")
    return myoedge.build(model, target="host", calib=calib, output=folder, **options)


def samples(scale: float = 1.0) -> Array:
    rng = np.random.default_rng(0)
    return (scale * rng.standard_normal((8, FRAMES, 1, 6))).astype(np.float32)


def integers(build: myoedge.Build) -> dict[str, dict[str, bytes]]:
    """Every layer's arrays as bytes, by its module path."""
    return {
        step.node.label: {name: a.tobytes() for name, a in step.integers.arrays.items()}
        for step in build.network.steps
    }


def test_what_was_not_trained_again_keeps_its_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = Typing()
    tuned = copy.deepcopy(first)
    with torch.no_grad():
        tuned.head.weight += 0.3
    old = built(first, samples(), tmp_path / "old")
    new = built(tuned, samples(1.7), tmp_path / "new", reuse=old.folder)
    alone = built(tuned, samples(1.7), tmp_path / "alone")
    before, after, anew = (integers(b) for b in (old, new, alone))
    body = [label for label in before if label.startswith("body")]
    assert len(body) == 2
    assert all(after[label] == before[label] for label in body)
    assert any(anew[label] != before[label] for label in body)
    reused = new.report["reused"]
    assert set(reused["kept"]) >= set(body)
    assert "head" in reused["requantised"]
    assert reused["digest"] == old.network.digest
    assert alone.report["reused"] is None
    assert myoedge.validate(new).difference is None


def test_a_layer_in_the_middle_is_requantised_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = Typing()
    tuned = copy.deepcopy(first)
    with torch.no_grad():
        tuned.body[2].weight *= 1.5  # type: ignore[operator]
    old = built(first, samples(), tmp_path / "old")
    new = built(tuned, samples(), tmp_path / "new", reuse=old)
    changed = [label for label in new.report["reused"]["requantised"] if "softmax" not in label]
    assert changed == ["body.2 + body.3"]
    assert integers(new)["head"] == integers(old)["head"]


def test_the_same_network_is_kept_whole(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = Typing()
    old = built(network, samples(), tmp_path / "old")
    new = built(network, samples(3.0), tmp_path / "new", reuse=old)
    assert not new.report["reused"]["requantised"]
    assert "W203" not in [row["code"] for row in new.report["warnings"]]
    assert (new.folder / "weights.safetensors").read_bytes() == (
        old.folder / "weights.safetensors"
    ).read_bytes()


def bits_of(build: myoedge.Build) -> dict[str, int]:
    steps = [step for step in build.network.steps if "weight" in step.integers.arrays]
    return {step.node.label: step.weight_bits for step in steps}


FEW = '[quant]\n"body.*" = { weights = 5 }\n'
SETTINGS = {"of a rule": ({}, FEW), "of a search": ({"weights": "auto"}, "[budget]\nsqnr = 20.0\n")}


@pytest.mark.parametrize("name", SETTINGS)
def test_few_bits_are_kept_and_other_floats_rounded_to_as_many(name: str, tmp_path: Path) -> None:
    """Integers that were rounded on other samples stay; the new build names no bits."""
    options, table = SETTINGS[name]
    config = tmp_path / "myoedge.toml"
    config.write_text(table)
    torch.manual_seed(2)
    first = Typing()
    tuned = copy.deepcopy(first)
    with torch.no_grad():
        tuned.body[2].weight += 0.3  # type: ignore[operator]
    old = built(first, samples(), tmp_path / "old", config=config, **options)
    few = bits_of(old)
    assert max(few["body.0 + body.1"], few["body.2 + body.3"]) < 8
    new = built(first, samples(3.0), tmp_path / "new", reuse=old.folder)
    assert integers(new) == integers(old)
    assert not new.report["reused"]["requantised"]
    other = built(tuned, samples(3.0), tmp_path / "other", reuse=old.folder)
    assert bits_of(other) == few
    reused = other.report["reused"]
    assert reused["rounded"] == ["body.2 + body.3"]
    assert {*reused["rounded"]} <= {*reused["requantised"]}
    assert "with its bits: body.2 + body.3" in wording.reused(reused)
    assert integers(other)["body.0 + body.1"] == integers(old)["body.0 + body.1"]
    assert myoedge.validate(other).difference is None


def test_a_rule_for_other_bits_is_followed(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network, config = Typing(), tmp_path / "myoedge.toml"
    config.write_text(FEW)
    old = built(network, samples(), tmp_path / "old", config=config)
    config.write_text(FEW.replace("5", "7"))
    new = built(network, samples(), tmp_path / "new", config=config, reuse=old)
    assert (bits_of(new)["body.0 + body.1"], bits_of(new)["body.2 + body.3"]) == (7, 7)
    assert "body.0 + body.1" in new.report["reused"]["requantised"]


@pytest.mark.parametrize("change", ["scale", "high", "name"])
def test_a_record_of_bits_that_is_damaged_is_refused(change: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    config = tmp_path / "myoedge.toml"
    config.write_text(FEW)
    old = built(Typing(), samples(), tmp_path / "old", config=config)
    document = json.loads((old.folder / "graph.json").read_text())
    name, row = next(iter(document["rounded"].items()))
    if change == "name":
        document["rounded"] = {"another": row}
    else:
        row[change] = {"scale": row["scale"][:1], "high": 1}[change]
    weights = (old.folder / "weights.safetensors").read_bytes()
    assert name in old.network.graph.formats
    with pytest.raises((ValueError, KeyError)):
        from_files(document, weights)


class FirstFrames(Typing):
    """Its result is the first half of another tensor: no layer of the plan computes it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[: FRAMES // 2]


def test_the_report_counts_the_layers_that_it_lists(tmp_path: Path) -> None:
    network = FirstFrames()
    old = built(network, samples(), tmp_path / "old")
    new = built(network, samples(), tmp_path / "new", reuse=old)
    assert "slice" in [step.node.op for step in new.network.steps]
    reused = new.report["reused"]
    assert [*reused["kept"]] == [row["label"] for row in new.report["layers"]]
    assert not reused["requantised"]


class Causal(nn.Module):
    """Two causal convolutions over time, an LSTM and a head for each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(6, 8, 3), nn.Conv1d(8, 8, 3)
        self.steps, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            x = layer(nn.functional.pad(x, (2, 0))).relu()
        y: Tensor = self.head(self.steps(x.transpose(1, 2))[0])
        return y


def stream(network: nn.Module, scale: float, folder: Path, **options: Any) -> myoedge.Build:
    example = (torch.zeros(1, 6, 24),)
    model = save_exported(network.eval(), example, folder.parent / f"{folder.name}.pt2")
    rng = np.random.default_rng(0)
    calib = (scale * rng.standard_normal((8, 1, 6, 24))).astype(np.float32)
    options = {"stream": True, "target": "host", "simulate": False, **options}
    return myoedge.build(model, calib=calib, output=folder, **options)


def test_a_stream_lists_its_layers_without_states(tmp_path: Path) -> None:
    torch.manual_seed(5)
    first = Causal()
    tuned = copy.deepcopy(first)
    with torch.no_grad():
        tuned.head.weight += 0.3
    old = stream(first, 1.0, tmp_path / "old")
    for network, changed in ((first, []), (tuned, ["head"])):
        new = stream(network, 1.7, tmp_path / f"{len(changed)} changed", reuse=old)
        reused = new.report["reused"]
        layers = {row["label"] for row in new.report["layers"]}
        assert [*reused["requantised"]] == changed
        assert all(any(name in label for label in reused["kept"]) for name in ("second", "steps"))
        assert {*reused["kept"], *changed} <= layers
        assert myoedge.validate(new).difference is None


class Rotations(nn.Module):
    """The mean of a linear layer over rotations of a frame's rows, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(16 * 9, 70), nn.ReLU()), nn.Linear(70, 20)

    def forward(self, x: Tensor) -> Tensor:
        rotated = torch.stack([x.roll(by, 2) for by in (-1, 0, 1)], 2).flatten(3)
        y: Tensor = self.head(self.body(rotated).mean(2))
        return y


@pytest.mark.parametrize(("older", "newer"), [("cores", "auto"), ("auto", "cores")])
def test_rotations_are_other_layers_with_the_other_engine(
    older: str, newer: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    shape = (21, 1, 16, 9)
    model = save_exported(Rotations().eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)

    def build(engine: str, scale: float, **options: Any) -> myoedge.Build:
        folder = tmp_path / f"{engine} {len(options)}"
        return myoedge.build(
            *(model,), calib=scale * calib, output=folder, engine=engine, simulate=False, **options
        )  # fmt: skip

    old = build(older, 1.0)
    assert not build(older, 1.3, reuse=old).report["reused"]["requantised"]
    reused = build(newer, 1.3, reuse=old).report["reused"]
    assert "head" in reused["kept"]
    assert any(label.startswith("body.0") for label in reused["requantised"])


def test_another_network_shares_nothing(tmp_path: Path) -> None:
    torch.manual_seed(3)
    old = built(Typing(), samples(), tmp_path / "old")
    new = built(Typing(), samples(), tmp_path / "new", reuse=old)
    assert not {"body.0 + body.1", "body.2 + body.3", "head"} & set(new.report["reused"]["kept"])
    assert "W203" in [row["code"] for row in new.report["warnings"]]


@pytest.mark.parametrize("each", [True, False])
def test_accuracy_is_of_frames(each: bool, tmp_path: Path) -> None:
    """A label for every frame, or one for all frames of a sample; classes are the last axis."""
    torch.manual_seed(0)
    network, x = Typing(), samples()
    with torch.no_grad():
        best = network(torch.from_numpy(x.swapaxes(0, 1)[:, :, 0])).argmax(-1).numpy().T
    labels = best.copy() if each else best[:, 0].copy()
    if each:
        labels[0] = (labels[0] + 1) % CLASSES  # one of eight samples is wrong throughout
    given = {"input": x, "label": labels}
    report = built(network, given, tmp_path / "out").report["quantization"]
    wanted = 7 / 8 if each else (best == best[:, :1]).mean()
    assert report["accuracy_float"] == pytest.approx(wanted)
    assert report["accuracy_int8"] == pytest.approx(
        wanted, abs=0.1
    )  # weights are random: near ties


def test_accuracy_that_nobody_knows_is_not_measured(tmp_path: Path) -> None:
    """Scores of frames without a softmax, and one label a sample: either axis may be classes."""
    torch.manual_seed(0)
    x = samples()
    network = nn.Linear(6, CLASSES)
    build = built(network, {"input": x, "label": np.zeros(8, int)}, tmp_path / "out")
    assert build.report["quantization"]["accuracy_float"] is None
    (warning,) = (w for w in build.report["warnings"] if w["code"] != "W205")
    assert warning["code"] == "W202"
    assert "--ctc" not in str(warning["tries"])
    told = {"input": x, "label": np.zeros((8, FRAMES), int)}
    assert built(network, told, tmp_path / "told").report["quantization"]["accuracy_float"] >= 0


def test_symbols_of_greedy_decoding(tmp_path: Path) -> None:
    """As torch's argmax, collapsed; the last class is the blank."""
    torch.manual_seed(4)
    network, x = Typing(), 3 * samples()
    texts = {"input": x, "label": np.full((len(x), 9), 30)}  # which are not classes of frames
    build = built(network, texts, tmp_path / "symbols", ctc=-1)
    (warning,) = (w for w in build.report["warnings"] if w["code"] != "W205")
    assert warning["code"] == "W202"
    assert "without --ctc" in str(warning["tries"])
    assert build.report["quantization"]["sqnr_before"] == ["ctc_greedy"]
    assert build.report["outputs"][0]["shape"] == [1, 1 + FRAMES]
    assert build.report["quantization"]["sqnr_db"] > 20
    q = build.network
    logits = next(step.operands[0] for step in q.steps if step.node.op == "ctc_greedy")
    for window in x:
        values = run_int(q.steps, q.constants, quantized_inputs(q, {"x": window}))
        best = torch.as_tensor(values[logits]).argmax(-1)[:, 0]
        seen = torch.unique_consecutive(best)
        wanted = seen[seen != CLASSES - 1].tolist()
        count, *symbols = build.run(window)[0].tolist()
        assert symbols[:count] == wanted
        assert set(symbols[count:]) <= {-1}
    assert myoedge.validate(build).difference is None


def test_greedy_decoding_takes_about_what_is_modelled(tmp_path: Path) -> None:
    network, x = nn.Linear(8, 27), torch.randn(4, 90, 1, 8).numpy()
    example = (torch.zeros(x.shape[1:]),)
    model = save_exported(network.eval(), example, tmp_path / "model.pt2")
    build = myoedge.build(model, calib=x, output=tmp_path / "out", target="gap9", ctc=-1)
    row = myoedge.simulate(build).report["layers"][-1]
    assert row["op"] == "ctc_greedy"
    assert row["cycles_modelled"] == pytest.approx(row["cycles"], rel=0.2)


VOTES = [(96, 5, 40), (40, 50, 5), (60, 20, 7), (80, 100, 9)]


@pytest.mark.parametrize(("frames", "classes", "vote"), VOTES)
def test_votes_take_about_what_is_modelled(
    frames: int, classes: int, vote: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network, x = nn.Linear(8, classes), torch.randn(2, frames, 1, 8).numpy()
    model = save_exported(network.eval(), (torch.zeros(x.shape[1:]),), tmp_path / "model.pt2")
    config = tmp_path / "myoedge.toml"
    config.write_text(f"[model]\nvote = {vote}\n")
    build = myoedge.build(model, calib=x, output=tmp_path / "out", target="gap9", config=config)
    *_, best, row = myoedge.simulate(build).report["layers"]
    assert (best["op"], row["op"]) == ("argmax", "majority")
    assert row["cycles_modelled"] == pytest.approx(row["cycles"], rel=0.2)
    assert best["cycles_modelled"] == pytest.approx(best["cycles"], rel=0.3)


@pytest.mark.parametrize("blank", [CLASSES, -CLASSES - 1])
def test_a_blank_that_is_no_class(blank: int, tmp_path: Path) -> None:
    with pytest.raises(myoedge.MyoedgeError, match="is not among its 5") as caught:
        built(Typing(), samples(), tmp_path / "out", ctc=blank)
    assert caught.value.code == "E207"
    assert not (tmp_path / "out").exists()
