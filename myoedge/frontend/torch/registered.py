# SPDX-License-Identifier: Apache-2.0
"""Check of the torch.library operators that an archive calls; torch loads only registered ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from myoedge.frontend.refusals import Refusal, qualified_name, unsupported
from myoedge.frontend.sources import source_of_trace
from myoedge.frontend.torch.static_shapes import dicts
from myoedge.graph.origin import Origin

PREFIX = "torch.ops."


def refuse_unregistered(program: Mapping[str, Any]) -> None:
    """Raise E111 for operators that no library has registered in this process."""
    from torch._C import _jit_get_schemas_for_operator as schemas

    refusals = [
        Refusal(target, Origin("", place))
        for target, place in _calls(program)
        if (name := qualified_name(target)) and not schemas(name)
    ]
    if refusals:
        raise unsupported(refusals)


def _calls(program: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (target, place in the user's program) of each call in a program."""
    for key, node in dicts(program):
        target, metadata = node.get("target"), node.get("metadata")
        if key == "nodes" and isinstance(target, str) and isinstance(metadata, dict):
            trace = str(metadata.get("stack_trace") or "")
            yield target.removeprefix(PREFIX), source_of_trace(trace)


def arguments_of_call(name: str) -> dict[str, tuple[bool, Any]] | None:
    """Return argument -> (whether it is a tensor, its default) of a registered operator; None if no
    library has registered it.

    name   "lab.gain.default"
    """
    from torch._C import _jit_get_schemas_for_operator as schemas

    namespace, operator, overload = name.split(".")
    for schema in schemas(f"{namespace}::{operator}"):
        if (schema.overload_name or "default") == overload:
            return {x.name: ("Tensor" in str(x.type), _default(x)) for x in schema.arguments}
    return None


def _default(argument: Any) -> Any:
    return argument.default_value if argument.has_default_value() else None
