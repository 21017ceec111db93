# SPDX-License-Identifier: Apache-2.0
"""Names that an element-wise operator imports: docs/developers/adding-an-operator.md."""

from myoedge.nest.formulas import clip, maximum, minimum, rounded_shift, where
from myoedge.nest.ir import Expr
from myoedge.numerics.arrays import Array
from myoedge.operators.cases import elementwise_use
from myoedge.operators.elementwise_operator import Constant, ElementwiseOperator, common_unit
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, weights
from myoedge.operators.import_rows import Arguments, ImportRow, adding, first
from myoedge.operators.integer_params import Scaled

__all__ = [
    "Arguments",
    "Array",
    "Constant",
    "ElementwiseOperator",
    "Expr",
    "GraphBuilder",
    "ImportRow",
    "Scaled",
    "Unsupported",
    "adding",
    "clip",
    "common_unit",
    "elementwise_use",
    "first",
    "maximum",
    "minimum",
    "rounded_shift",
    "weights",
    "where",
]
