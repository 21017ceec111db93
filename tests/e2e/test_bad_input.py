# SPDX-License-Identifier: Apache-2.0
"""Whatever a person gives: the right exit code, one clear message, no traceback, nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import ROOT, Forked, Ran, save_exported, started
from tests.support.networks.small import Small, Unsupported

Run = Callable[..., Ran]


def refused(ran: Ran, exit_code: int, code: str, *words: str) -> None:
    """One message, the right codes, no traceback."""
    assert "Traceback" not in ran.err, ran.err
    assert ran.code == exit_code, ran.err
    assert ran.err.count("error[") == 1, ran.err
    assert f"error[{code}]" in ran.err, ran.err
    for word in words:
        assert word in ran.err, ran.err


@pytest.fixture
def calib(tmp_path: Path) -> Callable[..., Path]:
    def save(**arrays: np.ndarray) -> Path:
        np.savez(tmp_path / "c.npz", **arrays)
        return tmp_path / "c.npz"

    return save


def test_missing_file_and_folder(run: Run, tmp_path: Path) -> None:
    refused(run("build", "nothing.pt2"), 1, "E101", "nothing.pt2")
    refused(run("build", tmp_path), 1, "E102")
    refused(run("build"), 2, "E202")


def test_wrong_formats_say_what_they_are(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.pt2").write_text("hello, I am a text file\n" * 20)
    (tmp_path / "empty.pt2").touch()
    np.save(tmp_path / "array.pt2", np.zeros(3), allow_pickle=False)
    for name, code in (("notes", "E103"), ("empty", "E105")):
        ran = run("build", f"{name}.pt2")
        refused(ran, 1, code)
    assert "torch.export.save" in run("build", "notes.pt2").err


def test_unsupported_operators_are_all_named(run: Run, tmp_path: Path) -> None:
    save_exported(Unsupported(), (torch.zeros(1, 3, 4),), tmp_path / "m.pt2")
    ran = run("build", "m.pt2")
    refused(ran, 1, "E111", "sort", "at sort", "cummax", "at peak", "small.py", "try")


def test_dynamic_shapes(run: Run, tmp_path: Path) -> None:
    dims = {"x": {2: torch.export.Dim("t", min=4, max=64)}}
    program = torch.export.export(Small().eval(), (torch.zeros(1, 2, 12),), dynamic_shapes=dims)
    torch.export.save(program, tmp_path / "m.pt2")
    refused(run("build", "m.pt2"), 1, "E110", "x")


def test_weights_that_are_not_finite(run: Run, tmp_path: Path) -> None:
    model = Small()
    with torch.no_grad():
        model.body.weight[0, 0, 0] = float("nan")
    save_exported(model, (torch.zeros(1, 2, 12),), tmp_path / "m.pt2")
    refused(run("build", "m.pt2"), 1, "E112", "body.weight")


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(2)])
def test_training_mode(run: Run, tmp_path: Path, layer: nn.Module) -> None:
    model = nn.Sequential(nn.Conv1d(2, 2, 3), layer).train()
    torch.export.save(torch.export.export(model, (torch.zeros(1, 2, 12),)), tmp_path / "m.pt2")
    refused(run("build", "m.pt2"), 1, "E113", "eval()")


def test_calibration_arrays(run: Run, small: Path, calib: Callable[..., Path]) -> None:
    good = np.zeros((4, 1, 2, 12), np.float32)
    build = ("build", small / "model.pt2", "--calib")
    refused(run(*build, calib(wrong=good, more=good)), 2, "E212", "wrong, more", "input=...")
    named = calib(**{"out:logits": np.zeros((4, 99)), "in:x": good})
    refused(run(*build, named), 2, "E212", "[calib]\n", 'array = "in:x"\n')
    largest = calib(first=np.zeros((4, 3)), emg=good)
    refused(run(*build, largest), 2, "E212", "[calib]\n", 'array = "emg"\n')
    taken = "wrong is taken for the network's input, x"
    refused(run(*build, calib(wrong=good), "--strict"), 2, "W204", taken)
    refused(run(*build, calib(wrong=good[:, :, :, :5])), 2, "E213", "array wrong")
    refused(run(*build, calib(input=good.astype(np.complex64))), 2, "E214", "complex64")
    refused(run(*build, calib(input=good[:0])), 2, "E215")
    refused(run(*build, calib(input=np.full_like(good, np.nan))), 2, "E216")
    refused(run(*build, calib(input=good, label=np.zeros(3, int))), 2, "E218")
    refused(run(*build, calib(label=np.zeros(3, int))), 2, "E215")
    refused(run(*build, "nowhere.npz"), 2, "E210")


def test_the_file_that_names_samples_is_named(run: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "myoedge.toml").write_text('[calib]\ndata = "nowhere.npz"\n')
    place = "set in  [calib] of myoedge.toml"
    refused(run("quantize", small / "model.pt2"), 2, "E210", place)
    ran = run("quantize", small / "model.pt2", "--calib", "elsewhere.npz")
    refused(ran, 2, "E210", "set in  --calib")
    (tmp_path / "bad.toml").write_text('[calib]\ndata = "bad.npz"\n')
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    other = place.replace("myoedge", "bad")
    refused(run("quantize", small / "model.pt2", "--config", "bad.toml"), 2, "E211", other)
    (tmp_path / "myoedge.toml").write_text('[calib]\nlabel = "gesture"\n')
    given = ("--calib", small / "calib.npz")
    refused(run("quantize", small / "model.pt2", *given), 2, "E211", "'gesture'", place)
    (tmp_path / "myoedge.toml").unlink()
    (tmp_path / "pyproject.toml").write_text('[tool.myoedge.calib]\ndata = "nowhere.npz"\n')
    place = "set in  [calib] of tool.myoedge of pyproject.toml"
    refused(run("quantize", small / "model.pt2"), 2, "E210", place)
    model = f'[[model]]\npath = "{small}/model.pt2"\n'
    (tmp_path / "SWEEP.toml").write_text(f'{model}calib = "no.npz"\n')
    refused(run("sweep", "SWEEP.toml"), 2, "E210", "set in  SWEEP.toml")


def test_scale_of_calibration_is_in_the_toml(run: Run, small: Path, tmp_path: Path) -> None:
    given = dict(np.load(small / "calib.npz"))
    np.savez(tmp_path / "mv.npz", **{**given, "input": given["input"] * 1024})
    factor = 1 / 1024  # no rounding
    (tmp_path / "mv.toml").write_text(f'[calib]\ndata = "mv.npz"\nscale = {factor}\n')
    ran = run("quantize", small / "model.pt2", "--config", "mv.toml", "--json")
    plain = run("quantize", small / "model.pt2", "--calib", small / "calib.npz", "--json")
    assert ran.json["layers"] == plain.json["layers"]
    assert f"times {factor:g}" in ran.json["calibration"]
    for wrong in ("0", "-1", "inf", '{ "mv.npz" = 0 }'):
        (tmp_path / "mv.toml").write_text(f'[calib]\ndata = "mv.npz"\nscale = {wrong}\n')
        refused(run("quantize", small / "model.pt2", "--config", "mv.toml"), 2, "E232", "scale")


def test_pickled_calibration_is_not_unpickled(run: Run, small: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    array = np.empty(1, object)
    array[0] = Payload()
    np.savez(tmp_path / "c.npz", input=array)
    np.save(tmp_path / "c.npy", array, allow_pickle=True)
    for name in ("c.npz", "c.npy"):
        refused(run("build", small / "model.pt2", "--calib", name), 2, "E217")
    assert not (tmp_path / "ran").exists()


def test_labels_that_are_no_class_numbers(
    run: Run, small: Path, calib: Callable[..., Path]
) -> None:
    windows = np.random.default_rng(0).standard_normal((4, 1, 2, 12), np.float32)
    for labels in ([0.5] * 4, [1j] * 4, [np.inf] * 4, np.zeros(4, "M8[s]")):
        given = calib(input=windows, label=np.array(list(labels)))
        code = "E216" if np.inf in labels else "E214"
        refused(run("quantize", small / "model.pt2", "--calib", given), 2, code, "label of c.npz")
    given = calib(input=windows, label=np.array([*"abcd"]))
    told = "leave out samples of other classes: the network has 3"
    refused(run("quantize", small / "model.pt2", "--calib", given), 2, "E225", told)
    given = calib(input=windows, label=np.array([0.0, 1.0, 2.0, 0.0]))
    assert run("quantize", small / "model.pt2", "--calib", given).code == 0


def test_labels_that_are_no_classes(run: Run, small: Path, calib: Callable[..., Path]) -> None:
    windows = np.random.default_rng(0).standard_normal((4, 1, 2, 12), np.float32)
    for labels, told in (([1, 2, 3, 1], "label - 1"), ([0, 1, 2, -1], "-1 to 2")):
        ran = run("quantize", small / "model.pt2", "--calib", calib(input=windows, label=labels))
        refused(ran, 2, "E225", told)


def test_a_module_is_no_model_file() -> None:
    with pytest.raises(
        myoedge.MyoedgeError, match="must be a file, not an object of ReLU"
    ) as raised:
        myoedge.build(torch.nn.ReLU(), calib="random")
    assert raised.value.code == "E202"
    assert "torch.export.save" in raised.value.notice.tries[0]


def test_numbers_beyond_float32(run: Run, small: Path, calib: Callable[..., Path]) -> None:
    given = calib(input=np.full((4, 1, 2, 12), 1e300))
    ran = run("quantize", small / "model.pt2", "--calib", given)
    refused(ran, 2, "E216", "as float32")
    assert "Warning" not in ran.err


@pytest.mark.parametrize("shape", ["(((", "(99999999999999999999999,)", "(True,)", "(-1,)"])
def test_calibration_with_a_broken_header(
    run: Run, small: Path, tmp_path: Path, shape: str
) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    (tmp_path / "c.npy").write_bytes(head + bytes(64))
    refused(run("quantize", small / "model.pt2", "--calib", "c.npy"), 2, "E211")


def test_calibration_archive_with_other_things_in_it(run: Run, small: Path, tmp_path: Path) -> None:
    packed = bytearray((small / "calib.npz").read_bytes())
    (tmp_path / "c.npz").write_bytes(packed)
    with zipfile.ZipFile(tmp_path / "c.npz", "a") as archive:
        archive.writestr("readme.txt", "recorded on Monday")
    assert run("quantize", small / "model.pt2", "--calib", "c.npz").code == 0
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("input", "no array")
    refused(run("quantize", small / "model.pt2", "--calib", "c.npz"), 2, "E215")
    packed[packed.index(b"PK\1\2") + 8] |= 1  # says that it is encrypted
    (tmp_path / "c.npz").write_bytes(packed)
    refused(run("quantize", small / "model.pt2", "--calib", "c.npz"), 2, "E211")


@pytest.mark.parametrize("keep", [0, 1, 40, 300])
def test_damaged_calibration(run: Run, small: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "c.npz").write_bytes((small / "calib.npz").read_bytes()[:keep])
    refused(run("build", small / "model.pt2", "--calib", "c.npz"), 2, "E211")


def test_nothing_to_calibrate_with(run: Run, tmp_path: Path) -> None:
    program = torch.export.export(Small().eval(), (torch.zeros(1, 2, 12),))
    program._example_inputs = None
    torch.export.save(program, tmp_path / "m.pt2")
    ran = run("build", "m.pt2")
    refused(ran, 2, "E219", "import numpy as np", "np.savez", "[samples, 2, 12]")


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("[modle]\npath='x'", "E230", "model"),
        ("[calib]\nsample = 3", "E230", "samples"),
        ("[quant]\n'a' = { weight = 'per_tensor' }", "E230", "weights"),
        ("[calib]\nsamples = 'many'", "E232", "calib.samples"),
        ("[calib]\nmethod = 'magic'", "E232", "minmax"),
        ("[calib]\npercentile = 10.0", "E232", "percentile"),
        ("[budget]\nl2 = '3 elephants'", "E232", "KiB"),
        ("[budget]\nl2 = '" + "9" * 400 + " KiB'", "E232", "KiB"),
        ("[budget]\nsqnr = nan", "E232", "sqnr"),
        ("[budget]\nlatency = 20", "E232", '"20 ms"'),
        ("[budget]\nl2 = 1.5", "E232", "a size needs a unit: 1.5"),
        ("[budget]\nenergy = '3'", "E232", '"3 mJ", say'),
        ("[budget]\nsqnr = '25 dB'", "E232", "sqnr = 25.0"),
        ("[budget]\nl2 = true", "E232", "budget.l2"),
        ("[conditioning]\nrate_hz = 200.0\nnotch_hz = 50.0\nnotch_q = 0.0", "E232", "notch_q"),
        ("[conditioning]\nrate_hz = nan\nnotch_hz = 50.0", "E232", "rate_hz"),
        ("[conditioning]\nrate_hz = 200.0\nband_hz = [20, 90]\norder = 100000", "E232", "order"),
        ("[stream]\nhop = " + "9" * 400, "E232", "hop"),
        ("[stream]\nframes = 100000000", "E232", "frames"),
        ("[calib]\nscale = 'x'", "E232", "\n  calib.scale  Input should be a valid number; or: "),
        ("[test]\nfile = 't.npz'", "E230", "try    test.file  ->  data, if that is meant"),
        ("[budget]\nmram = '1 MiB'", "E230", "try    without budget.mram"),
        ("[model]\npath = model.pt2", "E231", 'path = "model.pt2"'),
        ('# a\n[quant] "*" = { weights = 3 }', "E231", '"*" = { weights = 3 }\n'),
        ("[test]\n[quant]\n[quant]", "E231", "the keys of both [quant] below the first one"),
        ("[model\n", "E231", ""),
        ("a = " + "[" * 3000 + "]" * 3000, "E231", ""),
        ("[quant]\n'nowhere.*' = { weights = 'per_tensor' }", "E233", "stem"),
    ],
)
def test_project_file(
    run: Run, small: Path, tmp_path: Path, text: str, code: str, word: str
) -> None:
    (tmp_path / "myoedge.toml").write_text(text)
    ran = run("build", small / "model.pt2", "--calib", small / "calib.npz")
    refused(ran, 2, code, word)


def test_a_setting_on_one_line_is_two_lines(run: Run, small: Path, tmp_path: Path) -> None:
    """What the error tells is copied as it is printed."""
    config, quantize = tmp_path / "myoedge.toml", ("quantize", small / "model.pt2")
    config.write_text('[quant] "*" = { weights = 4 }')
    told = run(*quantize, "--calib", small / "calib.npz")
    config.write_text(told.err.partition("one for the key:")[2].rpartition("  more")[0])
    assert run(*quantize, "--calib", small / "calib.npz").code == 0


@pytest.mark.parametrize(("text", "code"), [("myoedge = 3", 2), ("other = 3", 0)])
def test_table_in_pyproject(run: Run, small: Path, tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool]\n{text}\n")
    ran = run("quantize", small / "model.pt2", "--calib", small / "calib.npz")
    assert ran.code == code
    if code:
        refused(ran, 2, "E232", "tool.myoedge")


def test_budgets(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", "out")
    (tmp_path / "myoedge.toml").write_text("[budget]\nl2 = '100 B'\n")
    refused(run(*build), 3, "E302", "100 B")
    (tmp_path / "myoedge.toml").write_text("[budget]\nsqnr = 90.0\n")
    refused(run(*build), 3, "E302", "90 dB", "--method mse")
    assert not (tmp_path / "out").exists()


def test_does_not_fit(run: Run, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(1500, 150), nn.Linear(150, 10))
    save_exported(model, (torch.randn(1, 1500),), tmp_path / "m.pt2")
    ran = run("build", "m.pt2", "--l2", "4KiB")
    refused(ran, 3, "E302", "needs", "4,096 B", "smallest build", "linear")


def test_a_missing_model_names_what_is_near(run: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "gestures.pt2").write_bytes((small / "model.pt2").read_bytes())
    (tmp_path / "gesture.log").write_text("no model")
    ran = run("inspect", "gesture.pt2")
    refused(ran, 1, "E101", "gestures.pt2, which is there")
    assert "gesture.log" not in ran.err
    refused(run("build", "nowhere/m.pt2"), 1, "E101", "which does not exist either")
    (tmp_path / "myoedge.toml").write_text('[model]\npath = "gestured.pt2"\n')
    refused(run("build"), 1, "E101", "[model] path of myoedge.toml", "gestures.pt2, which")
    assert run("inspect", "gestures.pt2").code == 0


def test_wrong_words(run: Run, small: Path) -> None:
    model = small / "model.pt2"
    refused(run("build", model, "--target", "gap8"), 2, "E201", "gap9")
    refused(run("build", model, "--samples", "0"), 2, "E203")
    refused(run("build", model, "--percentile", "20", "--method", "percentile"), 2, "E203")
    refused(run("build", model, "--percentile", "99.9"), 2, "E203", "--method percentile")
    refused(run("init", model), 2, "E220", "is no folder", "init --from")
    refused(run("validate", small), 2, "E222")
    refused(run("validate"), 2, "E222")
    refused(run("inspect", small), 2, "E222")
    refused(run("explain", "E999"), 2, "E208")
    for words in (("build", ""), ("build", model, "-o", ""), ("validate", "--input", "")):
        ran = run(*words)
        assert (ran.code, "is given, but empty" in ran.err) == (2, True), ran.err
    assert run("build", model, "--nonsense").code == 2
    assert "build" in run("bulid").err


@pytest.mark.parametrize("model", [nn.Identity(), nn.Flatten()], ids=["identity", "view"])
def test_a_network_that_computes_nothing(run: Run, tmp_path: Path, model: nn.Module) -> None:
    save_exported(model, (torch.zeros(1, 2, 3),), tmp_path / "m.pt2")
    refused(run("build", "m.pt2", "--calib", "random"), 1, "E122", "in another shape")
    assert run("inspect", "m.pt2").code == 0


@pytest.mark.parametrize("shape", [(), (1, 1, 1)], ids=str)
def test_an_input_without_frames(run: Run, tmp_path: Path, shape: tuple[int, ...]) -> None:
    save_exported(nn.ReLU(), (torch.zeros(shape),), tmp_path / "m.pt2")
    ran = run("build", "m.pt2", "--calib", "random", "--stream")
    refused(ran, 1, "E131", "two frames", "some frames of input")


def test_a_compiler_and_boards_that_cannot_be_used(run: Run, small: Path) -> None:
    assert run("build", small / "model.pt2", "--calib", "random", "-o", "out").code == 0
    refused(run("validate", "out", "--cc", "/bin/true"), 5, "E501", "compiles nothing")
    for verb in (("run",), ("bench", "--meter", "none"), ("validate", "--on", "board")):
        refused(run(*verb, "out"), 2, "E240", "--app gap-sdk")


def test_errors_as_json(run: Run) -> None:
    ran = run("build", "nothing.pt2", "--json")
    assert ran.code == 1
    assert ran.json["error"]["code"] == "E101"


class Named(nn.Module):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.relu(input)


def test_warnings_and_strict(run: Run, tmp_path: Path, small: Path) -> None:
    np.savez(tmp_path / "flat.npz", input=np.ones((4, 1, 2, 12), np.float32))
    build = ("build", small / "model.pt2", "--calib", "flat.npz", "-o", "out")
    ran = run(*build)
    assert ran.code == 0
    assert "warning[W201]" in ran.err
    assert "include samples that mask something" in ran.err
    assert "every calibration value of input x is" in ran.err
    torch.export.save(torch.export.export(Named(), (torch.zeros(1, 4),)), tmp_path / "named.pt2")
    np.savez(tmp_path / "ones.npz", input=np.ones((20, 4), np.float32))
    named = run("quantize", "named.pt2", "--calib", "ones.npz")
    assert "every calibration value of the input is" in named.err
    refused(run(*build, "--strict"), 2, "W201")
    dead = Small()
    with torch.no_grad():
        dead.stem.bias.fill_(-1e3)
    save_exported(dead, (torch.randn(1, 2, 12),), tmp_path / "dead.pt2")
    ran = run("build", "dead.pt2", "-o", "out2")
    assert ran.code == 0
    assert "warning[W101]" in ran.err
    assert "stem" in ran.err
    enough = ("--calib", small / "calib.npz")  # W205 of too few samples comes first without them
    refused(run("build", "dead.pt2", *enough, "-o", "out3", "--strict"), 1, "W101")
    assert not (tmp_path / "out3").exists()


def test_output_folder_in_the_way(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o")
    (tmp_path / "file").write_text("mine")
    refused(run(*build, "file"), 2, "E221")
    refused(run(*build, "file/below"), 2, "E220")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    refused(run(*build, "full"), 2, "E221")
    refused(run(*build, "."), 2, "E221")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_folder_not_writable(run: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", "locked/out")
    refused(run(*build), 2, "E220")


def whole(folder: Path) -> bool:
    """Whether every file of the manifest is there, unharmed."""
    files = json.loads((folder / "manifest.json").read_text())["files"]
    return all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in files.items()
    )


def test_full_disk(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", "out")
    assert run(*build).code == 0
    before = sorted(p.name for p in tmp_path.iterdir())
    refused(Forked(*build, cwd=tmp_path, limit=4096).ran(timeout_s=120), 2, "E281")
    assert sorted(p.name for p in tmp_path.iterdir()) == before, "nothing is left behind"
    assert whole(tmp_path / "out"), "the earlier build is still there"


def test_killed_in_the_middle(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", "out")
    assert run(*build).code == 0
    for _ in range(3):
        process = Forked(*build, cwd=tmp_path).process
        _wait_for_temporary(process, tmp_path)
        process.kill()
        process.join()
        assert whole(tmp_path / "out")
    assert run(*build).code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "what killed builds left is gone"


def _wait_for_temporary(process: BaseProcess, folder: Path) -> None:
    """Until the build has started to write, or is done."""
    while process.is_alive() and not any(folder.glob(".out.myoedge-*/*")):
        time.sleep(0.0005)


def test_interrupted(small: Path, tmp_path: Path) -> None:
    process = started("build", small / "model.pt2", "-o", "out", cwd=tmp_path)
    assert process.stderr is not None
    assert "load" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not any(tmp_path.iterdir())


VERB = """
import click
from myoedge.cli.shell import run_command_line
class Named:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt
verb = click.Command("verb", callback=lambda: %s)
run_command_line(click.Group(commands=[verb]), ["verb"])
"""


@pytest.mark.parametrize(
    "call", ['exec("raise KeyboardInterrupt")', 'type("Owner", (), {"name": Named()})']
)
def test_interrupted_while_python_makes_classes(call: str, tmp_path: Path) -> None:
    """As an import of torch may be: in a string that Python executes, or in __set_name__."""
    (tmp_path / "verb.py").write_text(VERB % call)
    command, env = [sys.executable, "-m", "verb"], {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("sink", ["| true", "| head -n 1", ">/dev/full"])
def test_output_that_nobody_takes(tmp_path: Path, sink: str) -> None:
    script = f"set -o pipefail; {sys.executable} -m myoedge ops {sink}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["bash", "-c", script]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "Traceback" not in ran.stderr
    if "full" in sink:
        refused(Ran(ran.returncode, ran.stdout, ran.stderr), 2, "E281")
    else:
        assert ran.returncode == 0
        assert ran.stderr in ("", "next: myoedge init\n")  # the pipe may have taken all before


def test_a_file_named_by_bytes_that_are_no_text(run: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "\udcff.pt2").write_bytes((small / "model.pt2").read_bytes())
    ran = run("build", "\udcff.pt2", "--calib", small / "calib.npz", "-o", "out")
    assert ran.code == 0, ran.err
    assert "\ufffd" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
