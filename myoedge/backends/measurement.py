# SPDX-License-Identifier: Apache-2.0
"""Outputs, cycles and stalls by layer of firmware runs."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array

MAGIC, VERSION = 0x4359454D, 1
# The firmware's own exit codes (firmware_templates/runtime/exit_codes.h).
MEANINGS: Mapping[int, str] = {
    101: "a stack overflowed",
    102: "input.bin is missing or unreadable",
    103: "input.bin does not contain a whole number of inputs",
    104: "output.bin or cycles.bin cannot be written",
    105: "the clock generator does not lock",
    106: "l3.bin is missing or too short",
    107: "code or constants have changed",
    108: "weights in the flash on the chip are missing or damaged",
    109: "the processor faulted, as by an invalid address",
}
RUNTIME_SYMBOL = "me_stacks"  # in programs whose runtime reports these exit codes

Spec = tuple[Shape, str]  # shape and dtype
Counted = tuple[tuple[Array, ...], tuple[int, ...], int]  # outputs, cycles per layer, total cycles


@dataclass(frozen=True, slots=True)
class Activity:
    """Counters of a layer or of an inference that determine its energy.

    cycles            cycles of the cluster clock
    instructions      instructions of the cluster's cores
    fc_instructions   instructions of the fabric controller
    accesses          loads and stores of the cluster's cores to L1
    dma_bytes         bytes moved between L2 and L1
    l3_bytes          bytes moved from and to L3
    ne16_cycles       cycles while the accelerator ran a job
    mram_bytes        bytes read from the flash on the chip
    """

    cycles: float
    instructions: float = 0
    fc_instructions: float = 0
    accesses: float = 0
    dma_bytes: float = 0
    l3_bytes: float = 0
    ne16_cycles: float = 0
    mram_bytes: float = 0

    def __add__(self, other: Activity) -> Activity:
        return Activity(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, factor: float) -> Activity:
        """Return the counters multiplied by a factor."""
        return Activity(*(factor * count for count in astuple(self)))


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Cycles and stalls of a layer in one inference.

    cycles             cycles of the cluster clock
    instructions       sum over the cores that compute
    stalls             stall cycles by cause, sum over these cores ("sleep": waiting for others)
    dma_bytes, dma_busy_cycles   bytes moved between L2 and L1, and cycles in which the DMA worked
    ne16_busy_cycles   cycles in which the accelerator ran a job
    l3_bytes           bytes moved from and to L3
    mram_bytes         bytes read from the flash on the chip
    activity           activity of all cores; None if only cycles are counted
    """

    cycles: int
    instructions: int = 0
    stalls: Mapping[str, int] = field(default_factory=dict)
    dma_bytes: int = 0
    dma_busy_cycles: int = 0
    ne16_busy_cycles: int = 0
    l3_bytes: int = 0
    mram_bytes: int = 0
    activity: Activity | None = None


COUNTS = tuple(x.name for x in fields(LayerCost) if x.name not in ("stalls", "activity"))


def sum_of(costs: Sequence[LayerCost]) -> LayerCost:
    """Return the sum of the costs of a layer that ran several times."""
    activities = [cost.activity for cost in costs if cost.activity is not None]
    return LayerCost(
        **{name: sum(getattr(cost, name) for cost in costs) for name in COUNTS},
        stalls={cause: sum(cost.stalls[cause] for cost in costs) for cause in costs[0].stalls},
        activity=sum(activities, Activity(0)) if activities else None,
    )


@dataclass(frozen=True, slots=True)
class Inference:
    """Outputs and cycles of one run of the network.

    outputs   output arrays
    cycles    cycles from the start of the first layer to the end of the last
    layers    cycles and stalls of each layer
    written   tensor -> bytes that its layer wrote; empty if not recorded
    """

    outputs: tuple[Array, ...]
    cycles: int
    layers: tuple[LayerCost, ...]
    written: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Consecutive inferences of a firmware.

    source           "simulated", "gvsoc", or the source of another backend's hook
    inferences       outputs and cycles of each inference
    startup_cycles   cycles from reset to the start of the first layer
    l1_bytes         bytes of L1 that were written; None if unknown
    printed          text that the firmware printed
    step_cycles      counts that differ by no more than this may be equal
    """

    source: str
    inferences: tuple[Inference, ...]
    startup_cycles: int | None = None
    l1_bytes: int | None = None
    printed: str = ""
    step_cycles: int = 0


def input_bytes(samples: Sequence[Sequence[Array]]) -> bytes:
    """Return input.bin: the inputs of all inferences, concatenated in the model's order."""
    return b"".join(np.ascontiguousarray(x).tobytes() for sample in samples for x in sample)


@dataclass(frozen=True, slots=True)
class FirmwareFiles:
    """Inputs of a firmware's inferences, and the sizes of its outputs.

    samples   integer inputs of each inference, in the model's order
    specs     shape and dtype of the outputs
    layers    number of layers in the network
    images    file -> image of a memory level
    """

    samples: Sequence[Sequence[Array]]
    specs: Sequence[Spec]
    layers: int
    images: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write input.bin and images of memory levels, which the firmware reads at start, into a
        folder."""
        (folder / "input.bin").write_bytes(input_bytes(self.samples))
        for name, image in self.images.items():
            (folder / name).write_bytes(image)

    def read(self, folder: Path, exit_code: int, printed: str) -> list[Counted]:
        """Read the results of a run from its folder: outputs, cycles of each layer and total
        cycles, per inference.

        exit_code, printed   exit code and output of the firmware
        Errors: E710 files of the wrong size, E711 the firmware ended with its own error code.
        """
        check_exit_code(exit_code, printed)
        count = len(self.samples)
        outputs = outputs_of(read_content(folder, "output.bin"), self.specs, count)
        cycles = layer_cycles(read_content(folder, "cycles.bin"), self.layers, count)
        return [(y, *counted) for y, counted in zip(outputs, cycles, strict=True)]

    def inferences(self, folder: Path, exit_code: int, printed: str) -> tuple[Inference, ...]:
        """Return the inferences of a run with their cycles, without stall counts. Arguments and
        errors as for `read`."""
        return tuple(
            Inference(outputs, total, tuple(map(LayerCost, cycles)))
            for outputs, cycles, total in self.read(folder, exit_code, printed)
        )


def check_exit_code(exit_code: int, printed: str) -> None:
    """Raise E711 if the firmware ended with an error code."""
    if exit_code == 0:
        return
    facts: dict[str, object] = {"exit code": exit_code}
    facts |= {"meaning": MEANINGS.get(exit_code, "none of src/firmware/exit_codes.h")}
    facts |= {"printed": printed.strip()[-400:]}
    raise MyoedgeError("E711", "the firmware returned an error", facts)


def read_content(folder: Path, name: str) -> bytes:
    """Return the content of a file that the firmware writes; b"" if it does not exist."""
    file = folder / name
    return file.read_bytes() if file.is_file() else b""


def outputs_of(data: bytes, specs: Sequence[Spec], count: int) -> list[tuple[Array, ...]]:
    """Split output.bin into the outputs of each inference. Errors: E710 wrong size."""
    sizes = [math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in specs]
    if len(data) != count * sum(sizes):
        raise wrong_size_error("output.bin", count * sum(sizes), len(data))
    stream = io.BytesIO(data)
    return [
        tuple(
            np.frombuffer(stream.read(size), dtype).reshape(shape)
            for (shape, dtype), size in zip(specs, sizes, strict=True)
        )
        for _ in range(count)
    ]


def layer_cycles(data: bytes, layers: int, count: int) -> list[tuple[tuple[int, ...], int]]:
    """Split cycles.bin into the cycles of each layer and the total, per inference. Errors: E710
    wrong size."""
    expected = 4 * (4 + count * (layers + 1))
    values = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
    if len(data) != expected or values[:4] != (MAGIC, VERSION, count, layers):
        raise wrong_size_error("cycles.bin", expected, len(data))
    rows = [values[4 + i * (layers + 1) :][: layers + 1] for i in range(count)]
    return [(row[:-1], row[-1]) for row in rows]


def wrong_size_error(name: str, expected: int, actual: int) -> MyoedgeError:
    """Return E710 for a file of the firmware with another size in bytes."""
    facts = {"needs": f"{expected} bytes", "has": f"{actual} bytes"}
    tries = ["build again, if files in the folder were changed"]
    return MyoedgeError("E710", f"the firmware's {name} has the wrong size", facts, tries)
