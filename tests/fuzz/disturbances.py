# SPDX-License-Identifier: Apache-2.0
"""Faults injected into inferences on the simulated chip, drawn by seed: how many are detected, how
many harm nothing, how many give a wrong output silently.

    python -m tests.fuzz.disturbances --faults 3000

Each fault is one inverted bit of weights, tables, code, activations or registers, a lost DMA
transfer, or a lost interrupt or event of a core, at a drawn cycle of the first of two inferences of
one input. With checks, the build has
`--checks`, and a fault also counts as detected if the two outputs differ.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.equivalence import cases, chip_inputs
from myoedge.backends.runner import Case
from myoedge.backends.samples import golden_sample
from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions
from myoedge.simulator.fault import Disturbance
from tests.conftest import save_exported

KINDS = ("weights", "tables", "code", "activations", "registers", "DMA", "interrupts")
OUTCOMES = ("detected", "harmless", "silently wrong")
CORES, REGISTERS = 9, 32


@dataclass(frozen=True)
class Subject:
    """A build with its run without faults.

    window   first and last cycle of the first inference
    areas    kind -> (address, size in bytes) of its memory
    """

    build: Build
    runs: Sequence[Case]
    window: tuple[int, int]
    cycles: int
    areas: dict[str, list[tuple[int, int]]]


def networks() -> dict[str, tuple[torch.nn.Module, tuple[int, ...]]]:
    nn = torch.nn
    conv = [nn.Conv1d(8, 16, 5), nn.ReLU(), nn.Conv1d(16, 16, 3), nn.ReLU()]
    dense = [nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 6)]
    return {
        "convolutions": (nn.Sequential(*conv, nn.Flatten(), nn.Linear(288, 5)), (1, 8, 24)),
        "linear layers": (nn.Sequential(*dense), (1, 64)),
        "GRU": (Last(nn.GRU(8, 24, batch_first=True)), (1, 12, 8)),
    }


class Last(torch.nn.Module):
    """The last step of a recurrent layer."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps: torch.Tensor = self.layer(x)[0]
        return steps[:, -1]


def subject(name: str, checks: bool, folder: Path) -> Subject:
    torch.manual_seed(0)
    module, shape = networks()[name]
    save_exported(module, (torch.zeros(shape),), folder / "model.pt2")
    samples = np.random.default_rng(0).normal(size=(32, *shape)).astype(np.float32)
    output = folder / f"{name.replace(' ', '-')}-{checks}"
    build = myoedge.build(folder / "model.pt2", calib=samples, output=output, checks=checks)
    sample = golden_sample(build, short=True)
    runs = [*cases(build.network, build.stream, [sample, sample])]
    _, run = build.simulate(chip_inputs(build.stream, runs))
    starts = [mark.cycle for mark in run.marks if mark.value == -1]
    window = (starts[0], run.marks[len(run.marks) // 2 - 1].cycle)
    return Subject(build, runs, window, run.cycles, areas(build))


def areas(build: Build) -> dict[str, list[tuple[int, int]]]:
    program, weights, tables = build.program, [], []
    names = {address: name for name, address in program.symbols.items()}
    loaded = [(at, at + len(data)) for at, data in program.segments]
    for start, end in program.objects:
        if any(first <= start < last for first, last in loaded) and end > start:
            of = weights if names.get(start, "").endswith("weights") else tables
            of.append((start, end - start))
    l1 = program.symbols[f"{build.prefix}_l1"]
    used = build.report["memory"]["l1_planned_bytes"] - build.report["memory"]["l1_reserved_bytes"]
    code = [(start, end - start) for start, end, _ in program.functions]
    return {"weights": weights, "tables": tables, "code": code, "activations": [(l1, used)]}


def drawn(kind: str, of: Subject, rng: random.Random) -> Disturbance:
    cycle = rng.randint(*of.window)
    if kind == "DMA":
        return Disturbance(cycle, "dma")
    if kind == "interrupts":
        return Disturbance(cycle, "interrupt", rng.randrange(CORES + 1))
    if kind == "registers":
        where = REGISTERS * rng.randrange(CORES) + rng.randrange(1, REGISTERS)
        return Disturbance(cycle, "register", where, rng.randrange(32))
    at, size = rng.choices(of.areas[kind], [size for _, size in of.areas[kind]])[0]
    return Disturbance(cycle, "memory", at + rng.randrange(size), rng.randrange(8))


def outcome(of: Subject, fault: Disturbance, checks: bool) -> str:
    options = RunOptions(disturbed=(fault,))
    inputs = chip_inputs(of.build.stream, of.runs)
    try:
        found, _ = of.build.simulate(inputs, options=options, max_cycles=2 * of.cycles)
    except MyoedgeError:  # a trap, a deadlock, a stack, a check, or too many cycles
        return "detected"
    first, second = (run.outputs for run in found.inferences)
    if checks and not same(first, second):
        return "detected"
    return "harmless" if same(first, of.runs[0].outputs) else "silently wrong"


def same(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def campaign(faults: int, seed: int) -> Iterator[tuple[str, str, bool, str]]:
    """Yield (network, kind, whether with checks, outcome); the same faults with and without."""
    with tempfile.TemporaryDirectory() as folder:
        for name in networks():
            for checks in (False, True):
                of, rng = subject(name, checks, Path(folder)), random.Random(seed)
                for number in range(faults // len(networks())):
                    kind = KINDS[number % len(KINDS)]
                    yield name, kind, checks, outcome(of, drawn(kind, of, rng), checks)


def table(rows: Counter[tuple[str, bool, str]]) -> Iterator[str]:
    heads = ("fault", "faults", *OUTCOMES, "with checks: detected", OUTCOMES[-1])
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for kind in (*KINDS, "all"):
        kinds = KINDS if kind == "all" else (kind,)
        count = {
            (checks, result): sum(rows[k, checks, result] for k in kinds)
            for checks in (False, True)
            for result in OUTCOMES
        }
        total = sum(count[False, result] for result in OUTCOMES)
        cells = [count[False, result] for result in OUTCOMES]
        cells += [count[True, "detected"], count[True, "silently wrong"]]
        yield f"| {kind} | {total:,} | " + " | ".join(f"{n / total:.1%}" for n in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = Counter((k, c, o) for _, k, c, o in campaign(options.faults, options.seed))
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
