# SPDX-License-Identifier: Apache-2.0
"""`myoedge validate`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Voice, board_options, common

if TYPE_CHECKING:
    from myoedge.api import Validation

DIFFER = 4
RUNGS = {
    "host": "host C, every layer",
    "simulator": "simulated GAP9, every layer",
    "gvsoc": "GVSoC, outputs",
    "board": "board, outputs",
}


@click.command("validate")
@click.argument("folder", type=click.Path(), required=False)
@click.option(
    "--on",
    default="host",
    metavar="RUNGS",
    help="Rungs of the ladder, with commas: host, simulator, gvsoc, board.",
)
@click.option("--input", metavar="FILE", help="npz/npy samples to compare in addition.")
@click.option(
    "--onnx", is_flag=True, help="Also measure model.int8.onnx (pip install onnxruntime)."
)
@click.option("--cc", default="zig", metavar="COMPILER", help="zig (comes along), cc, or a path.")
@board_options
@common
def command(voice: Voice, folder: str | None, on: str, **options: Any) -> None:
    """Compare every layer of the generated C with the NumPy reference, bit for bit.

    FOLDER is what build wrote; the newest one below build/ without it.
    """
    from myoedge import api
    from myoedge.cli.newest import named_or_newest

    rungs = tuple(filter(None, on.split(",")))
    found = api.validate(named_or_newest(voice, folder), on=rungs, **options, say=voice.stage)
    voice.result(_as_json(found), lambda: _show(voice, found))
    if found.difference is not None:
        sys.exit(DIFFER)


def _as_json(found: Validation) -> dict[str, Any]:
    difference = None if found.difference is None else asdict(found.difference)
    db = None if found.onnx_db is None else min(found.onnx_db, 999.0)
    return {
        "exact": found.exact,
        "samples": found.samples,
        "difference": difference,
        "onnx_db": db,
    }


def _show(voice: Voice, found: Validation) -> None:
    for rung, count in found.samples.items():
        if found.exact[rung]:
            one, many = ("pass", "passes") if found.in_passes else ("sample", "samples")
            text = f"exact: reference = {RUNGS[rung]}, {count:,} {one if count == 1 else many}"
            voice.out.print(text, markup=False)
    if found.onnx_db is not None:
        same = found.onnx_db == float("inf")
        text = "the same integers" if same else f"{found.onnx_db:.1f} dB to the reference"
        voice.out.print(f"onnxruntime on model.int8.onnx: {text}", markup=False)
    if found.difference is None:
        return
    d, of = found.difference, "pass" if found.in_passes else "sample"
    lines = (
        f"{d.where} differs on {d.rung}",
        f"  layer     {d.layer} ({d.name}), {of} {d.sample}, index {list(d.index)}",
        f"  expected  {d.expected}",
        f"  got       {d.got}",
    )
    voice.out.print("\n".join(lines), markup=False)
