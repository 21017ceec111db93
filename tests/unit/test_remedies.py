# SPDX-License-Identifier: Apache-2.0
"""Remedies of warnings: each is applied to the input that the warning is about, and helps."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.building import sample_conditions as samples
from myoedge.building import warning_rules as networks
from myoedge.building.loading import Model, load_model
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.building.quantized import Known, Quantized
from myoedge.building.sample_statistics import described
from myoedge.catalogue import entries
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import every_value
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.holdout import samples_by_purpose
from myoedge.quantization.samples import Data, fit
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.quantization.unseen_values import beyond_ranges
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.onnx.models import model as onnx_model
from tests.support.onnx.models import node, saved
from tests.support.searches import started, workshop_of
from tests.support.warning_rules import Condition, applied, applies, printed, warnings_of, written
from tests.unit.test_accuracy_warnings import GOOD, GUESSED, LABELS
from tests.unit.test_left_ranges import Adding
from tests.unit.test_output_fidelity import (
    DRAWN,
    QUIET,
    SMALL,
    Decided,
    Fast,
    Product,
    decided,
    detector,
    windows,
)
from tests.unit.test_refine import graph_of
from tests.unit.test_sample_warnings import WINDOWS, Net
from tests.unit.test_unseen_branches import FORMS, network_of, told_of

MAKERS = ("notice", "Notice")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data(model: Model, **arrays: Array) -> Data:
    return fit(Data(arrays, None, "arrays"), model.graph)


def told(when: Condition, **known: Any) -> list[str]:
    """Remedies of the only warning; [] for none."""
    found = warnings_of(when, Known(**known))
    assert len(found) <= 1
    return [line for warning in found for line in warning.tries]


def loaded(net: nn.Module, *examples: Tensor) -> Model:
    return load_model(save_exported(net, examples, Path("m.pt2")))


def quantized(model: str | Path, calib: Any, **options: Any) -> Quantized:
    return run_quantize(Options(Path(model), calib, say=lambda stage: None, **options))


def codes(found: Quantized) -> set[str]:
    return {warning.code for warning in found.warnings}


# --- samples --------------------------------------------------------------------------------------


@applies("W204", "np.savez")
def test_saved_by_the_name_of_the_input(folder: Path) -> None:
    model = loaded(nn.Linear(4, 3), torch.zeros(1, 4))
    x = np.ones((2, 4), np.float32)
    (line,) = told(samples.renamed, model=model, data=data(model, emg=x))
    exec(line.replace("...", "'calib.npz'", 1).replace("...", "x"), {"np": np, "x": x})
    with np.load("calib.npz") as arrays:
        assert told(samples.renamed, model=model, data=data(model, **arrays)) == []


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


@applies("W201", "calibrate with real", "if it is a mask")
def test_values_that_differ(folder: Path) -> None:
    x, ones = WINDOWS[:4, 0], np.ones((4, 30), np.float32)
    model = loaded(Masked(), torch.zeros(1, 30), torch.zeros(1, 30))
    for given in ({"x": ones, "mask": x}, {"x": x, "mask": ones}):
        assert len(told(samples.constant, model=model, data=data(model, **given))) == 2
    mask = (x > 0).astype(np.float32)
    assert told(samples.constant, model=model, data=data(model, x=x, mask=mask)) == []


class First(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.relu(x)


class Sum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.relu(x) + y


@applies("W109", "torch export with a separate")
def test_a_tensor_for_each_input(folder: Path) -> None:
    x = torch.ones(1, 4)
    (line,) = told(samples.unread, model=loaded(Sum(), x, x))
    assert "(x, x.clone()), not (x, x)" in line
    assert told(samples.unread, model=loaded(Sum(), x, x.clone())) == []


@applies("W109", "onnx onnx.utils", "skl2onnx onnx.utils")
def test_a_file_of_the_inputs_that_are_read(folder: Path) -> None:
    for producer in ("pytorch", "skl2onnx"):
        made = onnx_model(
            [node("Relu", "x", "z")], {"x": (1, 4), "y": (1, 4)}, ["z"], producer_name=producer
        )
        (line,) = told(samples.unread, model=load_model(saved(made, folder)))
        exec(line, {"onnx": onnx})
        read = load_model(folder / "read.onnx")
        assert (read.graph.inputs, told(samples.unread, model=read)) == (("x",), [])


@applies("W206", "torch {torch_export}")
def test_an_export_of_one_window(folder: Path) -> None:
    net, example = Net(), torch.zeros(16, 4, 30)
    (line,) = told(samples.batch, model=loaded(net, example))
    code = line.removesuffix(": a batch of one")
    program = eval(code, {"torch": torch, "model": net, "example": example})
    torch.export.save(program, "one.pt2")
    assert told(samples.batch, model=load_model(Path("one.pt2"))) == []


@applies("W206", "onnx {onnx_export}")
def test_an_onnx_file_of_one_window(folder: Path) -> None:
    net, example = nn.ReLU().eval(), torch.zeros(16, 4, 30)
    torch.onnx.export(net, (example,), "model.onnx", dynamo=False)
    (line,) = told(samples.batch, model=load_model(Path("model.onnx")))
    exec(line.removesuffix(")") + ", dynamo=False)",
         {"torch": torch, "model": net, "example": example})  # fmt: skip
    assert told(samples.batch, model=load_model(Path("model.onnx"))) == []


@applies("W205", "none", "there", "other", "myoedge build")
def test_more_samples(folder: Path) -> None:
    """Those of a script, of the file in use, of another file, cut from recordings."""
    loaded(Net(), torch.zeros(1, 4, 30))

    def few(*words: str) -> list[str]:
        ran = command("quantize", "m.pt2", *words, cwd=folder)
        assert ran.code == 0, ran.err
        lines = ran.err.partition("warning[W205]")[2].partition("\n\n")[0].splitlines()
        return [x.strip().removeprefix("try").strip() for x in lines if x.startswith("  try")]

    script, *_ = few()
    assert command(*script.split("  ")[0].split()[1:], "--from", "m.pt2", cwd=folder).code == 0
    runpy.run_path("make_calib.py", run_name="__main__")
    Path("myoedge.toml").unlink()
    np.savez("few.npz", input=WINDOWS[:3])
    other, recordings = few("--calib", "few.npz")
    assert other == "myoedge build ... --calib calib.npz"
    assert few(*shlex.split(other)[3:]) == []
    Path("recordings").mkdir()
    np.save("recordings/a.npy", WINDOWS.transpose(0, 2, 1).reshape(-1, 4))
    assert few(*shlex.split(recordings.split("  ")[0])[3:]) == []
    shutil.copy("few.npz", "calib.npz")
    assert few("--calib", "calib.npz")[0] == "more windows in calib.npz"
    np.savez("calib.npz", input=WINDOWS)
    assert few("--calib", "calib.npz") == []


@applies("W207", "input=windows", "line")
def test_samples_of_the_unit_of_training(folder: Path) -> None:
    model = loaded(Net(), torch.zeros(1, 4, 30))
    windows = WINDOWS / 1000
    change, line = told(samples.unlike_training, model=model, data=data(model, x=windows))
    code = change.partition(",")[0].replace("input=", "")
    scale = tomllib.loads(line.partition("  ")[0].removeprefix("[calib] "))["scale"]
    for x in (eval(code, {"windows": windows}), windows * scale):
        assert told(samples.unlike_training, model=model, data=data(model, x=x)) == []


@applies("W207", "input=windows", "line")
def test_a_test_set_of_the_unit_of_calibration(folder: Path) -> None:
    model = loaded(Net(), torch.zeros(1, 4, 30))
    known = described(model, data(model, x=WINDOWS))
    windows, when = WINDOWS / 1000, samples.unlike_calibration
    given = Data({"x": windows}, None, "50 samples of t.npz")
    change, line = told(when, described=known, data=given, is_test=True)
    code = change.partition(",")[0].replace("input=", "")
    scale = tomllib.loads(line.partition("  ")[0].removeprefix("[calib] "))["scale"]["t.npz"]
    for x in (eval(code, {"windows": windows}), windows * scale):
        assert told(when, described=known, data=data(model, x=x), is_test=True) == []


@applies("W208", "windows.reshape")
def test_windows_that_are_transposed(folder: Path) -> None:
    model = loaded(Net(), torch.zeros(1, 4, 30))
    windows = WINDOWS.transpose(0, 2, 1).reshape(-1, 4, 30)
    (line,) = told(samples.turned, model=model, data=data(model, x=windows))
    x = eval(line.partition(", if")[0], {"windows": windows})
    assert told(samples.turned, model=model, data=data(model, x=x)) == []


@applies("W211", "another recording")
def test_a_test_set_of_another_recording(folder: Path) -> None:
    model = loaded(Net(), torch.zeros(1, 4, 30))
    known = described(model, data(model, x=WINDOWS[:30]))
    for part, count in ((slice(20, 40), 1), (slice(30, 50), 0)):
        test = data(model, x=WINDOWS[part])
        assert len(told(samples.shared, described=known, data=test, is_test=True)) == count


# --- labels ---------------------------------------------------------------------------------------


def of_labels(labels: Array, real: Array, integer: Array | None = None, **more: Any) -> list[str]:
    judged = Evaluation(labels, real, real if integer is None else integer)
    return told(samples.unlike_labels, evaluation=judged, **more)


@applies("W209", "names", "unnamed")
def test_labels_in_the_order_of_the_outputs(folder: Path) -> None:
    real, given = np.array([3, 0, 1, 2])[GOOD], dict[str, Array]()
    (line,) = of_labels(LABELS, real)
    exec(line, {"np": np, "label": LABELS}, given)
    assert of_labels(given["label"], real) == []
    names = ("fist", "open", "pinch", "rest")
    (named,) = told(samples.unlike_labels, evaluation=Evaluation(LABELS, real, real, names=names))
    classes = tomllib.loads(named.removeprefix("[calib] "))["classes"]
    assert of_labels(np.array([classes.index(name) for name in names])[LABELS], real) == []


@applies("W209", "skewed")
def test_as_many_samples_of_each_class() -> None:
    """Of a network that is wrong in 3 of 100 windows of each class."""
    wrong = np.arange(1200) % 100 < 3
    skewed, even = np.arange(1200) % 40 == 7, np.arange(1200) % 2 == 1
    for labels, warns in ((skewed[:120], True), (even, False)):
        chosen = labels ^ wrong[: len(labels)]
        remedies = of_labels(labels.astype(int), chosen.astype(int))
        assert any("about as many samples of each class" in x for x in remedies) is warns


@applies("W209", "scaled", "one", "weak torch", "weak onnx", "weak the unit")
def test_trained_weights_and_windows_of_the_right_scale(folder: Path) -> None:
    """Of a network that tells the larger of two values from an offset that scale removes."""
    torch.manual_seed(0)
    net = nn.Linear(2, 2)
    model = loaded(net, torch.zeros(1, 2))
    x = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    labels = x.argmax(1)

    def classes(given: Array) -> Array:
        with torch.no_grad():
            found: Array = net(torch.from_numpy(given)).argmax(1).numpy()
        return found

    guessed = np.random.default_rng(1).permutation(labels)
    onnx_file = load_model(saved(onnx_model([node("Relu", "x", "y")]), folder))
    for known, remedy in ((model, "load_state_dict"), (onnx_file, "export the network again")):
        weights, scaling = of_labels(labels, guessed, model=known)
        assert remedy in weights
    trained = {"weight": torch.eye(2), "bias": torch.tensor([4.0, 0.0])}
    net.load_state_dict(trained)  # of windows that are a hundred times as large
    always, *_ = of_labels(labels, classes(x))
    scaled, *_ = of_labels(labels, classes(x), is_scaled=True)
    assert always == scaled == scaling
    assert of_labels(labels, classes(100 * x)) == []


@applies("W209", "lost")
def test_more_bits_for_decisions(folder: Path) -> None:
    """The command shows layers; scores that 8 bits cannot tell apart need more."""
    accurate, layers = of_labels(LABELS, GOOD, GUESSED)
    assert of_labels(LABELS, GOOD, GUESSED, accurate=True) == [layers]
    shows_layers(layers)
    assert accurate == "--accurate: int16 wherever it gains SQNR, at any number of cycles"
    fewer, more = (decided(folder, Decided(0.05), accurate=x) for x in (False, True))
    assert agreement(more) >= agreement(fewer) > 0.9


def agreement(found: Quantized) -> float:
    (output,) = found.fidelity.outputs.values()
    assert output.agreement is not None
    return output.agreement


def shows_layers(line: str) -> None:
    """A remedy that names a command, which shows the SQNR of layers."""
    save_exported(nn.Linear(4, 3), (torch.zeros(1, 4),), Path("m.pt2"))
    words = line.partition(" shows")[0].split()[1:]
    ran = command(*words, "m.pt2", "--calib", "random", cwd=Path())
    assert (ran.code, "dB alone" in ran.err + ran.out) == (0, True)


class Frames(nn.Module):
    """Scores [frames, classes]; a softmax, or none, tells the axis of the classes."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.end = nn.Linear(4, 3), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.layer(x))


@applies("W202", "scores label", "scores [calib]", "scores a softmax", "symbols")
def test_labels_of_known_axes(folder: Path) -> None:
    x = np.random.default_rng(0).standard_normal((24, 1, 5, 4)).astype(np.float32)
    plain = save_exported(Frames(nn.Identity()), (torch.zeros(1, 5, 4),), folder / "plain.pt2")
    soft = save_exported(Frames(nn.Softmax(-1)), (torch.zeros(1, 5, 4),), folder / "soft.pt2")
    one, each = (
        {"input": x, "label": np.arange(24) % 3},
        {"input": x, "label": np.zeros((24, 5), int)},
    )
    told = {w.code: w for w in quantized(plain, one).warnings}
    assert len(told["W202"].tries) == 3
    Path("myoedge.toml").write_text('[calib]\nclasses = ["a", "b", "c"]\n')
    named = quantized(plain, one, config=Path("myoedge.toml"))
    Path("myoedge.toml").unlink()
    for found in (quantized(plain, each), named, quantized(soft, one)):
        assert "W202" not in codes(found)
    assert "W202" in codes(quantized(soft, each, ctc=-1))
    assert "W202" not in codes(quantized(soft, each))


# --- networks -------------------------------------------------------------------------------------


def ranges_of(graph: Graph, x: Array) -> QuantGraph:
    return quantize_graph(graph, calibrate(graph, {graph.inputs[0]: x}, Observer(), ""))


@applies("W111", "samples calibration", "samples limit")
def test_values_inside_the_calibrated_range(folder: Path) -> None:
    graph = graph_of(Product(), 1, 16)
    x = np.random.default_rng(0).uniform(-1, 1, (24, 1, 16)).astype(np.float32)
    loud = x[:4].copy()
    loud[0, 0, 3] = 6.0
    judged, when = {graph.inputs[0]: loud}, networks.left_range
    network = ranges_of(graph, x)
    reach, _ = told(when, network=network, judged=judged, role="test")
    low, high = map(float, re.findall(r"-?[\d.]+", reach.partition(" reaches ")[2])[:2])
    assert (low, high) != (0.0, 0.0)
    values = every_value(graph, {graph.inputs[0]: loud[0]})
    assert any(high == pytest.approx(x.max(), rel=0.01) for x in values.values() if x.size)
    limited = {graph.inputs[0]: np.clip(loud, -1, 1)}
    assert told(when, network=network, judged=limited, role="test") == []
    more = ranges_of(graph, np.concatenate([x, loud, loud]))
    assert told(when, network=more, judged=judged, role="test") == []


@applies("W111", "most insert", "most calibration")
def test_values_that_do_not_saturate(folder: Path) -> None:
    form = "clamped quotient"
    (warning,) = told_of(network_of(form, factor=40.0, shown=False))
    most = float(warning.tries[0].removeprefix("insert at most "))
    assert told_of(network_of(form, factor=most / FORMS[form][1], shown=False)) == []
    assert told_of(network_of(form, factor=40.0, shown=True)) == []


@applies("W113", "more calibration", "limit outliers")
def test_a_range_that_several_samples_set(folder: Path) -> None:
    graph = graph_of(Adding(), 1, 12, 4)
    x = np.random.default_rng(0).standard_normal((32, 1, 12, 4)).astype(np.float32)
    usual = x.copy()
    x[5] *= 6.0
    more = np.concatenate([x, 6.0 * usual[6:10]])
    limited = x / np.maximum(np.abs(x).max((1, 2, 3), keepdims=True) / np.abs(usual).max(), 1.0)
    found = []
    for each in (x, more, limited):
        workshop = workshop_of(graph, {graph.inputs[0]: each})
        state = started(workshop, graph)
        network = state.network.engined
        fidelity = measure(network, {graph.inputs[0]: usual}, layers=False)
        fidelity = fidelity.within(beyond_ranges(workshop, state.design))
        known = Known(network=network, fidelity=fidelity)
        found.append(bool(warnings_of(networks.set_by_one, known)))
    assert found == [True, False, False]


@applies("W104", "loud")
def test_samples_without_the_loud_one(folder: Path) -> None:
    torch.manual_seed(0)
    model = save_exported(nn.Linear(6, 3), (torch.randn(1, 6),), folder / "m.pt2")
    x = np.random.default_rng(2).standard_normal((40, 1, 6)).astype(np.float32)
    calibrates = samples_by_purpose(Data({"x": x}, None, "")).learn.numbers
    assert calibrates is not None
    x[calibrates[3]] = 1e30
    (weak,) = (w for w in quantized(model, x).warnings if w.code == "W104")
    at = int(weak.tries[0].removeprefix("leave out sample ").partition(":")[0])
    assert "W104" not in codes(quantized(model, np.delete(x, at, 0)))


class Remembers(nn.Module):
    """Scores of the last state of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cells, self.head = nn.LSTM(4, 48, batch_first=True), nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0][:, -1])


def loud_when_held_out(factor: float) -> Array:
    """Windows of which those that are held out are louder."""
    x = np.random.default_rng(0).normal(0.0, 0.3, (40, 1, 40, 4)).astype(np.float32)
    learnt = samples_by_purpose(Data({"x": x}, None, "")).learn.numbers
    held_out = np.setdiff1d(np.arange(40), learnt)
    x[held_out] *= factor
    return x


@applies("W104", "setting", "myoedge quantize shows")
@applies("W110", "setting")
@applies("W105", "setting")
@pytest.mark.parametrize("accurate", [False, True])
def test_int16_where_samples_that_calibrate_lack_nothing(folder: Path, accurate: bool) -> None:
    """Held-out samples that leave the ranges: a setting is named with what they reach with it."""
    shape = (torch.zeros(1, 40, 4),)
    model, x = save_exported(Remembers(), shape, folder / "m.pt2"), loud_when_held_out(3.0)
    before = quantized(model, x, accurate=accurate)
    tries = {w.code: w.tries for w in before.warnings if w.code in ("W104", "W105", "W110")}
    assert ("W105" in tries) is accurate
    (line,) = {lines[0] for lines in tries.values()}
    setting, _, reached = line.partition(": ")
    table, _, row = setting.partition(" ")
    (folder / "wide.toml").write_text(f"{table}\n{row}\n")
    after = quantized(model, x, accurate=accurate, config=folder / "wide.toml")
    has_db, wide_db = (found.fidelity.worst_judged_db or 0.0 for found in (before, after))
    told_db = float(reached.split()[-2])
    assert has_db + 6.0 < told_db == pytest.approx(wide_db, abs=1.0)
    assert "W104" not in codes(after)
    shows_layers(next(w for w in before.warnings if w.code == "W104").tries[-1])


def test_no_setting_is_named_that_gains_nothing(folder: Path) -> None:
    model = save_exported(Fast(), (torch.zeros(1, 6),), folder / "fast.pt2")
    x = np.random.default_rng(0).standard_normal((40, 1, 6)).astype(np.float32)
    found = quantized(model, x)
    best_db = max((move.worst_db for move in found.choices if move.setting), default=None)
    for weak in (w for w in found.warnings if w.code in ("W104", "W110")):
        assert ("int16" in weak.tries[0]) is (best_db is not None)


class Scores(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.offset = nn.Linear(16, 8), offset

    def forward(self, x: Tensor) -> Tensor:
        return 0.1 * self.head(x) + self.offset


@applies("W110", "add no constant")
def test_scores_without_a_constant(folder: Path) -> None:
    for offset, told in ((100.0, True), (0.0, False)):
        model = save_exported(Scores(offset), (torch.zeros(1, 16),), folder / "m.pt2")
        assert ("W110" in codes(quantized(model, DRAWN[:64]))) is told


@applies("W112", "calibrate with samples")
def test_samples_of_the_event(folder: Path) -> None:
    both = windows(SMALL, *QUIET, *np.linspace(0.3, 1.0, 64))
    for x, told in ((windows(SMALL, *QUIET), True), (both, False)):
        assert ("W112" in codes(detector(folder, x)[0])) is told


class Largest(nn.Module):
    """The largest of the frames that are there."""

    def __init__(self, fill: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.gone, self.fill = nn.Linear(4, 6), torch.arange(8) > 5, fill

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).masked_fill(self.gone[:, None], self.fill).amax(1)


@applies("W102", "fill")
def test_a_fill_below_the_maximum(folder: Path) -> None:
    x = np.random.default_rng(0).standard_normal((64, 1, 8, 4)).astype(np.float32)
    options: dict[str, Any] = {"method": "percentile"}
    model = save_exported(Largest(-1500.0), (torch.zeros(1, 8, 4),), folder / "m.pt2")
    (weak,) = (w for w in quantized(model, x, **options).warnings if w.code == "W102")
    below = float(weak.tries[0].removeprefix("fill with a number just below ").partition(",")[0])
    model = save_exported(Largest(below - 0.1), (torch.zeros(1, 8, 4),), folder / "m.pt2")
    assert codes(quantized(model, x, **options)) == set()


@applies("W102", "few")
@pytest.mark.parametrize("method", ["rule", "every layer"])
def test_eight_bits_for_weights_of_few(folder: Path, method: str) -> None:
    net = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))
    torch.manual_seed(0)
    model = save_exported(net, (torch.zeros(1, 16),), folder / "m.pt2")
    pattern = {"rule": "0", "every layer": "*"}[method]
    config = folder / "few.toml"
    config.write_text(f'[quant]\n"{pattern}" = {{ weights = 2 }}\n')
    found = quantized(model, DRAWN[:64], config=config)
    weak = [w for w in found.warnings if w.code == "W102"]
    assert weak
    for warning in weak:
        assert "2-bit weights" in warning.title
        assert dict(warning.facts)["likely"] == "its weights have 2 bits"
        table, row = printed(warning.tries[0])[1].splitlines()
        name = row.partition(" = ")[0]
        kept = [x for x in config.read_text().splitlines() if not x.startswith((table, name))]
        config.write_text("\n".join([table, *kept, row]))
    assert "W102" not in codes(quantized(model, DRAWN[:64], config=config))


class Attends(nn.Module):
    """A softmax over many positions, or over means of them."""

    def __init__(self, pooled: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pool = nn.AvgPool1d(pooled)
        self.head = nn.Linear(2000 // pooled, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(x).softmax(-1))


@applies("W102", "softmax", "inspect")
def test_a_softmax_over_fewer_positions(folder: Path) -> None:
    x = np.random.default_rng(0).standard_normal((20, 1, 2000)).astype(np.float32)
    for pooled, told in ((1, True), (200, False)):
        model = save_exported(Attends(pooled), (torch.zeros(1, 2000),), folder / "m.pt2")
        found = quantized(model, x)
        assert ("W102" in codes(found)) is told
        (name,) = (n.name for n in found.network.graph.nodes if n.op == "softmax")
        shares = every_value(found.model.graph, {"x": x[0]})[name]
        assert bool(np.mean(shares < 1 / 256) > 0.9) is told, "few of the steps are used"


@applies("W105", "tried", "few", "reused")
def test_what_accurate_can_do(folder: Path) -> None:
    torch.manual_seed(0)
    model = save_exported(nn.Linear(4, 3), (torch.zeros(1, 4),), folder / "m.pt2")
    fast = save_exported(Fast(), (torch.zeros(1, 6),), folder / "fast.pt2")
    x = np.random.default_rng(0).standard_normal((200, 1, 4)).astype(np.float32)
    y = np.random.default_rng(0).standard_normal((40, 1, 6)).astype(np.float32)

    def remedies(*given: Any, **options: Any) -> list[str]:
        found = quantized(*given, accurate=True, **options)
        return [line for w in found.warnings if w.code == "W105" for line in w.tries]

    assert remedies(model, "random")[1:] == ["more calibration samples, more varied ones"]
    assert remedies(model, x) == []
    assert remedies(fast, y, reuse=quantized(fast, y).network) == ["a build without --reuse"]
    (line,) = remedies(fast, y)
    np.savez("calib.npz", x=y)
    words = ("--target", "host", "--calib", "calib.npz", "-o", "out", "--accurate")
    assert command("build", "fast.pt2", *words, cwd=folder).code == 0
    ran = command(*line.partition(":")[0].split()[1:], "out", cwd=folder)
    assert "dB so far" in ran.out + ran.err


@applies("W203", "--reuse a build")
def test_an_older_build_of_this_network(folder: Path) -> None:
    x = np.random.default_rng(0).standard_normal((24, 1, 4)).astype(np.float32)
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(save_exported(nn.Linear(4, 3), (torch.zeros(1, 4),), folder / f"{seed}.pt2"))
    older = quantized(models[0], x).network
    assert "W203" in codes(quantized(models[1], x, reuse=older))
    assert "W203" not in codes(quantized(models[0], x, reuse=older))


def test_every_remedy_has_a_case() -> None:
    marks = [*applied()]
    cases = {
        remedy: [x for x in marks if x[0] == remedy[0] and remedy[1].startswith(x[1])]
        for remedy in written()
    }
    assert [remedy for remedy, found in cases.items() if not found] == []
    assert {x for found in cases.values() for x in found} == {*marks}, "remedies that are gone"


def test_every_warning_is_in_the_catalogue() -> None:
    """No other call makes one; each has a title, and its conditions are not all of its titles."""
    for code, entry in entries().items():
        titles = [row.when for row in entry.rows if row.key == "title"]
        assert bool(titles) == (code[0] == "W"), code
        assert not titles or titles[-1] == (), code
    for path in Path(myoedge.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in MAKERS:
                code = call.args[0] if call.args else None
                assert not str(getattr(code, "value", "")).startswith("W"), path
