# SPDX-License-Identifier: Apache-2.0
"""A second engine for linear layers, brought by this file alone: a row in the chip's list, a kernel
with its C and its costs. Plan, C, reports and costs take it up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge import targets
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Kernel, Operand, Region, TiledKernel
from myoedge.operators.library.packing import packed_channels
from myoedge.operators.library.rows import row_sizes
from myoedge.targets.chip import Engine
from myoedge.targets.costs import KernelCost
from tests.conftest import save_exported

ENGINE, KERNEL = "rows one by one", "test_rows_s8"
HEADER = """
#ifndef TEST_ROWS_S8_H
#define TEST_ROWS_S8_H
#include "me_scale.h"

typedef struct { int32_t c, k, pre, low, high; } test_rows_s8_params;
typedef struct {
    const int8_t *x, *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t rows;
} test_rows_s8_tile;

void test_rows_s8(const test_rows_s8_params *op, const test_rows_s8_tile *tile);
#endif
"""
SOURCE = """
#include "test_rows_s8.h"

#include "me_math.h"
#include "me_share.h"

void test_rows_s8(const test_rows_s8_params *op, const test_rows_s8_tile *tile)
{
    for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++)
        for (int32_t k = 0; k < op->k; k++) {
            const me_channel *to = &tile->channels[k];
            int32_t sum = to->bias;
            for (int32_t i = 0; i < op->c; i++)
                sum += tile->x[row * op->c + i] * tile->weights[k * op->c + i];
            const int32_t y = me_requant(sum, op->pre, to->mult, to->offset, to->shift);
            tile->y[row * op->k + k] = me_clip(y, op->low, op->high);
        }
}
"""


def row_tiling(step: QuantizedNode, engine: Engine) -> TiledKernel:
    rows, c, k = row_sizes(step)
    row = ((("row", 1),), ())

    def tile(regions: Mapping[str, Region]) -> Fields:
        places = {name: f"@{name}" for name in ("x", "weights", "channels", "y")}
        return {**places, "rows": regions["y"].extent[0]}

    return TiledKernel(
        function=KERNEL,
        axes={"row": rows},
        split=("row",),
        operands=(
            Operand("x", 0, (rows, c), row),
            Operand.whole("weights", step.integers.weight),
            Operand.whole("channels", packed_channels(step)),
            Operand("y", OUT, (rows, k), row),
        ),
        op={"c": c, "k": k, "pre": step.integers.pre, "low": step.low, "high": step.high},
        tile=tile,
        work=lambda sizes: -(-sizes["row"] // engine.cores) * c * k,
        sources={f"{KERNEL}.h": HEADER, f"{KERNEL}.c": SOURCE},
    )


def built(folder: Path, unit_cycles: float, monkeypatch: pytest.MonkeyPatch) -> myoedge.Build:
    """A network of two linear layers, the first of 12 rows of 32 numbers."""
    chip = targets.find_chip("gap9")
    engine = Engine(ENGINE, 8, 1, {KERNEL: KernelCost(unit_cycles, 10.0)})
    monkeypatch.setitem(targets.CHIPS, "gap9", replace(chip, engines=(*chip.engines, engine)))
    kernels = (*OPS["linear"].kernels, Kernel(ENGINE, row_tiling, lambda step: step.table is None))
    monkeypatch.setitem(OPS, "linear", replace(OPS["linear"], kernels=kernels))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 10)).eval()
    model = save_exported(network, (torch.zeros(12, 32),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, 12, 32)).astype(np.float32)
    return myoedge.build(model, calib=calib, output=folder / "out", engine="cores")


def test_plan_and_c_and_reports_take_up_a_faster_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = built(tmp_path, 0.001, monkeypatch)
    steps = json.loads((build.folder / "plan.json").read_text())["steps"]
    assert [step["tiles"]["kernel"] for step in steps] == [KERNEL, KERNEL]
    assert [row["engine"] for row in build.report["layers"]] == [ENGINE, ENGINE]
    assert (build.folder / "src" / "library" / f"{KERNEL}.c").read_text() == SOURCE
    assert f"{KERNEL}(&me_op[0]" in (build.folder / "src" / "network.c").read_text()
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_a_slower_engine_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = built(tmp_path, 1000.0, monkeypatch)
    assert {row["engine"] for row in build.report["layers"]} == {"cluster"}
