# SPDX-License-Identifier: Apache-2.0
"""Reading of untrusted ONNX files: checks of size, protobuf, names, opset, and ONNX's own checker.

External weights are read only from regular files in the model's folder.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import ELSEWHERE
from myoedge.frontend.file_refusals import damaged
from myoedge.frontend.onnx.normal_form import OLDEST_CONVERTED, converted, normalize, opset_of
from myoedge.frontend.onnx.refusals import breaks_rules, wrong_opset
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto

MAX_BYTES = 1 << 30  # of the file with external data; a chip has a thousandth of it
OLDEST = 13  # from it on, axes are inputs and softmax is along one axis
# Models of older opsets are converted.
EXTERNAL = 1  # TensorProto.EXTERNAL
ONE_FILE = (
    "save it as one file, where it was made:\n"
    'import onnx\nonnx.save(onnx.load("model.onnx"), "whole.onnx")'
)


def read_onnx(path: Path) -> tuple[ModelProto, tuple[str, ...]]:
    """Read and check an ONNX model, convert it if its opset is older than OLDEST, and load its
    external data.

    -> the model, and notes: one if it was converted

    Errors: E101 unreadable, E104 damaged, E119 invalid ONNX, E120 opset, E121 external data.
    """
    from onnx import defs

    model = _parse_model(path)
    functions = (text for f in model.functions for text in (f.name, f.domain))
    domains = (opset.domain for opset in model.opset_import)
    try:  # proto2 accepts any bytes as text: invalid UTF-8 fails when it is read, or stays bytes
        plain = all(
            isinstance(text, str) for text in (*_text_fields(model.graph), *functions, *domains)
        )
    except UnicodeDecodeError:
        plain = False
    if not plain:
        raise damaged(path, "a name in it is not UTF-8")
    normalize(model, OLDEST)
    opset, newest = opset_of(model), int(defs.onnx_opset_version())
    if not OLDEST_CONVERTED <= opset <= newest:
        raise wrong_opset(path, opset, newest)
    load_external(model, path, MAX_BYTES)
    _rename_duplicate_outputs(model.graph)
    _add_missing_shapes(model.graph)
    _sort_nodes(model.graph)
    _run_checker(model, path)
    if opset >= OLDEST:
        return model, ()
    try:
        model = converted(model, OLDEST)
    except Unsupported as reason:
        raise wrong_opset(path, opset, newest, str(reason)) from None
    _run_checker(model, path)
    return model, (f"opset {opset} converted to {OLDEST} by the onnx package",)


def _parse_model(path: Path) -> ModelProto:
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


def _rename_duplicate_outputs(graph: GraphProto) -> None:
    """Add a second name for a tensor that is output twice, as the legacy exporter writes."""
    from onnx import helper

    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken.update(value.name for value in (*graph.input, *graph.initializer))
    seen: set[str] = set()
    for value in graph.output:
        name, count = value.name, 1
        while value.name in seen or (value.name != name and value.name in taken):
            value.name, count = f"{name}_{count}", count + 1
        if value.name != name:
            graph.node.append(helper.make_node("Identity", [name], [value.name]))
        seen.add(value.name)


def _add_missing_shapes(graph: GraphProto) -> None:
    """Add an empty shape to outputs without one, because onnx.checker requires the field."""
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()


def _sort_nodes(graph: GraphProto) -> None:
    """Sort nodes topologically, as ONNX requires and onnxruntime does itself.

    Nodes in a cycle keep their order, and the checker refuses them.
    """
    producer = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    reads = [
        {producer[name] for name in _names_read(node) & producer.keys()} for node in graph.node
    ]
    if all(at < i for i, read in enumerate(reads) for at in read):
        return
    with suppress(CycleError):
        order = [*TopologicalSorter(dict(enumerate(reads))).static_order()]
        nodes = [graph.node[i] for i in order]
        del graph.node[:]
        graph.node.extend(nodes)


def _names_read(node: NodeProto) -> set[str]:
    """Return the names that a node reads, including those that its subgraphs read."""
    # g of an attribute without a subgraph is empty
    graphs = (graph for a in node.attribute for graph in (a.g, *a.graphs))
    inner = (x for graph in graphs for x in graph.node)
    return {*node.input}.union(*map(_names_read, inner))


def _run_checker(model: ModelProto, path: Path) -> None:
    """Run onnx.checker, and check for duplicate names and for attribute references outside
    functions."""
    from onnx import checker

    graph = model.graph
    for kind, tensors in ("input", graph.input), ("initializer", graph.initializer):
        seen: set[str] = set()
        for tensor in tensors:
            if tensor.name in seen:
                raise breaks_rules(path, f"the {kind} {tensor.name!r} is there twice")
            seen.add(tensor.name)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                why = f"{attribute.name!r} refers to an attribute of a function"
                raise breaks_rules(path, why)
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        lines = (line.strip() for line in str(error).splitlines() if line.strip())
        raise breaks_rules(path, next(lines, type(error).__name__)) from error


def _text_fields(graph: GraphProto) -> Iterator[Any]:
    """Yield all byte strings of the model that are read as text, subgraphs included."""
    yield graph.name
    for tensor in graph.initializer:
        yield tensor.name
        yield from _keys_and_values(tensor.external_data)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from (value.name, *(d.dim_param for d in value.type.tensor_type.shape.dim))
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (node.doc_string, *_keys_and_values(node.metadata_props))
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name)
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _text_fields(subgraph)


def _keys_and_values(entries: Iterable[StringStringEntryProto]) -> Iterator[Any]:
    for entry in entries:
        yield from (entry.key, entry.value)


def load_external(model: ModelProto, path: Path, limit: int) -> None:
    """Load the bytes of external initialisers into the model.

    limit   maximum of their total bytes
    Errors: E121 for a path outside the model's folder, a missing or short file, wrong sizes.
    """
    total = 0
    for tensor in model.graph.initializer:
        if tensor.data_location == EXTERNAL:
            size = _tensor_bytes(tensor, path)
            total += size
            if total > limit:
                raise _external_data_error(path, tensor, f"more than {limit >> 30} GiB in all")
            tensor.raw_data = _read_external_data(path, tensor, size)
            tensor.ClearField("external_data")
            tensor.data_location = 0
    for tensor in _nested_tensors(model.graph):
        if tensor.data_location == EXTERNAL:
            raise _external_data_error(
                path, tensor, "only initialisers of the graph may be in another file"
            )


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the existing files next to the model that hold its arrays."""
    if ELSEWHERE not in (content := path.read_bytes()):
        return ()
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    with suppress(DecodeError, UnicodeDecodeError, ValueError, OSError):  # reported by loading
        model.ParseFromString(content)
        entries = (e for tensor in model.graph.initializer for e in tensor.external_data)
        names = sorted({e.value for e in entries if e.key.encode() == ELSEWHERE})
        return tuple(file for name in names if (file := path.parent / name).is_file())
    return ()


def _nested_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield the tensors in attributes, subgraphs and sparse initialisers."""
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for attribute in (a for node in graph.node for a in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for subgraph in (attribute.g, *attribute.graphs):
            yield from subgraph.initializer
            yield from _nested_tensors(subgraph)


def _tensor_bytes(tensor: TensorProto, path: Path) -> int:
    """Return the size in bytes of a tensor's values, computed from its type and shape."""
    from onnx import helper

    try:
        itemsize = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError, TypeError) as error:
        raise _external_data_error(path, tensor, f"element type {tensor.data_type}") from error
    if any(n < 0 for n in tensor.dims):
        raise _external_data_error(path, tensor, f"the shape {list(tensor.dims)}")
    return int(math.prod(tensor.dims)) * itemsize


def _read_external_data(path: Path, tensor: TensorProto, size: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    numbers: dict[str, int] = {}
    for key in {"offset", "length"} & entries.keys():
        text = entries[key]
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise _external_data_error(path, tensor, f"its {key} is {text[:40]!r}")
        numbers[key] = int(text)
    offset, length = numbers.get("offset", 0), numbers.get("length", size)
    if length != size:
        raise _external_data_error(
            path, tensor, f"{length} bytes are declared, its shape needs {size}"
        )
    place = _external_file_path(path, tensor, entries.get("location", ""))
    try:
        with place.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise _external_data_error(path, tensor, f"{place.name} is no plain file")
            if offset + size > state.st_size:
                raise _external_data_error(path, tensor, f"{place.name} ends before it")
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise _external_data_error(path, tensor, f"{place.name}: {error.strerror}") from error


def _external_file_path(path: Path, tensor: TensorProto, location: str) -> Path:
    """Return the path of a tensor's external file, which must be in the model's folder after
    following links; the file is not opened."""
    parts = PurePosixPath(location).parts
    leaves_folder = not parts or ".." in parts or PureWindowsPath(location).anchor  # drive, root
    if leaves_folder or not {"\0", "\\"}.isdisjoint(location):
        raise _external_data_error(
            path, tensor, f"{location[:80]!r} does not stay in the model's folder"
        )
    folder = path.absolute().parent.resolve()
    try:
        place = (folder / location).resolve()
        plain, there = place.is_file(), place.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, or circular links
        raise _external_data_error(path, tensor, f"{location[:80]!r}: {error}"[:200]) from error
    if not place.is_relative_to(folder):
        raise _external_data_error(
            path, tensor, f"{location[:80]!r} is a link out of the model's folder"
        )
    if not plain:  # opening a pipe would block
        what = "is no plain file" if there else "is not there"
        raise _external_data_error(path, tensor, f"{location[:80]!r} {what}")
    return place


def _external_data_error(path: Path, tensor: TensorProto, why: str) -> MyoedgeError:
    facts = {"tensor": tensor.name[:80] or "(without a name)", "because": why}
    return MyoedgeError(
        "E121", f"{path} has weights outside that cannot be used", facts, [ONE_FILE]
    )
