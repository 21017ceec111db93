# SPDX-License-Identifier: Apache-2.0
"""--memory mram=auto: weights in the flash on the chip, beside L3, of programs that read them."""

from __future__ import annotations

import json
import shutil
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends import gvsoc
from myoedge.errors import MyoedgeError
from myoedge.reports import wording
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.feedback import EarlyFeedback, Feedback, LateFeedback
from tests.support.pages import summary
from tests.support.shared import made_once

CONFIG = """[budget]
l2 = "{l2}"
[quant]
"*" = {{ weights = 8 }}
"""


def dense() -> nn.Module:
    inner = (nn.Sequential(nn.Linear(128, 128), nn.ReLU()) for _ in range(6))
    return nn.Sequential(*inner, nn.Linear(128, 4))


def causal() -> nn.Module:
    inner = (nn.Sequential(nn.Conv1d(64, 64, 3), nn.ReLU()) for _ in range(6))
    return nn.Sequential(*inner)


NETWORKS: dict[str, tuple[Any, tuple[int, ...], dict[str, Any]]] = {
    "whole": (dense, (1, 128), {"l2": "48KiB"}),
    "stream": (causal, (1, 64, 24), {"l2": "64KiB", "stream": True}),
    "loop": (Feedback, (1, 12, 64), {"l2": "110KiB"}),
    "late loop": (LateFeedback, (1, 4, 4802), {"l2": "200KiB"}),
}

EARLY_LOOP = EarlyFeedback, (1, 12, 64), {"l2": "270KiB"}


def build_in(folder: Path, network: str) -> None:
    make, shape, options = NETWORKS.get(network, EARLY_LOOP)
    torch.manual_seed(0)
    model = save_exported(make().eval(), (torch.zeros(shape),), folder / "model.pt2")
    config = folder / "myoedge.toml"
    config.write_text(CONFIG.format(l2=options["l2"]))
    myoedge.build(
        model,
        calib=np.random.default_rng(0).normal(size=(32, *shape[1:])).astype(np.float32),
        config=config,
        output=folder / "out",
        memory="mram=auto",
        simulate=False,
        stream=options.get("stream", False),
    )


@pytest.fixture(params=NETWORKS)
def built(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> myoedge.Build:
    """A copy of the network's build, which is made once."""
    name = request.param
    made = made_once(tmp_path_factory, f"mram-{name}", partial(build_in, network=name))
    return myoedge.Build(Path(shutil.copytree(made / "out", tmp_path / "out")))


def test_weights_in_mram_are_exact_on_host_and_chip(built: myoedge.Build) -> None:
    assert len(built.images["mram.bin"]) > 64 * 64 * 3  # more than the weights of a layer
    checked = myoedge.validate(built, on="host,simulator")
    assert (checked.exact["host"], checked.exact["simulator"]) == (True, True)
    page, needs = (built.folder / "report.html").read_text(), built.report["memory"]["external"]
    parts = {(): "no part", ("flash", "ram"): "RAM and flash"}[tuple(needs)]
    boots = wording.size(built.report["memory"]["boot_image_bytes"])
    assert f"of L2 memory, a boot image of {boots}, and {parts} beside the chip" in page
    assert "from MRAM in every run: weights" in page
    assert "; boot image " in page


def test_estimates_count_the_bytes_that_the_chip_reads(built: myoedge.Build) -> None:
    """Bytes by layer are those of the simulated run; its energy, and the cycles of layers that
    wait for a quarter of them, are near the estimates."""
    estimated = built.report
    myoedge.simulate(built)
    ran = built.report
    for row in estimated["layers"]:
        assert row["weights_in"] != "MRAM" or row["mram_moved_bytes"] > 0, row["name"]
    for level in ("mram", "l3"):
        planned = sum(row[f"{level}_moved_bytes"] for row in estimated["layers"])
        assert planned == sum(row["activity"][f"{level}_bytes"] for row in ran["layers"])
    pairs = zip(estimated["layers"], ran["layers"], strict=True)
    near = [
        row["cycles_modelled"] / other["cycles"]
        for row, other in pairs
        if 4 * row["waiting_modelled"] > row["cycles_modelled"]
    ]
    assert all(0.6 < ratio < 1.2 for ratio in near), near
    assert near or "stream" in ran
    jobs = [
        row["ne16_modelled"] / other["cycles_ne16"]
        for row, other in zip(estimated["layers"], ran["layers"], strict=True)
        if other["cycles_ne16"]
    ]
    assert min(jobs, default=1.0) > 0.9, jobs
    energy_uj, ran_uj = estimated["energy_uj"], ran["energy_uj"]["value"]
    assert energy_uj["low"] <= ran_uj <= energy_uj["high"]
    assert 0.8 < energy_uj["value"] / ran_uj < 1.2


def test_weights_are_loaded_during_a_loop_in_front_of_them(
    tmp_path: Path,
) -> None:
    build_in(tmp_path, "early loop")
    built = myoedge.Build(tmp_path / "out")
    (loop,) = json.loads((built.folder / "plan.json").read_text())["loops"]
    memory = built.report["memory"]
    early = [
        row
        for row in memory["buffers"]
        if row["kind"] == "weights"
        and row["first_step"] < loop["first"] < loop["last"] < row["step"]
    ]
    assert early
    exact = myoedge.validate(built, on="host,simulator").exact
    assert (exact["host"], exact["simulator"]) == (True, True)
    myoedge.simulate(built)
    for level, size_bytes in memory["levels"].items():  # each is loaded once
        ran = [row["activity"][f"{level}_bytes"] for row in built.report["layers"]]
        assert sum(ran) == size_bytes


@pytest.mark.parametrize(
    ("options", "table", "named"),
    [
        ({"weights_blob": True}, "", "--weights-blob"),
        ({"app": "mlperf"}, '[mlperf]\nmodel = "ad01"\ninput = "int8"\n', "--app mlperf"),
    ],
)
def test_programs_that_cannot_read_them_are_refused(
    tmp_path: Path, options: dict[str, Any], table: str, named: str
) -> None:
    model = save_exported(dense().eval(), (torch.zeros(1, 128),), tmp_path / "model.pt2")
    config = tmp_path / "myoedge.toml"
    config.write_text(table)
    common = {"calib": "random", "config": config, "simulate": False, **options}
    with pytest.raises(MyoedgeError) as caught:
        myoedge.build(model, output=tmp_path / "out", memory="mram=auto", **common)
    assert (caught.value.code, named in caught.value.notice.title) == ("E204", True)
    assert caught.value.notice.tries == (f"without {named}", "--memory mram=off")
    myoedge.build(model, output=tmp_path / "off", memory="mram=off", **common)
    config.write_text("")
    common = {name: x for name, x in common.items() if name not in options}
    myoedge.build(model, output=tmp_path / "without", memory="mram=auto", **common)


def test_the_boot_image_holds_the_weights_in_l2(built: myoedge.Build) -> None:
    """All bytes that firmware.elf loads, by its program headers; buffers are not among these."""
    elf = (built.folder / "firmware.elf").read_bytes()
    offset, size, count = (*struct.unpack_from("<I", elf, 28), *struct.unpack_from("<HH", elf, 42))
    heads = [struct.unpack_from("<8I", elf, offset + size * n) for n in range(count)]
    stored = sum(head[4] for head in heads if head[0] == 1)  # p_filesz of PT_LOAD
    memory = built.report["memory"]
    assert memory["boot_image_bytes"] == stored > memory["weights_bytes"] > 0
    assert stored <= memory["weights_bytes"] + memory["code_bytes"]
    assert memory["external"] == []
    room_kib = (22 * 8192 - 37_632) / 1024  # whole sectors, without the SDK's boot chain
    text = f"boot image {stored / 1024:.3g} KiB, MRAM has room for one of {room_kib:.0f} KiB"
    assert text in " ".join(summary(built.report).split())


@pytest.mark.parametrize("built", ["whole"], indirect=True)
def test_a_comparison_tells_that_start_up_writes_weights(
    built: myoedge.Build, tmp_path: Path
) -> None:
    """Of the new build, if it has weights in MRAM."""
    torch.manual_seed(0)
    model = save_exported(dense(), (torch.zeros(1, 128),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).normal(size=(32, 128)).astype(np.float32)
    folder = tmp_path / "l3"
    in_l3 = myoedge.build(model, calib=calib, output=folder, l2="64KiB", simulate=False)
    for build in built, in_l3:
        myoedge.simulate(build)
    stored = built.report["memory"]["levels"]["mram"]
    note = f"start-up cycles: they write {stored / 1024:.3g} KiB of weights into MRAM, once per"
    for new, old, is_told in (built, in_l3, True), (in_l3, built, False), (built, built, False):
        ran = command("report", new.folder, "--against", old.folder, cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert (note in ran.out) == is_told
        assert ("start-up cycles" in ran.out) == (new is not old)


def test_public_gvsoc_runs_no_build_with_weights_in_mram(built: myoedge.Build) -> None:
    with pytest.raises(MyoedgeError) as caught:
        built.run_on_gvsoc([])
    assert caught.value.code == "E504"
    assert ("weights in MRAM", f"{len(built.images['mram.bin']):,} B") in caught.value.notice.facts
    assert caught.value.notice.tries == ("build with --memory mram=off", "--on simulator")
    gvsoc.refuse_mram(None)


def test_a_build_that_the_missing_blob_names_is_not_refused(built: myoedge.Build) -> None:
    with pytest.raises(MyoedgeError, match=r"model\.blob") as caught:
        myoedge.diff(built, built)
    (command,) = caught.value.notice.tries
    assert "--weights-blob" in command
    assert "--memory" not in command


@pytest.mark.slow
@pytest.mark.parametrize("l2", ["48KiB", "51KiB", "53KiB"])
def test_more_levels_are_not_slower_than_fewer(l2: str, tmp_path: Path) -> None:
    """Where buffers for L3 and MRAM leave no plan, the faster one alone: 1.27 M cycles from L3."""
    widths = ((700, 500), (500, 500), (500, 9))
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Sequential(nn.Linear(*x), nn.ReLU()) for x in widths))
    model = save_exported(net.eval(), (torch.zeros(1, 700),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((16, 1, 700)).astype(np.float32)
    cycles = {}
    for external in ("none", "ram"):
        config = tmp_path / "myoedge.toml"
        config.write_text(
            CONFIG.format(l2=l2).replace("[quant]", f'external = "{external}"\n[quant]')
        )
        build = myoedge.build(
            *(model,), calib=calib, output=tmp_path / external, config=config, target="gap9",
            memory="mram=auto", simulate=False,
        )  # fmt: skip
        cycles[external] = build.report["cycles"]["total"]
    assert cycles["ram"] <= 1.01 * cycles["none"]
