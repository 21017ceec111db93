# SPDX-License-Identifier: Apache-2.0
"""Every operator on a chip with one core: C equals NumPy and stays inside its scratch."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.codegen.render import template_dir
from myoedge.targets import find_chip
from tests.ops import harness
from tests.ops.harness import batches
from tests.ops.test_ops import COMPILED, COUNT, compare

CHIP = find_chip("cortex-m4")


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CHIP.program is not None
    own = {Path(name).name: template_dir() / name for name in CHIP.program.replaced}
    monkeypatch.setattr(harness, "HOST", CHIP)
    monkeypatch.setattr(harness, "REPLACED", own)


@pytest.mark.parametrize("ops", batches(COMPILED), ids=lambda ops: f"{ops[0]} to {ops[-1]}")
def test_c_equals_numpy(ops: list[str], tmp_path: Path) -> None:
    compare(tmp_path, ops, COUNT, 0, "-O0")
