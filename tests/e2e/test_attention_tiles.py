# SPDX-License-Identifier: Apache-2.0
"""Attention over any number of tokens on the cores: the same bytes in all tiles, and not slow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import myoedge
from myoedge.numerics.arrays import Array
from tests.conftest import save_exported, thinned
from tests.e2e.test_on_chip import has_gvsoc

BUDGETS = (None, "40KiB", "32KiB", "26KiB", "22KiB")


class Attention(torch.nn.Module):
    """Of heads, with what is added to scores; `causal`: of keys up to a row's own; `holes`: with a
    bias that hides a third of the keys, of so many tokens."""

    def __init__(self, *, causal: bool = False, holes: int = 0) -> None:
        super().__init__()
        self.causal = causal
        bias = torch.randn(2, holes, holes, generator=torch.Generator().manual_seed(0))
        kept = torch.eye(holes, dtype=torch.bool) | (bias[:1] > -0.4)
        self.register_buffer("holes", bias.masked_fill(~kept, -torch.inf) if holes else None)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        added = bias if self.holes is None else self.holes
        return F.scaled_dot_product_attention(q, k, v, added, is_causal=self.causal)


def built(
    module: Attention,
    shapes: tuple[tuple[int, ...], ...],
    folder: Path,
    l1: str | None = None,
    activations: int | None = None,
) -> myoedge.Build:
    """A build with so many bits for activations, or as many as myoedge chooses."""
    names = ("q", "k", "v", "bias")
    arguments = tuple(torch.zeros(shape) for shape in shapes)
    model = save_exported(module.eval(), arguments, folder / "model.pt2")
    rng = np.random.default_rng(0)
    calib = {
        name: rng.standard_normal((2, *shape), np.float32)
        for name, shape in zip(names, shapes, strict=False)
    }
    config = folder / "myoedge.toml"
    rule = f'"*" = {{ activations = {activations} }}' if activations else ""
    config.write_text(f"[quant]\n{rule}\n")
    output = folder / f"out_{l1}"
    return myoedge.build(model, calib=calib, output=output, l1=l1, engine="cores", config=config)


def tiles(build: myoedge.Build) -> tuple[tuple[str, int], ...]:
    """Sizes of the attention layer's tiles."""
    steps = json.loads((build.folder / "plan.json").read_text())["steps"]
    (layer,) = (step for step in steps if step["op"] == "attention")
    return tuple(sorted(layer["tiles"]["sizes"].items()))


@pytest.mark.parametrize(
    "kind",
    ["causal", *(pytest.param(k, marks=pytest.mark.slow) for k in ("added", "all", "holes"))],
)
def test_bytes_do_not_depend_on_tiles(kind: str, tmp_path: Path) -> None:
    tokens, shape = 98, (1, 2, 98, 16)
    shapes = (shape, shape, shape, *([(1, 2, tokens, tokens)] if kind == "added" else []))
    shown: set[tuple[tuple[str, int], ...]] = set()
    results: list[Array] = []
    for l1 in BUDGETS:
        network = Attention(causal=kind == "causal", holes=tokens if kind == "holes" else 0)
        # With a bias it depends on the tiles whether 16 bits cost little enough.
        build = built(network, shapes, tmp_path, l1, 16 if kind == "added" else None)
        ran = myoedge.simulate(build)
        assert ran.exact
        assert not [w for w in build.report["warnings"] if w["code"] == "W301"]
        shown.add(tiles(build))
        results.append(ran.measurement.inferences[0].outputs[0])
    assert len(shown) == len(BUDGETS), shown
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.slow
@pytest.mark.skipif(bool(has_gvsoc()), reason="GVSoC is not here: set GVSOC_HOME to judge by it")
def test_gvsoc_agrees_where_keys_are_cut(tmp_path: Path) -> None:
    build = built(Attention(causal=True), ((1, 2, 98, 16),) * 3, tmp_path, BUDGETS[-1])
    assert myoedge.validate(build, on=("gvsoc",)).exact["gvsoc"]


@pytest.mark.parametrize(("tokens", "macs_per_cycle"), thinned([(800, 14.0), (1600, 13.5)]))
def test_many_tokens_are_hardly_slower(tokens: int, macs_per_cycle: float, tmp_path: Path) -> None:
    """Scores and values of 400 tokens, whose keys are not cut, run at 14.5 MACs a cycle."""
    build = built(Attention(), ((1, 1, tokens, 64),) * 3, tmp_path)
    ran = myoedge.simulate(build)
    assert ran.exact
    (row,) = (layer for layer in ran.report["layers"] if layer["op"] == "attention")
    assert dict(tiles(build))["keys"] < 2 * tokens // 4, "keys are not cut"
    assert row["macs"] / row["cycles"] >= macs_per_cycle


@pytest.mark.parametrize(("width", "out_width"), [(10, 10), (9, 16), (12, 7)])
def test_heads_of_any_width_run_in_tiles(width: int, out_width: int, tmp_path: Path) -> None:
    """Filled to whole words, on cores that would do 0.25 MACs a cycle on L2; the model's
    multiplications are counted without what fills."""
    tokens = 50
    shapes = ((1, 2, tokens, width), (1, 2, tokens, width), (1, 2, tokens, out_width))
    build = built(Attention(), shapes, tmp_path)
    ran = myoedge.simulate(build)
    assert ran.exact
    assert not [w for w in build.report["warnings"] if w["code"] == "W301"]
    (row,) = (layer for layer in ran.report["layers"] if layer["op"] == "attention")
    assert row["macs"] == 2 * tokens * tokens * (width + out_width)
    assert row["macs"] / row["cycles"] >= 2.5
