# SPDX-License-Identifier: Apache-2.0
"""Notebooks of examples/, run; pictures of their pages are made by python -m tests.notebooks"""

from __future__ import annotations

import base64
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PICTURES = ROOT / "docs" / "images" / "notebooks"
NOTEBOOKS = tuple(sorted(EXAMPLES.glob("*.ipynb")))
MOST_S = 180  # of a cell
COLORS = 64  # of a picture


def executed(path: Path, folder: Path) -> Any:
    """A notebook with its outputs, run in an empty folder beside the data that it reads."""
    (folder / "data").symlink_to(EXAMPLES / "data")
    for program in EXAMPLES.glob("*.py"):
        shutil.copy(program, folder)
    document = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    return NotebookClient(document, timeout=MOST_S, resources=place).execute()


def outputs(document: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """(id of the cell, data by MIME type) of everything that is shown."""
    for cell in document.cells:
        for output in cell.get("outputs", ()):
            if "data" in output:
                yield cell["id"], output["data"]


def main() -> None:
    from PIL import Image

    PICTURES.mkdir(exist_ok=True)
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            shown = outputs(executed(path, Path(folder)))
            for cell, data in shown:
                if png := data.get("image/png"):
                    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
                    file = PICTURES / f"{path.stem}-{cell}.png"
                    picture.quantize(COLORS).save(file, optimize=True)


if __name__ == "__main__":
    main()
