# SPDX-License-Identifier: Apache-2.0
"""Generated C of an adaptation: library files, the network's settings, and a program for
sessions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.adaptation.commands import saved_bytes
from myoedge.adaptation.norm import InputNorm
from myoedge.adaptation.pseudo import Pseudo
from myoedge.adaptation.record import Adaptation
from myoedge.adaptation.rooms import PASSING, rooms
from myoedge.adaptation.table import METHODS
from myoedge.codegen.constants import array_values
from myoedge.codegen.library import library_files
from myoedge.codegen.network import traced
from myoedge.codegen.render import C_TYPES, render, template_dir
from myoedge.numerics.arrays import outer_inner
from myoedge.plan.plan import Plan
from myoedge.quantization.files import model_digest
from myoedge.streaming.stream import Stream

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
PROGRAM = "firmware/adapt"
FLASH = ("me_mram.c", "me_mram.h")  # the chip's flash, in which PROGRAM stores classifiers


def adaptation_files(
    plan: Plan, adaptation: Adaptation, values: Mapping[str, Any]
) -> dict[str, str]:
    """Return the files of src/ for a network's adaptation; for a chip also the program in
    PROGRAM.

    values   values that all templates share
    """
    told = {**values, **settings(plan, adaptation)}
    files = library_files(PARTS) | {
        "library/me_adapt_network.c": render("adapt/me_adapt_network.c.j2", told)
    }
    if values["on_chip"]:
        files[f"{PROGRAM}/main.c"] = render("app_adapt/main.c.j2", told)
        folder = template_dir() / "storage"
        files |= {f"{PROGRAM}/{name}": (folder / name).read_text() for name in FLASH}
    return files


def hook(plan: Plan, adaptation: Adaptation, stream: Stream | None) -> dict[str, Any]:
    """Return the template values for the code in network.c that passes features and scores of an
    inference, or of a pass's last frame, to the adaptation."""
    name, norm = plan.graph_outputs[0], adaptation.norm
    rows = 0 if norm is None else norm.elements // norm.inner
    return {
        **_feature_layer(plan, adaptation),
        **_score_position(plan, stream),
        "classes": adaptation.classes,
        "saved_bytes": saved_bytes(adaptation),
        "type": C_TYPES[plan.quant.dtype(name)],
        "rows": rows,
    }


def _feature_layer(plan: Plan, adaptation: Adaptation) -> dict[str, Any]:
    """Return the template values of the layer that gives the features; "number" None if none
    does."""
    if not adaptation.features:
        return {"number": None}
    row = next(x for x in traced(plan, adaptation.layer) if x["tensor"] == adaptation.name)
    channels = math.prod(plan.quant.graph.shape(adaptation.name)) // adaptation.positions
    sizes = {key: getattr(adaptation, key) for key in ("positions", "group")}
    return {**row, **sizes, "number": adaptation.layer, "channels": channels}


def _score_position(plan: Plan, stream: Stream | None) -> dict[str, int]:
    """Return the position of the scores in the output: index of the first class of the last frame,
    and the stride between classes."""
    if stream is None:
        return {"first": 0, "stride": 1}
    port = stream.outputs[0]
    outer, frames, inner = outer_inner(plan.quant.graph.shape(port.name), port.axis)
    return {"first": (frames - 1) * inner, "stride": frames if outer > 1 else 1}


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
        "digest": [*_adaptation_digest(plan, adaptation)],
        "sizes": {**_norm_sizes(adaptation.norm), **_pseudo_sizes(adaptation.pseudo)},
        "passing": PASSING,
    }


def _adaptation_digest(plan: Plan, adaptation: Adaptation) -> bytes:
    """Return the first eight bytes of the SHA-256 of network, layer and number of features; they
    identify the network in a saved classifier."""
    what = f"{model_digest(plan.quant)} {adaptation.name} {adaptation.features}"
    return hashlib.sha256(what.encode()).digest()[:8]


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
