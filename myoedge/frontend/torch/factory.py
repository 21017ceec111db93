# SPDX-License-Identifier: Apache-2.0
"""The network built by the user's `--factory` function, exported with example inputs, and buffers
that forward() writes: tables filled by the first call become constants, buffers without effect on
outputs are ignored, others are refused as state."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.load import import_torch
from myoedge.graph.ir import Graph, prune
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.system.user_code import UserFunction, cause_of

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

STATE_AS_INPUT = (
    "return the new state as an output and take the old one as an input: forward(x, state) -> "
    "(y, state); on streams [stream] states in myoedge.toml carries it over"
)
LEAVE_WEIGHTS = "do not change weights in forward(): apply max-norm after optimizer.step()"
REPLACES = "aten._has_compatible_shallow_copy_type.default"  # trace of `w.data = ...`
WITHOUT_CACHE = "export without the cache, over the whole window: use_cache=False in transformers"
Buffers = Mapping[str, Array]  # by name in the module


def written_buffers(program: Any, builder: GraphBuilder, values: Mapping[str, Any]) -> Buffers:
    """Return the buffers that a call of the network writes and on which an output depends, with
    their values after one call.

    values   node name -> imported value
    The call counter of a quantisation-aware batch norm (prepare_qat_pt2e) is ignored. Errors: E114
    a buffer that depends on an input.
    """
    written = program.graph_signature.buffers_to_mutate.items()
    matter = _buffers_with_effect(program) if written else ()
    changed = {name: target for name, target in written if target in matter}
    found = {target: builder.find_array(str(values[name])) for name, target in changed.items()}
    computed = [target for target, value in found.items() if value is None]
    if computed:
        raise _read_state_names(computed)
    return {target: value for target, value in found.items() if value is not None}


def _buffers_with_effect(program: Any) -> set[str]:
    """Return the names of written buffers that affect an output of this call or of a later one."""
    signature = program.graph_signature
    nodes = {node.name: node for node in program.graph.nodes}
    buffers = signature.inputs_to_buffers
    written = {target: nodes[name] for name, target in signature.buffers_to_mutate.items()}
    pending = [nodes[name] for name in signature.user_outputs if name in nodes]
    reached = set[Any]()
    while pending:
        node = pending.pop()
        if node in reached:
            continue
        reached.add(node)
        pending += node.all_input_nodes
        if (target := buffers.get(node.name)) in written:
            pending.append(written[target])
    return {buffers[node.name] for node in reached if node.name in buffers}


def without_tables(import_with: Callable[[Buffers], tuple[Graph, Buffers]]) -> Graph:
    """Import a network that fills tables in its first call, in the form of its later calls.

    import_with   buffers -> (graph of a call that starts with them, buffers after the call)
    Errors: E114 a network that keeps state.
    """
    graph, written = import_with({})
    if written:
        again, left = import_with(written)
        changed = [name for name in written if not np.array_equal(written[name], left[name])]
        if changed or not _are_equal(graph, again):
            raise _read_state_names(changed or [*written])
    return graph


def refuse_replaced_weights(program: Any) -> None:
    """Raise E114 if forward() sets the .data of a weight, which torch 2.9 omits from the program
    and later versions refuse to export."""
    for node in program.graph.nodes:
        if str(node.target) == REPLACES:
            title = f"forward() sets the data of {node.args[0]}, which the archive leaves out"
            raise MyoedgeError("E114", title, {}, [LEAVE_WEIGHTS])


def _are_equal(a: Graph, b: Graph) -> bool:
    a, b = prune(a), prune(b)
    same = a.nodes == b.nodes and a.constants.keys() == b.constants.keys()
    return same and all(np.array_equal(x, b.array(name)) for name, x in a.arrays.items())


def _read_state_names(names: list[str]) -> MyoedgeError:
    return MyoedgeError(
        "E114",
        f"the network changes its own state: {', '.join(names)}",
        {
            "needs": "outputs that depend only on the inputs",
            "has": "state that is kept for the next call: a cache of keys and values, a buffer "
            "of the last samples, running statistics",
        },
        [STATE_AS_INPUT, WITHOUT_CACHE],
    )


AGAIN = "second "
# Words in torch's message -> remedy.
HINTS = {
    "fake tensor": LEAVE_WEIGHTS,
    "Cache'>": "let the factory set model.config.use_cache = False: a whole window needs none",
    "not a known type": (
        "torch.export.register_dataclass(Result), Result being the class that forward() returns"
    ),
    "data-dependent": (
        "torch.where(condition, first, second) in place of an if that reads values, and a loop "
        "over a number of steps in place of a while; encoder(x, mask=mask, is_causal=True) of a "
        "nn.TransformerEncoder"
    ),
}


def make_network(factory: str) -> tuple[nn.Module, tuple[Any, ...] | None]:
    """Call the user's factory; return its module, and its example inputs or None.

    factory   "pkg.mod:fn"
    """
    named = _run_factory(factory)
    named.check()
    torch = import_torch()
    function = named.imported()
    with named.guarded("raised an error"):
        made = function()
    module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module):
        kind = f"{type(module).__module__}.{type(module).__qualname__}".removeprefix("builtins.")
        raise named.error("did not return a torch.nn.Module", f"it returned {kind}")
    return module, example if example is None or isinstance(example, tuple) else (example,)


def _run_factory(factory: str) -> UserFunction:
    tries = (
        "--factory net:make_model, of a file net.py in this folder, with your network:\n"
        "def make_model():\n    return Net()  # without arguments, as before load_state_dict",
    )
    return UserFunction(factory, "--factory", "E206", tries)


def example_of(module: nn.Module, arrays: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """Convert example inputs to tensors, floats in the precision of the module's weights."""
    torch = import_torch()
    if not arrays:
        needs = {"needs": "the shape of the inputs, from calibration samples"}
        tries = ("--calib calib.npz", "let the factory return (model, example_inputs)")
        raise MyoedgeError("E205", "the network's input shape is not known", needs, tries)
    floats = (p.dtype for p in module.parameters() if p.is_floating_point())
    dtype = next(floats, torch.float32)
    tensors = (torch.as_tensor(array) for array in arrays)
    return tuple(t.to(dtype) if t.is_floating_point() else t for t in tensors)


def exported(
    module: nn.Module, examples: Sequence[tuple[Any, ...]], factory: str
) -> ExportedProgram:
    """Export a module with the first example inputs that it accepts."""
    torch = import_torch()
    causes: dict[str, str] = {}
    for example in examples:
        shown = "; ".join(map(size_text, example))
        if shown in causes:
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                program: ExportedProgram = torch.export.export(module, example)
            return program
        # runs the network's own forward
        except Exception as error:
            causes[shown] = cause_of(error)
    if any(t.shape[:1] != (1,) for t in examples[-1]):
        causes = dict([*causes.items()][:1])  # only samples with a batch axis may be unchanged
    facts: dict[str, str] = {}
    for number, (shown, cause) in enumerate(causes.items()):
        facts |= {f"{AGAIN * number}cause": cause, f"{AGAIN * number}example inputs": shown}
    said = " ".join(causes.values())
    hints = [hint for words, hint in HINTS.items() if words in said]
    tries = [*hints, "see that model(*example) runs in Python"]
    title = f"torch.export.export failed on the network of {factory}"
    raise MyoedgeError("E118", title, facts, tries)


def size_text(tensor: Any) -> str:
    """Format a tensor's shape for messages: "1 x 8 x 40"."""
    return " x ".join(map(str, tensor.shape)) or "a scalar"
