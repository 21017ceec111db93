# SPDX-License-Identifier: Apache-2.0
"""The example of docs/product/firmware.md: two networks in a program, on PMSIS of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.codegen.firmware import Firmware, check_instructions, link
from myoedge.extensions.gap_sdk.gvsoc import SDK_FOLDER
from myoedge.simulator import RunOptions, simulate
from myoedge.simulator.fault import Disturbance
from tests.conftest import save_exported
from tests.extensions.gap_sdk import sdk
from tests.firmware.two_networks import sources
from tests.support.pages import section

FIRMWARE = Path(__file__).parents[3] / "docs" / "product" / "firmware.md"
GUIDE = section(FIRMWARE, "## In your own GAP9 firmware")
SHAPE = (1, 2, 40)
OURS = ("me_gap.c", "me_gap.h", "pmsis_runtime.c", "pmsis_runtime.h", "port.h")
WINDOWS = 6
STACK_BYTES = 1280  # ME_STACK_BYTES
# What the page leaves to gap_sdk/CMakeLists.txt, and what stands for the SDK.
STAND_INS = ("ME_XPULP_WORD", "SHIM_CHIP")

MAIN = """
#include <string.h>
#include "main.h"
#include "pmsis.h"
#include "gesture/gesture.h"
#include "me_gap.h"
#include "wake/wake.h"

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

/* A point that a faster controller does not allow; then one network raises what another one set. */
static int points_are_obeyed(void)
{
    static const me_operating_point slow = { .clock_hz = 240000000, .millivolts = 650 };
    const me_gap_options options = { .point = &slow };
    static me_gap first, second;
    pi_pmu_voltage_set(PI_PMU_VOLTAGE_DOMAIN_CHIP, 800);
    pi_freq_set(PI_FREQ_DOMAIN_FC, 370000000);
    if (me_open(&first, &wake_info, &options) != ME_NO_CLOCK)
        return 0;
    pi_freq_set(PI_FREQ_DOMAIN_FC, 100000000);
    if (me_open(&first, &wake_info, &options) != ME_OK)
        return 0;
    if (pi_freq_get(PI_FREQ_DOMAIN_CL) != 240000000 || me_open(&second, &gesture_info, 0) != ME_OK)
        return 0;
    if (pi_freq_get(PI_FREQ_DOMAIN_CL) != GESTURE_CLOCK_HZ)
        return 0;
    me_close(&second);
    me_close(&first);
    return 1;
}

int main(void)
{
    for (int turn = 0; turn < 2; turn++) { /* opened again after it was closed */
        window = reports = 0;
        if (classify_windows() != 0)
            return 90;
        if (reports != REPORTS)
            return 91;
    }
    if (!points_are_obeyed())
        return 93;
    return wrong ? 92 : 0;
}
"""


def listed_defines() -> list[str]:
    """Macros that the page's table tells to define; ME_GAP9 comes with `link`."""
    rows = re.findall(r"^\|.*?\| (.*) \|$", GUIDE, re.MULTILINE)
    found = re.findall(r"-D(\w+(?:=\w+)?)", " ".join(rows))
    assert found, "a table with flags"
    return [define for define in found if define != "ME_GAP9"]


def example() -> str:
    (text,) = re.findall(r"```c\n(#include.*?)```", GUIDE, re.DOTALL)
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


def program(pair: tuple[Build, Build], spoilt: Mapping[str, str] | None = None) -> Firmware:
    """The page's example between stand-ins; `spoilt`: texts of me_gap.c -> what replaces them."""
    wake, gesture = pair
    files = {n: t for n, t in sources(*pair).items() if not n.startswith("firmware/")}
    gap = {name: (wake.folder / SDK_FOLDER / name).read_text() for name in OURS}
    for text, instead in (spoilt or {}).items():
        assert text in gap["me_gap.c"]
        gap["me_gap.c"] = gap["me_gap.c"].replace(text, instead)
    own = {**gap, **sdk.shim_for_chip(), "own.c": example(), "main.c": MAIN}
    own = sdk.defined(own, ["SHIM_CHECKS"])
    own["main.h"] = numbers(wake, gesture)
    made = link({**files, **sdk.renamed_runtime(), **own}, defines=(*listed_defines(), *STAND_INS))
    check_instructions(made)
    return made


def test_the_example_of_the_guide_runs(pair: tuple[Build, Build], tmp_path: Path) -> None:
    made = program(pair)
    stacks = RunOptions(dump=[(made.program.symbols["stacks"], 4)])
    ran = simulate(made.elf, folder=tmp_path, max_cycles=20_000_000, options=stacks)
    assert ran.exit_code == 0, ran.output
    last_word_of_core_2 = int.from_bytes(ran.dumps[0], "little") + 2 * STACK_BYTES
    grown = Disturbance(ran.cycles // 2, "memory", last_word_of_core_2, 1)
    reports = RunOptions(dump=[(made.program.symbols["reports"], 4)], disturbed=[grown])
    stopped = simulate(made.elf, folder=tmp_path, options=reports)
    assert stopped.exit_code == 101, "of the runtime below PMSIS, which looks at the same words"
    assert stopped.cycles < ran.cycles, "me_wait gave an error, with which the example ends"


VOLTAGE = "pi_pmu_voltage_set(PI_PMU_VOLTAGE_DOMAIN_CHIP, point->millivolts) == 0 &&"


@pytest.mark.parametrize(
    ("text", "instead", "what"),
    [
        (VOLTAGE, "", "a clock before the voltage"),
        ("if (!is_within(PI_FREQ_DOMAIN_FC, clock_hz) ||", "if (", "a voltage that a clock"),
    ],
)
def test_a_point_that_is_not_set_rightly_is_seen(
    pair: tuple[Build, Build], tmp_path: Path, text: str, instead: str, what: str
) -> None:
    ran = simulate(program(pair, {text: instead}).elf, folder=tmp_path)
    assert ran.exit_code == 99
    assert what in ran.output
