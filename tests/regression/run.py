# SPDX-License-Identifier: Apache-2.0
"""One network of a table: its files made or found, built, simulated, and what is kept of that.

Only what anybody may use is used: `build`, `simulate`, and the files of a build folder.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

import myoedge
from tests.regression.networks import Array, Entry, Made
from tests.support.limits import l2_of_data

os.environ["MYOEDGE_STAGES"] = "off"  # what is recorded is computed
SHOWN = 4  # values of an output
Found = dict[str, Any]


class TooLong(Exception):
    """A simulation that took longer than it may."""


# --- files ----------------------------------------------------------------------------------------


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _exported(made: Made, path: Path) -> Mapping[str, Array]:
    """Writes the archive: samples by the names of its inputs."""
    import torch

    assert not isinstance(made.samples, Mapping)
    examples = tuple(torch.zeros(x.shape[1:]) for x in made.samples)
    program = torch.export.export(made.model.eval(), examples)
    torch.export.save(program, path)
    return dict(zip(program.graph_signature.user_inputs, made.samples, strict=True))


def _written(entry: Entry, folder: Path) -> None:
    made = entry.make()
    if isinstance(made.model, Path):
        shutil.copy(made.model, folder / "model.onnx")
        samples = made.samples
    else:
        samples = _exported(made, folder / "model.pt2")
    assert isinstance(samples, Mapping)
    np.savez(folder / "calib.npz", **samples)


def _filled(entry: Entry, place: Path) -> None:
    """All files or none: another process may do the same at this moment."""
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place.parent, prefix="."))
    try:
        _written(entry, folder)
        os.rename(folder, place)
    except OSError:
        if not place.exists():
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def files(entry: Entry, models: Path) -> tuple[Path, Path]:
    """(model, samples), those of an earlier run where there are some."""
    place = models / slug(entry.model)
    if not place.exists():
        _filled(entry, place)
    (model,) = place.glob("model.*")
    return model, place / "calib.npz"


# --- a run ----------------------------------------------------------------------------------------


def built(entry: Entry, models: Path, folder: Path, engine: str = "cores") -> Any:
    model, calib = files(entry, models)
    options: Found = {"l1": entry.l1, "l2": entry.l2, "stream": entry.stream}
    if entry.config:
        options["config"] = folder / f"{engine}.toml"
        options["config"].write_text(entry.config)
    known = inspect.signature(myoedge.build).parameters  # not all of them where the record is of
    # `described` is of estimates, and of the cores alone
    options |= {k: v for k, v in (("simulate", False), ("engine", engine)) if k in known}
    with l2_of_data():  # as the limits of the record
        return myoedge.build(model, calib=calib, output=folder / engine, **options)


def _simulated(build: Any, seconds: float | None) -> None:
    until = time.monotonic() + (seconds or 1e9)

    def progress(cycle: int, printed: str) -> None:
        if time.monotonic() > until:
            raise TooLong

    myoedge.simulate(build, progress=progress)


def _report(build: Any) -> Any:
    return json.loads((build.folder / "report.json").read_text())


def run(
    entry: Entry, models: Path, seconds: float | None = None, *, simulate: bool = True
) -> Found:
    """What is recorded of it; the error's code where it is refused.

    seconds   a simulation may take     simulate   False: hashes and estimates, nothing measured
    """
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        try:
            build = built(entry, models, Path(folder))
            found = described(build.folder)
            on_engines = built(entry, models, Path(folder), "auto")
            found["built"] = {"cores": hashes(build.folder), "auto": hashes(on_engines.folder)}
            if not simulate:
                return found
            _simulated(build, seconds)
            return found | measured(_report(build))
        except myoedge.MyoedgeError as error:
            return {"error": str(error.code)}
        except TooLong:
            return {**found, "error": "too long"}


# --- what is kept ---------------------------------------------------------------------------------


def _bytes(x: Array) -> bytes:
    return f"{x.dtype.str} {x.shape} ".encode() + np.ascontiguousarray(x).tobytes()


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\n".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def integers(folder: Path) -> str:
    """Of all constants in integers, with their multipliers and shifts, whatever their names."""
    return _digest(sorted(map(_bytes, load_file(folder / "weights.safetensors").values())))


def border(folder: Path) -> str:
    """Of shape, kind, scale and zero point of inputs and outputs."""
    manifest = json.loads((folder / "manifest.json").read_text())
    keys = ("name", "shape", "dtype", "scale", "zero_point")
    ports = [[port[key] for key in keys] for port in (*manifest["inputs"], *manifest["outputs"])]
    return _digest([json.dumps(ports).encode()])


def scalars(folder: Path) -> str:
    """Of zero points, multipliers and limits of every step, whatever the steps' names."""
    steps = json.loads((folder / "graph.json").read_text())["steps"]
    rows = ([step["scalars"], step["low"], step["high"], step["item"]] for step in steps)
    return _digest(sorted(json.dumps(row, sort_keys=True).encode() for row in rows))


def ranges(folder: Path) -> str:
    """Of the ranges of all tensors, from which scales follow, whatever the tensors' names."""
    graph = json.loads((folder / "graph.json").read_text())
    return _digest(sorted(json.dumps(x).encode() for x in graph["calibration"]["ranges"].values()))


def hashes(folder: Path) -> list[str]:
    """Of all numbers in graph.json and weights.safetensors, and of src/; 64 bits of each."""
    params = json.loads((folder / "graph.json").read_text())["params"]
    rows = sorted(json.dumps(row, sort_keys=True) for row in params.values())
    numbers = [integers(folder), border(folder), scalars(folder), *rows]
    paths = sorted(path for path in (folder / "src").rglob("*") if path.is_file())
    sources = (str(path.relative_to(folder)).encode() + path.read_bytes() for path in paths)
    return [_digest(part.encode() for part in numbers)[:16], _digest(sources)[:16]]


def outputs(folder: Path) -> dict[str, Array]:
    with np.load(folder / "golden" / "output.npz") as stored:
        return {name: stored[name] for name in stored.files if name.endswith(".q")}


MEANT = ("W205", "W206")  # few samples, batches: networks of the record have them on purpose


def described(folder: Path) -> Found:
    """What a build folder holds before anything has run."""
    report = json.loads((folder / "report.json").read_text())
    golden = outputs(folder)
    return {
        "integers": integers(folder),
        "border": border(folder),
        "inside": {"scalars": scalars(folder), "ranges": ranges(folder)},
        "outputs": _digest(map(_bytes, golden.values())),
        "first": [x.ravel()[:SHOWN].tolist() for x in golden.values()],
        "estimate": report["cycles"]["total"],
        "l2_peak_bytes": report["memory"]["l2_peak_bytes"],
        "l3_bytes": report["memory"]["l3_bytes"],
        "warnings": sorted(row["code"] for row in report["warnings"] if row["code"] not in MEANT),
        "untiled": sum(row["tile"] is None for row in report["layers"]),
    }


def measured(report: Mapping[str, Any]) -> Found:
    """What the simulated chip gave."""
    rows = [(row["op"], row["cycles"], row["cycles_modelled"]) for row in report["layers"]]
    return {
        "cycles": report["cycles"]["total"],
        "exact": report["exact"]["simulator"],
        "layers": rows,
    }
