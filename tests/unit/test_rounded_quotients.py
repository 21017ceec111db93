# SPDX-License-Identifier: Apache-2.0
"""Quotients that are rounded, and remainders: as torch has them at exact multiples and beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.building.loading import load_model
from myoedge.numerics.pointwise import evaluate
from myoedge.operators.graph_builder import Unsupported
from myoedge.operators.import_rows import Arguments
from myoedge.operators.interpreter import run_float
from myoedge.operators.library.arithmetic import div, rest
from tests.conftest import save_exported

WHOLE = (*range(1, 301), -3, -49, 1_000_000)
FRACTIONS = (0.1, 0.7, 2.5, 1e-3)  # torch truncates their quotients rounded to float32
FLOOR: dict[str, Any] = {"rounding_mode": "floor"}
TRUNC: dict[str, Any] = {"rounding_mode": "trunc"}


class Chains:
    """What a row asks of a graph builder, with the function that it adds."""

    constants: dict[str, Any] = {}  # noqa: RUF012

    def shape(self, x: str) -> tuple[int, ...]:
        return ()

    def add(self, op: str, x: str, chain: Any) -> str:
        self.chain = chain
        return x


def chain_of(
    row: Callable[[Any, Arguments, Any], Any], more: dict[str, Any], divisor: float
) -> Any:
    builder = Chains()
    row(builder, {"self": "x", "other": divisor, **more}, ())
    return builder.chain


@pytest.mark.parametrize(
    ("row", "more", "oracle"),
    [
        (div, FLOOR, torch.floor_divide),
        (div, TRUNC, lambda x, d: torch.div(x, d, rounding_mode="trunc")),
        (rest("floor"), {}, torch.remainder),
        (rest("trunc"), {}, torch.fmod),
    ],
    ids=["floor", "trunc", "remainder", "fmod"],
)
def test_all_divisors_at_multiples_and_beside_them(
    row: Callable[[Any, Arguments, Any], Any], more: dict[str, Any], oracle: Any
) -> None:
    factors = np.arange(-40, 41, dtype=np.float32)
    for divisor in (*WHOLE, *(FRACTIONS if more != TRUNC else ())):
        exact = factors * np.float32(divisor)
        x = np.concatenate([exact, exact + np.float32(0.25), exact - np.float32(0.25)])
        found = evaluate(chain_of(row, more, divisor), x)
        wanted = oracle(torch.from_numpy(x), torch.tensor(divisor)).numpy()
        np.testing.assert_array_equal(found, wanted, err_msg=str(divisor))


def test_a_divisor_that_float32_has_as_0() -> None:
    with pytest.raises(Unsupported, match="division by zero"):
        chain_of(div, FLOOR, 1e-60)


class Network(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x // 49, x // -103, torch.div(x, 98, rounding_mode="trunc"), x % 107], 1)


def test_exported_networks_have_torch_s_values(tmp_path: Path) -> None:
    x = torch.tensor([[49.0, 98.0, 196.0, -49.0, 103.0, -206.0, 107.0, 214.0, 5.5]])
    graph = load_model(save_exported(Network(), (x,), tmp_path / "m.pt2")).imported
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    assert np.array_equal(found, Network()(x).numpy())
