# SPDX-License-Identifier: Apache-2.0
"""Layers on NE16: equal integers on the host and on the simulated chip, whatever their shape."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported, thinned
from tests.e2e.test_on_chip import has_gvsoc

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "3x3 with a table behind it": (
        nn.Sequential(nn.Conv2d(17, 37, 3, padding=1), nn.GELU()),
        (1, 17, 13, 14),
    ),
    "depthwise": (nn.Conv2d(120, 120, 3, padding=1, groups=120), (1, 120, 5, 7)),
    "depthwise without padding": (
        nn.Sequential(nn.Conv2d(192, 192, 3, groups=192), nn.GELU()),
        (1, 192, 6, 5),
    ),
    "depthwise filters of a row": (
        nn.Sequential(nn.Conv1d(45, 45, 9, padding=4, groups=45), nn.GELU()),
        (1, 45, 250),
    ),
    "depthwise filters of two taps": (nn.Conv1d(64, 64, 2, groups=64), (1, 64, 51)),
    "groups one after another": (
        nn.Sequential(nn.Conv1d(96, 96, 3, padding=1, groups=3), nn.GELU()),
        (1, 96, 200),
    ),
    "groups that are merged": (nn.Conv1d(48, 80, 5, padding=1, groups=16), (1, 48, 80)),
    "two results of each input": (nn.Conv2d(48, 96, 3, padding=1, groups=48), (1, 48, 9, 13)),
    "columns of each input": (nn.Conv2d(12, 24, (11, 1), groups=12), (1, 12, 11, 70)),
    "filters down a column": (nn.Conv2d(24, 24, (5, 1), groups=24), (1, 24, 50, 1)),
    "kernels down columns": (
        nn.Sequential(nn.Conv2d(12, 40, (21, 1), padding=(4, 0)), nn.GELU()),
        (1, 12, 61, 12),
    ),
    "every second column, with a table": (
        nn.Sequential(nn.Conv2d(14, 33, (19, 1), (2, 2), padding=(2, 0)), nn.GELU()),
        (1, 14, 71, 13),
    ),
    "windows of three channels": (nn.Conv2d(3, 24, 3, padding=1), (1, 3, 31, 20)),
    "two results of a row at a time": (nn.Conv2d(3, 8, 3, stride=2, padding=1), (1, 3, 26, 44)),
    "four results of a row at a time, with a table": (
        nn.Sequential(nn.Conv1d(4, 7, 5, padding=2), nn.GELU()),
        (1, 4, 244),
    ),
    "windows of pieces": (nn.Conv2d(12, 65, 3, padding=2, dilation=2), (1, 12, 11, 17)),
    "windows of pieces, those over an edge by themselves": (
        nn.Conv2d(96, 65, 3, padding=2, dilation=2),
        (1, 96, 20, 24),
    ),
    "windows of more rows than there are in a row of results": (
        nn.Conv2d(3, 21, (7, 5), stride=2, padding=(3, 1)),
        (1, 3, 31, 9),
    ),
    "windows without padding": (nn.Conv2d(4, 64, 5, stride=5), (1, 4, 30, 45)),
    "eight windows": (nn.Conv2d(64, 130, 3, stride=2, padding=1), (1, 64, 8, 4)),
    "eight windows with a table behind them": (
        nn.Sequential(nn.Conv2d(64, 40, 3, stride=2, padding=1), nn.GELU()),
        (1, 64, 7, 4),
    ),
    "single pixels of every second row": (nn.Conv2d(32, 96, 1, stride=2), (1, 32, 16, 17)),
    "windows that are copied": (nn.Conv2d(16, 70, 3, stride=2, padding=1), (1, 16, 19, 23)),
    "multipliers of six bits": (nn.Conv2d(480, 9, 3, padding=1), (1, 480, 4, 4)),
    "overlapping pixels": (nn.Conv1d(20, 33, 9, padding=4), (1, 20, 61)),
    "overlapping pixels of an image": (nn.Conv2d(20, 40, (1, 5), padding=(0, 2)), (1, 20, 11, 17)),
    "taps of three jobs that lie between each other": (
        nn.Sequential(nn.Conv1d(40, 37, 25, padding=12), nn.GELU()),
        (1, 40, 50),
    ),
    "one result of each of two jobs": (nn.Conv1d(24, 17, 18), (1, 24, 19)),
    "every second position of a row": (nn.Conv1d(32, 33, 18, stride=2), (1, 32, 93)),
    "dilated taps of a row": (nn.Conv1d(64, 16, 7, padding=6, dilation=2), (1, 64, 201)),
    "dilated taps of two channels, with 0 between them": (
        nn.Conv1d(4, 8, 5, padding=16, dilation=8),
        (1, 4, 500),
    ),
    "dilated filters": (
        nn.Sequential(nn.Conv2d(32, 64, 3, padding=2, dilation=(2, 3)), nn.GELU()),
        (1, 32, 17, 19),
    ),
    "dilated filters of each channel": (
        nn.Sequential(nn.Conv2d(40, 40, 3, padding=2, dilation=2, groups=40), nn.GELU()),
        (1, 40, 21, 24),
    ),
    "dilated taps of each channel": (nn.Conv1d(45, 45, 5, dilation=4, groups=45), (1, 45, 83)),
    "a row that two jobs compute": (nn.Sequential(nn.Linear(64, 96), nn.GELU()), (80, 64)),
    "eight rows": (nn.Linear(509, 133), (8, 509)),
    "eight rows with a table behind them": (
        nn.Sequential(nn.Linear(512, 130), nn.GELU()),
        (8, 512),
    ),
    "rows in many tiles": (nn.Sequential(nn.Linear(96, 200), nn.GELU()), (151, 96)),
}


def built(
    network: nn.Module,
    shape: tuple[int, ...],
    folder: Path,
    l1: str | None = None,
    engine: str = "auto",
    config: str = "",
) -> myoedge.Build:
    model = save_exported(network.eval(), (torch.zeros(shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    (folder / "rules.toml").write_text(config)
    return myoedge.build(
        model,
        calib=calib,
        output=folder / "out",
        engine=engine,
        l1=l1,
        simulate=False,
        config=folder / "rules.toml",
    )


def engines(build: myoedge.Build) -> set[str]:
    return {row["engine"] for row in build.report["layers"] if row["macs"]}


def assert_exact(build: myoedge.Build) -> None:
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


@pytest.mark.parametrize("name", thinned(LAYERS))
def test_every_way_to_run_a_layer_is_exact(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(*LAYERS[name], tmp_path, engine="ne16")
    assert engines(build) == {"ne16"}
    assert_exact(build)


POINTWISE = 64  # of the mode in me_ne16.h
IN_PHASES = (
    "depthwise filters of a row",
    "taps of three jobs that lie between each other",
    "one result of each of two jobs",
    "every second position of a row",
    "dilated taps of a row",
    "dilated filters",
    "dilated filters of each channel",
    "dilated taps of each channel",
)


@pytest.mark.parametrize("name", thinned(IN_PHASES))
def test_jobs_step_over_positions(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(*LAYERS[name], tmp_path, "24KiB", engine="ne16")
    text = (build.folder / "src" / "network.c").read_text()
    assert any(not int(word, 16) & POINTWISE for word in re.findall(r"\.config = (0x\w+)", text))
    assert_exact(build)


@pytest.mark.parametrize("l1", thinned(["24KiB", "40KiB"]))
@pytest.mark.parametrize(
    "name", ["kernels down columns", "every second column, with a table", "groups that are merged"]
)
def test_small_tiles_of_columns_and_groups_are_exact(name: str, l1: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert_exact(built(*LAYERS[name], tmp_path, l1, engine="ne16"))


MANY_PRODUCTS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "rows of taps of an image": (
        nn.Sequential(nn.Conv2d(96, 40, 5, padding=2), nn.GELU()),
        (1, 96, 7, 8),
    ),
    "taps that lie apart": (nn.Conv2d(400, 33, 3, 2, padding=2, dilation=2), (1, 400, 9, 17)),
    "a row, of which every second position": (nn.Conv1d(72, 37, 64, stride=2), (1, 72, 127)),
    "rows of a linear layer": (nn.Sequential(nn.Linear(5001, 50), nn.GELU()), (10, 5001)),
}


@pytest.mark.parametrize("l1", thinned(["64KiB", None]))
@pytest.mark.parametrize("name", MANY_PRODUCTS)
def test_sums_of_many_products_are_added_up_part_by_part(
    name: str, l1: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    build = built(*MANY_PRODUCTS[name], tmp_path, l1, engine="ne16")
    assert "me_ne16_requantise" in (build.folder / "src" / "network.c").read_text()
    assert_exact(build)


def test_sums_of_a_last_block_with_fewer_channels_wait_for_those_before(tmp_path: Path) -> None:
    """They lie in other places: the first job may not start before all sums are requantised."""
    torch.manual_seed(80)
    network = nn.Sequential(nn.Conv1d(63, 51, 19, 2, padding=6), nn.GELU())
    assert_exact(built(network, (1, 63, 40), tmp_path, "24KiB", "ne16"))


def test_the_ninth_window_of_eight_lies_in_scratch(tmp_path: Path) -> None:
    """The engine reads it, and may not read beyond the end of L1."""
    build = built(nn.Conv2d(64, 3, 3, stride=2, padding=1), (1, 64, 8, 4), tmp_path, engine="ne16")
    plan = json.loads((build.folder / "plan.json").read_text())
    (tiles,) = (step["tiles"] for step in plan["steps"] if step["op"] == "conv")
    assert tiles["kernel"] == "me_ne16_jobs"
    (scratch,) = (buffer for buffer in tiles["buffers"] if buffer["operand"] == "scratch")
    assert scratch["size_bytes"] >= 9 * 3 * 3 * 64


def test_results_in_tiles_of_channels_stay_in_l1(tmp_path: Path) -> None:
    """Tiles write their channels between those of others; weights of each layer's first tile come
    while the layer before computes."""
    torch.manual_seed(0)
    channels, strides = (64, 64, 128, 128, 128), (2, 1, 1, 2)
    convs = (
        nn.Conv2d(c, k, 3, stride, padding=1)
        for c, k, stride in zip(channels, channels[1:], strides, strict=False)
    )
    network = nn.Sequential(*(nn.Sequential(conv, nn.ReLU()) for conv in convs))
    build = built(network, (1, 64, 16, 8), tmp_path)
    plan = json.loads((build.folder / "plan.json").read_text())
    tiles = [step["tiles"] for step in plan["steps"] if step["op"] == "conv"]
    assert [found["count"] > 1 for found in tiles] == [False, True, True, True]
    assert all("y" in found["kept_in_l1"] for found in tiles[:-1])
    assert all(found["fetched_since_tile"] is not None for found in tiles[1:])
    assert_exact(build)


class TwoJobsATile(nn.Module):
    """Weights of another output fill L1; so the linear layer has two tiles of two jobs each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other = nn.Conv2d(1, 16, 1), nn.Conv2d(16, 256, (9, 1))
        self.linear = nn.Linear(144, 608)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.first(x)
        return self.other(x).mean((2, 3)), self.linear(x.permute(0, 3, 2, 1).flatten(2))


def test_operands_of_the_next_tile_wait_for_the_first_of_two_jobs(tmp_path: Path) -> None:
    """The cores prepare them in its place, while the second job runs."""
    torch.manual_seed(0)
    build = built(TwoJobsATile(), (1, 1, 9, 32), tmp_path)
    plan = json.loads((build.folder / "plan.json").read_text())
    assert plan["steps"][-1]["tiles"]["count"] > 1
    assert_exact(build)


@pytest.mark.parametrize(("width", "rows"), thinned([(65, 90), (67, 120)]))
def test_a_word_of_two_jobs_is_not_the_next_tiles_yet(
    width: int, rows: int, tmp_path: Path
) -> None:
    """Nine rows of 65 bytes end inside a word, whose other bytes are the next job's."""
    torch.manual_seed(0)
    assert_exact(built(nn.Linear(width, width), (1, rows, width), tmp_path, "24KiB", "ne16"))


@pytest.mark.skipif(bool(has_gvsoc(["layer"])), reason="GVSoC with NE16 is not here: GVSOC_HOME")
@pytest.mark.parametrize("name", LAYERS)
def test_gvsoc_agrees_to_the_bit_and_within_half_a_percent(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(*LAYERS[name], tmp_path)
    judged = myoedge.simulate(build, on="gvsoc")
    ours = myoedge.simulate(build, like="public-gvsoc")
    assert judged.exact
    cycles = [ran.report["cycles"]["total"] for ran in (ours, judged)]
    assert cycles[0] == pytest.approx(cycles[1], rel=0.005)


@pytest.mark.parametrize(
    ("name", "l1"),
    [
        ("lstm", None),
        ("gru", "24KiB"),
        *(
            pytest.param(name, l1, marks=pytest.mark.slow)
            for name, l1 in (("lstm", "24KiB"), ("lstm", "40KiB"), ("gru", None), ("gru", "40KiB"))
        ),
    ],
)
def test_gates_are_sums_of_the_engine_that_the_cores_requantise(
    name: str, l1: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = {"lstm": nn.LSTM(72, 30, bidirectional=True), "gru": nn.GRU(85, 37)}[name]
    build = built(network, (62, 1, network.input_size), tmp_path, l1, "ne16")
    assert {row["engine"] for row in build.report["layers"] if row["op"] == "gates"} == {"ne16"}
    assert_exact(build)


@pytest.mark.slow
def test_gates_of_many_inputs_turn_them_in_their_place(tmp_path: Path) -> None:
    """Both directions read x, which is int8 again behind the first."""
    torch.manual_seed(0)
    build = built(nn.LSTM(600, 40, bidirectional=True), (59, 1, 600), tmp_path, "80KiB")
    assert (build.folder / "src" / "network.c").read_text().count("restores_of_tile[]") > 1
    assert_exact(build)


@pytest.mark.parametrize(
    ("kind", "units", "l1", "reverse"),
    [
        (nn.LSTM, 84, None, True),
        (nn.GRU, 85, None, True),
        pytest.param(nn.LSTM, 12, None, False, marks=pytest.mark.slow),
        pytest.param(nn.LSTM, 150, None, False, marks=pytest.mark.slow),
        pytest.param(nn.LSTM, 84, "62KiB", False, marks=pytest.mark.slow),
        pytest.param(nn.GRU, 9, None, False, marks=pytest.mark.slow),
        pytest.param(nn.GRU, 150, None, False, marks=pytest.mark.slow),
        pytest.param(nn.GRU, 84, "48KiB", False, marks=pytest.mark.slow),
    ],
)
def test_steps_are_shared_with_the_cores(
    kind: type[nn.RNNBase], units: int, l1: str | None, reverse: bool, tmp_path: Path
) -> None:
    """Units that fill no word of 16 inputs; steps backwards; tiles of a few steps."""
    torch.manual_seed(0)
    network = kind(16, units, bidirectional=reverse)  # type: ignore[call-arg, arg-type]
    build = built(network, (21, 1, 16), tmp_path, l1, "ne16")
    steps = [row for row in build.report["layers"] if row["op"] in ("lstm", "gru")]
    assert {row["engine"] for row in steps} == {"ne16"}
    assert_exact(build)


class CausalSteps(nn.Module):
    """Depthwise filters of past frames, a GRU over them, and a head for each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(32, 32, 5, groups=32)
        self.steps, self.head = nn.GRU(32, 40, batch_first=True), nn.Linear(40, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.filters(nn.functional.pad(x, (4, 0))).relu()
        return self.head(self.steps(x.transpose(1, 2))[0])  # type: ignore[no-any-return]


def test_a_stream_of_a_gru_keeps_its_state_on_the_cores(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = (1, 32, 48)
    model = save_exported(CausalSteps().eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    config = tmp_path / "myoedge.toml"
    config.write_text("[stream]\nframes = 12\n")
    build = myoedge.build(
        *(model,), calib=calib, output=tmp_path / "out", engine="ne16", stream=True,
        config=config, simulate=False,
    )  # fmt: skip
    found = {row["op"]: row["engine"] for row in build.report["layers"] if row["macs"]}
    assert (found["conv"], found["gru"], found["gru_state"]) == ("ne16", "ne16", "cluster")
    assert_exact(build)


class Attention(nn.Module):
    """Of x to itself; `biased`: with what is added to scores, for a third of the keys -inf."""

    def __init__(self, tokens: int, heads: int, width: int, *, biased: bool) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        bias = torch.randn(heads, tokens, tokens, generator=torch.Generator().manual_seed(0))
        kept = torch.eye(tokens, dtype=torch.bool) | (bias[:1] > -0.4)
        self.register_buffer("bias", bias.masked_fill(~kept, -torch.inf) if biased else None)
        self.qkv = nn.Linear(heads * width, 3 * heads * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.qkv(x).unflatten(-1, (3, self.heads, self.width)).transpose(1, 3)
        q, k, v = parts.unbind(2)
        y = nn.functional.scaled_dot_product_attention(q, k, v, self.bias)
        return y.transpose(1, 2).flatten(2)


RESIDENT, IN_PARTS = "me_ne16_attention_resident_s8", "me_ne16_attention_s8"


@pytest.mark.parametrize(
    ("tokens", "heads", "width", "biased", "l1", "kernel"),
    [
        pytest.param(98, 2, 20, True, None, RESIDENT, marks=pytest.mark.slow),
        (61, 2, 20, True, "19KiB", IN_PARTS),
        (150, 1, 40, False, "30KiB", IN_PARTS),
        pytest.param(150, 1, 40, False, None, RESIDENT, marks=pytest.mark.slow),
        (131, 2, 20, True, None, RESIDENT),
    ],
)
def test_products_of_attention_are_exact(
    tokens: int, heads: int, width: int, biased: bool, l1: str | None, kernel: str, tmp_path: Path
) -> None:
    """Heads whose bit planes stay in L1, and keys and values in parts: the engine adds to sums."""
    torch.manual_seed(0)
    network = Attention(tokens, heads, width, biased=biased)
    build = built(network, (1, tokens, heads * width), tmp_path, l1, "ne16")
    assert {row["engine"] for row in build.report["layers"] if row["op"] == "attention"} == {"ne16"}
    tiles = _tiles_of_attention(build)
    assert tiles["kernel"] == kernel
    if kernel == IN_PARTS:
        assert tiles["sizes"]["keys"] < 2 * -(-tokens // 4)
    assert_exact(build)


def _tiles_of_attention(build: myoedge.Build) -> dict[str, Any]:
    steps = json.loads((build.folder / "plan.json").read_text())["steps"]
    (tiles,) = (step["tiles"] for step in steps if step["op"] == "attention")
    return dict(tiles)


class CrossAttention(nn.Module):
    """Of learned queries to x, of two batches."""

    def __init__(self, queries: int, width: int, out_width: int) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.randn(1, queries, width))
        self.k, self.v = nn.Linear(24, width), nn.Linear(24, out_width)
        self.x_to_q = nn.Linear(24, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.q + self.x_to_q(x[:, :1])
        return nn.functional.scaled_dot_product_attention(q, self.k(x), self.v(x))


@pytest.mark.parametrize(
    ("queries", "keys", "width", "out_width"),
    thinned([(64, 133, 32, 24), (100, 37, 18, 9), (9, 16, 16, 16)]),
)
def test_attention_to_another_number_of_keys_is_exact(
    queries: int, keys: int, width: int, out_width: int, tmp_path: Path
) -> None:
    """Rows that fill no part, keys that end within a word, heads that zeros fill."""
    torch.manual_seed(0)
    network = CrossAttention(queries, width, out_width)
    build = built(network, (2, keys, 24), tmp_path, engine="ne16")
    assert _tiles_of_attention(build)["kernel"] == RESIDENT
    assert_exact(build)


def test_the_cores_alone_have_no_driver_of_the_engine(tmp_path: Path) -> None:
    network, shape = LAYERS["overlapping pixels"]
    model = save_exported(network.eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    build = myoedge.build(
        model, calib=calib, output=tmp_path / "out", engine="cores", simulate=False
    )
    assert "ne16" not in engines(build)
    texts = (path.read_text() for path in (build.folder / "src").rglob("*.[chS]"))
    assert not any("ne16" in text for text in texts)


def test_an_engine_that_no_chip_has(tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as error:
        myoedge.build(tmp_path / "model.pt2", engine="gpu")
    assert error.value.code == "E204"
