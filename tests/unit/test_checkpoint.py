# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of every common wrapping give the network's own numbers; misfits are named."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.checkpoint import load_checkpoint
from myoedge.frontend.torch.export import from_exported
from tests.support import attacks

FACTORY = """
import dataclasses, torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.conv = nn.Conv1d(2, width, 3)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))

def make_model():
    return Net()

def wider():
    return Net(5)

def with_example():
    return Net(), (torch.zeros(1, 2, 12),)

def fails():
    raise ValueError("no such size\\nat all")

def leaves():
    raise SystemExit(3)

def number():
    return 7

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Net()

    def forward(self, x):
        return self.model(x)

class MaxNorm(Net):
    def forward(self, x):
        self.conv.weight.data = torch.renorm(self.conv.weight.data, 2, 0, 1.0)
        return super().forward(x)

class Recipe(Net):
    # as libraries of quantisation and of FP8 keep what is beside their tensors

    def get_extra_state(self):
        return {"factor": 1.0}

    def set_extra_state(self, state):
        self.factor = state["factor"]

    def forward(self, x):
        return super().forward(x) * self.factor

@dataclasses.dataclass
class Result:
    logits: torch.Tensor

class Returns(Net):
    def forward(self, x):
        return Result(super().forward(x))

def registered():
    torch.export.register_dataclass(Result)
    return Returns()

NOT_CALLABLE = 3
"""
X = np.linspace(-1, 1, 24, dtype=np.float64).reshape(1, 2, 12)


class Reference(torch.nn.Module):
    """The factory's network, written down a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(2, 3, 3)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)))


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with nets.py in it, as a user has it."""
    (tmp_path / "nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("nets", None)


@pytest.fixture
def net() -> torch.nn.Module:
    torch.manual_seed(3)
    net = Reference()
    net(torch.randn(8, 2, 12) * 3 + 1)
    return net.eval()


def prefixed(net: torch.nn.Module, prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in net.state_dict().items()}


def lightning(net: torch.nn.Module) -> dict[str, Any]:
    loss = {"loss.weight": torch.ones(3)}
    return {
        "epoch": 4,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed(net, "model."), **loss},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "hyper_parameters": {"lr": 0.001},
    }


WRAPPED: dict[str, tuple[Callable[[torch.nn.Module], Any], tuple[str, ...]]] = {
    "state dict": (lambda net: net.state_dict(), ()),
    "state_dict": (lambda net: {"state_dict": net.state_dict(), "epoch": 1}, ("state_dict",)),
    "model": (lambda net: {"model": net.state_dict()}, ("model",)),
    "model_state_dict": (lambda net: {"model_state_dict": net.state_dict()}, ("model_state",)),
    "network": (lambda net: {"network": net.state_dict()}, ("network",)),
    "parallel": (lambda net: prefixed(net, "module."), ("module.",)),
    "compiled": (lambda net: prefixed(net, "module._orig_mod."), ("module.", "_orig_mod.")),
    "net": (lambda net: {"state_dict": prefixed(net, "net.")}, ("state_dict", "net.")),
    "lightning": (lightning, ("state_dict", "model.", "loss.weight")),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_every_wrapping_gives_the_same_network(name: str, net: torch.nn.Module, work: Path) -> None:
    wrap, told = WRAPPED[name]
    torch.save(wrap(net), work / "weights.pt")
    program, notes = load_checkpoint(work / "weights.pt", "nets:make_model", (X,))
    x = torch.from_numpy(X).float()
    assert torch.equal(program.module()(x), net(x))
    assert all(word in " / ".join(notes) for word in told)
    assert len(notes) == 0 if not told else len(notes) >= 1
    assert str(work) not in sys.path


@pytest.mark.parametrize("kind", ["safetensors", "legacy"])
def test_other_files(kind: str, net: torch.nn.Module, work: Path) -> None:
    path = work / "weights.bin"
    if kind == "safetensors":
        save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)
    program, notes = load_checkpoint(path, "nets:make_model", (X,))
    assert torch.equal(program.module()(torch.from_numpy(X).float()), net(torch.tensor(X).float()))
    assert notes == ()


def test_prefixes_that_belong_to_the_network_stay(net: torch.nn.Module, work: Path) -> None:
    torch.save(prefixed(net, "model."), work / "weights.pt")
    program, notes = load_checkpoint(work / "weights.pt", "nets:Wrapped", (X,))
    assert notes == ()
    assert set(program.state_dict) == set(prefixed(net, "model."))


def test_the_factory_may_give_the_example(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    program, _ = load_checkpoint(work / "weights.pt", "nets:with_example", None)
    assert program.example_inputs[0][0].shape == (1, 2, 12)


def caught(path: Path, factory: str = "nets:make_model", example: Any = (X,)) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        load_checkpoint(path, factory, example)
    assert "Traceback" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("nets", "pkg.mod:fn"),
        ("absent_module:make", "absent_module"),
        ("nets:absent", "nets has no absent"),
        ("nets:NOT_CALLABLE", "type int"),
        ("nets:number", "it returned int"),
        ("nets:fails", "ValueError: no such size (nets.py:24)"),
        ("nets:leaves", "SystemExit"),
        ("broken:make", "SyntaxError"),
    ],
)
def test_factory_errors(factory: str, words: str, net: torch.nn.Module, work: Path) -> None:
    (work / "broken.py").write_text("def make(:\n")
    torch.save(net.state_dict(), work / "weights.pt")
    error = caught(work / "weights.pt", factory)
    assert (error.code, error.exit_code) == ("E206", 2)
    assert words in str(error)


def test_without_example_inputs_calib_is_asked_for(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    error = caught(work / "weights.pt", example=None)
    assert error.code == "E205"
    assert "--calib" in str(error)


def test_other_sizes_are_named(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    error = caught(work / "weights.pt", "nets:wider")
    assert error.code == "E109"
    assert "conv.weight is 3 x 2 x 3, the network has 5 x 2 x 3" in str(error)


def test_missing_and_unexpected_names_are_listed(net: torch.nn.Module, work: Path) -> None:
    state = dict(net.state_dict())
    state["head.weight"] = state.pop("conv.weight")
    torch.save(state, work / "weights.pt")
    facts = dict(caught(work / "weights.pt").notice.facts)
    assert facts == {"missing": "conv.weight", "unexpected": "head.weight"}


def test_complex_weights_of_a_real_network_are_refused(net: torch.nn.Module, work: Path) -> None:
    """torch would leave out their imaginary parts, with a warning."""
    state = dict(net.state_dict())
    torch.save({**state, "conv.bias": state["conv.bias"] * 1j}, work / "weights.pt")
    assert dict(caught(work / "weights.pt").notice.facts) == {"complex": "conv.bias"}


def test_a_pickle_of_another_protocol_is_told(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt", pickle_protocol=4)
    error = caught(work / "weights.pt")
    assert error.code == "E103"
    assert "protocol 2" in error.notice.title
    assert error.notice.tries[0].startswith("torch.save(model.state_dict()")


@pytest.mark.parametrize("value", [{"a": 1, "b": "two"}, [torch.zeros(2)], {}])
def test_no_state_dict_inside(value: Any, work: Path) -> None:
    torch.save(value, work / "weights.pt")
    assert caught(work / "weights.pt").code == "E109"


def test_classes_in_a_checkpoint_are_listed_not_run(net: torch.nn.Module, work: Path) -> None:
    marker = work / "marker"
    content = {"state_dict": net.state_dict(), "args": argparse.Namespace(lr=1)}
    torch.save({**content, "evil": attacks.Payload(marker)}, work / "weights.pt")
    program, notes = load_checkpoint(work / "weights.pt", "nets:make_model", (X,))
    assert notes[0] == "objects that are not read: argparse.Namespace, builtins.exec"
    assert torch.equal(program.module()(torch.from_numpy(X).float()), net(torch.tensor(X).float()))
    assert not marker.exists()
    torch.load(work / "weights.pt", weights_only=False)
    assert marker.exists()


def test_classes_in_an_old_file_are_listed_not_run(net: torch.nn.Module, work: Path) -> None:
    content = {"state_dict": net.state_dict(), "args": argparse.Namespace(lr=1)}
    torch.save(content, work / "weights.pt", _use_new_zipfile_serialization=False)
    assert caught(work / "weights.pt").code in ("E103", "E104")


def test_a_pickled_module_is_refused(work: Path) -> None:
    torch.save(attacks.Net(), work / "weights.pt")
    error = caught(work / "weights.pt")
    assert error.code == "E103"
    assert "a pickled nn.Module of class tests.support.attacks.Net" in str(error)


def test_damaged_weights(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    data = (work / "weights.pt").read_bytes()
    for at in (0.3, 0.7, 0.95):
        (work / "cut.pt").write_bytes(data[: int(len(data) * at)])
        assert caught(work / "cut.pt").code == "E104"


def test_weights_changed_in_forward_are_named(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    with pytest.raises(MyoedgeError) as caught:
        from_exported(load_checkpoint(work / "weights.pt", "nets:MaxNorm", (X,))[0])
    # torch 2.9 exports the network without the norm
    assert caught.value.code == ("E114" if torch.__version__.startswith("2.9.") else "E118")
    assert "optimizer.step()" in str(caught.value)


def test_a_class_that_torch_does_not_know_is_registered(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    error = caught(work / "weights.pt", "nets:Returns")
    assert error.code == "E118"
    assert "torch.export.register_dataclass(" in error.notice.tries[0]
    program, _ = load_checkpoint(work / "weights.pt", "nets:registered", (X,))
    assert from_exported(program).output_names == ("logits",)


def test_one_cause_is_told_unless_samples_may_be_batches(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    for first, causes in ((2, 1), (1, 2)):
        sample = (np.zeros((first, 5, 5)),)
        with pytest.raises(MyoedgeError) as caught_one:
            load_checkpoint(work / "weights.pt", "nets:make_model", (sample[0][None],), sample)
        assert str(caught_one.value).count("cause ") == causes


def test_an_exported_program_needs_no_factory(work: Path) -> None:
    assert caught(attacks.saved(work)).code == "E103"


def test_inputs_of_the_wrong_shape(net: torch.nn.Module, work: Path) -> None:
    torch.save(net.state_dict(), work / "weights.pt")
    error = caught(work / "weights.pt", example=(np.zeros((1, 7, 12), np.float32),))
    assert error.code == "E118"
    assert "1 x 7 x 12" in str(error)


@pytest.mark.parametrize("wrapper", ["", "model."])
@pytest.mark.parametrize("extra", [{"scale": [1, 2]}, argparse.Namespace(a=1), None, b"bytes"])
def test_extra_state_that_no_module_asks_for_is_left_aside(
    extra: Any, wrapper: str, net: torch.nn.Module, work: Path
) -> None:
    state = {f"{wrapper}{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": {**state, f"{wrapper}conv._extra_state": extra}}, work / "w.ckpt")
    program, notes = load_checkpoint(work / "w.ckpt", "nets:make_model", (X,))
    x = torch.from_numpy(X).float()
    assert torch.equal(program.module()(x), net(x))
    assert "left aside conv._extra_state" in notes


def test_extra_state_that_a_module_asks_for(net: torch.nn.Module, work: Path) -> None:
    """What is read safely is handed over; the network itself makes what it needs of it."""
    torch.save({**net.state_dict(), "_extra_state": {"factor": 2.0}}, work / "w.pt")
    program, _ = load_checkpoint(work / "w.pt", "nets:Recipe", (X,))
    x = torch.from_numpy(X).float()
    assert torch.equal(program.module()(x), net(x) * 2.0)
    unread = {"factor": argparse.Namespace(a=1)}
    for extra, says in ((unread, "not read"), (..., "missing")):
        more = {} if extra is ... else {"_extra_state": extra}
        torch.save({**net.state_dict(), **more}, work / "w.pt")
        with pytest.raises(MyoedgeError) as caught:
            load_checkpoint(work / "w.pt", "nets:Recipe", (X,))
        assert caught.value.code == "E109"
        assert dict(caught.value.notice.facts)[says] == "_extra_state"
