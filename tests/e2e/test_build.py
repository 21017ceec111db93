# SPDX-License-Identifier: Apache-2.0
"""The whole arrow: archive in, verified C out, from the command line and from Python."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.samples import given_data
from myoedge.operators import layer_names as naming
from tests.conftest import ROOT, Ran, edit_as_if_generated, save_exported, steps
from tests.conftest import myoedge as command
from tests.support.networks.small import Two, make_norm_first, make_small
from tests.support.schemas import check_folder

CONTRACT = (
    "manifest.json",
    "graph.json",
    "weights.safetensors",
    "plan.json",
    "model.int8.onnx",
    "src/network.c",
    "src/network.h",
    "src/Makefile",
    "golden/input.npz",
    "golden/output.npz",
    "report.json",
    "report.html",
    "layers.csv",
    "firmware.elf",
)


@pytest.fixture(scope="module")
def built(small: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    folder = tmp_path_factory.mktemp("built") / "out"
    arguments = ("--target", "gap9", small / "model.pt2", "--calib", small / "calib.npz")
    ran = command("build", *arguments, "-o", folder, "--json", cwd=folder.parent)
    assert ran.code == 0, ran.err
    return folder, ran


def sha256(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_folder_holds_what_the_contract_says(built: tuple[Path, Ran]) -> None:
    folder, ran = built
    assert len(check_folder(folder)) == 4
    for name in CONTRACT:
        assert (folder / name).stat().st_size > 0, name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {k: v for k, v in sha256(folder).items() if k != "manifest.json"}
    assert ran.json["report"] == json.loads((folder / "report.json").read_text())
    assert not (folder / "l3.bin").exists(), "no empty stand-ins"


def test_same_input_same_bytes(
    built: tuple[Path, Ran], small: Path, tmp_path: Path, another_cache: Callable[..., Path]
) -> None:
    """Linked anew too: this cache has no programs."""
    another_cache("objects")
    copy = tmp_path / "elsewhere" / "deeper"
    copy.mkdir(parents=True)
    shutil.copy(small / "model.pt2", copy)
    shutil.copy(small / "calib.npz", copy)
    ran = command("build", "model.pt2", "--calib", "calib.npz", "-o", "again", cwd=copy)
    assert ran.code == 0, ran.err
    assert sha256(copy / "again") == sha256(built[0])


def test_no_path_of_this_machine_in_any_file(built: tuple[Path, Ran], small: Path) -> None:
    traces = [str(p).encode() for p in (ROOT, small, built[0].parent, Path.home() / ".")]
    for path in built[0].rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(trace in content for trace in traces if len(trace) > 4), path


def test_validate_compares_every_layer(
    built: tuple[Path, Ran], small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(built[0], folder)
    ran = command("validate", folder, "--input", small / "calib.npz", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["difference"]) == (0, None)
    assert ran.json["samples"] == {"host": 32 + 1 + 8}
    report = json.loads((folder / "report.json").read_text())
    assert report["exact"] == {"host": True, "simulator": None, "gvsoc": None, "board": None}
    assert (folder / "manifest.json").read_bytes() == (built[0] / "manifest.json").read_bytes()


def test_validate_names_the_first_difference(built: tuple[Path, Ran], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(built[0], folder)

    def edited(text: str) -> str:
        return text.replace("x0_step[0] = 6", "x0_step[0] = 5")

    edit_as_if_generated(folder, edited)
    ran = command("validate", folder, "--json", cwd=tmp_path)
    assert ran.code == 4, ran.err
    difference = ran.json["difference"]
    assert (difference["layer"], difference["rung"], difference["sample"]) == (3, "host", 0)
    assert difference["expected"] != difference["got"]
    assert json.loads((folder / "report.json").read_text())["exact"]["host"] is False
    shown = command("validate", folder, cwd=tmp_path)
    assert shown.code == 4
    assert "small.py" in shown.out
    assert "mean" in shown.out
    assert "expected" in shown.out


def test_python_runs_the_generated_c(built: tuple[Path, Ran], small: Path) -> None:
    build = myoedge.load_build(built[0])
    torch.manual_seed(0)
    model = make_small().eval()
    windows = np.load(small / "calib.npz")["input"]
    with torch.no_grad():
        real = model(torch.from_numpy(windows[:, 0])).numpy()
    found = np.array([build.run(window)[0] for window in windows])
    error = 10 * np.log10(np.sum(real**2) / np.sum((real - found) ** 2))
    assert error > 25, f"{error:.1f} dB"
    golden_in, golden_out = (np.load(built[0] / "golden" / f"{n}.npz") for n in ("input", "output"))
    name = next(iter(golden_in.files))
    raw = build.run(golden_in[f"{name}.q"], raw=True)
    np.testing.assert_array_equal(raw, golden_out["output.q"])
    np.testing.assert_allclose(golden_out["output"][0], real[0], atol=1e-5)


@pytest.fixture(scope="module")
def src(built: tuple[Path, Ran], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """src/ of the build with libnetwork.a, compiled by plain make."""
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("needs make and cc")
    folder = shutil.copytree(built[0] / "src", tmp_path_factory.mktemp("made") / "src")
    subprocess.run(["make", "-s"], cwd=folder, check=True)
    return Path(folder)


def test_c_builds_with_plain_make_and_checks_itself(src: Path) -> None:
    done = subprocess.run(["make", "check"], cwd=src, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bit for bit" in done.stdout
    golden = src / "golden.h"
    text = golden.read_text()
    at = text.index("golden_output0")
    value = text[at:].split("{", 1)[1].split(",", 1)[0].strip()
    golden.write_text(text[:at] + text[at:].replace(value, str(int(value) ^ 1), 1))
    changed = subprocess.run(["make", "check"], cwd=src, capture_output=True, text=True)
    assert changed.returncode
    assert "network.c" not in changed.stdout, "the library holds nothing of the sample"


def test_run_says_what_it_cannot_take(built: tuple[Path, Ran], small: Path) -> None:
    build = myoedge.load_build(built[0])
    windows = np.load(small / "calib.npz")["input"]
    with pytest.raises(myoedge.MyoedgeError, match="E213"):
        build.run(windows[:, :, :, :11])
    with pytest.raises(myoedge.MyoedgeError, match="NaN"):
        build.run(windows[0] * np.nan)


def test_run_takes_batches(built: tuple[Path, Ran], small: Path) -> None:
    """As many runs of one sample give; as a network in torch, [samples, classes]."""
    build = myoedge.load_build(built[0])
    windows = np.load(small / "calib.npz")["input"]
    one = np.concatenate([build.run(x) for x in windows])
    assert one.shape == (32, 3)
    name = build.network.graph.inputs[0]
    for batch in (windows, windows[:, 0], {name: windows}):
        np.testing.assert_array_equal(build.run(batch), one)
    assert build.run(windows[:1]).shape == build.run(windows[0]).shape == (1, 3)
    assert build.run(windows[:0]).shape == (0, 3)
    raw = np.stack([build.network.input_integers(name, x) for x in windows])
    np.testing.assert_array_equal(build.run(raw, raw=True)[3], build.run(raw[3], raw=True)[0])


def test_batches_of_several_inputs_have_as_many_samples(tmp_path: Path) -> None:
    class Product(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.relu(a * b)

    given = np.random.default_rng(0).normal(size=(20, 2, 6)).astype(np.float32)
    shapes = torch.zeros(2, 6), torch.zeros(2, 6)
    model = save_exported(Product(), shapes, tmp_path / "m.pt2")
    calib = {"a": given, "b": given[::-1]}
    build = myoedge.build(model, calib=calib, target="host", output=tmp_path / "out")
    found = build.run(given[:3], given[3:6])
    assert found.shape == (3, 2, 6), "no axis of one"
    np.testing.assert_array_equal(found[1], build.run(given[1], given[4]))
    assert build.run(a=given[:1], b=given[:1]).shape == (1, 2, 6)
    for other in (given[:2], given[0]):
        with pytest.raises(myoedge.MyoedgeError, match="E218"):
            build.run(given[:3], other)


CALLER = """
#include <math.h>
#include <stdio.h>
#include "network.h"

int main(void)
{
    _Alignas(4) int8_t in[ME_INPUT0_BYTES], out[ME_OUTPUT0_BYTES];
    float real;
    for (int i = 0; i < ME_INPUT0_BYTES && scanf("%f", &real) == 1; i++) {
        const float q = rintf(real / ME_INPUT0_SCALE) + (float)ME_INPUT0_ZERO_POINT;
        in[i] = (int8_t)fminf(fmaxf(q, -128.0f), 127.0f);
    }
    const void *const ins[] = {in};
    void *const outs[] = {out};
    const int failed = me_run(ins, outs);
    for (int i = 0; i < ME_OUTPUT0_BYTES; i++)
        printf("%.9g\\n", (double)(ME_OUTPUT0_SCALE * (float)(out[i] - ME_OUTPUT0_ZERO_POINT)));
    return failed;
}
"""


def test_header_is_enough_for_a_caller(built: tuple[Path, Ran], small: Path, src: Path) -> None:
    (src / "caller.c").write_text(CALLER)
    strict = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion")
    subprocess.run(["cc", *strict, "caller.c", "libnetwork.a", "-lm"], cwd=src, check=True)
    window = np.load(small / "calib.npz")["input"][0]
    text = "\n".join(str(value) for value in window.ravel())
    ran = subprocess.run([src / "a.out"], input=text, capture_output=True, text=True, check=True)
    wanted = myoedge.load_build(built[0]).run(window).ravel()
    np.testing.assert_allclose([float(line) for line in ran.stdout.split()], wanted, rtol=1e-6)


def test_header_holds_the_factors_of_a_norm_at_the_input(tmp_path: Path) -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3))
    model[0].running_mean.copy_(torch.tensor([3.0, -1.5]))
    save_exported(model, (torch.randn(1, 2),), tmp_path / "m.pt2")
    build = myoedge.build(tmp_path / "m.pt2", calib="random", output=tmp_path / "out")
    header = (build.folder / "src" / f"{build.prefix}.h").read_text()
    border = build.manifest["inputs"][0]["border"]
    for name, values in (("FACTORS", border["scale"]), ("OFFSETS", border["offset"])):
        text = header.split(f"M_INPUT0_{name} {{")[1].split("}")[0].replace("\\", "")
        found = [float(word.strip(" \n").removesuffix("f")) for word in text.split(",")]
        np.testing.assert_allclose(found, values, rtol=1e-7)


def test_generated_c_keeps_its_promises(built: tuple[Path, Ran]) -> None:
    text = "".join(
        (built[0] / "src" / n).read_text() for n in ("network.c", "me_math.h", "weights.c")
    )
    for forbidden in ("malloc", "stdio", "float", "double", "printf"):
        assert forbidden not in text, forbidden
    network = (built[0] / "src" / "network.c").read_text()
    assert "int64" not in network  # only norms take 64 bits, for one root and one division a row
    for line in network.splitlines():
        assert len(line) < 200, line


LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL")


@pytest.mark.parametrize("level", LEVELS)
def test_a_product_of_rows_opens_with_any_optimisation(level: str, tmp_path: Path) -> None:
    """Rows of a linear layer, of which onnxruntime makes a Gemm between reshapes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 3)).eval()
    save_exported(model, (torch.zeros(1, 9, 8),), tmp_path / "m.pt2")
    x = np.random.default_rng(0).standard_normal((8, 1, 9, 8)).astype(np.float32)
    build = myoedge.build(tmp_path / "m.pt2", calib=x, output=tmp_path / "out")
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    session = ort.InferenceSession(str(build.folder / "model.int8.onnx"), options)
    scale = build.manifest["outputs"][0]["scale"]
    for window in x:
        (found,) = session.run(None, {session.get_inputs()[0].name: window})
        assert np.abs(found - build.run(window)).max() <= 2 * scale + 1e-6


def test_onnx_file_agrees(built: tuple[Path, Ran], small: Path) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(built[0] / "model.int8.onnx"), options)
    build = myoedge.load_build(built[0])
    scale = build.manifest["outputs"][0]["scale"]
    for window in np.load(small / "calib.npz")["input"][:8]:
        (wanted,) = session.run(None, {session.get_inputs()[0].name: window})
        assert np.abs(wanted - build.run(window)).max() <= 2 * scale + 1e-6


@pytest.mark.parametrize("app", [None, "gap-sdk"])
def test_every_generated_file_names_its_licence(
    small: Path, tmp_path: Path, app: str | None
) -> None:
    model, calib = small / "model.pt2", small / "calib.npz"
    build = myoedge.build(model, calib=calib, app=app, simulate=False, output=tmp_path / "out")
    files = [path for part in ("src", "gap_sdk") for path in (tmp_path / "out" / part).rglob("*")]
    texts = {f.relative_to(build.folder).as_posix(): f.read_text() for f in files if f.is_file()}
    assert any(name.startswith("gap_sdk/") for name in texts) == (app is not None)
    for name, text in texts.items():
        first = text.splitlines()[0]
        assert re.search(r"SPDX-License-Identifier: Apache-2\.0\b", first), name
        assert ("LicenseRef-Model" in first) == (name in ("src/weights.c", "src/golden.h")), name
    assert "Apache License" in texts["src/LICENSE"]


def test_validate_measures_the_onnx_file(built: tuple[Path, Ran], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(built[0], folder)
    ran = command("validate", folder, "--onnx", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["onnx_db"] >= 30


def test_validate_fails_where_the_onnx_file_differs(
    built: tuple[Path, Ran], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(built[0], folder)
    wrong = onnx.load(folder / "model.int8.onnx")
    weights = next(x for x in wrong.graph.initializer if len(x.dims) > 1)
    negated = -onnx.numpy_helper.to_array(weights).clip(-127)
    weights.CopyFrom(onnx.numpy_helper.from_array(negated, weights.name))
    (folder / "model.int8.onnx").write_bytes(wrong.SerializeToString())
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256((folder / "model.int8.onnx").read_bytes()).hexdigest()
    manifest["files"]["model.int8.onnx"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))
    ran = command("validate", folder, "--onnx", cwd=tmp_path)
    assert (ran.code, "does NOT agree" in ran.out) == (4, True), ran.out
    assert "next:" not in ran.err
    assert command("validate", folder, cwd=tmp_path).code == 0  # the C is as it was


def test_threads_that_validate_one_build_find_it_exact(
    built: tuple[Path, Ran], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(built[0], folder)
    with ThreadPoolExecutor(3) as threads:
        found = [*threads.map(lambda _: myoedge.validate(folder), range(6))]
    assert all(validation.passed for validation in found)
    assert myoedge.load_build(folder).report["exact"]["host"] is True
    assert {path.name for path in folder.iterdir()} == {path.name for path in built[0].iterdir()}


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Two()
    save_exported(model, (torch.zeros(3, 5), torch.zeros(3, 7)), tmp_path / "two.pt2")
    rng = np.random.default_rng(1)
    arrays = {
        "a": rng.standard_normal((64, 3, 5), np.float32),
        "b": rng.standard_normal((64, 3, 7), np.float32),
    }
    build = myoedge.build(tmp_path / "two.pt2", calib=arrays, output=tmp_path / "out")
    assert myoedge.validate(build).exact["host"] is True
    mixed, shares, index = build.run([arrays["a"][0], arrays["b"][0]])
    with torch.no_grad():
        real = [y.numpy() for y in model(*(torch.from_numpy(x[0]) for x in arrays.values()))]
    assert np.abs(mixed - real[0]).max() < 0.1
    assert np.abs(shares - real[1]).max() < 0.05
    assert index.dtype == np.int32
    assert [n["name"] for n in build.manifest["outputs"]] == ["output0", "output1", "output2"]
    named = build.run({"b": arrays["b"][0], "a": arrays["a"][0]})
    np.testing.assert_array_equal(named[0], mixed)
    each = {port["name"]: port["sqnr_db"] for port in build.report["outputs"]}
    assert list(each) == ["output0", "output1", "output2"]
    shown = command("report", build.folder, cwd=tmp_path).out.replace("\n", " ")
    told = re.sub(" +", " ", shown)
    assert "at the worst of the outputs" in told
    assert "before the softmax and the argmax; 13 held-out samples" in told
    for name, db in each.items():
        assert re.search(rf"{name} \({db:.0f}", told)


def test_a_file_that_is_gone_is_named(built: tuple[Path, Ran], tmp_path: Path) -> None:
    folder = shutil.copytree(built[0], tmp_path / "out")
    (folder / "weights.safetensors").unlink()
    ran = command("validate", folder, cwd=tmp_path)
    assert (ran.code, "weights.safetensors is gone" in ran.err) == (2, True), ran.err
    assert "Errno" not in ran.err


def test_a_factory_for_a_whole_network_is_not_passed_over(tmp_path: Path, small: Path) -> None:
    given = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", tmp_path / "out")
    ran = command(*given, "--factory", "tests.support.networks.small:make_small", cwd=tmp_path)
    assert (ran.code, "E206" in ran.err) == (2, True), ran.err
    assert not (tmp_path / "out").exists()
    (tmp_path / "myoedge.toml").write_text(
        '[model]\nfactory = "tests.support.networks.small:make_small"\n'
    )
    assert command(*given, cwd=tmp_path).code == 0, "the file's factory is for the file's model"


def test_checkpoint_with_factory(tmp_path: Path, small: Path) -> None:
    torch.manual_seed(0)
    torch.save({"state_dict": make_small().state_dict()}, tmp_path / "weights.ckpt")
    factory = ("--factory", "tests.support.networks.small:make_small")
    calib = ("--calib", small / "calib.npz")
    ran = command("build", "weights.ckpt", *factory, *calib, "-o", "out", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    archive = myoedge.load(small / "model.pt2")
    assert ran.json["report"]["model"]["digest"] == archive.graph.digest


@pytest.mark.parametrize("axes", [(), (1,)], ids=["short", "with batch axis"])
def test_checkpoint_takes_the_same_calibration_as_its_archive(
    axes: tuple[int, ...], tmp_path: Path
) -> None:
    torch.save(make_norm_first().state_dict(), tmp_path / "weights.pt")
    np.savez(tmp_path / "calib.npz", input=np.ones((4, *axes, 2, 12), np.float32))
    model = myoedge.load(
        tmp_path / "weights.pt",
        factory="tests.support.networks.small:make_norm_first",
        calib=tmp_path / "calib.npz",
    )
    assert model.graph.shape(model.graph.inputs[0]) == (1, 2, 12)


def test_names_of_functions_are_not_taken_by_subpackages(small_build: Path) -> None:
    assert myoedge.report(small_build, against=small_build) == ()
    assert "conv" in [operator.name for operator in myoedge.ops()]


def test_without_calibration_the_examples_are_used_and_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_exported(make_small(), (torch.randn(1, 2, 12),), tmp_path / "model.pt")
    ran = command("build", "--target", "gap9", "model.pt", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["folder"] == "build/model-gap9"
    assert "1 example input" in ran.json["report"]["quantization"]["calibration"]["source"]
    assert "1 example input" in (tmp_path / "build/model-gap9/report.html").read_text()
    shown = command("report", cwd=tmp_path)
    assert shown.code == 0
    assert "1 example input" in shown.out


def test_project_file_gives_model_and_calibration(tmp_path: Path, small: Path) -> None:
    shutil.copy(small / "calib.npz", tmp_path)
    shutil.copy(small / "model.pt2", tmp_path)
    rules = '[quant]\n"stem" = { weights = "per_tensor" }\n'
    text = f'[model]\npath = "model.pt2"\n[calib]\ndata = "calib.npz"\nmethod = "mse"\n{rules}'
    (tmp_path / "myoedge.toml").write_text(text)
    ran = command("build", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["report"]["quantization"]["calibration"]["observer"] == "mse"
    graph = json.loads((tmp_path / "build/model-gap9/graph.json").read_text())
    assert graph["calibration"]["count"] == 26  # a fifth is held out


def test_report_against_another_build(
    built: tuple[Path, Ran], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    ran = command("build", small / "model.pt2", "--calib", "random", "-o", other, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert (
        "random"
        in json.loads((other / "report.json").read_text())["quantization"]["calibration"]["source"]
    )
    changed = command("report", other, "--against", built[0], "--json", cwd=tmp_path)
    assert changed.code == 0, changed.err
    assert changed.json["changes"]
    (step,) = steps(changed.err)
    assert step == f"myoedge report {other} --against {built[0]} --html --open"
    monkeypatch.setattr(click, "launch", lambda page: (tmp_path / page).stat() and 0)
    assert command(*shlex.split(step)[1:], cwd=tmp_path).code == 0
    assert f"{other} <span" in (tmp_path / "comparison.html").read_text()
    alone = command("report", other, "--html", "page.html", "-q", cwd=tmp_path)
    assert alone.code == 0, alone.err
    assert (tmp_path / "page.html").read_bytes() == (other / "report.html").read_bytes()
    unnamed = command("report", other, "--html", "-q", cwd=tmp_path)
    assert unnamed.out.endswith("\nreport: report.html\n")
    assert (tmp_path / "report.html").read_bytes() == (other / "report.html").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 1 << 20)  # the page is less
    assert command("report", other, "--html", "pipe", cwd=tmp_path).code == 0
    assert os.read(reading, 1 << 20) == (other / "report.html").read_bytes(), "no file in its place"
    os.close(reading)
    same = command("report", built[0], "--against", built[0], "--json", cwd=tmp_path)
    assert same.json["changes"] == []


def test_init_writes_what_build_reads(tmp_path: Path, small: Path) -> None:
    shutil.copy(small / "model.pt2", tmp_path)
    assert command("init", "--from", "model.pt2", cwd=tmp_path).code == 0
    script = subprocess.run(
        [sys.executable, "make_calib.py"], cwd=tmp_path, check=True, capture_output=True
    )
    assert b"synthetic" in script.stdout
    ran = command("build", cwd=tmp_path)
    assert (ran.code, "warning" in ran.err) == (0, False), ran.err
    assert command("init", "project", "--from", "model.pt2", cwd=tmp_path).code == 0
    shutil.copy(small / "calib.npz", tmp_path / "project")
    assert command("build", cwd=tmp_path / "project").code == 0
    again = command("init", cwd=tmp_path)
    assert again.code == 2
    assert "E223" in again.err


def test_init_and_its_script_overwrite_no_samples(tmp_path: Path, small: Path) -> None:
    for name in ("model.pt2", "calib.npz"):
        shutil.copy(small / name, tmp_path)
    mine = (small / "calib.npz").read_bytes()
    ran = command("init", "--from", "model.pt2", cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "wrote myoedge.toml\n")
    (line,) = (line for line in ran.err.splitlines() if "next:" in line)
    assert line.split() == ["next:", "myoedge", "build"]
    assert command("build", cwd=tmp_path).code == 0
    assert (tmp_path / "calib.npz").read_bytes() == mine

    project = tmp_path / "later"
    assert command("init", project, "--from", "model.pt2", cwd=tmp_path).code == 0
    shutil.copy(small / "calib.npz", project)  # after init
    script = [sys.executable, project / "make_calib.py"]
    again = subprocess.run(script, cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 1
    assert (again.stderr.count(b"\n"), b"calib.npz exists" in again.stderr) == (1, True)
    assert (project / "calib.npz").read_bytes() == mine


@pytest.mark.parametrize(
    ("files", "given", "named"),
    [
        (("calib.csv", "notes.txt"), None, "calib.csv"),
        (("session.csv", "notes.txt"), None, "session.csv"),
        (("a.csv", "b.csv"), None, "*.csv"),
        (("recordings/a.wav", "x.npy", "y.csv"), None, "recordings"),
        (("x.npy", "y.csv"), None, "calib.npz"),
        (("train.csv", "test.csv"), None, "train.csv"),
        (("a.csv", "b.csv", "test.csv"), None, "calib.npz"),
        (("test.csv", "make_calib.py"), None, "calib.npz"),
        (("x.npy", "y.csv"), "../data/x.npz", "../data/x.npz"),
        ((), "random", "random"),
    ],
)
def test_init_names_samples_that_are_there(
    tmp_path: Path, small: Path, files: tuple[str, ...], given: str | None, named: str
) -> None:
    for name in ("../data/x.npz", *files):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).touch()
    words = () if given is None else ("--calib", given)
    model = ("--from", small / "model.pt2")
    assert command("init", *model, *words, cwd=tmp_path / "p").code == 0
    settings = tomllib.loads((tmp_path / "p" / "myoedge.toml").read_text())
    assert settings["calib"]["data"] == named
    assert (tmp_path / "p" / "make_calib.py").exists() == (named == "calib.npz")
    assert ("test" in settings) == ("test.csv" in files)
    if "make_calib.py" in files:
        assert not (tmp_path / "p" / "make_calib.py").read_bytes(), "it is the user's own"


def test_init_of_a_checkpoint(tmp_path: Path, small: Path) -> None:
    torch.manual_seed(0)
    torch.save(make_small().state_dict(), tmp_path / "w.pt")
    ran = command("init", "unknown", "--from", "w.pt", cwd=tmp_path)
    assert ran.code == 0, ran.err
    text = (tmp_path / "unknown" / "myoedge.toml").read_text()
    assert tomllib.loads(text)["model"] == {"path": "../w.pt", "factory": "net:make_model"}

    (tmp_path / "net.py").write_text(
        "from tests.support.networks.small import make_small as make_model\n"
    )
    factory = ("--factory", "net:make_model")
    for folder, calib in (("without", ()), (".", ("--calib", small / "calib.npz"))):
        ran = command("init", folder, "--from", "w.pt", *factory, *calib, cwd=tmp_path)
        assert ran.code == 0, ran.err
    ran = command("build", cwd=tmp_path)
    assert ran.code == 0, ran.err
    missing = command("init", "new", "--from", "w.pt", "--calib", "no.npz", cwd=tmp_path)
    assert (missing.code, "E210" in missing.err) == (2, True)
    assert not (tmp_path / "new").exists()


def test_init_names_a_model_of_any_name(tmp_path: Path, small: Path) -> None:
    for name in ("a\nb.pt2", 'q"u\\o\x7f.pt2', "ü.pt2"):
        shutil.copy(small / "model.pt2", tmp_path / name)
        project = tmp_path / name.removesuffix(".pt2")
        assert command("init", project, "--from", name, cwd=tmp_path).code == 0
        settings = tomllib.loads((project / "myoedge.toml").read_text())
        assert (project / settings["model"]["path"]).samefile(tmp_path / name)
    bytes_alone = os.fsdecode(b"m\xff.pt2")
    shutil.copy(small / "model.pt2", tmp_path / bytes_alone)
    refused = command("init", "new", "--from", bytes_alone, cwd=tmp_path)
    assert refused.code == 2
    assert "E220" in refused.err
    assert not (tmp_path / "new").exists()


def test_run_says_what_is_wrong_with_its_inputs(built: tuple[Path, Ran]) -> None:
    build = myoedge.load_build(built[0])
    x = np.zeros((2, 12), np.float32)
    for given, code in (
        ([x, x], "E212"),
        ({"nothing": x}, "E212"),
        ("words", "E214"),
        (np.full_like(x, np.nan), "E216"),
        (x[:, :3], "E213"),
    ):
        with pytest.raises(myoedge.MyoedgeError) as refused:
            build.run(given)
        assert refused.value.code == code
        if isinstance(given, list):
            assert "np.stack(windows)" in refused.value.notice.tries[0]
            assert len(build.run(np.stack(given))) == len(given), "as the remedy says"
    with pytest.raises(myoedge.MyoedgeError) as refused:
        build.run(x, raw=True)
    assert refused.value.code == "E214"


class Apart(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x - y


def test_run_is_called_as_the_network_is(tmp_path: Path) -> None:
    """With inputs by place, by name, or both."""
    model = save_exported(Apart(), (torch.zeros(1, 3), torch.zeros(1, 3)), tmp_path / "m.pt2")
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1.0, 1.0, (2, 1, 3)).astype(np.float32)
    build = myoedge.build(model, calib={"x": x[None], "y": y[None]}, output=tmp_path / "out")
    wanted = build.run([x, y])
    np.testing.assert_allclose(wanted, x - y, atol=0.05)
    for found in (build.run(x, y), build.run(x, y=y), build.run(y=y, x=x)):
        np.testing.assert_array_equal(found, wanted)
    for inputs, named in (((x,), {}), ((x, y, y), {}), ((x, y), {"y": y}), ((x,), {"z": y})):
        with pytest.raises(myoedge.MyoedgeError) as refused:
            build.run(*inputs, **named)
        assert refused.value.code == "E212"


def test_layers_are_called_alike_before_the_build(tmp_path: Path) -> None:
    """A build for the cores of a network without sums that keep 16 bits there: quantize has no
    target, and its integers are theirs."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv1d(2, 6, 3), torch.nn.ReLU(), torch.nn.Conv1d(6, 4, 3, stride=2)]
    net = torch.nn.Sequential(*layers, torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(16, 3))
    path = save_exported(net.eval(), (torch.zeros(1, 2, 12),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((16, 1, 2, 12)).astype(np.float32)
    np.savez(tmp_path / "calib.npz", input=calib)
    model = (path, "--calib", tmp_path / "calib.npz")
    command("build", *model, "--engine", "cores", "-o", tmp_path / "out", cwd=tmp_path)
    report = myoedge.load_build(tmp_path / "out").report
    names = naming.unique_names(report["layers"])
    quantize = ("quantize", *model)
    told = command(*quantize, "--json", cwd=tmp_path).json
    assert told["sqnr_db"] == report["quantization"]["sqnr_db"]
    alone = [row for row in report["layers"] if not row["members"]]
    rows = [{key: row[key] for key in told["layers"][0]} for row in alone]
    assert len(rows) > 2
    assert [row for row in told["layers"] if row in rows] == rows, "keys mean the same"
    every = naming.unique_names(told["layers"])
    assert [x for x, row in zip(names, report["layers"], strict=True) if row in alone] == [
        x for x, row in zip(every, told["layers"], strict=True) if row in rows
    ]
    table = command(*quantize, cwd=tmp_path).out.splitlines()[1:]
    assert [line.split("  ")[0] for line in table[: len(every)]] == every
    found = myoedge.inspect(path)
    assert [place for place, *_ in found.layers] == every


def test_labels_that_validate_would_not_use_are_no_reason_to_refuse(
    built: tuple[Path, Ran],
) -> None:
    given = {"input": np.zeros((3, 1, 2, 12), np.float32), "label": np.full(3, 0.5)}
    data = given_data(myoedge.load_build(built[0]), given)
    (found,) = data.inputs.values()
    assert data.labels is None
    assert found.shape == (3, 1, 2, 12)


def test_a_loaded_network_knows_its_digest(built: tuple[Path, Ran]) -> None:
    build = myoedge.load_build(built[0])
    assert build.network.digest == build.manifest["model"]["digest"]


def test_verbose_says_what_each_stage_took(small: Path, tmp_path: Path) -> None:
    calib = ("--calib", small / "calib.npz")
    ran = command("quantize", small / "model.pt2", *calib, "-v", cwd=tmp_path)
    assert "took load" in ran.err
    assert "took" not in command("quantize", small / "model.pt2", *calib, cwd=tmp_path).err


@pytest.mark.parametrize("name", ["sum", "argmax"])
def test_an_output_without_axes(tmp_path: Path, name: str) -> None:
    class Whole(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return getattr(x, name)()

    save_exported(Whole(), (torch.zeros(3, 4),), tmp_path / "m.pt2")
    samples = np.random.default_rng(0).standard_normal((8, 3, 4), np.float32)
    build = myoedge.build(tmp_path / "m.pt2", calib=samples, output=tmp_path / "out")
    assert myoedge.validate(build).exact["host"]
    assert build.run(samples[0]).shape == ()


def test_a_layer_that_int8_is_too_coarse_for_is_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    scores = torch.nn.Sequential(
        torch.nn.Softmax(-1), torch.nn.Linear(2000, 2, bias=False)
    )  # 16 bits would take more cycles than the search may add
    save_exported(scores, (torch.randn(1, 2000),), tmp_path / "m.pt2")
    np.save(tmp_path / "calib.npy", torch.randn(20, 2000).numpy())
    given = ("build", "m.pt2", "--calib", "calib.npy")
    ran = command(*given, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "warning[W102]" in ran.err
    assert re.search(r"\b0 \(softmax(, \S+:\d+)?\) keeps only", ran.err)
    assert "a softmax over many positions" in ran.err
    assert command(*given, "--strict", cwd=tmp_path).code == 1


class Largest(torch.nn.Module):
    """The largest of the frames that are there."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.gone = torch.nn.Linear(4, 6), torch.arange(8) > 5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).masked_fill(self.gone[:, None], -1500.0).amax(1)


def test_a_maximum_behind_a_mask_is_told_what_to_fill_with(tmp_path: Path) -> None:
    torch.manual_seed(0)
    windows = np.random.default_rng(0).standard_normal((64, 1, 8, 4)).astype(np.float32)
    net = Largest().eval()
    model = save_exported(net, (torch.zeros(1, 8, 4),), tmp_path / "m.pt2")
    build = myoedge.build(model, calib=windows, output=tmp_path / "out")
    assert build.warnings == ()  # min-max: the maximum's range, which the fill is not in
    assert build.report["quantization"]["sqnr_db"] > 35
    build = myoedge.build(model, calib=windows, output=tmp_path / "out", method="percentile")
    assert [warning.code for warning in build.warnings] == ["W104", "W110", "W102"]
    told = build.warnings[-1]
    least = min(float(net(torch.from_numpy(x)).detach().min()) for x in windows)
    found = re.fullmatch(r"fill with a number just below (\S+), not -1500, .*", told.tries[0])
    assert found is not None
    assert float(found[1]) == pytest.approx(least, rel=0.01)
    assert not any("softmax" in line for line in told.tries)


def test_c_that_leaves_a_layer_out_is_no_bug_of_ours(
    built: tuple[Path, Ran], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(built[0], folder)
    source = folder / "src" / "network.c"
    lines = source.read_text().splitlines()
    source.write_text("\n".join(line for line in lines if "case 1: me_trace(" not in line))
    ran = command("validate", folder, cwd=tmp_path)
    assert ran.code == 2
    assert "error[E222]" in ran.err
    assert "Traceback" not in ran.err
