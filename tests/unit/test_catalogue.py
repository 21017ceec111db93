# SPDX-License-Identifier: Apache-2.0
"""Every code that the package can raise is explained, and nothing else is."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import myoedge
from myoedge.catalogue import entries, explanation
from myoedge.errors import EXIT_CODES, MyoedgeError, command
from tests.support.each import each

PACKAGE = Path(myoedge.__file__).parent
CODE = re.compile(r"[EW][0-9]{3}")

# One code, one meaning: where two modules share a code, they say the same of it.
SHARED = {
    "E101": {
        "building.model_inputs",
        "frontend.detect",
        "frontend.file_refusals",
        "frontend.torch.archive",
        "frontend.onnx.file",
    },  # cannot be opened
    "E106": {
        "extensions.sensor.wake",
        "frontend.file_refusals",
    },  # weights without their network
    "E107": {
        "frontend.torch.archive",
        "frontend.torch.preflight",
    },  # loading would run code
    "E108": {
        "frontend.torch.archive",
        "frontend.torch.export",
        "frontend.torch.load",
        "frontend.torch.preflight",
    },  # not of this torch
    "E109": {
        "extensions.integrations.huggingface",
        "frontend.torch.checkpoint",
        "frontend.torch.consistent",
        "frontend.torch.export",
        "frontend.torch.preflight",
    },  # weights that do not fit
    # a size is not a number
    "E110": {
        "frontend.onnx.refusals",
        "frontend.refusals",
        "frontend.torch.static_shapes",
        "frontend.torch.traced",
    },
    "E112": {"frontend.infinities", "operators.checks"},  # in the file, or as products
    "E111": {  # no way to build it
        "frontend.refusals",
        "frontend.torch.constant_calls",
        "passes.spectra",
        "passes.qdq",
        "operators.formula",  # a number of the model
        "quantization.scales",  # its layer
        "building.plugin_check",
    },
    "E203": {
        "building.options",
        "building.pipeline_options",
        "building.weight_choice",
    },  # an option of the calibration
    "E204": {
        "extensions.sweeps.settings",
        "extensions.adaptation.verbs",
        "extensions.adaptation.running",
        "building.budget",
        "backends.equivalence",
        "extensions.boards.flashing",
        "extensions.gap_sdk.gvsoc",
        "backends.onnx_agreement",
        "building.optional_levels",
        "building.request",
        "building.simulate",
        "codegen.names",
        "targets.chip",
    },  # a choice that there is not
    "E202": {
        "building.model_inputs",
        "extensions.sweeps.advise",
    },  # no model, nor one of a build any more
    # unusable samples: what comes next is the remedy
    **{code: {"building.warning_rules", "errors"} for code in ("W205", "W207", "W208", "W209")},
    "E205": {"frontend.torch.factory", "building.project_template"},  # no example inputs
    "E206": {
        "frontend.torch.factory",
        "frontend.file_refusals",
        "building.model_inputs",
    },  # a factory that cannot be used
    "E232": {
        "extensions.adaptation.table",
        "reports.check",
        "extensions.adaptation.settings",
        "building.config",
        "building.config_rules",
        "building.energy",
        "building.quantities",
        "building.request",
        "building.stream_rate",
        "extensions.mlperf.application",
        "frontend.torch.quantizer",
        "quantization.recordings.sources",
    },  # a quantity that is none, missing, too large
    "E233": {
        "building.layer_rules",
        "building.precision",
        "frontend.torch.quantizer",
    },  # a pattern without a layer
    "E264": {
        "extensions.sensor.application",
        "extensions.sensor.settings",
    },  # [calib] scale, and its own keys
    "E265": {
        "extensions.sensor.application",
        "extensions.sensor.program",
        "extensions.sensor.wake",
    },  # [stream], [wake], and the network
    "E614": {"extensions.boards.meter", "extensions.boards.measured_power"},  # samples, the pad
    "E266": {
        "extensions.sensor.recording",
        "simulator.playback",
    },  # not of the sensor, of another one, or of no front end
    "E240": {
        "backends.build_folder",
        "backends.runner",
        "building.energy",
        "extensions.boards.board",
        "extensions.boards.verbs",
    },  # a build for a target without a chip or an application, or with another
    "E212": {"quantization.samples", "backends.inputs"},  # data of other names than the inputs
    "E213": {"quantization.samples", "backends.inputs"},  # data of another shape than the input
    "E214": {
        "extensions.adaptation.running",
        "quantization.samples",
        "quantization.labels",
        "backends.inputs",
    },  # data of another type
    "E215": {
        "extensions.adaptation.running",
        "quantization.samples",
        "extensions.recordings.text",
        "quantization.recordings.recorded",
        "quantization.recordings.sources",
    },  # no samples
    "E248": {f"quantization.recordings.{name}" for name in ("reading", "sources")},  # no samples
    "E218": {
        "backends.inputs",
        "quantization.samples",
        "quantization.recordings.recorded",
        "quantization.recordings.sources",
    },  # labels of other rows
    "E246": {
        "quantization.recordings.files",
        "quantization.recordings.sources",
    },  # files that are no samples together
    "E216": {
        "extensions.sensor.recording",
        "quantization.recordings.reading",
        "quantization.samples",
        "quantization.recordings.recorded",
        "extensions.recordings.text",
        "quantization.labels",
        "backends.inputs",
    },  # data with NaN
    "E229": {"quantization.samples", "quantization.computed_ids"},  # integers out of range
    "E220": {
        "system.cache",
        "system.folder",
        "simulator.machine",
        "building.project_template",
    },  # a folder that cannot be used
    "E222": {
        "backends.build",
        "backends.report_folder",
        "cli.shell",
        "api.reports",
    },  # no whole build
    "E221": {
        "system.folder",
        "extensions.integrations.huggingface",
    },  # a folder that holds other files
    "E243": {"simulator.machine", "simulator.fault"},  # no such place: a dump, a fault
    "E260": {"extensions.sweeps.tasks", "extensions.sweeps.settings"},  # a sweep's file
    "E281": {"system.cache", "cli.shell", "system.folder"},  # the disk is full
    "E301": {"building.early_checks", "plan.levels.shortage"},  # by the graph, by its plan
    "E302": {
        "building.budget",
        "building.plan_within",
        "building.energy",
        "building.plans",
        "extensions.adaptation.settings",
        "reports.budget",
    },  # over budget
    "E305": {"reports.check", "extensions.sweeps.results"},  # a build, a sweep that is worse
    "E304": {"building.plan_within", "plan.l1.no_tiling"},  # a layer without a tile
    "E247": {"quantization.recordings.reading", "system.regular_files"},  # too large
    "W304": {"building.confirm", "building.finished_build"},  # the simulator is not compiled
    "E401": {
        "building.confirm",
        "building.finished_build",
        "extensions.sweeps.results",
    },  # outputs differ
    "E501": {
        "extensions.integrations.huggingface",
        "extensions.integrations.lightning",
        "extensions.integrations.mlflow",
        "__init__",
        "extensions.gap_sdk.gvsoc",
        "reports.figures",
        "extensions.evidence.bill_of_materials",
        "system.notebook",
        "system.tools",
        "system.toolchain",
        "frontend.torch.load",
        "backends.onnx_agreement",
        "backends.gvsoc",
        "extensions.qemu.runner",
        "power.calibrate",
        "passes.condition",
        "extensions.recordings.device_files",
        "extensions.sweeps.executors",
        "backends.serial_port",
        "extensions.boards.openocd",
        "extensions.boards.flashing",
        "extensions.sensor.packet_source",
    },  # not installed
    "E254": {
        "backends.build",
        "backends.build_folder",
        "backends.samples",
    },  # frames or samples, of a build without
    "E256": {"building.plugin_check", "building.plugins"},  # one that is not installed
    # a plug-in that cannot be used: its entry point, the class of its operator, its kernels
    "E257": {
        "building.hook_rows",
        "building.plugins",
        "codegen.library",
        "frontend.torch.static_shapes",
        "system.hooks",
        "operators.__init__",
        "operators.base",
        "operators.cases",
        "operators.import_rows",
        "operators.stated_class",
        "plan.l1.layer_kernels",
    },
    "E502": {"extensions.boards.board", "system.tools"},  # too slow
    "E710": {"backends.measurement", "extensions.qemu.runner"},  # damaged results of a firmware
    "E601": {
        "extensions.boards.board",
        "extensions.boards.openocd",
        "extensions.boards.runners",
    },  # no board is known, or plugged in
    "E602": {
        "extensions.boards.verbs",
        "extensions.boards.flashing",
        "extensions.boards.board",
    },  # nothing is known of a part of the board
    "E604": {"extensions.boards.console", "extensions.boards.meter"},  # nothing comes over the line
    "E605": {"extensions.boards.console", "extensions.boards.meter"},  # what comes makes no sense
    "E606": {
        "extensions.boards.board",
        "extensions.boards.console",
    },  # another program
    "E267": {
        "extensions.adaptation.settings",
        "extensions.adaptation.samples",
    },  # a network, its samples
    "E711": {
        "extensions.adaptation.running",
        "extensions.gap_sdk.gvsoc",
        "backends.measurement",
    },  # a run that did not end well
}


def literals() -> Iterator[tuple[str, str]]:
    """(code, module) of every string in the source that is a code and nothing more."""
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and CODE.fullmatch(str(node.value)):
                yield str(node.value), module


def sites() -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for code, module in literals():
        found.setdefault(code, set()).add(module)
    return found


def test_what_is_raised_is_explained_and_the_other_way_round() -> None:
    assert sorted(sites()) == sorted(entries())


def test_codes_named_in_the_source_exist() -> None:
    """Docstrings list the errors of a function; a code that is gone would mislead."""
    named = {
        code
        for file in PACKAGE.rglob("*.py")
        for code in re.findall(r"\b[EW][0-9]{3}\b", file.read_text(encoding="utf-8"))
    }
    assert named <= set(entries())


def test_commands_to_copy_are_one_line_that_a_shell_reads_as_meant() -> None:
    folder = "out; $(id) `id` 'x'"
    assert shlex.split(command("validate", folder)) == ["myoedge", "validate", folder]
    assert command("build", "model.pt2") == "myoedge build model.pt2"
    assert command("build", "a\n\x1b[31m").isprintable()


def test_modules_that_share_a_code_are_known() -> None:
    assert {code: where for code, where in sites().items() if len(where) > 1} == SHARED


# why cycles are estimated, of flash, of monitor, of simulate --play
NEVER_ERRORS = {"W303", "W304", "W601", "W602", "W603", "W604", "W605", "W606"}


@each("code", sorted(entries().keys() - NEVER_ERRORS))
def test_the_first_digit_is_the_exit_code(code: str) -> None:
    exit_code = {"9": 70}.get(code[1], int(code[1]))
    assert MyoedgeError(code, "title").exit_code == exit_code
    assert explanation(code).endswith(f"xit code {exit_code}: {EXIT_CODES[exit_code]}.")


@each("code", sorted(entries()))
def test_an_entry_is_short_and_says_something(code: str) -> None:
    lines = explanation(code).splitlines()
    assert lines[0] == f"{code}  {entries()[code].title}"
    assert 1 <= len(lines) - 4 <= 6, lines
    assert max(map(len, lines[:-1])) <= 100
    assert lines[0].endswith(".")


def test_no_title_and_no_text_is_used_twice() -> None:
    assert len({e.title for e in entries().values()}) == len(entries())
    assert len({e.text for e in entries().values()}) == len(entries())


def test_capitals_do_not_matter() -> None:
    assert explanation("e213") == explanation(" E213 ") == explanation("E213")


def test_warnings_say_when_they_end_a_build() -> None:
    assert "With --strict" in explanation("W201")
    assert "With --strict" not in explanation("E213")
    for code in NEVER_ERRORS:
        assert explanation(code).endswith("A warning, never an error.")


@pytest.mark.parametrize("code", EXIT_CODES)
def test_exit_codes_are_explained(code: int) -> None:
    text = explanation(str(code))
    assert EXIT_CODES[code] in text
    first = 9 if code == 70 else code
    assert all(name in text for name in entries() if name.startswith(f"E{first}"))


def test_differing_outputs_are_an_exit_code_without_an_error() -> None:
    assert "tolerance" in explanation("4")


@pytest.mark.parametrize("code", ["E999", "E2", "213", "", "nonsense", "99"])
def test_an_unknown_code(code: str) -> None:
    with pytest.raises(MyoedgeError) as caught:
        explanation(code)
    assert (caught.value.code, caught.value.exit_code) == ("E208", 2)
    assert all("myoedge explain" in line for line in caught.value.notice.tries)
    assert caught.value.notice.tries[-1] == "myoedge explain  lists all codes with their meanings"
    assert "such as E213 or W205, or an exit code: 0, 1" in dict(caught.value.notice.facts)["needs"]


def test_the_nearest_codes_are_named() -> None:
    with pytest.raises(MyoedgeError) as caught:
        explanation("E21")
    nearest = caught.value.notice.tries[:-1]
    assert len(nearest) == 3
    assert all(line.startswith("myoedge explain E21") for line in nearest)


def test_a_word_finds_the_codes_whose_titles_contain_it() -> None:
    with pytest.raises(MyoedgeError) as caught:
        explanation("softmax")
    *found, _ = caught.value.notice.tries
    assert found
    assert all("softmax" in line.lower().partition("  ")[2] for line in found)
