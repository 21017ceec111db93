# SPDX-License-Identifier: Apache-2.0
"""Networks whose inputs are ids and truth values, exact on the host and the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import myoedge
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported
from tests.support.networks.layers import Function

TOKENS, VOCABULARY, WIDTH = 24, 3000, 48  # the table, 140 KiB, does not fit L1


class Encoder(nn.Module):
    """A block of a transformer over the tokens that are none of padding and that a mask keeps."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.kinds, self.places = nn.Embedding(3, width), nn.Embedding(TOKENS, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, 5)
        self.norm = nn.LayerNorm(width)
        self.register_buffer("at", torch.arange(TOKENS))

    def forward(self, ids: Tensor, kinds: Tensor, kept: Tensor) -> Tensor:
        x = self.words(ids) * 2.0 + self.kinds(kinds.long()) + self.places(self.at)
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        seen = kept & (ids != 0)
        x = x + F.scaled_dot_product_attention(q, k, v, seen[:, None, :])
        mean = (x * seen.unsqueeze(-1)).sum(1) / TOKENS
        return self.out(torch.where(mean > 0.01, mean, mean * 0.1))


def samples(vocabulary: int, count: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (count, 1, TOKENS)
    kept = np.arange(TOKENS) < rng.integers(4, TOKENS + 1, (count, 1, 1))
    ids = rng.integers(1, vocabulary, shape) * kept
    return {"ids": ids, "kinds": rng.integers(0, 3, shape).astype(np.uint8), "kept": kept}


def report_of(
    model: nn.Module, given: dict[str, np.ndarray], folder: Path, l2: str | None = None
) -> dict[str, Any]:
    """The report of a build that is exact on the host and the simulator."""
    inputs = tuple(torch.from_numpy(x[0]) for x in given.values())
    path = save_exported(model.eval(), inputs, folder / "model.pt2")
    build = myoedge.build(path, calib=given, output=folder / "out", l2=l2)
    found = myoedge.validate(build, on=("host", "simulator"), input=given, onnx=True)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    assert found.onnx_db is not None
    assert found.onnx_db > 30.0
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


def test_an_encoder_of_ids_and_masks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    report = report_of(Encoder(VOCABULARY, WIDTH), samples(VOCABULARY), tmp_path)
    assert report["quantization"]["sqnr_db"] > 25.0
    header = (tmp_path / "out" / "src" / "model.h").read_text()
    assert f"in[0]: ids, int32_t[1][{TOKENS}], integers 0 to {VOCABULARY - 1}" in header
    assert f"in[1]: kinds, uint8_t[1][{TOKENS}], integers 0 to 2" in header
    assert f"in[2]: kept, uint8_t[1][{TOKENS}], integers 0 to 1" in header


@pytest.mark.parametrize("width", [48, 50])
def test_rows_come_from_l3_where_l2_is_too_small_for_the_table(width: int, tmp_path: Path) -> None:
    """Beside other weights that are transferred as planned; rows of 50 bytes begin within words."""
    torch.manual_seed(0)
    model = Encoder(VOCABULARY, width)
    report = report_of(model, samples(VOCABULARY), tmp_path, "10KiB")
    words = next(layer for layer in report["layers"] if layer["label"].startswith("words"))
    assert words["weights_in"] == "L3"
    assert words["l3_moved_bytes"] == TOKENS * width
    assert report["memory"]["l3_weights_bytes"] > VOCABULARY * (width + width % 4)
    assert report["memory"]["l2_peak_bytes"] <= 10 * 1024


class Tokens(nn.Module):
    """A causal convolution over tokens that come one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.conv = nn.Embedding(40, 16), nn.Conv1d(16, 8, 3)

    def forward(self, ids: Tensor, kept: Tensor) -> Tensor:
        x = (self.words(ids) * kept.unsqueeze(-1)).transpose(1, 2)
        return self.conv(F.pad(x, (2, 0))).relu().transpose(1, 2)


def test_ids_are_pushed_into_a_stream(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    given = {"ids": rng.integers(0, 40, (8, 1, 20)), "kept": rng.random((8, 1, 20)) > 0.2}
    inputs = tuple(torch.from_numpy(x[0]) for x in given.values())
    path = save_exported(Tokens().eval(), inputs, tmp_path / "model.pt2")
    build = myoedge.build(path, calib=given, output=tmp_path / "out", stream=True)
    found = myoedge.validate(build, on=("host", "simulator"), input=given)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    build.reset()
    ids, kept = (x[0][0] for x in given.values())
    rows = np.concatenate([build.push(ids[t], kept[t]) for t in range(20)])
    wanted = torch.export.load(path).module()(*inputs).detach().numpy()[0]
    np.testing.assert_allclose(rows.reshape(20, 8), wanted, atol=0.05 * np.abs(wanted).max())
    with pytest.raises(MyoedgeError) as caught:
        build.push(40, True)
    assert caught.value.code == "E229"


@pytest.mark.parametrize(("rows", "ops"), [(30, ["add"]), (1000, ["embedding", "add"])])
def test_a_small_table_is_read_in_the_loop_of_a_sum(
    rows: int, ops: list[str], tmp_path: Path
) -> None:
    """A large one is read where it is, in L2."""
    torch.manual_seed(0)
    layer = Function(lambda ids: layer.words(ids) + layer.places)  # type: ignore[operator]
    layer.words, layer.places = nn.Embedding(rows, 24), nn.Parameter(torch.randn(20, 24))
    given = {"ids": np.random.default_rng(0).integers(0, rows, (4, 20))}
    report = report_of(layer, given, tmp_path)
    assert [x["op"] for x in report["layers"]] == ops
