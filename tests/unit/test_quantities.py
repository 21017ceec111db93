# SPDX-License-Identifier: Apache-2.0
"""Quantities as text and as Python's numbers; the help of `energy`, which reads them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from myoedge.building import quantities
from myoedge.building.energy import duty_cycle
from myoedge.errors import MyoedgeError
from tests.conftest import myoedge as command


@pytest.mark.parametrize(
    ("parse", "number", "parsed", "text"),
    [
        (quantities.seconds, 0.05, 0.05, "50 ms"),
        (quantities.seconds, 2, 2.0, "2 s"),
        (quantities.seconds, 3e-5, 3e-5, "30 us"),
        (quantities.joules, 0.0005, 0.0005, "500 uJ"),
        (quantities.hertz, 8e6, 8e6, "8 MHz"),
        (lambda power: quantities.milliwatts(power, "--others"), 0.05, 50.0, "50 mW"),
    ],
)
def test_the_remedy_for_a_number_is_a_value_of_python(
    parse: Callable[[object], float], number: float, parsed: float, text: str
) -> None:
    """Oracle: the number in SI units; the remedy, as it is typed, is accepted."""
    with pytest.raises(MyoedgeError) as caught:
        parse(number)
    remedy = ast.literal_eval(caught.value.notice.tries[0])
    assert remedy == text
    assert parse(remedy) == pytest.approx(parsed)


def test_a_period_as_a_number_is_told_in_milliseconds() -> None:
    with pytest.raises(MyoedgeError) as caught:
        duty_cycle(0.05, None, None)  # type: ignore[arg-type]
    assert caught.value.notice.tries[0] == '"50 ms"'


def test_the_help_of_energy_has_its_options(tmp_path: Path) -> None:
    """Oracle: the help of the command for which it is short."""
    of_show = command("energy", "show", "--help", cwd=tmp_path).out
    options = re.findall(r"^  (--[a-z-]+)", of_show, re.MULTILINE)
    shown = command("energy", "--help", cwd=tmp_path).out
    assert len(options) > 5
    assert all(f"  {option} " in shown for option in options)
    assert "calibrate" in shown
