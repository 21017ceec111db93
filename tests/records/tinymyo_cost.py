# SPDX-License-Identifier: Apache-2.0
"""What TinyMyo takes on the simulated chip, its weights from L3, and which of its layers take it.

python -m tests.records.tinymyo_cost                       the networks, from runs
python -m tests.records.tinymyo_cost --record              the same, and by kind of layer, kept in
                                                   tests/fixtures/tinymyo_cycles.json and
                                                   docs/developers/performance.md
python -m tests.records.tinymyo_cost --record "neuromotor" of some, the others as they are recorded
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.samples import real_samples
from myoedge.extensions.zoo import tinymyo
from myoedge.simulator import Program, RunOptions, Simulation
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.conftest import ROOT, save_exported
from tests.e2e.test_tinymyo_heads import windows
from tests.support.pages import head, markdown, put

RECORDED = ROOT / "tests" / "fixtures" / "tinymyo_cycles.json"
WORKERS = 8
SHOWN = "epn, version 1"  # the network whose latency is published, and whose layers are shown

# Weights are there as soon as they are asked for.
NO_L3 = {
    **GAP9_CYCLES,
    "l3_cycles_per_byte_x256": 1,
    "l3_start_cycles": 0,
    "l3_bus_start_cycles": 0,
}
# An instruction a cycle: no core waits for memory, for code or for what it has just computed.
NO_STALLS = {
    **GAP9_CYCLES,
    **{name: 0 for name in GAP9_CYCLES if name.endswith("_stall")},
    **dict.fromkeys(("l0_sets", "l0_master_sets", "l1_cache_sets", "fc_cache_sets"), 4096),
    "l1_contention": 0,
}


@dataclass(frozen=True)
class Full:
    """A network as it was published.

    shape   of its input     version   0 where there is one only
    most_cycles   that an inference may take, L3 included; 0: not said
    """

    make: Callable[..., torch.nn.Module]
    shape: tuple[int, int, int]
    version: int = 0
    most_cycles: int = 0


def _both(name: str, make: Any, shape: tuple[int, int, int], most: int) -> dict[str, Full]:
    return {f"{name}, version {v}": Full(make, shape, v, most) for v in (1, 2)}


FULL: Mapping[str, Full] = {
    **_both("small", tinymyo.small_epn, (1, 8, 200), 10_200_000),
    **_both("db5", tinymyo.db5, (1, 16, 200), 42_000_000),
    **_both("epn", tinymyo.epn, (1, 8, 1000), 125_000_000),
    "pretraining, version 1": Full(tinymyo.pretraining, (1, 16, 1000), 1),
    "db8, version 2": Full(tinymyo.db8, (1, 16, 200), 2),
    "production": Full(tinymyo.production, (1, 1600, 8)),
    "recognition": Full(tinymyo.recognition, (1, 1600, 8)),
    "neuromotor": Full(tinymyo.neuromotor, (1, 16, 2000)),
}
TITLES = {
    "small": "small, 8 x 200",
    "db5": "DB5, 16 x 200",
    "epn": "EPN-612, 8 x 1000",
    "pretraining": "pretraining, 16 x 1000, 800 tokens",
    "db8": "DB8, 16 x 200",
    "production": "speech production, 1600 x 8",
    "recognition": "speech recognition, 1600 x 8",
    "neuromotor": "neuromotor, 16 x 2000, causal",
}


def built(full: Full, folder: Path, samples: int = 16, engine: str = "cores") -> Build:
    """With random weights, and ranges from windows of a real recording."""
    torch.manual_seed(3)
    network = full.make(**({"version": full.version} if full.version else {})).eval()
    model = save_exported(network, (torch.zeros(full.shape),), folder / "model.pt2")
    return myoedge.build(
        model, calib=windows(full.shape, samples, 1), output=folder / "out", engine=engine
    )


def held_back(full: Full) -> Any:
    """A window that was not calibrated on."""
    return windows(full.shape, 1, 99)


@dataclass(frozen=True)
class Ran:
    """A build that has run once: its report, its cycles where weights need not come from L3."""

    build: Build
    report: Mapping[str, Any]
    exact: bool
    without_l3: int

    @property
    def cycles(self) -> int:
        return int(self.report["cycles"]["total"])

    @property
    def waits(self) -> float:
        """What L3 adds."""
        return self.cycles / self.without_l3 - 1


def ran(full: Full, build: Build) -> Ran:
    found = myoedge.simulate(build, input=held_back(full))
    return Ran(build, found.report, found.exact, _again(build, NO_L3)[0])


def _again(
    build: Build, costs: Mapping[str, int], *, profile: bool = False
) -> tuple[int, Simulation]:
    """(cycles of one inference, the run) at other costs."""
    golden = {name: x[None] for name, x in build.golden_inputs.items()}
    names = build.network.graph.inputs
    samples = [[sample[n] for n in names] for sample in real_samples(build.network, golden)]
    measured, run = build.simulate(samples, cycles=costs, options=RunOptions(profile=profile))
    return measured.inferences[0].cycles, run


# --- by kind of layer -----------------------------------------------------------------------------

KINDS: tuple[tuple[str, str], ...] = (  # the first that matches "operator label"
    ("patches, 1x20", r"conv patch_embedding"),
    ("head", r"\S+ model_head"),
    ("q, k and v", r"linear .*attn\.qkv"),
    ("turned by position", r"rotary"),
    ("values transposed", r"transpose .*attn"),
    ("attention", r"attention"),
    ("projection", r"linear .*attn\.proj"),
    ("fc1 with GELU", r"linear .*mlp\.fc1"),
    ("fc2", r"linear .*mlp\.fc2"),
    ("norms", r"layer_norm"),
    ("residual sums", r"add blocks"),
    ("channel embedding", r"(add|affine) "),
)
PARTS: Mapping[str, tuple[str, ...]] = {  # of attention: functions of the kernel
    "scores": ("me_products_signed",),
    "exponentials": ("me_row_most", "me_row_biased", "me_row_exponentials"),
    "values": ("me_products_unsigned", "me_row_scaled"),
    "other code": ("me_attention_s8", "scores", "exponentials", "values"),
}


@dataclass(frozen=True)
class Row:
    """Layers of a kind: MACs, cycles, and those they would take at an instruction a cycle."""

    kind: str
    macs: int
    cycles: float
    best: float

    def cells(self, total: int) -> list[str]:
        share = f"{self.cycles / total:.1%}".replace("%", " %")
        if not self.macs:
            return [self.kind, _millions(self.cycles), "", share, _millions(self.best)]
        speed, best = (f"{self.macs / n:.1f}" for n in (self.cycles, self.best))
        return [self.kind, _millions(self.cycles), speed, share, best]


def _millions(cycles: float) -> str:
    return f"{cycles / 1e6:,.2f} M"


def kind_of(layer: Mapping[str, Any]) -> str:
    text = f"{layer['op']} {layer['label']}"
    return next(kind for kind, pattern in KINDS if re.match(pattern, text))


def by_kind(found: Ran) -> Iterator[Row]:
    """All layers of a run, attention in its parts."""
    for kind, _ in KINDS:
        layers = [layer for layer in found.report["layers"] if kind_of(layer) == kind]
        if not layers:
            continue
        macs, cycles, instructions = (
            sum(layer[key] for layer in layers) for key in ("macs", "cycles", "instructions")
        )
        if kind == "attention":
            yield from _parts(found, macs, cycles)
        yield Row(
            "attention, all in L1" if kind == "attention" else kind,
            macs,
            cycles,
            instructions / WORKERS,
        )


def _parts(found: Ran, macs: int, cycles: int) -> Iterator[Row]:
    """Cycles of its layers by what its functions take of all cores' time; half of its MACs each."""
    program = found.build.program
    real, best = (
        _by_part(_again(found.build, costs, profile=True)[1], program)
        for costs in (GAP9_CYCLES, NO_STALLS)
    )
    total = sum(real.values())
    for part in PARTS:
        own = macs // 2 if part in ("scores", "values") else 0
        yield Row(f"of attention: {part}", own, cycles * real[part] / total, best[part] / WORKERS)


def _by_part(run: Simulation, program: Program) -> dict[str, int]:
    found = dict.fromkeys(PARTS, 0)
    for pc, cycles in run.profile.items():
        name = program.function_at(pc)
        for part, functions in PARTS.items():
            found[part] += cycles if name in functions else 0
    return found


# --- the page -------------------------------------------------------------------------------------

COLUMNS = ("TinyMyo, random weights", "MACs", "cycles", "target", "L3 adds", "370 MHz", "240 MHz")
KIND_COLUMNS = ("layers of EPN-612, version 1", "cycles", "MAC/cycle", "share", "at best")
HEAD, KIND_HEAD = head(*COLUMNS), head(*KIND_COLUMNS)
CLOCKS_HZ = (370e6, 240e6)


def figures(found: Ran) -> dict[str, Any]:
    """What is recorded of a run."""
    macs = found.report["model"]["macs"]
    return {"macs": macs, "cycles": found.cycles, "without_l3": found.without_l3}


def lines(recorded: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    return [[title(name), *_cells(FULL[name], row)] for name, row in recorded.items()]


def title(name: str) -> str:
    network, _, version = name.partition(", ")
    return ", ".join([TITLES[network], *([version] if version else [])])


def _cells(full: Full, row: Mapping[str, int]) -> list[str]:
    cycles = row["cycles"]
    return [
        f"{row['macs'] / 1e6:,.1f} M",
        f"{cycles:,}",
        f"{full.most_cycles:,}" if full.most_cycles else "",
        f"{round(100 * (cycles / row['without_l3'] - 1), 1) + 0.0} %",
        *(f"{cycles / clock_hz:.3f} s" for clock_hz in CLOCKS_HZ),
    ]


def kind_lines(recorded: Mapping[str, Any]) -> list[list[str]]:
    total = recorded["networks"][SHOWN]["cycles"]
    return [Row(*row).cells(total) for row in recorded["kinds"]]


def measured(*names: str) -> dict[str, Any]:
    networks: dict[str, Any] = {}
    found_kinds: list[Any] = []
    for name in names or FULL:
        with tempfile.TemporaryDirectory() as folder:
            found = ran(FULL[name], built(FULL[name], Path(folder)))
            assert found.exact, f"{name} is not what the reference computes"
            networks[name] = figures(found)
            if name == SHOWN:
                rows = by_kind(found)
                found_kinds = [(r.kind, r.macs, round(r.cycles), round(r.best)) for r in rows]
    return {"networks": networks, "kinds": found_kinds}


def with_earlier(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, and of all else what is recorded."""
    earlier = json.loads(RECORDED.read_text())
    networks = {**earlier["networks"], **found["networks"]}
    known = {name: networks[name] for name in FULL if name in networks}
    return {"networks": known, "kinds": found["kinds"] or earlier["kinds"]}


def main() -> None:
    found = measured(*(name for name in sys.argv[1:] if name != "--record"))
    print(markdown(HEAD, lines(found["networks"])))
    if "--record" in sys.argv[1:]:
        found = with_earlier(found)
        RECORDED.write_text(json.dumps(found, indent=1) + "\n")
        put(HEAD, lines(found["networks"]))
        put(KIND_HEAD, kind_lines(found))


if __name__ == "__main__":
    main()
