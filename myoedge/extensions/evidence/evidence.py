# SPDX-License-Identifier: Apache-2.0
"""Evidence for a build's requirements: comparisons with the reference, simulated runs, and an
analysis of the linked program. It supports an IEC 62304 file; it certifies nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.backends.equivalence import cases, same_outputs
from myoedge.backends.names import backends
from myoedge.backends.runner import runner_of
from myoedge.backends.samples import given_samples, golden_sample, random_samples
from myoedge.codegen.render import render
from myoedge.extensions.evidence.bill_of_materials import software_bill
from myoedge.extensions.evidence.call_graph import (
    CallGraph,
    DataDependence,
    call_graph,
    data_dependences,
)
from myoedge.extensions.evidence.requirements import (
    Requirement,
    latency_requirement,
    loop_requirement,
    memory_requirement,
    power_requirement,
)
from myoedge.operators.interpreter import one_blas_thread
from myoedge.reports.wording import layer_names, operator
from myoedge.system.control_characters import document_bytes
from myoedge.system.folder import to_json
from myoedge.system.notebook import Card, Tabular
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.backends.build import Build
    from myoedge.backends.measurement import Measurement
    from myoedge.backends.samples import Sample
    from myoedge.quantization.samples import Data

FOLDER = Path(__file__).parent  # of the templates
FILES = ("evidence.json", "evidence.md", "sbom.cdx.json", "misra.md")
HOST = "host"
ENTRY = "_start"
CONTROLLER, CORE = "me_fabric_controller", "me_cluster_core"  # functions that crt0.S starts
ALLOCATORS = frozenset(("malloc", "calloc", "realloc", "free", "sbrk", "_sbrk"))
FLOAT_ROUTINE = re.compile(r"__[a-z]*[sd]f[a-z0-9]*")  # of compiler-rt: __addsf3, __fixdfsi
ANALYSED = "analysis: instructions of firmware.elf"


Requirements = tuple[Requirement, ...]


@dataclass(frozen=True)
class LayerRange:
    """Minimum and maximum cycles of a layer over all inputs, or instructions; values, instruction
    caches and waiting cores cause the difference.

    layer   tensor that the layer writes
    name    its module paths in the network and its operator: "encoder.0 + 1 (conv1d + relu)"
    """

    layer: str
    name: str
    least: int
    most: int

    def document(self, counted: str) -> dict[str, str | int]:
        """Return the layer with the keys of evidence.json."""
        counts = {f"{counted}_min": self.least, f"{counted}_max": self.most}
        return {"layer": self.layer, "name": self.name, **counts}


@dataclass(frozen=True)
class Stack:
    """A core's stack.

    core             the core
    bound_bytes      upper bound of its use; None with recursion or an unknown frame
    reserved_bytes   its size
    """

    core: str
    bound_bytes: int | None
    reserved_bytes: int

    @property
    def fits(self) -> bool:
        return self.bound_bytes is not None and self.bound_bytes <= self.reserved_bytes


@dataclass(frozen=True)
class Evidence(Tabular):
    """Requirements of a build with their evidence.

    name           name of the network
    model          its integer digest (<PREFIX>_DIGEST in C)
    requirements   the requirements
    backend        what ran the program: "simulated chip", "QEMU"
    counted        what it counts: "cycles", or "instructions"
    inputs         number of inputs that it ran
    cycles         smallest and largest count of an inference
    step           counts that differ by no more may be equal
    layers         range of the counts of each layer
    compared       number of samples whose executed instructions were compared; 1: with no other
    dependences    functions whose executed instructions depend on the input
    stacks         stacks of the cores
    digests        file of the build -> SHA-256
    """

    name: str
    model: str
    requirements: tuple[Requirement, ...]
    backend: str
    counted: str
    inputs: int
    cycles: tuple[int, int]
    step: int
    layers: tuple[LayerRange, ...]
    compared: int
    dependences: tuple[DataDependence, ...]
    stacks: tuple[Stack, ...]
    digests: Mapping[str, str]

    @cached_property
    def bom(self) -> str:
        """Return the software bill of materials in CycloneDX's JSON. Errors: E501."""
        return software_bill(self.name, self.digests)

    def files(self) -> dict[str, bytes]:
        """Return evidence.json, evidence.md, sbom.cdx.json and misra.md; equal builds and tools
        give equal bytes. Errors: E501."""
        texts = (
            to_json({"schema": "myoedge.evidence/1", **self.document()}),
            render("evidence.md.j2", {"evidence": self}, FOLDER),
            self.bom,
            (FOLDER / "misra.md").read_text(encoding="utf-8"),
        )
        return {name: document_bytes(text) for name, text in zip(FILES, texts, strict=True)}

    def names(self, layers: Iterable[str]) -> str:
        """Return the module paths of layers as text, by the tensors that they write."""
        known = {row.layer: row.name for row in self.layers}
        return ", ".join(known[layer] for layer in layers)

    @property
    def is_complete(self) -> bool:
        """Whether no requirement failed."""
        return all(row.shown is not False for row in self.requirements)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per requirement."""
        return [asdict(row) for row in self.requirements]

    def document(self) -> dict[str, Any]:
        """Return all results with the keys of evidence.json."""
        return {
            "name": self.name,
            "integer_digest": self.model,
            "complete": self.is_complete,
            "requirements": self.rows(),
            "inputs": self.inputs,
            self.counted: {"min": self.cycles[0], "max": self.cycles[1]},
            "layers": [row.document(self.counted) for row in self.layers],
            "compared_samples": self.compared,
            "data_dependences": [asdict(row) for row in self.dependences],
            "stacks": [asdict(row) for row in self.stacks],
            "sha256": dict(self.digests),
        }

    @property
    def is_analysed(self) -> bool:
        """Whether the instructions of the program were analysed, and compared between inputs."""
        return bool(self.stacks)

    @property
    def varying(self) -> tuple[str, ...]:
        """Names of the layers whose count differs between inputs."""
        return tuple(row.name for row in self.layers if row.most - row.least > self.step)

    def _card(self) -> Card:
        verdict = "all shown" if self.is_complete else "NOT all shown"
        return Card(f"{self.name}: requirements {verdict}", rows=self.rows())


def collect_evidence(
    build: Build, exact: Mapping[str, bool | None], given: Data | None, drawn: int
) -> Evidence:
    """Run the build on the simulated or emulated chip and analyse its program; return its
    requirements with the evidence.

    build   with the devices of the last backend of `exact`, which runs the program
    exact   backend -> whether it gave the reference's integers, from `validate`
    given   samples to run in addition to the golden sample
    drawn   number of random inputs to run in addition
    """
    own = () if given is None else given_samples(build, given)
    random = random_samples(build.network, build.stream, drawn)
    samples = [*chain([golden_sample(build, short=True)], own, random)]
    with one_blas_thread():
        runs = [*cases(build.network, build.stream, samples)]
    hook = backends()[[*exact][-1]]
    backend = hook.chip.format("chip") or hook.text
    measured = runner_of(hook.name).measured(build, runs)
    of_program, dependences, stacks = _analysis(build, samples)
    cycles = [run.cycles for run in measured.inferences]
    found = (
        *_exactness_requirement(exact, backend, same_outputs(runs, measured), len(runs)),
        *memory_requirement(build),
        *latency_requirement(build, max(cycles)),
        *power_requirement(build),
        allocation_requirement(name for _, _, name in build.program.functions),
        *of_program,
        loop_requirement(build.written("src/network.c").decode()),
    )
    model = build.report["model"]
    return Evidence(
        name=model["name"],
        model=model["integer_digest"],
        requirements=found,
        backend=backend,
        counted="cycles" if hook.source else "instructions",
        inputs=len(runs),
        cycles=(min(cycles), max(cycles)),
        step=measured.step_cycles,
        layers=(*_layer_ranges(build, measured),),
        compared=len(samples),
        dependences=dependences,
        stacks=stacks,
        digests={name: build.digests[name] for name in sorted(build.digests)},
    )


def _analysis(
    build: Build, samples: Sequence[Sample]
) -> tuple[Requirements, tuple[DataDependence, ...], tuple[Stack, ...]]:
    """Return what the instructions of a program show, code that depends on data, and stacks; () of
    a chip that is not simulated, whose instructions are not decoded."""
    if not find_chip(str(build.manifest["target"])).platforms:
        return (), (), ()
    graph = call_graph(build.program, (ENTRY, CONTROLLER, CORE))
    stacks = (*_stack_requirement(build, graph),)
    dependences = (*data_dependences(build, samples, graph),)
    return (*_program_requirement(graph, stacks),), dependences, stacks


def _exactness_requirement(
    exact: Mapping[str, bool | None], backend: str, is_same: bool, count: int
) -> Iterator[Requirement]:
    text = "The C code computes the integers of the NumPy reference"
    for number, (name, is_exact) in enumerate(exact.items(), 1):
        value = "every layer equal" if is_exact else "differs"
        command = f"test: myoedge validate BUILD --on {name}"
        scope = "C on the host" if name == HOST else backend
        yield Requirement(f"EXACT-{number}", f"{text}: {scope}", bool(is_exact), value, command)
    value = f"{count:,} inputs, outputs {'equal' if is_same else 'differ'}"
    yield Requirement(
        "EXACT-3", f"{text}: {backend}, more inputs", is_same, value, "test: this run"
    )


def _stack_requirement(build: Build, graph: CallGraph) -> Iterator[Stack]:
    symbols, frames = build.program.symbols, graph.functions.items()
    # ENTRY sets each core's stack pointer
    is_variable = any(not f.is_frame_known and name != ENTRY for name, f in frames)
    for core, root, size in (
        ("the fabric controller", CONTROLLER, "me_fc_stack_bytes"),
        ("each cluster core", CORE, "me_stack_bytes"),
    ):
        is_known = not graph.recursion and not is_variable
        yield Stack(core, graph.stack_bytes(root) if is_known else None, symbols[size])


def allocation_requirement(names: Iterable[str]) -> Requirement:
    """Return the requirement that no function of a program allocates memory."""
    found, text = sorted(ALLOCATORS.intersection(names)), "No memory is allocated at run time"
    return _absence_requirement("ALLOC-1", text, found, "allocators", ANALYSED)


def _program_requirement(graph: CallGraph, stacks: Sequence[Stack]) -> Iterator[Requirement]:
    how, names = ANALYSED, graph.functions.keys()
    floats = sorted(filter(FLOAT_ROUTINE.fullmatch, names))
    yield _absence_requirement(
        "INT-1", "No floating-point arithmetic", floats, "floating-point routines", how
    )
    circle = " -> ".join(graph.recursion)
    value = circle or f"{len(names):,} functions, no circle of calls"
    yield Requirement("CALL-1", "No recursion", not circle, value, how)
    missing = graph.unreached
    text = "The call graph is complete: every linked function is reached from a core's start"
    yield _absence_requirement("CALL-2", text, missing, "functions whose caller is unknown", how)
    for number, stack in enumerate(stacks, 1):
        bound = "unknown" if stack.bound_bytes is None else f"{stack.bound_bytes:,}"
        value = f"at most {bound} of {stack.reserved_bytes:,} bytes"
        text = f"The stack of {stack.core} suffices"
        yield Requirement(f"STACK-{number}", text, stack.fits, value, how)


def _absence_requirement(
    key: str, text: str, found: Sequence[str], noun: str, how: str
) -> Requirement:
    value = f"{noun}: {', '.join(found[:5])}" if found else f"no {noun}"
    return Requirement(key, text, not found, value, how)


def _layer_ranges(build: Build, measured: Measurement) -> Iterator[LayerRange]:
    places = layer_names(build.report)
    names = {x["name"]: f"{places[x['name']]} ({operator(x)})" for x in build.report["layers"]}
    for layer, costs in zip(
        build.layer_names,
        zip(*(run.layers for run in measured.inferences), strict=True),
        strict=True,
    ):
        cycles = [cost.cycles for cost in costs]
        yield LayerRange(layer, names[layer], min(cycles), max(cycles))
