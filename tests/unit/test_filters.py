# SPDX-License-Identifier: Apache-2.0
"""What a cascade of sections makes of its largest input, and the filters that scipy designs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal

from myoedge.errors import MyoedgeError
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizeInputs
from myoedge.operators.filters import quantized
from myoedge.operators.filters.quantized import gain, stored_sections
from myoedge.operators.filters.running import POINT, quantize
from myoedge.passes.condition import Conditioning, sections


@pytest.mark.parametrize(
    "filters",
    [
        Conditioning(200.0, (20.0, 90.0), notch_hz=50.0),
        Conditioning(2000.0, (20.0, 450.0), notch_hz=50.0),
        Conditioning(2000.0, notch_hz=60.0, notch_q=10.0),
    ],
)
def test_the_gain_is_the_largest_sum_of_impulse_responses(filters: Conditioning) -> None:
    rows = sections(filters)
    impulse = np.zeros(60_000)
    impulse[0] = 1.0
    sums = [np.abs(signal.sosfilt(rows[: i + 1], impulse)).sum() for i in range(len(rows))]
    wanted = max(1.0, *sums)
    assert gain(np.delete(rows, 3, axis=1)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("poles", [(-2.1, 1.2), (-2.0, 1.0), (0.0, 1.0)])
def test_what_does_not_die_away_has_none(poles: tuple[float, float]) -> None:
    assert gain(np.array([[1.0, 0.0, 0.0, *poles]])) == math.inf


def test_a_band_and_a_notch_are_where_they_should_be() -> None:
    rows = sections(Conditioning(200.0, (20.0, 90.0), notch_hz=50.0))
    assert rows.shape == (5, 6)
    _, h = signal.sosfreqz(rows, [5.0, 20.0, 50.0, 70.0, 90.0], fs=200.0)
    low, edge, line, inside, top = 20 * np.log10(np.abs(h) + 1e-12)
    assert low < -40
    assert line < -100
    assert abs(inside) < 0.1
    assert edge == pytest.approx(-3.0, abs=0.1)
    assert top == pytest.approx(-3.0, abs=0.1)


@pytest.mark.parametrize("deviation", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("share", [0.25, 1 / 4096])
def test_running_powers_have_room_in_64_bits(deviation: float, share: float) -> None:
    """Whatever deviation they begin with: of the largest samples, or of the first power itself."""
    x, y = QuantParams(0.01, 0, INT16), QuantParams(0.05, 0, INT8)
    attrs = {"axis": 1, "share": share, "start": deviation}
    found = quantize(QuantizeInputs(attrs, ((2, 9),), (2, 9), (x,), y, (None,))).scalars
    largest = max(2**30 << POINT, found["start"])
    assert largest * found["share"] + (1 << found["bits"]) < 2**63


@pytest.mark.parametrize(("band_hz", "order"), [((20.0, 22.0), 6), ((20.0, 23.0), 8)])
def test_a_narrow_band_keeps_its_gain_in_integers(band_hz: tuple[float, float], order: int) -> None:
    """scipy puts 1e-11 into the first section, of which 28 bits behind the point leave nothing."""
    rows = sections(Conditioning(200.0, band_hz, order)).astype(np.float32)
    integers, fraction = stored_sections(rows)
    kept = np.insert(np.ldexp(integers.astype(float), -fraction), 3, 1.0, axis=1)
    middle = [sum(band_hz) / 2]
    _, wanted = signal.sosfreqz(signal.butter(order, band_hz, "bandpass", fs=200.0, output="sos"),
                                middle, fs=200.0)  # fmt: skip
    _, found = signal.sosfreqz(kept, middle, fs=200.0)
    assert abs(found[0] / wanted[0] - 1.0) < 0.01


def test_a_filter_that_rings_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its poles lie inside the unit circle, by a hair."""
    monkeypatch.setattr(quantized, "LONGEST", 1 << 12)
    with pytest.raises(MyoedgeError, match="it rings for more than"):
        sections(Conditioning(200.0, notch_hz=50.0, notch_q=1e4))
