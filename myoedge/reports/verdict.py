# SPDX-License-Identifier: Apache-2.0
"""A report in a few sentences."""

from __future__ import annotations

from myoedge.reports import energy, speed, words
from myoedge.reports.rows import Report


def verdict(report: Report) -> str:
    """The report in one or two sentences, made only of what was measured."""
    parts = [_fidelity(report), _space(report), _speed(report)]
    parts.insert(0 if False in report["exact"].values() else len(parts), _exactness(report))
    return " ".join(filter(None, parts))


def _fidelity(report: Report) -> str:
    q = report["quantization"]
    if q["accuracy_int8"] is not None and q["accuracy_float"] is not None:
        return (
            f"In int8 the network gets {words.percent(q['accuracy_int8'])} right, "
            f"in float {words.percent(q['accuracy_float'])}."
        )
    if q["sqnr_db"] is None:
        return ""
    return f"The int8 outputs lie {words.decibels(q['sqnr_db'])} above their quantisation noise."


def _speed(report: Report) -> str:
    if speed.cycles(report) is None:
        return ""
    time, point = speed.latencies(report)[0]
    what = "A pass of the stream" if "stream" in report else "An inference"
    if speed.is_modelled(report):
        return f"{what} is modelled to take {time} at {point}; it has not run yet."
    said = f"{what} takes {time} at {point} on {speed.the_place(report)}"
    found = energy.known(report)
    return (
        f"{said}, and some {energy.in_joules(found)} by the model of energy."
        if found
        else f"{said}."
    )


def _space(report: Report) -> str:
    peak, l2_bytes = report["memory"]["l2_peak_bytes"], report["target"]["l2_bytes"]
    of = f" of {words.size(l2_bytes)}" if l2_bytes else ""
    return f"It takes {words.size(peak)}{of} of L2 memory."


def _exactness(report: Report) -> str:
    exact = report["exact"]
    wrong = [words.RUNG_NAMES[rung] for rung, answer in exact.items() if answer is False]
    same = [words.RUNG_NAMES[rung] for rung, answer in exact.items() if answer]
    if wrong:
        return f"Wrong integers: {', '.join(wrong)}."
    return f"Bit for bit the same as the reference: {', '.join(same)}." if same else ""
