# SPDX-License-Identifier: Apache-2.0
"""Names, special files, archives and checkpoints made to break a reader: one error, no traceback,
no wait, and before the long part."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myoedge.building import early_checks
from myoedge.building.config import find
from myoedge.building.config_tables import Config
from myoedge.building.early_checks import check_graph
from myoedge.building.options import BuildOptions
from myoedge.building.request import build_request
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.load import load_exported
from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Tensor
from myoedge.quantization.recordings.reading import Reading
from myoedge.quantization.recordings.sources import read
from myoedge.system import regular_files
from myoedge.system.regular_files import MAX_TEXT_BYTES, read_regular
from tests.conftest import Ran, myoedge
from tests.e2e.test_bad_input import refused
from tests.support import attacks

Run = Callable[..., Ran]
LONG = "a" * 256  # bytes; a name has at most 255
FACTORY = ("--factory", "tests.support.networks.small:Small")


@pytest.fixture(scope="module")
def built(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "out"
    build = ("build", "model.pt2", "--calib", "calib.npz", "-o", folder, "--target", "host")
    ran = myoedge(*build, cwd=small)
    assert ran.code == 0, ran.err
    return folder


def test_names_that_are_too_long(run: Run, small: Path, built: Path) -> None:
    model, calib = small / "model.pt2", ("--calib", small / "calib.npz")
    for words, code in (
        (("inspect", LONG), "E101"),
        (("build", LONG), "E101"),
        (("build", model, "--calib", LONG), "E210"),
        (("build", model, *calib, "--reuse", LONG), "E222"),
        (("build", model, *calib, "--config", LONG), "E231"),
        (("report", LONG), "E222"),
        (("report", built, "--against", LONG), "E222"),
        (("validate", built, "--input", LONG), "E210"),
        (("simulate", LONG), "E222"),
        (("simulate", "--elf", LONG), "E241"),
        (("init", LONG), "E220"),
        (("sweep", LONG), "E260"),
        (("energy", "calibrate", LONG), "E250"),
    ):
        refused(run(*words), 1 if code == "E101" else 2, code)


@pytest.mark.parametrize("folder", [LONG, f"new/{'a' * 250}", f"new/{LONG}/out", "/proc/self/out"])
def test_output_folders_that_cannot_be_are_refused_first(
    run: Run, small: Path, tmp_path: Path, folder: str
) -> None:
    """The name it has while it is written is longer than its own."""
    if not Path("/proc/self").exists() and folder.startswith("/proc"):
        pytest.skip("this system has no /proc")
    ran = run("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", folder)
    refused(ran, 2, "E220")
    assert "load ..." not in ran.err
    assert not [*tmp_path.iterdir()]


SPECIAL = ("pipe", "/dev/zero", "/dev/null", "/proc/self/mem", ".")


@pytest.mark.parametrize("name", SPECIAL)
def test_special_files(run: Run, small: Path, built: Path, tmp_path: Path, name: str) -> None:
    """A pipe would be waited for, a device has no end, /proc/self/mem cannot be read at its start
    but says that it is a regular file."""
    if not Path(name).exists() and name.startswith("/"):
        pytest.skip(f"this system has no {name}")
    os.mkfifo(tmp_path / "pipe")
    model, calib = small / "model.pt2", ("--calib", small / "calib.npz")
    for words in (
        ("inspect", name),
        ("build", name, *calib),
        ("build", name, *calib, *FACTORY),
        ("build", model, "--calib", name),
        ("build", model, *calib, "--reuse", name),
        ("build", model, *calib, "--config", name),
        ("build", model, *calib, "-o", name),
        ("validate", built, "--input", name),
        ("report", name),
        ("sweep", name),
        ("energy", "calibrate", name),
    ):
        ran = run(*words)
        assert ran.code in (1, 2), (words, ran.err)
        assert ran.err.count("error[E") + ran.err.count("\nError: ") == 1, (words, ran.err)


def test_special_files_in_a_build(run: Run, built: Path, tmp_path: Path) -> None:
    for name, where in (
        ("manifest.json", None),
        ("report.json", "/dev/zero"),
        ("graph.json", None),
    ):
        folder = tmp_path / f"of_{name}"
        folder.mkdir()
        for path in built.iterdir():
            (folder / path.name).symlink_to(path)
        (folder / name).unlink()
        os.mkfifo(folder / name) if where is None else (folder / name).symlink_to(where)
        refused(run("report", folder), 2, "E222")


def test_a_limit_on_what_is_read(tmp_path: Path) -> None:
    """The size that /proc states of its files is 0."""
    (tmp_path / "file").write_bytes(bytes(100))
    assert read_regular(tmp_path / "file", 100) == bytes(100)
    for path, limit in ((tmp_path / "file", 99), (Path("/proc/self/maps"), 99)):
        if path.exists():
            with pytest.raises(OSError, match="more than 99 bytes"):
                read_regular(path, limit)
    assert MAX_TEXT_BYTES < regular_files.MAX_BYTES


# ---- archives that unpack into more than they are


def deflated(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_an_npz_bomb(run: Run, small: Path, built: Path, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "c.npz", input=np.zeros((4000, 1, 2, 12), np.float32))
    build = ("quantize", small / "model.pt2", "--calib", "c.npz")
    refused(run(*build, "--max-bytes", "100KiB"), 2, "E247", "384,128 bytes", "--max-bytes 1MiB")
    assert read(tmp_path / "c.npz", Reading(max_bytes=1 << 20)).count == 4000
    refused(run(*build, "--max-bytes", "much"), 2, "E232", "not a size")


def test_the_limit_without_the_option(run: Run, built: Path, tmp_path: Path) -> None:
    """1 GiB and a little, of zeros, in 1 MB: the members are not unpacked."""
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input.npy", bytes(1 << 20))
    packed = bytearray((tmp_path / "c.npz").read_bytes())
    at = packed.index(b"PK\1\2") + 24  # the size that the directory states
    packed[at : at + 4] = ((1 << 30) + 1).to_bytes(4, "little")
    (tmp_path / "c.npz").write_bytes(packed)
    refused(run("validate", built, "--input", "c.npz"), 2, "E247", "1,073,741,825")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_unpacked_at_once(
    run: Run, built: Path, tmp_path: Path, method: int
) -> None:
    """1 KB of bzip2 is a gigabyte to zipfile, whatever size the member states."""
    np.savez(tmp_path / "stored.npz", input=np.zeros((4, 1, 2, 12), np.float32))
    with zipfile.ZipFile(tmp_path / "stored.npz") as stored:
        content = stored.read("input.npy")
    for name, member in (("c.npz", "input.npy"), ("w.pt", "w/data.pkl")):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            archive.writestr(member, content)
    refused(run("validate", built, "--input", "c.npz"), 2, "E211", "neither")
    unpacked: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "open", lambda *_: unpacked.append(_))
        refused(run("inspect", "w.pt"), 1, "E106")
    assert not unpacked


def test_members_that_share_their_bytes(run: Run, built: Path, tmp_path: Path) -> None:
    """Stored, each of them the same bytes of the file."""
    np.savez(tmp_path / "c.npz", input=np.zeros((300_000, 1, 2, 12), np.float32))
    packed = (tmp_path / "c.npz").read_bytes()
    start = packed.index(b"PK\1\2")
    end = packed.index(b"PK\5\6")
    entry, count = packed[start:end], 40
    entries = b"".join(entry.replace(b"input.npy", b"in%03d.npy" % i) for i in range(count))
    tail = bytearray(packed[end:])
    tail[8:12] = count.to_bytes(2, "little") * 2
    tail[12:16] = len(entries).to_bytes(4, "little")
    (tmp_path / "c.npz").write_bytes(packed[:start] + entries + tail)
    refused(run("validate", built, "--input", "c.npz"), 2, "E247")


def test_a_compressed_checkpoint(run: Run, small: Path, tmp_path: Path) -> None:
    from tests.support.networks.small import Small

    torch.save(Small().state_dict(), tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    extra = {**members, "w/more": bytes(1 << 20)}
    deflated(tmp_path / "w.pt", extra)
    build = ("inspect", "w.pt", *FACTORY, "--calib", small / "calib.npz", "--max-bytes")
    refused(run(*build, "1MiB"), 2, "E247", "w.pt unpacks")
    assert run(*build, "2MiB").code == 0


# ---- contents


def test_weights_on_meta_have_no_values(small: Path, tmp_path: Path) -> None:
    def on_meta(tree: Any) -> None:
        for entry in tree["config"].values():
            entry["tensor_meta"]["device"] = {"type": "meta", "index": None}

    content = attacks.members(small / "model.pt2")
    path = attacks.pack(tmp_path / "m.pt2", attacks.edited(content, attacks.WEIGHTS, on_meta))
    with pytest.raises(MyoedgeError, match="not exported on the CPU") as caught:
        load_exported(path)
    assert caught.value.code == "E108"


def recursive(kind: str) -> Any:
    """Contents of a checkpoint that hold themselves."""
    weights: dict[str, Any] = {"stem.weight": torch.zeros(6, 2, 3)}
    loop: list[Any] = []
    loop.append(loop)
    deep: Any = ()
    for _ in range(150):
        deep = [deep]
    return {
        "nest": weights | {"state_dict": weights} | {"model": weights},
        "itself": weights,
        "list": loop,
        "in a state dict": {"state_dict": weights | {"loop": loop}},
        "beside it": {"state_dict": weights, "history": loop},
        "deep": {"state_dict": weights, "deep": deep},
    }[kind]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", ["nest", "itself", "list", "in a state dict", "beside it", "deep"])
def test_a_checkpoint_that_contains_itself(
    run: Run, small: Path, tmp_path: Path, kind: str, old: bool
) -> None:
    content = recursive(kind)
    if kind in ("nest", "itself"):
        content["model" if kind == "nest" else "state_dict"] = content
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    calib = ("--calib", small / "calib.npz")
    refused(run("build", "w.pt", *FACTORY, *calib), 1, "E109")


def test_objects_that_contain_themselves(run: Run, small: Path, tmp_path: Path) -> None:
    """Beside weights in a class that is not read, which takes the reader of our own."""
    state: dict[str, Any] = {"stem.weight": torch.zeros(6, 2, 3)}
    hyper = Hyper()
    hyper.own, hyper.items = hyper, [state, hyper]
    torch.save({"state_dict": state, "hyper": hyper}, tmp_path / "w.pt")
    ran = run("build", "w.pt", *FACTORY, "--calib", small / "calib.npz")
    refused(ran, 1, "E109", "missing")
    state["hyper"] = hyper
    torch.save({"state_dict": state, "hyper": hyper}, tmp_path / "w.pt")
    refused(run("build", "w.pt", *FACTORY, "--calib", small / "calib.npz"), 1, "E109")


class Hyper:
    """What a trainer keeps beside the weights."""

    own: Any
    items: Any


def layers(count: int) -> Graph:
    """Linear layers behind each other, as many as are asked for, with the same weights."""
    nodes = [
        Node("linear", ("x" if i == 0 else f"y{i - 1}", "w", "b"), (f"y{i}",)) for i in range(count)
    ]
    tensors = {name: Tensor(name, (1, 4)) for name in ("x", *(node.name for node in nodes))}
    weights = {"w": np.eye(4, dtype=np.float32), "b": np.zeros(4, np.float32)}
    return Graph(("x",), (nodes[-1].name,), tuple(nodes), tensors, as_constants(weights), ("y",))


def test_more_layers_than_code_has_room_for() -> None:
    """1.5 MiB of 256 bytes each; a host has any number."""
    on_chip = build_request(BuildOptions(target="gap9"), Config())
    assert check_graph(layers(6144), on_chip)
    with pytest.raises(MyoedgeError, match="L2 memory") as caught:
        check_graph(layers(6145), on_chip)
    assert caught.value.code == "E303"
    assert dict(caught.value.notice.facts)["has"] == "1,572,864 B"
    on_host = build_request(BuildOptions(target="host"), Config())
    assert check_graph(layers(6145), on_host)


def test_too_much_code_is_told_before_anything_takes_time(
    run: Run, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_checks, "PRODUCT_CODE_BYTES", 1 << 20)
    ran = run("build", small / "model.pt2", "--calib", small / "calib.npz")
    refused(ran, 3, "E303")
    assert "quantise" not in ran.err


def test_weights_that_no_memory_has_room_for_are_told_before_anything_takes_time(
    tmp_path: Path,
) -> None:
    """36 MB of them at 8 bits, where L2 and L3 together have 35; at 4 bits there is room."""
    weights = np.random.default_rng(0).standard_normal((6000, 6000), np.float32)
    node = Node("linear", ("x", "w", "b"), ("y",))
    tensors = {"x": Tensor("x", (1, 6000)), "y": Tensor("y", (1, 6000))}
    constants = as_constants({"w": weights, "b": np.zeros(6000, np.float32)})
    large = Graph(("x",), ("y",), (node,), tensors, constants, ("y",))
    with pytest.raises(MyoedgeError, match="weights alone") as caught:
        check_graph(large, build_request(BuildOptions(target="gap9"), Config()))
    told = caught.value.notice
    assert told.code == "E301"
    assert ": 8-bit weights 36,000,000 B, code " in dict(told.facts)["needs"]
    table = tmp_path / "myoedge.toml"
    table.write_text('[quant]\n"*" = { weights = 4 }\n')
    settings = find(table).settings
    assert check_graph(large, build_request(BuildOptions(target="gap9"), settings))
    assert check_graph(large, build_request(BuildOptions(target="gap9", weights="auto"), Config()))
