# SPDX-License-Identifier: Apache-2.0
"""A chip that is data alone, as docs/developers/adding-a-chip.md says: pulp-open, which has no
judge of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import myoedge
from myoedge.cli.next_steps import after_validate, simulate_step
from myoedge.errors import MyoedgeError
from myoedge.targets import CHIPS, Chip, Engine, OperatingPoint
from myoedge.targets.gap9.chip import KERNELS, TRANSFERS
from myoedge.targets.gap9.program import PROGRAM

KIB = 1024
ENERGY = '[budget]\nenergy = "1 mJ"\n'
PULP_OPEN = Chip(
    name="pulp-open",
    doc="1 fabric controller and a cluster of 8 cores; costs, runtime and instructions of GAP9",
    l1_bytes=64 * KIB,
    l1_reserved_bytes=12 * KIB,
    l2_bytes=448 * KIB,
    l2_reserved_bytes=64 * KIB,
    engines=(Engine("cluster", cores=8, macs_per_cycle=32, kernels=KERNELS),),
    points=(OperatingPoint("nominal", volts=0.8, clock_hz=175_000_000),),
    transfers=TRANSFERS,
    program=replace(
        PROGRAM,
        regions={"L2": 448 * KIB, "L2_PRIVATE": 64 * KIB, "L1": 64 * KIB},
        drivers={},
        flash=None,
        applications=False,
    ),
)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHIPS, PULP_OPEN.name, PULP_OPEN)


def test_its_c_equals_the_reference_and_its_program_fits(small: Path, tmp_path: Path) -> None:
    calib = small / "calib.npz"
    build = myoedge.build(
        small / "model.pt2", target="pulp-open", calib=calib, output=tmp_path / "b"
    )
    assert myoedge.validate(build).exact == {"host": True}
    script = (build.folder / "src" / "firmware" / "link.ld").read_text()
    assert "L2 (rwx) : ORIGIN = 0x1C010000, LENGTH = 0x70000" in script
    assert (build.folder / "firmware.elf").exists()
    report = build.report
    assert report["cycles"]["source"] == "modelled"
    assert report["exact"] == {"host": True}
    assert not report["energy_uj"]
    assert {row["engine"] for row in report["layers"]} <= {"cluster", None}
    assert not [*simulate_step(build, {})]
    assert "report" in after_validate(build.folder, report, {"host": True})


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"simulate": True}, "E204"),
        ({"operating_point": "auto"}, "E204"),
        ({"engine": "ne16"}, "E204"),
        ({"app": "sensor"}, "E204"),
        ({"config": ENERGY}, "E234"),
    ],
)
def test_what_it_has_not_is_refused(
    small: Path, tmp_path: Path, options: dict[str, object], code: str
) -> None:
    if "config" in options:
        options = {"config": tmp_path / "myoedge.toml"}
        (tmp_path / "myoedge.toml").write_text(ENERGY)
    given = {"target": "pulp-open", "calib": small / "calib.npz", "output": tmp_path / "b"}
    with pytest.raises(MyoedgeError) as caught:
        myoedge.build(small / "model.pt2", **{**given, **options})  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_clock_needs_costs() -> None:
    with pytest.raises(ValueError, match="costs"):
        replace(PULP_OPEN, engines=(Engine("cluster", cores=8, macs_per_cycle=32),))
