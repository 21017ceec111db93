# SPDX-License-Identifier: Apache-2.0
"""`make zoo`: what an interrupted run leaves, and what the next one does with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.pages import head
from tests.upstream import record
from tests.upstream.networks import Network

NAMES = ("first", "second", "third")
KEYS = [f"library/{name}" for name in NAMES]
FIGURES = {"macs": 2_500_000, "sqnr_db": 41.25, "cycles": 1_234_567, "energy_uj": 1234.4}


@dataclass
class Zoo:
    """Three networks of a library, in a folder of their own; ran: those whose process ran."""

    folder: Path
    stop_at: str = ""
    ran: list[str] = field(default_factory=list)

    def row(self, key: str) -> Mapping[str, Any]:
        if key == self.stop_at:
            raise KeyboardInterrupt
        self.ran.append(key)
        return {"refused": "E101: no such operator"} if key == KEYS[1] else FIGURES

    @property
    def recorded(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "rows.json").read_text())
        return found

    @property
    def page(self) -> str:
        return (self.folder / "zoo.md").read_text()


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    made = Zoo(tmp_path)
    listed = [Network("library", name, _never) for name in NAMES]
    (tmp_path / "rows.json").write_text(json.dumps({"library/gone": FIGURES}))
    (tmp_path / "zoo.md").write_text(
        "Networks\n\n"
        + "".join(
            f"{head(*c)}| old |\n\n" for c in (record.COLUMNS, record.LIBRARIES, record.SOURCES)
        )
        + "end\n"
    )
    monkeypatch.setattr(record, "networks", lambda: iter(listed))
    monkeypatch.setattr(record, "in_process", made.row)
    monkeypatch.setattr(record, "RECORDED", tmp_path / "rows.json")
    monkeypatch.setattr(record, "PAGE", tmp_path / "zoo.md")
    monkeypatch.setattr(record, "UNFINISHED", tmp_path / "build" / "zoo.json")
    return made


def _never() -> Any:
    raise AssertionError


def test_all_are_recorded_and_those_that_left_the_list_are_not(zoo: Zoo) -> None:
    record.main(["--record"])
    assert zoo.ran == KEYS
    assert list(zoo.recorded) == KEYS
    assert "| other | library/first | 2.50 | 41.2 | 1,235 | 1,234 |  |\n" in zoo.page
    refused = f"| other | library/second |{'  |' * 4} E101: no such operator |\n"
    assert refused in zoo.page
    assert "old" not in zoo.page
    assert zoo.page.endswith("\n\nend\n")
    assert not record.UNFINISHED.exists()


def test_an_interrupted_run_changes_nothing_and_the_next_one_goes_on(zoo: Zoo) -> None:
    before, zoo.stop_at = zoo.page, KEYS[2]
    with pytest.raises(KeyboardInterrupt):
        record.main(["--record"])
    assert zoo.page == before
    assert list(zoo.recorded) == ["library/gone"]
    zoo.stop_at = ""
    record.main(["--record"])
    assert zoo.ran == KEYS
    assert list(zoo.recorded) == KEYS


def test_rows_of_other_code_are_run_again(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.stop_at = KEYS[2]
    with pytest.raises(KeyboardInterrupt):
        record.main(["--record"])
    zoo.stop_at = ""
    monkeypatch.setattr(record, "package", lambda: "another")
    record.main(["--record"])
    assert zoo.ran == [*KEYS[:2], *KEYS]


def test_rows_of_a_library_that_is_not_installed_stay(zoo: Zoo) -> None:
    (zoo.folder / "rows.json").write_text(json.dumps({"absent/net": FIGURES}))
    record.main(["--record"])
    assert list(zoo.recorded) == ["absent/net", *KEYS]


def test_the_page_alone_is_made_of_the_record(zoo: Zoo) -> None:
    record.main(["--page"])
    assert zoo.ran == []
    assert "| other | library/gone |" in zoo.page


@pytest.mark.parametrize("arguments", [("--record",), ("--record", "*/second")])
def test_a_killed_run_leaves_a_record_that_the_next_one_reads(
    zoo: Zoo, arguments: tuple[str, ...]
) -> None:
    """SIGKILL behind the second network's row: no handler of this process runs."""
    rows = json.dumps({"package": record.package(), "rows": {KEYS[0]: FIGURES}})
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.upstream import record; "
        "record.UNFINISHED = Path(sys.argv[1]); record.in_process = "
        f"lambda key: {FIGURES!r} if key == {KEYS[0]!r} else os.kill(os.getpid(), signal.SIGKILL); "
        f"record._run({KEYS!r}, {{}}, keep=True)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(record.UNFINISHED)])
    assert killed.returncode == -signal.SIGKILL
    assert json.loads(record.UNFINISHED.read_text()) == json.loads(rows)
    record.main(list(arguments))
    assert KEYS[0] not in zoo.ran


@pytest.mark.parametrize("arguments", [(), ("library/*",)], ids=["all", "pattern"])
def test_without_record_nothing_is_written(zoo: Zoo, arguments: tuple[str, ...]) -> None:
    before = zoo.page
    record.main(arguments)
    assert zoo.ran == KEYS
    assert zoo.page == before
    assert not record.UNFINISHED.exists()
    assert list(zoo.recorded) == ["library/gone"]


def test_a_pattern_leaves_the_rows_of_others(zoo: Zoo) -> None:
    record.main(["--record"])
    zoo.ran.clear()
    record.main(["--record", "*/sec*"])
    assert zoo.ran == KEYS[1:2]
    assert list(zoo.recorded) == KEYS


def test_a_run_says_how_far_it_is(zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    record.main(["*/third"])
    assert capsys.readouterr().out.startswith("[1/1] library/third: {'macs': 2500000")


def test_rows_are_stored_by_name() -> None:
    """Two people's rows then do not meet at the end of the file."""
    text = record.stored({"b/net": FIGURES, "a/net": FIGURES})
    assert list(json.loads(text)) == ["a/net", "b/net"]
    kept = record.RECORDED.read_text()
    assert kept == record.stored(json.loads(kept))


class Sum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigh(x)[0]


@pytest.mark.parametrize(
    ("make", "starts"),
    [
        (lambda: 1 / 0, "library does not make it: ZeroDivisionError"),
        (lambda: (Sum().eval(), (torch.eye(2),)), "E111: "),
    ],
    ids=["made", "built"],
)
def test_why_a_network_has_no_figures_is_one_line(make: Callable[[], Any], starts: str) -> None:
    row = record.row_of(Network("library", "name", make))
    assert set(row) - {"parameters"} == {"refused"}
    assert row["refused"].startswith(starts)
    assert "\n" not in row["refused"]
    assert len(row["refused"]) < 280
