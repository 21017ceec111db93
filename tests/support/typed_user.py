# SPDX-License-Identifier: Apache-2.0
"""A user's program that calls every public name once; type checks must pass (mypy --strict), with
the types of results as they are said here. It is never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import myoedge

WINDOWS = np.zeros((32, 1, 8, 40), np.float32)


def on_a_new_day(build: myoedge.Build, day: Path) -> None:
    adapted = myoedge.adapt(build, data=day, test=day, every="5 ms", methods=["lda"])
    assert_type((adapted.exact, adapted.l2_bytes), tuple[bool | None, int])
    assert_type(adapted.rows(), list[dict[str, Any]])


def for_a_product(build: myoedge.Build) -> bool:
    found = myoedge.evidence(build, output="evidence", drawn=4)
    assert_type(found.rows(), list[dict[str, Any]])
    return found.is_complete


def before_any_target(model: Path) -> myoedge.Quantized:
    loaded: myoedge.Model = myoedge.load(model, calib="calib.npz")
    found: myoedge.Inspection = myoedge.inspect(model)
    assert_type((loaded.params, found.macs), tuple[int, int])
    assert_type(found.rows(), list[dict[str, Any]])
    quantized = myoedge.quantize(model, calib={"input": WINDOWS}, holdout=0.2)
    pairs = TensorDataset(torch.from_numpy(WINDOWS), torch.zeros(32, dtype=torch.int64))
    for samples in (torch.from_numpy(WINDOWS), [*WINDOWS], pairs, DataLoader(pairs, batch_size=8)):
        myoedge.quantize(model, calib=samples)
    assert_type(quantized.accuracy_int8, float | None)
    assert_type([warning.code for warning in quantized.warnings], list[str])
    return quantized


def to_firmware(model: str) -> myoedge.Build:
    try:
        return myoedge.build(model, target="gap9", calib=WINDOWS, l1="64KiB", say=print)
    except myoedge.MyoedgeError as error:
        assert_type((error.code, error.exit_code), tuple[str, int])
        print(myoedge.explain(error.code).upper())
        raise


def judged(folder: Path, earlier: Path) -> bool:
    built = myoedge.load_build(folder)
    validated: myoedge.Validation = myoedge.validate(built, on=("host", "simulator"))
    simulated: myoedge.Simulated = myoedge.simulate(built, input=WINDOWS, trace=True)
    table = simulated.to_pandas()
    for change in myoedge.report(built, against=earlier):
        assert_type(change.percent, float | None)
    latency_s: float = myoedge.report(built)["latency_s"]
    value_uj: float = myoedge.energy(built, every="50 ms")["energy_uj"]["value"]
    largest = max(peak.used_bytes for peak in myoedge.peaks(built))
    assert_type(largest, int)
    myoedge.energy(built, every="50 ms", battery=300, volts=3.7)
    print(len(table), latency_s, value_uj, built.run(WINDOWS[0]), built.folder / "report.html")
    return validated.difference is None and simulated.exact


def on_a_board(folder: Path) -> None:
    for board in myoedge.boards():
        assert_type(board.tried, bool)
    for record in myoedge.monitor("/dev/ttyUSB0", baud_rate=1_000_000):
        assert_type(isinstance(record, object), bool)
    flashed = myoedge.flash(folder, board="gap9_evk", to="ram")
    assert_type(flashed.says, str | None)
    assert_type(myoedge.run(folder, port="/dev/ttyUSB1").exact, bool)
    assert_type(myoedge.bench(folder, meter="/dev/ttyACM0").joules, float)
    assert_type(myoedge.bench_waiting(folder, meter="/dev/ttyACM0").watts, float)
    assert_type(myoedge.bench_phases(folder, meter="/dev/ttyACM0").between_w, float)
    assert_type(myoedge.calibrate_energy("measured.csv").path, Path)


def others(stream: myoedge.Build) -> None:
    swept: myoedge.Swept = myoedge.sweep("sweep.toml", jobs=2)
    myoedge.check_regressions(swept)
    print(myoedge.diff(stream, stream).blob_suffices)
    myoedge.check(stream, against=stream).raise_worse()
    myoedge.board_card(stream, on="jtag").raise_failed()
    session = myoedge.adapt_on_device(stream, port="/dev/ttyUSB0", hold="1 s", say=print)
    print(session.in_force, [right for _, right in session.decisions])
    advice: myoedge.Advice = myoedge.advise(stream, jobs=1)
    assert_type([suggestion.text for suggestion in advice.suggestions], list[str])
    played = myoedge.play("build", np.zeros((1000, 8)), seconds=0.5)
    assert_type((played.exact, played.samples_lost), tuple[bool, int])
    run = myoedge.simulate_elf("program.elf", dump=[(0x1C17_0000, 64)])
    assert_type((run.cycles, run.dumps), tuple[int, tuple[bytes, ...]])
    assert_type([tool.fix for tool in myoedge.doctor()], list[str])
    assert_type([operator.torch for operator in myoedge.ops()], list[tuple[str, ...]])
    assert_type([path.name for path in myoedge.init("project")], list[str])
    assert_type(myoedge.check_plugin("lab-ops").exit_code, int)
    stream.reset()
    ready = [stream.push(frame) for frame in WINDOWS[0, 0].T]
    print(ready, myoedge.__version__)
