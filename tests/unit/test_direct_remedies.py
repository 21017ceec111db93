# SPDX-License-Identifier: Apache-2.0
"""Remedies of warnings about a network alone, and of those outside the table of rules: each is
applied to the input that the warning is about, and the warning is gone."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.building import network_conditions as networks
from myoedge.numerics.arrays import Array
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.warning_rules import applies
from tests.unit.test_stated_widths import Small, settings

ROOT = Path(__file__).resolve().parents[2]
# Code -> the test that applies its remedies.
APPLIED = {
    "W210": "tests/e2e/test_read_only_builds.py: test_a_copy_has_new_figures",
    "W212": "tests/extensions/adaptation/test_adapting.py: test_sessions_that_lack_a_class",
    "W301": "tests/e2e/test_budgets.py: test_a_layer_without_a_tile_for_the_chip",
    "W302": "tests/e2e/test_streams.py: test_passes_are_as_long_as_they_have_to_be",
    "W303": "tests/e2e/test_simulated_builds.py: test_long_runs_are_simulated_where_asked_for",
    "W304": "tests/e2e/test_simulated_builds.py: test_a_simulator_that_does_not_compile",
}
# Of a board, a line or a front end, which peers of tests/extensions stand for.
OF_HARDWARE = {"W601", "W602", "W603", "W604", "W605", "W606"}


class Rectified(nn.Module):
    """A layer of positive weights, whose results are 0 for negative values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        with torch.no_grad():
            self.layer.weight.fill_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(x))


class Filled(nn.Module):
    """Values of a layer, two of them hidden by a fill, and what reads them."""

    def __init__(self, fill: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.fill, self.end = nn.Linear(4, 4), fill, end
        self.register_buffer("hidden", torch.tensor([True, True, False, False]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return self.end(torch.where(self.hidden, self.fill(x), x))


def warned(folder: Path, net: nn.Module, x: Array, code: str) -> list[tuple[str, ...]]:
    """Remedies of the warnings with this code."""
    example = (torch.from_numpy(x[0]),)
    model = save_exported(net, example, folder / "m.pt2")
    found = myoedge.quantize(model, calib={"x": x}).warnings
    return [warning.tries for warning in found if warning.code == code]


def drawn(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@applies(networks.dead_layers, "calibrate with", "look for")
def test_samples_of_every_class(tmp_path: Path) -> None:
    torch.manual_seed(0)
    positive = 2.0 + np.abs(drawn(40, 1, 4))
    (tries,) = warned(tmp_path, Rectified(), -positive, "W101")
    assert tries == ("calibrate with samples of every class", "look for a dying ReLU in training")
    both = np.concatenate([positive, -positive])
    assert not warned(tmp_path, Rectified(), both, "W101")
    dying = Rectified()
    with torch.no_grad():
        dying.layer.bias.fill_(-1e3)
    assert warned(tmp_path, dying, both, "W101")


@applies(networks.dominant_fills, "fill with", "such a fill")
def test_a_fill_of_the_values_of_the_tensor(tmp_path: Path) -> None:
    """Also a softmax hides it."""
    torch.manual_seed(0)
    x, far = drawn(40, 1, 4), lambda y: torch.full_like(y, -1e9)
    (tries,) = warned(tmp_path, Filled(far, torch.sigmoid), x, "W103")
    assert tries[0].startswith("fill with a value of the tensor: torch.where(mask, x.amin(), x)")
    assert not warned(tmp_path, Filled(lambda y: y.amin(), torch.sigmoid), x, "W103")
    assert "only a softmax reads" in tries[1]
    assert not warned(tmp_path, Filled(far, lambda y: y.softmax(-1)), x, "W103")


@applies(networks.left_narrow, "patterns for")
def test_a_pattern_for_other_layers(tmp_path: Path) -> None:
    model = save_exported(Small().eval(), (torch.zeros(1, 4, 20),), tmp_path / "m.pt2")

    def tries(pattern: str) -> list[tuple[str, ...]]:
        rules = settings(tmp_path, f'"{pattern}" = {{ activations = 16 }}')
        found = myoedge.quantize(model, calib={"x": drawn(16, 1, 4, 20)}, config=rules)
        return [warning.tries for warning in found.warnings if warning.code == "W107"]

    ((line,),) = tries("*")
    shown = re.search(r"`myoedge (.*)`", line)
    assert shown is not None
    assert "16" in command(*shown[1].split(), cwd=tmp_path).out
    assert not tries("head*")


def test_every_warning_outside_the_rules_has_a_case() -> None:
    found = set[str]()
    for path in (ROOT / "myoedge").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "notice":
                code = call.args[0]
                if isinstance(code, ast.Constant) and str(code.value).startswith("W"):
                    found.add(str(code.value))
    assert found == APPLIED.keys() | OF_HARDWARE
    for case in APPLIED.values():
        file, _, name = case.partition(": ")
        assert f"def {name}(" in (ROOT / file).read_text(), case


class Gated(nn.Module):
    """A written cell whose first state, zeros, meets a gate before a layer reads the product."""

    def __init__(self, *, is_memory: bool) -> None:
        super().__init__()
        self.gates, self.update = nn.Linear(4, 18), nn.Linear(6, 6, bias=False)
        self.is_memory = is_memory

    def forward(self, x: Tensor) -> Tensor:
        h, memory = torch.zeros(1, 1, 6), torch.zeros(1, 6, 6)
        for t in range(8):
            r, z, n = self.gates(x[:, t : t + 1]).chunk(3, -1)
            if self.is_memory:
                memory = memory + r.mT @ (z - n @ memory)
                h = n @ memory
            else:
                z = z.sigmoid()
                h = (1 - z) * (n + self.update(r.sigmoid() * h)).tanh() + z * h
        return h[:, 0]


@pytest.mark.parametrize("is_memory", [False, True], ids=["gate", "memory"])
def test_first_states_of_zeros_leave_no_dead_layers(tmp_path: Path, is_memory: bool) -> None:
    torch.manual_seed(0)
    assert not warned(tmp_path, Gated(is_memory=is_memory), drawn(40, 1, 8, 4), "W101")


class Silent(nn.Module):
    """An output that is a product with zeros, which no rewrite may turn into a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(x) * torch.zeros(1, 3)).tanh()


def test_outputs_that_are_always_zero_are_quantised(tmp_path: Path) -> None:
    assert not warned(tmp_path, Silent(), drawn(40, 1, 4), "W101")
