# SPDX-License-Identifier: Apache-2.0
"""A build: its generated C and its firmware, run from Python; the only C that is compiled.

A folder may come from anybody, and its manifest has digests, not signatures. Sources that this
computer generated are known by the digest of their manifest; those of other folders are generated
again from graph.json, the weights and the manifest's settings, and compared byte by byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.backends import host
from myoedge.backends.build_folder import BuildFolder
from myoedge.backends.inputs import as_argument, batch_size, integers, named_arrays
from myoedge.backends.measurement import FirmwareFiles
from myoedge.backends.report_folder import REPLACED, damaged, remember_made_here
from myoedge.codegen.application import ListedApplication
from myoedge.codegen.build_sources import build_sources
from myoedge.codegen.firmware import FOLDER
from myoedge.codegen.made_with import read_made_with
from myoedge.errors import MyoedgeError, Notice
from myoedge.numerics.arrays import Array
from myoedge.plan.plan_json import describe
from myoedge.plan.schedule import make_plan
from myoedge.quantization.sqnr import real_values
from myoedge.streaming.stream import frame_shapes, ready_specs
from myoedge.system import tools
from myoedge.system.folder import MANIFEST, editable_folders, is_build, to_json
from myoedge.system.hooks import import_place
from myoedge.system.library import KINDS, PROGRAMS
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.backends.measurement import Measurement
    from myoedge.backends.simulator import Progress
    from myoedge.extensions.adaptation.running import AdaptedNetwork
    from myoedge.simulator import RunOptions, Simulation

SRC = "src"
CODE = (*KINDS, ".S")


def own_sources(build: BuildFolder) -> dict[str, bytes]:
    """Return the files of src/ by name, each as the code generator wrote it.

    Errors: E222 a file that differs, is missing, or is C that is not of the build.
    """
    listed = _read_listed_files(build)
    files = listed if build.made_here else _generate_sources(build)
    differing = (name for name, content in files.items() if listed.get(name) != content)
    if name := next(differing, None):
        raise _foreign_code_error(
            build, f"{SRC}/{name} is not what graph.json and the weights give"
        )
    for name in (*listed, *_find_c_files(build.folder / SRC)):
        if name not in files and name not in PROGRAMS:
            raise _foreign_code_error(build, f"{SRC}/{name} is not of the build")
    if not build.made_here:
        remember_made_here(build.manifest)
    return files


def _read_listed_files(build: BuildFolder) -> dict[str, bytes]:
    """Return the files of src/ that the manifest lists. Errors: E222 missing or changed ones."""
    start = f"{SRC}/"
    names = [name for name in build.digests if name.startswith(start)]
    return {name.removeprefix(start): build.written(name) for name in names}


def _foreign_code_error(build: BuildFolder, cause: str) -> MyoedgeError:
    """Return E222 for C that myoedge did not generate."""
    return damaged(build.folder, ValueError(cause), versions=build.versions)


def _find_c_files(src: Path) -> Iterator[str]:
    """Yield the names of the C files below a folder, and of links to folders."""
    for place, folders, names in os.walk(src):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*links, *(name for name in names if name.endswith(CODE))):
            yield Path(place, name).relative_to(src).as_posix()


def _generate_sources(build: BuildFolder) -> dict[str, bytes]:
    """Generate src/ again. Errors: E222 no network, or another one's l3.bin."""
    stream, network, parts = build.stream, build.network, build.parts
    with build.meaningful(MANIFEST):
        if "made_with" not in build.manifest:
            raise ValueError("an older version built it")
        made = read_made_with(build.manifest["made_with"])
        network = made.network(network)
        plan = make_plan(network, made.chip, tile_ranks=made.tile_ranks)
        sample = build.golden_run(network, stream)
        application = _read_application(build, made.application)
        name = str(build.manifest["model"]["name"])
        around = (stream, application, parts)
        sources = build_sources(plan, name, sample, made.options, *around)
        if json.loads(to_json(describe(plan))) != json.loads(build.written("plan.json")):
            raise ValueError("plan.json is not what graph.json and the weights give")
        if build.images != plan.image_files:
            raise ValueError("l3.bin or mram.bin is not what graph.json and the weights give")
    return {name: text.encode() for name, text in sources.files.items()}


def _read_application(build: BuildFolder, name: str) -> ListedApplication | None:
    """Return the build's application, with its files as they are: no host compiles them."""
    if not name:
        return None
    files = _read_listed_files(build).items()
    own = {path: text.decode() for path, text in files if path.startswith(f"{FOLDER}/{name}/")}
    return ListedApplication(name, own)


ANOTHER = "myoedge build MODEL --calib CALIB -o FOLDER"
ADAPT = "myoedge.extensions.adaptation.running:adapt"  # as myoedge/__init__.py has its verbs
MOST_CYCLES = 1 << 36  # three minutes of the chip's time: an inference that takes longer hangs


@dataclass(frozen=True)
class Build(BuildFolder):
    """A build folder, with methods that run the build.

    cc          compiler for the generated C: "zig", "cc", or a path
    devices     what each backend runs the build on, such as a serial line, by the backend's name
    times_s     seconds of each stage of `build`
    warnings    warnings of `build`
    arguments   arguments of `build`

    The last three are empty or None for a build that was loaded from its folder.
    """

    cc: str = "zig"
    devices: Mapping[str, Any] = field(default_factory=dict)
    times_s: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    arguments: object = field(default=None, repr=False, compare=False)

    @cached_property
    def library(self) -> host.Library:
        return self.compiled()

    def compiled(self, *defines: str) -> host.Library:
        """Compile the C of src/ to a library with these macros defined.

        Only bytes that myoedge generates are compiled (own_sources), from a folder of their own.
        Errors: E222 C that is not of the build, otherwise as load_library.
        """
        with tools.scratch() as folder:
            for name, content in own_sources(self).items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return host.load_library(folder, self.cc, host.CompileOptions(defines=defines))

    def run(self, *inputs: Any, raw: bool = False, **named: Any) -> Any:
        """Run the generated C: run(x), run(x, y), run(x=..., y=...); once, or for every sample of a
        batch.

        inputs   one array each, in the model's order, or one sequence, or one mapping by name:
                 floats of the input's shape (axes of size 1 may be left out), or batches [samples,
                 *shape], or [samples, *shape[1:]] if the first axis is 1; integers with raw
        raw      integers in and out instead of floats
        -> one array, or a tuple for several outputs; for a batch [samples, *shape], without a first
           axis of 1 if the batch has none either, as networks in torch return it
        Errors: E212 names or count, E213 shapes, E214 not the integers of `network.h` with raw,
        E216 NaN, E218 different numbers of samples, E254 a stream.
        """
        if self.stream is not None:
            title, facts = f"{self.folder.name} takes frames", {"needs": "build without --stream"}
            tries = ["b.reset(); ready = [b.push(frame) for frame in frames]"]
            raise MyoedgeError("E254", title, facts, tries)
        graph = self.network.graph
        shapes = {name: graph.shape(name) for name in graph.inputs}
        arrays = named_arrays(as_argument(shapes, inputs, named), shapes)
        count = batch_size(arrays, shapes)
        if count is None:
            results = self.run_raw(integers(self.network, arrays, shapes, raw))
            return self._format_outputs(graph.outputs, results, raw)
        each = ({name: x[i] for name, x in arrays.items()} for i in range(count))
        runs = [self.run_raw(integers(self.network, x, shapes, raw)) for x in each]
        are_windows = all(shape[:1] == (1,) for shape in shapes.values())
        return self._format_outputs(graph.outputs, self._stack_outputs(runs, are_windows), raw)

    def _stack_outputs(self, runs: Sequence[Sequence[Array]], are_windows: bool) -> list[Array]:
        """Stack the outputs of several runs: [samples, *shape] each.

        are_windows   whether all inputs have a first axis of 1; the outputs then lose theirs
        """
        stacked = []
        for i, (shape, dtype) in enumerate(self.output_specs):
            rest = shape[1:] if are_windows and shape[:1] == (1,) else shape
            stacked.append(np.array([run[i] for run in runs], dtype).reshape(len(runs), *rest))
        return stacked

    def _format_outputs(self, names: Iterable[str], results: Sequence[Array], raw: bool) -> Any:
        """Return one array, or a tuple of several outputs; dequantised to floats unless `raw`."""
        pairs = zip(names, results, strict=True)
        shown = results if raw else [real_values(self.network, n, y) for n, y in pairs]
        return shown[0] if len(shown) == 1 else tuple(shown)

    def push(self, *frame: Any, raw: bool = False, **named: Any) -> Any:
        """Pass one frame to the generated C of a stream; `reset` starts the stream again.

        frame   arguments as for `run`, without the time axis
        -> for each output the frames that are ready, [frames, ...]; possibly none

        All builds with the same C in a process share one stream. Errors: E213, E214, E216 as `run`;
        E254 a build without --stream.
        """
        stream = self.streaming
        shapes = frame_shapes(stream)
        arrays = named_arrays(as_argument(shapes, frame, named), shapes)
        rows = integers(self.network, arrays, shapes, raw, True)
        ready = host.push(self.library, rows, ready_specs(stream), l3=self.host_image)
        return self._format_outputs([port.name for port in stream.outputs], ready, raw)

    def reset(self) -> None:
        """Reset the stream to its initial state. Errors: E254 a build without --stream."""
        assert self.streaming
        host.reset(self.library)

    def adapt(
        self, windows: Sequence[Array], labels: Sequence[int], *, method: str | None = None
    ) -> AdaptedNetwork:
        """Adapt to a new session, as the firmware would, and return the build with the new
        classifier; this build is unchanged.

        windows   arrays of floats, in the order in which they are recorded
        labels    class of each window
        method    "prototypes", "lda", "head" or "norm", one of [adapt] methods; None: the first of
                  report.json's `adaptation.methods`
        Errors: E211 .. E225 samples, E268 a build without [adapt] or without this method.
        """
        adapted: AdaptedNetwork = import_place(ADAPT)(self, windows, labels, method)
        return adapted

    def run_raw(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the generated C on integer inputs in the model's order; return its integer
        outputs."""
        return host.run(self.library, inputs, self.output_specs, l3=self.host_image)

    def simulate(
        self,
        inputs: Sequence[Sequence[Array]],
        *,
        keep_layers: bool = False,
        options: RunOptions | None = None,
        cycles: Mapping[str, int] | None = None,
        max_cycles: int = MOST_CYCLES,
        progress: Progress | None = None,
    ) -> tuple[Measurement, Simulation]:
        """Run firmware.elf on the simulated chip, one inference for each of `inputs`.

        inputs        integers, in the model's order; for a stream from equivalence.chip_inputs
        keep_layers   record the bytes that every layer writes, in Inference.written
        max_cycles    limit per inference, on average
        Errors: E240 a build without firmware, E701 .. E711.
        """
        from myoedge.backends import simulator

        chip = find_chip(str(self.manifest["target"]))
        return simulator.run_firmware(
            self.program,
            self.files(inputs),
            regions=self.regions if keep_layers else None,
            options=options,
            max_cycles=max_cycles * max(1, len(inputs)),
            cycles=chip.simulator_cycles if cycles is None else cycles,
            progress=progress,
        )

    def run_on_gvsoc(self, inputs: Sequence[Sequence[Array]]) -> Measurement:
        """Run firmware.elf on GVSoC. Errors: E501 not installed, E502 too slow, E504 no model
        of an engine or MRAM, E240, E711."""
        from myoedge.backends import gvsoc

        self.firmware()
        gvsoc.refuse_mram(self.mram_image)
        gvsoc.require_engines([(x["label"], x.get("engine")) for x in self.report["layers"]])
        return gvsoc.run_firmware(self.folder / "firmware.elf", self.files(inputs))

    def files(self, inputs: Sequence[Sequence[Array]]) -> FirmwareFiles:
        """Return the input and output files for a run of firmware.elf with these inputs."""
        return FirmwareFiles(inputs, self.given_specs, len(self.layer_names), self.images)


def load_build(folder: str | Path, *, cc: str = "zig") -> Build:
    """Load a build from its folder. Errors: E222 no build, or files missing or changed."""
    path = Path(folder)
    if not is_build(path):
        if os.path.exists(path / MANIFEST):
            raise damaged(path, ValueError(f"{MANIFEST} is not as build writes it"))
        raise MyoedgeError(
            "E222",
            f"{path} is not a build folder",
            {"needs": f"a folder with {MANIFEST}, as `myoedge build` writes it"},
            [ANOTHER],
        )
    build = Build(path, cc)
    for name in build.digests:
        if not name.startswith(editable_folders() + REPLACED):
            build.written(name)
    return build
