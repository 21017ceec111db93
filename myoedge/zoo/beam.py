# SPDX-License-Identifier: Apache-2.0
"""Beam search over CTC's scores with a model of characters, on the host, by flashlight-text.

Sivakumar et al. (2024) decode with 50 beams, 10 classes a frame and 6-grams of characters, weight
and bonus 2, and a key that takes back the character before it, for the model too.
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
    """How often each character followed each context of fewer than `order` characters."""

    order: int
    counts: Mapping[str, Counter[str]]

    @cached_property
    def alphabet(self) -> int:
        return len(self.counts[""])

    def log_probability(self, context: str, character: str) -> float:
        """Natural logarithm; contexts are mixed after Witten and Bell, down to all alike."""
        p = 1.0 / (self.alphabet + 1)
        kept = context[-(self.order - 1) :] if self.order > 1 else ""
        for start in range(len(kept), -1, -1):
            seen = self.counts.get(kept[start:])
            if seen is None:
                break
            total, kinds = seen.total(), len(seen)
            p = (seen[character] + kinds * p) / (total + kinds)
        return math.log(p)


def trained(text: str, order: int = ORDER) -> Ngrams:
    """The model of a text that is not empty."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for at, character in enumerate(text):
        for size in range(min(order, at + 1)):
            counts[text[at - size : at]][character] += 1
    return Ngrams(order, dict(counts))


@dataclass(frozen=True, slots=True)
class Search:
    """How far is searched.

    beams, classes   kept after a frame; tried in a frame
    weight, bonus    of the model's logarithms; for every character
    back             class of the key that takes back a character; None: there is none
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
    search: Search | None = None,
) -> list[int]:
    """The best classes of log-probabilities [T, C]; blanks and repetitions are left out.

    characters   of the classes 0 .. C - 2; the last class is the blank
    model        None: nothing but the scores counts
    ImportError without flashlight-text.
    """
    from flashlight.lib.text import decoder

    how, blank = search or Search(), scores.shape[1] - 1
    options = decoder.LexiconFreeDecoderOptions(
        beam_size=how.beams,
        beam_size_token=min(how.classes, scores.shape[1]),
        beam_threshold=1e9,
        lm_weight=0.0 if model is None else how.weight,
        sil_score=0.0,
        log_add=True,
        criterion_type=decoder.CriterionType.CTC,
    )
    judge = decoder.ZeroLM() if model is None else _judge(decoder, model, characters, how)
    made = decoder.LexiconFreeDecoder(options, judge, -1, blank, [])
    rows = np.ascontiguousarray(scores, np.float32)
    best = made.decode(rows.ctypes.data, *rows.shape)[0].tokens
    before = [blank, *best[:-1]]
    return [k for k, b in zip(best, before, strict=True) if k not in (b, blank) and k >= 0]


def _judge(decoder: Any, model: Ngrams, characters: Sequence[str], how: Search) -> Any:
    """The model as flashlight asks: a state is what has been typed, as far back as it counts."""
    typed: dict[Any, str] = {}

    class Judge(decoder.LM):  # type: ignore[misc]  # flashlight calls methods of its own class
        def start(self, start_with_nothing: bool) -> Any:
            state = decoder.LMState()
            typed[state] = ""
            return state

        def score(self, state: Any, key: int) -> tuple[Any, float]:
            after, context = state.child(key), typed[state]
            if key == how.back:
                typed[after] = context[:-1]
                return after, 0.0
            typed[after] = context + characters[key]
            bonus = how.bonus / how.weight if how.weight else 0.0
            return after, model.log_probability(context, characters[key]) + bonus

        def finish(self, state: Any) -> tuple[Any, float]:
            return state, 0.0

    return Judge()
