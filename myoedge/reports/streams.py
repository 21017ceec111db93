# SPDX-License-Identifier: Apache-2.0
"""Frame-by-frame networks: frames per pass, start-up, real time, and the power of passes of other
lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from myoedge.power.duty import duty
from myoedge.power.model import Coefficients, typical, with_modelled_error
from myoedge.reports import energy as joules
from myoedge.reports import wording
from myoedge.reports.period import at_clock, built_point, control_cycles
from myoedge.reports.report_json import Report
from myoedge.reports.speed import duration
from myoedge.reports.tables import ReportTable
from myoedge.streaming.stream import Stream
from myoedge.targets import OperatingPoint


def stream_report(
    stream: Stream,
    frame_hz: float | None,
    window_s: float | None,
    least: Mapping[str, int | None],
    passes: Sequence[Mapping[str, Any]] = (),
    *,
    sample_frames: int | None = None,
) -> dict[str, Any]:
    """Return the `stream` entry of report.json: frames per pass, first output, state bytes.

    window_s   duration of the signal that a frame covers, in seconds
    least      operating point -> fewest frames per pass that run in real time
    passes     estimates per pass length: frames, cycles, l3_bytes
    sample_frames   frames of a sample, which starts from the initial states; None if samples hold
                    the states
    """
    rate = stream.rate
    # Whole passes before the first output, minus the frames already there.
    first = (stream.warmup // stream.outputs[0].frames + 1) * stream.frames - stream.early
    first_s = None if frame_hz is None else (first - 1) / frame_hz + (window_s or 0.0)
    return {
        "pass_frames": stream.frames,
        "pass_outputs": stream.outputs[0].frames,
        "frames_per_output": rate.numerator if rate.denominator == 1 else float(rate),
        "warmup_outputs": stream.warmup,
        "future_frames": stream.future,
        "state_bytes": stream.state_bytes,
        "inputs": [port.name for port in stream.inputs],
        "outputs": [port.name for port in stream.outputs],
        "states": [state.input for state in stream.states],
        "sample_frames": sample_frames,
        "endless_states": [*stream.endless_states],
        "frame_hz": frame_hz,
        "first_output_frames": first,
        "first_output_s": first_s,
        "least_frames": dict(least),
        "points": [],
        "passes": [*map(dict, passes)],
    }


def with_real_time(report: Report) -> Report:
    """Return the report with duty cycle and latency of a stream at each operating point; unchanged
    without a frame rate."""
    stream = report.get("stream")
    if not stream or not stream["frame_hz"] or not report["cycles"]:
        return report
    points = [_figures_at_point(report, point) for point in report["target"]["operating_points"]]
    return {**report, "stream": {**stream, "points": points}}


def _figures_at_point(report: Report, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a stream at one operating point.

    duty_cycle     fraction of the time spent in passes; load_hz: cycles per second
    latency_s      from the end of a hop's first sample to the outputs of its pass
    first_pass_s   duration of the first pass, with cold instruction caches; None before a run
    """
    stream, counts = report["stream"], report["cycles"]
    cycles = at_clock(report, point["clock_hz"])["cycles"]["total"]
    first_cycles = [n + cycles - counts["total"] for n in counts["inferences"][:1]]
    hop_s = 1 / stream["frame_hz"]
    period_s, pass_s = stream["pass_frames"] * hop_s, cycles / point["clock_hz"]
    return {
        "name": point["name"],
        "clock_hz": point["clock_hz"],
        "pass_s": pass_s,
        "first_pass_s": first_cycles[0] / point["clock_hz"] if first_cycles else None,
        "period_s": period_s,
        "latency_s": period_s + stream["future_frames"] * hop_s + pass_s,
        "real_time_factor": period_s / pass_s if pass_s else None,
        "duty_cycle": pass_s / period_s,
        "load_hz": cycles / period_s,
        "keeps_up": pass_s <= period_s,
        "least_frames": stream["least_frames"].get(point["name"]),
    }


def frame_ports(report: Report, ports: str) -> list[dict[str, Any]]:
    """Return the report's inputs or outputs (`ports`); for a stream without its states."""
    rows: list[dict[str, Any]] = report[ports]
    return rows[: len(report["stream"][ports])] if "stream" in report else rows


def one_line(report: Report) -> str:
    """Return a summary of a stream: "passes of 16 frames, 95,232 B of states; first output after
    128 frames, outputs 4 frames late"."""
    stream = report["stream"]
    first, late = stream["first_output_frames"], stream["future_frames"]
    delay = f", outputs {wording.several(late, 'frame')} late" if late else ""
    return (
        f"passes of {wording.several(stream['pass_frames'], 'frame')}, "
        f"{wording.size(stream['state_bytes'])} of states; first output after "
        f"{wording.several(first, 'frame')}{delay}"
    )


def measured_on(report: Report) -> list[str]:
    """Return a line that says on which states accuracy and SQNR were measured; none if no state
    depends on all earlier frames, as the stream then does the same as a sample."""
    stream = report["stream"]
    frames, states = stream.get("sample_frames"), stream.get("endless_states", ())
    if not frames or not states:
        return []
    return [
        f"accuracy and SQNR are of samples of {wording.several(frames, 'frame')}, each from the "
        f"initial states; the stream continues {wording.several(len(states), 'state')} "
        f"({', '.join(states)}) from frame to frame until it is reset"
    ]


def by_point(report: Report) -> list[str]:
    """Return a line for every operating point: "high: 4.68 times real time, 21.4 % busy, 155 ms
    from sample to output"."""
    stream, lines = report["stream"], list[str]()
    if not stream["points"] and report.get("cycles"):
        return ["rate unknown: with [stream] rate and hop, load, latency and power are reported"]
    for point in stream["points"]:
        least_frames = point["least_frames"]
        busy = wording.percent(point["duty_cycle"])
        real_time = f"{point['real_time_factor']:.2f} times real time, {busy} busy"
        if not point["keeps_up"]:
            real_time = f"does NOT keep up: a pass takes {point['duty_cycle']:.2f} of its time"
        parts = [real_time, f"{duration(point['latency_s'])} from sample to output"]
        if least_frames not in (None, stream["pass_frames"]):
            parts.append(f"passes of {wording.several(least_frames, 'frame')} would do")
        lines.append(f"{point['name']}: {', '.join(parts)}")
    return lines


# --- passes of other lengths ----------------------------------------------------------------------


PASS_TITLES = ("frames", "every", "computing", "latency", "average power")


def with_passes(report: Report, by: Coefficients) -> Report:
    """Return the report with latency and power of longer and shorter passes of a stream; unchanged
    without a frame rate.

    This build's pass has the cycles of the report. Other lengths have estimates, scaled by what
    this build's pass takes in proportion to its estimate: they are comparable after a run.
    by   energy coefficients
    """
    stream = report.get("stream") or {}
    if not stream.get("frame_hz") or not stream.get("passes"):
        return report
    point = joules.as_point(built_point(report))
    passes = [_pass_row(report, row, point, by) for row in _passes_with_cycles(report)]
    return {**report, "stream": {**stream, "passes": passes}}


def _passes_with_cycles(report: Report) -> Iterator[dict[str, Any]]:
    """Yield the passes of a stream with `cycles` and their `source`."""
    stream, there = report["stream"], at_clock(report, built_point(report)["clock_hz"])
    own, total = stream["pass_frames"], there["cycles"]["total"]
    estimate = next((x["cycles"] for x in stream["passes"] if x["frames"] == own), 0) or total
    for row in stream["passes"]:
        # Exact for this build's pass. Scaled again after another run, as all rows are together.
        cycles = row["cycles"] * total / estimate
        source = report["cycles"]["source"] if row["frames"] == own else "modelled"
        yield {**row, "cycles": round(cycles), "source": source}


def _pass_row(
    report: Report, row: Mapping[str, Any], point: OperatingPoint, by: Coefficients
) -> dict[str, Any]:
    stream = report["stream"]
    frame_s = 1 / stream["frame_hz"]
    period_s = row["frames"] * frame_s
    is_built, layers = row["frames"] == stream["pass_frames"], len(report["layers"])
    activity = typical(row["cycles"], row["l3_bytes"], row.get("mram_bytes", 0), layers=layers)
    activity = joules.activity(report) if is_built else activity
    played = joules.played_states(report) if is_built else None
    known = joules.coefficients_for(report, by) if is_built else with_modelled_error(by)
    known = by if played is not None else known
    pass_s = activity.cycles / point.clock_hz
    module = joules.module_powers(report)
    control = control_cycles(report).times(row["frames"] / stream["pass_frames"])
    found = duty(activity, point, known, period_s, None, module, played, control)
    return {
        **row,
        "period_s": period_s,
        "pass_s": pass_s,
        "latency_s": period_s + stream["future_frames"] * frame_s + pass_s,
        "keeps_up": found.keeps_up,
        "average_mw": list(found.average_mw),
        "sleeps": found.asleep_s > 0,
    }


def pass_table(report: Report) -> ReportTable:
    """Return the table of pass lengths of a stream; without rows if no frame rate or only one
    length is known."""
    stream = report.get("stream") or {}
    rows = [row for row in stream.get("passes", ()) if "latency_s" in row]
    cells = (_pass_cells(row, stream["pass_frames"]) for row in rows if len(rows) > 1)
    return ReportTable(PASS_TITLES, tuple(cells), words=PASS_TITLES)


def _pass_cells(row: Mapping[str, Any], built_frames: int) -> tuple[str, ...]:
    is_own, is_estimate = row["frames"] == built_frames, row["source"] == "modelled"
    told = ", ".join(["this build"] * is_own + ["estimated"] * is_estimate)
    frames = f"{row['frames']} ({told})" if told else str(row["frames"])
    busy = f"{duration(row['pass_s'])}, {wording.percent(row['pass_s'] / row['period_s'])}"
    power = joules.with_range(row["average_mw"], "mW")
    latency = duration(row["latency_s"])
    if not row["keeps_up"]:
        latency = power = "does not keep up"
    return (frames, duration(row["period_s"]), busy, latency, power)
