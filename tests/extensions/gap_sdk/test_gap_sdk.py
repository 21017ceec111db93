# SPDX-License-Identifier: Apache-2.0
"""The GAP SDK application on PMSIS calls of our own: exact, in bounds, as fast as without it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.samples import golden_sample
from myoedge.backends.simulator import run_firmware
from myoedge.codegen.project import Sources
from myoedge.errors import MyoedgeError
from myoedge.extensions.gap_sdk.gvsoc import SDK_FOLDER, build_digest, marker
from myoedge.extensions.zoo.all_convnet import hd
from myoedge.extensions.zoo.emg2qwerty import kao
from myoedge.simulator import Program, read_elf, simulate
from myoedge.system import toolchain, tools
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.conftest import myoedge as command
from tests.conftest import save_exported, small_network
from tests.e2e.test_less_l2 import SHAPE, Deep
from tests.extensions.gap_sdk import sdk
from tests.extensions.sensor import applications
from tests.firmware.programs import riscv_gcc

CLOSE, CLOSE_IN_ALL = 0.02, 0.01
MOST_CYCLES = 20_000_000
CLOSE_WITH_CHECKS = 0.2  # every PMSIS call is looked at
CLOSE_WITH_ANOTHER_COMPILER = 0.15

# A chip without evictions from the instruction caches and conflicts at the banks of L1. On GAP9,
# addresses of functions decide which instructions are evicted, so how far the cores run apart, so
# which accesses conflict: layouts of one program differ by up to 5 % in a layer of 22,000 cycles.
ROOMY = dict.fromkeys(("l0_sets", "l0_master_sets", "l1_cache_sets"), 4096)
ANY_LAYOUT = {**GAP9_CYCLES, **ROOMY, "l1_contention": 0}
LARGE_CYCLES = ((ANY_LAYOUT, 10_000), (GAP9_CYCLES, 100_000))  # transfers' calls cost little there


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Its weights have no room in L2."""
    return sdk.made(tmp_path_factory.mktemp("deep"), Deep(), SHAPE, l2="23KiB")


def with_full_l1(program: Program) -> Program:
    """A program that finds no zeros in L1, which neither chip nor SDK promises."""
    content = np.random.default_rng(5).bytes(GAP9_CYCLES["l1_bytes"])
    return replace(program, segments=((GAP9_CYCLES["l1_base"], content), *program.segments))


def golden_run(
    build: Build,
    folder: Path,
    *defines: str,
    cc: str = "zig",
    costs: Mapping[str, int] = GAP9_CYCLES,
) -> str:
    """Text that the program prints on the simulated chip."""
    if build.l3_image is not None:
        (folder / "l3.bin").write_bytes(build.l3_image)
    program = read_elf(sdk.for_chip(build, *defines, cc=cc).elf, "application")
    ran = simulate(with_full_l1(program), cycles=costs, folder=folder, max_cycles=MOST_CYCLES)
    assert ran.exit_code == 0, ran.output
    return ran.output


def cycles(printed: str) -> list[int]:
    return [int(n) for n in re.findall(r": (\d+) cycles", printed)]


@pytest.mark.parametrize("version", [(), pytest.param(("ME_SDK_4",), marks=pytest.mark.slow)])
def test_the_golden_sample_is_exact_on_the_chip(
    two: Build, tmp_path: Path, version: tuple[str, ...]
) -> None:
    printed = golden_run(two, tmp_path, "SHIM_CHECKS", *version)
    assert "outputs as expected" in printed
    assert len(cycles(printed)) == len(two.layers) + 1


def test_weights_in_l3_are_exact_on_the_chip(deep: Build, tmp_path: Path) -> None:
    assert deep.l3_image is not None
    assert "outputs as expected" in golden_run(deep, tmp_path, "SHIM_CHECKS")


@pytest.mark.slow
def test_the_same_c_is_exact_on_this_machine_with_nine_threads(deep: Build, tmp_path: Path) -> None:
    program = sdk.for_host(deep, tmp_path, "SHIM_CHECKS")
    (tmp_path / "l3.bin").write_bytes(deep.l3_image or b"")
    ran = tools.run([program], cwd=tmp_path, timeout_s=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "outputs as expected" in ran.stdout


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "All-ConvNet": (hd, (1, 1, 16, 8)),
    "emg2qwerty": (kao, (59, 1, 2, 16, 33)),  # its weights come from L3
}


@pytest.fixture(
    scope="module", params=["All-ConvNet", pytest.param("emg2qwerty", marks=pytest.mark.slow)]
)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    make, shape = NETWORKS[request.param]
    torch.manual_seed(0)
    return sdk.made(tmp_path_factory.mktemp("network"), make(), shape, engine="cores")


def with_and_without_sdk(
    build: Build, folder: Path, cc: str, costs: Mapping[str, int]
) -> list[tuple[int, int]]:
    """Cycles of the application and of firmware.elf: of each layer, and of all."""
    printed = golden_run(build, folder, cc=cc, costs=costs)
    assert "outputs as expected" in printed
    (bare,) = build.simulate([[*golden_sample(build).values()]], cycles=costs)[0].inferences
    wanted = [*(layer.cycles for layer in bare.layers), bare.cycles]
    return [*zip(cycles(printed), wanted, strict=True)]


WITH_GCC = pytest.mark.skipif(
    riscv_gcc() is None, reason="riscv64-unknown-elf-gcc is not installed"
)


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(
    ("cc", "close"),
    [
        ("zig", CLOSE),
        pytest.param(str(riscv_gcc()), CLOSE_WITH_ANOTHER_COMPILER, id="gcc", marks=WITH_GCC),
    ],
)
def test_cycles_are_those_of_the_bare_metal_program(
    network: Build, tmp_path: Path, cc: str, close: float
) -> None:
    for costs, least in LARGE_CYCLES:
        rows = with_and_without_sdk(network, tmp_path, cc, costs)
        large = [(found, wanted) for found, wanted in rows if wanted >= least]
        assert len(large) >= 5
        assert [(f, w) for f, w in large if abs(f - w) > close * w] == []
    found, wanted = rows[-1]
    assert abs(found - wanted) <= CLOSE_IN_ALL * wanted


# ---- NE16


@pytest.fixture(scope="module")
def accelerated(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A convolution and a linear layer on NE16, each with a table behind it."""
    network = nn.Sequential(nn.Conv1d(16, 64, 5), nn.GELU(), nn.Flatten(), nn.Linear(64 * 36, 32))
    build = sdk.made(tmp_path_factory.mktemp("ne16"), network.eval(), (1, 16, 40))
    assert "ne16" in {row["engine"] for row in build.report["layers"]}
    return build


@pytest.mark.parametrize("version", [(), ("ME_SDK_4",)])
def test_layers_on_ne16_are_exact_on_the_chip(
    accelerated: Build, tmp_path: Path, version: tuple[str, ...]
) -> None:
    printed = golden_run(accelerated, tmp_path, "SHIM_CHECKS", *version)
    assert "outputs as expected" in printed
    (bare,) = myoedge.simulate(accelerated).measurement.inferences
    assert abs(cycles(printed)[-1] - bare.cycles) <= CLOSE_WITH_CHECKS * bare.cycles


def test_firmware_without_an_sdk_needs_no_zeros_in_l1_either(accelerated: Build) -> None:
    inputs = [[*golden_sample(accelerated).values()]]
    ran, _ = run_firmware(with_full_l1(accelerated.program), accelerated.files(inputs))
    found, wanted = ran.inferences[0], accelerated.simulate(inputs)[0].inferences[0]
    assert found.cycles == wanted.cycles
    np.testing.assert_array_equal(found.outputs, wanted.outputs)


@pytest.mark.slow
def test_layers_on_ne16_are_exact_on_this_machine(accelerated: Build, tmp_path: Path) -> None:
    ran = tools.run([sdk.for_host(accelerated, tmp_path, "SHIM_CHECKS")], cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "outputs as expected" in ran.stdout


def test_without_ne16_nothing_of_it_is_there(tmp_path: Path) -> None:
    build = sdk.made(tmp_path, nn.Conv1d(16, 64, 5).eval(), (1, 16, 40), engine="cores")
    files = [*(build.folder / "src").rglob("*.[chS]"), *(build.folder / SDK_FOLDER).glob("*.*")]
    assert not [file.name for file in files if "ne16" in file.read_text().lower()]


# ---- the shim sees what the SDK would not take


WRONG = {
    "a clock before the voltage": (
        "app.c",
        "pi_pmu_voltage_set(PI_PMU_VOLTAGE_DOMAIN_CHIP, point.millivolts) == 0\n        &&",
        "",
    ),
    "a run that the power pad does not show": (
        "me_gap.c",
        "set_power_pad(1);",
        "set_power_pad(0);",
    ),
    "stacks outside L1": ("me_gap.c", "task.stacks = stacks;", "task.stacks = &task;"),
    "a request that is in flight already": (
        "pmsis_runtime.c",
        "number = asked++ % ME_L3_IN_FLIGHT",
        "number = asked++ % 1",
    ),
    "a transfer to or from elsewhere than L1": (
        "pmsis_runtime.c",
        "pi_cl_dma_cmd(address(l2), address(l1)",
        "pi_cl_dma_cmd(address(l2), address(l1) - 0x10000000u",
    ),
    "a command behind the last one": (
        "pmsis_runtime.c",
        "under_way = writes = asked = done = 0;",
        "under_way = 0xFFFE, writes = asked = done = 0;",
    ),
    "L3 outside of what was allocated": ("pmsis_runtime.c", "me_l3_base + l3, l2", "l3, l2"),
}


def spoilt(build: Build, folder: Path, file: str, text: str, instead: str) -> Build:
    copy = Path(shutil.copytree(build.folder, folder / "spoilt"))
    source = copy / SDK_FOLDER / file
    before = source.read_text()
    assert text in before
    source.write_text(before.replace(text, instead))
    return Build(copy)


@pytest.mark.parametrize("what", WRONG)
def test_what_the_sdk_would_not_take_is_seen(deep: Build, tmp_path: Path, what: str) -> None:
    build = spoilt(deep, tmp_path, *WRONG[what])
    (tmp_path / "l3.bin").write_bytes(deep.l3_image or b"")
    ran = simulate(sdk.for_chip(build, "SHIM_CHECKS").elf, folder=tmp_path)
    assert (ran.exit_code, what in ran.output) == (99, True), ran.output


def test_l3_that_is_read_as_memory_is_a_fault(deep: Build, tmp_path: Path) -> None:
    wrong = ("app.c", "return code;", "return *(volatile int *)(uintptr_t)me_l3_base;")
    build = spoilt(deep, tmp_path, *wrong)  # there is no l3.bin, so the program cannot start
    with pytest.raises(MyoedgeError) as caught:
        simulate(sdk.for_chip(build).elf, folder=tmp_path)
    assert caught.value.code == "E702"


# ---- what build writes


SETUP = """
set(CMAKE_C_COMPILER_FORCED 1)
set(CMAKE_ASM_COMPILER_FORCED 1)
function(setupos target)
  get_target_property(sources ${target} SOURCES)
  get_target_property(macros ${target} COMPILE_DEFINITIONS)
  message(STATUS "SOURCES ${sources}")
  message(STATUS "MACROS ${macros}")
  message(STATUS "RUNNER ${GAPY_RUNNER_ARGS}")
endfunction()
"""


COMPILER = """\
#!/bin/sh
case "$*" in {refuses}) echo "Error: unknown pseudo-op: .insn" >&2; exit 1 ;; esac
exec {zig} cc -target riscv32-freestanding-none -mcpu=generic_rv32+m+c "$@"
"""
WITH_CMAKE = pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")


def configured(build: Build, folder: Path, *options: str, refuses: str = "nothing") -> str:
    """What CMake says of the project, with an SDK that does nothing but look."""
    done = configuring(build, folder, *options, refuses=refuses)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def configuring(
    build: Build, folder: Path, *options: str, refuses: str = "nothing"
) -> tools.CompletedProcess:
    """CMake's run; the compiler refuses what fits a pattern of the shell."""
    setup = folder / "sdk" / "utils" / "cmake" / "setup.cmake"
    setup.parent.mkdir(parents=True)
    setup.write_text(SETUP)
    compiler = folder / "compiler"
    compiler.write_text(COMPILER.format(refuses=refuses, zig=toolchain.compiler().command[0]))
    compiler.chmod(0o755)
    places = ("-S", str(build.folder / SDK_FOLDER), "-B", str(folder / "made"))
    compilers = (f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_ASM_COMPILER={compiler}")
    env = {"GAP_SDK_HOME": str(folder / "sdk")}
    return tools.run(["cmake", *places, *compilers, *options], cwd=folder, env=env)


def macros(said: str) -> set[str]:
    (found,) = re.findall("MACROS (.*)", said)
    return {*found.split(";")}


@WITH_CMAKE
def test_cmake_takes_the_project(deep: Build, tmp_path: Path) -> None:
    said = configured(deep, tmp_path, "-DME_POINT=low", "-DME_BAUD_RATE=1000000")
    for name in ("network.c", "weights.c", "me_gemm_s8.c", "app.c", "serve.c", "ports.c"):
        assert f"/{name}" in said
    assert "selftest.c" not in said
    assert "firmware/main.c" not in said
    wanted = {"ME_GAP9", "ME_PMSIS", "ME_APP_MILLIVOLTS=650u", "ME_UART=1", "ME_BAUD_RATE=1000000u"}
    assert wanted <= macros(said)
    assert "l3.bin@flash:readfs_flash:files" in said


@WITH_CMAKE
@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("241MHz", "ME_APP_MILLIVOLTS=700u;ME_APP_CLOCK_HZ=241000000u"),
        ("280 MHz", "ME_APP_MILLIVOLTS=700u;ME_APP_CLOCK_HZ=280000000u"),
        ("325MHz", "ME_APP_MILLIVOLTS=750u;ME_APP_CLOCK_HZ=325000000u"),
        ("high", "ME_APP_MILLIVOLTS=800u;ME_APP_CLOCK_HZ=370000000u"),
        ("300.5MHz", "ME_APP_MILLIVOLTS=750u;ME_APP_CLOCK_HZ=300500000u"),
        ("280.001 MHz", "ME_APP_MILLIVOLTS=750u;ME_APP_CLOCK_HZ=280001000u"),
        ("371MHz", "ME_POINT=371MHz: more than 370 MHz"),
        ("10MHz", "ME_APP_MILLIVOLTS=650u;ME_APP_CLOCK_HZ=10000000u"),
        ("9.999MHz", "ME_POINT=9.999MHz: less than 10 MHz"),
        ("300.MHz", "ME_POINT=300.MHz: no operating point, and no clock as 300MHz"),
        ("fast", "ME_POINT=fast: no operating point, and no clock as 300MHz"),
    ],
)
def test_voltage_of_a_clock(two: Build, tmp_path: Path, point: str, said: str) -> None:
    done = configuring(two, tmp_path, f"-DME_POINT={point}")
    assert said in " ".join((done.stdout + done.stderr).split())
    assert (done.returncode == 0) == said.startswith("ME_APP_")


@WITH_CMAKE
@pytest.mark.parametrize("point", ["", "-DME_POINT=240/10MHz", "-DME_POINT=240/10 MHz"])
def test_two_clocks_of_an_application(
    point: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The second one is in its sources."""
    build = applications.shared(tmp_path_factory, "chip at 240/10 MHz")
    said = configured(build, tmp_path, *filter(None, [point]))
    assert {"ME_APP_MILLIVOLTS=650u", "ME_APP_CLOCK_HZ=240000000u"} <= macros(said)


def test_energy_names_the_option_for_the_point_that_it_chose(two: Build, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(two.folder, tmp_path / "copy"))
    for options in (("--operating-point", "auto"), ("--latency", "1s")):
        told = command("energy", folder, *options, cwd=tmp_path)
        assert "cmake -DME_POINT=low " in told.out, told.err
    assert "ME_POINT" not in command("energy", folder, cwd=tmp_path).out


@WITH_CMAKE
@pytest.mark.parametrize(
    ("asked", "refuses", "form"),
    [
        ("word", "*ME_XPULP_INSN*|*ME_XPULP_NATIVE*", "ME_XPULP_WORD"),
        ("insn", "nothing", "ME_XPULP_INSN"),
        ("insn", "*ME_XPULP_INSN*", "ME_XPULP_WORD"),
        ("native", "nothing", "ME_XPULP_WORD"),
        ("word", "*ME_XPULP_*", "ME_SDK"),
        ("c", "nothing", "ME_SDK"),
    ],
)
def test_kernels_are_in_assembly_where_there_is_an_assembler(
    two: Build, tmp_path: Path, asked: str, refuses: str, form: str
) -> None:
    """The SDK's assembler has no .insn, the compiler of this package no mnemonics of Xpulpv2."""
    said = configured(two, tmp_path, f"-DME_ASSEMBLY={asked}", refuses=refuses)
    forms = {m for m in macros(said) if m == "ME_SDK" or m.startswith("ME_XPULP_")}
    assert forms == {form}
    warning = re.search(r"CMake Warning.*?kernels in C.*?2\.6 to 3\.7 times", said, re.DOTALL)
    assert bool(warning) == (form == "ME_SDK")


def test_the_digest_names_sources_and_l3(two: Build, deep: Build) -> None:
    files = {
        str(p.relative_to(two.folder / "src")): p.read_text()
        for p in sorted((two.folder / "src").rglob("*"))
        if p.is_file()
    }
    digest = build_digest(Sources(dict(sorted(files.items())), "", True), b"")
    text = (two.folder / SDK_FOLDER / "ports.c").read_text()
    assert f'"{marker("gap9", digest)}"' in text
    assert build_digest(Sources(files, "", True), b"\0") != digest
    assert digest not in (deep.folder / SDK_FOLDER / "ports.c").read_text()


def test_the_manifest_covers_the_application(two: Build) -> None:
    names = {name for name in two.manifest["files"] if name.startswith(f"{SDK_FOLDER}/")}
    assert {f"{SDK_FOLDER}/{name}" for name in ("CMakeLists.txt", "app.c", "ports.c")} <= names


def test_an_application_that_there_is_not(tmp_path: Path) -> None:
    model = save_exported(small_network(), (torch.zeros(1, 2, 12),), tmp_path / "m.pt2")
    np.save(tmp_path / "c.npy", np.zeros((4, 1, 2, 12), np.float32))
    for target, app in (("gap9", "zephyr"), ("host", "gap-sdk")):
        ran = command(
            *("build", model, "--calib", "random", "--app", app, "--target", target), cwd=tmp_path
        )
        assert (ran.code, "E204" in ran.err, "gap-sdk, mlperf, sensor (for gap9)" in ran.err) == (
            2,
            True,
            True,
        )
