# SPDX-License-Identifier: Apache-2.0
"""Result types of verbs that no other package defines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.backends.doctor import ToolRow
from myoedge.backends.names import backends
from myoedge.backends.onnx_agreement import DIFFERS_DB
from myoedge.building.loading import network_facts
from myoedge.reports import wording
from myoedge.reports.evaluation_lines import card_facts
from myoedge.reports.evaluations import decibels
from myoedge.reports.junit import JunitCase, junit_xml
from myoedge.system.notebook import Card, Rows, Tabular

if TYPE_CHECKING:
    from myoedge.backends.equivalence import Difference
    from myoedge.errors import Notice


@dataclass(frozen=True)
class Inspection(Tabular):
    """Contents of a model file, before any target is chosen.

    inputs, outputs   (name, shape)
    operators         operator -> number of nodes after folding and fusing
    layers            (place as in reports, operator, output shape, MACs)
    params            number of parameters
    macs              multiply-accumulates per inference
    notes             steps that were needed to load the network
    """

    name: str
    digest: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    operators: dict[str, int]
    layers: tuple[tuple[str, str, tuple[int, ...], int], ...]
    params: int
    macs: int
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per layer: name, operator, output shape, multiply-accumulates."""
        keys = ("layer", "operator", "output_shape", "macs")
        return [dict(zip(keys, layer, strict=True)) for layer in self.layers]

    def _card(self) -> Card:
        rows = self.rows()
        facts = network_facts(self.inputs, self.outputs, self.params, rows, self.notes)
        return Card(f"{self.name}  {self.digest[:16]}", facts, rows)


@dataclass(frozen=True)
class Validation(Tabular):
    """Result of the equivalence check.

    exact        backend -> whether all integers are equal; None if it was not run
    samples      backend -> number of inputs compared: golden, random and user's samples
    in_passes    whether these inputs are passes of a stream
    difference   first difference between a backend and the reference; None if there is none
    onnx_db      SQNR between model.int8.onnx in onnxruntime and the reference; None if not
                 requested
    unwritten    W210 if the reports of the folder could not be replaced
    evaluation   accuracy or errors on labelled samples, with the keys of report.json
    warnings     W207, W211 about the samples; W209 if the accuracy is no better than chance
    """

    exact: dict[str, bool | None]
    samples: dict[str, int]
    difference: Difference | None
    onnx_db: float | None = None
    in_passes: bool = False
    unwritten: Notice | None = None
    evaluation: dict[str, Any] | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all integers are equal, and onnxruntime differs only by accumulated rounding."""
        agrees = self.onnx_db is None or self.onnx_db >= DIFFERS_DB
        return self.difference is None and agrees

    def junit(self, name: str) -> bytes:
        """Return JUnit XML: one case per backend that was run, one for onnxruntime, and one with
        the accuracy or errors on labelled samples and the warnings.

        name   name of the test suite
        """
        cases = [self._junit_case(name, backend) for backend in self.samples]
        if self.onnx_db is not None:
            agrees, shown = self.onnx_db >= DIFFERS_DB, wording.decibels(decibels(self.onnx_db))
            kind = "passed" if agrees else "failure"
            message = "" if agrees else f"{shown} to the reference, {DIFFERS_DB:g} dB needed"
            cases.append(JunitCase(name, "model.int8.onnx in onnxruntime", kind, message))
        found = card_facts(self.evaluation)
        cases += [JunitCase(name, title, text=text) for title, text in found]
        texts = (cases[-1].text, *map(str, self.warnings))
        cases[-1] = replace(cases[-1], text="\n".join(filter(None, texts)))
        return junit_xml("myoedge validate", cases)

    def _junit_case(self, name: str, backend: str) -> JunitCase:
        case = f"{backends()[backend].text}, bit for bit"
        first = self.difference
        if first is None or first.backend != backend:
            return JunitCase(name, case)
        text = f"layer {first.layer} ({first.name}), index {list(first.index)}"
        values = f"expected {first.expected}, got {first.got}"
        return JunitCase(name, case, "failure", f"{first.where} differs", f"{text}\n{values}")

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per backend; `samples` is 0 if the backend was not run this time."""
        return [
            {"backend": name, "exact": exact, "samples": self.samples.get(name, 0)}
            for name, exact in self.exact.items()
        ]

    def _card(self) -> Card:
        run = "passes" if self.in_passes else "samples"
        rows = [
            {
                "backend": backends()[row["backend"]].text,
                "integers": wording.COMPARISONS[row["exact"]],
                run: row["samples"] or None,
            }
            for row in self.rows()
        ]
        first = None
        if (at := self.difference) is not None:
            place = f"{at.where} on {at.backend}, index {list(at.index)}"
            first = f"{place}: expected {at.expected}, got {at.got}"
        facts = [
            ("first difference", first),
            ("model.int8.onnx", self.onnx_db and wording.decibels(decibels(self.onnx_db))),
            ("warning", self.unwritten),
            *card_facts(self.evaluation),
        ]
        title = "exact" if self.difference is None else "not exact"
        return Card(f"{title}, against the NumPy reference", facts, rows)


@dataclass(frozen=True, slots=True)
class Operator:
    """A supported operator; `torch` and `onnx` list the calls that map to it."""

    name: str
    doc: str
    fuses_activation: bool
    torch: tuple[str, ...]
    onnx: tuple[str, ...]


class Operators(Rows[Operator]):
    """The operators that can be built."""

    __slots__ = ()
    noun = "operator"


class Tools(Rows[ToolRow]):
    """Programs and packages with their versions, as `doctor` finds them."""

    __slots__ = ()
    noun = "tool"


class WrittenFiles(Rows[Path]):
    """Files that `init` wrote."""

    __slots__ = ()
    noun = "file"

    def rows(self) -> Sequence[Mapping[str, str]]:
        """Return one row per file."""
        return [{"file": str(path)} for path in self]
