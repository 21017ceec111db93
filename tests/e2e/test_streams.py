# SPDX-License-Identifier: Apache-2.0
"""`build --stream`: generated C that takes frames, on the host and on the simulated chip."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.samples import given_data
from myoedge.errors import MyoedgeError
from myoedge.extensions.zoo import emg2qwerty
from myoedge.numerics.arrays import Array
from tests.conftest import Ran, edit_as_if_generated, of_networks, save_exported
from tests.support.networks.causal import (
    Convolution,
    Counted,
    CropAdd,
    Late,
    Mixed,
    PerFrame,
    Pool,
    Recurrent,
)
from tests.support.networks.loops import Decayed, MinimalGated, Selective
from tests.support.pages import summary
from tests.support.schemas import check_folder
from tests.support.warning_rules import applies

FRAMES, CHANNELS = 48, 4


def network() -> nn.Module:
    """Valid and padded convolutions, dilation, stride, pool, frames that meet late, an LSTM."""
    torch.manual_seed(3)
    c = CHANNELS
    return nn.Sequential(
        CropAdd(c, 5),
        Convolution(c, 3, 1, 2, 4, 1),
        Pool(2, 2, 1, largest=True),
        PerFrame(c),
        Late(2),
        Recurrent(c),
        Convolution(c, 4, 1, 1, 3, c),
    ).eval()


class TimeFirst(nn.Module):
    """[T, N, C], as the typing network has it: states that layers write where they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 2, (1, 4)), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = x.shape[0]
        images = x.permute(1, 2, 0).reshape(1, 2, 4, t)
        y = self.conv(images).relu().reshape(1, 8, t - 3).permute(2, 0, 1) + x[3:]
        return self.head(self.norm(y)).log_softmax(-1)


class BothWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 5, bidirectional=True), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.lstm(x)[0]).log_softmax(-1)
        return found


def samples(count: int = 3, frames: int = FRAMES) -> Array:
    return np.random.default_rng(1).normal(size=(count, 1, CHANNELS, frames)).astype(np.float32)


def built(folder: Path, frames: int) -> Build:
    folder.mkdir(exist_ok=True)
    toml = folder / "myoedge.toml"
    toml.write_text(f"[stream]\naxis = 2\nframes = {frames}\n")
    example = (torch.zeros(1, CHANNELS, FRAMES),)
    archive = save_exported(network(), example, folder / "model.pt2")
    return myoedge.build(archive, calib=samples(), output=folder / "out", config=toml, stream=True)


def all_pushed(build: Build, x: Array) -> Array:
    """x [1, C, T] frame by frame -> [T', 1, C]."""
    ready = [build.push(x[:, :, at], raw=x.dtype == np.int8) for at in range(x.shape[2])]
    return np.concatenate(ready)


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Build]:
    folder = tmp_path_factory.mktemp("streams")
    return {frames: built(folder / str(frames), frames) for frames in (2, 6)}


@pytest.mark.parametrize("frames", [2, 6])
def test_c_is_the_whole_network_frame_by_frame(streams: dict[int, Build], frames: int) -> None:
    """golden/output.npz is of the network over all frames, in which nothing is streamed."""
    build = streams[frames]
    assert "myoedge.stream/1" in check_folder(build.folder)
    with np.load(build.folder / "golden" / "input.npz") as stored:
        x = stored["input.q"]
    with np.load(build.folder / "golden" / "output.npz") as stored:
        (wanted,) = (stored[name] for name in stored.files if name.endswith(".q"))
    for _ in range(2):  # the second time shows that nothing is left over
        build.reset()
        found = all_pushed(build, x)
        assert len(found) >= wanted.shape[2] - frames
        np.testing.assert_array_equal(np.moveaxis(found, 0, 2), wanted[:, :, : len(found)])


def test_floats_go_in_and_come_out(streams: dict[int, Build]) -> None:
    build, x = streams[2], samples()[0]
    build.reset()
    found = all_pushed(build, x)
    with torch.no_grad():
        wanted = np.moveaxis(network()(torch.from_numpy(x)).numpy(), 2, 0)[: len(found)]
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.05 * np.sqrt(np.mean(wanted**2))


@pytest.mark.parametrize("frames", [2, 6])
def test_the_ladder_pushes_frames(streams: dict[int, Build], frames: int) -> None:
    """Every layer of every pass; the golden stream, a longer one, noise: each after a reset."""
    more = samples(1, FRAMES + 13)
    checked = myoedge.validate(streams[frames], on=("host", "simulator"), input=more)
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    assert checked.samples["host"] > (2 * FRAMES) // frames
    assert checked.in_passes


def test_a_recording_with_a_row_per_frame_is_one_stream(streams: dict[int, Build]) -> None:
    """Labels of its rows are left out by --input, and refused as a test set: E254, not E211."""
    long = samples(1, FRAMES + 13)
    rows = np.moveaxis(long, -1, 0).reshape(long.shape[-1], -1)
    found, wanted = (given_data(streams[2], x).inputs for x in (rows, long))
    assert [*found] == [*wanted]
    for name, x in wanted.items():
        assert np.array_equal(found[name], x)
    labelled = {"input": rows, "label": np.arange(len(rows)) % 3}
    assert given_data(streams[2], labelled).labels is None
    with pytest.raises(MyoedgeError, match="measures no accuracy over several passes") as raised:
        given_data(streams[2], labelled, needs_labels=True)
    assert raised.value.code == "E254"


def test_threads_that_validate_one_stream_find_it_exact(streams: dict[int, Build]) -> None:
    build = next(iter(streams.values()))
    with ThreadPoolExecutor(3) as threads:
        found = [*threads.map(lambda _: myoedge.validate(build.folder), range(3))]
    assert all(validation.passed for validation in found)


def test_the_selftest_runs_a_pass(streams: dict[int, Build]) -> None:
    """make check, without Python: golden.h holds the last pass of the golden stream."""
    src = streams[2].folder / "src"
    texts = [(src / name).read_text() for name in ("Makefile", "golden.h", "model.h")]
    assert "stream.c" in texts[0]
    states = streams[2].streaming.states
    assert f"golden_input{len(states)}[" in texts[1]
    assert "int model_push(const void *const frame[], void *const out[]);" in texts[2]


@pytest.mark.parametrize("frames", [1, 4])
def test_time_may_be_the_first_axis(frames: int, tmp_path: Path) -> None:
    torch.manual_seed(5)
    archive = save_exported(TimeFirst(), (torch.zeros(20, 1, 8),), tmp_path / "model.pt2")
    toml = tmp_path / "myoedge.toml"
    toml.write_text(f"[stream]\nframes = {frames}\n")
    x = np.random.default_rng(2).normal(size=(2, 20, 1, 8)).astype(np.float32)
    build = myoedge.build(archive, calib=x, output=tmp_path / "out", config=toml, stream=True)
    checked = myoedge.validate(build, on=("host", "simulator"), input=x[1:])
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    build.reset()
    found = np.concatenate([build.push(frame) for frame in x[0]])
    with np.load(build.folder / "golden" / "output.npz") as stored:
        wanted = next(stored[name] for name in stored.files if name.endswith(".q"))
    q = build.network
    scale = q.params[q.graph.outputs[0]]
    np.testing.assert_array_equal(
        np.rint(found / scale.scale) + scale.zero_point, wanted[: len(found)]
    )
    assert len(found) > 17 - frames


def test_a_state_begins_with_the_numbers_of_its_channels(tmp_path: Path) -> None:
    """Also after a reset, and from a blob: of a layer that pads, in front of an average."""
    network = Mixed().eval()
    archive = save_exported(network, (torch.zeros(1, CHANNELS, FRAMES),), tmp_path / "m.pt2")
    (tmp_path / "myoedge.toml").write_text("[stream]\naxis = 2\nframes = 2\n")
    options: dict[str, Any] = {"calib": samples(8), "config": tmp_path / "myoedge.toml"}
    x = samples(1)[0]
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).numpy()
    for blob in (False, True):
        build = myoedge.build(
            archive, output=tmp_path / f"out{blob}", stream=True, simulate=False,
            weights_blob=blob, **options,
        )  # fmt: skip
        for _ in range(2):
            build.reset()
            found = np.moveaxis(all_pushed(build, x), 0, 2)
            assert np.sum((found - wanted) ** 2) < 1e-3 * np.sum(wanted**2)


@pytest.mark.parametrize(
    ("cell", "frames", "settings"),
    [
        (MinimalGated, 1, ""),
        (Decayed, 1, ""),
        (Selective, 3, ""),
        pytest.param(MinimalGated, 4, "", marks=pytest.mark.slow),
        pytest.param(Selective, 1, '[quant]\n"*" = { activations = 16 }\n', marks=pytest.mark.slow),
        pytest.param(Decayed, 3, '[quant]\n"*" = { activations = 16 }\n', marks=pytest.mark.slow),
    ],
)
def test_recurrences_go_on_from_pass_to_pass(
    cell: type[nn.Module], frames: int, settings: str, tmp_path: Path
) -> None:
    """The C, over a recording longer than the export, against torch; byte by byte on the chip."""
    torch.manual_seed(1)
    network = cell().eval()
    archive = save_exported(network, (torch.zeros(1, 16, 8),), tmp_path / "m.pt2")
    (tmp_path / "myoedge.toml").write_text(f"[stream]\naxis = 1\nframes = {frames}\n{settings}")
    rng = np.random.default_rng(1)
    build = myoedge.build(
        archive, calib=rng.normal(size=(12, 1, 16, 8)).astype(np.float32), simulate=False,
        output=tmp_path / "out", config=tmp_path / "myoedge.toml", stream=True,
    )  # fmt: skip
    assert myoedge.validate(build, on="host,simulator").difference is None
    x = rng.normal(size=(1, 64, 8)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).numpy()[0]
    for _ in range(2):
        build.reset()
        found = np.concatenate([build.push(x[:, at]) for at in range(64)])[:, 0]
        assert len(found) == 64 // frames * frames
        assert np.sum((found - wanted[: len(found)]) ** 2) < 0.005 * np.sum(wanted**2)


@pytest.mark.slow
def test_counts_go_on_from_pass_to_pass(tmp_path: Path) -> None:
    torch.manual_seed(5)
    archive = save_exported(Counted().eval(), (torch.zeros(1, 60, 3),), tmp_path / "model.pt2")
    toml = tmp_path / "myoedge.toml"
    toml.write_text("[stream]\naxis = 1\nframes = 5\n")
    x = np.random.default_rng(2).normal(size=(4, 1, 60, 3)).astype(np.float32)
    build = myoedge.build(archive, calib=x, output=tmp_path / "out", config=toml, stream=True)
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_cycles_are_those_of_passes(streams: dict[int, Build]) -> None:
    simulated = myoedge.simulate(streams[6], input=samples(2, 18))
    assert simulated.exact
    stream = streams[6].stream
    assert stream is not None
    passes = 2 * ((18 + stream.early) // 6)
    assert len(simulated.measurement.inferences) == passes
    assert len(streams[6].report["cycles"]["inferences"]) == passes


def test_any_number_of_streams_runs_behind_each_other(streams: dict[int, Build]) -> None:
    simulated = myoedge.simulate(streams[6], input=samples(70, 18))
    assert simulated.exact
    assert len(simulated.measurement.inferences) % 70 == 0


def test_a_state_that_is_lost_is_found(streams: dict[int, Build], tmp_path: Path) -> None:
    """The ladder can fail: C that forgets its states between passes differs in the second one."""
    files = [f for f in streams[2].folder.rglob("*") if f.is_file()]
    for file in files:
        copy = tmp_path / file.relative_to(streams[2].folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    edit_as_if_generated(
        tmp_path, lambda text: text.replace("turn = 1 - turn;", ""), "src/stream.c"
    )
    checked = myoedge.validate(tmp_path)
    assert checked.difference is not None
    assert checked.difference.sample == 1


def test_what_is_kept_is_in_the_report(streams: dict[int, Build]) -> None:
    report = streams[2].report
    names = {port["name"]: port["bytes"] for port in report["inputs"]}
    found = report["stream"]
    assert found["state_bytes"] == sum(names[name] for name in found["states"]) > 0
    assert (found["pass_frames"], found["pass_outputs"], found["frames_per_output"]) == (2, 1, 2)
    assert report["memory"]["input_bytes"] == sum(names.values())


def test_from_the_command_line(run: Callable[..., Ran], tmp_path: Path) -> None:
    save_exported(network(), (torch.zeros(1, CHANNELS, FRAMES),), tmp_path / "model.pt2")
    np.savez(tmp_path / "calib.npz", input=samples())
    odd = tmp_path / "odd.toml"
    odd.write_text("[stream]\naxis = 2\nframes = 3\n")
    ran = run("build", "model.pt2", "--calib", "calib.npz", "--stream", "--config", odd)
    assert ran.code == 2
    assert "E236" in ran.err
    assert "frames = 4" in ran.err


def test_a_network_that_needs_the_future_is_refused_before_the_long_part(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    future = nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1), nn.Softmax(2))
    save_exported(future, (torch.zeros(1, CHANNELS, FRAMES),), tmp_path / "model.pt2")
    ran = run("build", "model.pt2", "--calib", "random", "--stream")
    assert ran.code == 1
    assert "quantise" not in ran.err
    assert "E131" in ran.err
    assert "takes all frames at once" in ran.err
    assert not (tmp_path / "build").exists()


def test_builds_that_take_no_frames_say_so(small_build: Path) -> None:
    build = myoedge.load_build(small_build)
    with pytest.raises(MyoedgeError) as caught:
        build.push(np.zeros(8, np.float32))
    assert caught.value.code == "E254"
    with pytest.raises(MyoedgeError, match="E254"):
        build.reset()


def test_a_stream_says_how_it_is_given_frames(streams: dict[int, Build]) -> None:
    with pytest.raises(MyoedgeError, match=r"E254[\s\S]*b\.push\(frame\)"):
        streams[2].run(samples()[0])


def test_frames_of_another_size_are_refused(streams: dict[int, Build]) -> None:
    with pytest.raises(MyoedgeError) as caught:
        streams[2].push(np.zeros(CHANNELS + 1, np.float32))
    assert caught.value.code == "E213"
    assert "b.push(frame)" in caught.value.notice.tries[0]


def decoding(folder: Path, table: str, **more: Any) -> Build:
    """The time-first network with something behind its scores, in passes of two frames."""
    torch.manual_seed(5)
    archive = save_exported(TimeFirst(), (torch.zeros(20, 1, 8),), folder / "model.pt2")
    toml = folder / "myoedge.toml"
    toml.write_text(f"{table}[stream]\nframes = 2\n")
    x = np.random.default_rng(2).normal(size=(2, 20, 1, 8)).astype(np.float32)
    return myoedge.build(archive, calib=x, output=folder / "out", config=toml, **more)


def test_symbols_frame_by_frame(tmp_path: Path) -> None:
    """--ctc on a stream: a symbol where it is new, the same ones as over the whole recording."""
    (tmp_path / "whole").mkdir()
    whole = decoding(tmp_path / "whole", "[model]\nctc = 0\n")
    build = decoding(tmp_path, "[model]\nctc = 0\n", stream=True)
    x = np.random.default_rng(9).normal(size=(20, 1, 8)).astype(np.float32)
    found = np.concatenate([build.push(frame) for frame in x])
    assert found.shape == (16, 1)
    assert found.dtype == np.int32
    count, *symbols = whole.run(x)[0]
    told = found[found >= 0].tolist()
    assert told
    assert count - len(told) in (0, 1)  # the last frame of 17 is in a pass that is not full
    assert told == symbols[: len(told)]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_the_last_frames_vote(tmp_path: Path) -> None:
    build = decoding(tmp_path, "[model]\nvote = 3\n", stream=True)
    x = np.random.default_rng(9).normal(size=(20, 1, 8)).astype(np.float32)
    found = np.concatenate([build.push(frame) for frame in x])[:, 0]
    torch.manual_seed(5)
    with torch.no_grad():
        scores = TimeFirst().eval()(torch.from_numpy(x)).numpy()[:, 0]
    best = scores.argmax(1)
    voted = [np.bincount(best[max(t - 2, 0) : t + 1]).argmax() for t in range(len(found))]
    close = np.sort(scores, axis=1)
    clear = np.ptp(close[:, 1:], axis=1) > 0.1  # else floats and integers may differ
    sure = [t for t in range(len(found)) if clear[max(t - 2, 0) : t + 1].all()]
    assert len(sure) > 6
    assert [found[t] for t in sure] == [voted[t] for t in sure]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


# ---- how it keeps up


@applies("W302", "longer [stream] frames")
@pytest.mark.slow
def test_passes_are_as_long_as_they_have_to_be(tmp_path: Path) -> None:
    """The report's figures follow from cycles, clock and rate; the fewest frames are the fewest."""
    archive = save_exported(network(), (torch.zeros(1, CHANNELS, FRAMES),), tmp_path / "model.pt2")
    toml = tmp_path / "myoedge.toml"

    def at(rate: float, frames: int | None = None) -> dict[str, Any]:
        chosen = "" if frames is None else f"frames = {frames}\n"
        toml.write_text(f"[stream]\naxis = 2\nrate = {rate}\nhop = 5\nwindow = 20\n{chosen}")
        build = myoedge.build(
            archive, calib=samples(), output=tmp_path / "out", config=toml, stream=True
        )
        return build.report

    slow = at(1000.0)
    found, cycles = slow["stream"], slow["cycles"]["total"]
    assert found["pass_frames"] == found["least_frames"]["high"] == 2
    for point, clock_hz in zip(found["points"], (370e6, 240e6), strict=True):
        period_s, pass_s = 2 * 5 / 1000.0, cycles / clock_hz
        assert point["latency_s"] == pytest.approx(period_s + pass_s)
        assert point["duty_cycle"] == pytest.approx(pass_s / period_s)
        assert point["real_time_factor"] == pytest.approx(period_s / pass_s)
        assert point["load_hz"] == pytest.approx(cycles / period_s)
    passes = found["passes"]
    assert [row["frames"] for row in passes] == [2, 4, 8, 16]
    assert passes[0]["average_mw"] == pytest.approx(slow["duty"]["average_mw"]), "this build's"
    for row in passes:
        assert row["latency_s"] == pytest.approx(row["frames"] * 5 / 1000.0 + row["pass_s"])
    for fewer, more in pairwise(passes):
        assert more["average_mw"][1] < fewer["average_mw"][1]
        assert more["pass_s"] < 2 * fewer["pass_s"], "weights and code come once a pass"
    duty = slow["duty"]
    assert duty["period_s"] == pytest.approx(2 * 5 / 1000.0)
    assert duty["share"] == pytest.approx(found["points"][0]["duty_cycle"])
    assert duty["average_mw"][0] * duty["period_s"] > slow["energy_uj"]["value"] * 1e-3
    assert found["first_output_s"] == pytest.approx(
        (found["first_output_frames"] - 1) * 5 / 1000 + 20 / 1000
    )

    fast = 5 * 1.5 * 2 * 370e6 / cycles  # samples a second: two frames take too long
    found = at(fast)
    least = found["stream"]["least_frames"]["high"]
    assert found["stream"]["pass_frames"] == least > 2
    assert found["stream"]["points"][0]["keeps_up"]
    assert not of_networks(found["warnings"])
    fewer = at(fast, least - 2)
    assert not fewer["stream"]["points"][0]["keeps_up"]
    assert of_networks(fewer["warnings"]) == ["W302"]
    (tries,) = (row["tries"] for row in fewer["warnings"] if row["code"] == "W302")
    assert tries == [f"[stream] frames = {least}"], "which keep up"


def test_simulate_says_how_the_stream_keeps_up(streams: dict[int, Build], tmp_path: Path) -> None:
    torch.manual_seed(1)
    lstm = save_exported(BothWays(), (torch.zeros(20, 1, 6),), tmp_path / "model.pt2")
    toml = tmp_path / "myoedge.toml"
    toml.write_text('[stream]\nrate = 2000\nhop = 16\npast = "48 ms"\nfuture = 3\n')
    x = np.random.default_rng(0).normal(size=(2, 20, 1, 6)).astype(np.float32)
    build = myoedge.build(lstm, calib=x, output=tmp_path / "out", config=toml, stream=True)
    more = np.random.default_rng(1).normal(size=(1, 70, 1, 6)).astype(np.float32)
    checked = myoedge.validate(build, on=("host", "simulator"), input=more)
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    simulated = myoedge.simulate(build)
    (point, *_) = simulated.report["stream"]["points"]
    cycles = simulated.report["cycles"]["total"]
    assert simulated.report["stream"]["pass_frames"] == 20 - 6 - 3
    assert point["latency_s"] == pytest.approx((11 + 3) * 16 / 2000 + cycles / 370e6)
    first, *_, last = (run.cycles for run in simulated.measurement.inferences)
    assert last == cycles < first  # code is in the caches from the second pass on
    assert point["first_pass_s"] == pytest.approx(first / 370e6)
    activities = [layer.activity for layer in simulated.measurement.inferences[-1].layers]
    assert [row["activity"]["cycles"] for row in simulated.report["layers"]] == [
        activity.cycles for activity in activities if activity is not None
    ]
    told = " ".join(summary(build.report).split())
    assert "from sample to output" in told
    assert "x 11x1x6 -> output 11x1x4 " in told  # and not what is kept


# ---- the typing network


@pytest.fixture(scope="module")
def typing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """The convolutional network over 400 frames, and a sample."""
    folder = tmp_path_factory.mktemp("typing")
    torch.manual_seed(0)
    example = (torch.zeros(400, 1, 2, 16, 33),)
    with torch.no_grad():
        archive = save_exported(emg2qwerty.tds(), example, folder / "tds.pt2")
    x = np.random.default_rng(0).normal(-4, 1, (1, 400, 1, 2, 16, 33))
    return archive, x.astype(np.float32)


def typed(typing: tuple[Path, Array], folder: Path, frames: int) -> Build:
    toml = folder / "myoedge.toml"
    toml.write_text(f"[stream]\nrate = 2000\nhop = 16\nwindow = 64\nframes = {frames}\n")
    archive, x = typing
    return myoedge.build(archive, calib=x, output=folder / "out", config=toml, stream=True)


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 3, 16])
def test_typing_pushed_over_400_frames(
    typing: tuple[Path, Array], tmp_path: Path, frames: int
) -> None:
    """NumPy = C on the host in every layer of every pass; C = the network over all frames."""
    build = typed(typing, tmp_path, frames)
    checked = myoedge.validate(build)
    assert checked.exact["host"], checked.difference
    with np.load(build.folder / "golden" / "input.npz") as stored:
        x = stored["x.q"]
    with np.load(build.folder / "golden" / "output.npz") as stored:
        wanted = next(stored[name] for name in stored.files if name.endswith(".q"))
    assert wanted.shape == (276, 1, 99)
    build.reset()
    found = np.concatenate([build.push(frame, raw=True) for frame in x])
    assert len(found) == 400 // frames * frames - 124
    np.testing.assert_array_equal(found, wanted[: len(found)])


@pytest.mark.slow
def test_typing_frame_by_frame_on_the_chip(typing: tuple[Path, Array], tmp_path: Path) -> None:
    build = typed(typing, tmp_path, 1)
    simulated = myoedge.simulate(build, input=typing[1][:, :160])
    assert simulated.exact
    assert len(simulated.measurement.inferences) == 160


@pytest.mark.slow
def test_typing_in_passes_of_16_takes_few_cycles(
    typing: tuple[Path, Array], tmp_path: Path
) -> None:
    """Weights from L3 included, a frame of 8.37 MMAC in at most 0.75 M cycles."""
    build = typed(typing, tmp_path, 16)
    simulated = myoedge.simulate(build, input=typing[1][:, :48])
    assert simulated.exact
    cycles = [inference.cycles for inference in simulated.measurement.inferences]
    assert len(cycles) == 3
    assert max(cycles) / 16 <= 0.75e6
    point = simulated.report["stream"]["points"][0]
    assert point["keeps_up"]


@pytest.mark.slow
def test_the_bidirectional_encoder_on_windows(tmp_path: Path) -> None:
    """At full size, with 900 ms of past and 100 ms of future, as it was trained: 36 new frames."""
    torch.manual_seed(0)
    archive = save_exported(
        emg2qwerty.lstm().eval(), (torch.zeros(160, 1, 2, 16, 33),), tmp_path / "lstm.pt2"
    )
    toml = tmp_path / "myoedge.toml"
    rate = "rate = 2000\nhop = 16\nwindow = 64\n"
    toml.write_text(f'[stream]\n{rate}past = "900 ms"\nfuture = "100 ms"\n')
    x = np.random.default_rng(0).normal(-4, 1, (2, 160, 1, 2, 16, 33)).astype(np.float32)
    build = myoedge.build(archive, calib=x, output=tmp_path / "out", config=toml, stream=True)
    assert build.report["stream"]["pass_frames"] == 36
    checked = myoedge.validate(build)
    assert checked.exact["host"], checked.difference
    simulated = myoedge.simulate(build, input=x[:1])
    assert simulated.exact
    assert all(point["keeps_up"] for point in simulated.report["stream"]["points"])
