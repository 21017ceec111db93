# SPDX-License-Identifier: Apache-2.0
"""Examples of docs/developers/integer-semantics.md: the reference computes the page's numbers."""

from __future__ import annotations

import math
import re

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attention import _probability_constants
from myoedge.operators.attention.operands import BYTES, distance_numbers
from myoedge.operators.selective_scan import definition as scan
from myoedge.operators.selective_scan import wide
from myoedge.operators.spectral.definition import CURVE, on_curve
from myoedge.operators.spectral.fast_fourier import LARGEST_FACTOR, radixes_of
from tests.conftest import ROOT

PAGE = " ".join((ROOT / "docs" / "developers" / "integer-semantics.md").read_text().split())
A, DELTA = np.array([[-1.0]]), QuantParams(0.01, -128)


def example(start: str, end: str) -> str:
    """The text of an example: from its first words up to the next paragraph."""
    (text,) = re.findall(rf"\*Example\.\* {re.escape(start)}.*?{re.escape(end)}", PAGE)
    return str(text)


def test_attention() -> None:
    text = example("A score step is unit", "exactly: 31.6")
    units = BYTES.units(0.01)
    table = BYTES.table(units * 0.01).astype(int)
    numbers = distance_numbers(units, BYTES.first_zero(units * 0.01), 1 << 20)
    scores, values = np.array([500, 480, 300]), np.array([100, -50, 20])
    distances = np.minimum(scores.max() + numbers["half"] - scores, numbers["most"])
    entries = distances * numbers["mult"] >> numbers["shift"]
    e = table[entries]
    assert [units, *entries, *e, e.sum()] == [2, 0, 10, 100, 255, 209, 35, 499]
    assert "entries 0, 10 and 100: e = 255, 209 and 35. The sum is 499" in text
    same = QuantParams(0.02, 0)
    share, top = _probability_constants(same, same), int(e.sum()).bit_length() - 1
    factor = share["share"] // (int(e.sum()) << (15 - top))
    y = ((int(e @ values) >> (top - 7)) * factor + share["offset"]) >> share["out_shift"]
    exact = np.exp((scores - 500) * 0.01)
    exact /= exact.sum()
    for shares in (e / e.sum(), exact):
        assert "{:.3f}, {:.3f} and {:.3f}".format(*shares) in text
    assert f"y = {y} (exactly: {exact @ values:.1f}" in text


def test_selective_scan_of_8_bits() -> None:
    text = example("A = -1", "if nothing is added.")
    found = scan._decay_constants(A, DELTA)
    up, decay = int(found["delta_up"][0]), int(found["decay"][0, 0])
    index = (69 << up) * decay >> 12
    a = int(found["powers"][index])
    assert f"`delta_up` = {up} and `decay` = {decay:,}" in text
    assert f"(69 << {up}) * {decay} >> 12 = {index}, and `powers[{index}]` = {a:,}" in text
    assert f"{a / 2**15:.5f} in Q15" in text
    assert f"exp(-0.69) = {math.exp(-0.69):.5f}" in text
    assert f"becomes {(a * 20000 + 2**14) >> 15:,} if" in text


def test_selective_scan_of_16_bits() -> None:
    decay, shifts = wide._decay_and_shifts(A, DELTA.scale, up := wide._normalising_shift(255))
    p = min((69 << up) * int(decay[0, 0]) >> 32, shifts["most"]) << shifts["decay_up"]
    table = wide.TABLE.view(np.uint32).astype(int)
    i, j = p >> 11 & 1023, p & 2047
    a = (table[i] - ((table[i] - table[i + 1]) * j >> 11)) >> (p >> 21)
    assert f"p = {p:,}: i = {i}, j = {j}, and a / 2^31 = {a / 2**31:.7f}" in PAGE
    assert f"{a / 2**31:.7f}" == f"{math.exp(-0.69):.7f}" == "0.5015761"


def test_spectrogram() -> None:
    text = example("A frame of n = 64 samples", "32,704`.")
    assert f"(radixes {', '.join(map(str, radixes_of(64)))})" in text
    assert f"2^15 / {LARGEST_FACTOR:,}`" in text


def test_magnitude_of_a_spectrogram() -> None:
    points = np.arange(CURVE)
    names: Array = points.astype(np.int64)  # a curve that names its points
    x = tuple(np.array([part]) for part in (600, 450, 5))
    (at,) = on_curve(names, *x).tolist()
    apart = np.zeros(CURVE, np.int64)
    apart[at + 1] = 256  # its share of the second point
    (rest,) = on_curve(apart, *x).tolist()
    assert f"at = {at} and rest = {rest}." in PAGE
    power = np.ldexp(1.0 + points % 16 / 16, points // 16 - 1)
    low, high = np.sqrt(power[at : at + 2])
    found = low + (high - low) * rest / 256
    assert (
        f"The points {at} and {at + 1} belong to the magnitudes {low:,.0f} and {high:,.0f}." in PAGE
    )
    assert f"is {found:,.0f}, the exact one {math.hypot(600, 450) * 2**5:,.0f}" in PAGE
