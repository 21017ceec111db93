# SPDX-License-Identifier: Apache-2.0
"""What report.json says of a stream."""

from __future__ import annotations

from typing import Any

from myoedge.streaming.pushed import Stream


def stream_report(stream: Stream) -> dict[str, Any]:
    """Frames of a pass, what comes when, what is kept."""
    return {
        "pass_frames": stream.frames,
        "pass_outputs": stream.outputs[0].frames,
        "frames_per_output": stream.stride,
        "warmup_outputs": stream.warmup,
        "state_bytes": stream.state_bytes,
        "inputs": [port.name for port in stream.inputs],
        "outputs": [port.name for port in stream.outputs],
        "states": [state.input for state in stream.states],
    }
