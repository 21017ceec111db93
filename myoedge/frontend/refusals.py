# SPDX-License-Identifier: Apache-2.0
"""Refusals of models that cannot be imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Origin
from myoedge.operators.softmax.masks import MIXED, NO_KEY


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that cannot be imported: which, where, why."""

    target: str
    origin: Origin
    reason: str = ""

    @property
    def what(self) -> str:
        return f"{short(self.target)}{f': {self.reason}' if self.reason else ''}"


def short(target: str) -> str:
    """ "aten.layer_norm.default" -> "layer_norm" """
    return target.removeprefix("aten.").removesuffix(".default")


INSTEAD = {
    "group_norm": "batch norm instead of group norm: it folds into the layer before it",
    "instance_norm": "batch norm instead of instance norm: it folds into the layer before it",
    "lstm": "an LSTM without projections (proj_size=0), and a weight that is a parameter",
    "rnn": "an LSTM or a GRU instead of a plain recurrent layer",
    "einsum": "matmul, permute and reshape written out, which are supported",
    "conv_transpose": "a convolution and nearest-neighbour upsampling by a whole factor",
    "embedding": "one-hot inputs and a linear layer",
    "upsample": "nearest-neighbour upsampling by a whole factor",
    "vector_norm": "F.normalize(x, dim=-1) with p=2, eps up to 1e-4, or F.rms_norm",
    "stft": "torch.stft(..., center=False, return_complex=True).abs(), with a power of two",
    "std": "batch norm, or normalise the windows on the host",
    "var": "batch norm, or normalise the windows on the host",
    "max.dim": "only the values of max, or argmax at the output",
    "where": "clamp, relu or leaky_relu, which are supported, or a condition that is a buffer",
    "masked_fill": "a mask that is a buffer of the module (one build for each), not an input",
    "scatter": "cat or stack of the parts instead of writing into a slice",
}


KEEP_A_KEY = (
    "leave every query a key, its own frame say: hidden & ~torch.eye(frames, dtype=torch.bool), "
    "where hidden joins all masks; multiply the rows by 0 behind it where they must be zeros"
)


TWO_MASKS = "give two masks, each 1 where a key is seen: (1 - first) * -1e4 + (1 - second) * -1e4"


def instead(target: str) -> str:
    """Replacement of an unsupported operator."""
    for part, advice in INSTEAD.items():
        if part in target:
            return f"use {advice}"
    return f"rewrite {short(target)} with supported operators, or move it to the host"


def unsupported(
    refusals: Sequence[Refusal], advice: Callable[[str], str] = instead
) -> MyoedgeError:
    """E111 with every operator that is in the way, and every place where it stands."""
    first = refusals[0]
    kinds: dict[str, list[str]] = {}
    for refusal in refusals:
        kinds.setdefault(refusal.what, []).append(str(refusal.origin))
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    place = str(first.origin) or "the network"
    tries = (_by_reason(r.reason) or advice(r.target) for r in refusals)
    return MyoedgeError(
        "E111",
        f"{place} {_title(first)}{more}",
        {"found": "\n".join(_line(what, places) for what, places in kinds.items())},
        [*dict.fromkeys(tries), "myoedge ops  lists what there is"],
    )


def _title(refusal: Refusal) -> str:
    """Title of a refusal: the operator, or the unsupported use of a supported one."""
    if not refusal.reason:
        return f"uses an operator that is not supported: {short(refusal.target)}"
    return f"cannot be built: {refusal.reason} ({short(refusal.target)})"


def _by_reason(reason: str) -> str:
    """Remedy for an unsupported use of a supported operator."""
    return {NO_KEY: KEEP_A_KEY, MIXED: TWO_MASKS}.get(reason, "")


def _line(what: str, places: Iterable[str]) -> str:
    known = ", ".join(dict.fromkeys(filter(None, places)))
    return f"{what}, at {known}" if known else what


def training(what: str) -> MyoedgeError:
    return MyoedgeError(
        "E113",
        "the model was exported in training mode",
        {"found": what},
        ["call model.eval() before torch.export.export(...)"],
    )


def changes_state(name: str) -> MyoedgeError:
    return MyoedgeError(
        "E114",
        f"the network changes its own state: {name}",
        {"needs": "outputs that depend on the inputs alone"},
        ["return the new state as an output and take the old one as an input"],
    )


def dynamic(name: str, axis: int, shape: Sequence[object]) -> MyoedgeError:
    return MyoedgeError(
        "E110",
        f"axis {axis} of {name} is dynamic",
        {"needs": "static shapes", "has": f"{name} [{', '.join(map(str, shape))}]"},
        ["export without dynamic_shapes, with an example input of the size the device sees"],
    )


def infinite_mask(name: str, count: int, size: int, sign: str, reader: str) -> MyoedgeError:
    """E112 of infinities that no softmax hides; sign: "minus" or "plus"."""
    return MyoedgeError(
        "E112",
        f"{name} holds {count} values that are {sign} infinity, which {reader}",
        {
            "needs": "minus infinity only in what is added to scores in front of a softmax",
            "has": f"{count} of {size} not finite",
        },
        [
            "fill with a number below all that is there, masked_fill(mask, -10.0) say, "
            "for a largest value over what is left",
            "multiply by a mask of zeros and ones for a sum or a mean",
        ],
    )


def not_finite(name: str, count: int, size: int) -> MyoedgeError:
    return MyoedgeError(
        "E112",
        f"{name} holds {count} values that are NaN or infinite",
        {"needs": "finite weights", "has": f"{count} of {size} not finite"},
        [
            "look at the training run: the network has diverged, or the checkpoint is damaged",
            "a mask of minus infinities is to be a buffer (register_buffer)",
        ],
    )


def not_floating(name: str, dtype: str, readers: Sequence[str]) -> MyoedgeError:
    """E116; `readers` are the operators that take the input, with their places."""
    read = {"read by": "\n".join(readers)} if readers else {}
    return MyoedgeError(
        "E116",
        f"input {name} is {dtype}: inputs must be floating point",
        {"needs": "float32 windows, which the host quantises", "has": dtype, **read},
        _as_floats(name, dtype, readers),
    )


def _as_floats(name: str, dtype: str, readers: Sequence[str]) -> list[str]:
    if any("embedding" in reader or "Gather" in reader for reader in readers):
        return ["pass one-hot vectors and use a linear layer instead of an embedding"]
    if dtype == "bool":
        return [
            f"keep {name} in the module (register_buffer), one build for each that there is",
            f"give ones and zeros as float32, and add (1 - {name}) * -1e4 to what it masks",
        ]
    return [f"export with example inputs of torch.float32 for {name}"]


def constant_output(name: str, value: str) -> MyoedgeError:
    return MyoedgeError(
        "E115",
        f"{name} does not depend on any input",
        {"has": value},
        ["leave it out of what forward() returns"],
    )
