# SPDX-License-Identifier: Apache-2.0
"""Checkpoints with objects of any class: nothing of the file is imported or called."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import io
import pickle
import random
import struct
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import ModelFormat, sniff
from myoedge.frontend.torch.checkpoint import _load_weights, load_checkpoint
from myoedge.frontend.torch.load import is_unread, load_without_objects
from tests.support import attacks

SEEN: list[str] = []  # audit events, while a test listens
LISTENING: list[bool] = []
HARMFUL = ("pickle.find_class", "exec", "compile", "import", "os.system", "subprocess.Popen")


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if LISTENING and event in HARMFUL:
        SEEN.append(f"{event} {arguments[:1]}")


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path) -> Iterator[None]:
    """No test imports, compiles or executes anything while it reads."""
    torch.save({"warm": torch.zeros(1), "path": tmp_path}, tmp_path / "warm.pt")
    load_without_objects(tmp_path / "warm.pt")
    importlib.import_module("torch._subclasses.schema_check_mode")  # torch does, late
    for codec in (
        "cp437",
        "raw_unicode_escape",
        "latin_1",
    ):  # of zip members and pickles, imported late
        codecs.lookup(codec)
    if not getattr(sys, "_myoedge_audit", False):
        sys.addaudithook(_listen)
        sys._myoedge_audit = True  # type: ignore[attr-defined]
    SEEN.clear()
    yield
    LISTENING.clear()
    assert not SEEN


def read(path: Path) -> Any:
    LISTENING.append(True)
    try:
        return _load_weights(path, ModelFormat.CHECKPOINT)[0]
    finally:
        LISTENING.clear()


def archive(path: Path, data: bytes, **members: bytes) -> Path:
    """A file as torch.save lays it out, around a pickle."""
    with zipfile.ZipFile(path, "w") as file:
        fixed = {"data.pkl": data, "byteorder": b"little", "version": b"3\n"}
        for name, content in {**fixed, **members}.items():
            file.writestr(f"archive/{name.replace('__', '/')}", content)
    return path


# ---- what people save


class Config:
    """A mapping with parents and metadata, pickled as omegaconf's DictConfig is."""

    def __init__(self, content: dict[str, Any], parent: Any = None) -> None:
        self._content = {
            key: Config(value, self) if isinstance(value, dict) else value
            for key, value in content.items()
        }
        self._parent = parent

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise AssertionError("an object is made")


class Settings(dict[str, Any]):
    """A dict with attributes, as Lightning's AttributeDict."""


class OrderedSettings(OrderedDict[str, Any]):
    """Which pickle makes by a call without arguments."""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that is gone where the file is read."""
    module = types.ModuleType("not_installed")
    for kind in (Config, Settings, OrderedSettings):
        monkeypatch.setattr(kind, "__module__", module.__name__)
        setattr(module, kind.__name__, kind)
    return module


def test_a_lightning_file_with_objects_and_modules(
    foreign: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)).eval()
    state = {f"model.{key}": value for key, value in net.state_dict().items()}
    content = {
        "epoch": 3,
        "state_dict": {**state, "loss.weight": torch.ones(2)},
        "callbacks": {"best": np.float64(0.3), "where": Path("x"), "seen": {1, 2}},
        "loops": defaultdict(dict, {"fit": {"epoch": 3}}),
        "older": OrderedSettings(a=1),
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
        "hyper_parameters": Settings(
            config=Config({"lr": 1e-3, "deep": {"er": [1]}}), decoder=nn.Linear(2, 2)
        ),
    }
    path = tmp_path / "last.ckpt"
    with monkeypatch.context() as here:
        here.setitem(sys.modules, foreign.__name__, foreign)
        torch.save(content, path)
    assert sniff(path) is ModelFormat.CHECKPOINT
    found = read(path)
    _, names = load_without_objects(path)
    assert {"not_installed.Config", "not_installed.Settings"} <= {*names}
    for values in (found["hyper_parameters"], found["older"], found["callbacks"]["best"]):
        assert is_unread(values)
    assert is_unread(found["hyper_parameters"]["config"])
    assert found["loops"] == {"fit": {"epoch": 3}}
    assert [*found["state_dict"]] == [*content["state_dict"]]
    for key, value in content["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value)
        assert found["state_dict"][key].dtype == value.dtype
    (tmp_path / "nets_of_lightning.py").write_text(
        "from torch import nn\n"
        "def make():\n    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    x = torch.randn(1, 2, 9)
    program, notes = load_checkpoint(path, "nets_of_lightning:make", (x.numpy(),))
    assert torch.equal(program.module()(x), net(x))
    assert foreign.__name__ not in sys.modules
    assert notes[0].startswith("objects that are not read: ")
    assert 'prefix "model." taken off' in " ".join(notes)


@pytest.mark.parametrize("protocol", [4, 5])
def test_other_protocols_are_refused(protocol: int, tmp_path: Path) -> None:
    """As torch reads protocol 2 alone, which it writes."""
    torch.save({"w": torch.ones(2), "p": tmp_path}, tmp_path / "w.pt", pickle_protocol=protocol)
    error = caught(tmp_path / "w.pt")
    assert error.code == "E103"
    assert "torch.save(model.state_dict()" in error.notice.tries[0]


# ---- pickles that others made


class Storage(pickle.Pickler):
    """Persistent ids as they are given."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.identity if isinstance(obj, Identity) else None


class Identity:
    def __init__(self, *identity: Any) -> None:
        self.identity: Any = identity


class View:
    """A tensor with any arguments of torch._utils._rebuild_tensor_v2."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


def pickled(value: Any) -> bytes:
    file = io.BytesIO()
    Storage(file, protocol=2).dump(value)
    return file.getvalue()


FLOATS = Identity("storage", torch.FloatStorage, "0", "cpu", 6)


REFUSED = ("E103", "E104")


def caught(path: Path) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        read(path)
    return caught.value


def test_views_within_their_storage(tmp_path: Path) -> None:
    made = {"w": View(FLOATS, 1, (2, 2), (2, 1), False, None), "p": tmp_path}
    path = archive(tmp_path / "v.pt", pickled(made), data__0=np.arange(6, dtype="<f4").tobytes())
    assert read(path)["w"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (7,), (1,)),
        (6, (1,), (1,)),
        (1, (2, 2), (4, 1)),
        (1 << 62, (1,), (1,)),
        (-1, (2,), (1,)),
        (3, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2,), (1 << 63,)),
        ("0", (2,), (1,)),
        (0, None, None),
    ],
)
def test_views_out_of_their_storage(offset: Any, size: Any, stride: Any, tmp_path: Path) -> None:
    made = {"w": View(FLOATS, offset, size, stride, False, None), "p": tmp_path}
    path = archive(tmp_path / "v.pt", pickled(made), data__0=bytes(24))
    assert caught(path).code == "E104"


@pytest.mark.parametrize(
    "identity",
    [
        ("storage", torch.FloatStorage, "1", "cpu", 6),
        ("storage", torch.FloatStorage, "../data.pkl", "cpu", 6),
        ("storage", torch.FloatStorage, "/etc/passwd", "cpu", 6),
        ("storage", nn.Linear, "0", "cpu", 6),
        ("storage",),
        ("module", nn.Linear, "linear.py", "source"),
        (),
    ],
)
def test_persistent_ids_of_other_kinds(identity: tuple[Any, ...], tmp_path: Path) -> None:
    made = {"w": View(Identity(*identity), 0, (1,), (1,), False, None), "p": tmp_path}
    path = archive(tmp_path / "v.pt", pickled(made), data__0=bytes(24))
    assert caught(path).code in REFUSED


SYSTEM = b"cos\nsystem\n(X\x09\x00\x00\x00touch rantR"
ODD = {
    "a call": b"\x80\x02}(X\x01\x00\x00\x00a" + SYSTEM + b"u.",
    "a call of the shell": b"\x80\x02}(X\x01\x00\x00\x00a"
    b"cposix\nsystem\nX\x09\x00\x00\x00touch ran\x85Ru.",
    "an instance": b"}(S'a'\n(S'touch ran'\nios\nsystem\nu.",
    "an object": b"}(S'a'\n(cos\nsystem\nS'touch ran'\nou.",
    "a class by its name": b"\x80\x04}(\x8c\x01a\x8c\x02os\x8c\x06system\x93)\x81u.",
    "an extension": b"\x80\x02}(S'a'\n\x82\x07u.",
    "a buffer": b"\x80\x05}(\x8c\x01a\x97\x98u.",
    "a persistent id in text": b"}(S'a'\nP../../x\nu.",
    "a long integer": b"\x80\x02}(S'a'\n\x8b" + struct.pack("<i", 1 << 20),
    "a text that is not there": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"a.",
    "an unknown opcode": b"\x80\x02}\xff.",
    "no end": b"\x80\x02}(S'a'\nK\x01u",
    "an empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02}u.",
    "nothing": b"",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pickles(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert caught(archive(tmp_path / "odd.pt", ODD[name])).code in REFUSED
    assert not (tmp_path / "ran").exists()


def test_a_call_becomes_an_object_that_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of subprocess, which torch does not block by its name."""
    monkeypatch.chdir(tmp_path)
    arguments = b"X\x09\x00\x00\x00touch ran\x85"
    data = b"\x80\x02}(X\x01\x00\x00\x00acsubprocess\ngetoutput\n" + arguments + b"Ru."
    found = read(archive(tmp_path / "call.pt", data))
    assert is_unread(found["a"])
    assert not (tmp_path / "ran").exists()


def test_a_mapping_in_itself(tmp_path: Path) -> None:
    data = (
        b"\x80\x02}q\x00(X\x0a\x00\x00\x00state_dicth\x00X\x01\x00\x00\x00acnot_installed\nrun\nu."
    )
    archive(tmp_path / "self.pt", data)
    (tmp_path / "net_of_itself.py").write_text("from torch import nn\nmake = nn.ReLU\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(MyoedgeError) as caught:
            load_checkpoint(tmp_path / "self.pt", "net_of_itself:make", (np.zeros((1, 2)),))
    finally:
        sys.path.remove(str(tmp_path))
    assert caught.value.code == "E109"


def test_changed_bytes_are_read_or_refused(tmp_path: Path) -> None:
    """Of a file with an object that writes a marker where it is made."""
    marker = tmp_path / "marker"
    content = {"state_dict": {"w": torch.arange(6.0)}, "evil": attacks.Payload(marker)}
    torch.save(content, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as file:
        parts = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    data = parts["data.pkl"]
    drawn = random.Random(0)
    codes = []
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(drawn.randrange(1, 4)):
            changed[drawn.randrange(len(data))] = drawn.randrange(256)
        path = archive(tmp_path / "changed.pt", bytes(changed), data__0=parts["data/0"])
        with contextlib.suppress(MyoedgeError):
            read(path)
            codes.append("read")
            continue
        codes.append(caught(path).code)
    assert {*codes} <= {"read", *REFUSED}
    assert "read" in codes
    assert not marker.exists()
