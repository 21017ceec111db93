# SPDX-License-Identifier: Apache-2.0
"""User's source lines, and library files, from stack traces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PureWindowsPath

_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/](.+)")
_STANDARD = re.compile(r"[\\/]python\d\.\d+[\\/]|^<(?:frozen|eval_with_key)")
_TORCH = ("torch/", "onnx/", "onnxscript/")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def source_of_trace(trace: str) -> str:
    """Return the place in the user's program from the text of a Python stack trace, as `source_of`
    formats it."""
    return source_of(_FRAME.findall(trace))


def source_of(frames: Sequence[tuple[str, str]]) -> str:
    """Return the last frame of a stack trace outside installed packages, as "net.py:41"; "" if
    there is none.

    frames   (file, line), outermost first
    A library file called from there follows, "net.py:41, timm/layers/mlp.py:12", except torch's.
    """
    own, library = "", ""
    for file, line in frames:
        installed = _INSTALLED.search(file)
        if installed is not None:
            name = installed[1].replace("\\", "/")
            library = library if name.startswith(_TORCH) else f"{name}:{line}"
        elif not _STANDARD.search(file):
            own, library = f"{PureWindowsPath(file).name}:{line}", ""
    return ", ".join(filter(None, (own, library)))
