# SPDX-License-Identifier: Apache-2.0
"""[wake] of myoedge.toml: keys and their ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MOST_HOLD, MOST_CLASS = 1 << 16, 0xFFFE  # 0xFFFF in a packet: no class
MOST_THRESHOLD = 1e9


@dataclass(frozen=True, slots=True)
class WakeTable:
    """[wake]: when the network of the sensor application runs.

    threshold   value of a window from which the network runs: its RMS around the mean of each
                channel, in the unit of [sensor]; with `model` or `output` that of the gate's
                output; None: chosen by `miss`
    miss        maximum share of the calibration windows with another decision than `rest` that may
                lie below the threshold, which is midway between them and those of rest; 0 to 1;
                None: 0.01
    hold        windows that run although they are below, after one above
    rest        class that is reported while the network does not run
    model       file of a network on the same window that decides whether the other one runs
    output      name of an output of the network that decides whether the layers behind it run
    rest_output   index of rest among the values of the gate's output
    """

    threshold: float | None = None
    miss: float | None = None
    hold: int = 5
    rest: int = 0
    model: str | None = None
    output: str | None = None
    rest_output: int = 0

    @property
    def by_energy(self) -> bool:
        """Whether the energy of a window decides, and no output of a network."""
        return self.model is None and self.output is None


def rules(table: WakeTable) -> Iterator[tuple[str, bool]]:
    """Yield the ranges of the numbers of [wake], each with whether it is satisfied."""
    threshold, miss = table.threshold, table.miss
    least = 0 if table.by_energy else -MOST_THRESHOLD
    yield (
        f"wake.threshold must be {least:,.0f} to {MOST_THRESHOLD:,.0f}",
        threshold is None or least <= threshold <= MOST_THRESHOLD,
    )
    yield "wake.miss must be at least 0 and less than 1", miss is None or 0 <= miss < 1
    yield "wake.miss chooses the threshold: state one of the two", None in (threshold, miss)
    yield f"wake.hold must be 0 to {MOST_HOLD:,} windows", 0 <= table.hold <= MOST_HOLD
    yield f"wake.rest must be 0 to {MOST_CLASS:,}", 0 <= table.rest <= MOST_CLASS
    yield from _output_rules(table)


def _output_rules(table: WakeTable) -> Iterator[tuple[str, bool]]:
    """Yield the rules of the keys that concern an output of a network."""
    is_one = None in (table.model, table.output)
    yield "wake.model must name a file", table.model != ""
    yield "wake.output is one of the network itself: not with wake.model", is_one
    is_used = table.rest_output == 0 or not table.by_energy
    yield "wake.rest_output needs wake.model or wake.output", is_used
    yield "wake.rest_output must be 0 or more", table.rest_output >= 0
