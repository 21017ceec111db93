# SPDX-License-Identifier: Apache-2.0
"""The part of a firmware that adapts its network: library files, the network's settings, and a
program for sessions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.codegen.application import FirmwarePart, PartCalls
from myoedge.codegen.library import library_files
from myoedge.codegen.names import array_values
from myoedge.codegen.network import traced
from myoedge.codegen.render import C_TYPES, render
from myoedge.codegen.runtime import firmware_files
from myoedge.extensions.adaptation.commands import saved_bytes
from myoedge.extensions.adaptation.norm import InputNorm
from myoedge.extensions.adaptation.record import (
    PASSING,
    Adaptation,
    Pseudo,
    from_arrays,
    rooms,
    to_arrays,
)
from myoedge.extensions.adaptation.settings import adaptation_of, adaptation_report, check_slots
from myoedge.extensions.adaptation.table import METHODS, AdaptTable, check_table
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.plan.plan import Plan
from myoedge.quantization.files import model_digest
from myoedge.streaming.stream import Stream

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.quantization.samples import Data

PARTS = (
    "me_adapt",
    "me_adapt_linear",
    "me_adapt_lda",
    "me_adapt_head",
    "me_adapt_norm",
    "me_adapt_pseudo",
    "me_adapt_save",
    "me_slots",
)
FIRMWARE = Path(__file__).parent / "firmware"  # the templates
HEADER = "library/me_adapt_take.h"
PROGRAM = "firmware/adapt"


@dataclass(frozen=True)
class AdaptPart(FirmwarePart):
    """The adaptation of a network: functions for sessions, and for a chip a program that runs
    them.

    in_flash   whether its calibration samples are read in place from flash
    """

    adaptation: Adaptation
    in_flash: bool = False
    name = "adapt"

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        told = {**values, **settings(plan, self.adaptation)}
        texts = {path.name: path.read_text() for path in FIRMWARE.iterdir()}
        files = library_files(PARTS, texts) | {
            "library/me_adapt_network.c": render("me_adapt_network.c.j2", told, FIRMWARE)
        }
        program, saved = values["program"], saved_bytes(self.adaptation)
        if program is not None:
            flash = program.flash if program.flash and program.flash.size_bytes else None
            told["slot"] = flash and flash.areas(record_bytes=saved).slots[0]
            files[f"{PROGRAM}/main.c"] = render("main.c.j2", told, FIRMWARE)
            files |= firmware_files(program.drivers["mram"].driver if flash else ())
        return files

    def calls(self, plan: Plan, stream: Stream | None, prefix: str) -> PartCalls:
        """Return the statements that pass features and scores of an inference, or of a pass's last
        frame, to the adaptation."""
        scores = _score_arguments(plan, stream, self.adaptation.classes)
        before = _input_statements(plan, self.adaptation.norm)
        after = (f"me_adapt_after_network({scores});",)
        name = f"{prefix.upper()}_ADAPT_SAVED_BYTES"
        text = "Bytes that me_adapt_save of library/me_adapt.h writes"
        public = (
            f"/* {text}: static uint8_t buffer[{name}]; */",
            f"#define {name} {saved_bytes(self.adaptation)}u",
        )
        return PartCalls(HEADER, before, after, _feature_statement(plan, self.adaptation), public)

    def arrays(self) -> dict[str, Array]:
        return to_arrays(self.adaptation)

    def reported(self) -> dict[str, Any]:
        return {"adaptation": adaptation_report(self.adaptation, in_flash=self.in_flash)}


@dataclass(frozen=True)
class AdaptRequest:
    """[adapt] of a build."""

    table: AdaptTable

    def part(self, plan: Plan, data: Data, stream: Stream | None) -> FirmwarePart:
        """Return the adaptation of a planned network. Errors: E267 as adaptation_of, E302 no
        room for saved classifiers behind program and weights in MRAM, if the board has MRAM."""
        found = adaptation_of(self.table, plan, data, stream)
        program = plan.chip.program
        if program is not None and (flash := program.flash) is not None and flash.size_bytes:
            areas = flash.areas(record_bytes=saved_bytes(found))
            room = flash.areas().slots[0].offset - flash.boot_bytes
            program_bytes = 0  # it starts beside the chip if its weights alone exceed the room
            if plan.weight_bytes <= room:
                most = plan.weight_bytes + max(plan.chip.l2_reserved_bytes, 0)
                program_bytes = flash.boot_bytes + min(most, room)
            check_slots(plan.image_bytes("mram"), areas, program_bytes)
        return AdaptPart(found, in_flash=plan.chip.flash_bytes > 0)


def requested(options: BuildOptions, settings: Config) -> AdaptRequest | None:
    """Return the request of a build; None without [adapt]. Errors: E232 as check_table."""
    if "adapt" not in settings.tables:
        return None
    table: AdaptTable = settings.table("adapt")
    check_table(table)
    return AdaptRequest(table)


def restored(arrays: Mapping[str, Array]) -> AdaptPart:
    """Return the adaptation of a build folder.

    arrays   of adapt.npz
    """
    return AdaptPart(from_arrays(arrays))


def _input_statements(plan: Plan, norm: InputNorm | None) -> tuple[str, ...]:
    """Return the statements that replace the input by the normalised one."""
    if norm is None:
        return ()
    others = [f"in[{n}]" for n in range(1, len(plan.graph_inputs))]
    rows = norm.elements // norm.inner
    inputs = ", ".join([f"me_adapt_before_network(in[0], {rows})", *others])
    return f"const void *const normed[] = {{ {inputs} }};", "in = normed;"


def _feature_statement(plan: Plan, adaptation: Adaptation) -> dict[int, str]:
    """Return the statement after the layer that gives the features."""
    if not adaptation.features:
        return {}
    row = next(x for x in traced(plan, adaptation.layer) if x["tensor"] == adaptation.name)
    channels = math.prod(plan.quant.graph.shape(adaptation.name)) // adaptation.positions
    sizes = f"{adaptation.positions}, {channels}, {adaptation.group}"
    return {adaptation.layer: f"me_adapt_after_layer({row['data']}, {sizes});"}


def _score_arguments(plan: Plan, stream: Stream | None, classes: int) -> str:
    """Return the C arguments of the scores: address of the first class's score in the last frame,
    number of scores, and stride between them."""
    first, stride, name = 0, 1, plan.graph_outputs[0]
    if stream is not None:
        port = stream.outputs[0]
        outer, frames, inner = outer_inner(plan.quant.graph.shape(port.name), port.axis)
        first, stride = (frames - 1) * inner, frames if outer > 1 else 1
    start = f" + {first}" if first else ""
    return f"(const {C_TYPES[plan.quant.dtype(name)]} *)out[0]{start}, {classes}, {stride}"


def settings(plan: Plan, adaptation: Adaptation) -> dict[str, Any]:
    """Return the values for the template of me_adapt_network.c."""
    constants = {}
    if len(adaptation.replay):
        labels = adaptation.replay_labels.astype(np.uint8)
        constants = {"replay": adaptation.replay, "replay_labels": labels}
    if adaptation.norm is not None:
        constants["channel_means"] = adaptation.norm.means.astype(np.int32)
        constants["deviations"] = adaptation.norm.deviations.astype(np.int32)
    arrays = [
        {"name": room.name, "type": C_TYPES[room.dtype], "count": room.count}
        for room in rooms(adaptation)
    ]
    # The first eight bytes of the SHA-256 of network, layer and number of features; they identify
    # the network in a saved classifier
    what = f"{model_digest(plan.quant)} {adaptation.name} {adaptation.features}"
    return {
        "constants": [array_values(name, array) for name, array in constants.items()],
        "rooms": arrays,
        "named": [*constants, *(array["name"] for array in arrays)],
        "features": adaptation.features,
        "classes": adaptation.classes,
        "zero_point": adaptation.zero_point,
        "methods": sum(2 << METHODS.index(method) for method in adaptation.methods),
        "held_back": adaptation.held_back,
        "kept": adaptation.kept,
        "exponent": adaptation.exponent,
        "replayed": len(adaptation.replay),
        "digest": [*hashlib.sha256(what.encode()).digest()[:8]],
        "sizes": {**_norm_sizes(adaptation.norm), **_pseudo_sizes(adaptation.pseudo)},
        "passing": PASSING,
    }


def _pseudo_sizes(pseudo: Pseudo | None) -> dict[str, int]:
    if pseudo is None:
        return {}
    return {
        "threshold": pseudo.threshold,
        "score_factor": pseudo.factor,
        "is_probability": int(pseudo.is_probability),
        "score_zero_point": pseudo.zero_point,
    }


def _norm_sizes(norm: InputNorm | None) -> dict[str, int]:
    if norm is None:
        return {}
    return {
        "channels": norm.channels,
        "inner": norm.inner,
        "elements": norm.elements,
        "input_zero_point": norm.zero_point,
        "wide": int(norm.dtype == "int16"),
        "point": norm.point,
    }
