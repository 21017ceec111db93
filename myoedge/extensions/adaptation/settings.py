# SPDX-License-Identifier: Apache-2.0
"""Settings of a build's adaptation, from [adapt], the plan and the calibration samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.building.quantities import size_bytes
from myoedge.errors import DoesNotFit, MyoedgeError
from myoedge.extensions.adaptation.commands import saved_bytes
from myoedge.extensions.adaptation.norm import InputNorm, added, no_norm_sums, statistics
from myoedge.extensions.adaptation.record import (
    MOST_CLASSES,
    MOST_FEATURES,
    Adaptation,
    Pseudo,
    l2_bytes,
    pseudo,
)
from myoedge.extensions.adaptation.samples import AdaptSource, FeatureLayer, features_of
from myoedge.extensions.adaptation.table import METHODS, AdaptTable
from myoedge.graph.ir import prune
from myoedge.numerics.arrays import outer_inner
from myoedge.operators.base import OPS
from myoedge.plan.plan import Plan
from myoedge.quantization.samples import Data
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.quantization.stated_widths import matches
from myoedge.reports.budget import SMALLER

if TYPE_CHECKING:
    from myoedge.graph.ir import Graph
    from myoedge.operators.base import QuantizedNode
    from myoedge.streaming.stream import Stream
from myoedge.targets.memories import FlashMap

HELD_BACK_BYTES, KEPT_BYTES = 32 << 10, 64 << 10  # bytes for all classes together
MOST_HELD_BACK, MOST_KEPT, MOST_REPLAYED = 64, 128, 1024
NO_FEATURES: Mapping[str, Any] = {  # features of a build with only norm
    "layer": -1,
    "name": "",
    **dict.fromkeys(("features", "positions", "zero_point", "held_back", "kept"), 0),
    **dict.fromkeys(("group", "exponent"), 1),
    "replay": np.zeros((0, 0), np.int8),
    "replay_labels": np.zeros(0, np.int64),
}
POINTS = {"int8": 8, "int16": 0}  # fraction bits of statistics, by input type


def adaptation_of(table: AdaptTable, plan: Plan, data: Data, stream: Stream | None) -> Adaptation:
    """Return the settings of the adaptation of a planned network.

    data     calibration samples, with labels if [adapt] replay is set; for a stream recordings
    stream   None: the network takes whole windows; otherwise each of its passes is a window
    Errors: E267 the network has no suitable features or classes, or no labels to replay.
    """
    classes = _count_classes(plan, stream)
    source = AdaptSource(plan.quant, stream, data)
    takes_features = {*table.methods} - {"norm"}
    features = _feature_fields(table, source, plan, classes) if takes_features else NO_FEATURES
    return Adaptation(
        classes=classes,
        methods=tuple(method for method in METHODS if method in table.methods),
        norm=_input_statistics(source, table.channels) if "norm" in table.methods else None,
        pseudo=None if table.pseudo is None else _pseudo_label_rule(plan, table.pseudo),
        **features,
    )


def _feature_fields(
    table: AdaptTable, source: AdaptSource, plan: Plan, classes: int
) -> Mapping[str, Any]:
    """Return the fields of an Adaptation that concern the features. Errors: E267."""
    number, step = _feature_layer(plan, table.layer)
    size = math.prod(step.out)
    channels = size if size <= MOST_FEATURES else step.out[-1]
    layer = FeatureLayer(step.node.name, size // channels, channels)
    features = layer.features
    replayed = _replay_window_count(size_bytes(table.replay, "[adapt] replay"), features, classes)
    rows, labels = features_of(source, layer, classes, replayed)
    zero_point = plan.quant.params[step.node.name].zero_point
    each = classes * features
    # The exponent of the power of two nearest to the features' root mean square, 1 to 8
    mean = float(np.mean((rows.astype(np.int64) - zero_point) ** 2))
    return {
        "layer": number,
        "name": layer.name,
        "features": features,
        "positions": layer.positions,
        "group": layer.group,
        "zero_point": zero_point,
        "held_back": min(HELD_BACK_BYTES // each, MOST_HELD_BACK),
        "kept": min(KEPT_BYTES // each, MOST_KEPT),
        "exponent": min(max(round(math.log2(max(mean, 1.0)) / 2), 1), 8),
        "replay": rows[: len(labels)],
        "replay_labels": labels,
    }


def _replay_window_count(room_bytes: int, features: int, classes: int) -> int:
    """Return the number of windows whose features fit in [adapt] replay. Errors: E267 fewer than
    one per class."""
    needs_bytes = features * classes
    if 0 < room_bytes < needs_bytes:
        facts = {"needs": f"{needs_bytes} B, a window of each class", "has": f"{room_bytes} B"}
        tries = [f'[adapt] replay = "{needs_bytes} B"', "[adapt] without replay"]
        raise MyoedgeError("E267", "[adapt] replay is too small", facts, tries)
    return min(room_bytes // features, MOST_REPLAYED)


def _pseudo_label_rule(plan: Plan, threshold: float) -> Pseudo:
    """Return the rule for pseudo-labels: the minimum probability, or margin between logits."""
    if not 0 < threshold <= 1:
        facts = {"has": threshold, "needs": "more than 0, at most 1"}
        raise MyoedgeError("E232", "[adapt] pseudo is no confidence", facts, ["pseudo = 0.95"])
    name = plan.graph_outputs[0]
    params = plan.quant.params[name]
    op = next((x.node.op for _, x in plan.results if x.node.name == name), "")
    return pseudo(threshold, params.scale, params.zero_point, is_probability=op == "softmax")


def _input_statistics(source: AdaptSource, channels: int | None) -> InputNorm:
    """Return the channels of the network's input, with their statistics over all samples."""
    q, stream = source.network, source.stream
    name = q.graph.inputs[0]
    shape, dtype = q.graph.shape(name), q.dtype(name)
    time_axis = None if stream is None else stream.inputs[0].axis
    axis = _channel_axis(shape, dtype, time_axis, channels)
    none = np.zeros(shape[axis], np.int64)
    norm = InputNorm(
        channels=shape[axis],
        inner=outer_inner(shape, axis)[2],
        elements=math.prod(shape),
        dtype=dtype,
        zero_point=q.params[name].zero_point,
        point=POINTS[dtype],
        means=none,
        deviations=none,
    )
    sums, samples = no_norm_sums(norm), source.data.inputs[name]
    shape = samples.shape[1:]  # a recording may be longer than a pass
    long = replace(norm, inner=outer_inner(shape, axis)[2], elements=math.prod(shape))
    for x in samples:
        sums = added(long, sums, quantized_inputs(q, {name: x})[name])
    means, deviations = statistics(norm, sums)
    return replace(norm, means=means, deviations=deviations)


def _channel_axis(
    shape: Sequence[int], dtype: str, time_axis: int | None, channels: int | None
) -> int:
    """Return the axis of the input whose length is the number of channels."""
    sizes = {d: size for d, size in enumerate(shape) if d != time_axis}
    axes = [d for d, size in sizes.items() if size == channels]
    if channels == 1:
        axes = axes[-1:]  # with one channel, any of these axes
    if len(axes) == 1 and dtype in POINTS:
        return axes[0]
    fitting = [*sizes.values()] if dtype in POINTS else []
    raise _no_channels_error(f"{dtype} {list(shape)}", fitting, channels)


def _no_channels_error(has: str, sizes: Sequence[int], channels: int | None) -> MyoedgeError:
    title = f"norm does not find {channels or 'the'} channels of the input"
    facts = {"has": has, "needs": "one axis of this length, and int8 or int16"}
    alone = sorted(size for size in sizes if size > 1 and sizes.count(size) == 1)
    tries = [f"[adapt] channels = {size}" for size in alone[:1]]
    return MyoedgeError("E267", title, facts, [*tries, "[adapt] methods without norm"])


def adaptation_report(adaptation: Adaptation, *, in_flash: bool) -> dict[str, Any]:
    """Return the entry of an adaptation in report.json.

    in_flash   as for l2_bytes
    """
    rule = adaptation.pseudo
    return {
        "methods": [*adaptation.methods],
        "layer": adaptation.name or None,
        "features": adaptation.features,
        "positions": adaptation.positions,
        "group": adaptation.group,
        "classes": adaptation.classes,
        "held_back": adaptation.held_back,
        "kept": adaptation.kept,
        "replayed": len(adaptation.replay),
        "channels": None if adaptation.norm is None else adaptation.norm.channels,
        "pseudo": None if rule is None else round(rule.threshold / 2**15, 4),
        "l2_bytes": l2_bytes(adaptation, in_flash=in_flash),
        "saved_bytes": saved_bytes(adaptation),
    }


def _adaptation_error(title: str, needs: str) -> MyoedgeError:
    return MyoedgeError("E267", title, {"needs": needs}, ["without [adapt]"])


def _count_classes(plan: Plan, stream: Stream | None) -> int:
    """Return the number of classes of the network's output; for a stream, of one output frame."""
    graph = plan.quant.graph
    inputs, outputs = _port_names(graph, stream)
    shape = [*graph.shape(outputs[0])]
    if stream is not None:
        del shape[stream.outputs[0].axis]
    classes = math.prod(shape)
    if len(outputs) != 1 or len(inputs) != 1 or classes < 2 or max(shape) != classes:
        raise _adaptation_error(
            "the network outputs no class scores", "one input, and one score per class"
        )
    if classes > MOST_CLASSES or any(plan.where[x].in_level for x in (*inputs, *outputs)):
        raise _adaptation_error(f"{classes} classes", f"at most {MOST_CLASSES}, and inputs in L2")
    return classes


def _port_names(graph: Graph, stream: Stream | None) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names of inputs and outputs; for a stream, without its states."""
    if stream is None:
        return graph.inputs, graph.outputs
    return [port.name for port in stream.inputs], [port.name for port in stream.outputs]


def _feature_layer(plan: Plan, pattern: str | None) -> tuple[int, QuantizedNode]:
    """Return the index of the layer one of whose results is used as features, and the result."""
    if pattern is None:
        wanted = {*_inputs_of_last_weights(plan)}
    else:
        wanted = {
            x.node.name
            for _, x in plan.results
            if x.node.name == pattern or matches(pattern, x.node)
        }
    named = [(index, x) for index, x in plan.results if x.node.name in wanted]
    usable = [(index, x) for index, x in named if _has_usable_features(plan, x)]
    if not usable:
        raise _no_features_error(plan, pattern)
    return usable[-1]


def _no_features_error(plan: Plan, pattern: str | None) -> MyoedgeError:
    shown = "before the last one with weights" if pattern is None else pattern
    names = [result.node.name for _, result in plan.results if _has_usable_features(plan, result)]
    needs = "a layer with int8 results in L2 or L1"
    facts = {"has": ", ".join(names) or "no such layer", "needs": needs}
    tries = [f'[adapt] layer = "{name}"' for name in names[-2:-1]]  # the layer before the scores
    return MyoedgeError(
        "E267", f"no layer {shown} has features", facts, tries or ["without [adapt]"]
    )


def _has_usable_features(plan: Plan, result: QuantizedNode) -> bool:
    name = result.node.name
    return plan.quant.dtype(name) == "int8" and not plan.where[name].in_level


def _layers_with_weights(plan: Plan) -> list[QuantizedNode]:
    """Return the layers with weights that the first output depends on, in order."""
    graph = plan.quant.graph
    needed = {node.name for node in prune(replace(graph, outputs=graph.outputs[:1])).nodes}
    layers = (layer for step in plan.steps for layer in step.layers if layer.node.name in needed)
    return [
        layer
        for layer in layers
        if any(
            i in OPS[layer.node.op].weights.at and graph.is_const(name)
            for i, name in enumerate(layer.node.inputs)
        )
    ]


def _inputs_of_last_weights(plan: Plan) -> Iterator[str]:
    """Yield the result that the last layer with weights reads, among layers that the first output
    depends on; nothing if there is none."""
    graph = plan.quant.graph
    written = {result.node.name for _, result in plan.results}
    for layer in _layers_with_weights(plan)[-1:]:
        name = layer.operands[0]
        while name not in written and name in graph.producer:  # a view
            name = graph.producer[name].inputs[0]
        if name in written:
            yield name


def check_slots(weights_bytes: int, areas: FlashMap, program_bytes: int = 0) -> None:
    """Check that program and weights in MRAM end before the slots of saved classifiers. Errors:
    E302.

    program_bytes   most bytes of a program that may take the room of the weights, without any there
    """
    used_bytes = weights_bytes + areas.head_bytes if weights_bytes else 0
    left_bytes = areas.weights.size_bytes - used_bytes
    if not weights_bytes:
        left_bytes = min(left_bytes, areas.slots[0].offset - program_bytes)
    if left_bytes < 0:
        slots_bytes = sum(slot.size_bytes for slot in areas.slots)
        facts = {"needs": f"{slots_bytes:,} B of MRAM, for two saved classifiers"}
        left = f"{max(left_bytes + slots_bytes, 0):,} B behind program"
        facts |= {"has": f"{left} and {weights_bytes:,} B of weights"}
        title = "program, weights and saved classifiers exceed MRAM"
        raise DoesNotFit("E302", title, facts, [SMALLER])
