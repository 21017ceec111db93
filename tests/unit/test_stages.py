# SPDX-License-Identifier: Apache-2.0
"""Stages from the cache: the same bytes as computed anew, for the same inputs alone."""

from __future__ import annotations

import importlib
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import myoedge
import myoedge.operators as families
from myoedge.building import finished_build, loading, model_inputs, pipeline, stages
from myoedge.building.finishing import SimulationOptions
from myoedge.building.pipeline_options import Options
from myoedge.building.stages import Stage
from myoedge.errors import notice
from myoedge.operators.base import OPS
from myoedge.system.tools import scratch
from tests.conftest import ROOT
from tests.conftest import myoedge as command

STAGES = {"load", "calibrate", "quantise", "evaluate", "simulate", "build"}
BUILD = ("build", "model.pt2", "--calib", "calib.npz", "--simulate")
WARM_S = 1.5  # of CPU, user and system, of a process that has nothing to compute


@pytest.fixture
def kept(another_cache: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of results, on, and empty."""
    root = another_cache("programs", "objects", "libraries")
    monkeypatch.delenv(stages.SWITCH)
    return root / "stages"


def files_of(folder: Path) -> dict[str, bytes]:
    below = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in below}


def stages_kept(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.iterdir()}


def refuse(*arguments: Any) -> Any:
    raise AssertionError("computed")


def refusing(name: str) -> tuple[Stage, ...]:
    """The pipeline with a stage that is not to be computed."""
    assert name in {stage.name for stage in pipeline.PIPELINE}
    return tuple(
        replace(stage, function=(Stage(name, (), stage.outputs, refuse),))
        if stage.name == name
        else stage
        for stage in pipeline.PIPELINE
    )


@dataclass(frozen=True)
class First:
    """A folder with the small network, results of its first build, and what that wrote."""

    folder: Path
    results: Path
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def first(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    folder = tmp_path_factory.mktemp("first")
    for name in ("model.pt2", "calib.npz"):
        shutil.copy(small / name, folder)
    with scratch() as results:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stages, "cache_folder", lambda name: results)
            patch.delenv(stages.SWITCH)
            assert command(*BUILD, "-o", "cold", cwd=folder).code == 0
        assert stages_kept(results) == STAGES
        yield First(folder, results, files_of(folder / "cold"))


@pytest.fixture
def built(first: First, kept: Path, tmp_path: Path) -> Path:
    """A folder of model and samples, with all results of an earlier build in the cache."""
    shutil.copytree(first.results, kept)
    for name in ("model.pt2", "calib.npz"):
        shutil.copy(first.folder / name, tmp_path)
    return tmp_path


def test_without_a_cache_the_bytes_are_the_same(first: First, tmp_path: Path) -> None:
    assert os.environ[stages.SWITCH] == "off"
    assert command(*BUILD, "-o", tmp_path / "off", cwd=first.folder).code == 0
    assert files_of(tmp_path / "off") == first.files


def test_nothing_changed(built: Path, first: First) -> None:
    """Another process writes the same bytes, without the libraries that compute them."""
    words = [*BUILD, "-o", "again"]
    script = (
        "import sys, atexit\n"
        "libraries = ('torch', 'onnx', 'ortools', 'scipy', 'jinja2')\n"
        "atexit.register(lambda: print([x for x in libraries if x in sys.modules]))\n"
        f"from myoedge.cli import main; main({words!r})"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=built, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0
    assert "build: as before" in ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"
    assert files_of(built / "again") == first.files


def test_what_the_line_of_an_unchanged_build_says_computes_it_anew(
    built: Path, first: First, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = next(x for x in command(*BUILD, cwd=built).err.splitlines() if "build: as before" in x)
    (setting,) = re.findall(r"(\w+)=(\w+)", line)
    monkeypatch.setenv(*setting)
    again = command(*BUILD, "-o", "anew", cwd=built)
    assert "as before" not in again.err
    assert re.findall(r"\d/\d (load|quantise|plan|emit)", again.err)
    assert files_of(built / "anew") == first.files


@pytest.mark.slow
def test_nothing_changed_takes_little(built: Path) -> None:
    words = ["-m", "myoedge", *BUILD]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(built / "pyc")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    taken_s = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], cwd=built, env=env, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken_s) < WARM_S


def test_other_options_load_no_network_again(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_load_model", refuse)
    words = (*BUILD, "--method", "minmax")
    assert command(*words, "-o", "other", cwd=built).code == 0
    monkeypatch.undo()  # what is in the cache, too
    assert command(*words, "-o", "anew", cwd=built).code == 0
    assert files_of(built / "other") == files_of(built / "anew")


def test_a_latency_quantises_nothing_again(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PIPELINE", refusing("quantise"))
    (built / "myoedge.toml").write_text('[budget]\nlatency = "20 ms"\n')
    ran = command(*BUILD, "-o", "other", cwd=built)
    assert (ran.code, "quantise: as before" in ran.err) == (0, True)
    assert myoedge.load_build(built / "other").report["budget"]["latency_s"] == 0.02


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        damaged,
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.chmod(0o666),
        lambda path: (path.rename(path.with_suffix(".x")), path.symlink_to(path.with_suffix(".x"))),
    ],
    ids=["damaged", "cut off", "writable by others", "a link"],
)
def test_results_that_others_may_have_written_are_not_read(
    kept: Path, harm: Callable[[Path], Any]
) -> None:
    key, made = stages.key("x"), iter(range(9))
    results = [stages.reused("count", key, lambda: next(made)) for _ in range(2)]
    (path,) = kept.iterdir()
    harm(path)
    assert [*results, stages.reused("count", key, lambda: next(made))] == [0, 0, 1]


def test_a_stranger_reads_nothing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, made = stages.key("x"), iter(range(9))
    assert stages.reused("count", key, lambda: next(made)) == 0
    (path,) = kept.iterdir()
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert stages.files.content(path) is None


# ---- keys


def key_of(folder: Path, **options: Any) -> str | None:
    """Key of a build of model.pt2 in a folder."""
    values = {"model": folder / "model.pt2", "calib": folder / "calib.npz", "decided_by": 1}
    config = folder / "myoedge.toml"
    config.touch()
    given = Options(**{**values, "config": config, **options})
    return model_inputs.stage_key("build", *model_inputs.checked_inputs(given))


@pytest.fixture
def named(small: Path, kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    return tmp_path


def edited(name: str) -> Callable[[Path, pytest.MonkeyPatch], Any]:
    def edit(folder: Path, patch: pytest.MonkeyPatch) -> None:
        if name == "model.pt2":  # a byte behind the archive's end
            (folder / name).write_bytes((folder / name).read_bytes() + b"\0")
            return
        stored = dict(np.load(folder / name))
        stored["input"][0, 0, 0, 0] += np.float32(0.5)
        np.savez(folder / name, **stored)

    return edit


def relabelled(folder: Path, patch: pytest.MonkeyPatch) -> None:
    stored = dict(np.load(folder / "calib.npz"))
    np.savez(folder / "calib.npz", input=stored["input"], label=stored["label"] ^ 1)


def told(text: str) -> Callable[[Path, pytest.MonkeyPatch], Any]:
    return lambda folder, patch: (folder / "myoedge.toml").write_text(text)


def made_by(name: str, value: Any) -> Callable[[Path, pytest.MonkeyPatch], Any]:
    def edit(folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(stages, name, value)
        forget()

    return edit


CHANGES = {
    "model": edited("model.pt2"),
    "samples": edited("calib.npz"),
    "labels": relabelled,
    "a layer's bits": told('[quant]\n"stem" = { weights = 4 }\n'),
    "filters": told("[conditioning]\nrate_hz = 200.0\nnotch_hz = 50.0\n"),
    "a budget": told("[budget]\nsqnr = 20.0\n"),
    "sources": made_by("sources", lambda: "others"),
    "a package": made_by("_package_version", lambda package: "0.0" if package == "torch" else "1"),
    "compiler": made_by(
        "toolchain", type("Other", (), {"compiler": lambda name: replace_version()})
    ),
    "processor": made_by("_blas_cpu_type", lambda: ["another"]),
}


def replace_version() -> Any:
    from myoedge.system import toolchain

    return replace(toolchain.compiler("zig"), version="zig 99")


def forget() -> None:
    """As in another process."""
    stages._computer_fingerprint.cache_clear()
    stages._package_digest.cache_clear()


@pytest.fixture(autouse=True)
def forget_computer() -> Iterator[None]:
    yield
    forget()


@pytest.mark.parametrize("name", CHANGES)
def test_a_key_covers(name: str, named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(named)
    assert before == key_of(named) is not None
    CHANGES[name](named, monkeypatch)
    after = key_of(named)
    assert after != before
    assert after is not None


def test_a_key_covers_every_option(named: Path) -> None:
    other: dict[str, Any] = {
        "method": "mse", "percentile": 99.0, "samples": 3, "strict": True, "holdout": 0.0,
        "accurate": True, "weights": "auto", "engine": "cores", "stream": True, "ctc": 0,
        "decided_by": 2, "max_bytes": 1 << 29,
        "chip": myoedge.targets.find_chip("gap9"), "calib": "random", "gate": named / "model.pt2",
        "first": "output",
    }  # fmt: skip
    functions = {"examine", "planned_cycles", "keeps", "reading", "say", "progress"}
    alike = {"model", "factory", "config", "reuse", "test", *functions}
    assert {*other} | alike == {*Options.__dataclass_fields__}
    assert "reuse" not in model_inputs._OF_INPUTS
    keys = [key_of(named)]
    for option in functions:
        assert key_of(named, **{option: lambda *_: None}) == keys[0], option
    for option, value in other.items():
        more = {"method": "percentile"} if option == "percentile" else {}
        keys.append(key_of(named, **{option: value, **more}))
    assert None not in keys
    assert len({*keys}) == len(keys)


def test_another_test_set_is_another_build_of_the_same_integers(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(named)
    first = myoedge.build("model.pt2", calib="calib.npz", target="host", test="calib.npz")
    files = files_of(first.folder)
    monkeypatch.setattr(pipeline, "PIPELINE", refusing("quantise"))
    stored = np.load("calib.npz")
    np.savez("test.npz", input=stored["input"], label=(stored["label"] + 1) % 3)
    second = myoedge.build("model.pt2", calib="calib.npz", target="host", test="test.npz")
    other = files_of(second.folder)
    changed = {name for name in files if files[name] != other[name]}
    assert changed == {"report.json", "report.html", "manifest.json"}


def test_comments_and_folders_change_nothing(named: Path, tmp_path: Path) -> None:
    before = key_of(named)
    (named / "myoedge.toml").write_text("# a comment\n")
    shutil.copytree(named, named / "copy", dirs_exist_ok=True)
    assert key_of(named / "copy") == before


def importable(package: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new package of one module, where imports find it."""
    package.mkdir()
    (package / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def test_an_operator_from_elsewhere_is_part_of_the_key(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its package where it is one; of a single file, which may read others, nothing is kept."""
    before = key_of(named)
    text = "def real(attrs, x):\n    return x\n"
    package = importable(named / "plugged", text, monkeypatch)
    import plugged  # type: ignore[import-not-found]

    monkeypatch.setitem(OPS, "mine", replace(OPS["add"], name="mine", real=plugged.real))
    forget()
    inside = key_of(named)
    (package / "__init__.py").write_text("def real(attrs, x):\n    return -x\n")
    forget()
    assert len({before, inside, key_of(named), None}) == 4
    monkeypatch.setitem(OPS, "mine", replace(OPS["add"], name="mine", real=refuse))
    forget()
    here = sys.modules[refuse.__module__.partition(".")[0]]
    monkeypatch.setattr(here, "__file__", str(named / "single.py"))
    assert key_of(named) is None


def test_a_plugin_that_only_imports_is_part_of_the_key(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From when it is loaded, though keys were made before."""
    before = key_of(named)
    package = importable(named / "rows_only", "", monkeypatch)
    (package / "import_rows.py").write_text("ROWS = ()\n")
    monkeypatch.setattr(families, "ADDED", [])
    families.ADDED.append(importlib.import_module("rows_only"))
    loaded = key_of(named)
    (package / "import_rows.py").write_text("ROWS = []\n")
    forget()
    assert len({before, loaded, key_of(named), None}) == 4


def largest(path: Path) -> float:
    (weights,) = loading.load_model(path).graph.arrays.values()
    return float(weights.max())


def test_arrays_outside_an_onnx_file_are_read_anew(kept: Path, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [weight],
    )
    path = tmp_path / "m.onnx"
    outside = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
    onnx.save(helper.make_model(graph), path, **outside)
    assert largest(path) == 1.0
    (tmp_path / "w.bin").write_bytes(np.full((3, 4), 2.0, np.float32).tobytes())
    assert largest(path) == 2.0
    inside = tmp_path / "inside.onnx"
    onnx.save(onnx.load(path), inside)
    loading.load_model(inside)
    assert stages_kept(kept) == {"load"}


def test_a_factory_is_called_every_time(kept: Path, tmp_path: Path) -> None:
    """What it makes may follow from anything; stages behind it follow from the network."""
    import torch

    torch.manual_seed(0)
    torch.save(torch.nn.Linear(3, 2).state_dict(), tmp_path / "w.pt")
    source = "import torch\ndef make():\n    return torch.nn.Linear(3, 2), (torch.zeros({}, 3),)\n"
    (tmp_path / "net.py").write_text(source.format(1))
    words = ("build", "w.pt", "--factory", "net:make", "--calib", "random", "--target", "host")
    assert command(*words, cwd=tmp_path).code == 0
    assert "load" not in stages_kept(kept)
    first = command(*words, cwd=tmp_path)
    assert "build: as before" in first.err
    # Of another length: Python tells files of the same second apart by it.
    (tmp_path / "net.py").write_text(source.format("1 + 1"))
    sys.modules.pop("net")
    again = command(*words, cwd=tmp_path)
    assert "build: as before" not in again.err
    assert myoedge.load_build(tmp_path / "build/w-host").network.graph.shape("input")[0] == 2


def test_what_a_computer_lacks_is_not_kept(
    named: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from myoedge.building import confirm

    monkeypatch.setattr(confirm, "_explain_no_simulation", lambda *_: notice("W304", "no compiler"))
    monkeypatch.setattr(SimulationOptions, "is_wanted", True)
    words = ("build", "model.pt2", "--calib", "calib.npz")
    assert "W304" in command(*words, cwd=named).err
    assert stages_kept(kept) == {"load", "calibrate", "quantise", "evaluate"}
    assert finished_build.OF_THIS_COMPUTER == ("W304",)


def test_a_full_disk_ends_no_build(
    named: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(data: bytes, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stages.files, "keep", full)
    assert command("build", "model.pt2", "--calib", "calib.npz", cwd=named).code == 0
    assert not kept.exists() or not [*kept.iterdir()]


def test_a_network_that_is_replaced_while_it_is_read_is_not_kept_as_the_first(
    named: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is of the file as it was at first; torch is imported between that and the reading."""
    load, network = model_inputs.load_model, (named / "model.pt2").read_bytes()

    def load_another(path: Path, *rest: Any) -> Any:
        path.write_bytes(network + b" ")
        return load(path, *rest)

    monkeypatch.setattr(model_inputs, "load_model", load_another)
    ran = command("build", "model.pt2", "--calib", "calib.npz", "--no-simulate", cwd=named)
    assert (ran.code, "E101" in ran.err, "replaced" in ran.err) == (1, True, True)
    assert not (named / "build").exists()
    assert not stages_kept(kept) & {"build", "quantise"}
