# SPDX-License-Identifier: Apache-2.0
"""ONNX's own tests of single operators, made into files that can be imported."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.operator_table import ONNX_FOLDED, ONNX_IMPORT, SHAPES
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float

OLDEST = 13
FLOATS = ("float16", "float32", "float64", "bfloat16")
CONDITIONS = (
    "And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "OneHot", "Or",
    "Where", "Xor",
)  # fmt: skip
INTEGERS = ("bool", "uint8", "int32", "int64")
KNOWN = {*ONNX_IMPORT, *ONNX_FOLDED, *SHAPES}


@functools.cache
def all_cases() -> list[Any]:
    """The cases of the onnx package: of single operators, and of operators that others expand."""
    from onnx.backend.test.loader import load_model_tests
    from onnx.reference.ops import op_pool_common

    with warnings.catch_warnings(action="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(op_pool_common, "pool", _pool_of_images(op_pool_common.pool))
        return [*load_model_tests(kind="node")]


def cases() -> dict[str, Any]:
    """Cases whose operators are all known, at least one of them a row."""
    return {case.name: case for case in all_cases() if _concerns_us(case)}


def _pool_of_images(pool: Callable[..., Array]) -> Callable[..., Array]:
    """ONNX's pool, without the sums of 3-D cases: they take ten seconds, and are all refused."""

    def pooled(padded: Array, x_shape: Sequence[int], *sizes: Any, **options: Any) -> Array:
        if len(x_shape) < 5:
            return pool(padded, x_shape, *sizes, **options)
        return np.full((*x_shape[:2], *sizes[2]), np.nan, padded.dtype)

    return pooled


def _concerns_us(case: Any) -> bool:
    """Float networks only: at least one input is a tensor of floats, which is not empty."""
    model, (inputs, _) = case.model, arrays(case)
    if not any(_is_kept(case, x) for x in inputs):
        return False
    used = {node.op_type for node in model.graph.node}
    plain = all(node.domain in ("", "ai.onnx") for node in model.graph.node)
    return plain and used <= KNOWN and bool(used & set(ONNX_IMPORT))


def arrays(case: Any) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a case; some are tensors of ONNX in place of arrays."""
    inputs, outputs = (
        [numpy_helper.to_array(x) if isinstance(x, TensorProto) else x for x in values]
        for values in case.data_sets[0]
    )
    return inputs, outputs


def variants(case: Any) -> Iterator[tuple[ModelProto, list[Array], list[Array]]]:
    """(model, inputs, outputs): all float inputs kept as inputs, then the first one, then another;
    the others become initialisers, as weights and axes are in networks. Of conditions integers and
    truth values are kept too."""
    inputs, outputs = arrays(case)
    floats = [i for i, x in enumerate(inputs) if _is_kept(case, x)]
    chosen: list[Sequence[int]] = [floats, *([i] for i in floats if len(floats) > 1)]
    for kept in chosen:
        yield baked(case.model, inputs, kept), [np.asarray(inputs[i]) for i in kept], outputs


def _is_kept(case: Any, x: Any) -> bool:
    """Whether an input of a case is one of the network."""
    condition = case.model.graph.node[0].op_type in CONDITIONS
    integers = condition and isinstance(x, np.ndarray) and str(x.dtype) in INTEGERS
    return bool((integers or _is_float(x)) and x.size)


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and str(x.dtype) in FLOATS


def baked(model: ModelProto, inputs: Sequence[Any], kept: Sequence[int]) -> ModelProto:
    baked = ModelProto()
    baked.CopyFrom(model)
    given = list(baked.graph.input)
    del baked.graph.input[:]
    baked.graph.input.extend(given[i] for i in kept)
    for i, (value, x) in enumerate(zip(given, inputs, strict=False)):
        if i not in kept and isinstance(x, np.ndarray | np.generic):
            baked.graph.initializer.append(numpy_helper.from_array(np.asarray(x), value.name))
    baked.ir_version = max(baked.ir_version, 4)  # from then on initialisers are no inputs
    for opset in baked.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, OLDEST)
    return baked


def imported(model: ModelProto, folder: Path) -> Graph | MyoedgeError:
    path = folder / "case.onnx"
    onnx.save(model, path)
    try:
        return load_onnx(path).graph
    except MyoedgeError as error:
        return error


def computed(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    pairs = zip(graph.inputs, inputs, strict=True)
    given = {n: x.astype(graph.tensors[n].dtype) for n, x in pairs}
    values = run_float(graph, given)
    return [values[name] for name in graph.outputs]


ODD = (0, 1, -1, 2, 3, -2, 7, 100, 2**31, 2**62, -(2**63))


def changed(model: ModelProto, rng: np.random.Generator) -> ModelProto:
    """The model with one number in it changed: of an attribute, a weight, a shape; or an input
    left out."""
    odd = int(rng.choice(np.array(ODD, dtype=object)))
    node, shape = model.graph.node[0], model.graph.input[0].type.tensor_type.shape.dim
    what = rng.integers(4)
    if what == 0 and node.attribute:
        _change_attribute(rng.choice(np.array(node.attribute, dtype=object)), odd, rng)
    elif what == 1 and model.graph.initializer:
        at = int(rng.integers(len(model.graph.initializer)))
        weight = model.graph.initializer[at]
        weight.CopyFrom(numpy_helper.from_array(_changed_array(weight, odd, rng), weight.name))
    elif what == 2 and shape:
        shape[int(rng.integers(len(shape)))].dim_value = odd
    elif what == 3 and len(node.input) > 1:
        node.input[int(rng.integers(len(node.input)))] = ""
    return model


def _change_attribute(attribute: Any, odd: int, rng: np.random.Generator) -> None:
    if attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = odd
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = odd
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = float(rng.choice([0.0, -1.0, 1e38, np.nan, np.inf]))
    elif attribute.type == onnx.AttributeProto.STRING:
        attribute.s = b"SAME_UPPER" if odd > 2 else b""


def _changed_array(weight: TensorProto, odd: int, rng: np.random.Generator) -> Array:
    values = numpy_helper.to_array(weight).copy()
    flat = values.reshape(-1)
    if values.dtype == np.int64 and values.size and odd % 2 == 0:
        flat[int(rng.integers(values.size))] = odd
        return values
    return flat[:-1] if odd > 2 else values[..., None]
