# SPDX-License-Identifier: Apache-2.0
"""Errors for files that cannot be loaded and models that cannot be imported, with remedies."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from myoedge.errors import MyoedgeError, and_more, named_input
from myoedge.graph.origin import Origin
from myoedge.operators.graph_builder import ReadsRefused, Unsupported
from myoedge.operators.library.masks import MIXED, NO_KEY

# ---- files

WITH_FACTORY = ("--factory", "pkg.mod:make_model", "--calib", "calib.npz")
EXPORT_LINES = (
    "ep = torch.export.export(model.eval(), (example,))\n"
    'torch.export.save(ep, "model.pt2")\n'
    "# then: myoedge build model.pt2 --calib calib.npz"
)


# ---- calls and inputs


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call of the model, or an ONNX node, that cannot be imported.

    target    name of the call
    origin    its place in the user's program
    reason    why it cannot be imported
    instead   suggested replacement; "": the operator's default advice
    follows   whether it is only a consequence of another refusal
    """

    target: str
    origin: Origin
    reason: str = ""
    instead: str = ""
    follows: bool = False

    @property
    def cause(self) -> str:
        """Return the reason up to the first comma, by which refusals are grouped."""
        return self.reason.partition(", ")[0] or short(self.target)


def refusal_of(error: Unsupported, target: str, origin: Origin) -> Refusal:
    """Return the refusal of a call whose import raised an error."""
    return Refusal(target, origin, str(error), error.instead, isinstance(error, ReadsRefused))


def short(target: str) -> str:
    """Return the short name of a call: "aten.layer_norm.default" -> "layer_norm"."""
    return target.removeprefix("aten.").removesuffix(".default")


NO_NOISE = "a network input for the random values, or leave them out"
IN_FRONT = "a network input for it, computed on the host"
BEHIND = "its input as a network output, and do this step on the host"
NO_INFINITY = "the tensor's own extreme, torch.where(mask, x.amax(), x), if no softmax reads it"
# Advice by parts of a call's name, first match; for calls without advice from their import row.
INSTEAD = {
    "embedding_bag": "nn.Embedding, and the sum, mean or amax over the ids of a bag",
    "upsample": "F.interpolate without antialias=True, or avg_pool before it",
    "stft": "n_fft of at most 2,048 samples, and a window that is a buffer of the module",
    "fft_": "n with small factors, up to 32,768, by appending zeros: torch.fft.rfft(x, 8192)",
    "cdist": "(x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()",
    "grid_sampler": (
        "F.interpolate, or for a constant grid a product with the matrix of its weights, "
        "F.grid_sample(torch.eye(h * w).view(1, -1, h, w), grid)"
    ),
    "col2im": "F.conv_transpose2d with the weights torch.eye(taps).view(taps, channels, h, w)",
    "sparse": "dense tensors: to_dense() before the export",
    "cond": "torch.where(condition, first, second) of both branches",
    "while_loop": "a loop over range(n), n a number, which export unrolls",
    **dict.fromkeys(("rand", "normal", "bernoulli", "multinomial"), NO_NOISE),
    **dict.fromkeys(("linalg_", "cholesky", "inverse", "_svd", "matrix_exp"), IN_FRONT),
    **dict.fromkeys(
        ("sort", "median", "quantile", "kthvalue", "mode", "unique", "nonzero", "histc", "nms"),
        BEHIND,
    ),
    **dict.fromkeys(("where", "masked_fill"), NO_INFINITY),
    "diagonal_scatter": "torch.where(torch.eye(n, dtype=torch.bool), values.unsqueeze(-1), x)",
    "scatter_add": "x + values @ F.one_hot(index, n).float()",
    "scatter": (
        "cat or stack of the parts instead of writing into a slice, and for one place of a row "
        "torch.where(F.one_hot(index, n) == 1, value, x)"
    ),
}


COMPLEX = "complex numbers"
AS_REAL = "compute with x.real, x.imag, x.abs(), x.angle() or torch.view_as_real(x) instead"
KEEP_A_KEY = (
    "leave every query a key, as its own frame: hidden & ~torch.eye(frames, dtype=torch.bool), "
    "where hidden joins all masks; multiply rows that must be zeros by 0 after it"
)
TWO_MASKS = "use two masks, each 1 for a visible key: (1 - first) * -1e4 + (1 - second) * -1e4"
PARAMETRIZED = re.compile(r"(?:^|\.)parametrizations\.")
REMOVE_PARAMETRIZATIONS = """turn parametrizations into plain weights, after model.eval():
from torch.nn.utils import parametrize
for layer in filter(parametrize.is_parametrized, [*model.modules()]):
    for name in [*layer.parametrizations]:
        parametrize.remove_parametrizations(layer, name)"""
SHOWN = 3  # places named per cause


# A call of torch.library by namespace and name, and the namespaces of torch's own operators.
QUALIFIED = re.compile(r"([A-Za-z]\w*)\.(\w+)\.\w+")
TORCHS = (
    *("aten", "c10d_functional", "_c10d_functional", "higher_order", "inductor", "mkldnn", "prim"),
    *("prims", "profiler", "quantized", "quantized_decomposed", "torchao", "torchvision"),
)


def qualified_name(target: str) -> str:
    """Return "lab::rad" for a call of another library's operator, "lab.rad.default"; otherwise
    ""."""
    found = QUALIFIED.fullmatch(target)
    return "" if found is None or found[1] in TORCHS else f"{found[1]}::{found[2]}"


def suggest_replacement(target: str) -> str:
    """Return a suggested replacement for an unsupported operator."""
    if name := qualified_name(target):
        if target in _imported_calls():
            return f"a module torch_library.py of its plug-in that registers {name} in torch"
        return (
            f"name a plug-in that registers {name}, in myoedge.toml: [plugins] operators = [...]; "
            "docs/developers/plugins.md says how to write one"
        )
    for part, advice in INSTEAD.items():
        if part in target:
            return f"use {advice}"
    return f"rewrite {short(target)} with supported operators, or move it to the host"


def unsupported(
    refusals: Sequence[Refusal], advice: Callable[[str], str] = suggest_replacement
) -> MyoedgeError:
    """Return error E111 with one line per cause: the operators and the first places; consequences
    of other refusals are left out.

    advice   operator -> suggested replacement
    """
    refusals = [r for r in refusals if not r.follows] or refusals
    first = refusals[0]
    causes: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        causes.setdefault(refusal.cause, []).append(refusal)
    title = f"uses an operator that is not supported: {short(first.target)}"
    if first.reason:
        title = f"cannot be built: {first.reason} ({short(first.target)})"
    more = f" and {len(causes) - 1} more" if len(causes) > 1 else ""
    return MyoedgeError(
        "E111",
        f"{str(first.origin or '') or 'the network'} {title}{more}",
        {"found": "\n".join(map(_refusal_line, causes.values()))},
        [
            *filter(None, dict.fromkeys(_refusal_remedy(r[0], advice) for r in causes.values())),
            "myoedge ops  lists what there is",
        ],
    )


def _imported_calls() -> Collection[str]:
    """Return the calls that have an import row, of plug-ins, too."""
    from myoedge.frontend.operator_table import IMPORT

    return IMPORT.keys()


def _refusal_line(refusals: Sequence[Refusal]) -> str:
    """Return the line of an error for refusals with one cause: calls, their number and places."""
    targets = list(dict.fromkeys(short(r.target) for r in refusals))
    places = [p for p in dict.fromkeys(str(r.origin) for r in refusals) if p]
    what, hidden = and_more(targets, SHOWN), len(refusals) > SHOWN
    reason = f": {refusals[0].reason}" if refusals[0].reason else ""
    count = f", {len(refusals)} calls" if hidden else ""
    return f"{what}{reason}{count}{f', at {and_more(places, SHOWN)}' if places else ''}"


def _refusal_remedy(refusal: Refusal, advice: Callable[[str], str]) -> str:
    if PARAMETRIZED.search(refusal.origin.path):
        return REMOVE_PARAMETRIZATIONS
    if refusal.reason.startswith(COMPLEX):
        return AS_REAL
    if refusal.reason and qualified_name(refusal.target) and refusal.target in _imported_calls():
        return refusal.instead  # the import row of a plug-in has refused this use
    by_reason = {NO_KEY: KEEP_A_KEY, MIXED: TWO_MASKS}
    return refusal.instead or by_reason.get(refusal.reason) or advice(refusal.target)


def not_numbers(name: str, dtype: str, readers: Sequence[str]) -> MyoedgeError:
    """Return error E116 for an input of an unsupported type.

    readers   the operators that read it, with their places
    """
    read = {"read by": "\n".join(readers)} if readers else {}
    return MyoedgeError(
        "E116",
        f"{named_input(name)} is {dtype}, which no operator here reads",
        {"needs": "floats, bool, uint8, int8, int16, int32 or int64", "has": dtype, **read},
        [f"export with an example input of torch.int64 or torch.float32 for {name}"],
    )


def wrong_size(name: str, shape: Sequence[int | str], needs: str) -> MyoedgeError:
    """Return error E110 for an input with too many elements, or with none (which some exporters
    write for dynamic sizes).

    needs   the required size, as text
    """
    facts = {"needs": needs, "has": f"{name} [{', '.join(map(str, shape))}]"}
    tries = ["export with an example input of the size the device sees"]
    return MyoedgeError(
        "E110", f"{named_input(name)} is of no size that can be built", facts, tries
    )


KEEP_SHAPE = (
    "keep the shape: x * mask, or torch.where(mask, x, 0.0), instead of x[mask]; select by values "
    "on the host, after the network"
)


INDEX_BY_NUMBERS = (
    "the mask is constant: make it indices, once, in __init__: "
    'self.register_buffer("kept", mask.flatten().nonzero().flatten()), and read x[..., self.kept], '
    "or x.flatten()[self.kept] if the mask has all of its axes"
)


def depends_on_values(target: str, place: str, *, is_constant: bool) -> MyoedgeError:
    """Return error E110 for a call whose result's shape depends on values.

    place         where it is in the user's program
    is_constant   whether these values are constants
    """
    what = f"{short(target)}{f' at {place}' if place else ''}"
    facts = {"needs": "shapes that do not depend on values", "has": what}
    title = f"the shape of the result of {what} depends on values"
    return MyoedgeError("E110", title, facts, [INDEX_BY_NUMBERS if is_constant else KEEP_SHAPE])
