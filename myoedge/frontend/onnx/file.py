# SPDX-License-Identifier: Apache-2.0
"""ONNX files, read without trust: size, protobuf, names, opset, the format's own checker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.external import load_external
from myoedge.frontend.onnx.refusals import breaks_rules, wrong_opset
from myoedge.frontend.unusable import damaged

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

MAX_BYTES = 1 << 30  # of the file and of all its external data; a chip has a thousandth of it
OLDEST = 13  # with it axes became inputs and softmax lost its two-dimensional form
OWN = ("", "ai.onnx")  # two names of ONNX's own operators


def read_onnx(path: Path) -> ModelProto:
    """A checked model, its external data inside.

    Errors: E101 unreadable, E104 damaged, E119 not as the format demands, E120 opset, E121
    external data.
    """
    from onnx import defs

    model = _parsed(path)
    functions = (text for f in model.functions for text in (f.name, f.domain))
    domains = (opset.domain for opset in model.opset_import)
    try:  # proto2 takes any bytes for text: what is not UTF-8 fails when it is read, or stays bytes
        plain = all(isinstance(text, str) for text in (*_texts(model.graph), *functions, *domains))
    except UnicodeDecodeError:
        plain = False
    if not plain:
        raise damaged(path, "a name in it is not UTF-8")
    opset, newest = opset_of(model), int(defs.onnx_opset_version())
    if not OLDEST <= opset <= newest:
        raise wrong_opset(path, opset, OLDEST, newest)
    load_external(model, path, MAX_BYTES)
    _run_checker(model, path)
    return model


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators; 0 where the model names none."""
    return max((o.version for o in model.opset_import if o.domain in OWN), default=0)


def _parsed(path: Path) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        if path.stat().st_size > MAX_BYTES:
            raise damaged(path, f"it is larger than {MAX_BYTES >> 30} GiB")
        model: ModelProto = onnx.ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise MyoedgeError("E101", f"{path} cannot be read", {"cause": error.strerror}) from error
    except DecodeError as error:
        raise damaged(path, f"it is no protobuf: {error}") from error
    return model


def _run_checker(model: ModelProto, path: Path) -> None:
    """onnx.checker, and what it leaves out: duplicate names, references without a function."""
    from onnx import checker

    graph = model.graph
    kinds: tuple[tuple[str, Iterable[str]], ...] = (
        ("input", (v.name for v in graph.input)),
        ("initializer", (t.name for t in graph.initializer)),
        ("output", (v.name for v in graph.output)),
    )
    for kind, names in kinds:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise breaks_rules(path, f"the {kind} {name!r} is there twice")
            seen.add(name)
    for attribute in (a for node in graph.node for a in node.attribute):
        if attribute.ref_attr_name:
            raise breaks_rules(path, f"{attribute.name!r} refers to an attribute of a function")
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        lines = (line.strip() for line in str(error).splitlines() if line.strip())
        raise breaks_rules(path, next(lines, type(error).__name__)) from error


def _texts(graph: GraphProto) -> Iterator[Any]:
    """All byte strings of the model that are read as text, subgraphs included."""
    yield graph.name
    for tensor in graph.initializer:
        yield tensor.name
        yield from (text for e in tensor.external_data for text in (e.key, e.value))
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from (value.name, *(d.dim_param for d in value.type.tensor_type.shape.dim))
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (node.doc_string, *(t for p in node.metadata_props for t in (p.key, p.value)))
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name)
            for inner in (attribute.g, *attribute.graphs):
                yield from _texts(inner)
