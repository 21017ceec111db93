# SPDX-License-Identifier: Apache-2.0
"""Result of `quantize`: the quantised network, and the SQNR of its layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from myoedge.building.loading import Model
from myoedge.errors import Notice, raised
from myoedge.numerics.arrays import Array
from myoedge.operators.layer_names import activation, node_rows, unique_names
from myoedge.quantization import holdout
from myoedge.quantization.calibrate import InputArrays
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.holdout import Samples
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.state import TriedMove
from myoedge.quantization.stated_widths import LayerRule
from myoedge.reports import fidelity, wording
from myoedge.reports.evaluation_lines import card_facts
from myoedge.reports.evaluations import decibels, evaluation_rows, output_fidelity, sqnr
from myoedge.reports.report_json import Outcome, Report, quantization_rows
from myoedge.system.notebook import Card, Tabular

UNKNOWN: Any = None  # no condition of the stage reads it
# Values of a warning's message in the catalogue: what its rows name, which of them apply.
Finding = Mapping[str, object]


@dataclass(frozen=True)
class Quantized(Tabular):
    """A quantised network with its SQNR and accuracy.

    model          the float network
    samples        its samples, by purpose
    network        the quantised network
    fidelity       its SQNR
    warnings       such as constant layers and constant calibration inputs
    times_s        seconds by stage
    older          network of an older build whose integers unchanged layers have; None without one
    observers_db   observer -> SQNR of the worst output in dB, on calibration samples
    choices        moves tried to reach the SQNR goal
    accurate       whether the goal was 30 dB at every output, regardless of cycles
    evaluation     on the test set or the calibration recording; None without labels
    """

    model: Model = field(repr=False)
    samples: Samples = field(repr=False)
    network: QuantGraph = field(repr=False)
    fidelity: Fidelity = field(repr=False)
    warnings: tuple[Notice, ...]
    times_s: Mapping[str, float] = field(repr=False)
    older: QuantGraph | None = field(repr=False)
    observers_db: Mapping[str, float] = field(default_factory=dict)
    choices: tuple[TriedMove, ...] = ()
    accurate: bool = False
    evaluation: Evaluation | None = field(default=None, repr=False)

    @property
    def accuracy_float(self) -> float | None:
        """Accuracy of the float network on labelled frames; None without classes."""
        return self._accuracies.get("float")

    @property
    def accuracy_int8(self) -> float | None:
        """Accuracy of the integer network on labelled frames; None without classes."""
        return self._accuracies.get("int8")

    @property
    def _accuracies(self) -> dict[str, float]:
        return {} if self.evaluation is None else self.evaluation.accuracies

    def warned(self, more: Sequence[Notice], strict: bool) -> Quantized:
        """Return the result with more warnings.

        strict   whether the first warning is raised as an error
        """
        raise_first(strict, more)
        return replace(self, warnings=(*self.warnings, *more))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per layer, with the keys of report.json."""
        nodes = [step.node for step in self.network.layers]
        return [
            {
                **row,
                "activation": activation(node),
                "sqnr_local_db": decibels(self.fidelity.local.get(node.name)),
                "sqnr_db": decibels(self.fidelity.cumulative.get(node.name)),
            }
            for row, node in zip(node_rows(nodes), nodes, strict=True)
        ]

    def sqnr(self) -> dict[str, Any]:
        """Return the SQNR of the network, with the keys that report.json uses."""
        return sqnr(self.fidelity)

    def outputs(self) -> list[dict[str, Any]]:
        """Return one row per output, with the keys of report.json."""
        graph = self.network.graph
        pairs = zip(graph.output_labels, graph.outputs, strict=True)
        return [{"name": n, **output_fidelity(self.fidelity, tensor)} for n, tensor in pairs]

    def outcome(self, **more: Any) -> Outcome:
        """Return what reports tell of the integers; `more`: results of a build."""
        return Outcome(
            self.model.name,
            self.fidelity,
            self.evaluation,
            params=self.model.params,
            judged_on=self.samples.judged_on,
            holdout=holdout.describe(self.samples),
            observers_db=self.observers_db,
            choices=self.choices,
            accurate=self.accurate,
            **more,
        )

    def report(self) -> Report:
        """Return the parts of report.json that need no plan, for its texts."""
        q = quantization_rows(self.outcome(), self.network.calibration)
        return {"quantization": q, "outputs": self.outputs(), "reused": self.older and {}}

    def evaluation_rows(self) -> dict[str, Any]:
        """Return accuracy or errors on labelled samples, with the keys of report.json."""
        return evaluation_rows(self.evaluation)

    def _card(self) -> Card:
        rows = self.rows()
        calibration, judged = self.network.calibration, self.samples.judged_on
        facts = (
            ("SQNR", fidelity.sqnr(self.sqnr())),
            ("SQNR of", wording.several(len(self.fidelity.real), f"{judged} sample")),
            *card_facts(self.evaluation_rows()),
            ("calibrated on", calibration.source),
            *(("warning", str(warning)) for warning in self.warnings),
        )
        layers = [
            {
                "layer": place,
                "operator": wording.operator(row),
                "dB alone": wording.decibels(row["sqnr_local_db"], ""),
                "dB so far": wording.decibels(row["sqnr_db"], ""),
            }
            for row, place in zip(rows, unique_names(rows), strict=True)
        ]
        return Card(f"{self.model.name} in integers", facts, layers)


@dataclass(frozen=True, slots=True)
class Known:
    """Results of the stages of a build.

    model        the float network
    data         the user's samples: of the calibration, or those that are judged
    time_axes    axes of the inputs along which a stream runs
    network      the quantised network
    rules        layer rules of [quant]
    fidelity     its SQNR
    judged       inputs of the samples that are judged, named `role` in messages
    evaluation   labels and predictions; None: not measured
    described    what is known of the calibration samples (sample_statistics.described)
    older        network of an older build whose choices were kept; None without one
    choices      moves of the precision search
    accurate     whether --accurate was set
    is_test      whether `data` is a test set
    is_scaled    whether another warning tells of values of another scale
    """

    model: Model = UNKNOWN
    data: Data = UNKNOWN
    time_axes: Collection[int] = ()
    network: QuantGraph = UNKNOWN
    rules: Sequence[LayerRule] = ()
    fidelity: Fidelity = UNKNOWN
    judged: InputArrays | None = None
    role: str = ""
    evaluation: Evaluation | None = None
    described: Mapping[str, Array] = UNKNOWN
    older: QuantGraph | None = None
    choices: Sequence[TriedMove] = ()
    accurate: bool = False
    is_test: bool = False
    is_scaled: bool = False

    @property
    def offer(self) -> Finding:
        """The setting with which the worst output gains most; {} if none was found."""
        offers = [x for x in self.choices if x.setting]
        best = max(offers, key=lambda x: x.worst_db, default=None)
        return {} if best is None else {"setting": best.setting, "offered_db": best.worst_db}

    def calibration_reaches(self, db: float) -> bool:
        """Return whether the calibration samples reach an SQNR, by the moves that were tried."""
        moves = [x for x in self.choices if not x.setting]
        return not moves or max((x.worst_db for x in moves if x.is_kept), default=0.0) >= db


class Rule(NamedTuple):
    """A rule of a warning.

    code    by which the catalogue has message and remedies
    when    condition, which yields the values of a message once per warning
    needs   whether there is what the condition is about
    """

    code: str
    when: Callable[[Known], Iterator[Finding]]
    needs: Callable[[Known], object] = lambda known: True


def raise_first(strict: bool, warnings: Sequence[Notice]) -> None:
    """Raise the first warning as an error if `strict`."""
    if strict and warnings:
        raise raised(warnings[0])
