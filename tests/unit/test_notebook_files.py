# SPDX-License-Identifier: Apache-2.0
"""Notebooks of examples/: they run from start to end, and are kept without outputs and paths."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks import NOTEBOOKS, PICTURES, executed, outputs

NOTEBOOK = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
MACHINE = re.compile(r"(?<![\w.])/(home|root|tmp|usr|Users|work)\b|[A-Z]:\\\\")


def test_there_are_four() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["adaptation", "gestures", "live_stream", "sensor"]


@NOTEBOOK
def test_kept_without_outputs_machine_and_paths(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    nbformat.validate(document)
    assert document["metadata"].keys() == {"kernelspec", "language_info"}
    assert document["metadata"]["language_info"] == {"name": "python"}
    for number, cell in enumerate(document["cells"]):
        assert (cell["id"], cell["metadata"]) == (f"cell-{number:02d}", {})
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert not MACHINE.search(text)


@NOTEBOOK
def test_pictures_of_the_site_are_of_cells_that_plot(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    plots = {
        c["id"] for c in document["cells"] if re.search("subplots|plot.draw", "".join(c["source"]))
    }
    shown = {file.stem.partition("-")[2] for file in PICTURES.glob(f"{path.stem}-*.png")}
    assert len(shown) >= 2
    assert shown <= plots


@pytest.mark.slow
@NOTEBOOK
def test_runs_from_start_to_end(path: Path, tmp_path: Path) -> None:
    shown = [data for _, data in outputs(executed(path, tmp_path))]
    assert sum("image/png" in data for data in shown) >= 2, "plots"
    assert sum("text/html" in data for data in shown) >= 3, "results"
    assert all(len(data.get("text/plain", "")) < 20_000 for data in shown)
