# SPDX-License-Identifier: Apache-2.0
"""Queries of the import tables of all operator families, and of constant folding: torch calls and
ONNX operators that import computes if their inputs are constant, with size limits. Needs neither
torch nor onnx."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from myoedge.operators.base import OPS
from myoedge.operators.complex_numbers import pair_rows
from myoedge.operators.conv.transposed import conv_transpose
from myoedge.operators.graph_builder import Unsupported
from myoedge.operators.import_rows import OnnxRow, Row, aten_calls, aten_names, onnx_calls
from myoedge.operators.layout.import_rows import NOTHING

# Each call is listed under the operator that does most of its work, or under "" if it needs none.
# Operators that only passes or settings add have no calls.
CALLS: Mapping[str, Mapping[str, Row]] = {**{op: {} for op in ("", *OPS)}, **aten_calls()}
KEEPS = frozenset(aten_names(NOTHING))
# Operators on integers (inputs or argmax results), and their calls.
ON_INTEGERS = frozenset(
    op for op, row in OPS.items() if row.is_data_movement or row.operands.are_indices
)
READS_INTEGERS = frozenset((*KEEPS, *(name for op in ON_INTEGERS for name in CALLS[op])))
IMPORT: Mapping[str, Row] = {
    **{name: row for rows in CALLS.values() for name, row in rows.items()},
    # refused by their rank
    **dict.fromkeys(aten_names("conv_transpose3d.input"), conv_transpose),
}
PAIRS: Mapping[str, Row] = pair_rows(IMPORT)  # calls that support complex tensors
INTEGER_CALLS: Mapping[str, Mapping[str, Row]] = aten_calls(integers=True)
OF_INTEGERS: Mapping[str, Row] = {  # calls that compute integers from integers
    name: row for rows in INTEGER_CALLS.values() for name, row in rows.items()
}

ONNX_CALLS: Mapping[str, Mapping[str, OnnxRow]] = onnx_calls()  # operator -> ONNX operator -> row

ONNX_READS_INTEGERS = frozenset(
    name for op in ("", *ON_INTEGERS) for name in ONNX_CALLS.get(op, ())
)
ONNX_IMPORT: Mapping[str, OnnxRow] = {
    name: row for rows in ONNX_CALLS.values() for name, row in rows.items()
}
ONNX_INTEGER_CALLS: Mapping[str, Mapping[str, OnnxRow]] = onnx_calls(integers=True)
ONNX_OF_INTEGERS: Mapping[str, OnnxRow] = {
    name: row for rows in ONNX_INTEGER_CALLS.values() for name, row in rows.items()
}


def calls_of(op: str) -> tuple[str, ...]:
    """Return the torch calls, without overloads, that are imported as an operator, sorted.

    op   name of the operator; "" for calls that need no operator
    """
    return _strip_overloads((*CALLS[op], *INTEGER_CALLS.get(op, ())))


def complex_calls() -> tuple[str, ...]:
    """Return the torch calls, without overloads, that support complex tensors, sorted."""
    return _strip_overloads(PAIRS)


def _strip_overloads(calls: Iterable[str]) -> tuple[str, ...]:
    names = {name.removeprefix("aten.").rpartition(".")[0] for name in calls}
    return tuple(sorted(name for name in names if not name.startswith("_")))


def onnx_of(op: str) -> tuple[str, ...]:
    """Return the ONNX operators that are imported as an operator, sorted.

    op   as for `calls_of`
    """
    return tuple(sorted({*ONNX_CALLS.get(op, ()), *ONNX_INTEGER_CALLS.get(op, ())}))


# --- constant folding -----------------------------------------------------------------------------


MOST_ELEMENTS = 2**26  # elements of a constant: 256 MiB as float32
MOST_EINSUM = 2**28  # products of an einsum, and elements of its intermediate results

# Calls that torch computes on constants, in addition to those in IMPORT and pointwise ones. Other
# calls in a file could crash torch or open files.
ATEN_FOLDED = frozenset(
    f"aten.{name}"
    for name in (
        "_weight_norm", "_weight_norm_interface", "affine_grid_generator", "all", "amin", "any",
        "arange", "argmin", "argsort", "bartlett_window", "blackman_window", "block_diag",
        "bucketize", "cartesian_prod", "cdist", "count_nonzero", "cross", "cummax", "cummin",
        "cumprod", "cumsum", "diag", "diag_embed", "diagonal", "diff", "dot", "einsum", "embedding",
        "empty", "empty_like", "expand_as", "eye", "fft_fft", "fft_fftfreq", "fft_fftshift",
        "fft_ifft", "fft_ifftshift", "fft_irfft", "fft_rfft", "fft_rfftfreq", "fill", "full",
        "full_like", "gather", "ger", "grid_sampler", "hamming_window", "hann_window", "imag",
        "index", "index_add", "index_copy", "index_fill", "index_put", "index_select", "isin",
        "kaiser_window", "kron", "linalg_cross", "linalg_diagonal", "linalg_householder_product",
        "linalg_matrix_exp", "linalg_norm", "linalg_vector_norm", "linspace", "logcumsumexp",
        "logspace", "masked_fill", "masked_scatter", "matrix_exp", "matrix_H", "max", "median",
        "meshgrid", "mH", "min", "mT", "mv", "nanmean", "nansum", "new_empty", "new_full",
        "new_ones", "new_zeros", "norm", "numpy_T", "one_hot", "ones", "ones_like", "outer", "prod",
        "real", "renorm", "repeat_interleave", "roll", "rot90", "scalar_tensor", "scatter",
        "scatter_add", "searchsorted", "select_scatter", "slice_scatter", "sort", "std", "std_mean",
        "take", "take_along_dim", "tensordot", "tile", "topk", "trace", "trapezoid", "tril",
        "tril_indices", "triu", "triu_indices", "vander", "var", "var_mean", "vdot",
        "view_as_complex", "view_as_real", "zeros", "zeros_like",
    )
)  # fmt: skip
# Computed by the onnx package.
SHAPES = ("Constant", "Shape", "Size")  # constant for any input
ONNX_FOLDED = frozenset((
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
    "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BlackmanWindow", "Cast",
    "CastLike", "Ceil", "Celu", "Clip", "Concat", "ConstantOfShape", "Cos", "Cosh", "CumProd",
    "CumSum", "DFT", "DepthToSpace", "Det", "Div", "Dropout", "Einsum", "Elu",
    "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements",
    "GatherND", "Gelu", "Gemm", "Greater", "GreaterOrEqual", "HammingWindow", "HannWindow",
    "HardSigmoid", "HardSwish", "Hardmax", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "MatMul", "Max", "Mean", "Min", "Mish",
    "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "Range", "Reciprocal",
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "ReverseSequence",
    "Round", "ScatterElements", "ScatterND", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh",
    "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub",
    "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze",
    "Where", "Xor",
))  # fmt: skip


def aten_folded() -> tuple[str, ...]:
    """Return the torch calls, without overloads, that import computes if their operands are
    constant."""
    names = (name.removeprefix("aten.") for name in ATEN_FOLDED)
    return tuple(sorted(name for name in names if not name.startswith("_")))


def onnx_folded() -> tuple[str, ...]:
    """Return the ONNX operators that import computes if their inputs are constant, including Shape
    and Size."""
    return tuple(sorted({*ONNX_FOLDED, *SHAPES}))


def check_elements(count: int) -> None:
    """Raise Unsupported for a constant with more than MOST_ELEMENTS elements."""
    if count > MOST_ELEMENTS:
        raise Unsupported(f"constants of {count:,} elements, at most {MOST_ELEMENTS:,}")


def check_einsum(equation: str, shapes: Sequence[Sequence[int]]) -> None:
    """Raise Unsupported for an einsum of constants whose products would take too long to
    compute."""
    products = math.prod(math.prod(shape) for shape in shapes)
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if "." not in equation and [*map(len, terms)] == [*map(len, shapes)]:
        extents = [n for shape in shapes for n in shape]
        # each letter once; of several extents, at most one is not 1
        named = dict(sorted(zip("".join(terms), extents, strict=True)))
        products = math.prod(named.values())
    if products > MOST_EINSUM:
        raise Unsupported("an einsum of constants that large")
