# SPDX-License-Identifier: Apache-2.0
"""Builds for Cortex-M: the integers of GAP9's cores, memory as the linker has it, exact in QEMU."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from elftools.elf.elffile import ELFFile
from torch import nn

import myoedge
from myoedge.codegen.firmware import link
from myoedge.errors import MyoedgeError
from myoedge.extensions.qemu import runner
from myoedge.extensions.qemu.report import table
from myoedge.reports.check import check_reports
from myoedge.system import tools
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.conftest import Ran, edit_as_if_generated, save_exported
from tests.golden.test_golden import NETWORKS, drawn
from tests.support.networks.small import resnet8
from tests.unit.test_loops import Loop, Plain
from tests.unit.test_trees import of_classes, with_ml

in_qemu = pytest.mark.skipif(
    shutil.which(runner.QEMU) is None, reason=f"{runner.QEMU} is not installed"
)
CORES = [*BOARDS]


def odd_channels() -> nn.Module:
    """Rows of 7 and 9 bytes, so that words and halves begin anywhere."""
    first, second = nn.Conv1d(5, 7, 3, padding=1), nn.Conv1d(7, 7, 5, groups=7)
    return nn.Sequential(
        first, nn.ReLU(), second, nn.Conv1d(7, 9, 1), nn.Flatten(), nn.Linear(81, 5)
    )


class Gestures(nn.Module):
    """An LSTM over 12 frames, and classes from its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 10, batch_first=True), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.lstm(x)[0][:, -1])
        return scores


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    **{name: (golden.make, golden.shape, golden.config) for name, golden in NETWORKS.items()},
    "lstm": (Gestures, (1, 12, 6), ""),
    "loop": (lambda: Loop(Plain(), 18, states=1, last=True), (1, 18, 3), ""),
    "int16": (resnet8, (1, 3, 32, 32), '[quant]\n"*" = { activations = 16 }\n'),
    "wide rows": (
        NETWORKS["mlp"].make,
        (1, 16),
        '[quant]\n"*" = { activations = 16, weights = 8 }\n',
    ),
    "odd": (odd_channels, (1, 5, 13), ""),
    "few bits": (NETWORKS["mlp"].make, (1, 16), '[quant]\n"*" = { weights = 4 }\n'),
}


def built(name: str, folder: Path, target: str, **options: Any) -> myoedge.Build:
    make, shape, config = MODULES[name]
    model = save_exported(drawn(make()), (torch.zeros(shape),), folder / "model.pt2")
    samples = np.random.default_rng(1).standard_normal((8, *shape), np.float32)
    (folder / "myoedge.toml").write_text(config)
    own = {"config": folder / "myoedge.toml", "stream": name == "stream", "engine": "cores"}
    return myoedge.build(
        model, calib=samples, output=folder / target, target=target, **{**own, **options}
    )


@in_qemu
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("target", CORES)
def test_every_layer_is_exact(name: str, target: str, tmp_path: Path) -> None:
    checked = myoedge.validate(built(name, tmp_path, target), on="qemu")
    assert checked.exact["qemu"], checked.difference


@in_qemu
def test_trees_are_exact(tmp_path: Path) -> None:
    made = with_ml(
        of_classes(np.random.default_rng(3), "SOFTMAX", [0, 1, 2], 3), outputs=("label", "y")
    )
    onnx.save(made, tmp_path / "trees.onnx")
    shape = [axis.dim_value or 1 for axis in made.graph.input[0].type.tensor_type.shape.dim]
    samples = np.random.default_rng(0).standard_normal((64, *shape), np.float32)
    build = myoedge.build(
        tmp_path / "trees.onnx", calib=samples, output=tmp_path / "out", target="cortex-m4"
    )
    checked = myoedge.validate(build, on="qemu")
    assert checked.exact["qemu"], checked.difference


@in_qemu
@pytest.mark.parametrize("options", [{"checks": True}, {"weights_blob": True}, {"prefix": "emg"}])
@pytest.mark.parametrize("name", ["conv", "stream"])
def test_other_forms_of_the_c_are_exact(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    checked = myoedge.validate(built(name, tmp_path, "cortex-m4", **options), on="qemu")
    assert checked.exact["qemu"], checked.difference


@in_qemu
def test_a_wrong_weight_is_found_in_its_layer(tmp_path: Path) -> None:
    """The C that runs is that of the folder: with another weight it gives other integers there."""
    build = built("mlp", tmp_path, "cortex-m4")

    def edited(text: str) -> str:
        start = text.index("{", text.index("l01_linear_weights")) + 1
        end = text.index(",", start)
        return f"{text[:start]} {-int(text[start:end]) or 99}{text[end:]}"

    edit_as_if_generated(build.folder, edited, "src/weights.c")
    checked = myoedge.validate(build.folder, on="qemu")
    assert checked.difference is not None
    assert (checked.difference.backend, checked.difference.layer) == ("qemu", 1)


@pytest.mark.parametrize("name", ["conv", "gru", "stream"])
def test_integers_and_weights_are_those_of_gap9s_cores(name: str, tmp_path: Path) -> None:
    folders = [built(name, tmp_path, target).folder for target in ("gap9", *CORES)]
    for file in ("graph.json", "weights.safetensors", "golden/output.npz"):
        contents = {(folder / file).read_bytes() for folder in folders}
        assert len(contents) == 1, file


def sections(elf: bytes) -> dict[str, tuple[int, int]]:
    """Address and bytes of each section that a program has in memory."""
    found = ELFFile(io.BytesIO(elf)).iter_sections()
    return {s.name: (s["sh_addr"], s["sh_size"]) for s in found if s["sh_flags"] & 2}


@pytest.mark.parametrize("target", CORES)
def test_memory_is_what_the_linker_laid_out(target: str, tmp_path: Path) -> None:
    """RAM has .data, .bss and nothing of the weights, which are in the flash with the code."""
    build = built("conv", tmp_path, target)
    memory, found = build.report["memory"], sections((build.folder / "firmware.elf").read_bytes())
    ram = ("arena_bytes", "input_bytes", "output_bytes", "variables_bytes")
    assert sum(memory[name] for name in ram) == found[".data"][1] + found[".bss"][1]
    flash = sum(found[name][1] for name in (".vectors", ".text", ".rodata", ".data"))
    assert memory["weights_bytes"] + memory["code_bytes"] == flash
    weights = sum(
        array.nbytes for array in build.network.constants.values() if array.dtype == np.int8
    )
    assert memory["weights_bytes"] >= weights
    assert memory["variables_bytes"] < 1024


@in_qemu
@pytest.mark.parametrize(("target", "step"), [("cortex-m4", "40"), ("cortex-m55", "31.25")])
def test_instructions_are_counted_alike_in_every_run(
    target: str, step: str, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    """Those of the layers are all; a count is one of ticks."""
    folder, found = built("lstm", tmp_path, target).folder, []
    for _ in range(2):
        assert run("validate", folder, "--on", "qemu").code == 0
        found.append(json.loads((folder / "report.json").read_text())["instructions"])
    assert found[0] == found[1]
    total, layers = found[0]["total"], found[0]["layers"]
    macs = json.loads((folder / "report.json").read_text())["model"]["macs"]
    assert macs < total < 12 * macs
    assert sum(layers) == total
    assert min(layers) > 0
    assert total == round(round(total / float(step)) * float(step))
    told = " ".join(run("report", folder).out.split())
    assert f"{total:,}, {total / macs:.2f} per MAC" in told
    assert f"in steps of {step};" in told


def test_a_layer_within_a_tick_takes_less_than_one(tmp_path: Path) -> None:
    report = dict(built("mlp", tmp_path, "cortex-m4").report)
    report["instructions"] = {"layers": [0, *[80] * (len(report["layers"]) - 1)]}
    assert [row[1] for row in table(report).rows][:2] == ["under 40", "80"]


def test_a_check_compares_weights_in_flash(tmp_path: Path) -> None:
    reports = []
    for name in ("few bits", "mlp"):
        (tmp_path / name).mkdir()
        reports.append(built(name, tmp_path / name, "cortex-m4").report)
    failed = {row.change.fact.title for row in check_reports(reports[0], reports[1], {}).failed}
    assert "weights in flash" in failed


def test_without_qemu_the_error_has_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Ran]
) -> None:
    build = built("mlp", tmp_path, "cortex-m4")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MyoedgeError) as refused:
        myoedge.validate(build, on=("host", "qemu"))
    assert refused.value.code == "E501"
    assert refused.value.notice.tries == (f"sudo apt-get install {runner.QEMU}",)
    rows = {row["name"]: row for row in run("doctor", "--json").json["tools"]}
    assert (rows["qemu"]["state"], rows["qemu"]["needed"]) == ("missing", False)
    assert rows["qemu"]["fix"] == f"sudo apt-get install {runner.QEMU}"


@pytest.mark.parametrize(
    ("target", "backend"), [("cortex-m4", "simulator"), ("cortex-m4", "gvsoc"), ("gap9", "qemu")]
)
def test_a_backend_refuses_builds_for_other_chips(
    target: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # whatever tools are missing
    with pytest.raises(MyoedgeError) as refused:
        myoedge.validate(built("mlp", tmp_path, target), on=backend)
    assert refused.value.code == "E240"


@pytest.mark.parametrize("region", ["FLASH", "RAM"])
def test_what_does_not_fit_is_refused(
    region: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flash overflows when the program is linked, RAM in the plan."""
    if region == "FLASH":
        regions = find_chip("cortex-m4").program.regions  # type: ignore[union-attr]
        monkeypatch.setitem(regions, "FLASH", 4096)  # type: ignore[arg-type]
    with pytest.raises(MyoedgeError) as refused:
        built("conv", tmp_path, "cortex-m4", **({"l2": "1KiB"} if region == "RAM" else {}))
    assert refused.value.code == {"FLASH": "E303", "RAM": "E302"}[region]
    assert region in str(refused.value) or region == "RAM"


def linked(build: myoedge.Build, main: str, more: dict[str, str]) -> bytes:
    """The program of a build with another main.c and more files."""
    src, left_out = build.folder / "src", ("selftest.c", "LICENSE")
    paths = [path for path in src.rglob("*.[chSl]*") if path.name not in left_out]
    files = {str(path.relative_to(src)): path.read_text() for path in paths}
    target = find_chip(str(build.manifest["target"])).program
    assert target is not None
    return link({**files, **more, "firmware/main.c": main}, target=target).elf


@in_qemu
@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no GCC for Arm")
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("target", CORES)
def test_gcc_makes_a_firmware_with_the_same_integers(
    target: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without warnings, and also if unaligned accesses are faults."""
    build = built(name, tmp_path, target)
    src = build.folder / "src"
    program = SimpleNamespace(compiler="gcc")
    monkeypatch.setattr(runner, "make_firmware", lambda sources: program)
    for option in ("", "-mno-unaligned-access"):
        gcc = f"CC_ARM=arm-none-eabi-gcc -Werror {option}"
        made = tools.run(("make", "-s", "-B", "firmware", gcc), cwd=src, timeout_s=300)
        assert made.returncode == 0, made.stderr
        program.elf = (src / "firmware.elf").read_bytes()
        checked = myoedge.validate(build, on="qemu")
        assert checked.exact["qemu"], (option, checked.difference)


PROGRAMS = {
    "the stack": ("volatile int array[3000]; for (int i = 0; i < 3000; i++) array[i] = i;", 101),
    "an address": ("(void)*(volatile int *)(uintptr_t)0xE0100000u;", 109),
    "nothing": ("", 0),
}


@in_qemu
@pytest.mark.parametrize("target", CORES)
@pytest.mark.parametrize("fault", PROGRAMS)
def test_a_fault_ends_the_program(fault: str, target: str, tmp_path: Path) -> None:
    statements, code = PROGRAMS[fault]
    text = f"""
    #include "cluster.h"
    #include "marks.h"
    #include "network.h"
    #include "platform.h"
    volatile uint32_t me_marks[ME_LAYERS + 2];
    static void work(int32_t core, void *argument) {{ (void)core, (void)argument; {statements} }}
    int main(void) {{ me_cluster_run(work, 0); return 0; }}
    """
    build = built("mlp", tmp_path, target)
    (tmp_path / "firmware.elf").write_bytes(linked(build, text, {}))
    command = (runner.find(), "-machine", BOARDS[target].machine, "-kernel", "firmware.elf")
    assert tools.run((*command, *runner.FLAGS), cwd=tmp_path, timeout_s=60).returncode == code


def test_words_are_of_the_target(tmp_path: Path, run: Callable[..., Ran]) -> None:
    """Reports and C name no cluster; `flash` names the tools that flash such chips."""
    build = built("conv", tmp_path, "cortex-m4")
    assert [engine["name"] for engine in build.report["target"]["engines"]] == ["core"]
    assert "The only core runs the network" in build.written("src/firmware/main.c").decode()
    refused = run("flash", build.folder)
    assert (refused.code, "E240" in refused.err) == (2, True)
    assert "probe-rs" in refused.err
    assert "west" in refused.err
    assert "gap-sdk" not in refused.err
