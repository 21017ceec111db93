# SPDX-License-Identifier: Apache-2.0
"""The cost model against the simulated chip, layer by layer, and the fit of its prices.

python -m tests.layer_costs show     modelled and simulated cycles of every layer
python -m tests.layer_costs fit      new prices in myoedge/targets/gap9/costs.py
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

import myoedge
from myoedge.building.budget import Budget, within
from myoedge.building.config import size_bytes
from myoedge.building.loading import load_model
from myoedge.numerics.arrays import Array
from myoedge.operators.kernel import WORKERS
from myoedge.plan.cost.count import NAMES, vector
from myoedge.plan.cost.timing import computed, counted, modelled
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.schedule import make_plan
from myoedge.simulator import Mark
from myoedge.targets import find_chip
from myoedge.targets.gap9 import costs as gap9_tiles
from myoedge.targets.gap9.costs import GAP9_TILES, Prices
from tests.conftest import save_exported
from tests.e2e.test_bench_networks import NETWORKS
from tests.e2e.test_onnx_models import MODELS, ROWS, calibration
from tests.layer_fit import non_negative
from tests.layer_networks import HELD_OUT, RECURRENT, REFERENCE, drawn, recurrent
from tests.layer_transformers import FITTED, UNFITTED, transformer

ROUNDS = 8
PULL = 0.01  # of a price towards what it was, where no layer says what it is
# The same of what many layers pay a few times, and cycles alone hardly tell from each other.
ROUGH, PULL_ROUGH = (
    ("code", "steer_", "dma_", "layer", "dense_call", "dense_few", "dense_one"),
    0.05,
)
GOOD, MOST = 0.10, 8.0  # an error from which on it weighs more than smaller ones; how much at most
OF_CORES = 0.5  # what a layer's computation alone weighs
# Not fitted: two ports of 4 bytes; from one command to the next in traces of the auto-encoder; what
# is around products, by the instructions that traces count, as a few of them do not tell it.
KNOWN = (
    *("dma_byte", "dma_command", "dense_run", "dense_ready"),
    *("dense_call", "dense_few", "dense_one", "dense_pair", "dense_single", "dense_byte"),
    *("dense_sum_word", "dense_sum_byte", "matmul_word", "sums_word", "sums_byte", "sums_row"),
)


DRAWN, HELD = ("recurrent", "drawn", "transformer"), ", held out"


@dataclass(frozen=True)
class Network:
    """What was planned, and the cycles that each layer took on the simulated chip.

    busy   those in which the core computed that had most to do
    """

    name: str
    labels: tuple[str, ...]
    tilings: tuple[Tiling | None, ...]
    simulated: tuple[int, ...]
    busy: tuple[int, ...]
    hauls: tuple[int, ...] = ()


def network(name: str, model: Path, calib: Any, folder: Path, l1: str | None = None) -> Network:
    """Built, planned once more for its tiles, and the first inference run."""
    build = myoedge.build(model, calib=calib, output=folder, l1=l1)
    plan = make_plan(
        build.network, within(find_chip("gap9"), Budget(None if l1 is None else size_bytes(l1)))
    )
    simulated = myoedge.simulate(build)
    rows = simulated.report["layers"]
    labels = tuple(f"{row['op']} {row['label']}" for row in rows)
    cycles = tuple(row["cycles"] for row in rows)
    hauls = tuple(haul.begins for haul in plan.hauls)
    return Network(name, labels, plan.tilings, cycles, busy(simulated.run.marks, len(rows)), hauls)


def busy(marks: Sequence[Mark], layers: int) -> tuple[int, ...]:
    """Of each layer of the first inference."""
    return tuple(
        max(
            b.since(a).active_cycles
            for a, b in zip(before.counts[:WORKERS], after.counts[:WORKERS], strict=True)
        )
        for before, after in pairwise(marks[: layers + 1])
    )


def of_module(
    name: str,
    module: torch.nn.Module,
    shapes: Sequence[Sequence[int]],
    folder: Path,
    l1: str | None = None,
) -> Network:
    """With random weights and samples."""
    rng = np.random.default_rng(0)
    model = folder / f"{name}.pt2"
    save_exported(module.eval(), tuple(torch.zeros(tuple(s)) for s in shapes), model)
    names = load_model(model).graph.inputs
    calib = {
        n: rng.standard_normal((2, *s)).astype(np.float32)
        for n, s in zip(names, shapes, strict=True)
    }
    return network(name, model, calib, folder / name, l1)


def drawn_network(seed: int, folder: Path) -> Network:
    module, shapes, l1 = drawn(seed)
    return of_module(f"drawn_{seed}", module, shapes, folder, l1)


def recurrent_networks(folder: Path) -> Iterator[Network]:
    """LSTMs and GRUs, of a single step too."""
    for index in range(len(RECURRENT)):
        module, shape = recurrent(index)
        yield of_module(f"recurrent_{index}", module, [shape], folder)


def transformer_network(seed: int, folder: Path) -> Network:
    module, shape = transformer(seed)
    return of_module(f"transformer_{seed}", module, [shape], folder)


def real_networks(folder: Path) -> Iterator[Network]:
    """Whole networks, and models that somebody trained."""
    for name, bench in NETWORKS.items():
        torch.manual_seed(0)
        yield of_module(name, bench.make(), [bench.shape], folder)
    for name in ROWS:
        calib = calibration(name)
        small = {key: x[:2] for key, x in calib.items()}
        yield network(name, MODELS / f"{name}.onnx", small, folder / name)


# --- modelled against simulated -------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    label: str
    modelled: float
    simulated: int

    @property
    def error(self) -> float:
        return self.modelled / self.simulated - 1


def rows_of(n: Network, prices: Prices = GAP9_TILES) -> list[Row]:
    """Of the layers that run in tiles."""
    found = modelled(n.tilings, n.hauls, prices)
    rows = zip(n.labels, found, n.simulated, strict=True)
    return [Row(f"{n.name} {label}", m, s) for label, m, s in rows if m is not None]


def errors(networks: Iterable[Network], prices: Prices = GAP9_TILES) -> Array:
    """Relative, of every layer."""
    return np.array([row.error for n in networks for row in rows_of(n, prices)])


def show(networks: Sequence[Network], prices: Prices = GAP9_TILES) -> None:
    for n in networks:
        for row in rows_of(n, prices):
            print(f"{row.label:70.70s} {row.simulated:9,d} {row.modelled:11,.0f} {row.error:+7.1%}")
    for title, some in groups(networks):
        found = np.abs(errors(some, prices))
        print(
            f"{title}: {len(found)} layers, median {np.median(found):.1%}, worst {found.max():.1%}"
        )


def groups(networks: Sequence[Network]) -> Iterator[tuple[str, list[Network]]]:
    """By what they are, and whether prices are fitted to them."""
    held = {f"drawn_{seed}" for seed in HELD_OUT} | {f"transformer_{seed}" for seed in UNFITTED}
    found: dict[str, list[Network]] = {}
    for n in networks:
        kind = next((k for k in DRAWN if n.name.startswith(k)), "networks")
        found.setdefault(kind + HELD * (n.name in held), []).append(n)
    yield from found.items()


# --- the fit --------------------------------------------------------------------------------------


def fit(networks: Sequence[Network], prices: Prices) -> Prices:
    """Relative errors of all layers, large ones weighted more; which part of a step is longer, and
    so is paid, follows from the prices."""
    known = [NAMES.index(name) for name in KNOWN]
    pull = np.array([PULL_ROUGH if name.startswith(ROUGH) else PULL for name in NAMES])
    begin = np.maximum(vector(prices), 0.01)
    for _ in range(ROUNDS):
        counts, cycles, weight = table(networks, prices)
        off = np.abs(counts @ vector(prices) / cycles - 1)
        weight = weight * np.clip(off / GOOD, 1.0, MOST)
        fixed = counts[:, known] @ vector(prices)[known]
        free = counts.copy()
        free[:, known] = 0
        pulled = np.diag(pull / begin)
        wanted = np.concatenate([weight * (cycles - fixed) / cycles, pull])
        found = non_negative(np.vstack([free * (weight / cycles)[:, None], pulled]), wanted)
        found[known] = vector(prices)[known]
        prices = Prices(*(0.5 * (found + vector(prices))).tolist())
    return prices


def table(networks: Sequence[Network], prices: Prices) -> tuple[Array, Array, Array]:
    """(how often each layer pays each price, its cycles, what that counts); and its cores alone."""
    rows: list[tuple[Array, int, float]] = []
    for n in networks:
        whole = counted(n.tilings, n.hauls, prices)
        for a, b, simulated, own in zip(
            whole, computed(n.tilings), n.simulated, n.busy, strict=True
        ):
            if a is not None and b is not None:
                rows += [(a, simulated, 1.0), (b, own, OF_CORES)]
    counts, cycles, weight = zip(*rows, strict=True)
    return np.array(counts), np.array(cycles, float), np.array(weight)


def written(prices: Prices) -> None:
    """The numbers of gap9_tiles.py, to three digits."""
    path = Path(gap9_tiles.__file__)
    lines = "".join(f"    {name}={float(f'{getattr(prices, name):.3g}')!r},\n" for name in NAMES)
    text = re.sub(
        r"(GAP9_TILES = Prices\(\n).*?\)", rf"\g<1>{lines})", path.read_text(), flags=re.DOTALL
    )
    path.write_text(text)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        networks = [
            *real_networks(folder),
            *recurrent_networks(folder),
            *(drawn_network(seed, folder) for seed in (*REFERENCE, *HELD_OUT)),
            *(transformer_network(seed, folder) for seed in (*FITTED, *UNFITTED)),
        ]
    prices = GAP9_TILES
    if sys.argv[1:] == ["fit"]:
        fitted = [some for title, some in groups(networks) if not title.endswith(HELD)]
        prices = fit([n for some in fitted for n in some], prices)
        written(prices)
    show(networks, prices)


if __name__ == "__main__":
    main()
