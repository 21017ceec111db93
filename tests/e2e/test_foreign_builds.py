# SPDX-License-Identifier: Apache-2.0
"""Build folders that come from somebody else: nothing of theirs is compiled but what graph.json and
the weights give, byte by byte, and whatever else is wrong with them is E222."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from torch import Tensor, nn

import myoedge
from myoedge.backends import build as checked
from myoedge.backends import report_folder
from myoedge.backends.build import Build
from myoedge.backends.report_folder import ReportFolder
from myoedge.building.config import Found, from_tables
from myoedge.cli import group
from myoedge.errors import MyoedgeError
from myoedge.quantization.files import npz
from tests.conftest import Ran, save_exported
from tests.e2e.test_bad_input import refused
from tests.extensions.sensor.test_sensor_program import SENSOR
from tests.support.networks.loops import LiquidTime

Run = Callable[..., Ran]
SHAPE = (1, 8, 32)


class Windows(nn.Module):
    """Convolutions that applications and the adaptation can take; [1, 8, 32] -> [1, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(8, 16, 3), nn.Conv1d(16, 16, 3, stride=2)
        self.last = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        found: Tensor = self.last(x.mean(-1))
        return found


class Wide(nn.Module):
    """Convolutions of 24 KiB."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(8, 64, 3), nn.Conv1d(64, 64, 6)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.second(torch.relu(self.first(x)))
        return found


class Frames(nn.Module):
    """Causal convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(8, 16, 3), nn.Conv1d(16, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        pad = nn.functional.pad
        found: Tensor = self.second(pad(torch.relu(self.first(pad(x, (2, 0)))), (2, 0)))
        return found


class Dense(nn.Sequential):
    """Linear layers of 512 KiB."""

    def __init__(self) -> None:
        layers = (nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.Linear(512, 256))
        super().__init__(*layers)


FORMS: dict[str, tuple[type[nn.Module], tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "windows": (Windows, SHAPE, {}, {}),
    "host": (Windows, SHAPE, {}, {"target": "host", "prefix": "gesture"}),
    "clock": (Windows, SHAPE, {}, {"engine": "cores", "operating_point": "300 MHz"}),
    "blob": (Windows, SHAPE, {}, {"weights_blob": True, "checks": True}),
    "few bits": (Windows, SHAPE, {"quant": {"*": {"weights": 4}}}, {}),
    "16 bits": (Windows, SHAPE, {"quant": {"*": {"activations": 16}}}, {"engine": "ne16"}),
    "less memory": (Wide, SHAPE, {}, {"l1": "24KiB", "l2": "20KiB"}),
    "no parts": (
        Dense,
        (1, 256),
        {"budget": {"external": "none"}},
        {"l2": "128KiB", "memory": "mram=auto"},
    ),
    "loop": (LiquidTime, (1, 12, 8), {}, {}),
    "stream": (Frames, SHAPE, {"stream": {"axis": 2, "frames": 2}}, {"stream": True}),
    "adapt": (Windows, SHAPE, {"adapt": {"methods": ["prototypes", "norm"], "channels": 8}}, {}),
    "sensor": (Windows, SHAPE, {"sensor": SENSOR, "stream": {"axis": 2}}, {"app": "sensor"}),
    "mlperf": (
        Windows,
        SHAPE,
        {"mlperf": {"model": "ic01", "input": "float32"}},
        {"app": "mlperf"},
    ),
    "product": (
        Windows,
        SHAPE,
        {"adapt": {"methods": ["prototypes"]}},
        {"app": "gap-sdk", "weights_blob": True},
    ),
    "tuned": (Windows, SHAPE, {}, {"tune": True, "simulate": True}),
}
USUAL = ("blob", "less memory", "no parts", "stream")  # in every run of the tests


@contextmanager
def from_elsewhere() -> Iterator[None]:
    """No build is known to be of this computer, and none becomes so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReportFolder, "made_here", property(lambda folder: False))
        patch.setattr(checked, "remember_made_here", lambda manifest: None)
        yield


def built(folder: Path, form: str) -> Build:
    network, shape, tables, options = FORMS[form]
    torch.manual_seed(0)
    model = save_exported(network(), (torch.zeros(shape),), folder / "model.pt2")
    x = np.random.default_rng(0).standard_normal((12, *shape), np.float32)
    np.savez(folder / "calib.npz", input=x, label=np.arange(12) % 4)
    calib: Any = folder / "calib.npz" if "adapt" in tables else x
    config = Found(from_tables(tables, "myoedge.toml"), folder)
    usual = {"calib": calib, "config": config, "output": folder / form, "simulate": False}
    return myoedge.build(model, **{**usual, **options})


@pytest.mark.parametrize(
    "form", [pytest.param(x, marks=[pytest.mark.slow] * (x not in USUAL)) for x in FORMS]
)
def test_the_files_of_a_build_give_its_c_again(tmp_path: Path, form: str) -> None:
    """Whatever its options were, on a computer that knows nothing but the folder."""
    build = built(tmp_path, form)
    with from_elsewhere():
        files = checked.own_sources(myoedge.load_build(build.folder))
    assert (build.l3_image is not None) == (form == "less memory")
    assert files == {
        path.relative_to(build.folder / "src").as_posix(): path.read_bytes()
        for path in (build.folder / "src").rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("whole"), "windows").folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def with_new_digests(folder: Path) -> None:
    """What somebody does who edits a build: the manifest says that all of it was so."""
    manifest = json.loads((folder / "manifest.json").read_text())
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    manifest["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names
        if name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


RUNS = '__attribute__((constructor)) static void f(void) {{ fclose(fopen("{}", "w")); }}\n'


@pytest.mark.parametrize("name", ["src/network.c", "src/more.c", "src/library/more.S", "link"])
@pytest.mark.parametrize("is_listed", [False, True])
def test_c_of_somebody_else_is_never_compiled(
    run: Run, folder: Path, tmp_path: Path, name: str, is_listed: bool
) -> None:
    """A function that would run as soon as the library is loaded, listed or not, or linked."""
    code = "#include <stdio.h>\n" + RUNS.format(tmp_path / "ran")
    if name == "link":
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "more.c").write_text(code)
        (folder / "src" / "theirs").symlink_to(tmp_path / "theirs")
        (folder / "src" / "more.c").symlink_to(tmp_path / "theirs" / "more.c")
    else:
        before = (folder / name).read_text() if (folder / name).exists() else ""
        (folder / name).write_text(code + before)
    if is_listed:
        with_new_digests(folder)
    refused(run("validate", folder), 2, "E222")
    with pytest.raises(MyoedgeError, match="E222"):
        myoedge.load_build(folder).run(np.zeros(SHAPE, np.float32))
    assert not (tmp_path / "ran").exists()


def test_a_build_that_is_as_it_should_be_runs_wherever_it_was_made(
    run: Run, folder: Path, another_cache: Callable[..., Path]
) -> None:
    """With another form of its manifest, in a new cache; what make leaves there stays unread."""
    cache = another_cache("libraries", "objects", "programs")
    (folder / "src" / "network.o").write_bytes(b"\x7fELF")
    (folder / "src" / "main.c").write_text("#error is the user's own, and compiled by make alone\n")
    assert run("validate", folder).code == 0
    assert len(os.listdir(cache / "generated")) == 1


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def with_other_arrays(data: bytes) -> bytes:
    return npz({"other.q": np.zeros((3, 5), np.int8)})


def with_stride(value: Any) -> Callable[[bytes], bytes]:
    """graph.json with another attribute of a convolution."""

    def edited(data: bytes) -> bytes:
        graph = json.loads(data)
        node = next(node for node in graph["nodes"] if node["op"] == "conv")
        node["attrs"]["stride"] = value
        return json.dumps(graph).encode()

    return edited


def with_scalar(data: bytes) -> bytes:
    graph = json.loads(data)
    step = next(step for step in graph["steps"] if "x_zero" in step["scalars"])
    step["scalars"]["x_zero"] = "0}; void f(void) { __builtin_trap(); } //"
    return json.dumps(graph).encode()


def with_weights(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[bytes], bytes]:  # type: ignore[type-arg]
    def edited(data: bytes) -> bytes:
        arrays = load(data)
        name = next(name for name in arrays if name.endswith("/weight"))
        return save({**arrays, name: np.ascontiguousarray(change(arrays[name]))})

    return edited


def with_plan(data: bytes) -> bytes:
    plan = json.loads(data)
    plan["steps"][0]["writes"] = "arena + 99999999"
    return json.dumps(plan).encode()


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    **{f"half of {name}": (name, cut) for name in ("golden/input.npz", "weights.safetensors")},
    "no zip": ("golden/input.npz", lambda data: b"PK" + data[::-1]),
    "other arrays": ("golden/input.npz", with_other_arrays),
    "other results": ("golden/output.npz", with_other_arrays),
    "a member's end": ("golden/input.npz", lambda data: data.replace(b"NUMPY", b"NVMPY")),
    "fewer channels": ("weights.safetensors", with_weights(lambda x: x[:1])),
    "other weights": ("weights.safetensors", with_weights(lambda x: -x)),
    "weights of floats": ("weights.safetensors", with_weights(lambda x: x.astype(np.float32))),
    "C in a scalar": ("graph.json", with_scalar),
    **{
        f"stride {value!r}": ("graph.json", with_stride(value))
        for value in (-1, [-1], [1 << 40], [], None, "x", {"a": 1}, [3, 3], ["(void)0"], [1.5])
    },
    "plan": ("plan.json", with_plan),
    "no steps": ("plan.json", lambda data: b'{"steps": []}'),
}


def test_the_edited_attribute_is_named(run: Run, folder: Path) -> None:
    path = folder / "graph.json"
    path.write_bytes(with_stride([-1])(path.read_bytes()))
    with_new_digests(folder)
    told = ("graph.json: ", "conv with stride=(-1,), which must be")
    refused(run("validate", folder), 2, "E222", *told)


VERBS = (("validate",), ("simulate",), ("validate", "--on", "simulator"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_with_the_right_digests(run: Run, folder: Path, damage: str) -> None:
    """Nothing else is told than that the folder is damaged, whichever verb reads it."""
    name, change = DAMAGES[damage]
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    with_new_digests(folder)
    for verb in VERBS[:1] if name == "plan.json" else VERBS:
        refused(run(verb[0], folder, *verb[1:]), 2, "E222")
    with pytest.raises(MyoedgeError, match="E222"):
        myoedge.load_build(folder).run(np.zeros(SHAPE, np.float32))


def reading() -> Iterator[tuple[str, ...]]:
    """Commands whose argument is a build folder, from the table of commands."""
    pending: list[tuple[tuple[str, ...], click.Command]] = [((), group)]
    while pending:
        words, command = pending.pop()
        if isinstance(command, click.Group):
            names = command.list_commands(click.Context(command))
            found = ((name, command.get_command(click.Context(command), name)) for name in names)
            pending += [((*words, name), each) for name, each in found if each]
        names_of = {x.name for x in command.params if isinstance(x, click.Argument)}
        if names_of & {"folder", "path", "old"} and words != ("init",):
            yield words


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("product"), "product").folder


OPTIONS = {
    ("adapt",): ("--data", "calib.npz", "--test", "calib.npz"),
    ("bench",): ("--meter", "/dev/null"),
    ("check",): ("--against", "{}"),
    ("diff",): ("{}",),
    ("flash",): ("--port", "/dev/null"),
    ("run",): ("--port", "/dev/null"),
}
OF_OLDER: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "a number more": (
        "graph.json",
        lambda x: [step["scalars"].update(more=3) for step in x["steps"]],
    ),
    "a number less": ("graph.json", lambda x: [step["scalars"].clear() for step in x["steps"]]),
    "no steps": ("graph.json", lambda x: x.pop("steps")),
    "no places": ("plan.json", lambda x: [step.pop("writes") for step in x["steps"]]),
}


@pytest.mark.parametrize("change", OF_OLDER)
def test_a_build_of_this_computer_by_another_version(
    run: Run, product: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str
) -> None:
    """Its files may have another format, whichever command reads them: E222 with the version."""
    folder = Path(shutil.copytree(product, tmp_path / "out"))
    shutil.copy(product.parent / "calib.npz", tmp_path)
    name, edit = OF_OLDER[change]
    document = json.loads((folder / name).read_bytes())
    edit(document)
    (folder / name).write_text(json.dumps(document))
    with_new_digests(folder)
    with monkeypatch.context() as older:
        older.setattr(report_folder, "sources", lambda: "older")
        report_folder.remember_made_here(json.loads((folder / "manifest.json").read_bytes()))
    told = set()
    for words in reading():
        options = (text.format(folder) for text in OPTIONS.get(words, ()))
        ran = run(*words, folder, *options)
        assert "error[E9" not in ran.err, (words, ran.err)
        if "built by  myoedge" in ran.err:
            assert "error[E222]" in ran.err
            assert "of other sources" in ran.err
            told.add(words)
            again = ran.err
    assert {("simulate",), ("validate",), ("evidence",)} <= told
    if change == "no steps":
        assert rebuilt(run, again, product.parent / "model.pt2").code == 0
        assert run("simulate", folder).code == 0


def rebuilt(run: Run, told: str, model: Path) -> Ran:
    """Runs the command that an error tells to try."""
    (line,) = (x.split("myoedge build ")[1] for x in told.splitlines() if "myoedge build " in x)
    values = {"MODEL": model, "CALIB": "random"}
    return run("build", *(values.get(word, word) for word in line.split()), "--no-simulate")


def test_without_a_build_the_remedy_makes_one(run: Run, product: Path) -> None:
    told = run("simulate").err
    assert "error[E222]" in told
    assert rebuilt(run, told, product.parent / "model.pt2").code == 0
    assert run("simulate").code == 0
