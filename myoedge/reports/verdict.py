# SPDX-License-Identifier: Apache-2.0
"""A summary of a report in two or three sentences."""

from __future__ import annotations

from myoedge.reports import energy, speed, wording
from myoedge.reports.report_json import Report


def verdict(report: Report) -> str:
    """Two or three sentences on the report, from measured values only."""
    parts = [_fidelity(report), _space(report), _speed(report)]
    parts.insert(0 if False in report["exact"].values() else len(parts), _exactness(report))
    return " ".join(filter(None, parts))


def _fidelity(report: Report) -> str:
    q = report["quantization"]
    if q["accuracy_int8"] is not None and q["accuracy_float"] is not None:
        return (
            f"In int8 the network gets {wording.percent(q['accuracy_int8'])} right, "
            f"in float {wording.percent(q['accuracy_float'])}."
        )
    if q["sqnr_db"] is None:
        return ""
    return f"The SQNR of the int8 outputs is {wording.decibels(q['sqnr_db'])}."


def _speed(report: Report) -> str:
    if speed.cycles(report) is None:
        return ""
    time, point = speed.latencies(report)[0]
    run = "A pass of the stream" if "stream" in report else "An inference"
    if speed.is_modelled(report):
        return f"{run} takes an estimated {time} at {point}; the firmware has not run yet."
    sentence = f"{run} takes {time} at {point} on {speed.the_place(report)}"
    row = energy.energy_row(report)
    return (
        f"{sentence}, and about {energy.in_joules(row)} by the energy model."
        if row
        else f"{sentence}."
    )


def _space(report: Report) -> str:
    peak, l2_bytes = report["memory"]["l2_peak_bytes"], report["target"]["l2_bytes"]
    of = f" of {wording.size(l2_bytes)}" if l2_bytes else ""
    return f"It takes {wording.size(peak)}{of} of L2 memory."


def _exactness(report: Report) -> str:
    exact = report["exact"]
    wrong_backends = [
        wording.BACKEND_NAMES[backend] for backend, is_exact in exact.items() if is_exact is False
    ]
    exact_backends = [
        wording.BACKEND_NAMES[backend] for backend, is_exact in exact.items() if is_exact
    ]
    if wrong_backends:
        return f"Wrong integers: {', '.join(wrong_backends)}."
    return (
        f"Bit for bit the same as the reference: {', '.join(exact_backends)}."
        if exact_backends
        else ""
    )
