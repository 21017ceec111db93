# SPDX-License-Identifier: Apache-2.0
"""Chains of element-wise operators in whole networks: one layer, exact, in few cycles."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from tests.conftest import save_exported


class Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Tensor:
        return self.function(*x)


def five(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return torch.tanh(x * y + z) * z + x


def ten(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    a = x * y + z
    b = a * x - y
    c = torch.maximum(b, z) * y + x
    return (c * z + b) * a


def built(
    function: Callable[..., Tensor], count: int, folder: Path, rows: int = 1
) -> myoedge.Build:
    shapes = [(rows, count)] * 3
    example = tuple(torch.zeros(shape) for shape in shapes)
    model = save_exported(Function(function).eval(), example, folder / "m.pt2")
    rng = np.random.default_rng(3)
    draw = [rng.standard_normal((8, *shape)).astype(np.float32) for shape in shapes]
    calib = dict(zip(("x_0", "x_1", "x_2"), draw, strict=True))
    return myoedge.build(model, calib=calib, output=folder / "out", simulate=True)


@pytest.mark.parametrize(
    ("function", "count", "cycles_max"),
    [
        (five, 1024, 4_500),  # 4,834 if cores that read side by side read the same banks
        pytest.param(five, 777, 4_000, marks=pytest.mark.slow),  # the last share is shorter
        pytest.param(ten, 64, 3_000, marks=pytest.mark.slow),  # 8,970 as ten layers
        pytest.param(ten, 4096, 23_000, marks=pytest.mark.slow),  # 68,004
        pytest.param(five, 64, 2_000, marks=pytest.mark.slow),  # 5,294
        pytest.param(five, 4096, 13_000, marks=pytest.mark.slow),  # 23,508
    ],
)
def test_a_chain_is_one_layer_of_few_cycles(
    function: Callable[..., Tensor], count: int, cycles_max: int, tmp_path: Path
) -> None:
    build = built(function, count, tmp_path)
    (layer,) = build.report["layers"]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert len(layer["members"]) >= 4
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    assert layer["cycles"] <= cycles_max


class Between(nn.Module):
    """A linear layer as wide as the elements that it reads, and as those that follow it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.linear(torch.tanh(x * y + y)) * x + y)


def test_a_linear_layer_does_not_compute_what_it_reads_for_each_result(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = torch.zeros(1, 64), torch.zeros(1, 64)
    model = save_exported(Between().eval(), example, tmp_path / "m.pt2")
    rng = np.random.default_rng(3)
    calib = {x: rng.standard_normal((8, 1, 64)).astype(np.float32) for x in "xy"}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    assert [len(layer["members"]) for layer in build.report["layers"]] == [3, 4]
    assert myoedge.validate(build, on=("host",)).difference is None


def test_a_softmax_joins_what_it_reads_and_what_reads_it(tmp_path: Path) -> None:
    build = built(lambda x, y, z: (x * y).softmax(-1) * z, 8, tmp_path, rows=32)
    (layer,) = build.report["layers"]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert len(layer["members"]) == 3
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_values_are_carried_along_a_part_of_a_dimension(tmp_path: Path) -> None:
    """Sums begin at the ninth of twelve rows."""

    def sums(x: Tensor) -> Tensor:
        return torch.cumsum(x[:, 9:] * x[:, :3], 1)

    model = save_exported(Function(sums).eval(), (torch.zeros(6, 12, 8),), tmp_path / "m.pt2")
    calib = np.random.default_rng(3).standard_normal((8, 6, 12, 8)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    assert any("slice" in layer["members"] for layer in build.report["layers"])
    assert myoedge.validate(build, on=("host",)).difference is None


class Heads(nn.Module):
    """Many results of one value each from the same rows."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(13, 1) for _ in range(24))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(head(x) for head in self.heads)


@pytest.mark.parametrize("as_data", [False, True])
def test_a_chain_leaves_room_on_the_stacks(as_data: bool, tmp_path: Path) -> None:
    """120 numbers as variables, with 49 pointers, took more than the 1,280 bytes of a core. Numbers
    are literals, or read in place where they are data, and a function has at most 32 arrays."""
    torch.manual_seed(0)
    model = save_exported(Heads().eval(), (torch.zeros(1, 16, 13),), tmp_path / "m.pt2")
    calib = np.random.default_rng(3).standard_normal((8, 1, 16, 13)).astype(np.float32)
    build = myoedge.build(
        model, calib=calib, output=tmp_path / "out", simulate=False, weights_blob=as_data
    )
    assert max(len(layer["members"]) for layer in build.report["layers"]) > 8
    headers = (build.folder / "src/library").glob("me_chain_*.h")
    arrays = [len(re.findall(r"\*[xy]\d*[;,]", path.read_text())) for path in headers]
    assert 24 <= max(arrays) <= 32
    sources = [path.read_text() for path in (build.folder / "src/library").glob("me_chain_*.c")]
    assert not any(re.search(r"const int32_t x\d+_\d{2} =", text) for text in sources)
    assert any(re.search(r"x\d+\[\d{2}\]", text) for text in sources) == as_data
    assert myoedge.validate(build, on=("host", "simulator")).difference is None


class Carried(nn.Module):
    """A loop that reads its state early and late, with the next state in between."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.rand(16) * 0.5)
        self.gain = nn.Parameter(torch.rand(16))
        self.next = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        state, results = x.new_zeros(1, 16), []
        for row in x.unbind(1):
            early = state * self.decay + row
            state = torch.tanh(self.next(state) + row)
            results.append(early * state + state * self.gain)
        return torch.stack(results, 1)


class Delays(nn.Module):
    """A recursive filter: one row is the result and the next state, and the state moves on."""

    def forward(self, x: Tensor) -> Tensor:
        one, two, results = x.new_zeros(1, 16), x.new_zeros(1, 16), []
        for row in x.unbind(1):
            one, two = torch.tanh(row + one * 0.9 - two * 0.4), one
            results.append(one)
        return torch.stack(results, 1)


class FirstOfAll(nn.Module):
    """A loop whose two channels both read the first one of the state that they replace."""

    def forward(self, x: Tensor) -> Tensor:
        state, results = x.new_zeros(2, 16), []
        for row in x.unbind(1):
            state = torch.maximum(state[:1], row - state) + row
            results.append(state.sum(0))
        return torch.stack(results, 1)


class Spiking(nn.Module):
    """Neurons whose spikes a layer and the next step read, and whose potentials are a state."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        v, fired, total = x.new_zeros(1, 16), x.new_zeros(1, 16), x.new_zeros(1, 16)
        for row in x.unbind(1):
            v = (v - fired) * 0.9 + self.enter(row)
            fired = (v > 0.5).to(v.dtype)
            total = total + self.leave(fired)
        return total, v


class Recurrent(nn.Module):
    """A loop whose next state is a product with the state, in the state's place."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(16))
        self.next = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        state, results = x.new_zeros(1, 16), []
        for row in x.unbind(1):
            state = torch.tanh(self.next(state) + row) * self.gain
            results.append(state)
        return torch.stack(results, 1)


class Joined(nn.Module):
    """A loop whose next state is a product with a row, the state and a constant, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.next = nn.Linear(36, 16)
        self.register_buffer("bias", torch.rand(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        state, results = x.new_zeros(1, 16), []
        for row in x.unbind(1):
            state = torch.tanh(self.next(torch.cat([row, state, self.bias], 1)))
            results.append(state)
        return torch.stack(results, 1)


@pytest.mark.parametrize(
    ("model", "results"),
    [(Carried, 1), (Delays, 3), (FirstOfAll, 1), (Spiking, 2), (Recurrent, 1), (Joined, 2)],
    ids=lambda x: getattr(x, "__name__", ""),
)
@pytest.mark.parametrize("bits", ["8", pytest.param("16", marks=pytest.mark.slow)])
def test_chains_in_loops_write_states_and_rows_in_time(
    model: type[nn.Module], results: int, bits: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    archive = save_exported(model().eval(), (torch.zeros(1, 20, 16),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((6, 1, 20, 16)).astype(np.float32)
    (tmp_path / "myoedge.toml").write_text('[quant]\n"*" = { activations = 16 }\n' * (bits == "16"))
    options = {"config": tmp_path / "myoedge.toml", "output": tmp_path / "out", "simulate": False}
    build = myoedge.build(archive, calib=calib, **options)
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    chains = [row for row in build.report["layers"] if len(row["members"]) > 1]
    assert max(len(row["writes"]) for row in chains) >= results


class Synapses(nn.Module):
    """Two sums over the same products of all pairs, and what follows from both: one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.centre, self.slope = (nn.Parameter(torch.rand(16, 24)) for _ in range(2))
        self.weight, self.reversal = (
            nn.Parameter(torch.rand(16, 24)),
            nn.Parameter(torch.randn(16, 24)),
        )

    def forward(self, x: Tensor) -> Tensor:
        active = torch.sigmoid((x.unsqueeze(2) - self.centre) * self.slope) * self.weight
        return (active * self.reversal).sum(1) * 0.5 + active.sum(1)


def test_sums_join_the_layers_before_and_behind_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = save_exported(Synapses().eval(), (torch.zeros(1, 16),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((8, 1, 16)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=True)
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact == {"host": True, "simulator": True} | {
        key: None for key in checked.exact if key not in ("host", "simulator")
    }
    (layer,) = build.report["layers"]
    assert layer["members"].count("sum") == 2
