# SPDX-License-Identifier: Apache-2.0
"""What the model takes layers to find of their code in the caches."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from myoedge.plan.cost.code_cache import OWN_LINES, STEERING_LINES, fetches
from myoedge.targets.gap9.code_size import BESIDE, CODE_LINES, WAITS

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_templates"
SOURCES = [path for path in FIRMWARE.rglob("*") if path.suffix in (".c", ".S", ".h")]
LINES = 256  # 4 KiB of 16 bytes
SUMS = ("me_add_run", "each_row", "add_row", "me_add_words")
POOLS = ("me_avg_pool_run", "run_even", "me_average_words")


def lines(functions: tuple[str, ...]) -> int:
    return sum(CODE_LINES[name] for name in functions)


def test_what_has_not_run_is_fetched_once_for_all_tiles() -> None:
    (found,) = fetches([SUMS])
    assert found.lines == lines(SUMS)
    assert found.first == lines(SUMS) + OWN_LINES
    assert 0 < found.again < 0.2 * lines(SUMS)


def test_less_is_left_the_more_has_come_since() -> None:
    once, other, twice = (
        fetches(layers)[-1] for layers in ([SUMS], [SUMS, POOLS, SUMS], [SUMS] * 2)
    )
    assert twice.first < other.first < once.first
    gone = 1 - math.exp(-(STEERING_LINES + lines(SUMS)) / LINES)
    assert twice.first - OWN_LINES <= gone * lines(SUMS)


def test_a_layer_that_works_on_l2_leaves_nothing() -> None:
    assert fetches([SUMS, (), SUMS])[-1].first == lines(SUMS) + OWN_LINES


def test_what_other_cores_run_beside_takes_room_and_no_time() -> None:
    alone, after = (fetches([SUMS, other, SUMS]) for other in (POOLS, (*POOLS, f"{BESIDE}gather")))
    assert after[1].first == alone[1].first
    assert after[1].lines == alone[1].lines
    assert after[2].first > alone[2].first


@pytest.mark.parametrize("before", [("me_linear_run",), ("me_linear_run", "run", "run_part")])
def test_what_runs_before_operands_are_there_is_told(before: tuple[str, ...]) -> None:
    (found,) = fetches([(*before, WAITS, "run_blocks", "me_block_4x4")])
    assert found.prepared == lines(before) + OWN_LINES
    assert found.ready == ("run" in before)


@pytest.mark.parametrize("name", CODE_LINES)
def test_every_function_is_one_of_the_library(name: str) -> None:
    function = name.split()[0]
    texts = (path.read_text() for path in SOURCES)
    size = re.sub(r"me_block_\dx\d", "me_block_", function)
    assert any(re.search(rf"\b{size}\w*\b", text) for text in texts)
