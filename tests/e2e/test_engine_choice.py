# SPDX-License-Identifier: Apache-2.0
"""Engines of layers as --engine and [engine] say: where they run, why not elsewhere, refusals."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

import myoedge
from myoedge.building import precision
from myoedge.errors import MyoedgeError
from myoedge.quantization.search import search
from myoedge.reports.text import print_report
from tests.conftest import save_exported
from tests.unit.test_gvsoc import stand_in

SHAPE = (1, 16, 12, 12)


class Gram(nn.Module):
    """Products of channels, of a number of pixels that NE16 has no bit planes for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(2)[..., :142]
        return rows @ rows.transpose(1, 2)


class Layers(nn.Module):
    """A layer that is faster on NE16, one that is slower there, and two that cannot run there."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(16, 64, 3, padding=1)
        self.gram = Gram()
        self.head = nn.Linear(64, 5)
        self.scores = nn.Softmax(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.gram(self.dense(x))
        return self.scores(self.head(x.mean(1)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("layers")
    return save_exported(Layers().eval(), (torch.zeros(SHAPE),), folder / "model.pt2")


def built(model: Path, folder: Path, table: str = "", **options: Any) -> myoedge.Build:
    calib = np.random.default_rng(0).standard_normal((4, *SHAPE)).astype(np.float32)
    config = folder / "my.toml"
    config.write_text(table)
    options = {"simulate": False, "target": "gap9", **options}
    return myoedge.build(model, calib=calib, output=folder / "out", config=config, **options)


def rows(build: myoedge.Build) -> dict[str, dict[str, Any]]:
    """Layers of the report by their first module path, of several the one with most products."""
    layers = sorted(build.report["layers"], key=lambda row: int(row["macs"]))
    return {row["origin"][0]["path"]: row for row in layers}


def on_ne16(build: myoedge.Build) -> set[str]:
    return {label for label, row in rows(build).items() if row["engine"] == "ne16"}


def test_auto_takes_the_faster_engine_and_says_why_not_the_other(
    model: Path, tmp_path: Path
) -> None:
    build = built(model, tmp_path, engine="auto")
    assert on_ne16(build) == {"dense"}
    reason = {label: row["other_engine"] for label, row in rows(build).items()}
    assert reason["gram"] == "ne16 needs a multiple of 4 products for a result, not 142"
    assert reason["scores"] == "ne16 has no kernel for softmax"
    for label, other in (("dense", "cores"), ("head", "ne16")):
        name, _, rest = reason[label].partition(": ")
        cycles, _, words = rest.partition(" ")
        assert (name, words) == (other, "estimated cycles more")
        assert int(cycles.replace(",", "")) > 0


def test_ne16_runs_what_it_can_whatever_the_estimate(model: Path, tmp_path: Path) -> None:
    build = built(model, tmp_path, engine="ne16")
    assert on_ne16(build) == {"dense", "head"}
    reason = rows(build)["head"]["other_engine"]
    assert reason.startswith("cores: ")
    assert reason.endswith(" estimated cycles fewer, but --engine ne16")
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_a_gvsoc_without_ne16_runs_no_build_with_layers_there(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GVSOC_HOME", str(stand_in(tmp_path / "gvsoc")))
    build = built(model, tmp_path, engine="auto")
    with pytest.raises(MyoedgeError) as error:
        build.run_on_gvsoc([])
    assert error.value.code == "E504"


def test_patterns_come_before_the_option(model: Path, tmp_path: Path) -> None:
    table = '[engine]\n"h*" = "auto"\n"head" = "ne16"\n"dense" = "cores"\n'
    build = built(model, tmp_path, table, engine="cores")
    assert on_ne16(build) == {"head"}
    assert rows(build)["dense"]["other_engine"] == '[engine] "dense" = "cores"'


class Products(nn.Module):
    """Products of the same rows, on which the cores spend more of the time than NE16."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(16, k) for k in (32, 32, 32, 64, 128, 256))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        rows = [part(x) for part in self.parts]
        return [y.tanh() if at % 2 else y for at, y in enumerate(rows)]


class Gate(nn.Module):
    """A gated sum of rows, which one loop of the cores computes faster than three layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.value = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.gate(x).sigmoid()
        return z * self.value(x).tanh() + (1 - z) * x


class Chains(nn.Module):
    """Chains of the cores: of elements, of differences in sums, and of sums by words."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        y = x[:, 1:] - x[:, :-1]
        return [(x * x + x) * x - (x * 0.5).tanh(), (y * y).mean(1), x.cumsum(1), x.mean(1)]


def simulated(
    made: Callable[[], nn.Module], rows: tuple[int, int], folder: Path, engine: str
) -> Any:
    """The report of a network with drawn weights, the same of every engine, on drawn rows."""
    torch.manual_seed(0)
    path = save_exported(made().eval(), (torch.zeros(1, *rows),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((8, 1, *rows)).astype(np.float32)
    options: dict[str, Any] = {"output": folder / engine, "engine": engine, "simulate": True}
    return myoedge.build(path, calib=calib, target="gap9", **options).report


def test_estimates_of_short_jobs_on_ne16_include_the_cores(tmp_path: Path) -> None:
    """The first layers load code, too: of jobs, and of tables."""
    layers = simulated(Products, (50, 16), tmp_path, "ne16")["layers"]
    assert {row["engine"] for row in layers} == {"ne16"}
    ratios = [row["cycles_modelled"] / row["cycles"] for row in layers[2:]]
    assert ratios == pytest.approx([1.0] * 4, abs=0.15)


@pytest.mark.parametrize("rows", [10, 16])
def test_few_rows_are_one_tile_of_ne16(rows: int, tmp_path: Path) -> None:
    """A second one would load more code than it saves transfers: 5,771 instead of 4,512 cycles."""

    def made() -> nn.Module:
        return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))

    layers = simulated(made, (rows, 32), tmp_path, "auto")["layers"]
    assert [(row["engine"], row["tiles"]) for row in layers] == [("ne16", 1)] * 2
    ratio = sum(row["cycles_modelled"] for row in layers) / sum(row["cycles"] for row in layers)
    assert ratio == pytest.approx(1.0, abs=0.1)


def test_estimates_of_chains_are_near_what_they_take(tmp_path: Path) -> None:
    layers = simulated(Chains, (200, 8), tmp_path, "cores")["layers"]
    ratios = [row["cycles_modelled"] / row["cycles"] for row in layers]
    assert ratios == pytest.approx([1.0] * len(layers), abs=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "width"), [(16, 16), (16, 24), (16, 32), (20, 32), (64, 16)])
def test_a_chain_on_the_cores_is_chosen_where_it_is_faster(
    rows: int, width: int, tmp_path: Path
) -> None:
    made = partial(Gate, width)
    cycles = {
        engine: simulated(made, (rows, width), tmp_path, engine)["cycles"]["total"]
        for engine in ("auto", "cores", "ne16")
    }
    assert cycles["auto"] <= min(cycles["cores"], cycles["ne16"])


Integers = list[dict[str, Any]]


def integers(build: myoedge.Build) -> Integers:
    return [{**s.integers.scalars, **s.integers.arrays} for s in build.network.steps]


def equal(a: Integers, b: Integers) -> list[bool]:
    """Of every layer, whether its integers are equal."""
    return [
        x.keys() == y.keys() and all(np.array_equal(x[k], y[k]) for k in x)
        for x, y in zip(a, b, strict=True)
    ]


def builds(model: Path, tmp_path: Path, **tables: str) -> list[myoedge.Build]:
    """The cores' build, and with --engine auto one for each [engine] table."""
    for name in ("cores", *tables):
        (tmp_path / name).mkdir()
    autos = (built(model, tmp_path / n, text, engine="auto") for n, text in tables.items())
    return [built(model, tmp_path / "cores", engine="cores"), *autos]


def test_layers_on_the_cores_have_the_integers_of_a_build_for_the_cores(
    model: Path, tmp_path: Path
) -> None:
    table = '[engine]\n"dense" = "cores"\n"head" = "cores"\n'
    cores, auto, kept = builds(model, tmp_path, auto="", kept=table)
    assert all(equal(integers(kept), integers(cores)))
    same = equal(integers(auto), integers(cores))
    steps = [s for s, is_same in zip(auto.network.steps, same, strict=True) if not is_same]
    assert [(s.node.op, s.node.origin[0].path) for s in steps] == [("conv", "dense")]
    assert on_ne16(auto) == {"dense"}


def test_a_network_that_misses_its_goal_may_have_the_cores_integers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where these win enough: here whatever they win. Not of layers that a person puts there."""
    assert on_ne16(built(model, tmp_path, engine="auto")) == {"dense"}, "the goal is met"
    (move,) = (stage["engine"] for stage in search.STAGES if "engine" in stage)
    monkeypatch.setattr(search, "STAGES", ({"engine": move},))
    monkeypatch.setattr(search, "LEAST_GAIN_DB", -300.0)
    monkeypatch.setattr(precision, "ACCURATE_DB", 300.0)
    monkeypatch.setattr(search._SearchLoop, "_helps_both_halves", lambda *_: True)
    table = "[calib]\naccurate = true\n"
    cores, auto = builds(model, tmp_path, auto=table)
    assert all(equal(integers(auto), integers(cores)))
    (tmp_path / "forced").mkdir()
    table = f'{table}[engine]\n"dense" = "ne16"\n'
    forced = built(model, tmp_path / "forced", table, engine="auto")
    assert on_ne16(forced) == {"dense"}


def test_reused_layers_keep_the_integers_that_they_have(model: Path, tmp_path: Path) -> None:
    """Whatever the other engine's cycles and what they cost the network's SQNR."""
    cores, auto = builds(model, tmp_path, auto="")
    assert not all(equal(integers(cores), integers(auto)))
    for name, older in (("again", cores), ("anew", auto)):
        (tmp_path / name).mkdir()
        build = built(model, tmp_path / name, engine="auto", reuse=older)
        assert all(equal(integers(build), integers(older)))
        assert not build.report["reused"]["requantised"]


def test_reused_layers_on_the_cores_keep_integers_for_ne16_and_ne16_requantises(
    model: Path, tmp_path: Path
) -> None:
    cores, auto = builds(model, tmp_path, auto="")
    for name, older in (("cores", auto), ("ne16", cores)):
        (tmp_path / f"again {name}").mkdir()
        build = built(model, tmp_path / f"again {name}", engine=name, reuse=older)
        kept = equal(integers(build), integers(older))
        labels = {
            s.node.origin[0].path for s, k in zip(build.network.steps, kept, strict=True) if not k
        }
        assert labels == (set() if name == "cores" else {"dense", "head"})
        reused = build.report["reused"]
        assert len(reused["kept"] + reused["requantised"]) == len(build.report["layers"])
        assert len(reused["requantised"]) == len(labels)
        checked = myoedge.validate(build, on=("host",))
        assert checked.exact["host"], checked.difference


@pytest.mark.parametrize(
    ("table", "options", "layer", "needs", "has"),
    [
        (
            '"gram" = "ne16"',
            {},
            "gram",
            "a multiple of 4 products for a result",
            "142",
        ),
        (
            '"scores" = "ne16"',
            {"engine": "cores"},
            "scores",
            "an operator with a kernel on ne16",
            "softmax",
        ),
        ('"dense" = "ne16"', {"target": "host"}, "dense", "a target with ne16", "host"),
    ],
)
def test_a_layer_that_cannot_run_where_it_is_forced_to(
    model: Path,
    tmp_path: Path,
    table: str,
    options: dict[str, Any],
    layer: str,
    needs: str,
    has: str,
) -> None:
    with pytest.raises(MyoedgeError) as error:
        built(model, tmp_path, f"[engine]\n{table}\n", **options)
    notice = error.value.notice
    assert (notice.code, error.value.exit_code) == ("E308", 3)
    assert layer in notice.title
    assert "test_engine_choice.py:" in notice.title
    facts = dict(notice.facts)
    assert (facts["asked"], facts["needs"], facts["has"]) == (f"[engine] {table}", needs, has)
    assert len(notice.tries) == 2
    assert not (tmp_path / "out").exists()


class OwnProducts(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x, x.transpose(1, 2))


def test_element_types_without_a_kernel_there_have_a_remedy_that_builds(tmp_path: Path) -> None:
    model = save_exported(OwnProducts().eval(), (torch.zeros(1, 16, 32),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).normal(size=(24, 16, 32)).astype(np.float32)
    config, engine = tmp_path / "myoedge.toml", '[engine]\n"*" = "ne16"\n'
    config.write_text(f'[quant]\n"*" = {{ activations = 16 }}\n{engine}')
    common = {"calib": calib, "config": config, "simulate": False}
    with pytest.raises(MyoedgeError) as error:
        myoedge.build(model, output=tmp_path / "wide", **common)
    assert dict(error.value.notice.facts)["has"] == "int16, int16 to int16"
    table, _, row = error.value.notice.tries[0].partition(" ")
    config.write_text(f"{table}\n{row}\n{engine}")
    built = myoedge.build(model, output=tmp_path / "narrow", **common)
    assert [x["engine"] for x in built.report["layers"] if x["op"] == "matmul"] == ["ne16"]


class Block(nn.Module):
    """Layers with and without a kernel on NE16; modules of several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.ff = nn.Linear(16, 16)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.lstm = nn.LSTM(16, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ff(self.norm(x))
        return self.lstm(self.gru(x)[0])[0]  # type: ignore[no-any-return]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x)  # type: ignore[no-any-return]


def test_a_pattern_forces_what_has_a_kernel_there_and_one_layer_of_a_path(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Encoder().eval()
    for weights in network.encoder.lstm.parameters():
        weights.data *= 3.0  # 30 dB without 16 bits, which NE16 lacks
    model = save_exported(network, (torch.zeros(1, 6, 16),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, 1, 6, 16)).astype(np.float32)
    (tmp_path / "my.toml").write_text('[engine]\n"encoder.*" = "ne16"\n')
    options: dict[str, Any] = {"target": "gap9", "simulate": False, "config": tmp_path / "my.toml"}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", **options)
    found = {(row["origin"][0]["path"], row["op"]): row for row in build.report["layers"]}
    there = {path for (path, _), row in found.items() if row["engine"] == "ne16"}
    assert there == {"encoder.ff", "encoder.gru", "encoder.lstm"}
    reasons = {row["other_engine"] for row in found.values() if row["engine"] != "ne16"}
    assert "ne16 needs more than 8 units, not 8 units" in reasons
    for pattern, code, text in (
        ("encoder.norm", "E308", "encoder.norm"),
        ("encodr.*", "E233", '[engine] "encoder.*" = ...'),
    ):
        (tmp_path / "my.toml").write_text(f'[engine]\n"{pattern}" = "ne16"\n')
        with pytest.raises(MyoedgeError, match=re.escape(text)) as error:
            myoedge.build(model, calib=calib, output=tmp_path / "out", **options)
        assert error.value.code == code


def test_a_pattern_without_layer_and_an_engine_without_name(model: Path, tmp_path: Path) -> None:
    for table, code, tries in (
        ('"nowhere.*" = "ne16"', "E233", ()),
        ('"dens" = "ne16"', "E233", ('[engine] "dense" = ...',)),
        ('"dense" = "gpu"', "E232", ()),
    ):
        with pytest.raises(MyoedgeError) as error:
            built(model, tmp_path, f"[engine]\n{table}\n")
        assert (error.value.code, error.value.notice.tries) == (code, tries)
    for engine, target, nearest in (("ne16", "host", "auto"), ("NE16", "gap9", "ne16")):
        with pytest.raises(MyoedgeError) as error:
            built(model, tmp_path, engine=engine, target=target)
        assert (error.value.code, error.value.notice.tries) == ("E204", (f"--engine {nearest}",))


def test_reasons_on_80_columns_and_on_the_page(model: Path, tmp_path: Path) -> None:
    build = built(model, tmp_path, engine="auto")
    console = Console(file=io.StringIO(), width=80, no_color=True)
    print_report(build.report, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    reason = "ne16 needs a multiple of 4 products for a result, not 142"
    assert reason in " ".join(text.split())
    assert re.search("engines +NE16: 1 of 3 MAC layers; cores: 2", text)
    assert max(map(len, text.splitlines())) <= 80
    _, _, table = text.partition("why not the other")
    on_ne16 = {line.split()[0] for line in table.splitlines() if "  ne16  " in line}
    assert on_ne16 == {"dense"}
    page, _, _ = (build.folder / "report.html").read_text().partition("<script")
    shown = re.sub(r"<[^>]*>", " ", page)  # neither titles nor the report in JSON
    assert f"cores ({reason})" in shown
    stored = json.loads((build.folder / "report.json").read_text())
    assert stored["layers"] == build.report["layers"]
