# SPDX-License-Identifier: Apache-2.0
"""Weights of few bits: equal integers on host and simulated chip, fewer bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported

SHAPE = (1, 20, 9, 10)


def convolutions() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(20, 40, 3, padding=1),
        nn.Conv2d(40, 40, 3, padding=1, groups=40),
        nn.Conv2d(40, 37, 1),
    )


def built(
    folder: Path,
    bits: int,
    network: nn.Module,
    shape: tuple[int, ...],
    activations: int = 8,
    **options: str,
) -> myoedge.Build:
    model = save_exported(network.eval(), (torch.zeros(shape),), folder / "model.pt2")
    config = folder / "myoedge.toml"
    widths = f"weights = {bits}, activations = {activations}"
    config.write_text(f'[quant]\n"*" = {{ {widths} }}\n')
    calib = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    return myoedge.build(
        model,
        target="gap9",
        calib=calib,
        config=config,
        output=folder / "built",
        simulate=False,
        **options,
    )


def planes_bytes(bits: int) -> int:
    """Of 3x3 filters of 32 of 20 inputs, of 48 of 40 single channels, of 48 of 40 inputs."""
    return (40 * 32 * 9 + 48 * 9 + 37 * 48) * bits // 8


def test_as_many_bit_planes_as_bits(tmp_path: Path) -> None:
    made = built(tmp_path, 5, convolutions(), SHAPE, engine="ne16")
    layers = [row for row in made.report["layers"] if row["weight_bits"]]
    assert [(row["engine"], row["weight_bits"]) for row in layers] == [("ne16", 5)] * 3
    numbers_bytes = (40 + 40 + 37) * 7  # biases, shifts, multipliers of one or two bytes
    stored = sum(row["weights_bytes"] for row in layers)
    assert planes_bytes(5) < stored <= planes_bytes(5) + numbers_bytes + 12
    checked = myoedge.validate(made, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("kind", "bits", "gates"), [(nn.LSTM, 3, 4), (nn.GRU, 4, 3)])
def test_recurrent_steps_read_as_many_planes_as_bits(
    tmp_path: Path, kind: type[nn.RNNBase], bits: int, gates: int
) -> None:
    """Of gates whole, of steps the engine's units; those of the cores have 4 bits."""
    units, inputs = 40, 24
    torch.manual_seed(0)
    made = built(tmp_path, bits, kind(inputs, units), (6, 1, inputs), engine="ne16")
    first, steps, *_ = (row for row in made.report["layers"] if row["weight_bits"])
    assert (first["engine"], steps["engine"]) == ("ne16", "ne16")
    assert first["weights_bytes"] == gates * units * (32 * bits // 8 + 16)
    plan = json.loads((made.folder / "plan.json").read_text())
    (sizes,) = [
        {row["operand"]: row["size_bytes"] for row in step["tiles"]["buffers"]}
        for step in plan["steps"]
        if step["tiles"]["kernel"] == f"me_ne16_{kind.__name__.lower()}_s8"
    ]
    of_engine = sizes["planes"] // (gates * 48 * bits // 8)
    assert 0 < of_engine < units
    assert sizes["weights"] == gates * (units - of_engine) * 40 // 2
    checked = myoedge.validate(made, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(
    ("kind", "units", "bits"), [(nn.GRU, 100, 4), (nn.GRU, 100, 2), (nn.RNN, 140, 4)]
)
def test_streamed_recurrent_weights_of_any_number_of_units_have_few_bits(
    tmp_path: Path, kind: type[nn.RNNBase], units: int, bits: int
) -> None:
    """Rows of 25 and 35 words, of which those of a unit would not fill the words that are stored:
    units that come in every step have few bits, those that stay in L1 have 8."""
    torch.manual_seed(0)
    made = built(tmp_path, bits, kind(24, units), (4, 1, 24), engine="cores", l1="28KiB")
    _, row = (row for row in made.report["layers"] if row["weight_bits"])
    plan = json.loads((made.folder / "plan.json").read_text())
    (sizes,) = [
        {buffer["operand"]: buffer["size_bytes"] for buffer in step["tiles"]["buffers"]}
        for step in plan["steps"]
        if step["tiles"]["kernel"] == f"me_{kind.__name__.lower()}_streamed_s8"
    ]
    gates, columns = 3 if kind is nn.GRU else 1, 32 // bits
    of_unit = gates * (units + -units % columns)
    stay = sizes.get("resident_weights", 0) // of_unit
    weights_bytes = (units - stay) * of_unit * bits // 8 + stay * of_unit
    numbers_bytes, tables_bytes = 16 * gates * units, 2 * 2 * 513
    assert stay < units
    assert 0 < row["weights_bytes"] - weights_bytes <= numbers_bytes + tables_bytes
    checked = myoedge.validate(made, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


class Steps(nn.Module):
    """A linear layer of nine cores, one of 3 rows, an LSTM whose weights come in every step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide, self.narrow = nn.Linear(96, 60), nn.Linear(60, 31)
        self.steps = nn.LSTM(31, 72)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.narrow(self.wide(x).relu().reshape(1, 3, 16, 60).mean(2))
        return self.steps(rows.permute(1, 0, 2))[0]


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("bits", "stored_bits", "activations", "sizes"), [
    (3, 4, 8, {}),
    (2, 2, 8, {"l1": "30KiB", "l2": "100KiB"}),
    (8, 8, 16, {}),
    (8, 8, 16, {"l1": "30KiB", "l2": "128KiB"}),
    (3, 4, 16, {"l1": "30KiB", "l2": "112KiB"}),
])  # fmt: skip
def test_cores_unpack_weights(
    tmp_path: Path, bits: int, stored_bits: int, activations: int, sizes: dict[str, str]
) -> None:
    """Also of layers in many tiles, beside 16 bits, and with weights from L3."""
    made = built(tmp_path, bits, Steps(), (1, 48, 96), activations, engine="cores", **sizes)
    sizes_bytes = [row["weights_bytes"] for row in made.report["layers"] if row["op"] == "linear"]
    # the first linear layer: 60 rows of 96; 16 bytes a channel
    assert sizes_bytes[0] == 60 * 96 * stored_bits // 8 + 60 * 16
    checked = myoedge.validate(made, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
