# SPDX-License-Identifier: Apache-2.0
"""Lines of the user's program, and library files, from the frames of a stack trace."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PureWindowsPath

_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/](.+)")
_STANDARD = re.compile(r"[\\/]python\d\.\d+[\\/]|^<(?:frozen|eval_with_key)")
_TORCH = ("torch/", "onnx/", "onnxscript/")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def source_of_trace(trace: str) -> str:
    """Return the line and file of a printed Python stack trace, as `source_of` does."""
    return source_of(_FRAME.findall(trace))


def source_of(frames: Sequence[tuple[str, str]]) -> str:
    """Return "net.py:41": file and line of the last frame outside installed packages; frames are
    given outermost first. A library file that it calls follows, "net.py:41, timm/layers/mlp.py:12",
    except torch's. Empty if there is neither."""
    own, library = "", ""
    for file, line in frames:
        installed = _INSTALLED.search(file)
        if installed is not None:
            name = installed[1].replace("\\", "/")
            library = library if name.startswith(_TORCH) else f"{name}:{line}"
        elif not _STANDARD.search(file):
            own, library = f"{PureWindowsPath(file).name}:{line}", ""
    return ", ".join(filter(None, (own, library)))
