# SPDX-License-Identifier: Apache-2.0
"""Limits of the parts beside the chip: what does not fit is refused, and each remedy that the error
names is applied to the input that caused it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError, Notice
from tests.conftest import save_exported
from tests.support.warning_rules import printed

PARTS = {"none": (), "flash": ("flash",), "ram": ("flash", "ram")}
NO_PARTS = 'id = "bare"\nname = "bare"\nchip = "gap9"\ntried = false\n'
OCTOSPI = '[flash.octospi]\npart = "flash"\nbytes = 67_108_864\nsector_bytes = 8192\n'
MRAM = '[flash.mram]\npart = "eMRAM"\nbytes = 2_097_152\nsector_bytes = 8192\n'
RAM = '[ram]\npart = "RAM"\nbytes = 33_554_432\n'
WHOLE = {"[ram]": RAM, "[flash.octospi]": OCTOSPI, "[flash.mram]": MRAM}


def dense(width: int, depth: int) -> tuple[nn.Module, tuple[int, ...]]:
    inner = (nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(depth))
    return nn.Sequential(*inner, nn.Linear(width, 4)), (width,)


class LastState(nn.Module):
    """GRUs, and scores of the last state."""

    def __init__(self, width: int, depth: int, read: int = 0, both: bool = False) -> None:
        super().__init__()
        self.cells = nn.GRU(read or width, width, depth, batch_first=True, bidirectional=both)
        self.head = nn.Linear(width << both, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


def recurrent(width: int, depth: int) -> tuple[nn.Module, tuple[int, ...]]:
    return LastState(width, depth), (10, width)


def both_ways(width: int, depth: int) -> tuple[nn.Module, tuple[int, ...]]:
    return LastState(width, depth, read=5, both=True), (7, 5)


class ColumnScores(nn.Module):
    """Scores of the columns of a matrix."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(x.transpose(1, 2)))


def turned(width: int, depth: int) -> tuple[nn.Module, tuple[int, ...]]:
    assert depth == 0
    return ColumnScores(width), (width, width)


def narrowed(width: int, depth: int) -> tuple[nn.Module, tuple[int, ...]]:
    assert depth == 1
    return nn.Sequential(nn.Linear(width, 257), nn.ReLU(), nn.Linear(257, 3)), (width,)


NETWORKS = {"dense": dense, "gru": recurrent, "turned": turned} | {
    "narrowed": narrowed,
    "both ways": both_ways,
}


class Trial:
    """A build of a network, and its inputs, which remedies change.

    width, depth   of the layers, by default linear ones
    tables         lines of myoedge.toml by table
    board          board.toml; "" for none
    """

    def __init__(self, folder: Path, width: int, depth: int, **limits: str) -> None:
        self.folder, self.width, self.depth = folder, width, depth
        self.board, self.options = limits.pop("board", ""), dict[str, Any]()
        self.make, self.memory = (
            NETWORKS[limits.pop("network", "dense")],
            limits.pop("memory", None),
        )
        self.tables = {"budget": {key: f'"{value}"' for key, value in limits.items()}}

    def build(self) -> myoedge.Build:
        torch.manual_seed(0)
        model, shape = self.make(self.width, self.depth)
        example = torch.zeros(1, *shape)
        file = save_exported(model.eval(), (example,), self.folder / "model.pt2")
        rows = (
            f"[{table}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
            for table, keys in self.tables.items()
        )
        config = self.folder / "myoedge.toml"
        config.write_text("".join(rows))
        samples = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
        if self.board:
            (self.folder / "board.toml").write_text(self.board)
            self.options["board"] = str(self.folder / "board.toml")
        if self.memory:
            self.options.setdefault("memory", self.memory)
        given = {"calib": samples, "config": config, "output": self.folder / "out"}
        return myoedge.build(file, simulate=False, **given, **self.options)

    def refusal(self) -> Notice:
        with pytest.raises(MyoedgeError) as caught:
            self.build()
        return caught.value.notice


def _use_memory(trial: Trial, name: str) -> None:
    trial.options["memory"] = name


def _enlarge(trial: Trial, memory: str, size: str) -> None:
    trial.tables["budget"][memory] = f'"{size}"'


def _size_part(trial: Trial, table: str, size: str) -> None:
    """Give a table of board.toml a size, or add it."""
    size_bytes = int(size.replace(",", ""))
    pattern = rf"({re.escape(table)}[^[]*?\nbytes = )[\d_]+"
    trial.board, count = re.subn(pattern, rf"\g<1>{size_bytes}", trial.board)
    trial.board += "" if count else sized(table, size_bytes)


def _narrow(trial: Trial) -> None:
    trial.width //= 4


def _choose_host(trial: Trial, without_board: str | None) -> None:
    trial.options["target"] = "host"
    if without_board:
        trial.board = ""


# Remedy -> what applies it.
REMEDIES: dict[str, Callable[..., None]] = {
    r"--memory (mram=auto)": _use_memory,
    r"--(l\d) (\d+KiB)": _enlarge,
    r"a board with a larger (\[.+\]) of ([\d,]+) B": _size_part,
    r"fewer channels in the layers named": _narrow,
    r"--target host( without --board)?, to see the rest of the report": _choose_host,
}


def applied(line: str, trial: Trial) -> None:
    """Apply a remedy as it is printed: lines from its first table on are copied to their file. A
    part of the rest that no row knows fails the test."""
    rest, toml = printed(line)
    if {"ram", "flash"} & {*tomllib.loads(toml)}:
        rows, toml = re.split(r"(?m)^(?=\[(?:ram|flash\.\w+)\])", toml, maxsplit=1)[::-1]
        trial.board += rows
        assert rows.count("in board.toml, if ") == 1
    for table, keys in re.findall(r"(?m)^\[(.+)\]\n((?:[^\[].*\n)+)", toml):
        trial.tables.setdefault(table, {}).update(x.split(" = ", 1) for x in keys.splitlines())
    texts = [rest.partition("  (")[0].removesuffix(", and"), *re.findall(r"  # and (.+)", toml)]
    for part in filter(None, ", and ".join(texts).split(", and ")):
        found = [(x, apply) for x, apply in REMEDIES.items() if re.fullmatch(x, part)]
        assert len(found) == 1, part
        pattern, apply = found[0]
        apply(trial, *re.fullmatch(pattern, part).groups())  # type: ignore[union-attr]


def allowed(trial: Trial) -> str:
    """Return the parts that a trial's budget and board allow."""
    given = trial.tables["budget"].get("external", '"ram"').strip('"')
    if not trial.board:
        return given
    tables = tomllib.loads(trial.board)
    has = "none" if "octospi" not in tables.get("flash", {}) else "flash"
    has = "ram" if has == "flash" and "ram" in tables else has
    return min(given, has, key=[*PARTS].index)


MEMORY, BITS, PARTS_MORE, L2, L3 = "--memory", "[quant]", "external", "--l2", "--l3"
TOML, SMALLER, HOST, BOTH = "board.toml", "fewer channels", "--target host", ", and [quant]"
LARGER = "a board with a larger "
NEW_MRAM = "[flash.mram] part"


def sized(table: str, size_bytes: int) -> str:
    """Return a table of board.toml with another size."""
    return re.sub(r"bytes = [\d_]+", f"bytes = {size_bytes}", WHOLE[table], count=1)


SMALL_RAM = OCTOSPI + sized("[ram]", 262_144)
SMALL_FLASH = sized("[flash.octospi]", 155_648) + RAM
# Room for 8,128 B of weights beside program and records.
SMALL_MRAM = sized("[flash.mram]", 204_800)
# Name -> (width, depth, limits), code, parts of the remedies' texts: those that keep all bits of
# the weights come first.
CASES: dict[str, tuple[tuple[int, int, dict[str, str]], str, tuple[str, ...]]] = {
    # More float weights than L2 holds: refused before anything is quantised.
    "early, none": ((640, 4, {"external": "none"}), "E302", (MEMORY, PARTS_MORE, BITS)),
    "early, MRAM": (  # RAM would do, too, with more parts
        (700, 5, {"external": "none", "memory": "mram=auto"}),
        "E302",
        ('external = "flash"', BITS),
    ),
    "early, flash": ((620, 4, {"external": "flash"}), "E302", (MEMORY, PARTS_MORE, BITS)),
    "early, both": ((800, 4, {"external": "flash", "l2": "200KiB"}), "E302", (PARTS_MORE, BOTH)),
    "early, board": ((640, 4, {"board": NO_PARTS}), "E302", (MEMORY, TOML, BITS)),
    "early, RAM alone": (
        (640, 4, {"board": NO_PARTS + RAM}),
        "E302",
        (MEMORY, "[flash.octospi] part", BITS),
    ),
    "early, small RAM": (
        (700, 4, {"board": NO_PARTS + SMALL_RAM}),
        "E302",
        (f"{LARGER}[ram]", BITS),
    ),
    "early, small RAM, MRAM": (
        (620, 4, {"board": NO_PARTS + MRAM + OCTOSPI + sized("[ram]", 65_536)}),
        "E302",
        (MEMORY, f"{LARGER}[ram]", BITS),
    ),
    "early, small flash": (
        (128, 9, {"board": NO_PARTS + SMALL_FLASH}),
        "E302",
        (f"{LARGER}[flash.octospi]", NEW_MRAM, BITS),
    ),
    # Recurrent weights, of which the early check knows no bytes.
    "gru without L3": ((700, 1, {"network": "gru", "l3": "0"}), "E302", (MEMORY, L3)),
    # A result that no tile leaves out of L2.
    "turned": ((1300, 0, {"network": "turned"}), "E301", (SMALLER, HOST)),
    "turned, board": (
        (1300, 0, {"network": "turned", "board": NO_PARTS + MRAM + OCTOSPI + RAM}),
        "E301",
        (SMALLER, f"{HOST} without --board"),
    ),
    # Weights that L2 holds without the code.
    "code, none": ((619, 4, {"external": "none"}), "E302", (MEMORY, PARTS_MORE, BITS)),
    # Weights and results that exceed a limit of L2.
    "late, none": (
        (128, 6, {"external": "none", "l2": "64KiB"}),
        "E302",
        (MEMORY, PARTS_MORE, L2, BITS),
    ),
    "late, flash": (
        (128, 6, {"external": "flash", "l2": "64KiB"}),
        "E302",
        (MEMORY, PARTS_MORE, L2, BITS),
    ),
    "late, no L3": ((128, 6, {"l2": "64KiB", "l3": "0"}), "E302", (MEMORY, L2, L3)),
    "late, board": ((128, 6, {"board": NO_PARTS, "l2": "64KiB"}), "E302", (MEMORY, L2, TOML, BITS)),
    "late, RAM alone": (
        (128, 6, {"board": NO_PARTS + RAM, "l2": "64KiB"}),
        "E302",
        (MEMORY, "[flash.octospi] part", L2, BITS),
    ),
    "late, board with flash": (
        (128, 6, {"board": NO_PARTS + OCTOSPI, "l2": "64KiB"}),
        "E302",
        ("[ram] part", L2, BITS),
    ),
    "late, board with both flashes": (
        (128, 6, {"board": NO_PARTS + MRAM + OCTOSPI, "l2": "64KiB"}),
        "E302",
        (MEMORY, "[ram] part", L2, BITS),
    ),
    "late, small RAM": (
        (128, 6, {"board": NO_PARTS + OCTOSPI + sized("[ram]", 16_384), "l2": "64KiB"}),
        "E302",
        (f"{LARGER}[ram]", L2, BITS),
    ),
    "late, small flash": (
        (128, 6, {"board": NO_PARTS + SMALL_FLASH, "l2": "64KiB"}),
        "E302",
        (f"{LARGER}[flash.octospi]", NEW_MRAM, BITS),
    ),
    "late, small MRAM": (
        (128, 6, {"board": NO_PARTS + SMALL_MRAM, "l2": "64KiB", "memory": "mram=auto"}),
        "E302",
        (f"{LARGER}[flash.mram]", L2, BITS),
    ),
}
QUICK = ("late, none", "late, board", "late, small RAM", "late, small MRAM")
CHOSEN = [*QUICK, *(pytest.param(x, marks=pytest.mark.slow) for x in CASES if x not in QUICK)]


def numbers(text: str) -> list[int]:
    return [int(x.replace(",", "")) for x in re.findall(r"([\d,]+) B", text)]


def assert_memories_are_told_as_wholes(told: Notice, l2: str = "1536KiB") -> None:
    """`has` is the sum of its memories, L2 all of it, and `needs` is more, code included."""
    facts = dict(told.facts)
    (total, *parts), (needs, *uses) = numbers(facts["has"]), numbers(facts["needs"])
    whole = int(l2.removesuffix("KiB")) * 1024
    is_flash = "MRAM" in facts["has"] or "flash" in facts["has"]
    assert total == sum(parts) if parts else total == whole or is_flash
    assert whole in (total, *parts) or is_flash
    assert needs > total or "MRAM" in facts["needs"], facts
    assert not uses or needs == sum(uses) or "flash" in facts["needs"], facts


@pytest.mark.parametrize("name", CHOSEN)
def test_each_remedy_is_applied_to_what_does_not_fit(name: str, tmp_path: Path) -> None:
    (width, depth, limits), code, kinds = CASES[name]
    told = Trial(tmp_path, width, depth, **limits).refusal()
    assert told.code == code
    assert len(told.tries) == len(kinds), told.tries
    assert_memories_are_told_as_wholes(told, limits.get("l2", "1536KiB"))
    for line, kind in zip(told.tries, kinds, strict=True):
        assert kind in line, told.tries
        trial = Trial(tmp_path, width, depth, **limits)
        applied(line, trial)
        built = trial.build()
        if trial.options.get("target") != "host":
            assert {*built.report["memory"]["external"]} <= {*PARTS[allowed(trial)]}, line


def test_early_refusals_quantise_nothing(tmp_path: Path) -> None:
    """Also those of a board, whose error names the board."""
    trial, stages = Trial(tmp_path, 640, 4, board=NO_PARTS), list[str]()
    trial.options["say"] = stages.append
    told = trial.refusal()
    assert (told.code, "board bare" in told.title) == ("E302", True)
    parts = "no [flash.octospi], no [ram], by board.toml of bare"
    assert dict(told.facts)["parts"] == parts
    assert stages == ["load"]
    assert_memories_are_told_as_wholes(told)


def test_a_program_in_the_chips_flash_shares_it_with_weights(tmp_path: Path) -> None:
    """L2 and MRAM together have more room than the flash that must hold both."""
    trial = Trial(tmp_path, 740, 4, external="none")
    trial.options["memory"] = "mram=auto"
    told = trial.refusal()
    assert_memories_are_told_as_wholes(told)
    assert "of MRAM for the program and its weights in L2" in dict(told.facts)["has"]


def test_weight_bits_are_chosen_for_the_parts(tmp_path: Path) -> None:
    trial = Trial(tmp_path, 128, 6, external="none", l2="64KiB")
    trial.options["weights"] = "auto"
    built = trial.build()
    assert built.report["memory"]["external"] == []
    assert min(step.weight_bits for step in built.network.steps if step.weight_bits) < 8


@pytest.mark.parametrize("external", [None, "none"])
def test_weight_bits_leave_room_for_the_code_in_l2(external: str | None, tmp_path: Path) -> None:
    """Also where no memory level can take what has no room: half a program's code was left."""
    limits = {"external": external} if external else {}
    trial = Trial(tmp_path, 1021, 1, network="narrowed", l2="200KiB", **limits)
    trial.options["weights"] = "auto"
    assert trial.build().report["memory"]["external"] == []


def test_the_program_has_the_clocks_of_the_board(tmp_path: Path) -> None:
    cycles = []
    for clock_hz in (15_000_000, 30_000_000):
        trial = Trial(tmp_path, 128, 6, l2="64KiB")
        mram = f'[flash.mram]\npart = "eMRAM"\nbytes = 2_097_152\nclock_hz = {clock_hz}\n'
        trial.board = f"{NO_PARTS}{mram}sector_bytes = 8192\n"
        trial.options["memory"] = "mram=auto"
        built = trial.build()
        assert f"#define ME_MRAM_HZ {clock_hz}u" in built.written("src/firmware/clock.h").decode()
        assert myoedge.validate(built, on="host").difference is None
        cycles.append(built.report["cycles"]["total"])
    assert cycles[0] > 1.5 * cycles[1]


@pytest.mark.parametrize("chip", ["host", "cortex-m4"])
def test_a_board_of_gap9_is_refused_for_another_chip(chip: str, tmp_path: Path) -> None:
    """Also for a host, which has no board; [target] board has no effect there."""
    trial = Trial(tmp_path, 16, 1, board=NO_PARTS)
    trial.options["target"] = chip
    told = trial.refusal()
    assert (told.code, told.tries) == ("E204", ("--target gap9", "without --board"))
    trial.options["target"] = "gap9"
    trial.build()
    trial = Trial(tmp_path, 16, 1)
    trial.options["target"] = chip
    trial.build()
    trial.tables["target"] = {"board": '"gap9_evk"'}
    if chip == "host":
        trial.build()


def test_a_board_with_another_chip_is_refused(tmp_path: Path) -> None:
    board = NO_PARTS.replace('"gap9"', '"host"')
    trial = Trial(tmp_path, 16, 1, board=board)
    told = trial.refusal()
    assert (told.code, told.tries) == ("E204", ("--target host", "without --board"))
    trial.options["target"] = "host"
    trial.build()
    Trial(tmp_path, 16, 1).build()
