# SPDX-License-Identifier: Apache-2.0
"""The generated files of src/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.codegen.application import Application, FirmwarePart
from myoedge.codegen.blob import CRCS, model_blob, numbers_as_data
from myoedge.codegen.known_answer import KnownAnswer
from myoedge.codegen.library import (
    brought,
    called,
    include_files,
    library_files,
    library_zips,
    with_replaced,
)
from myoedge.codegen.made_with import DEFAULT_OPTIONS, SourceOptions
from myoedge.codegen.names import (
    SLICE_BYTES,
    array_aliases,
    array_values,
    c_string,
    check_slices,
    comment,
    constants,
    default_prefix,
    partial_arrays,
    public_names,
    slice_crcs,
)
from myoedge.codegen.network import network_values
from myoedge.codegen.port_values import port_values, stream_values
from myoedge.codegen.render import initializer, render, template_dir
from myoedge.codegen.runtime import mram_values, program_files
from myoedge.numerics.arrays import Array
from myoedge.plan.plan import Plan
from myoedge.quantization.files import model_digest
from myoedge.streaming.stream import Stream
from myoedge.targets import CHIPS
from myoedge.targets.program import ProgramTarget
from myoedge.version import __version__

# Headers that the macros of a program add to the C
OF_PROGRAMS = frozenset(
    name for chip in CHIPS.values() if chip.program for name in chip.program.headers
)

INTERNAL = ("arena", "maps", "trace")  # names shared by files of src/

Golden = tuple[Sequence[Array], Sequence[Array]]  # integer inputs and outputs of one sample


@dataclass(frozen=True)
class Sources:
    """Generated files by name, and the model's digest.

    program    how the program for the chip is made; None: there is only the library
    archives   file name -> zip file of the library
    """

    files: Mapping[str, str]
    digest: str
    program: ProgramTarget | None = None
    blob: bytes | None = None
    archives: Mapping[str, bytes] = field(default_factory=dict)


def make_sources(
    plan: Plan,
    model_name: str,
    golden: Golden | None = None,
    stream: Stream | None = None,
    application: Application | None = None,
    parts: Sequence[FirmwarePart] = (),
    options: SourceOptions = DEFAULT_OPTIONS,
    answer: KnownAnswer | None = None,
) -> Sources:
    """Generate all of src/, with the chip's program in firmware/; me_push for a stream.

    golden        sample for selftest.c and golden.h
    answer        sample of <prefix>_self_test; None: no self-test
    application   also generate another program for the chip, in firmware/<its name>/
    parts         also generate these parts of the firmware, and calls of them in network.c
    Errors: as Application.files.
    """
    common = _common_values(plan, model_name, stream, options)
    common["app"] = application.name if application is not None else ""
    common["calls"] = {part.name: part.calls(plan, stream, common["prefix"]) for part in parts}
    common |= _weight_values(plan, common, options, answer)
    network = network_values(plan, options.exit_output, as_data=options.weights_blob)
    files = {
        **_network_sources(common, network),
        **library_files([*called(plan.tilings), *_product_files(plan, options)], brought(plan)),
    }
    if common["program"]:
        files |= _chip_program(plan, common, application)
    for part in parts:
        files |= part.files(plan, {**common, "copies": plan.copies})
    program, content = plan.chip.program, None
    if options.weights_blob:
        data = numbers_as_data(network["scalars"], stream, common)
        code = [*files.values(), *include_files(files.values(), ()).values()]
        blob = model_blob(plan, {**common["arrays"], **data}, code, common)
        crcs = blob.arrays.get(CRCS, ())
        content = blob.content()
        common |= {"blob": blob.values(), "slices": crcs[: len(crcs) - common["l3_slices"]]}
        files["load.c"] = render("project/load.c.j2", common)
    files |= {
        **_network_headers(plan, model_name, common),
        **_weights_files(plan, common),
        "Makefile": render("project/Makefile.j2", common),
        "LICENSE": (template_dir() / "project" / "LICENSE").read_text(encoding="utf-8"),
        **({} if golden is None else _selftest_files(golden, common)),
    }
    headers = include_files(files.values(), _others_headers(program))
    files = with_replaced(files | headers, program)
    return Sources(files, common["digest"], program, content, library_zips(program, files, common))


def _others_headers(program: ProgramTarget | None) -> frozenset[str]:
    return OF_PROGRAMS.difference(() if program is None else program.headers)


def _product_files(plan: Plan, options: SourceOptions) -> list[str]:
    """Return the names, without suffix, of the library's C files for blobs and checks."""
    blob = ["me_blob", "me_slots"] if options.weights_blob else []
    crc = ["me_crc32"] if options.is_tested else []
    return [*blob, *crc, *(["me_l3_crc32"] if options.checks and plan.image_bytes("l3") else [])]


def _weight_values(
    plan: Plan, common: Mapping[str, Any], options: SourceOptions, answer: KnownAnswer | None
) -> dict[str, Any]:
    """Return template values: the arrays of weights.c, the CRC-32 of their slices, and the C files
    of the network. There is no self-test if an input or output is in L3."""
    ports = [*common["inputs"], *common["outputs"]]
    can_test = options.is_tested and all(port["map"] is None for port in ports)
    tested = answer if can_test else None
    arrays = {**constants(plan), **({} if tested is None else tested.arrays())}
    l3_crcs = slice_crcs(plan.image("l3")) if options.checks else []
    made = {
        "load.c": options.weights_blob,
        "stream.c": common["stream"] is not None,
        "self_test.c": tested is not None,
    }
    return {
        "arrays": arrays,
        "tested": tested is not None,
        "pushes": 1 if tested is None else tested.pushes,
        "slices": [*check_slices(arrays)] if options.checks else [],
        "l3_crcs": initializer(np.array(l3_crcs, np.uint32)),
        "l3_slices": len(l3_crcs),
        "slice_bytes": SLICE_BYTES,
        "own": ["network.c", "weights.c", "info.c", *(name for name in made if made[name])],
    }


def _network_sources(common: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, str]:
    """Return the C files of the network's own code: network.c, stream.c, self-test."""
    code = {"network.c": render("project/network.c.j2", {**common, **network})}
    if common["stream"] is not None:
        code["stream.c"] = render("project/stream.c.j2", {**common, **common["stream"]})
    if common["tested"]:
        code["self_test.c"] = render("project/self_test.c.j2", common)
    return code


def _chip_program(
    plan: Plan, common: Mapping[str, Any], application: Application | None
) -> dict[str, str]:
    """Return the C files of start-up, drivers, main program and application for the chip."""
    values = {**common, **(common["stream"] or {}), "copies": plan.copies}
    main = "main" if common["stream"] is None else "stream"
    files = {
        **program_files(plan, common),
        "firmware/main.c": render(f"app_baremetal/{main}.c.j2", values),
    }
    return files if application is None else files | application.files(plan, values)


def _common_values(
    plan: Plan, model_name: str, stream: Stream | None, options: SourceOptions
) -> dict[str, Any]:
    """Return the values that the templates of all files share."""
    digest = model_digest(plan.quant)
    sizes = {x.name: plan.image_bytes(x.name) for x in plan.chip.levels}
    images = {f"{name}.bin": size for name, size in sizes.items() if size}
    # C strings of the class names; [] unless there is one per score
    shape = plan.quant.graph.shape(plan.graph_outputs[0])
    class_names = [*map(c_string, options.class_names)] if len(options.class_names) in shape else []
    return {
        "digest": digest,
        "prefix": options.prefix or default_prefix(model_name),
        "checks": options.checks,
        "exit_output": options.exit_output,
        "as_data": options.weights_blob,
        "blob": None,
        "layers": len(plan.steps),
        "arena_bytes": plan.arena_bytes,
        "arena_alignment": max(8, plan.chip.alignment_bytes),
        "l1_bytes": plan.l1_bytes,
        "point": plan.chip.point,
        "one_core": plan.chip.computes_in_order,
        "banner": _banner(digest, model_name),
        "program": (program := plan.chip.program),
        "runs_on": "" if program is None else program.runs_on,
        "l3_bytes": plan.image_bytes("l3"),
        **mram_values(plan),
        "image_bytes": sum(images.values()),
        "images": images,
        "l3_tables": bool(plan.l3_tables),
        "in_l3": bool(plan.transfers or plan.l3_tables),
        **port_values(plan),
        "class_names": class_names,
        "stream": None
        if stream is None
        else stream_values(plan, stream, as_data=options.weights_blob),
    }


def _selftest_files(golden: Golden, common: Mapping[str, Any]) -> dict[str, str]:
    arrays = [
        array_values(f"golden_{kind}{i}", np.asarray(values))
        for kind, ports in zip(("input", "output"), golden, strict=True)
        for i, values in enumerate(ports)
    ]
    return {
        "golden.h": render("project/golden.h.j2", {**common, "arrays": arrays}),
        "selftest.c": render("project/selftest.c.j2", common),
    }


def _network_headers(plan: Plan, model_name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that declare the network, and info.c with digests, shapes and scales."""
    prefix, stream = values["prefix"], values["stream"]
    own = {
        **values,
        "p": prefix,
        "P": prefix.upper(),
        "name": comment(model_name),
        "version": __version__,
        "l2_bytes": plan.l2_bytes,
        "l3_map_bytes": plan.map_bytes,
    }
    header = render("project/public.h.j2", own)
    inner = list(INTERNAL)
    if stream is not None:
        ports = (("input", stream["inputs"]), ("output", stream["outputs"]))
        inner += [f"{kind}{i}" for kind, of in ports for i in range(len(of))]
    own["names"] = [*public_names(prefix, header), *((f"me_{x}", f"{prefix}_{x}") for x in inner)]
    return {
        f"{prefix}.h": header,
        "network.h": render("project/network.h.j2", own),
        "info.c": render("project/info.c.j2", own),
    }


def _weights_files(plan: Plan, common: Mapping[str, Any]) -> dict[str, str]:
    arrays = [array_values(n, a) for n, a in common["arrays"].items()]
    blob = common["blob"]
    stored = {
        **common,
        "arrays": arrays if blob is None else blob["arrays"],
        "array_aliases": array_aliases(plan),
        "partial_arrays": partial_arrays(plan),
    }
    return {x: render(f"project/{x}.j2", stored) for x in ("weights.h", "weights.c")}


def _banner(digest: str, model_name: str) -> str:
    made_by = f"generated by myoedge {__version__}. Do not edit."
    return f"{comment(model_name)}, model {digest[:16]}; {made_by}"


def app_values(plan: Plan, model_name: str, digest: str) -> dict[str, Any]:
    """Return the values for the templates of an application around the network.

    digest   of the model
    """
    border = port_values(plan)
    return {
        "banner": _banner(digest, model_name),
        "l3_bytes": plan.image_bytes("l3"),
        "copies": plan.copies,
        "ports_in_level": any(
            port["map"] is not None for ports in border.values() for port in ports
        ),
        **border,
    }
