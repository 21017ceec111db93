# SPDX-License-Identifier: Apache-2.0
"""Inputs of integers and truth values: their types, what is made of them, what is out of range."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import Tensor, nn

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.embedding import id_limits
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization import samples
from myoedge.quantization.recordings.sources import read
from tests.support.onnx.models import model, node, saved
from tests.support.oracles.torch import Net, randomized, seeded

IDS = torch.tensor([[3, 0, 7, 9, 0, 1]])
SEEN = torch.tensor([[True, True, False, True, True, False]])
X = seeded(1, 6, 8)


def table(rows: int = 10, width: int = 8) -> nn.Embedding:
    return nn.Embedding(rows, width, padding_idx=0)


def attended(x: Tensor, hidden: Tensor) -> Tensor:
    scores = (x @ x.mT / 4.0).masked_fill(hidden[:, None, :], -torch.inf)
    return scores.softmax(-1) @ x


def positions(a: Net, ids: Tensor) -> Tensor:
    """As RoBERTa numbers tokens: those of padding stay at padding's."""
    seen = ids.ne(0).int()
    numbered = (torch.cumsum(seen, dim=1).type_as(seen) + 0) * seen
    return a.e(ids) + a.e(numbered.long() + 2)


# Function of (net, inputs), inputs, element types of the graph's inputs.
NETWORKS: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...], tuple[str, ...]]] = {
    "ids": (lambda a, ids: a.e(ids).sum(1), (IDS,), ("int32",)),
    "int32": (lambda a, ids: a.e(ids).sum(1), (IDS.int(),), ("int32",)),
    "uint8": (lambda a, ids: a.e(ids.long()), (IDS.byte(),), ("uint8",)),
    "function": (lambda a, ids: F.embedding(ids, a.e.weight) * 2.0, (IDS,), ("int32",)),
    "two tables": (lambda a, x, y: a.e(x) + a.f(y), (IDS, IDS % 3), ("int32", "int32")),
    "column": (lambda a, ids: a.e(ids[:, 1]) - a.f(ids[:, 4]), (IDS % 3,), ("int32",)),
    "totals": (lambda a, ids: a.e((ids % 2).sum(1)) + a.f(ids.sum() % 3), (IDS,), ("int32",)),
    "last seen": (
        lambda a, ids: a.e(ids)[torch.arange(1), (ids != 0).sum(1) - 1] * 2.0,
        (IDS,),
        ("int32",),
    ),
    "mean of what is seen": (
        lambda a, ids: (
            (a.e(ids) * (ids != 0)[..., None]).sum(1) / (ids != 0).sum(1, keepdim=True).clamp(min=1)
        ),
        (IDS,),
        ("int32",),
    ),
    "one-hot": (lambda a, ids: F.one_hot(ids, 10).float() @ a.e.weight, (IDS,), ("int32",)),
    "arange": (lambda a, ids: (ids[..., None] == torch.arange(10)).float(), (IDS,), ("int32",)),
    "index": (lambda a, ids: a.e.weight[ids] + a.e.weight.T[:, ids[0]].T, (IDS,), ("int32",)),
    "padding": (lambda a, ids: attended(a.e(ids), ids == 0), (IDS,), ("int32",)),
    "lengths": (
        lambda a, x, n: x * (torch.arange(6) < n[:, None]).unsqueeze(-1),
        (X, torch.tensor([4])),
        ("float32", "int32"),
    ),
    "offset": (lambda a, x: a.e(x + 3) + a.e(x * 2 - 1), (IDS % 4 + 1,), ("int32",)),
    "offsets": (lambda a, x: a.e(x + torch.tensor([0, 2, 4, 4, 6, 6])), (IDS % 3,), ("int32",)),
    "sums": (lambda a, x, y: a.e(x + y) + a.f(x - y), (IDS % 3 + 2, IDS % 2), ("int32",) * 2),
    "quotients": (lambda a, x: a.f(x // 3) + a.e(x % 7 + x.clamp(2, 3)), (IDS,), ("int32",)),
    "mixed": (
        lambda a, x, y: (
            a.e(torch.minimum(x, y) + 1).sum(1) + a.f(torch.where(x > y, 3, y % 2)).sum(1)
        ),
        (IDS.int() % 9, IDS % 4),
        ("int32", "int32"),
    ),
    "equal": (lambda a, x, y: a.e(x) * (x == y)[..., None], (IDS, IDS.flip(1)), ("int32",) * 2),
    "each": (
        lambda a, x: a.e(x) * (x >= torch.tensor([0, 1, 7, 8, 90_000, 0]))[..., None],
        (IDS,),
        ("int32",),
    ),
    "positions": (positions, (IDS,), ("int32",)),
    "positions of a mask": (
        lambda a, x, m: x + a.e((m.long().cumsum(-1) - 1).masked_fill(~m, 1)),
        (X, SEEN),
        ("float32", "uint8"),
    ),
    "counted": (
        lambda a, x, m: x / m.cumsum(1).clamp(min=1)[..., None].float(),
        (X, SEEN),
        ("float32", "uint8"),
    ),
    "numbers": (lambda a, x: x.float() / 9 - 0.5, (IDS,), ("float32",)),
    "mask as numbers": (
        lambda a, x, m: x * m.float()[..., None],
        (X, SEEN.long()),
        ("float32",) * 2,
    ),
    "mask": (lambda a, x, m: attended(x, ~m), (X, SEEN), ("float32", "uint8")),
    "masks": (
        lambda a, x, m, n: attended(x, (~m & n) | (m ^ n)),
        (X, SEEN, SEEN.roll(1)),
        ("float32", "uint8", "uint8"),
    ),
    "sdpa": (
        lambda a, x, m: F.scaled_dot_product_attention(x, x, x, m[:, None, :].expand(-1, 6, -1)),
        (X, SEEN),
        ("float32", "uint8"),
    ),
    "fill": (lambda a, x, m: x.masked_fill(m[..., None], 0.25), (X, SEEN), ("float32", "uint8")),
    "where": (
        lambda a, x, m: torch.where(m[..., None], x, x.flip(-1)),
        (X, SEEN),
        ("float32", "uint8"),
    ),
    "float where": (lambda a, x: torch.where(x > 0.5, x * 2, x - 1), (X,), ("float32",)),
    "float logic": (
        lambda a, x: x * ((x >= -1) & ~(x > 1)) + torch.logical_or(x < -2, x > 2).float(),
        (X,),
        ("float32",),
    ),
    "two floats": (lambda a, x: torch.where(x < x.flip(-1), x, 0.0), (X,), ("float32",)),
    "counts": (
        lambda a, x, m: (x * m[..., None]).sum(1) / m.sum(1, keepdim=True).clamp(min=1),
        (X, SEEN),
        ("float32", "uint8"),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_on_integers_compute_what_torch_computes(name: str) -> None:
    function, inputs, types = NETWORKS[name]
    net = randomized(Net(function, e=table(), f=table(4))).eval()
    with torch.no_grad():
        wanted = net(*inputs).numpy()
    graph = from_exported(torch.export.export(net, inputs))
    for found in (graph, prepare(graph)):
        assert tuple(found.tensors[x].dtype for x in found.inputs) == types
        given = {n: x.numpy() for n, x in zip(found.inputs, inputs, strict=True)}
        real = run_float(found, given)[found.outputs[0]]
        np.testing.assert_allclose(real, wanted, rtol=1e-5, atol=1e-5)


REFUSED = {
    "quotient": (lambda a, x, y: a.e(x // (y + 1)), "but a positive constant"),
    "fraction": (lambda a, x, y: a.e(torch.bitwise_left_shift(x, y)), ""),
    "rows and numbers": (lambda a, x, y: a.e(x) * x.float()[..., None] + a.e(y), "read as numbers"),
    "table": (lambda a, x, y: F.embedding(x, a.e.weight * y.float().mean()), "must be a parameter"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_use_of_indices_is_refused(name: str) -> None:
    function, reason = REFUSED[name]
    program = torch.export.export(Net(function, e=table()).eval(), (IDS, IDS))
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert caught.value.code == "E111"
    assert reason in str(caught.value)


def test_numbers_added_to_ids_are_in_the_table() -> None:
    net = Net(lambda a, x: a.e(x + 3) + a.e(2 + (x - 1)), e=table()).eval()
    graph = prepare(from_exported(torch.export.export(net, (IDS % 4,))))
    assert {node.op for node in graph.nodes} == {"embedding", "add"}
    assert id_limits(graph, "xs_0") == (-1, 6)


def test_functions_of_rows_are_in_the_table() -> None:
    net = Net(lambda a, x: (a.e(x) * 3.0 + torch.arange(8.0)).tanh(), e=table()).eval()
    graph = prepare(from_exported(torch.export.export(net, (IDS,))))
    assert [node.op for node in graph.nodes] == ["embedding"]
    real = run_float(graph, {"xs_0": IDS.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(real, net(IDS).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_computed_masks_are_masks_of_a_softmax() -> None:
    for name in ("padding", "mask", "masks", "sdpa"):
        function, inputs, _ = NETWORKS[name]
        net = Net(function, e=table()).eval()
        graph = prepare(from_exported(torch.export.export(net, inputs)))
        masked = [node for node in graph.nodes if node.op in ("softmax", "attention")]
        assert [node.attrs.get("masked") for node in masked] == [True], name


def test_limits_of_ids_follow_from_what_reads_them() -> None:
    net = Net(
        lambda a, x, m: a.e(x) * m[..., None] + a.f(x[:, :2].flip(1)).sum(), e=table(), f=table(4)
    )
    graph = prepare(from_exported(torch.export.export(net.eval(), (IDS % 4, SEEN))))
    assert [id_limits(graph, name) for name in graph.inputs] == [(0, 3), (0, 1)]
    compared = from_exported(torch.export.export(Net(lambda a, x: (x > 5).float()).eval(), (IDS,)))
    assert id_limits(compared, "xs_0") == (-(2**31), 2**31 - 1)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (IDS.numpy()[None], None),
        (IDS.numpy()[None].astype(np.float64), None),
        (IDS.numpy()[None] + 0.5, "E214"),
        (IDS.numpy()[None] + 1, "E229"),
        (IDS.numpy()[None] - 1, "E229"),
        (IDS.numpy()[None] + 2**40, "E229"),
    ],
)
def test_samples_of_ids(values: Any, code: str | None) -> None:
    net = Net(lambda a, x: a.e(x), e=table()).eval()
    graph = from_exported(torch.export.export(net, (IDS,)))
    if code is None:
        fitted = samples.fit(read({"xs_0": values}), graph).inputs["xs_0"]
        assert fitted.dtype == np.int32
        assert np.array_equal(fitted, values)
        return
    with pytest.raises(MyoedgeError) as caught:
        samples.fit(read({"xs_0": values}), graph)
    assert caught.value.code == code


# --- ONNX -----------------------------------------------------------------------------------------

WEIGHTS = np.random.default_rng(2).normal(size=(10, 4)).astype(np.float32)
DEPTH, ON = np.array(10), np.array([0.0, 1.0], np.float32)
MODELS = {
    "gather": ([node("Gather", "w x", "y")], TensorProto.INT64, "int32"),
    "gather of columns": ([node("Gather", "v x", "y", axis=1)], TensorProto.INT32, "int32"),
    "one-hot": ([node("OneHot", "x d o", "y", axis=1)], TensorProto.INT64, "int32"),
    "equal": (
        [node("Equal", "x three", "e"), node("Not", "e", "n"), node("Cast", "n", "y", to=1)],
        TensorProto.INT64,
        "int32",
    ),
    "mask": (
        [node("Not", "x", "n"), node("Where", "n three_f one_f", "y")],
        TensorProto.BOOL,
        "uint8",
    ),
    "positions": (
        [
            node("Equal", "x none", "e"),
            node("Not", "e", "n"),
            node("Cast", "n", "m", to=7),
            node("CumSum", "m one", "s"),
            node("Mul", "s m", "p"),
            node("Add", "p three", "i"),
            node("Gather", "w i", "y"),
        ],
        TensorProto.INT64,
        "int32",
    ),
    "sums behind": (
        [
            node("Cast", "x", "m", to=7),
            node("CumSum", "m one", "s", exclusive=1, reverse=1),
            node("Gather", "w s", "y"),
        ],
        TensorProto.BOOL,
        "uint8",
    ),
    "arithmetic": (
        [
            node("Mod", "x three", "r"),
            node("Max", "r one3", "h"),
            node("Sub", "three h", "t"),
            node("Greater", "x t", "g"),
            node("Where", "g r t", "c"),
            node("Gather", "w c", "y"),
        ],
        TensorProto.INT64,
        "int32",
    ),
    "numbers": (
        [node("Cast", "x", "c", to=1), node("Sin", "c", "y")],
        TensorProto.INT64,
        "float32",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_onnx_models_on_integers_compute_what_onnxruntime_computes(
    name: str, tmp_path: Path
) -> None:
    nodes, kind, dtype = MODELS[name]
    constants = {
        "w": WEIGHTS, "v": WEIGHTS.T.copy(), "d": DEPTH, "o": ON, "three": np.array(3, np.int64),
        "none": np.array(0, np.int64), "one": np.array(1, np.int64),
        "one3": np.array([1, 0, 0, 1, 2, 0], np.int64),
        "three_f": np.array(3.0, np.float32), "one_f": np.array(1.0, np.float32),
    }  # fmt: skip
    read = {x for each in nodes for x in each.input}
    made = model(nodes, {"x": (1, 6)}, constants={n: c for n, c in constants.items() if n in read})
    made.graph.input[0].type.tensor_type.elem_type = kind
    path = saved(made, tmp_path)
    ids = SEEN.numpy() if kind == TensorProto.BOOL else IDS.numpy()
    ids = ids.astype(np.int32) if kind == TensorProto.INT32 else ids
    options = ort.SessionOptions()
    options.log_severity_level = 4  # outputs here declare shapes that are not theirs
    (wanted,) = ort.InferenceSession(str(path), options).run(None, {"x": ids})
    graph = load_onnx(path).graph
    assert graph.tensors["x"].dtype == dtype
    for found in (graph, prepare(graph)):
        real = run_float(found, {"x": ids})[found.outputs[0]]
        np.testing.assert_allclose(real, wanted, rtol=1e-5, atol=1e-6)


# --- builds ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> myoedge.Build:
    """Of ids and a mask, for a host."""
    folder = tmp_path_factory.mktemp("ids")
    net = Net(lambda a, x, m: a.l(a.e(x) * m[..., None]), e=table(), l=nn.Linear(8, 3))
    torch.export.save(torch.export.export(randomized(net).eval(), (IDS, SEEN)), folder / "n.pt2")
    ids = np.random.default_rng(0).integers(0, 10, (20, 1, 6))
    given = {"xs_0": ids, "xs_1": ids > 4}
    return myoedge.build(folder / "n.pt2", target="host", calib=given, output=folder / "build")


def test_a_build_takes_integers_and_truth_values(build: myoedge.Build) -> None:
    header = (build.folder / "src" / f"{build.prefix}.h").read_text()
    assert "in[0]: xs_0, int32_t[1][6], integers 0 to 9" in header
    assert "in[1]: xs_1, uint8_t[1][6], integers 0 to 1" in header
    y = build.run(IDS.numpy(), SEEN.numpy())
    assert np.array_equal(y, build.run(xs_0=IDS.numpy().astype(float), xs_1=SEEN.int().numpy()))
    assert myoedge.validate(build, on=["host"]).exact


def test_ids_out_of_range_are_refused_by_the_host_and_clamped_in_c(build: myoedge.Build) -> None:
    far = np.array([[-1, -(2**31), 10, 2**31 - 1, 0, 9]], np.int32)
    for raw in (False, True):
        with pytest.raises(MyoedgeError) as caught:
            build.run(far, SEEN.numpy().astype(np.uint8), raw=raw)
        assert caught.value.code == "E229"
    seen = np.array([[1, 255, 1, 7, 1, 1]], np.uint8)
    clamped = build.run(np.clip(far, 0, 9), np.minimum(seen, 1), raw=True)
    assert np.array_equal(build.run_raw([far, seen])[0], clamped)


def test_computed_ids_out_of_range_are_refused_by_the_host_and_clamped_in_c(
    tmp_path: Path,
) -> None:
    """Tokens of a RoBERTa are numbered from 2 on: a table of 6 rows has none for 5 of them."""
    net = Net(lambda a, x, y: a.e(x + y) + a.f(x * 2 + 1), e=table(), f=table(12)).eval()
    program = torch.export.export(net, (IDS % 4, IDS % 4))
    torch.export.save(program, tmp_path / "n.pt2")
    graph = prepare(from_exported(program))
    ids = np.random.default_rng(0).integers(0, 5, (20, 1, 6))
    given = {"xs_0": ids, "xs_1": ids[::-1].copy()}
    out = tmp_path / "out"
    build = myoedge.build(tmp_path / "n.pt2", target="host", calib=given, output=out)
    assert id_limits(build.network.graph, "xs_0") == (0, 5)
    ones, nines = np.ones((1, 6), np.int32), np.full((1, 6), 9, np.int32)
    for call in (
        lambda: build.run(ones, nines),
        lambda: samples.fit(read({"xs_0": ones[None], "xs_1": nines[None]}), graph),
    ):
        with pytest.raises(MyoedgeError) as caught:
            call()
        assert caught.value.code == "E229"
        assert "10 to 10" in str(caught.value)
    clamped, other = build.run_raw([ones, nines])[0], build.run(ones, nines - 1, raw=True)
    assert np.array_equal(clamped, other)
    assert myoedge.validate(build, on=["host"]).exact


def test_computed_ids_are_the_same_on_the_chip_and_in_onnxruntime(tmp_path: Path) -> None:
    def function(a: Net, ids: Tensor, other: Tensor, seen: Tensor) -> Tensor:
        shown = (ids == other) | (torch.remainder(ids, 4) < other // 3)
        y = positions(a, ids) * shown[..., None] + a.f(torch.minimum(ids * 2, other) % 4)
        return y + a.e(seen.cumsum(1))

    net = randomized(Net(function, e=table(), f=table(4))).eval()
    torch.export.save(torch.export.export(net, (IDS, IDS, SEEN)), tmp_path / "n.pt2")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 10, (2, 20, 1, 6))
    given = {"xs_0": x, "xs_1": y, "xs_2": x > 3}
    build = myoedge.build(tmp_path / "n.pt2", calib=given, output=tmp_path / "out")
    found = myoedge.validate(build, on=["host", "simulator"], onnx=True)
    assert found.exact["host"]
    assert found.exact["simulator"]
    assert (found.onnx_db or 0.0) > 60
