# SPDX-License-Identifier: Apache-2.0
"""Beam search over CTC scores with a character language model; runs on the host with
flashlight-text.

Sivakumar et al. (2024) decode with 50 beams, 10 classes per frame, character 6-grams, weight and
bonus 2, and a backspace key that also removes the character from the language model's context.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDER = 6


@dataclass(frozen=True)
class Ngrams:
    """A character language model: counts of each character after each context of fewer than `order`
    characters."""

    order: int
    counts: Mapping[str, Counter[str]]

    @cached_property
    def alphabet(self) -> int:
        return len(self.counts[""])

    def log_probability(self, context: str, character: str) -> float:
        """Return the natural logarithm of a character's probability after a context (Witten-Bell
        smoothing, down to a uniform distribution)."""
        p = 1.0 / (self.alphabet + 1)
        recent = context[-(self.order - 1) :] if self.order > 1 else ""
        for start in range(len(recent), -1, -1):
            followers = self.counts.get(recent[start:])
            if followers is None:
                break
            total, kinds = followers.total(), len(followers)
            p = (followers[character] + kinds * p) / (total + kinds)
        return math.log(p)


def trained(text: str, order: int = ORDER) -> Ngrams:
    """Return a language model trained on a non-empty text."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for end, character in enumerate(text):
        for size in range(min(order, end + 1)):
            counts[text[end - size : end]][character] += 1
    return Ngrams(order, dict(counts))


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Widths and weights of a beam search over key classes.

    beams     beams kept after each frame
    classes   classes tried per frame
    weight    weight of the language model's log-probabilities
    bonus     bonus per character
    back      class of the backspace key; None: there is none
    """

    beams: int = 50
    classes: int = 10
    weight: float = 2.0
    bonus: float = 2.0
    back: int | None = None


def decode(
    scores: NDArray[np.float32],
    characters: Sequence[str],
    model: Ngrams | None = None,
    search: SearchOptions | None = None,
) -> list[int]:
    """Return the most likely sequence of classes by a beam search, without blanks and repetitions.

    scores       log-probabilities [T, C]
    characters   characters of the classes 0 .. C - 2; the last class is the blank
    model        language model; None: use only the scores
    Errors: ImportError without flashlight-text.
    """
    from flashlight.lib.text import decoder

    search_options, blank = search or SearchOptions(), scores.shape[1] - 1
    options = decoder.LexiconFreeDecoderOptions(
        beam_size=search_options.beams,
        beam_size_token=min(search_options.classes, scores.shape[1]),
        beam_threshold=1e9,
        lm_weight=0.0 if model is None else search_options.weight,
        sil_score=0.0,
        log_add=True,
        criterion_type=decoder.CriterionType.CTC,
    )
    language_model = (
        decoder.ZeroLM()
        if model is None
        else _language_model(decoder, model, characters, search_options)
    )
    search_decoder = decoder.LexiconFreeDecoder(options, language_model, -1, blank, [])
    rows = np.ascontiguousarray(scores, np.float32)
    best = search_decoder.decode(rows.ctypes.data, *rows.shape)[0].tokens
    previous = [blank, *best[:-1]]
    return [k for k, b in zip(best, previous, strict=True) if k not in (b, blank) and k >= 0]


def _language_model(
    decoder: Any, model: Ngrams, characters: Sequence[str], search: SearchOptions
) -> Any:
    """Return the n-gram model as a flashlight LM, whose states are the text typed so far."""
    typed: dict[Any, str] = {}

    class Judge(decoder.LM):  # type: ignore[misc]  # flashlight calls methods of its own class
        def start(self, start_with_nothing: bool) -> Any:
            state = decoder.LMState()
            typed[state] = ""
            return state

        def score(self, state: Any, key: int) -> tuple[Any, float]:
            after, context = state.child(key), typed[state]
            if key == search.back:
                typed[after] = context[:-1]
                return after, 0.0
            typed[after] = context + characters[key]
            bonus = search.bonus / search.weight if search.weight else 0.0
            return after, model.log_probability(context, characters[key]) + bonus

        def finish(self, state: Any) -> tuple[Any, float]:
            return state, 0.0

    return Judge()
