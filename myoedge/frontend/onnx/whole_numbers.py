# SPDX-License-Identifier: Apache-2.0
"""Networks of whole numbers, as QuantLib writes and Deeploy runs them: tensors of floats, every
value of which is a whole number, and operators that no standard has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from myoedge.frontend.operator_table import ONNX_IMPORT
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16

if TYPE_CHECKING:
    from onnx import ModelProto

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
    if found:
        _name_quotients(model)
    if found and all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return bool(found)


def _name_quotients(model: ModelProto) -> None:
    """Makes TrueIntegerDiv, which rounds down, of Div by a whole number where Floor alone reads it:
    a factor 1 / 49 would make 0 of 49 / 49."""
    from onnx import helper, numpy_helper

    graph = model.graph
    numbers = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        divisor = numbers.get(node.input[1]) if node.op_type == "Div" and not node.domain else None
        readers = [n for n in graph.node if {*n.input} & {*node.output}]
        is_floored = bool(readers) and all(n.op_type == "Floor" for n in readers)
        if divisor is None or divisor.size != 1 or not is_floored:
            continue
        by = float(divisor.reshape(-1)[0])
        if by >= 1 and by == np.rint(by):
            made = helper.make_node("TrueIntegerDiv", node.input[:1], node.output, node.name)
            made.domain = DOMAIN
            parameters = {"y": int(by), "Delta": 1, "eps": 0, "eta": 1}
            made.attribute.extend(helper.make_attribute(n, v) for n, v in parameters.items())
            node.CopyFrom(made)


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
