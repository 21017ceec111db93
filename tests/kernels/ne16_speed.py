# SPDX-License-Identifier: Apache-2.0
"""How fast layers are on NE16 in the simulator, beside the formula of the engine's jobs alone.

python -m tests.kernels.ne16_speed            the table, from runs
python -m tests.kernels.ne16_speed --record   the same, kept in tests/fixtures/ne16_speed.json and
                                              docs/developers/performance.md
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import myoedge
from myoedge.building.loading import load_model
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.codegen.job_tables import JobTables
from myoedge.codegen.kernel_calls import Structs
from myoedge.codegen.library import headers
from myoedge.codegen.render import assignment
from myoedge.codegen.tile_transfers import Tables
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import integer_step
from myoedge.operators.kernel import Fields, TiledKernel
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.targets import find_chip
from tests.conftest import save_exported
from tests.kernels.drawn import Case, blob, check, firmware_of, simulated
from tests.kernels.ne16_formula import Job
from tests.kernels.speed import conv, linear
from tests.kernels.test_elementwise import draw_bytes
from tests.support.networks.layers import Function, Layer
from tests.support.pages import head, show

RECORDED = Path(__file__).resolve().parents[1] / "fixtures" / "ne16_speed.json"
COLUMNS = (
    *("layer, MACs", "jobs", "formula, MAC/cycle"),
    *("in L1", "of the formula", "from L2", "of the formula"),
)
HEAD = head(*COLUMNS)
RESIDENT = "me_ne16_attention_resident_s8"
L1_BYTES = 112_000  # of drawn.h
GAP9 = find_chip("gap9")


@dataclass(frozen=True)
class Row:
    """A layer, what the engine computes of it, and the kernel.

    least   part of the formula's speed that is held in L1, from L2 where operands do not fit L1
    in_l1   whether they do
    op      of several layers of the network: the one that is measured
    """

    layer: Callable[[], Layer]
    jobs: tuple[Job, ...]
    kernel: str = "me_ne16_jobs"
    least: float = 0.93
    in_l1: bool = True
    op: str = ""

    @property
    def formula(self) -> int:
        return sum(job.cycles for job in self.jobs)

    @property
    def macs(self) -> int:
        return sum(job.macs for job in self.jobs)


def run_of(pixels: int, inputs: int, outputs: int) -> Job:
    """A 1x1 job over pixels as an image of three rows."""
    return Job("1x1", 3, -(-pixels // 3), inputs, outputs, twice=-pixels % 3)


def sums_of(pixels: int, inputs: int, outputs: int) -> Job:
    """The same with sums of 32 bits as results."""
    return replace(run_of(pixels, inputs, outputs), scale_bytes=0, words=True)


def scores(rows: int, width: int) -> Job:
    """Products of rows with as many keys, each with a bias."""
    return replace(run_of(rows, width, rows), shifts=False, words=True)


def linear_sums(inputs: int, outputs: int) -> Job:
    return Job("linear", 1, 1, inputs, outputs, scale_bytes=0, words=True)


def lstm(steps: int, inputs: int, units: int) -> Callable[[], Layer]:
    return lambda: Layer(nn.LSTM(inputs, units), ((steps, 1, inputs),))


def gru(steps: int, inputs: int, units: int) -> Callable[[], Layer]:
    return lambda: Layer(nn.GRU(inputs, units), ((steps, 1, inputs),))


def attention(tokens: int, width: int) -> Callable[[], Layer]:
    """One head."""
    shapes = ((1, tokens, width),) * 3
    return lambda: Layer(Function(nn.functional.scaled_dot_product_attention), shapes)


ROWS: Mapping[str, Row] = {
    "linear 99 x 192 x 192": Row(linear(99, 192, 192), (run_of(99, 192, 192),)),
    "linear 400 x 192 x 576": Row(
        linear(400, 192, 576), (run_of(400, 192, 576),), least=0.93, in_l1=False
    ),
    "conv 1x1, 18 x 18, 64 -> 96": Row(
        conv((1, 18, 18, 64), 96, 1), (run_of(324, 64, 96),), least=0.88
    ),
    "conv 3x3, 15 x 15, 64 -> 64": Row(conv((1, 15, 15, 64), 64, 3), (Job("3x3", 15, 15, 64, 64),)),
    "depthwise 3x3, 18 x 18 x 96": Row(
        conv((1, 18, 18, 96), 96, 3, groups=96), (Job("depthwise", 18, 18, 96, 96),), least=0.84
    ),
    "depthwise 1d, 252 steps of 96, k = 9": Row(
        conv((1, 252, 96), 96, 9, groups=96),
        (Job("depthwise", 84, 3, 96, 96),),
        least=0.8,
    ),
    "conv 1d, 252 steps, 32 -> 96, k = 9": Row(
        conv((1, 252, 32), 96, 9), (Job("3x3", 84, 3, 32, 96),)
    ),
    "conv 3x3 stride 2, 18 x 18, 32 -> 96": Row(
        conv((1, 18, 18, 32), 96, 3, stride=2), (run_of(81, 288, 96),), least=0.87
    ),
    "gates 45 x 192 x 192": Row(
        lstm(45, 192, 48), (sums_of(45, 192, 192),), "me_ne16_jobs", 0.75, op="gates"
    ),
    "gates 360 x 384 x 384": Row(
        *(lstm(360, 384, 96), (sums_of(360, 384, 384),), "me_ne16_jobs"),
        *(0.78, False, "gates"),
    ),
    "LSTM, 32 steps of 96 units": Row(
        lstm(32, 16, 96), (linear_sums(96, 160),) * 32, "me_ne16_lstm_s8", 0.38, op="lstm"
    ),
    "GRU, 32 steps of 96 units": Row(
        gru(32, 16, 96), (linear_sums(96, 120),) * 32, "me_ne16_gru_s8", 0.36, op="gru"
    ),
    "attention 126 x 64": Row(
        attention(126, 64), (scores(126, 64), sums_of(126, 126, 64)), RESIDENT, 0.54
    ),
    "attention 396 x 64": Row(
        attention(396, 64), (scores(396, 64), sums_of(396, 396, 64)), RESIDENT, 0.67, in_l1=False
    ),
}


def kernel_of(row: Row, folder: Path) -> tuple[QuantizedNode, TiledKernel]:
    """The layer quantised for NE16, and its kernel there."""
    layer = row.layer()
    model, calib = saved(layer, folder)
    made = run_quantize(Options(model, calib, chip=GAP9, engine="ne16"))
    for step in made.network.steps:
        for kernel in candidates(step, GAP9):
            if kernel.function == row.kernel:
                return step, kernel
    raise ValueError([k.function for s in made.network.steps for k in candidates(s, GAP9)])


def saved(layer: Layer, folder: Path) -> tuple[Path, dict[str, Array]]:
    torch.manual_seed(0)
    inputs = tuple(torch.zeros(shape) for shape in layer.shapes)
    model = save_exported(layer.module.eval(), inputs, folder / "model.pt2")
    rng, names = np.random.default_rng(0), load_model(model).graph.inputs
    return model, {
        name: rng.standard_normal((2, *shape)).astype(np.float32)
        for name, shape in zip(names, layer.shapes, strict=True)
    }


# --- in L1 ---------------------------------------------------------------------------------------


def in_l1() -> dict[str, int]:
    """Cycles of a second call on operands in L1; each result is that of the layer's integers."""
    rows = {name: row for name, row in ROWS.items() if row.in_l1}
    kernels, cases, texts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, row in enumerate(rows.values()):
            step, kernel = kernel_of(row, Path(folder))
            case, places = case_of(number, step, kernel)
            kernels.append(kernel)
            cases.append(case)
            texts.append(arguments(number, kernel, places))
        names = sorted(functions(kernels))
        generated = sources(kernels)
        elf = firmware_of(program(kernels, texts), *names, generated=generated)
        found = simulated(elf, cases, Path(folder))
    check(cases, found)
    return {name: cycles for name, (_, cycles) in zip(rows, found, strict=True)}


def case_of(number: int, step: QuantizedNode, kernel: TiledKernel) -> tuple[Case, dict[str, str]]:
    """Operands in L1, and where each of them is in C."""
    rng = np.random.default_rng(number)
    wide = {o.source for o in kernel.operands if o.itemsize == 2}
    data = [
        draw_bytes(rng, shape).astype(np.int16 if i in wide else np.int8)
        for i, shape in enumerate(step.shapes)
    ]
    arrays = {
        o.name: data[o.source] if isinstance(o.source, int) else o.array
        for o in kernel.operands
        if not o.written
    }
    placed = blob(*arrays.values())
    places = {f"@{n}": f"(void *)(in + {at})" for n, at in zip(arrays, placed.starts, strict=True)}
    places |= {"@y": "(void *)out", "@scratch": "(void *)scratch"}
    expected = np.ascontiguousarray(integer_step(step, data)).view(np.int8).reshape(-1)
    assert len(placed.data) + expected.size + kernel.scratch(kernel.axes) + 256 <= L1_BYTES
    return Case(kernel.function, (number,), placed.data, expected), places


Texts = tuple[list[str], list[str]]  # definitions, and statements


def arguments(number: int, kernel: TiledKernel, places: Mapping[str, str]) -> Texts:
    """Statements that write the kernel's structs, of all of the layer as one tile."""
    whole = {axis: (0, n) for axis, n in kernel.axes.items()}
    tile = kernel.tile({o.name: o.region(whole) for o in kernel.operands})
    alone = {"next.tile": 0, "next.follows": 0} if kernel.jobs else {}

    def written(kind: str, fields: Fields) -> list[str]:
        values = [(name, _c(str(value), places)) for name, value in fields.items()]
        place, struct = f"{kind}_{number}", f"{kernel.function}_{kind}"
        return assignment(place, struct, values, by_field=bool(kernel.jobs))

    if kernel.jobs:
        place = Structs(f"params_{number}", f"tile_{number}", f"jobs_{number}")
        jobs, tables = JobTables.of(kernel.jobs, [tile]), Tables(f"row_{number}")
        fetched = jobs.data(f"row_{number}", tables, {}, place)
        tile = {**kernel.jobs.tile_fields(tile), **alone, **dict(jobs.fields(place, tables))}
        definitions = [*tables.lines, f"static int32_t jobs_{number}[{jobs.words}] ME_L1;"]
        op = {**kernel.op, **jobs.prepare}
        return definitions, [*written("params", op), *written("tile", tile), fetched]
    return [], [*written("params", kernel.op), *written("tile", {**tile, **alone})]


def _c(value: str, places: Mapping[str, str]) -> str:
    """C of a number, or of where an operand lies; 0 for one that the layer has not."""
    if not value.startswith("@"):
        return value
    name, _, offset = value.partition("+")
    place = places.get(name, "0")
    return f"(void *)((int8_t *){place} + {offset})" if offset else place


def functions(kernels: list[TiledKernel]) -> set[str]:
    """C functions that the kernels call."""
    return {name for kernel in kernels for name in kernel.functions}


def sources(kernels: list[TiledKernel]) -> dict[str, str]:
    """Generated files of the kernels."""
    return {name: text for kernel in kernels for name, text in kernel.sources.items()}


FETCH = """static void me_fetch(int8_t *to, const int8_t *from, int32_t bytes, int32_t line,
                     int32_t stride)
{
    (void)line;
    (void)stride;
    for (int32_t i = 0; i < bytes; i++)
        to[i] = from[i];
}"""


def program(kernels: list[TiledKernel], texts: list[Texts]) -> str:
    """C of all rows: the first number of a case is that of its row."""
    names = [kernel.function for kernel in kernels]
    known = headers(functions(kernels), sources(kernels))
    lines = [f'#include "{Path(header).name}"' for header in known]
    lines += ["#define HELPED", '#include "drawn.h"', "static int32_t row ME_L1;"]
    nine = " || ".join(f"row == {i}" for i, k in enumerate(kernels) if k.nine_cores)
    lines += [f"static int32_t nine_cores(void) {{ return {nine or 0}; }}"]
    for i, name in enumerate(names):
        lines += [f"static {name}_{kind} {kind}_{i} ME_L1;" for kind in ("params", "tile")]
    lines += [FETCH, *(line for definitions, _ in texts for line in definitions)]
    lines += ["static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)"]
    lines += ["{", "    row = n[0];"]
    for i, (_, text) in enumerate(texts):
        lines += [f"    if (row == {i}) {{", *(f"        {line}" for line in text), "    }"]
    lines += ["}", "static void run_case(void)", "{"]
    for i, kernel in enumerate(kernels):
        own = f"{kernel.function}(&params_{i}, &tile_{i})"
        lines += [f"    if (row == {i}) {own};"]
    return "\n".join([*lines, "}", ""])


# --- from L2 -------------------------------------------------------------------------------------


def from_l2() -> dict[str, int]:
    """Cycles of a network of the layer, its first inference; of a layer of it where it has more."""
    return {name: _inference(row) for name, row in ROWS.items()}


def _inference(row: Row) -> int:
    with tempfile.TemporaryDirectory() as folder:
        model, calib = saved(row.layer(), Path(folder))
        build = myoedge.build(model, calib=calib, output=Path(folder) / "out", engine="ne16")
        report = myoedge.simulate(build).report
    layers = {layer["op"]: layer["cycles"] for layer in report["layers"]}
    return int(layers[row.op] if row.op else report["cycles"]["total"])


def measured() -> dict[str, dict[str, int]]:
    return {"in L1": in_l1(), "from L2": from_l2()}


def lines(found: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    return [list(_cells(name, row, found)) for name, row in ROWS.items()]


def _cells(name: str, row: Row, found: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    modes = " + ".join(dict.fromkeys(job.mode for job in row.jobs))
    yield from (f"{name}, {row.macs / 1e6:.2f} M", modes)
    yield f"{row.formula:,}, {row.macs / row.formula:.1f}"
    for place in ("in L1", "from L2"):
        cycles = found[place].get(name)
        yield f"{cycles:,}, {row.macs / cycles:.1f}" if cycles else ""
        yield f"{row.formula / cycles:.3f}" if cycles else ""


def main() -> None:
    found = measured()
    show(found, COLUMNS, lines(found), RECORDED)


if __name__ == "__main__":
    main()
