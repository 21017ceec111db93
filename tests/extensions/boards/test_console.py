# SPDX-License-Identifier: Apache-2.0
"""A board's console: the firmware on the simulator at the end of a pseudo-terminal, and trouble."""

from __future__ import annotations

import shlex
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import console
from myoedge.extensions.boards.board import find_serial_line
from myoedge.extensions.boards.console import Message, decode, encode
from myoedge.targets.boards import find_board
from tests.conftest import myoedge as command
from tests.conftest import steps
from tests.extensions.boards.peers import (
    Firmware,
    Peer,
    at_the_line,
    noisy,
    replaced,
    unplugged_after,
)
from tests.extensions.gap_sdk import sdk


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with much to do takes longer than a board."""
    monkeypatch.setattr(console, "START_TIMEOUT_S", 60.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 15.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, patient: None) -> None:
    """Where nothing comes that would be worth waiting for."""
    monkeypatch.setattr(console, "START_TIMEOUT_S", 1.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 0.25)


def code_of(build: Build, peer: Peer) -> str:
    """What a run with that peer at the line ends with."""
    with at_the_line(peer) as port, pytest.raises(MyoedgeError) as caught:
        myoedge.run(build, port=port)
    assert caught.value.exit_code == 6
    assert caught.value.notice.tries or caught.value.notice.facts
    return caught.value.code


# ---- text


class Saying:
    """A port at which pieces come, and then the line breaks."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [*pieces]

    def read(self, size: int) -> bytes:
        if not self.pieces:
            raise OSError("gone")
        return self.pieces.pop(0)

    def write(self, data: bytes) -> int:
        raise AssertionError("nothing is asked")


def test_watch_prints_lines_and_messages_until_the_line_breaks() -> None:
    message = encode(Message("I", 0, b"\1\0gap9 d1"))
    text = (
        b"layer 0: 12 cycles\r\nall: \xff12\n\nouputs" + message + b"done\n" + message[:9] + b"x\n"
    )
    wanted = ["layer 0: 12 cycles", "all: ?12", "ouputs", "[I] gap9 d1", "done"]
    for size in (1, 7, len(text)):
        heard: list[str] = []
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        with pytest.raises(MyoedgeError) as caught:
            heard.extend(console.lines_heard(Saying(*pieces, b"")))
        assert (caught.value.code, heard) == ("E607", wanted)


def test_watch_goes_with_nothing_else(tmp_path: Path) -> None:
    for more in (("folder",), ("--on", "simulator"), ("--input", "x.npz"), ("--json",)):
        ran = command("run", "--watch", *more, "--port", "/dev/a b", cwd=tmp_path)
        assert ran.code == 2
        assert more[0] in ran.err
        assert "myoedge run --watch --port '/dev/a b'" in " ".join(ran.err.split())
    ran = command("run", "--watch", "--port", str(tmp_path / "nothing"), cwd=tmp_path)
    assert ran.code == 6
    assert "E603" in ran.err


# ---- frames


FRAMES = st.lists(
    st.builds(Message, st.sampled_from("iwrgqIWRGQN"), st.integers(0, 255), st.binary(max_size=40)),
    max_size=5,
)


@given(FRAMES, st.binary(max_size=30), st.integers(0, 200))
def test_frames_come_through_rubbish_and_in_pieces(
    frames: list[Message], rubbish: bytes, cut: int
) -> None:
    data = rubbish.replace(b"\xa5", b"") + b"".join(encode(frame) for frame in frames)
    first, rest = decode(data[:cut])
    second, _ = decode(rest + data[cut:])
    assert first + second == frames


@given(st.binary(max_size=300))
def test_any_bytes_are_skipped_or_frames(data: bytes) -> None:
    frames, rest = decode(data)
    assert len(rest) <= len(data)
    assert all(encode(frame) in data for frame in frames)


def test_a_frame_is_as_the_page_says() -> None:
    body = b"w\x07\x04\x00\x01\x02\x03\x04"
    crc = zlib.crc32(body).to_bytes(4, "little")
    assert encode(Message("w", 7, b"\x01\x02\x03\x04")) == b"\xa5\x5aME" + body + crc


# ---- the firmware


def test_the_ladders_last_rung(two: Build, served: bytes, tmp_path: Path) -> None:
    with at_the_line(Firmware(served, tmp_path)) as port:
        found = command("validate", two.folder, "--on", "host,board", "--port", port, cwd=tmp_path)
    assert found.code == 0, found.err
    assert "exact: reference = board, outputs, 3 samples" in found.out
    exact = two.report["exact"]  # other tests of this build run it elsewhere
    assert (exact["host"], exact["board"]) == (True, True)


def test_a_run_gives_outputs_and_cycles(two: Build, served: bytes, tmp_path: Path) -> None:
    with at_the_line(Firmware(served, tmp_path)) as port:
        ran = command("run", two.folder, "--port", port, "--json", cwd=tmp_path)
        (step,) = steps(ran.err)
        then = command(*shlex.split(step)[1:], cwd=tmp_path)
    assert (ran.code, then.code) == (0, 0), ran.err + then.err
    assert step == f"myoedge validate {two.folder} --on board --port {port}"
    assert ran.json["exact"] is True
    assert ran.json["cycles"]["source"] == "board"
    assert all(row["cycles"] > 100 for row in ran.json["layers"])
    assert sum(row["cycles"] for row in ran.json["layers"]) <= ran.json["cycles"]["total"]


@pytest.mark.slow
def test_inputs_and_outputs_in_l3_go_over_the_line(tmp_path: Path) -> None:
    """12 KB of each, which L2 has no room for."""
    layers = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    build = sdk.made(tmp_path, nn.Sequential(*layers), (1, 1, 120, 100), l2="20KiB")
    ports = (build.folder / "gap_sdk" / "ports.c").read_text()
    assert "{ 0, ME_L3_BYTES" in ports
    (tmp_path / "l3.bin").write_bytes(build.l3_image or b"")
    elf = sdk.for_chip(build, "SHIM_CHECKS", *sdk.UART).elf
    with at_the_line(Firmware(elf, tmp_path)) as port:
        assert myoedge.run(build, port=port).exact


def test_results_that_are_wrong_are_told(two: Build, served: bytes, tmp_path: Path) -> None:
    def change(_: int, frame: Message) -> bytes:
        payload = bytes([frame.payload[0] ^ 1]) + frame.payload[1:] if frame.kind == "G" else None
        return encode(Message(frame.kind, frame.number, payload or frame.payload))

    with at_the_line(replaced(Firmware(served, tmp_path), change)) as port:
        ran = command("run", two.folder, "--port", port, cwd=tmp_path)
        assert (ran.code, "NOT equal" in ran.out) == (4, True)


# ---- trouble


@pytest.mark.slow
def test_noise_on_the_line_costs_time_alone(
    two: Build, served: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "START_TIMEOUT_S", 8.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 2.0)
    with at_the_line(noisy(Firmware(served, tmp_path))) as port:
        assert myoedge.run(two, port=port).exact


@pytest.mark.parametrize("answers", [1, 2, 4])
def test_unplugging_in_the_middle(two: Build, served: bytes, tmp_path: Path, answers: int) -> None:
    before = two.report
    assert code_of(two, unplugged_after(Firmware(served, tmp_path), answers)) == "E607"
    assert two.report == before


@pytest.mark.usefixtures("impatient")
def test_silence(two: Build) -> None:
    assert code_of(two, lambda _: b"") == "E604"


@pytest.mark.usefixtures("impatient")
def test_garbage(two: Build) -> None:
    rng = np.random.default_rng(0)
    assert code_of(two, lambda came: rng.bytes(len(came))) == "E605"


def test_another_build_on_the_board(two: Build, served: bytes, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = sdk.made(tmp_path, nn.Linear(5, 4), (1, 5))
    assert code_of(other, Firmware(served, tmp_path)) == "E606"


def test_another_chip_on_the_board(two: Build, served: bytes, tmp_path: Path) -> None:
    def change(_: int, frame: Message) -> bytes:
        payload = frame.payload.replace(b" gap9 ", b" gap8 ")
        return encode(Message(frame.kind, frame.number, payload))

    assert code_of(two, replaced(Firmware(served, tmp_path), change)) == "E606"


def test_a_board_that_refuses(two: Build, served: bytes, tmp_path: Path) -> None:
    def change(_: int, frame: Message) -> bytes:
        refused = frame.kind == "R"
        return encode(Message("N", frame.number, b"\x04") if refused else frame)

    assert code_of(two, replaced(Firmware(served, tmp_path), change)) == "E608"


def test_a_build_without_an_application(small_build: Path) -> None:
    with at_the_line(lambda _: b"") as port, pytest.raises(MyoedgeError) as caught:
        myoedge.run(small_build, port=port)
    assert (caught.value.code, "--app gap-sdk" in str(caught.value)) == ("E240", True)


# ---- where the line is


def test_a_port_that_there_is_not(two: Build) -> None:
    with pytest.raises(MyoedgeError) as caught:
        myoedge.run(two, port="/dev/not-there")
    assert (caught.value.code, caught.value.exit_code) == ("E603", 6)


def test_the_port_of_the_probe_is_found() -> None:
    evk = find_board("gap9_evk")
    mouse, probe = ("/dev/ttyACM0", "046d:c077"), ("/dev/ttyUSB3", "0403:6010")
    assert find_serial_line(evk, None, [mouse, probe]).port == "/dev/ttyUSB3"
    assert find_serial_line(evk, "/dev/mine", [mouse]).port == "/dev/mine"
    for ports in ([], [mouse], [probe, ("/dev/ttyUSB4", "0403:6010")]):
        with pytest.raises(MyoedgeError) as caught:
            find_serial_line(evk, None, ports)
        assert caught.value.code == "E601"
    assert caught.value.notice.tries == ("--port /dev/ttyUSB3", "--port /dev/ttyUSB4")
    with pytest.raises(MyoedgeError) as caught:
        find_serial_line(find_board("biogap"), "/dev/mine")
    assert caught.value.code == "E602"
