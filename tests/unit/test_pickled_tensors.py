# SPDX-License-Identifier: Apache-2.0
"""Checkpoints with objects of any class: tensors are torch's own, nothing is imported or called."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import struct
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import Kind, sniff
from myoedge.frontend.torch.checkpoint import load_checkpoint
from myoedge.frontend.torch.pickled_tensors import UnreadObject, read_pickled_tensors
from tests import attacks

SEEN: list[str] = []  # audit events, while a test listens
LISTENING: list[bool] = []
HARMFUL = ("pickle.find_class", "exec", "compile", "import", "os.system", "subprocess.Popen")


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if LISTENING and event in HARMFUL:
        SEEN.append(f"{event} {arguments[:1]}")


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path) -> Iterator[None]:
    """No test imports, compiles or executes anything while it reads."""
    torch.save({"warm": torch.zeros(1)}, tmp_path / "warm.pt")
    read_pickled_tensors(tmp_path / "warm.pt")
    for codec in ("cp437", "raw_unicode_escape"):  # of zip members and pickles, imported late
        "".encode(codec)
    if not getattr(sys, "_myoedge_audit", False):
        sys.addaudithook(_listen)
        sys._myoedge_audit = True  # type: ignore[attr-defined]
    SEEN.clear()
    yield
    LISTENING.clear()
    assert not SEEN


def read(path: Path) -> tuple[Any, tuple[str, ...]]:
    LISTENING.append(True)
    try:
        return read_pickled_tensors(path)
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


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that is gone where the file is read."""
    module = types.ModuleType("not_installed")
    for kind in (Config, Settings):
        monkeypatch.setattr(kind, "__module__", module.__name__)
        setattr(module, kind.__name__, kind)
    return module


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_lightning_file_with_objects_and_modules(
    foreign: types.ModuleType, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)).eval()
    state = {f"model.{key}": value for key, value in net.state_dict().items()}
    content = {
        "epoch": 3,
        "state_dict": {**state, "loss.weight": torch.ones(2)},
        "callbacks": {"best": np.float64(0.3), "where": Path("x"), "seen": {1, 2}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
        "hyper_parameters": Settings(
            config=Config({"lr": 1e-3, "deep": {"er": [1]}}), decoder=nn.Linear(2, 2)
        ),
    }
    path = tmp_path / "last.ckpt"
    with monkeypatch.context() as here:
        here.setitem(sys.modules, foreign.__name__, foreign)
        torch.save(content, path, pickle_protocol=protocol)
    assert sniff(path) is Kind.CHECKPOINT
    found, names = read(path)
    assert {"not_installed.Config", "not_installed.Settings"} <= {*names}
    assert isinstance(found["hyper_parameters"], UnreadObject)
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
    assert notes[0].startswith("objects that are not read: ")
    assert 'prefix "model." taken off' in " ".join(notes)


TENSORS = {
    "contiguous": torch.arange(24.0).reshape(2, 3, 4),
    "transposed": torch.arange(24.0).reshape(4, 6).t(),
    "a part": torch.arange(24.0)[5:17:3],
    "expanded": torch.ones(1, 3).expand(5, 3),
    "scalar": torch.tensor(2.5),
    "empty": torch.empty(0, 3),
    "parameter": nn.Parameter(torch.randn(2, 2)),
    **{
        str(kind): torch.tensor([0, 1, 2]).to(kind)
        for kind in (
            *(torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16),
            *(torch.int8, torch.uint8, torch.bool, torch.complex64, torch.uint16, torch.uint64),
        )
    },
}


def test_tensors_are_those_that_torch_reads(tmp_path: Path) -> None:
    shared = torch.arange(10.0)
    content = {**TENSORS, "first": shared[:5], "second": shared[5:]}
    torch.save(content, tmp_path / "t.pt")
    found, names = read(tmp_path / "t.pt")
    wanted = torch.load(tmp_path / "t.pt", weights_only=True)
    assert names == ()
    for key, value in wanted.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape), key
        assert torch.equal(found[key], value), key
    one = found["first"].untyped_storage().data_ptr()
    assert one == found["second"].untyped_storage().data_ptr()


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


def caught(path: Path) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        read(path)
    return caught.value


def test_views_within_their_storage(tmp_path: Path) -> None:
    made = {"w": View(FLOATS, 1, (2, 2), (2, 1), False, None)}
    path = archive(tmp_path / "v.pt", pickled(made), data__0=np.arange(6, dtype="<f4").tobytes())
    found, _ = read(path)
    assert found["w"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


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
        (0, (1 << 40, 1 << 40), (0, 0)),
        (0, (2,), (1 << 63,)),
        (0, (2,), (1, 1)),
        (0, (1,) * 65, (1,) * 65),
        (0, [2], [1]),
        (0.0, (2,), (1,)),
        (True, (2,), (1,)),
        ("0", (2,), (1,)),
        (0, None, None),
    ],
)
def test_views_out_of_their_storage(offset: Any, size: Any, stride: Any, tmp_path: Path) -> None:
    made = {"w": View(FLOATS, offset, size, stride, False, None)}
    path = archive(tmp_path / "v.pt", pickled(made), data__0=bytes(24))
    assert caught(path).code == "E104"


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        (("storage", torch.FloatStorage, "1", "cpu", 6), "E104"),
        (("storage", torch.FloatStorage, "../data.pkl", "cpu", 6), "E104"),
        (("storage", torch.FloatStorage, "/etc/passwd", "cpu", 6), "E104"),
        (("storage", torch.FloatStorage, b"0", "cpu", 6), None),
        (("storage", nn.Linear, "0", "cpu", 6), None),
        (("storage", "torch.FloatStorage", "0", "cpu", 6), None),
        (("storage",), None),
        (("module", nn.Linear, "linear.py", "source"), None),
        ((), None),
    ],
)
def test_persistent_ids_of_other_kinds(
    identity: tuple[Any, ...], code: str | None, tmp_path: Path
) -> None:
    made = {"w": View(Identity(*identity), 0, (1,), (1,), False, None)}
    path = archive(tmp_path / "v.pt", pickled(made), data__0=bytes(24))
    if code is not None:
        assert caught(path).code == code
    else:
        assert isinstance(read(path)[0]["w"], UnreadObject)


def nested(count: int, closing: bytes) -> bytes:
    return b"\x80\x02}(" + b"X\x01\x00\x00\x00a" + b"(" * count + closing * count + b"u."


CALL = b"cos\nsystem\n(S'touch ran'\ntR"
ODD: dict[str, tuple[bytes, str | None]] = {
    "a call": (b"}(S'a'\n" + CALL + b"u.", None),
    "an instance": (b"}(S'a'\n(S'touch ran'\nios\nsystem\nu.", None),
    "an object": (b"}(S'a'\n(cos\nsystem\nS'touch ran'\nou.", None),
    "no class": (b"\x80\x04}(\x8c\x01aK\x01K\x02\x93u.", "E104"),
    "a class by its name": (b"\x80\x04}(\x8c\x01a\x8c\x02os\x8c\x06system\x93)\x81u.", None),
    "an extension": (b"\x80\x02}(S'a'\n\x82\x07u.", None),
    "a buffer": (b"\x80\x05}(\x8c\x01a\x97\x98u.", None),
    "a persistent id in text": (b"}(S'a'\nP../../x\nu.", None),
    "state for a number": (b"\x80\x02}(S'a'\nK\x01}bu.", None),
    "twice": (b"\x80\x02}(S'a'\nK\x012u0.", "E104"),
    "tuples in tuples": (nested(300_000, b"t"), None),
    "lists in lists": (nested(300_000, b"l"), None),
    "tuples as a key": (b"\x80\x02}(" + b"(" * 300_000 + b"t" * 300_000 + b"K\x01u.", None),
    "a list as a key": (b"\x80\x02}(]K\x01u.", None),
    "a memo far up": (b"\x80\x02}r\xff\xff\xff\xff(S'a'\nK\x01u.", None),
    "a memo of nothing": (b"\x80\x02h\x05.", "E104"),
    "a memo below nothing": (b"}p-1\n(S'a'\nK\x01u.", None),
    "too many opcodes": (b"\x80\x02" + b"N" * 4_000_001 + b".", "E104"),
    "an integer of many digits": (b"}(S'a'\nI" + b"9" * 100_000 + b"\nu.", "E104"),
    "a long integer": (b"\x80\x02}(S'a'\n\x8b" + struct.pack("<i", 1 << 20), "E104"),
    "a text that is not there": (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"a.", "E104"),
    "an unknown opcode": (b"\x80\x02}\xff.", "E104"),
    "no end": (b"\x80\x02}(S'a'\nK\x01u", "E104"),
    "an empty stack": (b"\x80\x02.", "E104"),
    "below the mark": (b"\x80\x02K\x01(0\x86.", "E104"),
    "no mark": (b"\x80\x02}u.", "E104"),
    "an odd number of items": (b"\x80\x02}(K\x01u.", "E104"),
    "nothing": (b"", "E104"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pickles(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, code = ODD[name]
    path = archive(tmp_path / "odd.pt", data)
    if code is None:
        assert isinstance(read(path)[0], dict)
    else:
        assert caught(path).code == code
    assert not (tmp_path / "ran").exists()


def test_a_mapping_in_itself(tmp_path: Path) -> None:
    data = b"\x80\x02}q\x00(X\x0a\x00\x00\x00state_dicth\x00X\x01\x00\x00\x00acos\nsystem\nu."
    archive(tmp_path / "self.pt", data)
    (tmp_path / "net_of_itself.py").write_text("from torch import nn\nmake = nn.ReLU\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(MyoedgeError) as caught:
            load_checkpoint(tmp_path / "self.pt", "net_of_itself:make", (np.zeros((1, 2)),))
    finally:
        sys.path.remove(str(tmp_path))
    assert caught.value.code == "E109"


def test_a_storage_of_another_byte_order(tmp_path: Path) -> None:
    path = archive(tmp_path / "b.pt", pickled({}), byteorder=b"big")
    assert "big-endian" in str(caught(path))


def test_members_that_torch_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "packed.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", pickled({}) + bytes(1 << 20))
    assert caught(path).code == "E107"


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
    assert {*codes} == {"read", "E104"}
    assert not marker.exists()
