# SPDX-License-Identifier: Apache-2.0
"""Operators of model.int8.onnx: functions that write an operator as ONNX's own float operators.

Every family has them in its qdq.py: WRITE, by operator. Operators that ONNX does not have are
functions of the file, which the import knows again: CALLS, by operator, writes their constants,
STATED what attributes leave to a build, and CHECKS says what attributes of a file mean nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import PRE, Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators import modules
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import has_table
from myoedge.operators.products.packing import exact_scale

TYPES = {
    "float32": 1,
    "uint8": 2,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float64": 11,
}  # onnx.proto, TensorProto.DataType
FUNCTIONS_DOMAIN = "myoedge"
SUMS = {True: "unsigned", False: "signed"}  # metadata myoedge.sums, of QuantizeInputs.unsigned_sums


@dataclass(frozen=True)
class OnnxNode:
    """An operator of ONNX; notes are metadata for viewers."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str
    attrs: Mapping[str, Any]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class OnnxFunction:
    """An operator that ONNX does not have: its own operators between inputs and output.

    operator, attrs   the operator that the body is, as `written_attrs` writes attributes
    """

    name: str
    operator: str
    attrs: str
    inputs: tuple[str, ...]
    output: str
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Array]


@dataclass
class Writer:
    """An ONNX model while it is written: nodes, initialisers, and names of the network's tensors.

    params           quantisation parameters of these tensors
    floats           constants of the network before quantisation
    formats          integers of constants that the network's file has
    integers, reals  ONNX's names of tensors of the network: quantised, and as dequantised floats
    label            names of what is added begin with it
    notes            metadata of the nodes that come next
    functions        that nodes call
    given            of a function's body: its inputs by the network's constants
    """

    params: Mapping[str, QuantParams]
    floats: Mapping[str, Array]
    formats: Mapping[str, ConstantFormat] = field(default_factory=dict)
    nodes: list[OnnxNode] = field(default_factory=list)
    initializers: dict[str, Array] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    integers: dict[str, str] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)
    label: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    functions: list[OnnxFunction] = field(default_factory=list)
    given: Mapping[str, str] = field(default_factory=dict)

    def free(self, wanted: str) -> str:
        """The name wanted, numbered where it is taken."""
        numbered = (f"{wanted}_{i}" for i in itertools.count(1))
        name = next(n for n in itertools.chain([wanted], numbered) if n not in self.taken)
        self.taken.add(name)
        return name

    def constant(self, value: Array, name: str = "") -> str:
        """Adds an initialiser."""
        free_name = self.free(name or f"{self.label}/constant")
        self.initializers[free_name] = np.asarray(value, order="C")
        return free_name

    def node(self, op: str, *inputs: str, output: str = "", result: int = 0, **attrs: Any) -> str:
        """Adds an ONNX operator and returns the name of its output, or of number `result`."""
        name = self.free(f"{self.label}/{op}")
        output = output or self.free(f"{name}:0")
        outputs = (*[""] * result, output)
        self.nodes.append(OnnxNode(op, inputs, outputs, name, attrs, self.notes))
        return output

    def learnt(self, name: str) -> str:
        """A float constant of the network, as the function that is written reads it."""
        return self.given.get(name) or self.constant(self.floats[name].astype(np.float32))

    def cast(self, x: str, dtype: str) -> str:
        """To a type by its NumPy name."""
        return self.node("Cast", x, to=TYPES[dtype])

    def store(self, name: str, value: str, params: QuantParams) -> None:
        """Quantises a float tensor, found under `name` from then on; more than 16 bits stay."""
        if params.element_type.bits > 16:
            self.integers[name] = self.reals[name] = value
            return
        scale, zero = self._parameters(name, params)
        integers = self.node("QuantizeLinear", value, scale, zero, output=self.free(f"{name}.q"))
        self.integers[name] = integers
        self.reals[name] = self.node("DequantizeLinear", integers, scale, zero)

    def quantized(self, value: str, output: str, params: QuantParams) -> str:
        """Integers of a float tensor."""
        return self.node("QuantizeLinear", value, *self._parameters(value, params), output=output)

    def dequantize(self, name: str, params: QuantParams, output: str = "") -> None:
        scale, zero = self._parameters(name, params)
        integers = self.integers[name]
        self.reals[name] = self.node("DequantizeLinear", integers, scale, zero, output=output)

    def _parameters(self, name: str, params: QuantParams) -> tuple[str, str]:
        zero = np.array(params.zero_point, params.element_type.dtype)
        return (
            self.constant(np.array(params.scale, np.float32), f"{name}.scale"),
            self.constant(zero, f"{name}.zero_point"),
        )


# (Writer, QuantizedNode, *inputs) -> output, of a body (Writer, *inputs): names of float tensors
Write = Callable[..., str]


def number(w: Writer, value: float) -> str:
    return w.constant(np.array(value, np.float32))


def whole(w: Writer, *values: int) -> str:
    """An int64 vector: axes, shapes, starts."""
    return w.constant(np.array(values, np.int64))


def named(op: str, **attrs: Any) -> Write:
    """The ONNX operator of the same inputs."""
    return lambda w, step, *xs: w.node(op, *xs, **attrs)


def along_axis(op: str) -> Write:
    """The ONNX operator of the same inputs, along the same axis."""
    return lambda w, step, *xs: w.node(op, *xs, axis=step.attrs["axis"])


def reshaped(w: Writer, x: str, *shape: int) -> str:
    return w.node("Reshape", x, whole(w, *shape))


def transposed(w: Writer, x: str, *perm: int) -> str:
    return w.node("Transpose", x, perm=list(perm))


def sliced(w: Writer, x: str, start: int, stop: int, axis: int) -> str:
    return w.node("Slice", x, *(whole(w, n) for n in (start, stop, axis)))


def channels_first(w: Writer, x: str, rank: int) -> str:
    return transposed(w, x, 0, rank - 1, *range(1, rank - 1))


def channels_last(w: Writer, x: str, rank: int) -> str:
    return transposed(w, x, 0, *range(2, rank), 1)


def weights(w: Writer, step: QuantizedNode, layout: Sequence[int]) -> tuple[str, str]:
    """(weights with their axes in the order `layout`, bias), dequantised."""
    x = w.params[step.operands[0]]
    # without the contribution of the input's zero point, which QDQ has elsewhere
    rows = step["weight"].reshape(len(step["bias"]), -1).astype(np.int64).sum(axis=1)
    bias = np.asarray(step["bias"] + step["x_zero"] * rows, np.int32)
    scale = weight_scale(w, step, x, bias)
    return (
        dequantized(w, "weight", step["weight"].transpose(layout), scale, layout.index(0)),
        dequantized(w, "bias", bias, scale * x.scale),
    )


def dequantized(w: Writer, part: str, values: Array, scale: Array, axis: int = 0) -> str:
    """A constant of integers with a scale for each element along an axis, as floats."""
    return w.node(
        "DequantizeLinear",
        w.constant(values, f"{w.label}/{part}"),
        w.constant(scale.astype(np.float32), f"{w.label}/{part}.scale"),
        axis=axis,
    )


def weight_scale(w: Writer, step: QuantizedNode, x: QuantParams, bias: Array) -> Array:
    """float64 scale per output channel: of the ways to choose it, the one that was taken.

    x, bias   parameters of what the weights multiply, and the integers of the bias
    """
    names = step.node.inputs[len(step.operands) :]
    if names[0] in w.formats:
        return np.broadcast_to(w.formats[names[0]].scale, (len(step["weight"]),))
    weight, *given = (w.floats[name].astype(np.float64) for name in names)
    real = given[0] if given else np.zeros(len(weight))
    usual, per_tensor = (
        WeightFormat(step.weight_type.bits, per_channel).quantize(weight, real, x)[1]
        for per_channel in (True, False)
    )

    def differs(scale: Array) -> Array:
        integers = WeightFormat(step.weight_type.bits).at_scale(weight, scale)
        wrong = (integers != step["weight"]).reshape(len(weight), -1).any(axis=1)
        return np.asarray(wrong | (np.rint(real / (x.scale * scale)) != bias))

    for scale in (usual, per_tensor):
        if not differs(scale).any():
            return scale
    target = w.params[step.node.name + PRE if has_table(step.node) else step.node.name]
    exact = exact_scale(step["mult"], step["shift"], x, target)
    scale = np.where(differs(usual), exact, usual)
    assert not differs(scale).any(), f"{step.node.where}: integers do not come from its weights"
    return scale


# (attributes of a call, shape of its first input). Errors: LookupError, TypeError, ValueError
Check = Callable[[Attrs, Shape], None]
# step -> attributes of a call besides its own
Stated = Callable[[QuantizedNode], Attrs]
# (Writer, step) -> its constants as a call reads them; None where ONNX has the operator after all
Constants = Callable[[Writer, QuantizedNode], Sequence[str] | None]


def float_constants(w: Writer, step: QuantizedNode) -> list[str] | None:
    """Constants of an operator as floats; None where a state of a stream stands behind them."""
    count = len(step.operands)
    if step.node.inputs[:count] != step.operands:
        return None
    return [w.learnt(name) for name in step.node.inputs[count:]]


def called(
    w: Writer, step: QuantizedNode, write: Write, constants: Sequence[str], stated: Attrs
) -> str:
    """A call of a function whose body is what `write` writes; returns its result.

    stated   attributes that another build of the file does not choose anew
    """
    operands, names = step.operands, step.node.inputs[len(step.operands) :]

    def body(inside: Writer, *inputs: str) -> str:
        given = dict(zip(names, inputs[len(operands) :], strict=True))
        return write(replace(inside, given=given), step, *inputs[: len(operands)])

    attrs = {n: v for n, v in step.attrs.items() if n != "act"} | dict(stated)
    return call(w, step.node.op, attrs, body, *(w.reals[x] for x in operands), *constants)


def call(w: Writer, op: str, attrs: Mapping[str, Any], body: Write, *reads: str) -> str:
    """A call of a new function that stands for an operator; body(Writer, *inputs) -> its result."""
    inputs = tuple(f"x{i}" for i in range(len(reads)))
    inside = Writer(w.params, w.floats, w.formats, taken={*inputs}, label="in")
    y = body(inside, *inputs)
    name = f"{op}_{len(w.functions)}"
    nodes, constants = tuple(inside.nodes), inside.initializers
    w.functions.append(OnnxFunction(name, op, written_attrs(attrs), inputs, y, nodes, constants))
    return w.node(name, *reads)


def written_attrs(attrs: Mapping[str, Any]) -> str:
    """Attributes of an operator as text that `read_attrs` reads: tuples are lists."""
    return json.dumps(dict(attrs), sort_keys=True, default=lambda number: number.item())


def read_attrs(text: str) -> dict[str, Any]:
    """Errors: ValueError for what is no such text."""

    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    attrs = json.loads(text)
    if not isinstance(attrs, dict):
        raise ValueError("attributes that are no object")
    return {name: tuples(value) for name, value in attrs.items()}


def function_digest(operator: str, attrs: str, nodes: Iterable[bytes]) -> str:
    """SHA-256 of an operator and of the serialised body that stands for it, in hexadecimal."""
    parts = (operator.encode(), attrs.encode(), *nodes)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def operator_writers() -> dict[str, Write]:
    return {op: write for module in modules("qdq") for op, write in module.WRITE.items()}


def called_operators() -> dict[str, Constants]:
    """Operators that are written as functions, and how their constants are."""
    calls = (getattr(module, "CALLS", {}) for module in modules("qdq"))
    return {op: constants for of_module in calls for op, constants in of_module.items()}


def stated_attributes() -> dict[str, Stated]:
    """By operator that is written as a function: attributes that a build has chosen."""
    stated = (getattr(module, "STATED", {}) for module in modules("qdq"))
    return {op: attrs for of_module in stated for op, attrs in of_module.items()}


def attribute_checks() -> dict[str, Check]:
    """By operator that is written as a function: what a file's attributes have to be."""
    checks = (getattr(module, "CHECKS", {}) for module in modules("qdq"))
    return {op: check for of_module in checks for op, check in of_module.items()}
