# SPDX-License-Identifier: Apache-2.0
"""Refusal of weights that torchao's quantize_ replaced by objects of its own classes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import pickle_globals, pickle_of

DEQUANTIZED = """turn the weights into floats, which keep torchao's rounding, and export them:
for layer in model.modules():
    if getattr(layer, "weight", None) is not None:
        layer.weight = torch.nn.Parameter(layer.weight.dequantize())"""
BEFORE = "or export the network before quantize_: a build quantises it, [quant] says to which bits"


def refuse_file(path: Path) -> None:
    """Raise E109 if a checkpoint holds weights of a class of torchao; its pickle is not run."""
    _refuse(path, path, "E109")


def refuse_members(members: Mapping[str, bytes], path: Path) -> None:
    """Raise E107 if an archive holds a weight of a class of torchao, which is pickled."""
    for name, data in members.items():
        if name.startswith("data/weights/weight_"):
            _refuse(path, io.BytesIO(data), "E107")


def _refuse(path: Path, file: Path | BinaryIO, code: str) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = pickle_globals(pickle_of(archive))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError):
        return  # reading the file reports the damage
    # states of torchao's optimizers may lie beside weights that are plain
    own = [name for name in names if name.startswith("torchao.") and ".optim" not in name]
    if own:
        facts = {"needs": "weights that are plain tensors", "has": own[0]}
        title = f"the weights in {path} are objects of torchao, as quantize_ makes them"
        raise MyoedgeError(code, title, facts, (DEQUANTIZED, BEFORE))
