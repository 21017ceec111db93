# SPDX-License-Identifier: Apache-2.0
"""Rules of warnings about samples and quantised networks: condition, and what the user can do,
which depends on the writer of the model file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from myoedge.backends.build import Build
from myoedge.building import network_conditions as networks
from myoedge.building import sample_conditions as samples
from myoedge.building.loading import ONNX, SKLEARN, TORCH
from myoedge.building.quantized import UNKNOWN, Finding, Known, Quantized
from myoedge.building.sample_statistics import described
from myoedge.errors import Notice, notice
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.holdout import TEST, measured
from myoedge.quantization.samples import Data, one_window

SCALES = ("W111", "W207")  # warnings about values larger or smaller than in training
Remedy = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of warning.

    code       its code
    when       condition: yields title, facts and values of the remedies, once per warning
    remedies   best first; {name} in a text is a value. A pair (when, text) applies if all of "when"
               hold: values that are not false, or the writer of the model file
    """

    code: str
    when: Callable[[Known], Iterator[Finding]]
    remedies: tuple[Remedy, ...]

    def warnings(self, known: Known) -> Iterator[Notice]:
        """Yield the warnings of this kind."""
        writer = TORCH if known.model is UNKNOWN else known.model.written_by
        pairs = [("", x) if isinstance(x, str) else x for x in self.remedies]
        for title, facts, found in self.when(known):
            values = {**found, writer: True}
            texts = (
                text.format_map(values)
                for needed, text in pairs
                if all(values.get(name) for name in needed.split())
            )
            yield notice(self.code, title, facts, dict.fromkeys(texts))


def _rule(code: str, when: Callable[[Known], Iterator[Finding]], *remedies: Remedy) -> Rule:
    return Rule(code, when, remedies)


ACCURATE = ("wider", "--accurate: int16 wherever it gains SQNR, at any number of cycles")
LARGE = ("more calibration samples, some with values as large", "limit outliers on the host")
OF_SCALE: tuple[Remedy, ...] = (
    "input=windows {change}, in the unit and the scaling of training",
    ("line", "{line}"),
)
USED_INPUTS = 'onnx.utils.extract_model("model.onnx", "read.onnx", {inputs}, {outputs})'
WINDOWS = "the unit, the filters and the scaling that the network was trained with"
LEFT_RANGE = _rule("W111", networks.left_range, *LARGE)
# Rules by stage of a build, in the order in which their warnings are printed.
RULES: Mapping[str, tuple[Rule, ...]] = {
    "arrays": (
        _rule("W204", samples.renamed, "np.savez(..., {name}=...)"),
        _rule(
            "W201",
            samples.constant,
            "calibrate with real recordings",
            "if it is a mask, include samples that mask something",
        ),
    ),
    "samples": (
        _rule(
            "W109",
            samples.unread,
            (TORCH, "export with a separate tensor for each input: (x, x.clone()), not (x, x)"),
            (ONNX, USED_INPUTS),
            (SKLEARN, USED_INPUTS),
        ),
        _rule("W206", samples.batch, *zip((TORCH, ONNX), one_window(), strict=True)),
        _rule(
            "W205",
            samples.few,
            ("none", "myoedge init  writes a script that makes calib.npz"),
            ("there", "more windows in {there}"),
            ("other", "myoedge build ... --calib {other}"),
            "myoedge build ... --calib recordings/  cuts them from recordings",
        ),
        _rule("W207", samples.unlike_training, *OF_SCALE),
        _rule(
            "W208",
            samples.turned,
            "windows.reshape(-1, {other}).transpose(0, 2, 1), if the recording stores them as "
            "[samples, {other}]",
        ),
    ),
    "model file": (
        _rule(
            "W108",
            networks.stays_of_file,
            "build the float network that the file was made from, with [quant] for its layers",
        ),
    ),
    "network": (
        _rule(
            "W106",
            networks.cut_states,
            "start from the float network: this layer then becomes int16",
        ),
        _rule(
            "W101",
            networks.dead_layers,
            "calibrate with samples of every class",
            "look for a dying ReLU in training",
        ),
        _rule(
            "W103",
            networks.dominant_fills,
            "fill with a value of the tensor: torch.where(mask, x.amin(), x), or x.amax()",
            "such a fill is only for tensors that only a softmax reads",
        ),
        _rule(
            "W107",
            networks.left_narrow,
            "patterns for other layers; `myoedge ops --md` lists the 16-bit operators",
        ),
    ),
    "ranges": (
        LEFT_RANGE,
        _rule(
            "W111",
            networks.cut_branch,
            "insert at most {most:.2g}",
            "calibration samples that need the guard, such as b = 0",
        ),
        _rule("W113", networks.set_by_one, *LARGE),
    ),
    "results": (
        _rule(
            "W104",
            networks.weak_outputs,
            ("loud", "{loud}"),
            ACCURATE,
            "myoedge quantize shows where the noise comes from, layer by layer",
        ),
        _rule(
            "W110",
            networks.unlike_decisions,
            ACCURATE,
            "add no constant to all scores: it uses up range",
        ),
        _rule(
            "W112",
            networks.small_probabilities,
            "calibrate with samples of every class, with the event to detect among them",
        ),
        _rule(
            "W102",
            networks.weak_layers,
            ("fill", "fill with a number just below {low:.3g}, not {least:g}, before a maximum"),
            ("softmax", "a softmax over many positions has steps of 1/256: pool before it"),
            "inspect its values: a few large ones leave few of the 256 steps for many small ones",
        ),
        _rule(
            "W105",
            networks.less_accurate,
            (
                "tried",
                "myoedge report: layers at which the cumulative SQNR falls have only int8 kernels",
            ),
            ("few", "more calibration samples, more varied ones"),
            ("reused", "a build without --reuse"),
        ),
    ),
    "labels": (
        _rule(
            "W202",
            samples.unjudged,
            ("scores", "label [samples, frames], a class for every frame"),
            (
                "scores",
                "[calib] classes: the names of all classes, as many as the axis of the classes has",
            ),
            ("scores", "a softmax over the classes"),
            ("symbols", "a build without --ctc: lists of symbols are not judged"),
        ),
    ),
    "other samples": (
        _rule("W207", samples.unlike_calibration, *OF_SCALE),
        _rule("W211", samples.shared, "another recording, session or repetition as --test"),
    ),
    "test set": (LEFT_RANGE,),
    "decisions": (
        _rule(
            "W209",
            samples.unlike_labels,
            ("scaled", WINDOWS),
            ("line", "{line}"),
            ("one", WINDOWS),
            (
                "weak torch",
                "model.load_state_dict(...) with the trained weights, before the export",
            ),
            ("weak onnx", "export the network again, with its trained weights"),
            ("weak", WINDOWS),
            ("lost wider", "myoedge build ... --accurate"),
            ("lost", "myoedge quantize shows the layers that do"),
        ),
    ),
    "older build": (
        _rule(
            "W203",
            networks.other_network,
            "--reuse a build of this network, of before it was fine-tuned",
        ),
    ),
}


def warned(known: Known, *stages: str) -> tuple[Notice, ...]:
    """Return the warnings of some stages, in their order."""
    rules = (rule for stage in stages for rule in RULES[stage])
    return tuple(warning for rule in rules for warning in rule.warnings(known))


def are_of_scale(warnings: Iterable[Notice]) -> bool:
    """Return whether a warning is about values that are larger or smaller than in training."""
    return any(warning.code in SCALES for warning in warnings)


# --- warnings about a quantised network, its labels and its test set; about samples of a build ----


def result_warnings(quantized: Quantized) -> Iterator[Notice]:
    """Yield warnings about the finished network, and about the test set."""
    samples = quantized.samples
    data, test = samples.given, samples.test
    known = Known(
        model=quantized.model,
        data=data,
        network=quantized.network,
        fidelity=quantized.fidelity,
        evaluation=quantized.evaluation,
        older=quantized.older,
        tried=bool(quantized.choices),
        accurate=quantized.accurate,
    )
    yield from warned(known, "results")
    yield from warned(replace(known, data=test or data), "labels")
    if test is not None:
        judged, calibration = measured(test).inputs, described(quantized.model, data)
        of_test = replace(known, data=test, judged=judged, role=TEST, is_test=True)
        others = warned(replace(of_test, described=calibration), "other samples")
        left = warned(of_test, "test set")
        codes = {warning.code for warning in quantized.warnings}  # W207: of both files, once
        yield from (warning for warning in others if warning.code not in codes)
        yield from left
        known = replace(known, is_scaled=are_of_scale((*others, *left)))
    yield from warned(known, "decisions", "older build")


def warnings_about(
    build: Build, data: Data, evaluation: Evaluation | None, *, is_test: bool
) -> tuple[Notice, ...]:
    """Return warnings about samples that a build runs on: another scale than the calibration's,
    samples used for it, accuracy at chance level or labels in another order.

    evaluation   labels with the build's predictions; None without labels
    is_test      whether the samples are a test set
    """
    known = Known(data=data, described=build.calibration, is_test=is_test)
    told = warned(known, "other samples")
    judged = replace(known, evaluation=evaluation, is_scaled=are_of_scale(told))
    return (*told, *warned(judged, "decisions"))
