# SPDX-License-Identifier: Apache-2.0
"""Refusals of models that cannot be imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    "where": "clamp, relu or leaky_relu, which are supported, a condition that is a buffer, or "
    "(1 - m) * -1e4 of an input m of ones and zeros, added to the scores",
    "masked_fill": "a mask that is a buffer of the module (one build for each), not an input",
    "scatter": "cat or stack of the parts instead of writing into a slice",
    **dict.fromkeys(
        ("lt.Scalar", "le.Scalar", "gt.Scalar", "ge.Scalar", "eq.Scalar", "logical_not"),
        "(1 - m) * -1e4, added to the scores, of an input m of ones and zeros, in the place of a "
        "comparison that makes a mask",
    ),
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
    title = f"uses an operator that is not supported: {short(first.target)}"
    if first.reason:
        title = f"cannot be built: {first.reason} ({short(first.target)})"
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    lines = []
    for what, origins in kinds.items():
        places = ", ".join(dict.fromkeys(filter(None, origins)))
        lines.append(f"{what}, at {places}" if places else what)
    by_reason = {NO_KEY: KEEP_A_KEY, MIXED: TWO_MASKS}
    tries = (by_reason.get(r.reason) or advice(r.target) for r in refusals)
    return MyoedgeError(
        "E111",
        f"{first.origin or 'the network'} {title}{more}",
        {"found": "\n".join(lines)},
        [*dict.fromkeys(tries), "myoedge ops  lists what there is"],
    )


def not_floating(name: str, dtype: str, readers: Sequence[str]) -> MyoedgeError:
    """E116; `readers` are the operators that take the input, with their places."""
    read = {"read by": "\n".join(readers)} if readers else {}
    if any("embedding" in reader or "Gather" in reader for reader in readers):
        tries = ["pass one-hot vectors and use a linear layer instead of an embedding"]
    elif dtype == "bool":
        tries = [
            f"keep {name} in the module (register_buffer), one build for each that there is",
            f"give ones and zeros as float32, and add {name} * -1e4 to the scores where one hides "
            "a key (key_padding_mask)",
            f"or (1 - {name}) * -1e4 where one keeps a key (scaled_dot_product_attention)",
        ]
    else:
        tries = [f"export with example inputs of torch.float32 for {name}"]
    return MyoedgeError(
        "E116",
        f"input {name} is {dtype}: inputs must be floating point",
        {"needs": "float32 windows, which the host quantises", "has": dtype, **read},
        tries,
    )


def constant_output(name: str, value: str) -> MyoedgeError:
    return MyoedgeError(
        "E115",
        f"{name} does not depend on any input",
        {"has": value},
        ["leave it out of what forward() returns"],
    )
