# SPDX-License-Identifier: Apache-2.0
"""A build folder: what is in it, and its generated C, run from Python."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError, Notice
from myoedge.fixedpoint import quantize
from myoedge.folder import MANIFEST, is_build, replace_files, sha256
from myoedge.ir import Array, Shape
from myoedge.plan.planned import parse_location
from myoedge.quant import store
from myoedge.quant.choose import QuantGraph
from myoedge.quant.sqnr import real_values
from myoedge.reference import at_border
from myoedge.run import host
from myoedge.samples import as_inputs
from myoedge.streaming import pushed
from myoedge.streaming.pushed import Stream

if TYPE_CHECKING:
    from myoedge.measurement import Measurement
    from myoedge.run.board import Turn
    from myoedge.run.console import Line
    from myoedge.run.simulator import Progress
    from myoedge.simulator import Program, Simulation, Wanted

MOST_CYCLES = 1 << 36  # three minutes of the chip's time: an inference that needs more hangs
APPLICATION = "gap_sdk/ports.c"  # of a board's application: what is made for this network
SYMBOLS = {"arena": "me_arena", "l1": "me_l1"}  # where results lie that are no outputs

# Of report.json, what every verb reads; the manifest cannot vouch for a file that is replaced.
REPORT_KEYS = frozenset(
    ("schema", "model", "target", "quantization", "exact", "memory", "inputs", "outputs", "layers")
)

REPLACED = ("report.", "layers.csv")  # by validate and simulate

MAP_KEYS = frozenset(("buffers", "l1_buffers", "l1_planned_bytes", "constants_bytes", "l3_maps"))


@dataclass(frozen=True)
class Build:
    """What `myoedge build` wrote.

    folder    where it lies
    cc        the compiler its C is run with: "zig", "cc", or a path
    line      where a board with its application is
    times_s   what each stage of `build` took; empty for a build that was loaded
    warnings  what `build` warned about
    """

    folder: Path
    cc: str = "zig"
    line: Line | None = None
    times_s: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self._json(MANIFEST)

    @property
    def report(self) -> dict[str, Any]:
        """report.json as it is now; validate and others replace it."""
        found = self._json("report.json")
        if missing := REPORT_KEYS - found.keys():
            raise _damaged(self.folder, ValueError(f"report.json has no {min(missing)}"))
        if _digest(found) != _digest(self.manifest):
            raise _damaged(self.folder, ValueError("report.json is about another model"))
        return found

    @property
    def mapped_report(self) -> dict[str, Any]:
        """report.json with every buffer in it. Errors: E222 where an older version wrote it."""
        found = self.report
        if missing := MAP_KEYS - found["memory"].keys():
            raise _damaged(self.folder, ValueError(f"report.json has no memory.{min(missing)}"))
        return found

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Puts new reports into the folder. Errors: E222 where it has been built anew meanwhile."""
        if self._json(MANIFEST) != self.manifest:
            raise _damaged(self.folder, ValueError("it was built anew meanwhile"))
        replace_files(self.folder, files)

    @cached_property
    def _files(self) -> dict[str, str]:
        """sha256 by name, as it was at first: never files of two builds together."""
        found = self.manifest.get("files")
        return found if isinstance(found, dict) else {}

    @property
    def layers(self) -> tuple[Mapping[str, Any], ...]:
        """One row per operator, as in layers.csv."""
        return tuple(self.report["layers"])

    @cached_property
    def network(self) -> QuantGraph:
        """The network in integers, for the reference."""
        document = json.loads(self.written("graph.json"))
        return store.from_files(document, self.written("weights.safetensors"))

    @cached_property
    def stream(self) -> Stream | None:
        """How the network takes frames; None for a build without --stream."""
        if "stream.json" not in self._files:
            return None
        return pushed.from_json(json.loads(self.written("stream.json")), self.network)

    @property
    def streaming(self) -> Stream:
        """The same. Errors: E254 where there is none."""
        if self.stream is None:
            title, facts = f"{self.folder.name} takes whole samples", {"needs": "build --stream"}
            raise MyoedgeError("E254", title, facts, ["b.run(samples)"])
        return self.stream

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """Tensors that the generated functions write, in order."""
        return tuple(step["name"] for step in json.loads(self.written("plan.json"))["steps"])

    @cached_property
    def golden_inputs(self) -> dict[str, Array]:
        """The float sample that golden/input.npz holds, by input name."""
        packed = io.BytesIO(self.written("golden/input.npz"))
        with np.load(packed, allow_pickle=False) as stored:
            return {name: stored[name] for name in self.frame_inputs}

    @property
    def frame_inputs(self) -> tuple[str, ...]:
        """The inputs that are given from outside: not the states of a stream."""
        stream = self.stream
        return self.network.graph.inputs if stream is None else tuple(p.name for p in stream.inputs)

    def written(self, name: str) -> bytes:
        """A file as build wrote it. Errors: E222 where it is gone or has been changed since."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise _damaged(self.folder, error) from None
        if sha256(content) != self._files.get(name):
            raise _damaged(self.folder, ValueError(f"{name} is not as build wrote it"))
        return content

    def check_whole(self) -> None:
        """Files are as build wrote them, but for C, which may be edited, and reports; else E222."""
        for name in self._files:
            if not name.startswith(("src/", *REPLACED)):
                self.written(name)

    @cached_property
    def library(self) -> host.Library:
        return self.compiled()

    def compiled(self, *defines: str) -> host.Library:
        """The C of src/, which may have been edited, as a library with these macros set.

        Errors: E222 where it has been edited so that it does not compile, else as load_library.
        """
        try:
            library = host.load_library(self.folder / "src", cc=self.cc, defines=defines)
            pushes = () if self.stream is None else ("me_push", "me_reset")
            needed = ("me_run", *(("me_trace",) if defines else ()), *pushes)
            return host.with_symbols(library, needed)
        except (MyoedgeError, OSError, AttributeError):
            for name in self._files:
                if name.startswith("src/"):
                    self.written(name)
            raise

    def run(self, inputs: Any, *, raw: bool = False) -> Any:
        """Runs the generated C once.

        inputs   one array, a sequence in the model's order, or a mapping by name; float values of
                 the input's shape (axes of extent 1 may be left out); integers with raw
        raw      integers in and out instead of floats
        -> one array, or a tuple of them for several outputs
        Errors: E213 shapes, E214 not the integers of `network.h` with raw, E216 NaN.
        """
        results, names = self.run_raw(self._integers(inputs, raw=raw)), self.network.graph.outputs
        shown = (
            results
            if raw
            else [real_values(self.network, n, y) for n, y in zip(names, results, strict=True)]
        )
        return shown[0] if len(shown) == 1 else tuple(shown)

    def push(self, frame: Any, *, raw: bool = False) -> Any:
        """Gives the generated C a frame; `reset` begins anew.

        frame   as `run` takes inputs, but of one moment: without the axis of time
        -> of each output the frames that are ready, [frames, ...], which may be none
        There is one stream for all builds with the same C in a process.
        Errors: E213, E214, E216 as `run`; E254 a build without --stream.
        """
        stream = self.streaming
        rows = self._quantized(frame, pushed.frame_shapes(stream), raw)
        ready = host.push(self.library, rows, pushed.ready_specs(stream), l3=self.l3_image)
        pairs = zip(stream.outputs, ready, strict=True)
        shown = ready if raw else [real_values(self.network, p.name, y) for p, y in pairs]
        return shown[0] if len(shown) == 1 else tuple(shown)

    def reset(self) -> None:
        """Forgets all frames that were pushed. Errors: E254 a build without --stream."""
        assert self.streaming
        host.reset(self.library)

    def run_raw(self, integers: Sequence[Array]) -> list[Array]:
        """Integer inputs in the model's order -> integer outputs."""
        return host.run(self.library, integers, self.output_specs, l3=self.l3_image)

    def simulate(
        self,
        inputs: Sequence[Sequence[Array]],
        *,
        keep_layers: bool = False,
        wanted: Wanted | None = None,
        cycles: Mapping[str, int] | None = None,
        max_cycles: int = MOST_CYCLES,
        progress: Progress | None = None,
    ) -> tuple[Measurement, Simulation]:
        """Runs firmware.elf on the simulated chip, one inference for each of `inputs`.

        inputs        integers, in the model's order; for a stream as ladder.chip_inputs makes them
        keep_layers   what every layer wrote is in Inference.written
        max_cycles    of an inference, on average
        Errors: E240 a build without firmware, E701 .. E711.
        """
        from myoedge.run import simulator

        chosen = {} if cycles is None else {"cycles": cycles}
        return simulator.run_firmware(
            self.program,
            inputs,
            self.given_specs,
            len(self.layer_names),
            l3=self.l3_image,
            regions=self.regions if keep_layers else None,
            wanted=wanted,
            max_cycles=max_cycles * max(1, len(inputs)),
            progress=progress,
            **chosen,
        )

    def run_on_gvsoc(self, inputs: Sequence[Sequence[Array]]) -> Measurement:
        """The same on an installed GVSoC. Errors: E501 none there, E502 too slow, E240, E711."""
        from myoedge.run import gvsoc

        self._firmware()
        return gvsoc.run_firmware(
            self.folder / "firmware.elf",
            inputs,
            self.given_specs,
            len(self.layer_names),
            l3=self.l3_image,
        )

    def run_on_board(self, turns: Sequence[Turn]) -> Measurement:
        """On the board at `line`, turns as ladder.board_turns makes them.

        Errors: E240 no application, E601, E603 .. E608.
        """
        from myoedge.run import board

        if self.line is None:
            tries = ["--board gap9_evk, or --port /dev/ttyUSB1"]
            raise MyoedgeError("E601", "no board is named", tries=tries)
        layers = len(self.layer_names)
        return board.run_on_board(self.line, self.application, turns, self.given_specs, layers)

    def check_application(self) -> None:
        """Errors: E240 where the build has no application of the GAP SDK."""
        if APPLICATION not in self._files:
            facts = {"needs": "an application of the GAP SDK"}
            tries = ["myoedge build ... --app gap-sdk"]
            raise MyoedgeError("E240", f"{self.folder.name} has no application", facts, tries)

    @cached_property
    def application(self) -> str:
        """What the GAP SDK application says of itself. Errors: E240 a build without one."""
        self.check_application()
        return self.written(APPLICATION).decode().split('me_digest[] = "')[1].split('"')[0]

    @cached_property
    def program(self) -> Program:
        """firmware.elf. Errors: E240 where the build is for a target without one."""
        from myoedge.simulator import read_elf

        return read_elf(self._firmware(), "firmware.elf")

    def _firmware(self) -> bytes:
        if "firmware.elf" not in self._files:
            raise MyoedgeError(
                "E240",
                f"{self.folder.name} has no firmware",
                {"target": self.manifest.get("target")},
                ["myoedge build ... --target gap9"],
            )
        return self.written("firmware.elf")

    @cached_property
    def l3_image(self) -> bytes | None:
        """l3.bin, where the build has one."""
        return self.written("l3.bin") if "l3.bin" in self._files else None

    @cached_property
    def output_specs(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape and integer type of each output."""
        q = self.network
        return [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]

    @cached_property
    def given_specs(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape and integer type of what a run gives: a stream the frames that are ready."""
        return self.output_specs if self.stream is None else pushed.ready_specs(self.stream)

    @cached_property
    def regions(self) -> dict[int, tuple[str, int, int]]:
        """Where results of layers lie in L2: C symbol, offset, size in bytes; none of L3."""
        q, steps = self.network, json.loads(self.written("plan.json"))["steps"]
        found = {}
        for index, step in enumerate(steps):
            kind, number, offset = parse_location(step["writes"])
            if kind == "far" or (kind == "output" and number >= len(self.given_specs)):
                continue  # states of a stream lie in one of two places
            symbol = SYMBOLS.get(kind, f"me_output{number}")
            size = math.prod(q.graph.shape(step["name"])) * np.dtype(q.dtype(step["name"])).itemsize
            found[index] = (symbol, offset, size)
        return found

    def in_order(self, sample: Mapping[str, Array]) -> list[Array]:
        """Inputs by name -> in the model's order."""
        return [sample[name] for name in self.network.graph.inputs]

    def _integers(self, inputs: Any, *, raw: bool) -> list[Array]:
        graph = self.network.graph
        return self._quantized(inputs, {name: graph.shape(name) for name in graph.inputs}, raw)

    def _quantized(self, inputs: Any, shapes: Mapping[str, Shape], raw: bool) -> list[Array]:
        q, given = self.network, as_inputs(tuple(shapes), inputs)
        shaped = {name: _shaped(name, x, shapes[name]) for name, x in given.items()}
        if raw:
            return [_raw(q, name, x) for name, x in shaped.items()]
        return [quantize(at_border(q.graph, n, x), q.params[n]) for n, x in shaped.items()]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise _damaged(self.folder, error) from None

    def _repr_html_(self) -> str:
        """The report, for notebooks."""
        return (self.folder / "report.html").read_text()


def _digest(document: Mapping[str, Any]) -> Any:
    model = document.get("model")
    return model.get("digest") if isinstance(model, dict) else None


def _shaped(name: str, x: Array, shape: Shape) -> Array:
    """The array with all axes of its shape; those of extent 1 may be left out."""
    if [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
        facts = {"needs": list(shape), "has": list(x.shape)}
        several = x.shape[1:] in (shape, shape[1:])
        tries = ["one window at a time: [b.run(x) for x in windows]"] if several else []
        raise MyoedgeError("E213", f"input {name} has the wrong shape", facts, tries)
    return x.reshape(shape)


def _raw(q: QuantGraph, name: str, x: Array) -> Array:
    needed = q.dtype(name)
    if x.dtype != needed:
        raise MyoedgeError("E214", f"input {name} must be {needed} with raw=True", {"has": x.dtype})
    return x


def _damaged(folder: Path, error: Exception) -> MyoedgeError:
    return MyoedgeError(
        "E222",
        f"{folder.name} is not a whole build folder",
        {"cause": str(error).splitlines()[0] if str(error) else type(error).__name__},
        ["myoedge build ... again"],
    )


def load_build(folder: str | Path, *, cc: str = "zig") -> Build:
    """A build by its folder. Errors: E222 where it is none, or not whole any more."""
    path = Path(folder)
    if not is_build(path):
        if (path / MANIFEST).exists():
            raise _damaged(path, ValueError(f"{MANIFEST} is not as build writes it"))
        raise MyoedgeError(
            "E222",
            f"{path} is not a build folder",
            {"needs": f"a folder with {MANIFEST}, as `myoedge build` writes it"},
            ["myoedge build MODEL --calib CALIB -o FOLDER"],
        )
    found = Build(path, cc)
    found.check_whole()
    return found
