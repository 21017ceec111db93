# SPDX-License-Identifier: Apache-2.0
"""Refusals of networks that do not fit in L2: what excludes L3, and MRAM that is not in use."""

from __future__ import annotations

from itertools import product

import pytest

from myoedge.building.budget import Budget
from myoedge.building.plan_within import plan_within
from myoedge.errors import DoesNotFit
from myoedge.targets.boards import find_board
from myoedge.targets.gap9.chip import GAP9
from tests.ops.harness import drawn

CLOCKS, BOARDS = ("high", "50 MHz"), (None, "gap9_evk", "biogap")
PARTS, L3_BYTES = (None, "none", "flash", "ram"), (None, 0, 4096)
CASES = [*product(CLOCKS, BOARDS, PARTS, L3_BYTES, (False, True))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_what_excludes_l3_is_named(
    case: tuple[str, str | None, str | None, int | None, bool],
) -> None:
    """By the pages of the chip and the boards: L3 from 240 MHz on, BioGAP without a RAM; L3 is the
    RAM beside the chip."""
    clock, board, external, l3_bytes, has_mram = case
    causes = {
        "the clock of 50 MHz": clock == "50 MHz",
        f'[budget] external = "{external}"': external in ("none", "flash"),
        "board.toml of biogap": board == "biogap",
        "a limit of L3 of 0 B": l3_bytes == 0,
    }
    chip = GAP9.with_optional("mram") if has_mram else GAP9
    limits = Budget(l2_bytes=64, l3_bytes=l3_bytes, external=external)
    if board is not None:
        limits = Budget(l2_bytes=64, l3_bytes=l3_bytes, external=external, board=find_board(board))
    with pytest.raises(DoesNotFit) as refused:
        plan_within(drawn("linear", 1)[0].quant, chip.at(clock), limits)
    facts = dict(refused.value.notice.facts)
    assert "code" in facts["needs"].rpartition(", ")[2], "a program takes L2, too"
    told = facts["stays in L2"]
    found = [cause for cause, excludes in causes.items() if excludes]
    if not found:
        assert told.startswith("the data of a few tiles")
        return
    kept, more = "everything", "; MRAM needs --memory mram=auto"
    if has_mram:
        kept, more = "all but weights", ""
    assert told == f"{kept}: there is no L3, by {' and by '.join(found)}{more}"
