# SPDX-License-Identifier: Apache-2.0
"""Networks of other libraries, built, compared on host and simulator, and recorded.

python -m tests.upstream.record            runs all, one process each; a table on the terminal
python -m tests.upstream.record --record   the same, kept in fixtures/upstream.json, docs/zoo.md
python -m tests.upstream.record PATTERN    those whose library/name match; others as recorded
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import myoedge
from myoedge.errors import MyoedgeError
from tests import pages
from tests.conftest import save_exported
from tests.upstream.networks import Network, networks

RECORDED = Path(__file__).resolve().parents[1] / "fixtures" / "upstream.json"
PAGE = pages.PAGE.with_name("zoo.md")
COLUMNS = ("network", "MMAC", "SQNR, dB", "cycles, thousands", "energy, uJ", "or why not")
MOST_S = 1800  # a network's process, by the clock: what takes longer is a finding
CALIBRATION = 8  # samples
BACKENDS = ("host", "simulator")

Row = Mapping[str, Any]  # macs, sqnr_db, cycles, energy_uj; or refused, a line


def main(arguments: Sequence[str]) -> int:
    """Runs the chosen networks, or with --one a single one: its row is the last line printed."""
    if "--one" in arguments:
        print(json.dumps(row_of(_named(arguments[-1]))))
        return 0
    patterns = [argument for argument in arguments if not argument.startswith("--")] or ["*"]
    found = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    for network in networks():
        key = f"{network.library}/{network.name}"
        if any(fnmatch(key, pattern) for pattern in patterns):
            found[key] = in_process(key)
            print(key, found[key], flush=True)
            if "--record" in arguments:
                RECORDED.write_text(json.dumps(found, indent=1) + "\n")
    pages.show(found, COLUMNS, cells(found), RECORDED, PAGE)
    return 0


def in_process(key: str) -> Row:
    """The row of a network from a process of its own, which may crash or never end."""
    command = (sys.executable, "-W", "ignore", "-m", "tests.upstream.record", "--one", key)
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=MOST_S)
    except subprocess.TimeoutExpired:
        return {"refused": f"not built in {MOST_S} s"}
    lines = ran.stdout.splitlines() or ["null"]
    return json.loads(lines[-1]) or {"refused": f"its process ended with {ran.returncode}"}


def row_of(network: Network) -> Row:
    """Figures of a network, or in one line why there are none, with the code of a refusal."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            net, inputs = _tried(f"{network.library} does not make it", network.make)
            export = partial(save_exported, net, inputs, folder / "model.pt2")
            model = _tried("torch.export does not take it", export)
            return _tried("a defect", partial(_built, model, inputs, folder))
        except _Refused as error:
            return {"refused": str(error)}


class _Refused(Exception):
    """Why a network has no figures."""


def _tried(otherwise: str, call: Callable[[], Any]) -> Any:
    """The result. Errors: _Refused, with the code of a refusal; else with `otherwise`."""
    try:
        return call()
    except MyoedgeError as error:
        raise _Refused(f"{error.code}: {_line(error)}") from error
    except Exception as error:  # whatever a library raises
        traceback.print_exc()
        raise _Refused(f"{otherwise}: {type(error).__name__}: {_line(error)}") from error


def _built(model: Path, inputs: tuple[torch.Tensor, ...], folder: Path) -> Row:
    """Built and compared. Errors: MyoedgeError; AssertionError where it is not exact."""
    names = torch.export.load(model).graph_signature.user_inputs
    calib = {str(name): _drawn(x) for name, x in zip(names, inputs, strict=True)}
    build = myoedge.build(model, calib=calib, output=folder / "out", simulate=True)
    exact = myoedge.validate(build, on=BACKENDS).exact
    assert all(exact[name] for name in BACKENDS), f"not exact: {exact}"
    report = build.report
    return {
        "macs": report["model"]["macs"],
        "sqnr_db": report["quantization"]["sqnr_db"],
        "cycles": report["cycles"]["total"],
        "energy_uj": report["energy_uj"]["value"],
    }


def _drawn(like: torch.Tensor) -> np.ndarray[Any, Any]:
    """Samples of an input: noise with a slow wave, or ids that its example has."""
    shape = (CALIBRATION, *like.shape)
    draw = np.random.default_rng(0)
    if not like.is_floating_point():
        return draw.integers(0, int(like.max()) + 1, shape).astype(like.numpy().dtype)
    wave = np.sin(np.linspace(0, 20, shape[-1]))
    return (draw.standard_normal(shape) + wave).astype(np.float32)


def _named(key: str) -> Network:
    return next(n for n in networks() if f"{n.library}/{n.name}" == key)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def cells(found: Mapping[str, Row]) -> list[list[str]]:
    return [[key, *_figures(row)] for key, row in sorted(found.items())]


def _figures(row: Row) -> list[str]:
    if "refused" in row:
        return ["", "", "", "", row["refused"].replace("|", "/")]
    macs, cycles = row["macs"] / 1e6, row["cycles"] / 1e3
    return [
        f"{macs:.2f}",
        f"{row['sqnr_db']:.1f}",
        f"{cycles:,.0f}",
        f"{row['energy_uj']:,.0f}",
        "",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
