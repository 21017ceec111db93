# SPDX-License-Identifier: Apache-2.0
"""The cost model's cycles of recurrent layers against the simulated chip, of single steps too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layer_costs import of_module, rows_of
from tests.layer_networks import RECURRENT, recurrent

LARGEST = 0.2  # relative error
FEW = (0, 10)


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(index, marks=[] if index in FEW else pytest.mark.slow)
        for index in range(len(RECURRENT))
    ],
)
def test_modelled_cycles_are_about_those_of_a_run(index: int, tmp_path: Path) -> None:
    module, shape = recurrent(index)
    rows = rows_of(of_module("recurrent", module, [shape], tmp_path))
    assert len(rows) == 2  # what inputs add to the gates, and the steps
    assert [row.label for row in rows if abs(row.error) > LARGEST] == []
