# SPDX-License-Identifier: Apache-2.0
"""The network built by the user's `--factory` function, exported with example inputs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.buffers import LEAVE_WEIGHTS
from myoedge.frontend.torch.load import import_torch
from myoedge.system.user_code import UserFunction, cause_of

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

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
    named = _of_factory(factory)
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


def _of_factory(factory: str) -> UserFunction:
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
