# SPDX-License-Identifier: Apache-2.0
"""Export to model.int8.onnx: functions that write an operator as ONNX's float operators.

Each family defines WRITE, operator -> function. An operator that ONNX lacks is written as several
ONNX operators. Operators without a function are written by `real`, which runs on names instead of
arrays: for `lambda attrs, a, b: np.maximum(a, 0.5 * b)` the nodes are Mul and Max.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators import modules
from myoedge.operators.base import OPS, QuantizedNode

TYPES = {
    "float32": 1,
    "uint8": 2,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float64": 11,
}  # onnx.proto, TensorProto.DataType


@dataclass(frozen=True)
class OnnxNode:
    """A node of the exported ONNX model.

    op                ONNX operator, after its domain and a dot unless it is ONNX's own
    inputs, outputs   ONNX names
    attrs             ONNX attributes
    notes             metadata for viewers
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str
    attrs: Mapping[str, Any]
    notes: Mapping[str, str]


@dataclass
class Writer:
    """An ONNX model under construction: nodes, initialisers, and names of the network's tensors.

    params            tensor of the network -> quantisation parameters
    floats            constants of the network before quantisation
    nodes, initializers   contents of the ONNX model so far
    integers, reals   tensor of the network -> ONNX name of its integers, and of its dequantised
                      values
    taken             ONNX names in use
    numbers           requested ONNX name -> last number appended to it
    label             base of new names
    notes             metadata of the nodes added next
    shares            whether equal constants with the same requested name are stored once
    shared            ONNX names of such constants
    """

    params: Mapping[str, QuantParams]
    floats: Mapping[str, Array]
    nodes: list[OnnxNode] = field(default_factory=list)
    initializers: dict[str, Array] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    integers: dict[str, str] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)
    label: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    shares: bool = False
    shared: dict[tuple[str, str, bytes], str] = field(default_factory=dict)

    def free(self, wanted: str) -> str:
        """Return the requested ONNX name, with a number appended if it is in use."""
        name = wanted
        while name in self.taken:
            self.numbers[wanted] += 1
            name = f"{wanted}_{self.numbers[wanted]}"
        self.taken.add(name)
        return name

    def constant(self, value: Array, name: str = "") -> str:
        """Add an initialiser and return its ONNX name."""
        wanted, array = name or f"{self.label}/constant", np.asarray(value, order="C")
        key = wanted, f"{array.dtype}{array.shape}", array.tobytes() if self.shares else b""
        if self.shares and key in self.shared:
            return self.shared[key]
        free_name = self.shared[key] = self.free(wanted)
        self.initializers[free_name] = array
        return free_name

    def node(self, op: str, *inputs: str, output: str = "", result: int = 0, **attrs: Any) -> str:
        """Add an ONNX operator; return the ONNX name of its output number `result`."""
        name = self.free(f"{self.label}/{op}")
        output = output or self.free(f"{name}:0")
        outputs = (*[""] * result, output)
        self.nodes.append(OnnxNode(op, inputs, outputs, name, attrs, self.notes))
        return output

    def float_constant(self, name: str) -> str:
        """Add a constant of the network with its float values; return its ONNX name."""
        return self.constant(self.floats[name].astype(np.float32))

    def cast(self, x: str, dtype: str) -> str:
        """Cast x to an element type, given by its NumPy name; return the result's ONNX name."""
        return self.node("Cast", x, to=TYPES[dtype])

    def store(self, name: str, value: str, params: QuantParams) -> None:
        """Quantise a float tensor and make the result the network's tensor `name`; types wider than
        int16 are not rounded.

        value   ONNX name of the float tensor
        """
        if params.element_type.bits > 16:
            self.integers[name] = self.reals[name] = value
            return
        self.integers[name], self.reals[name] = self.rounded(name, value, params)

    def rounded(self, name: str, value: str, params: QuantParams) -> tuple[str, str]:
        """Add QuantizeLinear and DequantizeLinear; return the ONNX names of the integers and of the
        dequantised values.

        name    base of the names
        value   ONNX name of the float tensor
        """
        scale, zero = self._write_parameters(name, params)
        integers = self.node("QuantizeLinear", value, scale, zero, output=self.free(f"{name}.q"))
        return integers, self.node("DequantizeLinear", integers, scale, zero)

    def dequantize(self, name: str, params: QuantParams, output: str = "") -> None:
        scale, zero = self._write_parameters(name, params)
        integers = self.integers[name]
        self.reals[name] = self.node("DequantizeLinear", integers, scale, zero, output=output)

    def _write_parameters(self, name: str, params: QuantParams) -> tuple[str, str]:
        zero = np.array(params.zero_point, params.element_type.dtype)
        return (
            self.constant(np.array(params.scale, np.float32), f"{name}.scale"),
            self.constant(zero, f"{name}.zero_point"),
        )


# (Writer, QuantizedNode, *names of float operands) -> name of the float result
Write = Callable[..., str]


def number(w: Writer, value: float) -> str:
    return w.constant(np.array(value, np.float32))


def whole(w: Writer, *values: int) -> str:
    """Add an int64 vector as a constant, for axes, shapes or starts; return its ONNX name."""
    return w.constant(np.array(values, np.int64))


def named(op: str, **attrs: Any) -> Write:
    """Return a function that exports an operator as the ONNX operator `op` with the same inputs."""
    return lambda w, step, *xs: w.node(op, *xs, **attrs)


def along_axis(op: str) -> Write:
    """Return a function that exports an operator as the ONNX operator `op` with the same inputs and
    axis."""
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
    """Export weights and bias as integer initialisers followed by DequantizeLinear; return the ONNX
    names of the dequantised values.

    layout   permutation of the weights' axes
    """
    x = w.params[step.operands[0]]
    # without the input's zero point, which QDQ nodes have separately
    rows = step.integers.weight.reshape(len(step.integers.bias), -1).astype(np.int64).sum(axis=1)
    bias = np.asarray(step.integers.bias + step.integers.x_zero * rows, np.int32)
    scale = np.asarray(step.integers.scale)
    return (
        dequantized(w, "weight", step.integers.weight.transpose(layout), scale, layout.index(0)),
        dequantized(w, "bias", bias, scale * x.scale),
    )


def dequantized(w: Writer, part: str, values: Array, scale: Array, axis: int = 0) -> str:
    """Export an integer constant followed by DequantizeLinear; return the ONNX name of the
    dequantised values.

    part    base of the name
    scale   one scale per index along `axis`
    """
    return w.node(
        "DequantizeLinear",
        w.constant(values, f"{w.label}/{part}"),
        w.constant(scale.astype(np.float32), f"{w.label}/{part}.scale"),
        axis=axis,
    )


def operator_writers() -> dict[str, Write]:
    return {op: write for module in modules("qdq") for op, write in module.WRITE.items()}


# Of NumPy's functions, those that one operator of ONNX computes.
NODES: Mapping[str, str] = {
    "absolute": "Abs", "add": "Add", "arctan": "Atan", "bitwise_and": "And", "bitwise_or": "Or",
    "ceil": "Ceil", "cos": "Cos", "invert": "Not",
    "divide": "Div", "equal": "Equal", "exp": "Exp", "floor": "Floor", "greater": "Greater",
    "greater_equal": "GreaterOrEqual", "less": "Less", "less_equal": "LessOrEqual", "log": "Log",
    "logical_and": "And", "logical_not": "Not", "logical_or": "Or", "maximum": "Max",
    "minimum": "Min", "multiply": "Mul", "negative": "Neg", "power": "Pow", "reciprocal":
    "Reciprocal", "rint": "Round", "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt",
    "subtract": "Sub", "tanh": "Tanh", "where": "Where",
}  # fmt: skip
CALLS: Mapping[str, Callable[..., Any]] = {  # functions of several operators
    "square": lambda x: x * x,
    "hypot": lambda a, b: np.sqrt(a * a + b * b),
    "log1p": lambda x: np.log(1.0 + x),
    "expm1": lambda x: np.exp(x) - 1.0,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
}


class WrittenNode(NDArrayOperatorsMixin):
    """A float tensor of the ONNX model, which NumPy's functions take like an array.

    ndim   rank of the operator's result
    """

    def __init__(self, w: Writer, name: str, ndim: int) -> None:
        self.w, self.name, self.ndim = w, name, ndim

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise _no_onnx_form(f"x.{attribute}")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            raise _no_onnx_form(ufunc.__name__)
        return self._call_function(ufunc.__name__, inputs)

    def __array_function__(
        self, function: Any, types: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Any:
        if options:
            raise _no_onnx_form(function.__name__)
        return self._call_function(function.__name__, inputs)

    def _call_function(self, function: str, inputs: tuple[Any, ...]) -> Any:
        if function in CALLS:
            return CALLS[function](*map(self._as_tensor, inputs))
        if function not in NODES:
            raise _no_onnx_form(function)
        names = (self._as_tensor(x).name for x in inputs)
        return WrittenNode(self.w, self.w.node(NODES[function], *names), self.ndim)

    def _as_tensor(self, value: Any) -> WrittenNode:
        """Return an argument as a tensor; numbers and arrays become constants."""
        bare = value.item() if isinstance(value, np.ndarray) and value.dtype == object else value
        if isinstance(bare, WrittenNode):
            return bare
        return WrittenNode(self.w, self.w.constant(np.asarray(bare, np.float32)), self.ndim)


def _no_onnx_form(function: str) -> TypeError:
    return TypeError(f"real has {function}, which ONNX does not; WRITE can have its nodes")


def written_real(w: Writer, step: QuantizedNode, *xs: str) -> str:
    """Write a step's `real` as ONNX nodes, and return the ONNX name of the result.

    Errors: TypeError if it uses a function of NumPy that no operator of ONNX computes.
    """
    op, names = OPS[step.node.op], iter(xs)
    arguments = [
        w.floats[name] if at in op.weights.at else WrittenNode(w, next(names), len(step.out))
        for at, name in enumerate(step.node.inputs)
    ]
    made = np.asarray(inspect.unwrap(op.real)(step.attrs, *arguments), object).item()
    assert isinstance(made, WrittenNode), f"real of {op.name} does not depend on its operands"
    return made.name
