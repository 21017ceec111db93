# SPDX-License-Identifier: Apache-2.0
"""Names from an ONNX model for messages: origins of nodes, names of inputs and outputs."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from myoedge.frontend.sources import source_of
from myoedge.graph.origin import Origin

if TYPE_CHECKING:
    from onnx import NodeProto

LONGEST = 120
# torch.onnx stores stack traces as Python prints them, or "net.py(41): forward"
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)|^\s*(\S+\.py)\((\d+)\)', re.MULTILINE)


def origin_of(node: NodeProto) -> Origin:
    """Return a node's module path and source line from torch.onnx's metadata, otherwise from its
    name and documentation."""
    notes = {p.key: p.value for p in node.metadata_props}
    name = node.name or next(iter(node.output), "")
    first, *_ = name.strip(";").split(";")  # TensorFlow Lite names one tensor "relu;bias;conv"
    named = shown(first) or node.op_type
    scopes = _module_path_of_scopes(notes.get("pkg.torch.onnx.name_scopes", ""))
    trace = notes.get("pkg.torch.onnx.stack_trace", "") or node.doc_string
    frames = [(a or c, b or d) for a, b, c, d in _FRAME.findall(trace[:20_000])]
    is_python = trace.lstrip().startswith(("File", "Traceback"))
    line = source_of(frames if is_python else frames[::-1])  # doc strings begin innermost
    return Origin(shown(scopes) or named, shown(line))


def shown(text: str) -> str:
    """Shorten text to one line without control characters, for terminals and reports."""
    clean = "".join(char if char.isprintable() else "?" for char in text[: LONGEST + 1])
    return clean if len(clean) <= LONGEST else clean[: LONGEST - 3] + "..."


def _module_path_of_scopes(text: str) -> str:
    """Extract the module path from scopes: "encoder.conv" from "['', 'encoder', 'encoder.conv',
    'conv2d']"; "" if malformed."""
    try:
        found = ast.literal_eval(text[:4000]) if text.startswith("[") else []
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ""
    whole = isinstance(found, list) and all(isinstance(scope, str) for scope in found)
    return str(found[-2]) if whole and len(found) > 1 else ""
