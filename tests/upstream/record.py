# SPDX-License-Identifier: Apache-2.0
"""Networks of other libraries, built, compared on host and simulator, and recorded.

python -m tests.upstream.record            runs all, one process each; a table on the terminal
python -m tests.upstream.record --record   the same, kept in fixtures/upstream.json and the page
python -m tests.upstream.record PATTERN    those whose library/name match; others as recorded
python -m tests.upstream.record --page     docs/developers/zoo.md from what is recorded

What is recorded changes when the last network has run. A run that was interrupted has its rows in
build/zoo.json: the next one with --record goes on behind them, unless the package has changed. Rows
of networks whose library is not installed stay as recorded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.system.cache import digest
from myoedge.system.folder import replace_files
from tests.conftest import save_exported
from tests.support import pages
from tests.upstream.networks import ORDER, Network, networks, task
from tests.upstream.semg.published import MEASURED, PUBLISHED, Published

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "fixtures" / "upstream.json"
UNFINISHED = ROOT / "build" / "zoo.json"
PAGE = ROOT / "docs" / "developers" / "zoo.md"
COLUMNS = (
    *("task", "network", "MMAC", "SQNR, dB", "cycles, thousands", "energy, uJ"),
    "published, or why not",
)
LIBRARIES = ("library", "builds exactly", "does not build")  # of tasks without biosignals
NAMED_ONLY = ("images", "language, images, speech", "time series")
SOURCES = ("sEMG network", "source", "parameters, published", "here", "difference")
MOST_S = 1800  # a network's process, by the clock: what takes longer is a finding
CALIBRATION = 8  # samples
BACKENDS = ("host", "simulator")

Row = Mapping[str, Any]  # parameters; macs, sqnr_db, cycles, energy_uj, or refused, a line
Rows = Mapping[str, Row]  # by library/name


def main(arguments: Sequence[str]) -> int:
    """Runs the chosen networks, or with --one a single one: its row is the last line printed."""
    if "--one" in arguments:
        print(json.dumps(row_of(_named(arguments[-1]))))
        return 0
    earlier = recorded()
    if "--page" in arguments:
        _put(PAGE, page_of(PAGE.read_text(), earlier))
        return 0
    patterns = [argument for argument in arguments if not argument.startswith("--")] or ["*"]
    keys = [f"{network.library}/{network.name}" for network in networks()]
    chosen = [key for key in keys if any(fnmatch(key, pattern) for pattern in patterns)]
    keep = "--record" in arguments
    ran = dict(_run(chosen, unfinished() if keep else {}, keep=keep))
    found = {**{key: earlier[key] for key in earlier if _stays(key, keys)}, **ran}
    Console().print(pages.shown(COLUMNS, cells(found)))
    if keep:
        _record(found)
    return 0


def _stays(key: str, keys: Sequence[str]) -> bool:
    """Whether a recorded row is of the list, or of a library that is not installed."""
    library = key.partition("/")[0]
    return key in keys or not any(other.startswith(f"{library}/") for other in keys)


def _run(chosen: Sequence[str], ran: Rows, *, keep: bool) -> Rows:
    """Rows of all chosen networks and of those that ran before, each told as it comes."""
    for number, key in enumerate(chosen, 1):
        again = key in ran
        if not again:
            ran = {**ran, key: in_process(key)}
        if keep:
            UNFINISHED.parent.mkdir(exist_ok=True)
            _put(UNFINISHED, json.dumps({"package": package(), "rows": ran}))
        print(f"[{number}/{len(chosen)}] {key}{' (ran before)' * again}: {ran[key]}", flush=True)
    return ran


def recorded() -> dict[str, Row]:
    """Rows of the last run that ended."""
    rows: dict[str, Row] = json.loads(RECORDED.read_text())
    return rows


def unfinished() -> Rows:
    """Rows of a run that was interrupted, if it was of this very code; else none."""
    kept = json.loads(UNFINISHED.read_text()) if UNFINISHED.exists() else {}
    rows: Rows = kept["rows"] if kept.get("package") == package() else {}
    return rows


@cache
def package() -> str:
    """Digest of what rows depend on: the package, the firmware's templates, the networks."""
    folders = (ROOT / "myoedge", ROOT / "firmware_templates", Path(__file__).parent)
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return digest(ROOT, (path for path in files if path.suffix != ".pyc"), ())


def _record(found: Rows) -> None:
    """Figures and page, each in one step; an interruption in between leaves the rows to go on."""
    _put(RECORDED, stored(found))
    _put(PAGE, page_of(PAGE.read_text(), found))
    UNFINISHED.unlink(missing_ok=True)


def page_of(text: str, found: Rows) -> str:
    """The page with these rows in its three tables."""
    text = pages.replaced(text, pages.head(*COLUMNS), cells(found))
    text = pages.replaced(text, pages.head(*LIBRARIES), libraries(found))
    return pages.replaced(text, pages.head(*SOURCES), [_source(net, found) for net in PUBLISHED])


def stored(found: Rows) -> str:
    """Rows by name, as the page has them: those of two people do not meet at the end."""
    return json.dumps(dict(sorted(found.items())), indent=1) + "\n"


def _put(path: Path, text: str) -> None:
    replace_files(path.parent, {path.name: text.encode()})


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
    size: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            net, inputs = _tried(f"{network.library} does not make it", network.make)
            size = {"parameters": sum(p.numel() for p in net.parameters())}
            export = partial(save_exported, net, inputs, folder / "model.pt2")
            model = _tried("torch.export does not take it", export)
            return {**size, **_tried("a defect", partial(_built, model, inputs, folder))}
        except _Refused as error:
            return {**size, "refused": str(error)}


class _Refused(Exception):
    """Why a network has no figures."""


def _tried(otherwise: str, call: Callable[[], Any]) -> Any:
    """The result. Errors: _Refused, with the code of a refusal; else with `otherwise`."""
    try:
        return call()
    except MyoedgeError as error:
        raise _Refused(f"{error.code}: {_line(error.notice.title)}") from error
    except Exception as error:  # whatever a library raises
        traceback.print_exc()
        raise _Refused(f"{otherwise}: {type(error).__name__}: {_line(str(error))}") from error


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


def _line(text: str) -> str:
    """The first sentence, without addresses and folders, which differ by machine."""
    words = (word for word in text.split() if "/" not in word)
    return " ".join(words).partition(". ")[0][:160]


def cells(found: Rows) -> list[list[str]]:
    """Rows of the first table: by task, those for sEMG first."""
    placed = {name: number for number, name in enumerate(ORDER)}
    order = sorted(found, key=lambda key: (placed.get(task(key), len(placed)), task(key), key))
    shown = (key for key in order if task(key) not in NAMED_ONLY)
    return [[task(key), key, *_figures(found[key], key)] for key in shown]


def libraries(found: Rows) -> list[list[str]]:
    """Rows of the second table: networks of other tasks, by name."""
    keys = sorted(key for key in found if task(key) in NAMED_ONLY)
    rows = []
    for library in dict.fromkeys(key.partition("/")[0] for key in keys):
        own = {key.partition("/")[2]: found[key] for key in keys if key.startswith(f"{library}/")}
        built = [name for name, row in own.items() if "refused" not in row]
        others = [f"{name} ({row['refused']})" for name, row in own.items() if "refused" in row]
        rows.append([library, ", ".join(built), "; ".join(others).replace("|", "/")])
    return rows


def _figures(row: Row, key: str) -> list[str]:
    published = _measured(key)
    if "refused" in row:
        return [*[""] * 4, f"{published} {row['refused'].replace('|', '/')}".lstrip()]
    macs, cycles = row["macs"], row["cycles"]
    return [
        f"{macs / 1e6:.2f}",
        "no signal" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}",
        f"{cycles / 1e3:,.0f}",
        f"{row['energy_uj']:,.0f}",
        published,
    ]


def _measured(key: str) -> str:
    measured = MEASURED.get(key)
    if measured is None:
        return ""
    figures = ((measured.latency_ms, "ms"), (measured.energy_uj, "uJ"))
    told = ", ".join(f"{figure:,} {unit}" for figure, unit in figures if figure is not None)
    return f"{measured.hardware}: {told}"


def _source(net: Published, found: Rows) -> list[str]:
    count = "not given" if net.parameters is None else f"{net.parameters:,}"
    here = found.get(f"sEMG/{net.name}", {}).get("parameters")
    return [net.name, net.source, count, "" if here is None else f"{here:,}", net.differs]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
