# SPDX-License-Identifier: Apache-2.0
"""gap_sdk/ built by stand-ins of the SDK's macros and make rules: sources, gapy and l3.bin."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build, load_build
from myoedge.building.config import Found, from_tables
from myoedge.building.config_tables import Config
from myoedge.errors import MyoedgeError
from myoedge.extensions.gap_sdk.gvsoc import SDK_FOLDER, image_step, marker_of
from myoedge.extensions.mlperf.application import Dataset
from myoedge.system import tools
from myoedge.system.folder import check_output
from tests.conftest import save_exported

# setupos as utils/cmake/macros.cmake of gap_sdk 3c2f102b: GAPY_RUNNER_ARGS becomes $runner_args as
# of building, whatever it was.
SETUP = """
set(CMAKE_C_COMPILER {folder}/compiler)
set(CMAKE_ASM_COMPILER {folder}/compiler)
set(CMAKE_C_COMPILER_FORCED TRUE)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
macro(setupos TARGET)
  if(${{CMAKE_GENERATOR}} STREQUAL "Ninja")
    set(GAPY_RUNNER_ARGS $$runner_args)
  else()
    set(GAPY_RUNNER_ARGS $(runner_args))
  endif()
  add_custom_target(image DEPENDS ${{TARGET}}
    COMMAND gapy --work-dir=${{CMAKE_BINARY_DIR}} image --binary=x ${{GAPY_RUNNER_ARGS}})
  add_custom_target(flash DEPENDS image
    COMMAND gapy --work-dir=${{CMAKE_BINARY_DIR}} flash --binary=x ${{GAPY_RUNNER_ARGS}})
endmacro()
"""
COMPILER = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
: > "$2"
"""
GAPY = f"""#!{sys.executable}
import json, pathlib, sys
with pathlib.Path(__file__).with_name("called").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
LAYOUT = Path("utils/layouts/default_layout_multi_readfs.json")
GAPY_2 = Path("utils/gapy_v2/bin")
GENERATORS = [
    name
    for name, tool in (("Unix Makefiles", "make"), ("Ninja", "ninja"))
    if shutil.which(tool) and shutil.which("cmake")
]


@pytest.fixture
def gap_sdk(tmp_path: Path) -> Path:
    """Folder of an SDK: macros, a compiler that writes empty files, a gapy that records."""
    folder = tmp_path / "sdk"
    setup = folder / "utils" / "cmake" / "setup.cmake"
    setup.parent.mkdir(parents=True)
    setup.write_text(SETUP.format(folder=folder))
    for name, text in (("compiler", COMPILER), ("gapy", GAPY)):
        program = folder / name
        program.write_text(text)
        program.chmod(0o755)
    return folder


@pytest.fixture
def project(weights_in_l3: Build, tmp_path: Path) -> Path:
    """Copy of a build; make writes into gap_sdk/."""
    return Path(shutil.copytree(weights_in_l3.folder, tmp_path / "copy")).resolve()


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> str:
    """$PATH, without options of a make around this test and runner_args of the user."""
    for name in ("MAKEFLAGS", "runner_args"):
        monkeypatch.delenv(name, raising=False)
    return os.environ["PATH"]


def gapy_calls(
    build: Build, gap_sdk: Path, path: str, generator: str, *targets: str
) -> list[list[str]]:
    """Arguments of each call of gapy, as the targets are built one after another."""
    folder, env = gap_sdk / "build", {"GAP_SDK_HOME": str(gap_sdk), "PATH": f"{gap_sdk}:{path}"}
    commands = [("-G", generator, "-S", str(build.folder / SDK_FOLDER), "-B", str(folder))]
    commands += [("--build", str(folder), "--target", target) for target in targets]
    for options in commands:
        done = tools.run(["cmake", *options], cwd=gap_sdk, env=env, timeout_s=120)
        assert done.returncode == 0, done.stdout + done.stderr
    (called,) = gap_sdk.rglob("called")
    return [json.loads(line) for line in called.read_text().splitlines()]


def l3_files(arguments: list[str]) -> list[bytes]:
    """Contents of the files that go into the octal flash's file system."""
    names = [text.removeprefix("--flash-property=") for text in arguments]
    end = "@flash:readfs_flash:files"
    return [Path(text.removesuffix(end)).read_bytes() for text in names if text.endswith(end)]


@pytest.mark.parametrize("generator", GENERATORS)
def test_l3_bin_is_in_the_images_of_5_21(
    weights_in_l3: Build, gap_sdk: Path, path: str, generator: str
) -> None:
    """By a layout of both flashes, with the program and what boots it in MRAM."""
    (gap_sdk / LAYOUT).parent.mkdir()
    (gap_sdk / LAYOUT).write_text("{}")
    (gap_sdk / GAPY_2).mkdir(parents=True)
    shutil.copy(gap_sdk / "gapy", gap_sdk / GAPY_2)
    image, flash = gapy_calls(
        weights_in_l3, gap_sdk, path, generator, "image_with_l3", "flash_with_l3"
    )
    program = gap_sdk / "build" / "myoedge_app"
    assert (gap_sdk / GAPY_2 / "called").exists(), "gapy_v2, not the one of $PATH"
    for call in (image, flash):
        assert l3_files(call) == [weights_in_l3.l3_image]
        assert f"--multi-flash-content={gap_sdk / LAYOUT}" in call
        assert f"--flash-property={program}@mram:app:binary" in call
        in_mram = [text.split("@mram:")[1] for text in call if "@mram:" in text]
        assert in_mram == ["fsbl:binary", "ssbl:binary", "app:binary"]
    assert [text for text in image if not text.startswith("--")] == ["image"]
    assert [text for text in flash if not text.startswith("--")] == ["image", "flash"]


@pytest.mark.parametrize("generator", GENERATORS)
def test_l3_bin_is_in_the_image_of_macros_that_replace_the_list(
    weights_in_l3: Build, gap_sdk: Path, path: str, generator: str
) -> None:
    without, image = gapy_calls(weights_in_l3, gap_sdk, path, generator, "image", "image_with_l3")
    assert l3_files(without) == [], "the macros replace it, so image_with_l3 is needed"
    assert l3_files(image) == [weights_in_l3.l3_image]


def configured(build: Build, gap_sdk: Path, path: str) -> dict[str, str]:
    """File name -> command of each C file that cmake compiles for a build."""
    folder = build.folder.parent / "cmake"
    options = ("-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-S", str(build.folder / SDK_FOLDER))
    env = {"GAP_SDK_HOME": str(gap_sdk), "PATH": path}
    done = tools.run(["cmake", *options, "-B", str(folder)], cwd=gap_sdk, env=env, timeout_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((folder / "compile_commands.json").read_text())
    return {Path(row["file"]).name: row["command"] for row in rows}


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_the_application_of_mlperf_tiny_has_its_protocol(
    gap_sdk: Path, path: str, tmp_path: Path
) -> None:
    model = save_exported(nn.Linear(4, 2).eval(), (torch.zeros(1, 4),), tmp_path / "m.pt2")
    config = Found(Config(tables={"mlperf": Dataset("ic01", "uint8")}), Path())
    build = myoedge.build(
        model, calib="random", app="mlperf", config=config, output=tmp_path / "out"
    )
    commands = configured(build, gap_sdk, path)
    assert {*commands} >= {"app.c", "serve.c", "line.c", "mlperf.c", "mlperf_values.c", "network.c"}
    assert commands.keys().isdisjoint({"main.c", "console.c"})
    assert all("/src/firmware/mlperf" in command for command in commands.values())


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_the_sensor_application_has_its_own_port(gap_sdk: Path, path: str, tmp_path: Path) -> None:
    model = save_exported(nn.Linear(8, 2).eval(), (torch.zeros(1, 8),), tmp_path / "m.pt2")
    sensor = {"rate": 1000, "hop": 1, "channels": 8, "unit": "uV", "pins": {"data_ready": 42}}
    config = Found(from_tables({"sensor": sensor}, "myoedge.toml"), Path())
    build = myoedge.build(
        model, calib="random", app="sensor", config=config, output=tmp_path / "out", simulate=False
    )
    compiled = configured(build, gap_sdk, path).keys()
    assert compiled >= {"app.c", "port_sdk.c", "sensor.c", "ads129x.c", "decision.c", "network.c"}
    assert compiled.isdisjoint({"main.c", "console.c", "serve.c", "port_gap9.c", "cluster.c"})


CONFIGURATION = """
export GAP_SDK_HOME={folder}
export PATH={folder}:$PATH
"""


@pytest.fixture
def installed(gap_sdk: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An SDK whose configuration has to be sourced."""
    (gap_sdk / "configs").mkdir()
    lines = CONFIGURATION.format(folder=gap_sdk)
    (gap_sdk / "configs" / "gap9_evk_audio.sh").write_text(lines)
    monkeypatch.delenv("GAP_SDK_HOME", raising=False)
    return gap_sdk


def shell_runs(lines: list[str], folder: Path, gap_sdk: Path) -> list[str]:
    """Runs lines of a shell with the SDK in place of GAP9_SDK; the last arguments of gapy."""
    text = "\n".join(["set -e", *lines]).replace("GAP9_SDK", str(gap_sdk))
    done = subprocess.run(["sh", "-c", text], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [str(x) for x in json.loads((gap_sdk / "called").read_text().splitlines()[-1])]


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_the_lines_that_build_prints_make_the_image(project: Path, installed: Path) -> None:
    lines = [line.partition("   #")[0] for line in image_step(load_build(project), {})]
    image = shell_runs(lines, project.parent, installed)
    assert l3_files(image) == [(project / "l3.bin").read_bytes()]


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_the_lines_of_its_readme_make_the_image(project: Path, installed: Path) -> None:
    readme = (project / SDK_FOLDER / "README.md").read_text()
    lines = [line.strip() for line in readme.splitlines() if line.startswith("    ")]
    assert [line for line in lines if line.startswith("myoedge")] == [
        "myoedge flash ..",
        "myoedge run ..",
    ]
    image = shell_runs(lines[:-2], project / SDK_FOLDER, installed)
    assert l3_files(image) == [(project / "l3.bin").read_bytes()]
    cmake = (project / SDK_FOLDER / "CMakeLists.txt").read_text()
    for option in re.findall(r"-D(ME_\w+)=", readme):
        assert f"set({option} " in cmake


# Spellings of a driver in the configurations of 5.x that are public: Deeploy's, gap_utils' flasher.
DRIVERS = {"UART": "UDMAUART", "CLUSTER": "CLUSTERTEAM"}


def test_the_configuration_of_5_has_the_board_and_both_spellings(
    two: Build, weights_in_l3: Build
) -> None:
    def settings(build: Build) -> dict[str, str]:
        lines = (build.folder / SDK_FOLDER / "sdk.config").read_text().splitlines()
        pairs = [line.split("=") for line in lines if not line.startswith("#")]
        assert len({key for key, _ in pairs}) == len(pairs)
        return {key.removeprefix("CONFIG_"): value for key, value in pairs}

    for build in (two, weights_in_l3):
        assert settings(build)["PLATFORM_BOARD"] == "y"
        drivers = {f"DRIVER_{name}" for name in (*DRIVERS, *DRIVERS.values())}
        assert drivers <= settings(build).keys()
    memories = {"DRIVER_APS256XXN", "DRIVER_MX25U51245G", "DRIVER_MRAM", "DRIVER_READFS"}
    assert settings(weights_in_l3).keys() - settings(two).keys() >= memories, (
        "MRAM has the table of l3.bin"
    )


def test_an_edited_configuration_is_taken_and_kept(project: Path) -> None:
    """A build folder with it loads, and no later build overwrites it."""
    with (project / SDK_FOLDER / "sdk.config").open("a") as file:
        file.write("CONFIG_DRIVER_MINE=y\n")
    assert marker_of(load_build(project))
    with pytest.raises(MyoedgeError, match=r"gap_sdk/sdk\.config") as caught:
        check_output(project)
    assert caught.value.code == "E221"


# ---- make, for SDK 4.x

# As freeRTOS_rules.mk of gap_sdk 3c2f102b: an object for each source, named without its ending.
RULES = """
ifneq ($(words $(APP)),1)
$(error APP names no program)
endif
OBJECTS = $(APP_SRCS:%.c=%.o) $(APP_ASM_SRCS:%.S=%.o)
ifneq ($(words $(OBJECTS)),$(words $(sort $(OBJECTS))))
$(error two sources have one object)
endif
$(foreach f,$(APP_SRCS) $(READFS_FILES),$(if $(wildcard $f),,$(error $f is missing)))
$(foreach d,$(APP_INC),$(if $(wildcard $d/.),,$(error $d is no folder)))
all: $(APP_ASM_SRCS)
\t@$(foreach f,$(APP_SRCS),echo SOURCE $f;)
\t@$(foreach f,$(APP_ASM_SRCS),echo ASSEMBLY $f;)
\t@$(foreach f,$(READFS_FILES),echo FILE $f;)
\t@echo FLAGS '$(APP_CFLAGS)'
"""


WITH_MAKE = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@WITH_MAKE
@pytest.mark.parametrize(
    "name",
    ["a blank", "dollar$(touch made)", "dollar$(touch${IFS}made)", "tick`id`", "a;id", "a#b"],
)
def test_make_of_4_refuses_a_path_that_it_would_split_or_execute(
    project: Path, gap_sdk: Path, name: str
) -> None:
    rules = gap_sdk / "utils" / "rules" / "pmsis_rules.mk"
    rules.parent.mkdir()
    rules.write_text(RULES)
    folder = project.rename(project.with_name(name)) / SDK_FOLDER
    env = {"GAP_SDK_HOME": str(gap_sdk), "MAKEFLAGS": ""}
    for options in (("-C", folder), ("-f", folder / "Makefile")):
        done = tools.run(["make", *options], cwd=gap_sdk, env=env)
        assert (done.returncode, "move the build folder" in done.stderr) == (2, True), done.stdout
    assert not [*gap_sdk.parent.rglob("made")]


def test_an_sdk_that_is_not_set_is_named(
    project: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GAP_SDK_HOME", raising=False)
    folder = project / SDK_FOLDER
    programs = {"make": ("-C", folder), "cmake": ("-S", folder, "-B", folder / "build")}
    for program in filter(shutil.which, programs):
        done = tools.run([program, *programs[program]], cwd=project)
        assert done.returncode != 0
        assert "GAP_SDK_HOME is not set: source configs/" in " ".join(done.stderr.split())


@WITH_MAKE
def test_make_of_4_takes_the_project(project: Path, gap_sdk: Path) -> None:
    """Variables that utils/rules/pmsis_rules.mk reads: sources that there are, l3.bin, flags."""
    rules = gap_sdk / "utils" / "rules" / "pmsis_rules.mk"
    rules.parent.mkdir()
    rules.write_text(RULES)
    options = ("ME_CLOCK_HZ=240000000", "ME_MILLIVOLTS=650", "ME_BAUD_RATE=1000000")
    env = {"GAP_SDK_HOME": str(gap_sdk), "MAKEFLAGS": ""}
    done = tools.run(["make", "-C", project / SDK_FOLDER, *options], cwd=gap_sdk, env=env)
    assert done.returncode == 0, done.stderr
    said = [line.split(" ", 1) for line in done.stdout.splitlines() if " " in line]

    def named(kind: str) -> list[Path]:
        return [Path(value) for key, value in said if key == kind]

    src = project / "src"
    wanted = {src / "network.c", src / "info.c", src / "weights.c", *(src / "library").glob("*.c")}
    assert {*named("SOURCE")} == wanted | {*(project / SDK_FOLDER).glob("*.c")}
    texts = sorted(path.read_text() for path in named("ASSEMBLY"))
    assert texts == sorted(path.read_text() for path in (src / "library").glob("*.S"))
    assert texts, "there are kernels in assembly"
    assert named("FILE") == [project / "l3.bin"]
    (flags,) = (value.split() for key, value in said if key == "FLAGS")
    defines = {
        "ME_PMSIS",
        "ME_SDK_4",
        "ME_APP_MILLIVOLTS=650u",
        "ME_UART=1",
        "ME_BAUD_RATE=1000000u",
    }
    assert {f"-D{define}" for define in (*defines, "ME_XPULP_WORD")} <= {*flags}


@WITH_MAKE
@pytest.mark.parametrize(
    ("clock_hz", "millivolts", "fits"),
    [
        ("240000000", "650", True),
        ("280000001", "750", True),
        ("370000000", "800", True),
        ("239999999", "650", False),
        ("280000001", "700", False),
        ("370000001", "800", False),
        ("300MHz", "800", False),
        ("300000000", "850", False),
    ],
)
def test_make_of_4_takes_clocks_that_the_voltage_allows(
    project: Path, gap_sdk: Path, clock_hz: str, millivolts: str, fits: bool
) -> None:
    rules = gap_sdk / "utils" / "rules" / "pmsis_rules.mk"
    rules.parent.mkdir()
    rules.write_text(RULES)
    options = (f"ME_CLOCK_HZ={clock_hz}", f"ME_MILLIVOLTS={millivolts}")
    env = {"GAP_SDK_HOME": str(gap_sdk), "MAKEFLAGS": ""}
    done = tools.run(["make", "-C", project / SDK_FOLDER, *options], cwd=gap_sdk, env=env)
    assert (done.returncode == 0) == fits, done.stderr
    says = f"ME_CLOCK_HZ={clock_hz} at ME_MILLIVOLTS={millivolts}: clocks are 240000000 to"
    assert (says in done.stderr) != fits
    assert ("280000000 at 700, 325000000 at 750" in done.stderr) != fits
