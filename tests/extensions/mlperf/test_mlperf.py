# SPDX-License-Identifier: Apache-2.0
"""--app mlperf: the benchmark's protocol on the simulated chip, played as its runner plays it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards.board import has_console
from myoedge.extensions.mlperf.application import Dataset
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.simulator import Simulation, simulate
from tests.extensions.gap_sdk import sdk
from tests.extensions.mlperf.mlperf import DATASETS, network_input, real_values, settings
from tests.records.mlperf_tiny import built
from tests.support.mlperf_player import Answer, download, heard, performance, sent

MHZ = 370.5  # of the bare chip
CALL_CYCLES = 4000  # of an inference outside its first and last layer
TIMES, WARMUPS = 2, 1


def files_of(dataset: Dataset, count: int, number: int) -> list[bytes]:
    """Files of drawn values; floats as large as those of anomaly detection."""
    rng = np.random.default_rng(9)
    if dataset.input == "float32":
        drawn = [rng.normal(-28, 11, count).astype(np.float32) for _ in range(number)]
    else:
        drawn = [rng.integers(0, 256, count, np.uint8) for _ in range(number)]
    return [values.tobytes() for values in drawn]


# ---- what the device has to say, from the reference


def network_output(build: Build, real: Array) -> Array:
    """The real numbers of the reference's output, as fractions."""
    q = build.network
    (name,), (output,) = q.graph.inputs, q.graph.outputs
    found = run_int(q.steps, q.constants, {name: network_input(build, real)})[output]
    params = q.params[output]
    rows = [Fraction(params.scale) * (int(n) - params.zero_point) for n in found.ravel()]
    return np.array(rows, object)


def check_results(build: Build, dataset: Dataset, data: bytes, results: Sequence[float]) -> None:
    """Scores to the nearest thousandth; a mean of squares as far as its fixed point allows."""
    (name,) = build.network.graph.inputs
    real = real_values(dataset, data, build.network.graph.shape(name))
    wanted, bound = network_output(build, real), Fraction(1, 2000) + Fraction(1, 10**9)
    if dataset.model == "ad01":
        differences = [y - Fraction(x) for y, x in zip(wanted, real.ravel(), strict=True)]
        wanted = np.array([sum(d * d for d in differences) / len(differences)])
        bound += 2 * max(map(abs, differences)) / 2**17  # two roundings to 17 bits
    assert len(results) == len(wanted)
    for result, expected in zip(results, wanted, strict=True):
        assert abs(Fraction(str(result)) - expected) <= bound


# ---- the program without an SDK


@pytest.fixture(scope="module", params=["kws", "ad"])
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(name: str, folder: Path) -> Build:
    return built(name, folder, app="mlperf", config=settings(DATASETS[name]))


@pytest.fixture(scope="module")
def build(task: str, tmp_path_factory: pytest.TempPathFactory) -> Build:
    return made(task, tmp_path_factory.mktemp(task) / "out")


@pytest.fixture(scope="module")
def keywords(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return made("kws", tmp_path_factory.mktemp("keywords") / "out")


def played(build: Build, folder: Path, commands: Sequence[str]) -> tuple[list[Answer], Simulation]:
    (folder / "line.in").write_bytes(sent(commands))
    ran = simulate(build.written("mlperf.elf"), folder=folder)
    assert (ran.exit_code, ran.output) == (0, "")
    return heard(commands, (folder / "line.out").read_bytes()), ran


def file_bytes(build: Build, dataset: Dataset) -> int:
    (name,) = build.network.graph.inputs
    return int(np.prod(build.network.graph.shape(name))) * dataset.value_bytes


def spans(ran: Simulation) -> list[tuple[int, int]]:
    """Cycles at the start and at the end of each inference."""
    starts = [i for i, mark in enumerate(ran.marks) if mark.value == -1]
    ends = [*(i - 1 for i in starts[1:]), len(ran.marks) - 1]
    pairs = zip(starts, ends, strict=True)
    return [(ran.marks[start].cycle, ran.marks[end].cycle) for start, end in pairs]


def test_performance_mode(task: str, build: Build, tmp_path: Path) -> None:
    dataset = DATASETS[task]
    (shape,) = (build.network.graph.shape(name) for name in build.network.graph.inputs)
    files = files_of(dataset, int(np.prod(shape)), 2)
    answers, ran = played(build, tmp_path, performance(files, TIMES, WARMUPS))
    name, profile, *rest = answers
    assert name.found(r"m-name-dut-\[([^]]+)\]") == ["myoedge gap9"]
    assert profile.found(r"m-model-\[([^]]+)\]") == [dataset.model]
    assert not [answer.errors for answer in answers if answer.errors]
    inferences = [answer for answer in rest if answer.command.startswith("infer")]
    cycles = spans(ran)
    assert len(cycles) == len(files) * (WARMUPS + TIMES)
    for number, (data, answer) in enumerate(zip(files, inferences, strict=True)):
        check_results(build, dataset, data, answer.results)
        first = number * (WARMUPS + TIMES) + WARMUPS
        taken = cycles[first + TIMES - 1][1] - cycles[first][0]
        assert taken // MHZ <= answer.elapsed_us <= (taken + TIMES * CALL_CYCLES) // MHZ


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ic", "vww"])
def test_images_come_with_channels_last(name: str, tmp_path: Path) -> None:
    image, dataset = made(name, tmp_path / "out"), DATASETS[name]
    (data,) = files_of(dataset, file_bytes(image, dataset), 1)
    answers, _ = played(image, tmp_path, performance([data], 1, 0))
    check_results(image, dataset, data, answers[-1].results)


# ---- what a device is not to take


def load(count: int) -> list[str]:
    return ["db load 490", *(["db " + "07" * count] if count else [])]


WRONG: dict[str, tuple[list[str], str]] = {
    "an unknown command": (["inference 1 1"], "no such command"),
    "a command that is too long": (["db " + "00" * 64], "at most 128 characters"),
    "no subcommand": (["db"], "db needs"),
    "an odd digit": ([*load(3), "db 012"], "one is missing"),
    "no digit": ([*load(3), "db 0g"], "hexadecimal"),
    "bytes that are not expected": (["db 00"], "more bytes"),
    "too many bytes": (["db load 2", "db 000000"], "more bytes"),
    "bytes after the last": (["db load 2", "db 0000", "db 00"], "more bytes"),
    "no number of bytes": (["db load"], "number of bytes"),
    "no bytes": (["db load 0"], "number of bytes"),
    "negative bytes": (["db load -1"], "number of bytes"),
    "more bytes than an input has": (["db load 491"], "an input has 490 bytes"),
    "a print from behind the end": ([*load(3), "db print 1 4"], "db print takes"),
    "an inference without an input": (["infer 1 0"], "loaded are 0 bytes of the 490"),
    "an inference of half an input": ([*load(60), "infer 1 0"], "loaded are 60 bytes of the 490"),
    "no inferences": (["infer 0 1"], "above 0"),
    "inferences in words": (["infer one"], "above 0"),
    "warm-ups in words": (["infer 1 one"], "warm-ups"),
    "results before an inference": (["results"], "no inference"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_commands_are_refused(keywords: Build, tmp_path: Path, name: str) -> None:
    commands, why = WRONG[name]
    (_, *answers), _ = played(keywords, tmp_path, ["name", *commands, "name"])
    *before, wrong, after = answers
    assert not [answer.errors for answer in (*before, after) if answer.errors]
    (error,) = wrong.errors
    assert why in error
    assert wrong.lines[-1] == "m-ready"
    assert not wrong.found(r"(m-results.*)")


def test_a_refused_command_changes_nothing(keywords: Build, tmp_path: Path) -> None:
    begin, first, second, *more = download(bytes(range(245)) * 2)
    wrong = ["db 0", "db zz", "db load 9999", "infer 1 0", "no", "db print x"]
    commands = [begin, first, *wrong, second, *more, "db print 18 30", "infer 1 0", "results", ""]
    answers, _ = played(keywords, tmp_path, commands)
    assert [answer.command for answer in answers if answer.errors] == wrong
    *_, printed, inferred, results, empty = answers
    numbers = [f"{n:02x}" for n in range(30, 48)]
    rows = ["-".join(numbers[i : i + 8]) for i in (0, 8, 16)]
    assert printed.found(r"m-buffer-(.*)") == rows
    assert results.results == inferred.results
    assert empty.lines == ["m-ready"]


def test_commands_may_be_lines_of_a_terminal(keywords: Build, tmp_path: Path) -> None:
    answers, _ = played(keywords, tmp_path, ["\r\n name ", "\nhelp", "\0timestamp"])
    name, usage, timestamp = answers
    assert name.found(r"m-name-dut-\[(.*)\]")
    assert any(line.startswith("infer") for line in usage.lines)
    assert timestamp.found(r"m-lap-us-(\d+)")


# ---- the same in the GAP SDK application


def without_times(answers: Sequence[Answer]) -> list[list[str]]:
    return [[x for x in answer.lines if not x.startswith("m-lap-us")] for answer in answers]


def test_the_sdk_application_says_the_same(keywords: Build, tmp_path: Path) -> None:
    elf = sdk.for_chip(keywords, "SHIM_CHECKS", *sdk.UART).elf
    files = files_of(DATASETS["kws"], 490, 1)
    commands = [*performance(files, 1, 1), "db load 0", "results"]
    (tmp_path / "uart.in").write_bytes(sent(commands))
    ran = simulate(elf, folder=tmp_path)
    assert ran.exit_code == 0, ran.output
    answers = heard(commands, (tmp_path / "uart.out").read_bytes())
    wanted, _ = played(keywords, tmp_path, commands)
    assert without_times(answers) == without_times(wanted)
    cycles = keywords.report["cycles"]["total"]
    inferred = next(a for a in answers if a.command.startswith("infer"))
    assert 0.9 * cycles / MHZ <= inferred.elapsed_us <= 1.2 * cycles / MHZ


def test_its_golden_sample_is_exact(keywords: Build, tmp_path: Path) -> None:
    ran = simulate(sdk.for_chip(keywords, "SHIM_CHECKS").elf, folder=tmp_path)
    assert (ran.exit_code, "outputs as expected" in ran.output) == (0, True)


def test_myoedge_does_not_ask_such_an_application(keywords: Build) -> None:
    for verb in (myoedge.run, lambda build: myoedge.bench(build, meter="/dev/null")):
        with pytest.raises(MyoedgeError, match="E240"):
            verb(keywords)
    assert not has_console(keywords)
