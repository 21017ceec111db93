# SPDX-License-Identifier: Apache-2.0
"""Options for parts that a Cortex-M does not have: refused, with remedies that are tried here."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Ran

REFUSED = (
    *(("--app", name) for name in ("gap-sdk", "mlperf", "sensor")),
    *(("--operating-point", name) for name in ("low", "auto", "300MHz", "240/10 MHz")),
    ("--engine", "ne16"),
    ("--weights", "fast"),
    *(("--memory", choice) for choice in ("mram=auto", "mram=off")),
    ("--l1", "64KiB"),
    ("--l3", "1MiB"),
    ("--board", "gap9_evk"),
    ("--simulate",),
    ("--tune",),
)
TABLES = """
[sensor]
front_end = "spi"
bits = 8
input_range = "1 V"
rate = 200
unit = "counts"
hop = 8
pins = { data_ready = 42 }
[mlperf]
model = "ic01"
input = "int8"
"""


@pytest.mark.parametrize("given", REFUSED, ids=" ".join)
def test_every_remedy_of_a_refused_option_works(
    given: tuple[str, ...], small: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    config, out = tmp_path / "my.toml", tmp_path / "out"
    config.write_text(TABLES)
    files = ("--calib", small / "calib.npz", "--config", config)
    fixed = ("build", small / "model.pt2", *files, "-o", out)
    chip = ("--target", "cortex-m4")
    refused = run(*fixed, *chip, *given, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "E204"), refused.err
    assert refused.json["error"]["tries"]
    for remedy in refused.json["error"]["tries"]:
        words = shlex.split(remedy)
        if words[0].startswith("examples/"):
            assert (ROOT / words[0]).is_dir()
            continue
        if words[0] == "without":
            assert given[0] in words
            now = chip
        else:
            now = (*words, *given) if words[0] == "--target" else (*chip, *words)
        assert run(*fixed, *now).code == 0, remedy


@pytest.mark.parametrize("memory", ["l1", "l3", "flash"])
def test_a_budget_of_a_memory_that_the_chip_lacks_is_refused(
    memory: str, small: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    """As the option is; without it, or for a host, the network is built."""
    config, out = tmp_path / "my.toml", tmp_path / "out"
    files = ("--calib", small / "calib.npz", "--config", config, "-o", out)
    chip = "gap9" if memory == "flash" else "cortex-m4"
    for text, target, code in (
        (f'[budget]\n{memory} = "64KiB"\n', chip, 2),
        ("[budget]\n", chip, 0),
        (f'[budget]\n{memory} = "64KiB"\n', "host", 0),
    ):
        config.write_text(text)
        ran = run("build", small / "model.pt2", *files, "--target", target)
        assert (ran.code, f"without [budget] {memory}" in ran.err) == (code, code == 2), ran.err
        has = ["l1", "l2", "l3"] if memory == "flash" else ["l2", "flash"]
        names = ", ".join(f"[budget] {name}" for name in has)
        assert (names in ran.err) == (code == 2), "memories that may be limited"
