# SPDX-License-Identifier: Apache-2.0
"""Models of older opsets, converted by the onnx package.

It runs in a process of its own: its converter believes what it reads, and a file may end it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from myoedge.errors import MyoedgeError
from myoedge.operators.graph_builder import Unsupported
from myoedge.system import tools

if TYPE_CHECKING:
    from onnx import ModelProto

OLDEST = 7  # onnx converts no older operators reliably: batch norm and broadcasts had other rules
MOST_S = 120.0
IR_VERSION = 4  # from then on initialisers, which the converter adds, need not be inputs
# Converters of some operators need shapes.
PROGRAM = """
import sys, onnx
from onnx import shape_inference, version_converter
model = shape_inference.infer_shapes(onnx.load("old.onnx"))
onnx.save(version_converter.convert_version(model, int(sys.argv[1])), "new.onnx")
"""


def converted(model: ModelProto, opset: int) -> ModelProto:
    """The model with ONNX's own operators of this opset.

    Errors: Unsupported, with what the converter says, where it cannot, or ends.
    """
    import onnx

    with tools.scratch() as folder:
        (folder / "old.onnx").write_bytes(model.SerializeToString())
        try:
            command = [sys.executable, "-I", "-c", PROGRAM, str(opset)]
            ran = tools.run(command, cwd=folder, timeout_s=MOST_S)
        except MyoedgeError as error:
            raise Unsupported(f"it took longer than {MOST_S:.0f} s") from error
        if ran.returncode != 0:
            raise Unsupported(_reason(ran))
        made: ModelProto = onnx.ModelProto.FromString((folder / "new.onnx").read_bytes())
    made.ir_version = max(made.ir_version, IR_VERSION)
    return made


def _reason(ran: tools.CompletedProcess) -> str:
    """The last line of a program's output, or the signal that ended it."""
    if ran.returncode < 0:
        return f"it ended with signal {-ran.returncode}"
    return next((line.strip() for line in ran.stderr.splitlines()[::-1] if line.strip()), "")[:300]
