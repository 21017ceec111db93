# SPDX-License-Identifier: Apache-2.0
"""Quantities as text and as Python's numbers; the help of `energy`, which reads them."""

from __future__ import annotations

import ast
import inspect
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
        (quantities.milliwatts, 0.05, 50.0, "50 mW"),
    ],
)
def test_the_remedy_for_a_number_is_a_value_of_python(
    parse: Callable[[object, str], float], number: float, parsed: float, text: str
) -> None:
    """Oracle: the number in SI units; the remedy, as it is typed, is accepted."""
    with pytest.raises(MyoedgeError) as caught:
        parse(number, "--others")
    remedy = ast.literal_eval(caught.value.notice.tries[0])
    assert remedy == text
    assert parse(remedy, "--others") == pytest.approx(parsed)


PARSERS = [
    function
    for name, function in vars(quantities).items()
    if inspect.isfunction(function)
    and name[0] != "_"
    and function.__module__ == quantities.__name__
    and "name" in inspect.signature(function).parameters
    and name != "positive"
]


@pytest.mark.parametrize("text", ["soon", "5 furlongs", "", "-1"])
@pytest.mark.parametrize("name", ["--every", "budget.l2"])
@pytest.mark.parametrize("parse", PARSERS)
def test_what_is_no_quantity_is_told_with_its_option(
    parse: Callable[[str, str], float], name: str, text: str
) -> None:
    """The remedy is a value that is accepted, with the option if it is one."""
    with pytest.raises(MyoedgeError) as caught:
        parse(text, name)
    title, tries = caught.value.notice.title, caught.value.notice.tries
    assert title.startswith(f"{name}: ")
    assert tries[0].startswith('--every "' if name == "--every" else '"')
    (value,) = re.findall('"(.+)"', tries[0])
    assert parse(value, name) > 0


@pytest.mark.parametrize(
    ("parse", "text", "kind", "needs"),
    [
        (quantities.joules, "5 mW", "a power, not an energy", "the energy of one inference"),
        (quantities.joules, "20 ms", "a time, not an energy", None),
        (quantities.milliwatts, "5 mJ", "an energy, not a power", "[budget] energy limits"),
        (quantities.seconds, "8 MHz", "a clock, not a time", None),
        (quantities.size_bytes, "3 V", "a voltage, not a size", None),
        (quantities.volts, "150 mAh", "a capacity, not a voltage", None),
        (quantities.hertz, "3 KiB", "a size, not a clock", None),
    ],
)
def test_another_quantity_is_named(
    parse: Callable[[str, str], float], text: str, kind: str, needs: str | None
) -> None:
    with pytest.raises(MyoedgeError) as caught:
        parse(text, "budget.energy")
    notice = caught.value.notice
    assert notice.title == f"budget.energy: {text!r} is {kind}"
    assert (needs or "") in dict(notice.facts).get("needs", "")
    (value,) = re.findall('"(.+)"', notice.tries[0])
    assert parse(value, "budget.energy") > 0


@pytest.mark.parametrize(
    ("verb", "options", "wrong"),
    [
        ("adapt", ["--every", "soon"], "--every"),
        ("adapt", ["--every", "5 ms", "--window", "200"], "--window"),
        ("adapt", ["--every", "0 s"], "--every"),
        ("adapt", ["--every", "5 ms", "--window", "0 s"], "--window"),
    ],
)
def test_sessions_tell_the_option_of_a_wrong_time(
    verb: str, options: list[str], wrong: str, tmp_path: Path, small: Path
) -> None:
    files = ("--data", "a.npz", "--test", "a.npz")
    ran = command(verb, small / "out", *files, *options, cwd=tmp_path)
    assert ran.code == 2
    assert "E232" in ran.err
    (title,) = re.findall(r"error\[E232\] (.*)", ran.err)
    assert title.startswith(wrong)


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
