# SPDX-License-Identifier: Apache-2.0
"""Beam search: the likeliest labelling by enumeration, and what a model of characters adds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from myoedge.extensions.zoo import emg2qwerty
from myoedge.extensions.zoo.beam import Ngrams, SearchOptions, decode, trained
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.support.each import each

TEXT = "the cat and the hat and the rat that sat " * 4


def scores(seed: int, frames: int, classes: int) -> NDArray[np.float32]:
    x = 2 * np.random.default_rng(seed).standard_normal((frames, classes))
    return np.asarray(x - np.log(np.exp(x).sum(1, keepdims=True)), np.float32)


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    kept = (k for k, group in itertools.groupby(path))
    return tuple(k for k in kept if k != blank)


def likeliest(x: NDArray[np.float32], model: Ngrams | None, how: SearchOptions) -> tuple[int, ...]:
    """Of all labellings: sums over all paths, and the model's logarithms."""
    blank = x.shape[1] - 1
    total: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(x.shape[1]), repeat=len(x)):
        p = math.exp(sum(float(x[t, k]) for t, k in enumerate(path)))
        found = collapsed(path, blank)
        total[found] = total.get(found, 0.0) + p
    return max(total, key=lambda found: math.log(total[found]) + prior(found, model, how))


def prior(found: tuple[int, ...], model: Ngrams | None, how: SearchOptions) -> float:
    if model is None:
        return 0.0
    text = "".join("abc"[k] for k in found)
    logs = (model.log_probability(text[:i], c) for i, c in enumerate(text))
    return how.weight * sum(logs) + how.bonus * len(text)


@each("seed", range(12))
@each("with_model", [False, True])
def test_a_wide_beam_finds_the_likeliest_labelling(seed: int, with_model: bool) -> None:
    x, how = scores(seed, 5, 4), SearchOptions(beams=5000, classes=4, weight=0.7, bonus=0.4)
    model = trained("abcabcaabbcc", order=3) if with_model else None
    assert tuple(decode(x, "abc", model, how)) == likeliest(x, model, how)


def test_probabilities_of_all_characters_add_up_to_one() -> None:
    """With one that was never seen, for contexts that were and that were not."""
    model = trained(TEXT)
    for context in ("", "th", " the", "zq", "the cat and"):
        known = [model.log_probability(context, c) for c in [*sorted(set(TEXT)), "?"]]
        assert sum(map(math.exp, known)) == pytest.approx(1.0)


def test_a_model_reads_what_was_blurred() -> None:
    """Between t h and a space e and a are as likely; the text knows better."""
    letters = sorted(set(TEXT))
    blank = len(letters)
    x = np.full((8, blank + 1), -12.0, np.float32)
    for t, (likely, other) in enumerate([("t", "t"), ("h", "h"), ("a", "e"), (" ", " ")]):
        x[2 * t, letters.index(other)] = -0.75
        x[2 * t, letters.index(likely)] = -0.65
        x[2 * t + 1, blank] = -0.01
    plain = "".join(letters[k] for k in decode(x, letters))
    read = "".join(letters[k] for k in decode(x, letters, trained(TEXT)))
    assert (plain, read) == ("tha ", "the ")


def test_a_key_that_takes_back_is_taken_back_by_the_model() -> None:
    """Behind t x BACK the model is where it was behind t, so that h is likely."""
    letters = [*sorted(set(TEXT)), "x", "<"]
    back, blank = len(letters) - 1, len(letters)
    x = np.full((8, blank + 1), -60.0, np.float32)
    for t, keys in enumerate(["t", "x", "<", "nh"]):
        x[2 * t, [letters.index(k) for k in keys]] = -0.7
        x[2 * t + 1, blank] = -0.01
    x[6, letters.index("n")] = -0.6
    found = decode(x, letters, trained(TEXT), SearchOptions(back=back))
    assert "".join(letters[k] for k in found) == "tx<h"


# --- emg2qwerty -----------------------------------------------------------------------------------


SIZES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "tds": (emg2qwerty.tds, 5_293_315),
    "lstm": (emg2qwerty.lstm, 1_593_379),
    "lstm_plain": (lambda: emg2qwerty.lstm(plain=True), 1_555_939),
    "kao": (emg2qwerty.kao, 1_522_631),
}
# of upstream's checkpoints, shapes by name
UPSTREAM = {
    "model.0.batch_norm.running_var": (32,),
    "model.1.mlps.1.mlp.0.weight": (384, 528),
    "model.3.tds_conv_blocks.0.conv2d.weight": (24, 24, 1, 32),
    "model.3.tds_conv_blocks.6.layer_norm.bias": (768,),
    "model.3.tds_conv_blocks.7.fc_block.2.weight": (768, 768),
    "model.4.bias": (99,),
}


@pytest.mark.parametrize("name", SIZES)
def test_parameters(name: str) -> None:
    make, count = SIZES[name]
    assert sum(p.numel() for p in make().parameters()) == count


def test_names_are_those_of_upstream() -> None:
    state = emg2qwerty.tds().state_dict()
    assert {name: tuple(state[name].shape) for name in UPSTREAM} == UPSTREAM


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("name", "frames"), [("tds", 128), ("lstm", 9), ("kao", 5)])
def test_the_import_means_the_same(name: str, frames: int) -> None:
    torch.manual_seed(0)
    network = SIZES[name][0]().eval()
    norm = network.get_submodule("model.0.batch_norm")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean = torch.randn(32)
    norm.running_var = 0.5 + torch.rand(32)
    x = torch.randn(frames, 1, 2, 16, 33)
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    (mine,) = (run_float(graph, {graph.inputs[0]: x.numpy()})[name] for name in graph.outputs)
    np.testing.assert_allclose(mine, network(x).detach().numpy(), atol=2e-5)
