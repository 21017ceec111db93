# SPDX-License-Identifier: Apache-2.0
"""The backend "gvsoc-sdk": the project gap_sdk/ around src/, its files and its identity, run on the
GVSoC of the GAP SDK (5.x); rows of `doctor` for the SDK and its cmake.

It was never run with a real SDK: configuration, targets and options follow public applications.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.backends.build import Build
from myoedge.backends.build_folder import IMAGES
from myoedge.backends.doctor import ToolRow, tool_row
from myoedge.backends.equivalence import chip_inputs
from myoedge.backends.measurement import (
    FirmwareFiles,
    Inference,
    LayerCost,
    Measurement,
    outputs_of,
)
from myoedge.backends.report_folder import damaged
from myoedge.backends.runner import Case, Runner
from myoedge.codegen.application import Application
from myoedge.codegen.port_values import stream_values
from myoedge.codegen.project import Sources, app_values
from myoedge.codegen.render import render
from myoedge.codegen.runtime import mram_values
from myoedge.errors import MyoedgeError, printable
from myoedge.numerics.arrays import Array
from myoedge.plan.plan import Plan, size_bytes
from myoedge.plan.plan_json import levels_bytes
from myoedge.streaming.stream import Stream
from myoedge.system import tools

SDK_FOLDER = "gap_sdk"
FIRMWARE = Path(__file__).with_name("firmware")
MARKER = "myoedge gap-sdk"  # prefix of the program's digest, by which it is found in an ELF file
CONSOLE = ("console.c", "console.h", "serve.c")  # files that an application replaces


def project_files(
    plan: Plan,
    model_name: str,
    sources: Sources,
    stream: Stream | None = None,
    application: Application | None = None,
) -> dict[str, str]:
    """Return the files of gap_sdk/ by their path there: CMake project, program, PMSIS runtime; they
    refer to ../src.

    application   program of `sources` that runs instead of the console
    """
    digest = build_digest(sources, plan.image("l3") + plan.image("mram"))
    values = {
        **app_values(plan, model_name, sources.digest),
        "stream": stream is not None,
        "app": application.name if application is not None else "",
        "app_sources": []
        if application is None
        else application.sources_in(SDK_FOLDER, sources.files),
        **({} if stream is None else _ports(plan, stream)),
        "marker": marker(plan.chip.name, digest),
        "l3_all_bytes": plan.image_bytes("l3") + plan.map_bytes,
        "points": plan.chip.points,
        "lowest_hz": plan.chip.least_hz(levels_bytes(plan)),
        "voltages": plan.chip.voltages,
        **mram_values(plan),
        "target": image_target(plan.image_files),
    }
    files = _render_folder(values)
    if application is not None:
        files = {name: text for name, text in files.items() if name not in CONSOLE}
        files |= application.files_in(SDK_FOLDER)
    return files


def _ports(plan: Plan, stream: Stream) -> dict[str, Any]:
    """Return template values for the frames that are pushed and the output frames of a pass,
    without states."""
    pushed = stream_values(plan, stream)["inputs"]
    counts = {
        "inputs": [port["outer"] * port["piece_bytes"] for port in pushed],
        "outputs": [size_bytes(plan.quant, port.name) for port in stream.outputs],
    }
    row = {"type": "int8_t", "map": None}
    return {
        name: [{**row, "number": i, "count": count} for i, count in enumerate(sizes)]
        for name, sizes in counts.items()
    }


def _render_folder(values: Mapping[str, Any]) -> dict[str, str]:
    """Return path in gap_sdk/ -> text for all files of the template folder."""
    files = {}
    for path in sorted(path for path in FIRMWARE.rglob("*") if path.is_file()):
        name, made = path.relative_to(FIRMWARE).as_posix(), path.suffix == ".j2"
        text = render(name, values, FIRMWARE) if made else path.read_text()
        files[name.removesuffix(".j2")] = text
    return files


def build_digest(sources: Sources, images: bytes) -> str:
    """Return the sha256 of all files of src/, with their names, and of l3.bin and mram.bin."""
    digest = hashlib.sha256()
    for name, text in sources.files.items():
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    digest.update(images)
    return digest.hexdigest()


def marker(chip: str, digest: str) -> str:
    """Return the identity that an application reports: chip and digest of the build."""
    return f"{MARKER} {chip} {digest}"


def marker_of(build: Build) -> str:
    """Return the identity of a build's application. Errors: E240 a build without one."""
    needs = {"needs": "an application of the GAP SDK"}
    text = build.having(f"{SDK_FOLDER}/ports.c", "application", needs, app="gap-sdk").decode()
    found = re.search(rf"{MARKER} \w+ [0-9a-f]{{64}}", text)
    assert found is not None, "as ports.c.j2 has it"
    return found.group()


def image_target(images: Container[str]) -> str:
    """Return the target of gap_sdk/CMakeLists.txt that makes an image of the program; l3.cmake has
    that with weights.

    images   files of memory levels that the build has: "l3.bin", "mram.bin"
    """
    return "image_with_l3" if any(name in images for name in IMAGES) else "image"


def image_step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the commands that compile a build's application with the GAP SDK, if it has one."""
    source = build.folder / SDK_FOLDER
    if not source.is_dir():
        return
    if "GAP_SDK_HOME" not in os.environ:
        yield ". GAP9_SDK/configs/gap9_evk_audio.sh   # GAP9_SDK: the folder of the GAP SDK"
    made = source / "build"
    target = image_target(build.digests)
    yield printable(shlex.join(["cmake", "-S", str(source), "-B", str(made)]))
    yield printable(shlex.join(["cmake", "--build", str(made), "--target", target]))


NAME = "gvsoc-sdk"
SETUP = "utils/cmake/setup.cmake"  # in an SDK
SOURCE = "source GAP9_SDK/configs/gap9_evk_audio.sh, which sets GAP_SDK_HOME"
PLATFORMS = ("CONFIG_PLATFORM_BOARD=y", "CONFIG_PLATFORM_GVSOC=y")  # written by build; run here
OPTIONS = ("-DME_UART=OFF", "-DME_PRINT_OUTPUTS=ON")
TIMEOUT_S = 3600.0
PARTS = ("src", "gap_sdk", "l3.bin", "mram.bin")


@dataclass(frozen=True, slots=True)
class Sdk:
    """A GAP SDK named by the environment.

    home    its folder
    cmake   the cmake that builds with it
    """

    home: Path
    cmake: str


def find() -> Sdk:
    """Return the GAP SDK in $GAP_SDK_HOME. Errors: E501 no SDK, or no cmake."""
    home, cmake = os.environ.get("GAP_SDK_HOME", ""), shutil.which("cmake")
    if not home or not os.path.isfile(Path(home, SETUP)):
        facts = {"GAP_SDK_HOME": home or "not set", "needs": SETUP}
        raise MyoedgeError("E501", "there is no GAP SDK", facts, (SOURCE, "--on simulator"))
    if cmake is None:
        tries = ("install cmake", "--on simulator")
        raise MyoedgeError("E501", "cmake is missing, with which the GAP SDK builds", tries=tries)
    return Sdk(Path(home).absolute(), os.path.abspath(cmake))


def run_application(
    build: Path, marker: str, files: FirmwareFiles, *, timeout_s: float = TIMEOUT_S
) -> Measurement:
    """Build the application for the SDK's GVSoC and run an inference for each sample.

    marker      identity that the program prints
    timeout_s   of each run
    The build folder stays unchanged.
    Errors: E222 files are gone; E501 no SDK, or one that does not build it; E502 too slow; E710,
    E711 incomplete output.
    """
    sdk = find()
    with tools.scratch() as folder:
        for part in PARTS:
            source = build / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("build", "BUILD")
                shutil.copytree(source, folder / part, ignore=ignored)
            elif source.is_file():
                shutil.copyfile(source, folder / part)
        _edit_file(build, folder, "gap_sdk/sdk.config", lambda text: text.replace(*PLATFORMS))
        made = folder / "made"
        _cmake(sdk, build, folder, "-S", str(folder / "gap_sdk"), "-B", str(made), *OPTIONS)
        rows, printed = [], ""
        for sample in files.samples:
            _edit_file(build, folder, "src/golden.h", partial(_with_inputs, sample))
            _cmake(sdk, build, folder, "--build", str(made))
            command = (sdk.cmake, "--build", str(made), "--target", "run")
            environment = _environment(sdk, folder)
            done = tools.run(command, cwd=folder, env=environment, timeout_s=timeout_s)
            rows.append(_parse_inference(done, marker, files))
            printed += done.stdout
    return Measurement(NAME, tuple(rows), printed=printed)


def _edit_file(build: Path, folder: Path, name: str, change: Callable[[str], str]) -> None:
    """Edit a file in `folder`, the copy of a build folder, by `change` (text -> text). Errors: E222
    no such file there."""
    file = folder / name
    try:
        file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(build, error, name) from None


def _environment(sdk: Sdk, folder: Path) -> Mapping[str, str]:
    """Return environment variables for the SDK's macros: its folder, and l3.bin in the flash."""
    home, file = {"GAP_SDK_HOME": str(sdk.home)}, folder / "l3.bin"
    if not file.is_file():
        return home
    return {**home, "runner_args": f"--flash-property={file}@flash:readfs_flash:files"}


def _cmake(sdk: Sdk, build: Path, folder: Path, *arguments: str) -> None:
    """Run cmake in `folder`, the copy of a build folder. Errors: E501 it fails."""
    command = (sdk.cmake, *arguments)
    done = tools.run(command, cwd=folder, env=_environment(sdk, folder), timeout_s=TIMEOUT_S)
    if done.returncode != 0:
        facts = {"SDK": sdk.home, "output": _last_output(done)}
        source = build / "gap_sdk"
        places = f"-S {shlex.quote(str(source))} -B {shlex.quote(str(source / 'build'))}"
        tries = ("--on simulator", f"cmake {places}, to see all of it")
        raise MyoedgeError("E501", "the GAP SDK does not build the application", facts, tries)


def _last_output(done: tools.CompletedProcess) -> str:
    return (done.stdout + done.stderr).strip()[-600:]


def _with_inputs(sample: Sequence[Array], text: str) -> str:
    """Return golden.h with the golden sample, which the application runs, replaced by a sample."""
    for number, values in enumerate(sample):
        array = ", ".join(str(int(x)) for x in np.ravel(values))
        text = re.sub(
            rf"(golden_input{number}\[\d+\] = \{{)[^}}]*\}}", rf"\g<1>\n{array}\n}}", text, count=1
        )
    return text


def _parse_inference(done: tools.CompletedProcess, marker: str, files: FirmwareFiles) -> Inference:
    """Parse outputs and cycles that the application printed. Errors: E710 outputs of the wrong
    size, E711 no inference."""
    text = done.stdout
    counts = re.findall(r"(?m)^layer (\d+): (\d+) cycles", text)
    layers = {int(number): int(cycles) for number, cycles in counts}
    total = re.search(r"(?m)^all: (\d+) cycles", text)
    is_whole = marker in text and sorted(layers) == list(range(files.layers))
    if done.returncode != 0 or total is None or not is_whole:
        facts = {"exit code": done.returncode, "output": _last_output(done)}
        raise MyoedgeError("E711", "the application did not run to its end", facts)
    rows = re.findall(r"(?m)^output \d+: ((?:[0-9a-f]{2})*)\r?$", text)
    (outputs,) = outputs_of(bytes.fromhex("".join(rows)), files.specs, 1)
    costs = tuple(LayerCost(layers[i]) for i in range(files.layers))
    return Inference(outputs, int(total.group(1)), costs)


def run_on_gvsoc_sdk(build: Build, inputs: Sequence[Sequence[Array]]) -> Measurement:
    """Build the GAP SDK application for the SDK's GVSoC and run it there.

    Errors: E204 a stream, E240 no application, otherwise as run_application.
    """
    if build.stream is not None:
        title = f"frames of {build.folder.name} arrive only over the serial line"
        raise MyoedgeError("E204", title, tries=["--on gvsoc", "--on simulator"])
    return run_application(build.folder, marker_of(build), build.files(inputs))


def _measure(build: Build, runs: Sequence[Case]) -> Measurement:
    return run_on_gvsoc_sdk(build, chip_inputs(build.stream, runs))


def _marker_of_build(build: Build, board: str | None, port: str | None) -> object:
    return marker_of(build)


RUNNER = Runner(measure=_measure, find=find, connect=_marker_of_build)


# --- rows of doctor -------------------------------------------------------------------------------


ON_GVSOC_SDK = ("validate --on gvsoc-sdk", "simulate --on gvsoc-sdk")


def gap_sdk() -> ToolRow:
    """Return the row of the SDK in $GAP_SDK_HOME."""
    home = os.environ.get("GAP_SDK_HOME", "")
    place = ("", home) if home and os.path.exists(os.path.join(home, SETUP)) else None
    return tool_row("gap_sdk", "", ON_GVSOC_SDK, "source GAP9_SDK/configs/gap9_evk_audio.sh", place)


def cmake() -> ToolRow:
    """Return the row of cmake."""
    program = shutil.which("cmake")
    place = None if program is None else ("", program)
    return tool_row("cmake", "", ON_GVSOC_SDK, "sudo apt-get install cmake", place)
