# SPDX-License-Identifier: Apache-2.0
"""Bits of recurrent weights in report.json: those of their bytes in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.numerics.arrays import Array
from tests.conftest import save_exported
from tests.support.stored_weights import WEIGHTS, plan_of

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1}


class Recurrent(nn.Module):
    def __init__(self, op: str, units: int) -> None:
        super().__init__()
        kinds: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}
        self.cells = kinds[op](4, units, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.cells(x)[0]


CASES = [
    *[("gru", 48, bits, "cores", wanted) for bits, wanted in ((2, [2]), (3, [4]), (5, [8]))],
    *[("gru", 256, bits, "cores", wanted) for bits, wanted in ((2, [2, 8]), (4, [4, 8]), (6, [8]))],
    *[("lstm", 48, bits, "ne16", wanted) for bits, wanted in ((4, [4]), (8, [8]))],
    *[("lstm", 48, 16, "cores", [16]), ("rnn_tanh", 384, 4, "cores", [4, 8])],
]


@pytest.mark.parametrize(("op", "units", "bits", "engine", "wanted"), CASES)
def test_the_bytes_of_recurrent_weights_are_those_of_the_stated_bits(
    op: str, units: int, bits: int, engine: str, wanted: list[int], tmp_path: Any
) -> None:
    """Of several, so many whole units have the one as leave whole units for the other."""
    torch.manual_seed(0)
    x = torch.zeros(1, 12, 4)
    model = save_exported(Recurrent(op, units).eval(), (x,), tmp_path / "m.pt2")
    calib: Array = np.random.default_rng(0).standard_normal((2, *x.shape), np.float32)
    rule = f"weights = {bits}{', activations = 16' * (bits == 16)}"
    (tmp_path / "my.toml").write_text(f'[quant]\n"*" = {{ {rule} }}\n')
    options: dict[str, Any] = {"config": tmp_path / "my.toml", "engine": engine, "simulate": False}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", **options)
    (row,) = (row for row in build.report["layers"] if row["op"] == op)
    assert (row["weight_bits"], row["weight_stored_bits"]) == (bits, wanted)
    plan = plan_of(build)
    (index,) = (i for i, step in enumerate(plan.steps) if step.node.op == op)
    stored = {name: x for name, x in plan.stored(index).items() if "table" not in name}
    size_bits = 8 * sum(
        array.nbytes for name, array in stored.items() if WEIGHTS.search(name) is not None
    )
    of_unit = GATES[op] * units
    if len(wanted) == 1:
        assert size_bits == of_unit * units * wanted[0]
    else:
        few, many = wanted
        of_many, rest = divmod(size_bits - of_unit * units * few, of_unit * (many - few))
        assert rest == 0
        assert 0 < of_many < units
    csv = (tmp_path / "out" / "layers.csv").read_text().splitlines()
    column = csv[0].split(",").index("weight_stored_bits")
    assert " ".join(map(str, wanted)) in {line.split(",")[column] for line in csv}
