# SPDX-License-Identifier: Apache-2.0
"""An operator's float function written as ONNX nodes: `real` is run on names instead of arrays.

For `lambda attrs, a, b: np.maximum(a, 0.5 * b)` the nodes are Mul and Max.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.qdq import Writer

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
        raise _unwritten(f"x.{attribute}")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            raise _unwritten(ufunc.__name__)
        return self._called(ufunc.__name__, inputs)

    def __array_function__(
        self, function: Any, types: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Any:
        if options:
            raise _unwritten(function.__name__)
        return self._called(function.__name__, inputs)

    def _called(self, function: str, inputs: tuple[Any, ...]) -> Any:
        if function in CALLS:
            return CALLS[function](*map(self._tensor, inputs))
        if function not in NODES:
            raise _unwritten(function)
        names = (self._tensor(x).name for x in inputs)
        return WrittenNode(self.w, self.w.node(NODES[function], *names), self.ndim)

    def _tensor(self, value: Any) -> WrittenNode:
        """Return an argument as a tensor; numbers and arrays become constants."""
        bare = value.item() if isinstance(value, np.ndarray) and value.dtype == object else value
        if isinstance(bare, WrittenNode):
            return bare
        return WrittenNode(self.w, self.w.constant(np.asarray(bare, np.float32)), self.ndim)


def _unwritten(function: str) -> TypeError:
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
