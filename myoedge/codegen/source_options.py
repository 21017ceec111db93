# SPDX-License-Identifier: Apache-2.0
"""Options for generating C: prefix, checks, blobs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceOptions:
    """Options of the generated C.

    prefix         prefix of all global C names; None: derived from the model's name
    checks         whether to generate <prefix>_check, which the program for the chip then calls,
                   <prefix>_on_layer and <prefix>_self_test
    weights_blob   whether weights, scales and tables are data that <prefix>_load replaces; with
                   <prefix>_self_test
    traced         whether a function that computes several layers stores the result of each
    class_names    names of the classes of the first output's scores; (): unknown
    """

    prefix: str | None = None
    checks: bool = False
    weights_blob: bool = False
    traced: bool = False
    class_names: tuple[str, ...] = ()

    @property
    def is_tested(self) -> bool:
        """Whether to generate <prefix>_self_test."""
        return self.checks or self.weights_blob


DEFAULT_OPTIONS = SourceOptions()
