# SPDX-License-Identifier: Apache-2.0
"""--checks: the firmware notices changed constants and code; without it, nothing is added."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.equivalence import cases, chip_inputs
from myoedge.backends.samples import golden_sample
from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions
from myoedge.simulator.disturbance import Disturbance


@pytest.fixture(scope="module")
def checked(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    output = tmp_path_factory.mktemp("checked") / "built"
    data = small / "calib.npz"
    return myoedge.build(small / "model.pt2", calib=data, output=output, prefix="net", checks=True)


def run(build: Build, *faults: Disturbance) -> int:
    """Simulate one inference; the cycle in which it ends."""
    runs = [*cases(build.network, build.stream, [golden_sample(build, short=True)])]
    inputs = chip_inputs(build.stream, runs)
    return build.simulate(inputs, options=RunOptions(disturbed=faults))[1].marks[-1].cycle


def test_a_build_with_checks_is_exact(checked: Build) -> None:
    assert myoedge.validate(checked, on=("host", "simulator")).passed


def test_every_constant_is_in_a_slice_with_its_crc(checked: Build) -> None:
    """CRC-32 of the program's own bytes, by zlib."""
    text = checked.written("src/weights.c").decode()
    rows = re.findall(r"\(const uint8_t \*\)(\w+) \+ (\d+), (\d+)u, (0x[0-9a-f]+)u", text)
    names = re.findall(r"^_Alignas\(4\) const \w+ (\w+)\[", text, re.MULTILINE)
    assert [*dict.fromkeys(name for name, *_ in rows)] == names
    assert f"#define NET_CHECK_SLICES {len(rows)}\n" in checked.written("src/net.h").decode()
    for name, first, size, crc in rows:
        start = checked.program.symbols[f"net_{name}"] + int(first)
        content = next(
            d[start - a :] for a, d in checked.program.segments if a <= start < a + len(d)
        )
        assert zlib.crc32(content[: int(size)]) == int(crc, 16)


@pytest.mark.parametrize("is_code", [False, True])
def test_a_bit_that_changes_during_an_inference_ends_the_program(
    checked: Build, is_code: bool
) -> None:
    """Of code: the start-up code, which runs no more."""
    symbols = checked.program.symbols
    weights = next(name for name in symbols if name.endswith("_weights"))
    place = symbols["_start"] + 4 if is_code else symbols[weights]
    with pytest.raises(MyoedgeError) as caught:
        run(checked, Disturbance(run(checked) - 10, "memory", place, 5))
    assert caught.value.code == "E711"
    assert "code or constants have changed" in str(caught.value)


def test_without_checks_nothing_is_added(small: Path, tmp_path: Path) -> None:
    build = myoedge.build(small / "model.pt2", calib=small / "calib.npz", output=tmp_path / "b")
    sources = build.written("src/weights.c") + build.written("src/firmware/main.c")
    assert b"crc" not in sources
    assert b"check" not in sources
