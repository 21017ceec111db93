# SPDX-License-Identifier: Apache-2.0
"""Check of the shapes and types recorded in a program, by running every call on meta tensors."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence, Set
from functools import cache
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.folding import ATEN_FOLDED
from myoedge.frontend.operator_table import IMPORT, OF_INTEGERS
from myoedge.frontend.refusals import depends_on_values, short
from myoedge.frontend.torch.decompositions import is_written_out
from myoedge.frontend.torch.known_calls import KnownCall
from myoedge.frontend.torch.quantized_calls import is_rounding
from myoedge.frontend.torch.traced import origin_of, target_of, type_of, without_values

if TYPE_CHECKING:
    import torch

UNBACKED = re.compile(r"\bu\d+\b")  # torch's name of a data-dependent size
EXPORT_AGAIN = ["export the model again, with this version of torch"]


def verify_call_metadata(program: torch.export.ExportedProgram) -> None:
    """Check the shapes and types that a program records for each call, by running the call on meta
    tensors.

    Errors: E109 if they differ from torch's.
    """
    import torch

    known: dict[str, list[str]] = {}
    given = {*program.graph_signature.user_inputs}
    with torch.no_grad():
        for node in program.graph.nodes:
            if node.op == "call_function" and (node.target is operator.getitem or is_known(node)):
                _refuse_values_in_shape(node, given)
                key, stated = _call_key(node), described(node.meta.get("val"))
                made = known[key] if key in known else described(_meta_result(node))
                known[key] = made
                if made and made != stated:  # results that are no tensors are refused elsewhere
                    facts = {"needs": ", ".join(made), "has": ", ".join(stated) or "no tensor"}
                    raise _inconsistent_metadata_error(node, facts)


def _refuse_values_in_shape(node: Any, given: Set[Any]) -> None:
    """Raise E110 for a result whose shape depends on values.

    given   names of the network's inputs
    """
    if not _has_data_dependent_shape(node):
        return
    while before := next(filter(_has_data_dependent_shape, node.all_input_nodes), None):
        node = before
    is_constant = not _depends_on_inputs(node.all_input_nodes[-1:], given)  # the mask comes last
    raise depends_on_values(target_of(node), str(origin_of(node)), is_constant=is_constant)


def _has_data_dependent_shape(node: Any) -> bool:
    sizes = (str(size) for x in _tensors_in(node.meta.get("val")) for size in x.shape)
    return any(UNBACKED.search(size) for size in sizes)


def _depends_on_inputs(nodes: Sequence[Any], given: Set[Any]) -> bool:
    """Return whether any of these nodes' values depends on an input of the network."""
    pending, seen = [*nodes], {*nodes}
    while pending:
        node = pending.pop()
        if node.name in given:
            return True
        pending += {*node.all_input_nodes} - seen
        seen.update(node.all_input_nodes)
    return False


def _call_key(node: Any) -> str:
    """Return a key that is equal for calls with equal targets, arguments and operand types."""
    from torch.fx import map_arg

    def layout(read: Any) -> list[str]:
        return [f"{x.dtype} {x.shape} {x.stride()}" for x in _tensors_in(read.meta.get("val"))]

    args = node.args
    if by_element(node.target):  # shapes follow from the operands, whatever the values
        args = tuple(float if type(x) is float else x for x in args)
    return f"{node.target} {map_arg((args, node.kwargs), layout)}"


def _meta_result(node: Any) -> Any:
    """Return the result of a node's call on meta tensors, computed by torch from the operands'
    recorded types."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx import map_arg

    given = map_arg((node.args, node.kwargs), lambda read: read.meta["val"])
    modes = (x.fake_mode for x in _tensors_in(node.meta.get("val")) if hasattr(x, "fake_mode"))
    try:
        with next(modes, None) or FakeTensorMode(allow_non_fake_inputs=True):
            return without_values(node.target, given[0], given[1])
    except Exception as error:  # torch may raise anything on a crafted call
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _inconsistent_metadata_error(node, {"cause": cause}) from None


def described(value: Any) -> list[str]:
    """Return type and shape as text, of a tensor or of each result of a call."""
    return [f"{type_of(x.dtype)} {[*x.shape]}" for x in _tensors_in(value)]


def _tensors_in(value: Any) -> Iterable[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)
    elif hasattr(value, "shape"):
        yield value


def _inconsistent_metadata_error(node: Any, facts: dict[str, str]) -> MyoedgeError:
    place = str(origin_of(node)) or node.name
    what = f"{short(str(node.target))} at {place} differs from what the graph records"
    return MyoedgeError("E109", what, facts, EXPORT_AGAIN)


def is_known(node: Any) -> bool:
    """Return whether a call is imported, folded or decomposed, so that torch may run it."""
    if isinstance(node.target, KnownCall):
        return True
    target = str(node.target)
    is_called = (
        _is_folded_call(node.target) or by_element(node.target) or is_written_out(node.target)
    )
    return is_called or is_rounding(node) or target in IMPORT or target in OF_INTEGERS


@cache
def _is_folded_call(target: Any) -> bool:
    """Return whether any overload of a call is folded at import and writes to none of its
    operands."""
    schema = getattr(target, "_schema", None)
    name = str(target).rpartition(".")[0] or str(target)
    return schema is not None and not schema.is_mutable and name in ATEN_FOLDED


@cache
def by_element(target: Any) -> bool:
    """Return whether a call is pointwise, such as a comparison, logic or selection; torch tags only
    one overload of a name, and no operators (__or__)."""
    import torch

    packet = getattr(target, "overloadpacket", None)
    if packet is None or target.namespace != "aten" or target._schema.is_mutable:
        return False
    tags = {tag for name in packet.overloads() for tag in getattr(packet, name).tags}
    return torch.Tag.pointwise in tags or packet.__name__.startswith("__")
