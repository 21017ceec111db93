# SPDX-License-Identifier: Apache-2.0
"""Sentences about quantisation scales, SQNR and noise for the terminal and HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.errors import named_input
from myoedge.quantization.search.goal import AIM_DB
from myoedge.quantization.search.moves.layers import METHOD_NAMES
from myoedge.reports.evaluations import EXACT_DB
from myoedge.reports.report_json import GOOD_DB, WEAK_DB, Report
from myoedge.reports.streams import frame_ports
from myoedge.reports.tables import ReportTable
from myoedge.reports.wording import (
    FINE_DB,
    decibels,
    layer_names,
    percent,
    rough_percent,
    several,
)

CHOOSING = "dB of the calibration samples that choose"


def facts(report: Report) -> dict[str, str]:
    """Return what is known of a network's integers, as text by title: "SQNR", "scales", "refined"
    (moves that were tried), "reachable" (a move that the cycle limit excluded)."""
    q, ports = report["quantization"], frame_ports(report, "outputs")
    every_db = (q["sqnr_db"], *(port.get("sqnr_end_db") for port in report["outputs"]))
    worst_db = min((db for db in every_db if db is not None), default=None)
    choices, reused = q.get("choices", ()), report.get("reused") is not None
    moves = refinement(choices, worst_db, accurate=q.get("accurate", False), reused=reused)
    texts = {
        "scales": scales(report),
        "refined": "\n".join(moves),
        "reachable": reachable(choices, worst_db),
    }
    if q["sqnr_db"] is not None:
        place = at_outputs(ports, q.get("sqnr_before", ()), q["samples"])
        texts["SQNR"] = f"{sqnr(q)} {place}; {judged(report)}"
    return {title: text for title, text in texts.items() if text}


def calibrated(report: Report) -> str:
    """Describe the source of the quantisation ranges: "scales of the model file", "calibrated on 3
    example inputs (min-max)"."""
    q = report["quantization"]
    source, method, samples = (q["calibration"][x] for x in ("source", "observer", "samples"))
    if method == "file":
        return "scales of the model file"
    return f"calibrated on {source} ({observers(method, q.get('observers_db', {}), samples)})"


def scales(report: Report) -> str:
    """Describe the source of the scales as `calibrated` does, without the first word "scales"."""
    return calibrated(report).removeprefix("scales ")


def observers(chosen: str, worst_db: Mapping[str, float | None], samples: int) -> str:
    """Describe the observer with the SQNR of all that were tried: "percentile; tried on 16 of them:
    min-max 28.6 dB, percentile 30.1 dB"; only its name if none was tried.

    chosen     the observer used
    worst_db   observer -> SQNR of the worst output in dB
    samples    number of calibration samples, of which some were used to try observers
    """
    name = METHOD_NAMES.get(chosen, chosen)
    if len(worst_db) < 2:
        return name
    tried = ", ".join(f"{METHOD_NAMES.get(n, n)} {decibels(db)}" for n, db in worst_db.items())
    return f"{name}; tried on {samples} of them: {tried}"


def refined(choice: Mapping[str, Any]) -> str:
    """Describe a move of the precision search: "16 bits for 26 tensors: 22.3 dB, 10 % more cycles,
    estimated"; a negative number of cycles are fewer."""
    name = str(choice["remedy"])
    if tensors := choice["int16_tensors"]:
        name = f"{name} for {several(tensors, 'tensor')}"
    more = choice["more_cycles"]
    cost = rough_percent(abs(more), 1.0) if more else ""
    cost = f", {cost} {'more' if more > 0.0 else 'fewer'} cycles, estimated" if cost else ""
    return f"{name}: {decibels(choice['worst_db'])}{cost}{'' if choice['kept'] else ', not kept'}"


def refinement(
    choices: Sequence[Mapping[str, Any]],
    worst_db: float | None,
    *,
    accurate: bool,
    reused: bool = False,
) -> list[str]:
    """Return a line for every move that the precision search tried; for --accurate also a line if
    it tried none.

    worst_db   SQNR of the worst output in dB
    reused     whether the decisions of an older build were kept
    """
    tried = [choice for choice in choices if not choice.get("setting")]
    if tried or not accurate:
        lines = dict.fromkeys(map(refined, tried))  # several goals may try the same move
        return [*lines, *([CHOOSING] if lines else [])]
    if reused:
        return ["--accurate changes nothing: --reuse keeps the older build's choices"]
    who = "the calibration samples reach" if (worst_db or 0.0) < GOOD_DB else "every output reaches"
    return [f"--accurate changes nothing: {who} {GOOD_DB:g} dB already"]


def reachable(choices: Sequence[Mapping[str, Any]], worst_db: float | None) -> str:
    """Describe the move that the cycle limit excluded: "32.8 dB for 67 % more cycles than this
    build, estimated, with [budget] sqnr = 25"; without one, that no move reached the goal.

    worst_db   SQNR of the worst output in dB
    """
    offers = [choice for choice in choices if choice.get("setting")]
    if not offers:
        is_missed = choices and worst_db is not None and worst_db < AIM_DB
        return f"no move tried reaches {AIM_DB:g} dB" if is_missed else ""
    kept = [max(choice["more_cycles"], 0.0) for choice in choices if choice["kept"]]
    more = (1.0 + offers[-1]["more_cycles"]) / (1.0 + (kept[-1] if kept else 0.0)) - 1.0
    cost = f"{rough_percent(more, 1.0)} more cycles than this build, estimated"
    return f"{decibels(offers[-1]['worst_db'])} for {cost}, with {offers[-1]['setting']}"


def sqnr(found: Mapping[str, Any]) -> str:
    """Format the SQNR of a network or an output with its interval, "44.8 dB (44.5 to 45.1)";
    without decimals if an end is more than FINE_DB away, "27 dB (8 to 41)"; only the number without
    an interval."""
    value, ends = found.get("sqnr_db"), found.get("sqnr_interval_db")
    if value is None or ends is None or value >= EXACT_DB:
        return decibels(value)
    is_fine = max(abs(end - value) for end in ends) <= FINE_DB
    shown, *rest = (
        "exact" if db >= EXACT_DB else f"{db:z.{int(is_fine)}f}" for db in (value, *ends)
    )
    return f"{shown} dB ({' to '.join(rest)})"


def judged(report: Report) -> str:
    """Describe the samples on which SQNR was measured: "40 held-out samples"."""
    q = report["quantization"]
    held_out = (q.get("holdout") or {}).get("samples")
    return judged_samples(q["samples"], q["judged_on"], q["calibration"]["source"], held_out)


def judged_samples(number: int, judged_on: str, source: str, held_out: int | None = None) -> str:
    """Describe samples on which SQNR was measured: "40 held-out samples", "13 held-out random
    samples", "64 of 225 held-out samples".

    held_out   number of held-out samples, not all of which may be measured; None without any
    """
    kind = " random" * source.endswith((" random sample", " random samples"))
    name = f"{judged_on}{kind} sample"
    is_part = held_out is not None and number < held_out
    return f"{number:,} of {several(held_out or 0, name)}" if is_part else several(number, name)


def on_examples(report: Report) -> bool:
    """Return whether calibration had only the model archive's example inputs, too few for reliable
    ranges."""
    source = report["quantization"]["calibration"]["source"]
    return re.fullmatch(r"\d+ example inputs?", source) is not None


def advice(report: Report) -> str:
    """Return one sentence on the largest noise source, with a remedy if needed; "" without
    noise."""
    q = report["quantization"]
    if q["weakest"] is None or q["weakest"]["sqnr_local_db"] >= EXACT_DB:
        return ""
    sentence, local_db, worst_db = (
        _describe_noise(report),
        q["weakest"]["sqnr_local_db"],
        q["sqnr_db"],
    )
    if (worst_db or 0.0) >= GOOD_DB:
        is_good = f" ({GOOD_DB:g} dB or more is good)"
        return f"{sentence}{is_good if local_db >= GOOD_DB else ', but the output is good'}"
    if local_db >= WEAK_DB or q.get("accurate"):  # int16 was tried
        return sentence
    return f"{sentence}; try {_fidelity_remedy(report)}, or more calibration samples"


def _fidelity_remedy(report: Report) -> str:
    q = report["quantization"]
    row = next(row for row in report["layers"] if row["name"] == q["weakest"]["name"])
    if (row.get("weight_bits") or 8) < 8:  # int16 does not reduce noise of the weights
        return "weights of more bits"
    return "--accurate" if q.get("observers_db") else "--method auto"


def _describe_noise(report: Report) -> str:
    """Describe the weakest layer, or the tensor whose rounding causes its noise."""
    q, names = report["quantization"], layer_names(report)
    weakest = q["weakest"]["name"]
    source, value = q.get("noise_from", {}).get(weakest), decibels(q["weakest"]["sqnr_local_db"])
    makers = {row["name"]: (f"{names[row['name']]}'s result", row) for row in report["layers"]}
    makers |= {
        port["tensor"]: (named_input(port["name"]), port) for port in report.get("inputs", ())
    }
    if source not in makers:
        return f"{names[weakest]} adds the most noise: {value} on its own"
    maker, row = makers[source]
    bits = str(row["dtype"]).removeprefix("u").removeprefix("int")
    return f"the {bits} bits of {maker} add the most noise: {value} where {names[weakest]} reads it"


def is_weak(report: Report, row: Mapping[str, Any]) -> bool:
    """Return whether a layer's own SQNR is below WEAK_DB."""
    own = row["name"] not in report["quantization"].get("noise_from", {})
    return own and row["sqnr_local_db"] is not None and row["sqnr_local_db"] < WEAK_DB


def noisiest(report: Report) -> str:
    """Return the name of the tensor whose rounding adds the most noise; "" if none was measured."""
    q = report["quantization"]
    name = "" if q["weakest"] is None else q["weakest"]["name"]
    return str(q.get("noise_from", {}).get(name, name))


ENDINGS = {"log_softmax": "log-softmax", "ctc_greedy": "greedy decoding"}


def sqnr_place(functions: Sequence[str]) -> str:
    """Describe where SQNR is measured: ", before the softmax"; "" for the output itself."""
    names = [f"the {ENDINGS.get(name, name)}" for name in functions]
    return f", before {' and '.join(names)}" if names else ""


def remedy_table(q: Mapping[str, Any]) -> ReportTable:
    """Return the table of observers and moves of the precision search, with the SQNR of the worst
    output."""
    chosen = q["calibration"]["observer"]
    rows = [
        (f"ranges by {METHOD_NAMES.get(name, name)}", decibels(db), "", name == chosen)
        for name, db in q["observers_db"].items()
    ]
    for choice in q["choices"]:
        count = choice["int16_tensors"]
        of = f" for {several(count, 'tensor')}" if count else ""
        of += f", with {choice['setting']}" if choice.get("setting") else ""
        numbers = decibels(choice["worst_db"]), percent(choice["more_cycles"])
        rows.append((choice["remedy"] + of, *numbers, choice["kept"]))
    cells = tuple((*cells, "yes" if is_kept else "no") for *cells, is_kept in rows)
    titles = ("remedy", "SQNR", "more cycles, estimated", "kept")
    return ReportTable(titles, cells, words=("remedy", "kept"))


def at_outputs(ports: Sequence[Mapping[str, Any]], functions: Sequence[str], count: int) -> str:
    """Describe the outputs at which SQNR is measured: "at the output, 31.2 dB in the worst of 64
    measured samples (number 12)", "at the worst of the outputs scores (40.1 dB, 31.2 dB in the
    worst of 64 measured samples (number 12)), state (37.0 dB)".

    count   number of measured samples
    """
    if len(ports) == 1:
        found = f"{_final_sqnr(ports[0])}{_worst_sample(ports[0], count)}"
        return f"at the output{sqnr_place(functions)}{found}"
    listed = ", ".join(
        f"{port['name']} ({sqnr(port)}{_final_sqnr(port)}{_worst_sample(port, count)})"
        for port in ports
    )
    return f"at the worst of the outputs {listed}{sqnr_place(functions)}"


def _final_sqnr(port: Mapping[str, Any]) -> str:
    """Format the SQNR after an output's final function: ", 28.9 dB behind it"; "" if unknown."""
    end_db = port.get("sqnr_end_db")
    return "" if end_db is None else f", {decibels(end_db)} behind it"


def _worst_sample(port: Mapping[str, Any], count: int) -> str:
    """Describe the sample with the lowest SQNR of an output, and the fraction of equal argmax; or a
    regression's largest error, in the unit of its targets."""
    if port.get("passed_through"):
        return ", passed through"
    if port.get("worst_sample") is None:
        return ""
    among = several(count, "measured sample")
    if port.get("worst_error") is not None:
        place = f"{among} (number {port['worst_error_sample']})"
        return f", error at most {port['worst_error']:.4g} in {place}"
    worst = decibels(port["worst_sample_db"])
    text = f", {worst} in the worst of {among} (number {port['worst_sample']})"
    if port["agreement"] is None:
        return text
    return f"{text}, same argmax in {percent(port['agreement'])}"


def last_so_far(report: Report) -> str:
    """Return a sentence on how the last layer's accumulated SQNR relates to the network's SQNR; ""
    for several outputs."""
    if functions := report["quantization"].get("sqnr_before"):
        return f" The network's SQNR is that{sqnr_place(functions).removeprefix(',')}."
    outputs = report["stream"]["outputs"] if "stream" in report else report["outputs"]
    return " The last layer's is the network's." if len(outputs) == 1 else ""
