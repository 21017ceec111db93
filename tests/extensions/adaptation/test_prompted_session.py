# SPDX-License-Identifier: Apache-2.0
"""`myoedge adapt --port`: a session with a wearer, against a device that keeps the rules of
labels.c."""

from __future__ import annotations

import shlex
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import myoedge
from myoedge.backends import serial_port
from myoedge.backends.build import Build
from myoedge.backends.packets import BrokenFrame, Decision, Flags, Packet, Start
from myoedge.errors import MyoedgeError
from myoedge.extensions.adaptation import prompted_session
from tests.conftest import myoedge as command
from tests.conftest import started, steps
from tests.extensions.adaptation.test_adapting import Network, built
from tests.extensions.boards.peers import at_the_line
from tests.extensions.sensor import applications
from tests.extensions.sensor.packets import crc16, encoded, stuffed
from tests.support.schemas import check
from tests.support.warning_rules import applies

LDA, NO_LABEL = 2, 0xFFFF
BEGIN, LABEL, END = 1, 2, 3  # numbers in labels.h
SENSOR = {"front_end": "uart", "bits": 24, "input_range": "0.4 V", "hop": 10, "channels": 8}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder, sensor = tmp_path_factory.mktemp("session"), {**SENSOR, "rate": 1000, "unit": "uV"}
    tables = {"sensor": sensor, "adapt": {"methods": ["lda"]}}
    return applications.built(folder, applications.Windows, 40, **tables)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompted_session, "COUNTDOWN_S", 0)
    monkeypatch.setattr(prompted_session, "ANSWER_S", 0.5)


class Device:
    """Answers commands, and decides class 1 all the time.

    refuses   number of the command that it refuses, and the argument
    restarts  whether it restarts at a label
    """

    def __init__(self, gains: bool = True, refuses: Any = None, restarts: bool = False) -> None:
        self.gains, self.refuses, self.restarts = gains, refuses, restarts
        self.commands: list[tuple[int, int]] = []
        self.rest = b""

    def __call__(self, came: bytes) -> bytes:
        *frames, self.rest = (self.rest + came).split(b"\0")
        sent = encoded(Decision(0, 0, 0, Flags(0), 1, 5)) + b"\7\7\0"  # and a damaged frame
        return sent + b"".join(map(self.answer, frames))

    def answer(self, frame: bytes) -> bytes:
        body = plain(frame)
        assert struct.unpack("<H", body[-2:])[0] == crc16(body[:-2])
        kind, version, number, _, argument = struct.unpack("<BBBBH", body[:-2])
        assert (kind, version) == (17, 1)
        self.commands.append((number, argument))
        if self.restarts and number == LABEL:
            return encoded(Start(0, 0, 0, Flags(0), "00" * 8, 8, 1000.0, 5, "watchdog"))
        result = int(self.gains) if number == END else 0
        result = -1 if (number, argument) == self.refuses else result
        content = struct.pack("<BBHIIHBi", 5, 1, 0, 0, 0, 0, number, result)
        return stuffed(content + struct.pack("<H", crc16(content)))


def plain(frame: bytes) -> bytes:
    """COBS backwards: a count, then as many bytes less one, and a zero between blocks."""
    out = b""
    while frame:
        count = frame[0]
        out, frame = out + frame[1:count] + b"\0", frame[count:]
    return out[:-1]


def session(build: Build, device: Callable[[bytes], bytes], **options: Any) -> Any:
    said: list[str] = []
    with at_the_line(device) as port:
        found = myoedge.adapt_on_device(build, port=port, hold="60 ms", say=said.append, **options)
    return found, said


def test_a_session_shows_every_class_and_labels_it(build: Build) -> None:
    device = Device()
    found, said = session(build, device, rounds=2)
    each = [(LABEL, label) for c in range(5) for label in (c, NO_LABEL)]
    assert device.commands == [(BEGIN, LDA), *each, *each, (END, 0)]
    assert (found.method, found.in_force) == ("lda", True)
    assert [right == (count if c == 1 else 0) for c, (count, right) in enumerate(found.decisions)]
    assert all(count > 0 for count, _ in found.decisions)
    assert [text for text in said if text.startswith("hold")] == [
        f"hold class {c} for 0.06 s" for c in range(5)
    ] * 2
    assert not session(build, Device(gains=False), rounds=1)[0].in_force


def test_noise_without_frames_is_not_kept() -> None:
    """A device that is no sensor application sends without an end, and never a zero byte."""
    noise = SimpleNamespace(read=lambda count: b"\7" * 10_000, in_waiting=0)
    line = prompted_session.SensorLine(cast(Any, noise))
    assert [*line.heard(0.05)] == []
    assert len(line.rest) < 10_000
    noise.read = lambda count: b"\0" + encoded(Decision(0, 0, 0, Flags(0), 1, 5))
    first, second, *_ = line.heard(0.05)
    assert isinstance(first, BrokenFrame)
    assert isinstance(second, Decision)


def test_what_comes_with_an_answer_is_heard_after_it() -> None:
    """In one read: a decision, the answer, and two decisions of what the command began."""
    decisions = [encoded(Decision(n, n, n, Flags(0), 1, 5)) for n in range(3)]
    answered: list[bytes] = []
    port = SimpleNamespace(in_waiting=0, read=lambda count: answered.pop() if answered else b"")

    def write(message: bytes) -> None:
        answer = Device().answer(message.split(b"\0")[-2])
        answered.append(decisions[0] + answer + decisions[1] + decisions[2][:4])
        answered.insert(0, decisions[2][4:])

    port.write = write
    line = prompted_session.SensorLine(cast(Any, port))
    assert line.asked("label", 3) == 0
    assert [cast(Decision, record).sequence for record in line.heard(0.02)] == [1, 2]
    assert [*line.heard(0.0)] == []


def test_a_wearer_is_counted_down(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompted_session, "COUNTDOWN_S", 1)
    heard, seconds = prompted_session.SensorLine.heard, list[float]()

    def quickly(line: prompted_session.SensorLine, for_s: float) -> Iterator[Any]:
        seconds.append(for_s)
        return heard(line, min(for_s, 0.06))

    monkeypatch.setattr(prompted_session.SensorLine, "heard", quickly)
    _, said = session(build, Device(), rounds=1)
    assert said[:2] == ["round 1 of 1: class 0 in 1", "hold class 0 for 0.06 s"]
    assert seconds.count(1.0) == 5, "a second before each class"


@pytest.mark.parametrize(
    ("device", "code"),
    [
        (Device(refuses=(BEGIN, LDA)), "E618"),
        (Device(refuses=(LABEL, 3)), "E618"),
        (Device(restarts=True), "E618"),
        (lambda came: b"\7\7\0", "E618"),
        (lambda came: b"", "E618"),
        (lambda came: None if came else b"", "E607"),
    ],
)
def test_what_ends_a_session(build: Build, device: Any, code: str) -> None:
    with pytest.raises(MyoedgeError) as raised:
        session(build, device, rounds=1)
    assert raised.value.code == code
    if isinstance(device, Device) and device.commands[0] != (BEGIN, LDA):
        assert device.commands[-1] == (LABEL, NO_LABEL)


def test_the_command(build: Build) -> None:
    with at_the_line(Device()) as port:
        arguments = ("adapt", build.folder, "--port", port, "--hold", "30 ms", "--rounds", "1")
        ran = command(*arguments, "--json", cwd=build.folder.parent)
        assert check(ran.json) == "myoedge.prompted-session/1"
        assert [row["class"] for row in ran.json["classes"]] == [*"01234"]
        ran = command(*arguments, cwd=build.folder.parent)
        (line,) = steps(ran.err)
        monitor = started(*shlex.split(line)[1:], cwd=build.folder.parent)
        assert monitor.stdout is not None
        while "class 1" not in monitor.stdout.readline():
            assert monitor.poll() is None
        monitor.send_signal(signal.SIGINT)
        _, error = monitor.communicate(timeout=60)
    assert "the classifier of this session (lda) decides now" in ran.out
    assert line == f"myoedge monitor {port} --build {build.folder}"
    assert monitor.returncode == 0, error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "/dev/null", "--data", "x.npz"], "without --port only: --data"),
        (
            ["--data", "x.npz", "--test", "x.npz", "--hold", "1 s"],
            "with --port only: --hold",
        ),
        (["--port", "/dev/null", "--method", "lda", "--method", "head"], "has one --method"),
        (["--data", "x.npz"], "--test is missing"),
        ([], "--data is missing"),
    ],
)
def test_options_of_the_other_kind(options: list[str], message: str, tmp_path: Path) -> None:
    ran = command("adapt", *options, cwd=tmp_path)
    assert ran.code == 2
    assert message in ran.err


def test_methods_that_the_build_lacks(build: Build) -> None:
    with pytest.raises(MyoedgeError) as raised:
        myoedge.adapt_on_device(build, port="/dev/null", method="head")
    assert raised.value.code == "E268"


def test_a_build_without_sensor_application_opens_no_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_port, "open_port", lambda line: pytest.fail("the port is opened"))
    plain = built(tmp_path, Network(), {"methods": ["lda"]})
    ran = command("adapt", plain.folder, "--port", "/dev/null", cwd=tmp_path)
    assert ran.code == 2
    assert "E268" in ran.err
    assert "--app sensor" in ran.err


@applies("W606", "--build")
def test_monitor_names_classes_and_compares_the_network(build: Build, tmp_path: Path) -> None:
    digest = build.report["model"]["integer_digest"][:16]
    sent: dict[str, list[Packet]] = {
        name: [
            Start(0, 0, 0, Flags(0), d, 8, 1000.0, 5, "reset"),
            Decision(1, 9, 9, Flags(0), 2, 4),
        ]
        for name, d in (("same", digest), ("other", "00" * 8))
    }
    for name, packets in sent.items():
        (tmp_path / f"{name}.bin").write_bytes(b"".join(map(encoded, packets)))
    same, other = (
        command("monitor", f"{name}.bin", "--build", build.folder, cwd=tmp_path) for name in sent
    )
    assert "W606" not in same.err
    assert "W606" in other.err
    assert digest in other.err
    assert "class 2   score 4" in same.out
