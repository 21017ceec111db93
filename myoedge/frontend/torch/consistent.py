# SPDX-License-Identifier: Apache-2.0
"""Whether a program says of its calls what torch makes of them: an archive may say anything."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.refusals import short
from myoedge.frontend.torch.calls import is_known
from myoedge.frontend.torch.traced import origin_of, type_of

if TYPE_CHECKING:
    import torch

AGAIN = ["export the model again, with this version of torch"]


def refuse_inconsistent(program: torch.export.ExportedProgram) -> None:
    """Every call that may be imported is made by torch, of tensors without values, as the program
    describes what it reads; what it gives has to be as the program describes that.

    Errors: E109.
    """
    import torch

    with torch.no_grad():
        for node in program.graph.nodes:
            if node.op == "call_function" and (node.target is operator.getitem or is_known(node)):
                _refuse_other(node, _made(node))


def refuse_other_tensor(name: str, found: Any, node: Any) -> None:
    """Checks a weight against its name and its node. Errors: E109."""
    said, has = described(node.meta.get("val", found)), described(found)
    if said != has:
        facts = {"needs": f"{', '.join(said)}, as the graph says", "has": ", ".join(has)}
        raise MyoedgeError("E109", f"{name} is another tensor than the graph reads", facts, AGAIN)


def _made(node: Any) -> Any:
    """Value of a node's call as torch computes it from the inputs' recorded types."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx import map_arg

    given = map_arg((node.args, node.kwargs), lambda read: read.meta["val"])
    modes = (x.fake_mode for x in _tensors(node.meta.get("val")) if hasattr(x, "fake_mode"))
    try:
        with next(modes, None) or FakeTensorMode(allow_non_fake_inputs=True):
            return node.target(*given[0], **given[1])
    except Exception as error:  # whatever torch makes of a call that no export wrote
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _inconsistent(node, {"cause": cause}) from None


def _refuse_other(node: Any, made: Any) -> None:
    found, said = described(made), described(node.meta.get("val"))
    if found and found != said:  # what is no tensor is refused as such
        facts = {"needs": ", ".join(found), "has": ", ".join(said) or "no tensor"}
        raise _inconsistent(node, facts)


def described(value: Any) -> list[str]:
    """Types and shapes of a call's results, or of a tensor."""
    return [f"{type_of(x.dtype)} {[*x.shape]}" for x in _tensors(value)]


def _tensors(value: Any) -> Iterable[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "shape"):
        yield value


def _inconsistent(node: Any, facts: dict[str, str]) -> MyoedgeError:
    place = str(origin_of(node)) or node.name
    what = f"{short(str(node.target))} at {place} is not what the graph says that it is"
    return MyoedgeError("E109", what, facts, AGAIN)
