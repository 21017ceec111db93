# SPDX-License-Identifier: Apache-2.0
"""Every kernel of products in every combination of widths that a rule, a file or the search can
choose equals NumPy, on the host and on the simulated chip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.backends import host
from myoedge.backends.measurement import FirmwareFiles
from myoedge.backends.simulator import run_firmware
from myoedge.codegen.firmware import make_firmware
from myoedge.codegen.project import Sources, make_sources
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators import kernel_formats
from myoedge.operators.base import OPS
from myoedge.operators.engine_choice import CORES
from myoedge.operators.interpreter import run_int
from myoedge.operators.kernel import NINE_CORES, Kernel
from myoedge.operators.recurrent import tiling
from myoedge.plan import fused_layers
from myoedge.plan.loops import LoopLayers, loop_tensors
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.targets import find_chip
from myoedge.targets.chip import Chip
from tests.ops.width_networks import (
    NE16,
    Part,
    Row,
    Widths,
    followed,
    in_widths,
    only_kernel,
    rows,
    together,
    uses,
)

GAP9 = find_chip("gap9")
SMALL = replace(GAP9, l1_bytes=GAP9.l1_reserved_bytes + 12288)  # most layers in several tiles
ENGINES = (CORES, NE16)
PRODUCTS = sorted(
    op.name
    for op in OPS.values()
    if any(form.weights for form in op.formats) or NE16 in {k.engine for k in op.kernels}
)
ACCELERATED = [op for op in PRODUCTS if NE16 in {k.engine for k in OPS[op].kernels}]
FUSED = [(op.name, behind) for op in OPS.values() for behind in op.kernels_before]
COUNTS = {"attention": 6, "conv": 1}  # uses of an operator, where not three


def quick(every: Iterable[Any], *quick: Any) -> list[Any]:
    """Parameters of a test of which some run in make test, the others in make test-all."""
    marks = ((one, [] if one in quick else [pytest.mark.slow]) for one in every)
    return [
        pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=mark)
        for one, mark in marks
    ]


@pytest.fixture(autouse=True)
def _small_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels for large layers run small ones, and layers are fused wherever they can be."""
    monkeypatch.setattr(kernel_formats, "NINE_CORES_MACS", 1)
    monkeypatch.setattr(tiling, "LEAST_BYTES", 0)
    monkeypatch.setattr(fused_layers, "_saved_cycles", lambda both, chip: 1.0)


def differing(network: QuantGraph, inputs: dict[str, Array], got: Sequence[Array]) -> set[int]:
    """Numbers of the parts whose outputs are not the reference's."""
    wanted = run_int(network.steps, network.constants, inputs)
    pairs = zip(network.graph.outputs, got, strict=True)
    return {int(n[1:].split("_")[0]) for n, y in pairs if not np.array_equal(wanted[n], y)}


def on_host(sources: Sources, plan: Plan, given: Sequence[Array], folder: Path) -> list[Array]:
    for name, text in sources.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    library = host.load_library(folder, options=host.CompileOptions(optimize="-O0"))
    return host.run(library, given, specs(plan))


def on_chip(sources: Sources, plan: Plan, given: Sequence[Array]) -> Sequence[Array]:
    files = FirmwareFiles([given], specs(plan), len(plan.steps))
    measured, _ = run_firmware(make_firmware(sources).program, files)
    return measured.inferences[0].outputs


def specs(plan: Plan) -> list[host.Spec]:
    q = plan.quant
    return [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]


def assert_equal(
    parts: Sequence[Part],
    op: str,
    kernel: Kernel,
    behind: str,
    folder: Path,
    chip: Chip,
    *,
    simulated: bool,
) -> None:
    """Parts that one kernel runs give what the reference gives."""
    whole, engine = together(parts), kernel.engine if kernel.engine == NE16 else CORES
    network, inputs = whole.quantized(engine), dict(whole.inputs)
    with only_kernel(op, kernel, behind):
        plan = make_plan(network, chip)
    assert len(plan.steps) == len(network.graph.outputs)
    sources, given = make_sources(plan, "widths"), [inputs[name] for name in network.graph.inputs]
    runs = {"host": on_host(sources, plan, given, folder)}
    if simulated:
        runs["simulator"] = list(on_chip(sources, plan, given))
    for backend, got in runs.items():
        wrong = sorted(differing(network, inputs, got))
        told = [(parts[n].wider, parts[n].rules, parts[n].graph.nodes) for n in wrong[:3]]
        assert not wrong, f"{backend}, {op} {behind}: {len(wrong)} of {len(parts)} differ: {told}"


def check_kernels(
    op: str,
    engine: str,
    folder: Path,
    count: int,
    number: int = 0,
    chip: Chip = GAP9,
    *,
    simulated: bool = False,
) -> set[Row]:
    """Run drawn uses in all widths by all kernels of an engine; return the rows that ran."""
    cases = [case for use in uses(op, count, number) for case in in_widths(use, engine)]
    ran = set()
    for index, kernel in enumerate(OPS[op].kernels):
        own = [case for case in cases if kernel.runs(case.step)]
        if own and (kernel.engine == NE16) == (engine == NE16):
            ran |= {case.row(index) for case in own}
            each = folder / f"{engine}{index}"
            parts = [case.part for case in own]
            assert_equal(parts, op, kernel, "", each, chip, simulated=simulated)
    return ran


def fused_parts(cases: Sequence[Widths], behind: str, kernel: Kernel) -> list[Part]:
    """Layers and what is behind them, in all widths that a fused kernel takes."""
    found = []
    for part in (part for case in cases for part in followed(case, behind)):
        network = part.quantized(NE16)
        roots = {name: (name, 0) for name in network.graph.tensors}
        both = [step for step in network.steps if step.node.op in (cases[0].op, behind)]
        if len(network.steps) == 2:
            fused = fused_layers._fuse_pair(*both, roots)
            found += [part] if fused is not None and kernel.runs(fused) else []
    return found


def check_fused(
    op: str, behind: str, folder: Path, count: int, number: int, *, simulated: bool
) -> None:
    cases = [case for use in uses(op, count, number) for case in in_widths(use, NE16)]
    for index, kernel in enumerate(OPS[op].kernels_before[behind]):
        parts = fused_parts(cases, behind, kernel)
        types = {(("other" in part.wider), ("z" in part.wider)) for part in parts}
        (form,) = kernel.formats
        assert len(types) == len(form.writes) * len(form.reads[-1])
        assert_equal(parts, op, kernel, behind, folder / str(index), GAP9, simulated=simulated)


@pytest.mark.parametrize("op", quick(ACCELERATED, "conv", "linear"))
def test_every_width_of_an_accelerator_equals_numpy(op: str, tmp_path: Path) -> None:
    """Every row of the table with NE16 is drawn, too."""
    ran = check_kernels(op, NE16, tmp_path, COUNTS.get(op, 3))
    wanted = {row for row in rows(op) if OPS[op].kernels[row[1]].engine == NE16}
    assert wanted <= ran


@pytest.mark.parametrize(("op", "behind"), quick(FUSED, ("conv", "mean"), ("linear", "add")))
def test_every_width_of_a_fused_layer_equals_numpy(op: str, behind: str, tmp_path: Path) -> None:
    check_fused(op, behind, tmp_path, COUNTS.get(op, 3), 0, simulated=False)


def test_an_int16_sum_in_a_loop_has_room_for_its_bytes() -> None:
    """The layer whose results it adds has int8 ones, and the fused layer none but the sums."""
    (case, *_) = (c for use in uses("linear", 3) for c in in_widths(use, NE16))
    (part, *_) = (part for part in followed(case, "add") if "z" in part.wider)
    roots = {name: (name, 0) for name in ("x0", "y", "other", "z", "last")}
    both = fused_layers._fuse_pair(*part.quantized(NE16).steps, roots)
    assert both is not None
    reader = replace(both, node=both.node.but(outputs=("last",)), operands=("z",), behind=None)
    loop = LoopLayers(0, 1, 4)
    (tensor,) = loop_tensors([both, reader], roots, [loop], {"last"})
    assert tensor.size_bytes == INT16.size_bytes * math.prod(both.out)


def is_never_chosen(row: Row) -> bool:
    """Rows of kernels that take fewer combinations than their formats name: nine cores compute
    products of int8, and int16 states always have int16 weights."""
    op, number, reads, bits, made = row
    if OPS[op].kernels[number].engine == NINE_CORES:
        return "int16" in (*reads, *([] if op == "attention" else [made])) or bits == 16
    return op in ("lstm_cell", "gru_state") and (bits, made) == (8, "int16")


@pytest.mark.slow
@pytest.mark.parametrize("op", PRODUCTS)
def test_every_row_of_the_table_equals_numpy(op: str, tmp_path: Path) -> None:
    count = 6 if op == "attention" else 4
    ran = set()
    for engine in ENGINES:
        ran |= check_kernels(op, engine, tmp_path, count, simulated=True)
    assert {row for row in rows(op) if not is_never_chosen(row)} == ran


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("op", ["conv", "linear"])
def test_every_width_in_tiles_equals_numpy(
    op: str, engine: str, number: int, tmp_path: Path
) -> None:
    check_kernels(op, engine, tmp_path, 2, number, SMALL, simulated=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 3))
@pytest.mark.parametrize(("op", "behind"), FUSED)
def test_fused_layers_equal_numpy_at_length(
    op: str, behind: str, number: int, tmp_path: Path
) -> None:
    check_fused(op, behind, tmp_path, 3, number, simulated=True)
