# SPDX-License-Identifier: Apache-2.0
"""The runtime at work: DMA, L3, stacks, intrinsics; on the simulator, and on GVSoC where it is."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from myoedge.codegen.firmware import link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.simulator import RunOptions, simulate
from myoedge.system import toolchain, tools
from tests.conftest import ROOT
from tests.firmware.programs import PROGRAMS, Platform, platforms, program

ON = pytest.mark.parametrize("run", platforms().values(), ids=platforms().keys())


@ON
def test_dma_moves_what_it_is_told_and_nothing_else(run: Platform, tmp_path: Path) -> None:
    assert run(program("dma").elf, tmp_path) == 0


def test_the_program_of_the_page_does_what_it_says() -> None:
    page = (ROOT / "docs" / "developers" / "simulator.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```c\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ran = simulate(link({**runtime(), "firmware/main.c": source}).elf)
    assert (ran.output, ran.exit_code) == (str(3 * 100 * 101 // 2), 42)


@ON
def test_l3_round_trip_with_several_transfers_in_flight(run: Platform, tmp_path: Path) -> None:
    i = np.arange(10_000)
    (tmp_path / "l3.bin").write_bytes((i * 41 + (i >> 8) * 3).astype(np.uint8).tobytes())
    assert run(program("l3").elf, tmp_path) == 0


@ON
def test_a_stack_that_grows_over_its_end_is_told(run: Platform, tmp_path: Path) -> None:
    assert run(program("stack", "DEEP=4").elf, tmp_path) == 0
    assert run(program("stack", "DEEP=16").elf, tmp_path) == 101


def test_canaries_lie_where_the_symbols_say() -> None:
    symbols = program("stack", "DEEP=4").program.symbols
    assert symbols["me_stacks"] == 0x10000000
    assert symbols["me_stack_bytes"] == 1280
    header = (template_dir() / "include" / "me_network_info.h").read_text()
    assert "#define ME_STACK_BYTES 1280 " in header, "what the SDK's programs reserve"


# ---- intrinsics


def drawn_on_host(folder: Path, text: str, *others: Path) -> bytes:
    """What programs/intrinsics.c gives, included by `text`, on this machine."""
    source, binary = folder / "host.c", folder / "host"
    source.write_text(text)
    include, cc = (PROGRAMS, template_dir() / "include"), toolchain.compiler()
    flags = toolchain.CompileOptions(sanitize=("undefined",), optimize="-O1").flags(cc)
    done = toolchain.compile_sources([source, *others], binary, cc, flags, include)
    assert done.returncode == 0, done.stderr
    with_results = f"{binary} > results.bin"
    assert tools.run(["sh", "-c", with_results], cwd=folder).returncode == 0
    return (folder / "results.bin").read_bytes()


@ON
def test_instructions_mean_what_the_plain_c_says(run: Platform, tmp_path: Path) -> None:
    expected = drawn_on_host(tmp_path, '#include "intrinsics.c"\n')
    chip = tmp_path / "chip"
    chip.mkdir()
    assert run(program("intrinsics").elf, chip) == 0
    found = (chip / "results.bin").read_bytes()
    assert np.array_equal(np.frombuffer(found, "<i4"), np.frombuffer(expected, "<i4"))
    assert len(set(found)) > 200, "results of drawn numbers"


def test_sdk_builtins_mean_what_the_plain_c_says(tmp_path: Path) -> None:
    expected = drawn_on_host(tmp_path, '#include "intrinsics.c"\n')
    sdk = '#define ME_SDK\n#include "sdk_shim.h"\n#include "intrinsics.c"\n'
    assert drawn_on_host(tmp_path, sdk, PROGRAMS / "sdk_shim.c") == expected


def names(header: str) -> set[str]:
    """Functions and macros that one body of the intrinsics offers."""
    text = (template_dir() / "include" / header).read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = set(re.findall(r"\b(me_[a-zA-Z0-9_]+)\(", text))
    for base in re.findall(r"^ME_BUILTIN_[12]\((\w+)", text, re.MULTILINE):
        found |= {f"{base}_b", f"{base}_h"}
    found |= {
        "_".join(pair) for pair in re.findall(r"^ME_LANES_[12]\((\w+), (\w)", text, re.MULTILINE)
    }
    for base in re.findall(r'^ME_BOTH\(\w+, "[\w.]+", (\w+)', text, re.MULTILINE):
        found |= {f"{base}_b", f"{base}_h"}
    for kind in re.findall(r"^ME_(?:BUILTIN_)?DOT\((\w+), b", text, re.MULTILINE):
        found |= {f"me_{sum_}{kind}_{size}" for sum_ in ("dot", "sdot") for size in "bh"}
    return found | set(
        re.findall(r'^ME_(?:ONE|TWO|THREE|NEXT|STEP|AT|PUT)\("[\w.]+", (\w+)', text, re.MULTILINE)
    )


def test_every_body_offers_the_same_and_all_of_it_is_tried() -> None:
    plain = {n for n in names("me_intrinsics_c.h") if not re.match("me_(lane|number)", n)}
    assert plain == names("me_intrinsics_gap9.h") == names("me_intrinsics_sdk.h")
    tried = (PROGRAMS / "intrinsics.c").read_text()
    both = {f"{n}_{size}" for n in re.findall(r"BOTH_SIZES\((\w+)", tried) for size in "bh"}
    assert plain <= both | set(re.findall(r"\b(me_\w+)\(", tried))
    assert len(plain) > 60


# ---- NE16


def test_ten_jobs_of_ne16_run_beside_the_cores() -> None:
    """Two deep in the queue, with every output right."""
    ran = simulate(program("ne16").elf, options=RunOptions(spans=True))
    assert ran.exit_code == 0
    jobs = [span for span in ran.spans if span.what == "ne16"]
    assert len(jobs) == ran.devices["ne16_jobs"] == 10
    assert any(b.start == a.end + 1 for a, b in pairwise(jobs)), "the next one was waiting"
    assert all(b.start > a.end for a, b in pairwise(jobs))
    assert ran.devices["ne16_busy_cycles"] == sum(job.end - job.start for job in jobs)
