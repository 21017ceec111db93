# SPDX-License-Identifier: Apache-2.0
"""16 bits by hand: [quant] "head" = { activations = 16, weights = 16 }."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError, Notice
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import PRE, has_table
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from tests.conftest import save_exported
from tests.support.warning_rules import applies

WINDOWS = np.random.default_rng(7).standard_normal((16, 1, 4, 20)).astype(np.float32)


class Gate(nn.Module):
    """Products by channel, maxima and averages of windows, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes = nn.PReLU(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.slopes(x) * x.amax(2, keepdim=True) - 0.5 * x
        x = nn.functional.max_pool1d(x, 3, 2) * torch.sigmoid(nn.functional.avg_pool1d(x, 3, 2))
        return x.mean(2)


class Low(nn.Module):
    """Numbers below -1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x < -1.0


class Steps(nn.Module):
    """Shares of what is not hidden, in steps of 1/8: a mask has 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.shares = Low(), nn.Softmax(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.floor(8.0 * self.shares(x.masked_fill(self.low(x), -1e9)))


class Small(nn.Module):
    """A convolution, a depthwise one, a gate, a head, steps of its shares."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 8, 3, groups=8)
        self.gate, self.head, self.steps = Gate(), nn.Linear(8, 5), Steps()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depth(torch.relu(self.stem(x)))
        return self.steps(self.head(self.gate(x)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("widths") / "model.pt2"
    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(1, 4, 20),)), path)
    return path


def settings(folder: Path, rules: str) -> Path:
    path = folder / "myoedge.toml"
    path.write_text(f"[quant]\n{rules}\n")
    return path


def quantize_with(model: Path, folder: Path, rules: str) -> Any:
    config = settings(folder, rules)
    return myoedge.quantize(model, calib={"x": WINDOWS}, method="minmax", config=config)


def quantized(model: Path, folder: Path, rules: str) -> QuantGraph:
    network: QuantGraph = quantize_with(model, folder, rules).network
    return network


def kinds(network: QuantGraph, path: str) -> tuple[str, str]:
    """Element types of the weights and of the results of a layer."""
    steps = (s for s in network.steps if any(o.path == path for o in s.node.origin))
    step = next(s for s in steps if "weight" in s.integers.arrays)
    return str(step.integers.weight.dtype), network.dtype(step.node.name)


@pytest.mark.parametrize("path", ["stem", "depth"])
@pytest.mark.parametrize("weights", [8, 16])
@pytest.mark.parametrize("activations", [8, 16])
def test_a_layer_has_the_bits_that_its_rule_says(
    model: Path, tmp_path: Path, path: str, weights: int, activations: int
) -> None:
    """Convolutions whose windows overlap have weights of 16 bits beside results of 16 anyway."""
    rule = f'"{path}" = {{ weights = {weights}, activations = {activations} }}'
    wanted = f"int{max(weights, activations)}", f"int{activations}"
    network = quantized(model, tmp_path, rule)
    assert kinds(network, path) == wanted
    assert kinds(network, "head") == ("int8", "int8")


def test_what_is_built_computes_the_same_on_the_chip(model: Path, tmp_path: Path) -> None:
    """A simulated inference that differs from the reference is an error."""
    rules = "\n".join(f'"{path}" = {{ activations = 16 }}' for path in ("stem", "depth", "gate*"))
    found = myoedge.build(
        model,
        calib={"x": WINDOWS},
        config=settings(tmp_path, rules),
        output=tmp_path / "build",
        simulate=True,
    )
    assert found.report["cycles"]["source"] == "simulated"
    kinds = [
        row["dtype"]
        for row in found.report["layers"]
        for op in row["members"] or [row["op"]]
        if op not in ("softmax", "linear", "table")
    ]
    assert len(kinds) >= 9
    assert set(kinds) == {"int16"}


def test_what_has_no_kernel_of_16_bits_is_refused(model: Path, tmp_path: Path) -> None:
    """The advice is taken as it stands."""
    rules = '"steps.low" = { activations = 16 }\n"stem" = { activations = 16 }'
    with pytest.raises(MyoedgeError) as caught:
        quantized(model, tmp_path, rules)
    assert caught.value.code == "E244"
    table, _, line = caught.value.notice.tries[0].partition("] ")
    assert table == "[quant"
    network = quantized(model, tmp_path, line)
    assert any(q.element_type.bits == 16 for q in network.params.values())


def test_of_a_pattern_what_has_no_kernel_of_16_bits_keeps_8(model: Path, tmp_path: Path) -> None:
    made = quantize_with(model, tmp_path, '"*" = { activations = 16, weights = 16 }')
    network: QuantGraph = made.network
    (told,) = warned(made, "W107")
    left = {step.node.op for step in network.steps if network.dtype(step.node.name) == "int8"}
    assert left == {"table"}
    assert dict(told.facts)["has"] == "table steps.low"
    assert kinds(network, "stem") == kinds(network, "head") == ("int16", "int16")
    assert not warned(quantize_with(model, tmp_path, ""), "W107")
    with pytest.raises(MyoedgeError) as caught:  # of which none has
        quantized(model, tmp_path, '"steps.lo*" = { activations = 16 }')
    assert caught.value.code == "E244"


def test_weights_that_a_file_has_as_integers_keep_their_bits(model: Path, tmp_path: Path) -> None:
    """Of a build's own file: 8 bits of the convolutions are told, 4 of the head are asked for."""
    rules = settings(tmp_path, '"head" = { weights = 4 }')
    given = {"calib": {"x": WINDOWS}, "config": rules, "output": tmp_path / "build"}
    first = myoedge.build(model, simulate=False, **given)
    file = first.folder / "model.int8.onnx"
    for bits, other in ((4, "conv"), (16, "linear"), (8, "")):
        rules = settings(tmp_path, f'"*" = {{ weights = {bits} }}')
        made = myoedge.quantize(file, calib={"x": WINDOWS}, config=rules)
        told = [dict(w.facts)["has"] for w in made.warnings if w.code == "W108"]
        assert len(told) == bool(other)
        weighted = [s for s in made.network.steps if s.node.op in ("conv", "linear")]
        assert [step.weight_bits for step in weighted] == [8, 8, 4]
        assert {step.integers.weight.dtype for step in weighted} == {np.dtype("int8")}
        assert all(other in layers for layers in told)
        assert not any("linear" in layers for layers in told if bits == 4)
    asked = ("head/*", "depth/Conv", "x")
    named = settings(tmp_path, "\n".join(f'"{x}" = {{ activations = 16 }}' for x in asked))
    told = myoedge.quantize(file, calib={"x": WINDOWS}, config=named).warnings
    stays = [dict(w.facts)["has"] for w in told if w.code == "W108"]
    assert stays == ["integers: conv depth/Conv", "integers: input x"]
    assert not any(w.code == "W107" for w in told)
    last = settings(tmp_path, '"*" = { weights = 8 }\n"head*" = { weights = 2 }')
    (only,) = warned(myoedge.quantize(file, calib={"x": WINDOWS}, config=last), "W108")
    assert "2 bits" in only.title
    assert dict(only.facts)["has"] == "integers: linear head/MatMul"


@applies("W108", "build the float")
def test_scales_that_a_file_gives_stay_and_are_told(model: Path, tmp_path: Path) -> None:
    given = {"calib": {"x": WINDOWS}, "output": tmp_path / "build"}
    file = myoedge.build(model, simulate=False, **given).folder / "model.int8.onnx"
    rules = settings(
        tmp_path,
        '"*" = { weights = "per_tensor", method = "percentile" }\n'
        '"depth/Conv" = { method = "mse" }',
    )
    made = myoedge.quantize(file, calib={"x": WINDOWS}, config=rules)
    scales, ranges = warned(made, "W108")
    assert '"*" asks for one scale for weights' in scales.title
    assert "conv" in dict(scales.facts)["has"]
    assert "linear" in dict(scales.facts)["has"]
    assert '"depth/Conv" asks for ranges' in ranges.title
    rules = settings(tmp_path, '"*" = { weights = "per_tensor", method = "percentile" }')
    assert not warned(myoedge.quantize(model, calib={"x": WINDOWS}, config=rules), "W108")


def warned(made: myoedge.Quantized, code: str) -> list[Notice]:
    return [warning for warning in made.warnings if warning.code == code]


@pytest.mark.parametrize("pattern", ["x", "*", "[xyz]"])
def test_an_input_has_16_bits_by_its_name(model: Path, tmp_path: Path, pattern: str) -> None:
    network = quantized(model, tmp_path, f'"{pattern}" = {{ activations = 16 }}')
    assert network.dtype("x") == "int16"
    stem = next(step for step in network.steps if step.node.op == "conv")
    assert stem.weight_type.bits == 16
    assert (kinds(network, "head")[1] == "int16") == (pattern == "*")


@pytest.mark.parametrize("rule", ['"y" = { activations = 16 }', '"x" = { weights = 16 }'])
def test_a_rule_that_says_nothing_of_an_input_or_a_layer(
    model: Path, tmp_path: Path, rule: str
) -> None:
    with pytest.raises(MyoedgeError) as caught:
        quantized(model, tmp_path, rule)
    assert caught.value.code == "E233"


def test_tensors_of_16_bits_have_room_beyond_the_calibrated_range(tmp_path: Path) -> None:
    """Twice the range inside a network, eight times at its end, whatever no sample reached."""
    torch.manual_seed(5)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    x = np.random.default_rng(3).standard_normal((16, 6)).astype(np.float32)
    torch.export.save(torch.export.export(network, (torch.zeros(1, 6),)), tmp_path / "m.pt2")
    rules = settings(tmp_path, '"*" = { activations = 16, weights = 16 }')
    made = myoedge.quantize(tmp_path / "m.pt2", calib=x, holdout=0.0, config=rules).network
    with torch.inference_mode():
        relu = network[:2](torch.from_numpy(x)).abs().max().item()
        end = network(torch.from_numpy(x)).abs().max().item()
    reach = [32767 * made.params[step.node.name].scale for step in made.steps]
    assert reach == pytest.approx([2 * relu, 8 * end], rel=1e-3)


class RoundedSum(nn.Module):
    """A sum, rounded down."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.floor(self.stem(x) + x)


def test_a_sum_that_reads_16_bits_has_its_table_behind_it() -> None:
    """Though what the table gives has 8: the kernel has none."""
    torch.manual_seed(0)
    graph = prepare(from_exported(torch.export.export(RoundedSum(), (torch.zeros(1, 4, 20),))))
    (added,) = (node for node in graph.nodes if node.op == "add")
    assert has_table(added)
    calibration = calibrate(graph, {"x": WINDOWS}, Observer(), "")
    network = quantize_graph(graph, calibration, int16=frozenset(added.inputs))
    steps = {step.node.name: step for step in network.steps}
    pre = steps[added.name + PRE]
    assert "int16" in map(network.dtype, pre.operands)
    assert (pre.node.op, steps[added.name].node.op) == ("add", "table")
    assert {network.dtype(added.name), network.dtype(pre.node.name)} == {"int8"}


class Joined(nn.Module):
    """An input next to a result that stays within 1."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, torch.tanh(self.inner(x))], 1)


def test_an_input_is_not_limited_to_the_bounds_of_results_beside_it(tmp_path: Path) -> None:
    """A joined tensor has one scale for all of its parts."""
    torch.manual_seed(0)
    model = save_exported(Joined().eval(), (torch.zeros(1, 3),), tmp_path / "model.pt2")
    samples = 3 * np.random.default_rng(0).standard_normal((16, 1, 3)).astype(np.float32)
    (tmp_path / "myoedge.toml").write_text('[quant]\n"*" = { activations = 16 }\n')
    config = tmp_path / "myoedge.toml"
    build = myoedge.build(
        model, calib=samples, config=config, output=tmp_path / "o", simulate=False
    )
    (port,) = build.report["inputs"]
    assert 32767 * port["scale"] >= np.abs(samples).max()
