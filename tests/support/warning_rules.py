# SPDX-License-Identifier: Apache-2.0
"""Warnings of one rule, for tests of its condition and its remedies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from myoedge.building.quantized import Finding, Known
from myoedge.building.warning_rules import RULES
from myoedge.errors import Notice


def warnings_of(when: Callable[[Known], Iterator[Finding]], known: Known) -> list[Notice]:
    rules = (rule for rules in RULES.values() for rule in rules)
    return [*next(rule for rule in rules if rule.when is when).warnings(known)]
