"""`myoedge monitor`: packets from files and from a serial port; saved, plotted, forwarded."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import myoedge
from myoedge.backends.packets import BrokenFrame, Decision, Flags, Packet, Start, Status
from myoedge.backends.serial_port import SerialLine
from myoedge.catalogue import schemas
from myoedge.errors import MyoedgeError, Notice
from myoedge.extensions.sensor import packet_source
from myoedge.extensions.sensor.monitor import DecisionPlot
from myoedge.extensions.sensor.packet_log import PacketLog
from tests.conftest import myoedge as command
from tests.extensions.boards.peers import Peer, at_the_line
from tests.extensions.sensor.packets import encoded
from tests.support.warning_rules import applies

OK = Flags(0)
STATUS = Status(3, 1_000_000, 999, OK, 0, 0, 0, 0, 0, 0, 0, 0)
SESSION: list[Packet] = [
    Start(0, 0, 0, OK, "00112233445566ff", 8, 1000.0, 5, "reset"),
    Decision(1, 200_000, 199, OK, 2, 40),
    Decision(2, 216_000, 215, Flags.SAMPLES_LOST | Flags.SATURATED, 4, -3),
    STATUS,
    Status(4, 2_000_000, 1999, OK, 7, 0, 0, 0, 0, 0, 0, 0b101),
    Decision(6, 2_016_000, 2015, OK, 2, 41),  # 5 is lost
]
LINE = b"".join(map(encoded, SESSION[:3])) + b"\7\7\0" + b"".join(map(encoded, SESSION[3:]))


@pytest.fixture
def line(tmp_path: Path) -> Path:
    (tmp_path / "line.bin").write_bytes(LINE)
    return tmp_path


def test_a_file_gives_its_packets(line: Path) -> None:
    found = [*myoedge.monitor(line / "line.bin")]
    assert found == [*SESSION[:3], BrokenFrame("no COBS frame"), *SESSION[3:]]


def test_what_is_printed(line: Path) -> None:
    ran = command("monitor", "line.bin", cwd=line)
    assert ran.code == 0
    assert [text.strip() for text in ran.out.splitlines()] == [
        "0.000 s  start after reset: model 00112233445566ff, 8 channels at 1000 Hz, 5 classes; "
        "score: the largest output's integer",
        "0.200 s  class 2   score 40",
        "0.216 s  class 4   score -3  [samples lost, saturated]",
        "damaged frame: no COBS frame",
        "1.000 s  status: no errors",
        "2.000 s  status: 7 samples lost, electrodes open: 0, 2",
        "2.016 s  class 2   score 41",
    ]
    assert "W604" in ran.err
    assert "1 packets" in ran.err


def test_lines_of_packets_go_through_no_console(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console that looks for places to break lines takes ten times as long: a day's file would
    take minutes (`make bench` measures it)."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a console")

    monkeypatch.setattr("rich.console.Console.print", refuse)
    ran = command("monitor", "line.bin", cwd=line)
    assert (ran.code, len(ran.out.splitlines())) == (0, 7)


def test_summary_as_json(line: Path) -> None:
    found = command("monitor", "line.bin", "--json", cwd=line).json
    counts = ("decisions", "statuses", "starts", "lost_packets", "broken_frames")
    assert [found[name] for name in counts] == [3, 2, 1, 1, 1]
    assert (found["classes"], found["flagged_decisions"]) == ({"2": 2, "4": 1}, 1)
    assert found["last_status"]["open_electrodes"] == 5
    assert found["last_start"]["rate_hz"] == 1000.0
    (tmp := line / "one.bin").write_bytes(encoded(SESSION[1]))
    alone = command("monitor", tmp, "--json", cwd=line).json
    assert (alone["last_status"], alone["last_start"]) == (None, None)
    assert "monitor.1.json" in schemas.names()


def test_saved_tables(line: Path) -> None:
    ran = command("monitor", "line.bin", "-q", "--save", "out.npz", cwd=line)
    assert ran.code == 0
    with np.load(line / "out.npz", allow_pickle=False) as saved:
        assert saved["class"].tolist() == [2, 4, 2]
        assert saved["score"].tolist() == [40, -3, 41]
        assert saved["time_s"].tolist() == pytest.approx([0.2, 0.216, 2.016])
        assert saved["frame"].tolist() == [199, 215, 2015]
        assert saved["flags"].tolist() == [0, 5, 0]
        assert saved["status_frames_lost"].tolist() == [0, 7]
        assert saved["start_digest"].tolist() == ["00112233445566ff"]
        assert "values" not in saved
    command("monitor", "line.bin", "--save", "out.csv", cwd=line)
    with (line / "out.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [(row["class"], row["score"], row["flags"]) for row in rows] == [
        ("2", "40", "0"),
        ("4", "-3", "5"),
        ("2", "41", "0"),
    ]


def test_saved_values(tmp_path: Path) -> None:
    sent = [Decision(n, n, n, OK, None, 0, (n, -n, 3)) for n in range(4)]
    (tmp_path / "line.bin").write_bytes(b"".join(encoded(packet) for packet in sent))
    for file in ("out.npz", "out.csv"):
        command("monitor", "line.bin", "--save", file, cwd=tmp_path)
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["values"].tolist() == [[n, -n, 3] for n in range(4)]
        assert saved["class"].tolist() == [-1] * 4
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header.split(",")[-3:] == ["value_0", "value_1", "value_2"]
    assert rows[2].split(",")[-3:] == ["2", "-2", "3"]


def test_times_and_numbers_wrap() -> None:
    log = PacketLog()
    times_us = [2**32 - 500_000, 500_000, 1_000_000]
    sent = [Decision((65_535 + n) % 65_536, t, n, OK, 0, 0) for n, t in enumerate(times_us)]
    times_s = [log.add(packet) for packet in sent]
    assert times_s == pytest.approx([4294.467296, 4295.467296, 4295.967296])
    assert log.lost == 0
    log.add(Start(0, 10, 0, OK, "0" * 16, 8, 1000.0, 5, "watchdog"))
    assert log.add(Decision(1, 1_000_010, 3, OK, 0, 0)) == pytest.approx(1.00001)
    assert (log.lost, log.starts) == (0, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "E615"), (b"", "E616"), (b"no packets\n\0", "E616"), (LINE[:20], "E616")],
)
def test_files_that_hold_nothing(content: bytes | None, code: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "line.bin").write_bytes(content)
    ran = command("monitor", "line.bin", "--json", "--save", "out.npz", cwd=tmp_path)
    assert (ran.code, ran.json["error"]["code"]) == (6, code)
    assert not (tmp_path / "out.npz").exists()


def test_places_that_are_none(tmp_path: Path) -> None:
    for source, code in ((tmp_path, "E615"), ("/dev/nothing", "E603")):
        with pytest.raises(MyoedgeError) as caught:
            next(myoedge.monitor(source))
        assert (caught.value.code, caught.value.exit_code) == (code, 6)


def test_files_that_cannot_be_written(line: Path) -> None:
    for file, text in (("out.txt", ".npz or .csv"), ("none/out.npz", "E220")):
        ran = command("monitor", "line.bin", "--save", file, cwd=line)
        assert ran.code == 2
        assert text in ran.err


# ---- a port


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the port is open; opening discards what came before."""
    is_open, open_port = threading.Event(), packet_source.open_port

    @contextlib.contextmanager
    def opening(line: SerialLine) -> Iterator[Any]:
        with open_port(line) as port:
            is_open.set()
            yield port

    monkeypatch.setattr(packet_source, "open_port", opening)
    return is_open


def said_once(data: bytes, opened: threading.Event) -> Peer:
    """A peer that sends the bytes, piece by piece, and then breaks the line."""
    pieces = iter([data[at : at + 7] for at in range(0, len(data), 7)])

    def peer(came: bytes) -> bytes | None:
        assert came == b"", "nothing is asked"
        return next(pieces, None) if opened.is_set() else b""

    return peer


def test_a_port_gives_what_comes_until_it_breaks(tmp_path: Path, opened: threading.Event) -> None:
    with at_the_line(said_once(encoded(SESSION[0])[9:] + LINE, opened)) as port:
        ran = command("monitor", port, "--save", "out.npz", "--json", cwd=tmp_path)
    assert ran.code == 6
    assert "E607" in ran.err
    assert (ran.json["decisions"], ran.json["broken_frames"]) == (3, 1), "not the cut frame"
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["class"].tolist() == [2, 4, 2]


@applies("W603", "received --baud-rate", "silent is this the port", "silent reset")
@pytest.mark.parametrize(("sent", "remedy"), [(b"", "wired"), (b"\xf0\x00\x80", "--baud-rate")])
def test_a_port_without_packets_is_reported_once(
    sent: bytes, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packet_source, "SILENCE_S", 0.3)
    heard: list[Notice] = []
    over = threading.Event()

    def peer(came: bytes) -> bytes | None:
        return None if over.is_set() else sent

    def warn(warning: Notice) -> None:
        heard.append(warning)
        over.set()

    with at_the_line(peer) as port, pytest.raises(MyoedgeError, match="E607"):
        assert not [*myoedge.monitor(port, warn=warn)]
    assert [warning.code for warning in heard] == ["W603"]
    assert remedy in heard[0].tries[0]
    monkeypatch.setattr(packet_source, "SILENCE_S", 5.0)
    with at_the_line(lambda came: LINE) as port:  # of a board that was reset, at its baud rate
        packets = myoedge.monitor(port, baud_rate=1_000_000, warn=warn)
        assert isinstance(next(packets), Packet | BrokenFrame)
    assert len(heard) == 1


def test_ctrl_c_ends_a_port_without_an_error(tmp_path: Path) -> None:
    """A process of its own, which gets SIGINT when it has printed the last packet twice: what came
    before the port was open is lost."""
    from tests.conftest import started

    with at_the_line(lambda came: LINE) as port:
        process = started("monitor", port, "--save", "out.csv", cwd=tmp_path)
        assert process.stdout is not None
        for _ in range(2):
            while "2.016 s" not in process.stdout.readline():
                assert process.poll() is None
        process.send_signal(2)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert len((tmp_path / "out.csv").read_text().splitlines()) >= 4


# ---- plot


def test_the_plot_has_a_row_a_class_and_the_counts(line: Path) -> None:
    log = PacketLog()
    plot = DecisionPlot(log)
    for record in myoedge.monitor(line / "line.bin"):
        plot.add(record, log.add(record))
    rows = [text for text, _ in plot.lines(40)]
    assert rows[:7] == [
        "class 0      ",
        "class 1      ",
        "class 2   █ █",
        "class 3      ",
        "class 4    █ ",
        "score     █▁█",
        "flags      ! ",
    ]
    assert "7 samples lost, 1 packets lost, 1 damaged, electrodes open: 0, 2" in rows[7]
    assert [text for text, _ in plot.lines(12)][2] == "class 2    █", "the newest ones"
    assert all(text.isascii() for text, _ in plot.lines(40, is_ascii=True))


def test_the_plot_in_a_terminal(line: Path) -> None:
    host, device = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60"}
    arguments = [sys.executable, "-m", "myoedge", "monitor", "line.bin", "--plot"]
    with subprocess.Popen(arguments, stdout=device, cwd=line, env=environment) as process:
        os.close(device)
        shown = b""
        while True:
            try:
                shown += os.read(host, 4096)
            except OSError:  # the end of a pseudo-terminal
                break
    os.close(host)
    assert process.returncode == 0
    assert "class 4    █" in shown.decode()


# ---- Lab Streaming Layer


def fake_pylsl() -> tuple[Any, list[Any]]:
    """The calls of pylsl that are used, by its documentation; what was sent."""
    sent: list[Any] = []

    class Element:
        def append_child(self, name: str) -> Element:
            return self

        def append_child_value(self, name: str, value: str) -> Element:
            sent.append(value)
            return self

    class Info:
        def __init__(self, name: str, kind: str, count: int, *more: Any) -> None:
            sent.append((name, kind, count, *more))

        def desc(self) -> Element:
            return Element()

    module = types.SimpleNamespace(
        StreamInfo=Info,
        StreamOutlet=lambda _: types.SimpleNamespace(push_sample=sent.append),
        cf_double64=2,
    )
    return module, sent


def test_decisions_go_to_lsl(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, sent = fake_pylsl()
    monkeypatch.setitem(sys.modules, "pylsl", module)
    assert command("monitor", "line.bin", "--lsl", cwd=line).code == 0
    assert sent[0] == ("myoedge", "Decisions", 3, 0.0, 2, "line.bin")
    assert sent[1:4] == ["time_s", "class", "score"]
    assert sent[4:] == [[0.2, 2, 40], [0.216, 4, -3], [2.016, 2, 41]]


def test_no_pylsl_is_an_error_with_its_remedy(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    ran = command("monitor", "line.bin", "--lsl", cwd=line)
    assert (ran.code, ran.out) == (5, "")
    assert "E501" in ran.err
