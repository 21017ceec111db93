# SPDX-License-Identifier: Apache-2.0
"""The engine requested for a layer, and the constraints of accelerators."""

from __future__ import annotations

from dataclasses import dataclass

AUTO, CORES = "auto", "cores"  # choices of an engine, next to the names of accelerators


@dataclass(frozen=True, slots=True)
class ConstraintViolation:
    """A constraint of an accelerator that a layer violates, as texts for messages.

    needs    what the accelerator requires
    has      what the layer has instead
    change   change of the network that would satisfy the constraint
    """

    needs: str
    has: str
    change: str


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine requested for a layer.

    name     AUTO: the one with the fewest estimated cycles; CORES; or an accelerator
    source   option or [quant] pattern that requests it, for messages
    forced   whether an error is raised if the layer cannot run there
    broken_rule   constraint of the accelerator that the layer violates, if any
    """

    name: str = AUTO
    source: str = ""
    forced: bool = False
    broken_rule: ConstraintViolation | None = None


FASTEST = EngineChoice()
