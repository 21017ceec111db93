# SPDX-License-Identifier: Apache-2.0
"""Warnings of one rule, for tests of its condition and its remedies; the test of each remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from myoedge.building.quantized import Finding, Known
from myoedge.building.warning_rules import RULES
from myoedge.errors import Notice
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.scales import QuantGraph

Condition = Callable[[Known], Iterator[Finding]]
Case = Callable[..., None]
CASES: dict[tuple[str, str], Case] = {}


def warnings_of(when: Condition, known: Known) -> list[Notice]:
    rules = (rule for rules in RULES.values() for rule in rules)
    return [*next(rule for rule in rules if rule.when is when).warnings(known)]


def network_warnings(network: QuantGraph, rules: Sequence[LayerRule] = ()) -> list[Notice]:
    """Warnings about a quantised network alone, without samples."""
    known = Known(network=network, rules=rules)
    return [warning for rule in RULES["network"] for warning in rule.warnings(known)]


def written() -> set[tuple[str, str]]:
    """(condition, remedy) of all rules."""
    rules = [rule for rules in RULES.values() for rule in rules]
    texts = {(r.when, x if isinstance(x, str) else " ".join(x)) for r in rules for x in r.remedies}
    return {(when.__name__, text) for when, text in texts}


def applies(when: Condition, *starts: str) -> Callable[[Any], Any]:
    """The test of the remedies that begin with these words, conditions included."""

    def kept(case: Case) -> Case:
        for start in starts:
            of = [x for x in written() if x[0] == when.__name__ and x[1].startswith(start)]
            assert of, start
            CASES.update(dict.fromkeys(of, case))
        return case

    return kept
