# SPDX-License-Identifier: Apache-2.0
"""Loading of a model file, with folding, fusion, conditioning and decoding."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.building.stages import key, reused
from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import ELSEWHERE, ModelFormat, sniff
from myoedge.frontend.file_refusals import needs_no_factory, refuse
from myoedge.graph.ir import Graph, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.layer_names import node_rows, unique_names
from myoedge.operators.queries import macs
from myoedge.operators.turns import times_run
from myoedge.passes.condition import Conditioning, add_conditioning_filters
from myoedge.passes.join import joined
from myoedge.quantization import samples
from myoedge.quantization.recordings.reading import Reading
from myoedge.quantization.recordings.recorded import first_sample
from myoedge.quantization.recordings.sources import AS_GIVEN, read
from myoedge.quantization.samples import Given
from myoedge.reports.report_json import dims
from myoedge.system.notebook import Card, Tabular
from myoedge.system.progress import paused_collector
from myoedge.targets.chip import Chip

if TYPE_CHECKING:
    import torch

    Exported = tuple[torch.export.ExportedProgram, tuple[str, ...]]

GATE = "gate"  # name of a network that runs before another one on the same input
TORCH, ONNX, SKLEARN = "torch", "onnx", "skl2onnx"  # writers of a model file
WHOLE = (ModelFormat.EXPORTED, ModelFormat.ONNX)  # files that contain the network
WEIGHTS = (
    ModelFormat.CHECKPOINT,
    ModelFormat.LEGACY,
    ModelFormat.SAFETENSORS,
)  # files with weights for a factory's network


@dataclass(frozen=True)
class PrePostProcessing:
    """Operators that are added before a network (conditioning of raw signals) and after it
    (decoding).

    filters     [conditioning]
    ctc         blank class of a greedy CTC decoder; None: no decoder
    vote        frames in a majority vote; None: no vote
    framewise   whether decoders work frame by frame, for a stream
    gate        file of a network that runs before this one on the same input: its outputs follow
                this network's; None: there is none
    """

    filters: Conditioning = field(default_factory=Conditioning)
    ctc: int | None = None
    vote: int | None = None
    framewise: bool = False
    gate: Path | None = None


@dataclass(frozen=True)
class Model(Tabular):
    """A loaded network.

    name       file name without its ending
    imported   graph as captured
    graph      graph after folding and fusion
    params     number of parameters in use
    examples   the archive's example inputs, or None
    notes      steps that were needed to load it ("took the weights from 'state_dict'")
    class_names   names of the classes in the file; () without
    written_by    writer of the file: TORCH, SKLEARN, or ONNX for all others
    """

    name: str
    imported: Graph = field(repr=False)
    graph: Graph = field(repr=False)
    params: int
    examples: tuple[Array, ...] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    written_by: str = TORCH

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per layer of the folded and fused network: output shape and
        multiply-accumulates."""
        return layer_work(self.graph)

    def inputs(self) -> tuple[tuple[str, Shape], ...]:
        """Return (name, shape) of every input."""
        return tuple((name, self.graph.shape(name)) for name in self.graph.inputs)

    def outputs(self) -> tuple[tuple[str, Shape], ...]:
        """Return (name, shape) of every output, by the names of the model file."""
        shapes = map(self.graph.shape, self.graph.outputs)
        return tuple(zip(self.graph.output_names, shapes, strict=True))

    def _card(self) -> Card:
        rows = self.rows()
        facts = network_facts(self.inputs(), self.outputs(), self.params, rows, self.notes)
        return Card(self.name, facts, rows)


def layer_work(graph: Graph) -> list[dict[str, Any]]:
    """Return one row per layer as in reports: location, operator, output shape and MACs."""
    nodes, times = [n for n in graph.nodes if not OPS[n.op].view], times_run(graph.nodes)
    return [
        {
            "layer": place,
            "operator": node.op,
            "output_shape": graph.shape(node.name),
            "macs": macs(node, [graph.shape(x) for x in node.inputs], graph.shape(node.name))
            * times[node.name],
        }
        for node, place in zip(nodes, unique_names(node_rows(nodes)), strict=True)
    ]


def network_facts(
    inputs: Sequence[tuple[str, Shape]],
    outputs: Sequence[tuple[str, Shape]],
    params: int,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
) -> list[tuple[str, object]]:
    """Return (name, value) lines that describe a network.

    rows   its layers, from layer_work
    """
    return [
        *(("input", f"{name} {dims(shape)}") for name, shape in inputs),
        *(("output", f"{name} {dims(shape)}") for name, shape in outputs),
        ("parameters", params),
        ("MACs", sum(row["macs"] for row in rows)),
        *(("note", text) for text in notes),
    ]


@paused_collector()
def load_model(
    path: Path,
    factory: str | None = None,
    calib: Given | None = None,
    stages: PrePostProcessing | None = None,
    reading: Reading = AS_GIVEN,
) -> Model:
    """Load a torch.export archive, an ONNX model, or a checkpoint with its factory, detected by
    content.

    calib   samples that give a checkpoint's network its input shapes: tried as a batch of one, then
            unchanged; for recordings, a window of the length in [calib]
    Errors: as the front ends; E206 a factory for a file that holds its network.
    """
    kind = sniff(path)
    check_kind(kind, path, factory)
    stages = stages or PrePostProcessing()
    before = model_key(path, stages)
    return reused(
        "load",
        before,
        partial(
            _load_model, kind, path, stages, partial(_load_factory_program, factory, calib, reading)
        ),
        kind=Model,
        lasts=lambda _: before == model_key(path, stages),  # the file has not changed meanwhile
    )


def check_kind(kind: ModelFormat, path: Path, factory: str | None) -> None:
    """Check that a file of this kind can be loaded.

    Errors: E101 .. E107 if it cannot, E206 a factory that the file does not need.
    """
    if factory and kind in WHOLE:
        raise needs_no_factory(kind, path)
    if kind not in WHOLE and not (factory and kind in WEIGHTS):
        refuse(kind, path)


def model_key(path: Path, stages: PrePostProcessing) -> str | None:
    """Return the cache key of a model file; None for checkpoints and for files that refer to other
    files."""
    paths = [path] if stages.gate is None else [path, stages.gate]
    digests = [_digest_of_whole(one) for one in paths]
    if None in digests:
        return None
    names = [one.name for one in paths]
    return key("load", digests, names, replace(stages, gate=None))


def _digest_of_whole(path: Path) -> str | None:
    """Return the digest of a file that contains its whole network; None for other files."""
    kind = sniff(path)
    if kind not in WHOLE or (kind is ModelFormat.ONNX and ELSEWHERE in path.read_bytes()):
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_model(
    kind: ModelFormat,
    path: Path,
    stages: PrePostProcessing,
    exported: Callable[[Path], Exported],
) -> Model:
    """Load a network and, behind the network of its gate, prepare it."""
    found = _imported(kind, path, exported)
    graph = _with_decoders(found.imported, stages)
    if stages.gate is not None:
        gate = _imported(sniff(stages.gate), stages.gate, exported)
        graph = joined(gate.imported, graph, GATE)
        imported = joined(gate.imported, found.imported, GATE)
        params = found.params + gate.params
        found = replace(found, imported=imported, params=params, notes=found.notes + gate.notes)
    return replace(found, graph=_prepare_graph(graph, stages.filters))


def _imported(kind: ModelFormat, path: Path, exported: Callable[[Path], Exported]) -> Model:
    """Import a network; its `graph` is the one that was imported."""
    name = os.fsencode(path.stem).decode("utf-8", "replace")  # file names may be arbitrary bytes
    if kind is ModelFormat.ONNX:
        from myoedge.frontend.onnx.model import load_onnx

        found = load_onnx(path)
        told = (None, found.notes, found.class_names)
        writer = found.producer if found.producer == SKLEARN else ONNX
        return Model(name, found.graph, found.graph, found.params, *told, writer)
    from myoedge.frontend.torch.model import import_archive, import_program

    notes: tuple[str, ...] = ()
    if kind is ModelFormat.EXPORTED:
        network = import_archive(path)
    else:
        program, notes = exported(path)
        network = import_program(program)
    return Model(name, network.graph, network.graph, network.params, network.examples, notes)


def _load_factory_program(
    factory: str | None, calib: Given | None, reading: Reading, path: Path
) -> Exported:
    """Load the program of a factory's network with a checkpoint's weights, and notices about it."""
    assert factory is not None  # check_kind
    from myoedge.frontend.torch.checkpoint import load_checkpoint

    sample = None
    if calib is not None and not is_random(calib):
        sample = first_sample(read(calib, reading), reading)
    batch = None if sample is None else tuple(x[None] for x in sample)
    return load_checkpoint(path, factory, batch, sample, reading.max_bytes)


def check_work(model: Model) -> None:
    """Raise E122 if the network only copies its inputs."""
    if all(OPS[node.op].view for node in model.graph.nodes):
        has = "outputs that are the inputs, in another shape at most"
        if model.graph.input_normalization:
            has = "outputs that only scale and shift the inputs, as quantising does"
        tries = ["export the network with the layers after it: nothing is left to compute here"]
        raise MyoedgeError("E122", f"{model.name} computes nothing", {"has": has}, tries)


def _with_decoders(graph: Graph, stages: PrePostProcessing) -> Graph:
    from myoedge.passes.decode import append_ctc_decoder, append_majority_vote

    if stages.ctc is not None:
        graph = append_ctc_decoder(graph, stages.ctc, framewise=stages.framewise)
    if stages.vote is not None:
        graph = append_majority_vote(graph, stages.vote)
    return graph


def _prepare_graph(graph: Graph, filters: Conditioning) -> Graph:
    from myoedge.passes import prepare

    if filters != Conditioning():
        graph = add_conditioning_filters(graph, filters)
    return prepare(graph)


def is_random(calib: Given | None) -> bool:
    return isinstance(calib, str) and calib == samples.RANDOM


def on_chip(graph: Graph, chip: Chip | None, *, stream: bool) -> Graph:
    """Rewrite the graph for the accelerators of the chip, if it has any.

    stream   whether the network is to run on frames; otherwise single-step recurrent layers are
             simplified, too
    """
    from myoedge.passes import prepare_for_accelerator, prepare_whole

    whole = graph if stream else prepare_whole(graph)
    has_accelerator = chip is not None and chip.accelerators
    return prepare_for_accelerator(whole) if has_accelerator else whole
