# SPDX-License-Identifier: Apache-2.0
"""Archives that are read without torch: the same graphs, the same calls, and torch for the rest."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._export.serde import serialize

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.archive import pickled_tensors
from myoedge.frontend.torch.export import count_parameters, example_inputs, from_exported, from_file
from myoedge.frontend.torch.known_calls import KnownCall, empty
from myoedge.frontend.torch.load import load_exported
from myoedge.frontend.torch.model import import_archive
from myoedge.frontend.torch.program import TYPES, NeedsTorch
from myoedge.frontend.torch.program_file import KNOWN, read_program
from tests.support import attacks
from tests.unit.test_consistent import changed

pytestmark = pytest.mark.filterwarnings("ignore")

NO_TORCH = "import sys; sys.modules['torch'] = None\n"


def overload(name: str) -> Any:
    _, packet, kind = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), kind)


def test_signatures_are_those_of_torch() -> None:
    for name, call in KNOWN.items():
        arguments = overload(name)._schema.arguments
        defaults = {a.name: a.default_value if a.has_default_value() else None for a in arguments}
        assert call.defaults == defaults, name
        assert [*call.defaults] == [*defaults], name
        assert [*call.required] == [a.name for a in arguments if not a.has_default_value()], name


def test_no_known_call_writes_to_its_operands() -> None:
    writing = {name for name in KNOWN if overload(name)._schema.is_mutable}
    assert writing == {"aten.detach_.default"}  # which changes no value


def test_types_have_the_numbers_of_torch() -> None:
    for code, name in TYPES.items():
        assert serialize._SERIALIZE_TO_TORCH_DTYPE[code] is getattr(torch, name)


# ---- each known call against torch

X = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randn(3, 1, generator=torch.Generator().manual_seed(1)) + 3
B = X > 0
IMAGE = torch.randn(2, 4, 7, 9, generator=torch.Generator().manual_seed(2))
ROWS = IMAGE[:, :, :, 0].contiguous()
W = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
LSTM = [torch.zeros(20, 4), torch.zeros(20, 5), torch.zeros(20), torch.zeros(20)]
GRU = [torch.zeros(15, 4), torch.zeros(15, 5), torch.zeros(15), torch.zeros(15)]
RNN = [torch.zeros(5, 4), torch.zeros(5, 5), torch.zeros(5), torch.zeros(5)]
H = torch.zeros(1, 2, 5)
FLAGS = (True, 1, 0.0, False, False, True)  # biases, layers, dropout, train, both ways, batch first
STATISTICS = (torch.ones(4), torch.zeros(4), torch.zeros(4), torch.ones(4), False, 0.1, 1e-5, True)
FIRST_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "threshold": (X, 0.1, 0.0), "clamp_min": (X, 0.1), "clamp_max": (X, 0.1),
    "clamp": (X, 0.1), "clip": (X, None, 0.1), "prelu": (X, Y[:, 0]),
    "pow": (X, 2), "logical_not": (B,), "bitwise_not": (B,), "where.self": (B, X, X + 1),
    "where.ScalarOther": (B, X, 2.0), "where.ScalarSelf": (B, 2.0, X),
    "masked_fill": (X, B[0], -1e9), "transpose": (X, 0, -1), "swapaxes": (X, 0, 1),
    "swapdims": (X, 1, 2), "permute": (X, [2, 0, 1]), "movedim.int": (X, 0, 2),
    "movedim.intlist": (X, [0, 1], [2, 0]), "reshape": (X, [4, -1]), "view": (X, [6, 4]),
    "_unsafe_view": (X, [6, 4]), "view_as": (X, X.reshape(8, 3)), "flatten": (X, 1),
    "unbind": (X, 1), "select": (X, 1, -1), "slice": (X, 2, 1, 1 << 62, 2),
    "narrow": (X, 2, 1, 2),
    "expand": (Y, [4, -1, 5]), "expand_as": (Y, X), "unsqueeze": (X, -1), "squeeze.dim": (Y, 1),
    "squeeze.dims": (Y, [0, 1]), "chunk": (X, 3, 2), "split": (X, 3, 2),
    "split_with_sizes": (X, [1, 3], 2), "pad": (X, [1, 2, 0, 1]),
    "constant_pad_nd": (X, [1, 2], 7.0), "flip": (X, [0, 2]), "roll": (X, [1], [2]),
    "cat": ([X, X], 1), "stack": ([X, X], -1),
    "unflatten": (X, 2, [2, 2]), "t": (Y,), "zeros": ([2, 3],), "ones": ([2, 3],),
    "new_zeros": (X, [2, 3]), "new_ones": (B, [2]), "full": ([2], 1.5), "new_full": (X, [2], 3.0),
    "full_like": (X, 3.0), "arange.default": (5,), "arange.start": (2, 7),
    "arange.start_step": (2, 11, 4), "to": (X, torch.bool), "softmax": (X, -1),
    "log_softmax": (X, 1), "cumsum": (X, 1), "mean.dim": (X, [0, -1], True),
    "sum.dim_IntList": (X, [1]), "amax": (X, [1], True), "amin": (X,), "var": (X, [1]), "std": (X,),
    "max.dim": (X, -1),
    "min.dim": (X, 0, True), "argmax": (X, 1), "argmin": (X,), "linear": (ROWS.mT, W, W[:, 0]),
    "matmul": (X, ROWS[:, :, :3].contiguous()), "mm": (W, W.T), "bmm": (X, X.mT),
    "addmm": (W[:, 0], W, W.T), "baddbmm": (X[:, :, :3], X, X.mT),
    "conv1d.default": (ROWS, torch.ones(6, 2, 3), torch.ones(6), [2], [1], [2], 2),
    "conv2d.default": (IMAGE, torch.ones(6, 4, 3, 2), None, [2, 1], [1], [1, 2]),
    "conv1d.padding": (ROWS, torch.ones(6, 4, 3), None, [1], "same"),
    "conv2d.padding": (IMAGE, torch.ones(6, 4, 3, 3), None, [2], "valid"),
    "max_pool1d": (ROWS, [3], [2], [1], [1], True), "avg_pool1d": (ROWS, [2]),
    "max_pool2d": (IMAGE, [3, 2], [2], [1], [2], True), "avg_pool2d": (IMAGE, [2], [2], [0], True),
    "adaptive_avg_pool1d": (ROWS, [3]), "adaptive_avg_pool2d": (IMAGE, [1, 3]),
    "adaptive_max_pool1d": (ROWS, [3]), "adaptive_max_pool2d": (IMAGE, [1, 3]),
    "layer_norm": (X, [3, 4], torch.ones(3, 4)), "rms_norm": (X, [4]), "group_norm": (ROWS, 2),
    "batch_norm": (ROWS, *STATISTICS), "lstm": (ROWS.mT, [H, H], LSTM, *FLAGS),
    "gru": (ROWS.mT, H, GRU, *FLAGS), "rnn_tanh": (ROWS.mT, H, RNN, *FLAGS),
    "rnn_relu": (ROWS.mT, H, RNN, *FLAGS), "lstm_cell": (ROWS[:, :, 0], [H[0], H[0]], *LSTM),
    "gru_cell": (ROWS[:, :, 0], H[0], *GRU),
    "scaled_dot_product_attention": (IMAGE, IMAGE[:, :, :5], IMAGE[:, :, :5]),
    "embedding": (W, torch.tensor([[0, 2]])), "glu": (X, -1), "dropout": (X, 0.5, False),
    "feature_dropout": (X, 0.5, False), "upsample_linear1d": (ROWS, None, False, [2.5]),
    "upsample_nearest1d": (ROWS, None, [2.0]), "upsample_bilinear2d": (IMAGE, [5, 6], False, None),
    "upsample_nearest2d": (IMAGE, None, [2.0, 1.5]), "linalg_vector_norm": (X, 2, [1]),
}  # fmt: skip
LOGIC = (
    "__and__",
    "__or__",
    "bitwise_and",
    "bitwise_or",
    "logical_and",
    "logical_or",
    "logical_xor",
)


def arguments_for(name: str) -> tuple[Any, ...]:
    """Return operands for a call, by its name with or without the overload."""
    _, packet, kind = name.split(".")
    found = FIRST_ARGUMENTS.get(f"{packet}.{kind}", FIRST_ARGUMENTS.get(packet))
    if found is not None:
        return found
    if packet in LOGIC:
        return B, B[0]
    two = "other" in KNOWN[name].defaults
    return (X, Y if kind != "Scalar" else 0.75) if two else (X,)


def arrays(value: Any, convert: Callable[[torch.Tensor], Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return convert(value)
    if isinstance(value, torch.dtype):
        return np.dtype(str(value).removeprefix("torch."))
    return [arrays(x, convert) for x in value] if isinstance(value, list | tuple) else value


def given_to(call: KnownCall, arguments: Any) -> Mapping[str, Any]:
    return {**call.defaults, **dict(zip(call.defaults, arguments, strict=False))}


@pytest.mark.parametrize("group", range(4))
def test_results_have_torchs_types_shapes_and_values(group: int) -> None:
    for name, call in [*KNOWN.items()][group::4]:
        arguments = arguments_for(name)
        with torch.no_grad():
            wanted = overload(name)(*arguments)
        wanted = [wanted] if isinstance(wanted, torch.Tensor) else [*wanted]
        dummies = arrays(arguments, lambda x: empty(x.shape, str(x.dtype)[6:]))
        found = call.results(given_to(call, dummies))
        assert isinstance(found, tuple) == (len(call_returns(name)) > 1 or is_list(name)), name
        found = found if isinstance(found, tuple) else (found,)
        stated = [(str(x.dtype)[6:], tuple(x.shape)) for x in wanted]
        assert [(str(x.dtype), x.shape) for x in found] == stated, name
        if call.values is not None:
            made = call.values(given_to(call, arrays(arguments, lambda x: x.numpy())))
            for a, b in zip(made if isinstance(made, tuple) else (made,), wanted, strict=True):
                assert a.dtype == b.numpy().dtype, name
                np.testing.assert_array_equal(a, b.numpy(), name)


def call_returns(name: str) -> Any:
    return overload(name)._schema.returns


def is_list(name: str) -> bool:
    return "List" in str(call_returns(name)[0].type)


# ---- whole archives


class Mixed(nn.Module):
    """Convolutions, a recurrent layer, attention, tables of constants and several results."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.gru = nn.GRU(8, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.tied = self.conv.weight
        self.register_buffer("mask", torch.tensor([[0.0, float("-inf")]]))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = torch.relu(self.norm(self.conv(x))).mT
        y, last = self.gru(y)
        places = torch.arange(y.shape[1])
        z, _ = self.attention(y, y, y, need_weights=False)
        shift = torch.full((8,), 0.5) * 2 - 1
        return {"z": (z + shift) / 2.0, "last": last.squeeze(0), "n": y.mean(1) * places.numel()}


def saved(folder: Path, net: nn.Module, *inputs: torch.Tensor) -> Path:
    torch.manual_seed(0)
    torch.export.save(torch.export.export(net.eval(), inputs), folder / "m.pt2")
    return folder / "m.pt2"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return saved(tmp_path, Mixed(), torch.randn(1, 4, 10))


def test_both_readers_give_the_same_graph(mixed: Path) -> None:
    program, other = read_program(mixed), load_exported(mixed)
    graph, expected = from_file(program), from_exported(other)
    assert graph.digest == expected.digest
    assert (graph.nodes, graph.output_names) == (expected.nodes, expected.output_names)
    assert [x.origin for x in graph.nodes] == [x.origin for x in expected.nodes]
    assert count_parameters(program) == count_parameters(other)
    examples = example_inputs(other)
    assert examples is not None
    assert program.example_inputs is not None
    np.testing.assert_array_equal(program.example_inputs[0], examples[0])


def test_a_build_needs_no_torch(mixed: Path, tmp_path: Path) -> None:
    calib = tmp_path / "c.npz"
    np.savez(calib, x=np.random.default_rng(0).normal(size=(4, 4, 10)).astype(np.float32))
    code = f"from myoedge import build\nbuild({str(mixed)!r}, calib={str(calib)!r}, target='host')"
    ran = subprocess.run(
        [sys.executable, "-c", NO_TORCH + code], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


class Sorted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.linspace(0.0, 1.0, x.shape[-1])
        return x * scale


def test_torch_reads_what_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, Sorted(), torch.randn(1, 5))
    with pytest.raises(NeedsTorch, match="linspace"):
        read_program(path)
    assert import_archive(path).graph.outputs
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MyoedgeError, match=r"aten\.linspace") as caught:
        import_archive(path)
    assert caught.value.code == "E501"


def edited(path: Path, change: Callable[[Any], None]) -> Path:
    content = attacks.edited(attacks.members(path), attacks.MODEL, change)
    return attacks.pack(path.with_name("edited.pt2"), content)


@pytest.mark.parametrize("size", [3, 8, 1 << 40])
def test_a_wrong_shape_is_left_to_torch_which_names_it(mixed: Path, size: int) -> None:
    def change(tree: Any) -> None:
        tree["graph_module"]["graph"]["tensor_values"]["relu"]["sizes"][1] = {"as_int": size}

    path = edited(mixed, change) if size != 8 else mixed
    if size == 8:
        assert import_archive(path).params
        return
    with pytest.raises(NeedsTorch, match="relu"):
        read_program(path)
    with pytest.raises(MyoedgeError) as caught:
        import_archive(path)
    assert caught.value.code in ("E108", "E109")


@pytest.mark.parametrize("name", ["inputs", "outputs", "metadata", "target"])
def test_a_call_without_a_part_is_left_to_torch(mixed: Path, name: str) -> None:
    def change(tree: Any) -> None:
        del tree["graph_module"]["graph"]["nodes"][0][name]

    with pytest.raises(NeedsTorch):
        read_program(edited(mixed, change))


def test_a_changed_graph_is_the_same_for_both_readers_if_both_read_it(mixed: Path) -> None:
    equal = 0
    for seed in range(40):
        rng = random.Random(seed)
        path = edited(mixed, lambda tree, rng=rng: changed(tree, rng))  # type: ignore[misc]
        try:
            graphs = from_file(read_program(path)), from_exported(load_exported(path))
        except (NeedsTorch, MyoedgeError):
            continue
        equal += 1
        assert graphs[0].digest == graphs[1].digest
    assert equal > 5


def test_weights_outside_of_their_bytes_are_left_to_torch(mixed: Path) -> None:
    def change(tree: Any) -> None:
        tree["config"]["conv.bias"]["tensor_meta"]["storage_offset"] = {"as_int": 5}

    content = attacks.edited(attacks.members(mixed), attacks.WEIGHTS, change)
    with pytest.raises(NeedsTorch):
        read_program(attacks.pack(mixed.with_name("edited.pt2"), content))


def read_inputs(data: bytes | None) -> Any:
    return pickled_tensors(data, Path("m.pt2"), "model.pt")


def pickled(folder: Path, value: Any) -> bytes:
    torch.save(value, folder / "x.pt")
    return (folder / "x.pt").read_bytes()


def test_example_inputs_are_read_without_unpickling(tmp_path: Path) -> None:
    strided = torch.arange(12.0).reshape(3, 4).mT[1:]
    inputs = ((strided, torch.tensor([1, 2]), strided.double()), {"flag": torch.tensor([True])})
    found = read_inputs(pickled(tmp_path, inputs))
    assert found is not None
    wanted = [strided.numpy(), np.array([1, 2]), strided.numpy(), np.array([True])]
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert read_inputs(pickled(tmp_path, ((strided, 3), {}))) is None
    assert read_inputs(None) is None


def test_other_pickles_are_left_to_torch(tmp_path: Path) -> None:
    of_complex = torch.zeros(1, dtype=torch.cfloat)
    others: list[Any] = [[Path], ((torch.device("cpu"),), {}), ((of_complex,), {})]
    for value in others:
        with pytest.raises(NeedsTorch):
            read_inputs(pickled(tmp_path, value))
    repeated = torch.zeros(1).expand(1 << 40)
    with pytest.raises(NeedsTorch):
        read_inputs(pickled(tmp_path, ((repeated,), {})))
    with pytest.raises(MyoedgeError) as caught:
        read_inputs(b"PK no archive")
    assert caught.value.code == "E104"
