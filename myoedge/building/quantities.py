# SPDX-License-Identifier: Apache-2.0
"""Quantities with their units as people write them: "900 KiB", "20 ms", "1 mJ"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real

from myoedge.errors import MyoedgeError

_SIZES = {
    "B": 1.0,
    "KiB": 1024.0,
    "MiB": 1024.0**2,
    "GiB": 1024.0**3,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
}
_ENERGIES = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "nJ": 1e-9}
_CAPACITIES = {"mAh": 1.0, "Ah": 1e3}
_VOLTAGES = {"V": 1.0, "mV": 1e-3}
_POWERS = {"W": 1e3, "mW": 1.0, "uW": 1e-3, "µW": 1e-3}
_FREQUENCIES = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6}
_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_KINDS = {
    "a size": _SIZES, "an energy": _ENERGIES, "a capacity": _CAPACITIES, "a voltage": _VOLTAGES,
    "a power": _POWERS, "a clock": _FREQUENCIES, "a time": _TIMES,
}  # fmt: skip
_NOTES = {  # (needed, given)
    ("an energy", "a power"): "the energy of one inference, power times latency; no key limits "
    "an average power: --app sensor takes the clock of the least",
    ("a power", "an energy"): "an average power; [budget] energy limits that of an inference",
}
LARGEST = 1e9  # limit of rates, frequencies and frames
EXAMPLES = {  # values as in [budget]
    "latency": 'latency = "20 ms"', "energy": 'energy = "1 mJ"', "sqnr": "sqnr = 25.0",
    "l1": 'l1 = "96 KiB"', "l2": 'l2 = "900 KiB"', "l3": 'l3 = "4 MiB"',
    "flash": 'flash = "256 KiB"',
}  # fmt: skip


def decibels(value: float | str) -> float:
    """Parse a number of decibels. Errors: E232 no number."""
    if isinstance(value, str):
        tries = ["sqnr = 25.0  (a number of dB, without quotes and unit)"]
        raise MyoedgeError("E232", f"budget.sqnr: {value!r} is not a number", {}, tries)
    if not math.isfinite(value):
        raise MyoedgeError("E232", "budget.sqnr must be a finite number of dB")
    return value


def size_bytes(text: str | float, name: str) -> int:
    """Parse a size: "900 KiB" -> 921600; a number without a unit is in bytes.

    name   name of the option or key, for the message, as in all functions of this module
    Errors: E232.
    """
    bare = "" if isinstance(text, float) else "B"
    return round(_parse_quantity(text, name, _SIZES, "a size", "900 KiB", bare))


def seconds(text: str | float, name: str) -> float:
    """Parse a time, whose unit is required: "785 us" -> 0.000785. Errors: E232."""
    return _parse_quantity(text, name, _TIMES, "a time", "20 ms")


def joules(text: str | float, name: str) -> float:
    """Parse an energy, whose unit is required: "20 mJ" -> 0.02. Errors: E232."""
    return _parse_quantity(text, name, _ENERGIES, "an energy", "1 mJ")


def milliampere_hours(value: str | float, name: str) -> float:
    """Parse a capacity: a number in mAh, or "1.5 Ah" -> 1500. Errors: E232."""
    if isinstance(value, int | float):
        return value
    return _parse_quantity(value, name, _CAPACITIES, "a capacity", "300 mAh", "mAh")


def volts(value: str | float, name: str) -> float:
    """Parse a voltage: a number in V, or "3.7 V". Errors: E232."""
    if isinstance(value, int | float):
        return value
    return _parse_quantity(value, name, _VOLTAGES, "a voltage", "3.7 V", "V")


def hertz(text: str | float, name: str) -> float:
    """Parse a clock, whose unit is required: "8 MHz" -> 8e6. Errors: E232."""
    return _parse_quantity(text, name, _FREQUENCIES, "a clock", "8 MHz")


def milliwatts(text: str | float, name: str) -> float:
    """Parse a power in mW, whose unit is required: "50 uW" -> 0.05. Errors: E232, also above
    LARGEST."""
    power_mw = _parse_quantity(text, name, _POWERS, "a power", "8 mW")
    return positive(power_mw, name) if power_mw else 0.0


def positive(number: float, name: str, tries: Sequence[str] = ()) -> float:
    """Check that this is a number, positive and at most LARGEST, and return it. Errors: E232.

    name    name of the option or key, for the message
    tries   remedies, for the message
    """
    if not isinstance(number, Real):
        title = f"{name} must be a number, not {type(number).__name__}"
        raise MyoedgeError("E232", title, {"has": repr(number)}, tries or [f"{name}=1.5, say"])
    if not 0 < number <= LARGEST:
        limits = "above 0" if number < 1 else f"{LARGEST:,.0f} at most"
        raise MyoedgeError("E232", f"{name} must be {limits}", {"has": f"{number:g}"}, tries)
    return number


def _parse_quantity(
    text: str | float,
    name: str,
    units: Mapping[str, float],
    what: str,
    example: str,
    bare: str = "",
) -> float:
    """Parse a number with its unit; the prefix micro may be u, the sign U+00B5 or Greek U+03BC.

    name   name of the option or key, for the message
    bare   unit of a number without one
    """
    shown = format(Decimal(f"{text:.15g}"), "f") if isinstance(text, float) else str(text)
    match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]+)?)\s*([A-Za-z\u00b5\u03bc]*)\s*", shown)
    # upper() maps both micro signs to the same capital letter.
    by_name = {unit.upper(): factor for unit, factor in units.items()}
    factor = by_name.get((match.group(2) or bare).upper()) if match else None
    if match is None or factor is None:
        facts = {"units": ", ".join(units)}
        if match is None or match.group(2):
            typed = f"{name} " * name.startswith("--")
            tries = [f'{typed}"{example}", say']
            known, notes = _other_kind(shown, what)
            title = f"{name}: {text!r} is {known}not {what}"
            raise MyoedgeError("E232", title, {**notes, **facts}, tries)
        shortest = f'"{match.group(1)} {example.split()[1]}"'
        tries = (
            [f"{shortest}, say"]
            if isinstance(text, str)
            else [_format_in_units(text, units), shortest]
        )
        raise MyoedgeError("E232", f"{name}: {what} needs a unit: {match.group(1)}", facts, tries)
    return float(match.group(1)) * factor


def _other_kind(text: str, needed: str) -> tuple[str, dict[str, str]]:
    """Return the quantity whose unit ends a text, as "a power, ", and notes on the needed one; ""
    for an unknown unit."""
    unit = text.lstrip(" .0123456789").strip().upper()
    kinds = (kind for kind, units in _KINDS.items() if unit in map(str.upper, units))
    kind = next(kinds, "")
    note = _NOTES.get((needed, kind))
    return f"{kind}, " * bool(kind), {"needs": note} if note else {}


def _format_in_units(number: float, units: Mapping[str, float]) -> str:
    """Return a number, in the first of the units, as text in a unit in which it is 1 or more, if
    there is one: 0.05 -> "50 ms"."""
    base, *_ = units.values()
    scaled = {unit: number * base / factor for unit, factor in units.items() if unit.isascii()}
    fitting = {unit: value for unit, value in scaled.items() if value >= 1} or scaled
    unit = min(fitting, key=lambda unit: (fitting[unit], unit))
    return f'"{fitting[unit]:.15g} {unit}"'
