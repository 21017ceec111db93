# SPDX-License-Identifier: Apache-2.0
"""Files of a build folder, each read once and checked against the manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.backends.arguments import folder_for, rebuild_command
from myoedge.backends.report_folder import ReportFolder
from myoedge.codegen.build_sources import GoldenSample
from myoedge.codegen.known_answer import sample_run
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.operators.checks import enforce
from myoedge.operators.interpreter import run_int
from myoedge.operators.turns import STATE
from myoedge.plan.locations import NEAR
from myoedge.plan.plan_json import parse_location, written_by
from myoedge.quantization.consistency import QUANTIZED
from myoedge.quantization.files import from_files, unpacked_npz, weight_shapes
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.stored_numbers import check_stored
from myoedge.streaming.stream import Stream, ready_specs
from myoedge.streaming.stream_json import from_json
from myoedge.system.elf import RISCV, Program, read_elf
from myoedge.system.hooks import find_hook, hooks, load
from myoedge.system.library import c_prefix
from myoedge.system.notebook import Card, Tabular, card_html, framed
from myoedge.system.regular_files import read_text
from myoedge.targets import find_chip, first_chip

if TYPE_CHECKING:
    from myoedge.codegen.application import FirmwarePart

MODEL_BLOB = "model.blob"  # in builds with --weights-blob
GOLDEN = "golden/input.npz"
CALIBRATION = "golden/calibration.npz"  # 64 bits of the digest of each calibration sample
IMAGES = ("l3.bin", "mram.bin")
RESULTS = ("arena", "l1")  # C arrays with results that are not outputs


@dataclass(frozen=True)
class BuildFolder(ReportFolder, Tabular):
    """A build folder, whose files are checked to belong to one build when they are read."""

    @cached_property
    def network(self) -> QuantGraph:
        """Quantised network of the build, which the reference runs.

        Errors: E222 no network, or in a build from elsewhere one with numbers that its graph cannot
        give, or one that does not give golden/output.npz from golden/input.npz.
        """
        graph, weights = self.written("graph.json"), self.written("weights.safetensors")
        with self.meaningful("graph.json"):
            document = json.loads(graph)
            network = from_files(document, weights)
            if not self.made_here:
                enforce(QUANTIZED, network, network.graph, "read")
                check_stored(network, weight_shapes(document))
        if not self.made_here:
            self._check_reference(network)
        return network

    def _check_reference(self, network: QuantGraph) -> None:
        """Raise E222 if the reference does not compute the golden outputs with a network; for a
        stream, whose golden outputs are those of the whole network, if it does not run."""
        with self.meaningful("graph.json"):
            stream = self._read_stream(network)
            values = self.golden_run(network, stream).values
            if stream is not None:
                return
            expected = unpacked_npz(self.written("golden/output.npz"))
            for name, shown in zip(network.graph.outputs, network.graph.output_names, strict=True):
                if not np.array_equal(values[name], expected[f"{shown}.q"]):
                    raise ValueError(f"it does not compute {shown} of golden/output.npz")

    def golden_run(self, network: QuantGraph, stream: Stream | None) -> GoldenSample:
        """Run the reference on the golden sample, in passes for a stream."""
        integers = self.golden_integers
        if stream is None:
            values = run_int(network.steps, network.constants, integers)
            return GoldenSample(integers, values, integers, values)
        frames = {port.name: self._golden_arrays[port.name] for port in stream.inputs}
        last = sample_run(stream, frames).last
        return GoldenSample(integers, {}, last.sample, last.values)

    @cached_property
    def stream(self) -> Stream | None:
        """Stream of the build, which processes frames; None without --stream."""
        return self._read_stream(self.network)

    def _read_stream(self, network: QuantGraph) -> Stream | None:
        if "stream.json" not in self.digests:
            return None
        with self.meaningful("stream.json"):
            return from_json(json.loads(self.written("stream.json")), network)

    @property
    def streaming(self) -> Stream:
        """Stream of the build. Errors: E254 a build without --stream."""
        if self.stream is None:
            title, facts = f"{self.folder.name} takes whole samples", {"needs": "build --stream"}
            raise MyoedgeError("E254", title, facts, ["b.run(samples)"])
        return self.stream

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """Names of layers in the generated C, in order: a layer is named for its first result."""
        first = dict(reversed(self.results))
        return tuple(first[layer] for layer in sorted(first))

    @property
    def results(self) -> tuple[tuple[int, str], ...]:
        """(layer, tensor) for all tensors that the layers of the generated C write, in order."""
        return tuple(self._tensor_locations)

    @cached_property
    def _tensor_locations(self) -> dict[tuple[int, str], str]:
        """(layer, tensor) -> location of the tensor, as plan.json has it."""
        with self.meaningful("plan.json"):
            rows = enumerate(map(written_by, json.loads(self.written("plan.json"))["steps"]))
            return {(at, name): place for at, row in rows for name, place in row.items()}

    @cached_property
    def golden_inputs(self) -> dict[str, Array]:
        """Return the golden sample as floats by input name, from golden/input.npz."""
        with self.meaningful(GOLDEN):
            return {name: self._golden_arrays[name] for name in self.frame_inputs}

    @property
    def golden_integers(self) -> dict[str, Array]:
        """Return the golden sample as integers by input name."""
        arrays, end = self._golden_arrays, ".q"
        return {name.removesuffix(end): x for name, x in arrays.items() if name.endswith(end)}

    @cached_property
    def _golden_arrays(self) -> dict[str, Array]:
        return self._read_arrays(GOLDEN)

    def _read_arrays(self, name: str) -> dict[str, Array]:
        """Read an npz file of the build."""
        packed = self.written(name)
        with self.meaningful(name):
            return unpacked_npz(packed)

    @cached_property
    def given_states(self) -> frozenset[str]:
        """Names of a stream's states that a calibration sample may contain, although the stream
        computes them itself."""
        known = {name for name in self._golden_arrays if f"{name}.q" in self._golden_arrays}
        return frozenset(known.difference(self.frame_inputs))

    @cached_property
    def calibration(self) -> dict[str, Array]:
        """Arrays that describe the calibration samples (sample_statistics.described); {} for random
        samples and old builds."""
        return self._read_arrays(CALIBRATION) if CALIBRATION in self.digests else {}

    @cached_property
    def parts(self) -> tuple[FirmwarePart, ...]:
        """Return the parts of the firmware beside the network."""
        found = (self.part(hook.name) for hook in hooks("parts"))
        return tuple(part for part in found if part is not None)

    def part(self, name: str) -> FirmwarePart | None:
        """Return a part of the firmware by the name of its hook; None if the build has none."""
        file, known = f"{name}.npz", self._known_parts
        if file in self.digests and name not in known:
            arrays = self._read_arrays(file)
            with self.meaningful(file):
                known[name] = load(find_hook("parts", name), "restore")(arrays)
        return known.get(name)

    @cached_property
    def _known_parts(self) -> dict[str, FirmwarePart]:
        """Name of a hook -> its part of the firmware, as far as parts were read."""
        return {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, from the labels of the build's samples; () without."""
        return tuple(self.report["quantization"].get("class_names") or ())

    @property
    def frame_inputs(self) -> tuple[str, ...]:
        """Names of the inputs that the user supplies, without a stream's states."""
        stream = self.stream
        return self.network.graph.inputs if stream is None else tuple(p.name for p in stream.inputs)

    def rebuilt(self, **changes: Any) -> str:
        """Return the command that makes this build again with changed arguments of api.build; for
        another target in a new folder, as this one remains what its name says."""
        target, output = changes.get("target"), self.folder
        if target is not None:
            output = folder_for(self.folder, str(self.manifest.get("target")), target)
        return rebuild_command(self.folder, changes, output)

    def having(self, name: str, what: str, facts: Mapping[str, Any], **changes: Any) -> bytes:
        """Read a file that not all builds have. Errors: E240 this build does not have it.

        what      name of the content, such as "firmware"
        facts     facts of E240
        changes   arguments of api.build with which a build has it
        """
        if name not in self.digests:
            title = f"{self.folder.name} has no {what}"
            raise MyoedgeError("E240", title, facts, [self.rebuilt(**changes)])
        return self.written(name)

    @cached_property
    def program(self) -> Program:
        """Parse firmware.elf. Errors: E240 a build for a target without firmware."""
        target = find_chip(str(self.manifest.get("target"))).program
        machine = RISCV if target is None else target.isa.machine
        return read_elf(self.firmware(), "firmware.elf", machine)

    def firmware(self) -> bytes:
        """Read firmware.elf. Errors: E240 a build for a target without firmware."""
        facts = {"target": self.manifest.get("target")}
        return self.having(
            "firmware.elf", "firmware", facts, target=first_chip(lambda x: x.program)
        )

    @property
    def model_blob(self) -> bytes:
        """Content of model.blob. Errors: E240 a build without one."""
        # its programs read no weights from MRAM
        return self.having(MODEL_BLOB, MODEL_BLOB, {}, weights_blob=True, memory=None)

    @cached_property
    def prefix(self) -> str:
        """Prefix of the C names of the build's network, such as "gesture"."""
        return c_prefix(self.folder / "src")

    @cached_property
    def l3_image(self) -> bytes | None:
        """Contents of l3.bin; None if the build has none."""
        return self.images.get("l3.bin")

    @cached_property
    def images(self) -> dict[str, bytes]:
        """File -> image of a memory level, in the order in which a host has them."""
        return {name: self.written(name) for name in IMAGES if name in self.digests}

    @property
    def host_image(self) -> bytes | None:
        """Images of all memory levels, one behind the other; None if the build has none."""
        return b"".join(self.images.values()) or None

    @cached_property
    def mram_image(self) -> bytes | None:
        """Contents of mram.bin; None if the build has none."""
        return self.written("mram.bin") if "mram.bin" in self.digests else None

    @cached_property
    def output_specs(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape and integer type of each output, in order."""
        q = self.network
        return [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]

    @cached_property
    def given_specs(self) -> list[tuple[tuple[int, ...], str]]:
        """Return shape and integer type of each output of a run; for a stream, of the frames that a
        pass makes ready."""
        return self.output_specs if self.stream is None else ready_specs(self.stream)

    @cached_property
    def regions(self) -> dict[int, dict[str, tuple[str, int, int]]]:
        """Results in L1 and L2: layer -> tensor -> (C symbol, offset, size in bytes)."""
        q, count = self.network, len(self.given_specs)
        regions: dict[int, dict[str, tuple[str, int, int]]] = {}
        outputs = "me" if self.stream is None else self.prefix  # in the program, or in stream.c
        with self.meaningful("plan.json"):
            for (index, name), place in self._tensor_locations.items():
                kind, number, offset = parse_location(place)
                is_state = q.graph.producer[name].op == STATE
                if kind not in NEAR or (kind == "output" and number >= count) or is_state:
                    continue  # a stream's states alternate between places, a loop replaces its own
                ours = kind in RESULTS
                symbol = f"{self.prefix}_{kind}" if ours else f"{outputs}_output{number}"
                size = math.prod(q.graph.shape(name)) * q.element_type(name).size_bytes
                regions.setdefault(index, {})[name] = (symbol, offset, size)
        return regions

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per layer, as in layers.csv."""
        return [dict(row) for row in self.layers]

    def _card(self) -> Card:
        """Key figures and layers as text for print(); the error if the folder is damaged."""
        try:
            report = self.report
        except MyoedgeError as error:
            return Card(str(self.folder), [(error.code, error.notice.title)])
        q, cycles = report["quantization"], report.get("cycles") or {}
        facts = [
            ("folder", self.folder),
            ("accuracy", q.get("accuracy_int8")),
            ("SQNR, dB", q.get("sqnr_db")),
            ("cycles", cycles.get("total")),
            ("counted by", cycles.get("source")),
            ("latency, ms", 1e3 * report["latency_s"] if report.get("latency_s") else None),
            ("L2, bytes", report["memory"].get("l2_peak_bytes")),
            ("code in L2, bytes", report["memory"].get("code_bytes")),
            *(("warning", f"{told['code']} {told['title']}") for told in report["warnings"]),
        ]
        keys = {"layer": "label", "operator": "op", "cycles": "cycles", "dB alone": "sqnr_local_db"}
        rows = [{title: row.get(key) for title, key in keys.items()} for row in report["layers"]]
        return Card(f"{report['model']['name']} for {report['target']['chip']}", facts, rows)

    def _repr_html_(self) -> str:
        """Return the report's page in a frame, or the folder's name if the page is missing."""
        try:
            page = read_text(self.folder / "report.html")
        except OSError as error:
            return card_html(Card(self.folder.name, [("gone", error.strerror)]))
        return framed(page, self.folder.name)
