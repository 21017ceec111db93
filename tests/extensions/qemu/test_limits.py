# SPDX-License-Identifier: Apache-2.0
"""Limits of RAM and flash on Cortex-M: one count, that of the linked program's sections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import myoedge
from myoedge.errors import MyoedgeError
from tests.extensions.qemu.test_qemu import built, sections
from tests.support.limits import l2_with_code

KIB = 1024


@pytest.fixture(autouse=True)
def _limits_as_people_set_them() -> Iterator[None]:
    with l2_with_code():
        yield


def ram_bytes(build: myoedge.Build) -> int:
    """Bytes of RAM that the linker gave to data and variables."""
    found = sections((build.folder / "firmware.elf").read_bytes())
    return found[".data"][1] + found[".bss"][1]


def test_a_limit_holds_for_the_linked_program(tmp_path: Path) -> None:
    """A byte less than a program takes is refused, although the plan's data alone would fit; the
    limit that the error proposes is built, within it."""
    free = built("conv", tmp_path, "cortex-m4")
    used_bytes, planned_bytes = ram_bytes(free), free.report["memory"]["l2_peak_bytes"]
    same = built("conv", tmp_path, "cortex-m4", l2=used_bytes)
    assert (ram_bytes(same), same.report["target"]["l2_bytes"]) == (used_bytes, used_bytes)
    assert planned_bytes < used_bytes - 1
    with pytest.raises(MyoedgeError) as refused:
        built("conv", tmp_path, "cortex-m4", l2=used_bytes - 1)
    notice = refused.value.notice
    assert (notice.code, dict(notice.facts)["has"]) == ("E302", f"{used_bytes - 1:,} B")
    assert dict(notice.facts)["needs"].startswith(f"{used_bytes:,} B")
    assert f"variables {used_bytes - planned_bytes:,} B" in dict(notice.facts)["needs"]
    option, size, *_ = notice.tries[0].split()
    assert (option, size) == ("--l2", f"{-(-used_bytes // KIB)}KiB")
    assert ram_bytes(built("conv", tmp_path, "cortex-m4", l2=size)) <= used_bytes
