# SPDX-License-Identifier: Apache-2.0
"""Notebooks of examples/: they run from start to end, and are kept without outputs and paths."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
MOST_S = 180  # of a cell; a whole notebook takes less on a machine with two cores


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["gestures", "live_stream"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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
    assert not re.search(r"(?<![\w.])/(home|root|tmp|usr|Users|work)\b|[A-Z]:\\\\", text)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_start_to_end(path: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(EXAMPLES / "data")
    shutil.copy(EXAMPLES / "stream.py", tmp_path)
    document = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(document, timeout=MOST_S, resources=place).execute()
    shown = [
        output["data"]
        for cell in document.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert sum("image/png" in data for data in shown) >= 2, "plots"
    assert sum("text/html" in data for data in shown) >= 3, "results"
    assert all(len(data.get("text/plain", "")) < 20_000 for data in shown)
