# SPDX-License-Identifier: Apache-2.0
"""A stream in the report: what is kept, and how it keeps up with what comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.reports import words
from myoedge.reports.rows import Report
from myoedge.reports.speed import duration
from myoedge.streaming.stream import Stream


def stream_report(
    stream: Stream, frame_hz: float | None, window_s: float | None, least: Mapping[str, int | None]
) -> dict[str, Any]:
    """Frames of a pass, what comes when, what is kept.

    window_s   what a frame is made of
    least      by operating point the fewest frames that keep up
    """
    first = _first_output_frames(stream)
    first_s = None if frame_hz is None else (first - 1) / frame_hz + (window_s or 0.0)
    return {
        "pass_frames": stream.frames,
        "pass_outputs": stream.outputs[0].frames,
        "frames_per_output": stream.stride,
        "warmup_outputs": stream.warmup,
        "future_frames": stream.future,
        "state_bytes": stream.state_bytes,
        "inputs": [port.name for port in stream.inputs],
        "outputs": [port.name for port in stream.outputs],
        "states": [state.input for state in stream.states],
        "frame_hz": frame_hz,
        "first_output_frames": first,
        "first_output_s": first_s,
        "least_frames": dict(least),
        "points": [],
    }


def _first_output_frames(stream: Stream) -> int:
    """Frames that are pushed until the first output is ready: whole passes, less those in front."""
    passes = stream.warmup // stream.outputs[0].frames + 1
    return passes * stream.frames - stream.early


def with_pace(report: Report) -> Report:
    """The report with what cycles mean for its stream, if it is one with a rate, at every point."""
    found = report.get("stream")
    if not found or not found["frame_hz"] or not report["cycles"]:
        return report
    points = [_point(report, point) for point in report["target"]["operating_points"]]
    return {**report, "stream": {**found, "points": points}}


def _point(report: Report, point: Mapping[str, Any]) -> dict[str, Any]:
    """duty_cycle: share of the time in which a pass is computed; load_hz: cycles a second.

    latency_s      from the end of a hop's first sample to the outputs of its pass
    first_pass_s   of the first pass, its code in no cache; None before a run
    """
    found, cycles = report["stream"], report["cycles"]["total"]
    counted = report["cycles"]["inferences"]
    hop_s = 1 / found["frame_hz"]
    period_s, pass_s = found["pass_frames"] * hop_s, cycles / point["clock_hz"]
    return {
        "name": point["name"],
        "clock_hz": point["clock_hz"],
        "pass_s": pass_s,
        "first_pass_s": counted[0] / point["clock_hz"] if counted else None,
        "period_s": period_s,
        "latency_s": period_s + found["future_frames"] * hop_s + pass_s,
        "real_time_factor": period_s / pass_s if pass_s else None,
        "duty_cycle": pass_s / period_s,
        "load_hz": cycles / period_s,
        "keeps_up": pass_s <= period_s,
        "least_frames": found["least_frames"].get(point["name"]),
    }


def given(report: Report, ports: str) -> list[dict[str, Any]]:
    """Inputs or outputs; of a stream those that carry frames."""
    found: list[dict[str, Any]] = report[ports]
    return found[: len(report["stream"][ports])] if "stream" in report else found


def in_short(report: Report) -> str:
    """ "passes of 16 frames, 95,232 B kept; first output after 128 frames"."""
    found = report["stream"]
    first = found["first_output_frames"]
    return (
        f"passes of {words.several(found['pass_frames'], 'frame')}, "
        f"{words.size(found['state_bytes'])} kept; first output after "
        f"{words.several(first, 'frame')}"
    )


def by_point(report: Report) -> list[str]:
    """ "high: 4.68 times real time, 21.4 % busy, 155 ms from sample to output"."""
    found = report["stream"]
    return [_told(point, found["pass_frames"]) for point in found["points"]]


def _told(point: Mapping[str, Any], frames: int) -> str:
    least = point["least_frames"]
    busy = words.percent(point["duty_cycle"])
    keeps = f"{point['real_time_factor']:.2f} times real time, {busy} busy"
    if not point["keeps_up"]:
        keeps = f"does NOT keep up: a pass takes {point['duty_cycle']:.2f} of its time"
    parts = [keeps, f"{duration(point['latency_s'])} from sample to output"]
    if least is not None and least != frames:
        parts.append(f"passes of {words.several(least, 'frame')} would do")
    return f"{point['name']}: {', '.join(parts)}"
