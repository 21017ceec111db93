# SPDX-License-Identifier: Apache-2.0
"""Networks of whole numbers, as QuantLib writes and Deeploy runs them: tensors of floats, every
value of which is a whole number, and operators that no standard has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from myoedge.frontend.onnx.control_flow import names_read
from myoedge.frontend.onnx.state import Importing
from myoedge.frontend.operator_table import ONNX_IMPORT
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.fixed_point import INT32_MAX

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

DOMAIN = "PACTOps"  # QuantLib's; files of others have none
DOMAINS = ("", "ai.onnx", "ai.onnx.contrib", DOMAIN)
OPERATORS = frozenset(
    name.removeprefix(f"{DOMAIN}.") for name in ONNX_IMPORT if name.startswith(f"{DOMAIN}.")
)


def name_domain(model: ModelProto) -> bool:
    """Puts operators of networks of whole numbers in their own domain, so that onnx does not look
    for them among its own. Returns whether there are some."""
    from onnx import helper

    own = {(f.domain, f.name) for f in model.functions}
    found = [
        node
        for node in model.graph.node
        if node.op_type in OPERATORS
        and node.domain in DOMAINS
        and (node.domain, node.op_type) not in own
    ]
    for node in found:
        node.domain = DOMAIN
    if found and all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return bool(found)


def floored(graph: GraphProto) -> frozenset[str]:
    """Tensors that Floor alone reads: no output, and no other node."""
    rounded, others = set[str](), {value.name for value in graph.output}
    for node in graph.node:
        (rounded if node.op_type == "Floor" else others).update(names_read(node))
    return frozenset(rounded - others)


def is_quotient(state: Importing, node: NodeProto) -> bool:
    """Whether a Div is by a whole number of at least 1, and Floor alone reads it."""
    if node.op_type != "Div" or len(node.input) != 2 or node.output[0] not in state.floored:
        return False
    x, divisor = state.values.get(node.input[0]), state.arrays.get(node.input[1])
    if divisor is None or divisor.size != 1 or node.input[0] in state.arrays:
        return False
    by = float(divisor.reshape(-1)[0])
    widens = x is None or x.shape is None or divisor.ndim > len(x.shape)
    return not widens and 1 <= by <= INT32_MAX and by == np.rint(by)


def quotient(state: Importing, node: NodeProto) -> Iterator[NodeProto]:
    """TrueIntegerDiv, which rounds down, in place of Div: a factor 1 / 49 makes 0 of 49 / 49."""
    from onnx import helper

    by = int(state.arrays[node.input[1]].reshape(-1)[0])
    made = helper.make_node("TrueIntegerDiv", node.input[:1], node.output, node.name)
    made.domain = DOMAIN
    parameters = {"y": by, "Delta": 1, "eps": 0, "eta": 1}
    made.attribute.extend(helper.make_attribute(n, v) for n, v in parameters.items())
    made.metadata_props.extend(node.metadata_props)
    yield made


def is_of_whole_numbers(model: ModelProto) -> bool:
    return any(node.domain == DOMAIN for node in model.graph.node)


def whole_format(value: Array) -> ConstantFormat | None:
    """Format of a constant of whole numbers of up to 16 bits, in steps of 1; None of others."""
    if value.dtype.kind not in "iuf" or not value.size or not np.isfinite(value).all():
        return None
    low, high = float(value.min()), float(value.max())
    kind = INT8 if INT8.low <= low and high <= INT8.high else INT16
    if (value != np.rint(value)).any() or low < kind.low or kind.high < high:
        return None
    return ConstantFormat((1.0,), (0,), kind.low, kind.high)
