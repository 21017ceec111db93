# SPDX-License-Identifier: Apache-2.0
"""The example of docs/guides/own-firmware.md: two networks in a program, on PMSIS of our own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.codegen.firmware import check_instructions, link
from myoedge.codegen.sdk_application import SDK_FOLDER
from myoedge.simulator import RunOptions, simulate
from myoedge.simulator.disturbance import Disturbance
from tests.boards import sdk
from tests.conftest import save_exported
from tests.firmware.two_networks import sources

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "own-firmware.md"
SHAPE = (1, 2, 40)
OURS = ("me_gap.c", "me_gap.h", "pmsis_runtime.c", "pmsis_runtime.h", "port.h")
WINDOWS = 6
STACK_BYTES = 1280  # ME_STACK_BYTES

MAIN = """
#include <string.h>
#include "main.h"
#include "pmsis.h"
#include "me_gap.h"

extern volatile int reports;
static int window;

int next_window(int8_t *to)
{
    if (window == WINDOWS)
        return 0;
    for (int i = 0; i < BYTES; i++)
        to[i] = windows_in[window][i];
    window++;
    return 1;
}

static int wrong;
volatile int reports;

void report(const int8_t *scores, int bytes)
{
    for (int i = 0; i < bytes; i++)
        wrong += scores[i] != wanted[reports][i];
    reports++;
}

int classify_windows(void);

int main(void)
{
    pi_pmu_voltage_set(PI_PMU_VOLTAGE_DOMAIN_CHIP, 800);
    for (int turn = 0; turn < 2; turn++) { /* opened again after it was closed */
        window = reports = 0;
        if (classify_windows() != 0)
            return 90;
        if (reports != REPORTS)
            return 91;
    }
    return wrong ? 92 : 0;
}
"""


def example() -> str:
    (text,) = re.findall(r"```c\n(#include.*?)```", GUIDE.read_text(), re.DOTALL)
    return str(text)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("pair")
    rng, builds = np.random.default_rng(0), []
    samples = rng.standard_normal((16, *SHAPE), np.float32)
    networks = {
        "wake": nn.Sequential(nn.Flatten(), nn.Linear(80, 4)),
        "gesture": nn.Sequential(
            nn.Conv1d(2, 16, 5), nn.ReLU(), nn.Conv1d(16, 16, 5), nn.Flatten(), nn.Linear(512, 6)
        ),
    }
    for prefix, network in networks.items():
        torch.manual_seed(0)
        model = save_exported(network, (torch.zeros(SHAPE),), folder / "model.pt2")
        options = {"calib": samples, "output": folder / prefix, "app": "gap-sdk"}
        builds.append(myoedge.build(model, prefix=prefix, engine="cores", **options))  # type: ignore[arg-type]
    return builds[0], builds[1]


def array(name: str, rows: np.ndarray) -> str:  # type: ignore[type-arg]
    text = ", ".join("{ " + ", ".join(map(str, row)) + " }" for row in rows.tolist())
    return f"static const int8_t {name}[{len(rows)}][{rows.shape[1]}] = {{ {text} }};\n"


def numbers(wake: Build, gesture: Build) -> str:
    """Windows, and what the reference makes of those that are not at rest."""
    drawn = np.random.default_rng(3).integers(-90, 90, (WINDOWS, *SHAPE)).astype(np.int8)
    events = [wake.run_raw([x])[0].ravel() for x in drawn]
    active = [x for x, event in zip(drawn, events, strict=True) if event.argmax() > 0]
    assert 0 < len(active) < WINDOWS, "windows of both kinds"
    wanted = np.stack([gesture.run_raw([x])[0].ravel() for x in active])
    macros = {"WINDOWS": WINDOWS, "BYTES": 80, "REPORTS": len(active)}
    lines = [f"#define {name} {value}\n" for name, value in macros.items()]
    flat = drawn.reshape(WINDOWS, -1)
    return (
        "#include <stdint.h>\n"
        + "".join(lines)
        + array("windows_in", flat)
        + array("wanted", wanted)
    )


def test_the_example_of_the_guide_runs(pair: tuple[Build, Build], tmp_path: Path) -> None:
    wake, gesture = pair
    files = {n: t for n, t in sources(*pair).items() if not n.startswith("firmware/")}
    gap = {name: (wake.folder / SDK_FOLDER / name).read_text() for name in OURS}
    own = {**gap, **sdk.shim_for_chip(), "own.c": example(), "main.c": MAIN}
    own = sdk.defined(own, ["SHIM_CHECKS"])
    own["main.h"] = numbers(wake, gesture)
    defines = (*sdk.DEFINES, "ME_XPULP_WORD", "SHIM_CHIP", "ME_SHARED_L1")
    made = link({**files, **sdk.renamed_runtime(), **own}, defines=defines)
    check_instructions(made)
    stacks = RunOptions(dump=[(made.program.symbols["stacks"], 4)])
    ran = simulate(made.elf, folder=tmp_path, max_cycles=20_000_000, options=stacks)
    assert ran.exit_code == 0, ran.output
    last_word_of_core_2 = int.from_bytes(ran.dumps[0], "little") + 2 * STACK_BYTES
    grown = Disturbance(ran.cycles // 2, "memory", last_word_of_core_2, 1)
    reports = RunOptions(dump=[(made.program.symbols["reports"], 4)], disturbed=[grown])
    stopped = simulate(made.elf, folder=tmp_path, options=reports)
    assert stopped.exit_code == 101, "of the runtime below PMSIS, which looks at the same words"
    assert stopped.cycles < ran.cycles, "me_wait gave an error, with which the example ends"
