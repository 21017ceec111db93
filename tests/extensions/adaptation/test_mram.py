# SPDX-License-Identifier: Apache-2.0
"""Adaptation of a network with weights in MRAM, in whose last sectors classifiers are saved."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.adaptation import commands as c
from myoedge.extensions.adaptation.commands import Answer, Command
from myoedge.extensions.adaptation.running import runner
from myoedge.extensions.adaptation.settings import check_slots
from myoedge.numerics.arrays import Array
from myoedge.simulator import FlashState, read_elf, simulate
from myoedge.targets.gap9.program import HEAD_BYTES, LAYOUT, MAP, MRAM_BYTES
from tests.conftest import save_exported

LEAST_SECTORS = 22 + 2  # of program and saved classifiers
CONFIG = """[budget]
l2 = "120KiB"
[quant]
"*" = { weights = 8 }
[adapt]
methods = ["prototypes"]
"""


@pytest.fixture(scope="module")
def samples() -> Array:
    return np.random.default_rng(0).normal(size=(24, 128)).astype(np.float32)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, samples: Array) -> Build:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("adapt-mram")
    inner = (nn.Sequential(nn.Linear(128, 128), nn.ReLU()) for _ in range(10))
    network = nn.Sequential(*inner, nn.Linear(128, 4)).eval()
    model = save_exported(network, (torch.zeros(1, 128),), folder / "model.pt2")
    (folder / "myoedge.toml").write_text(CONFIG)
    return myoedge.build(
        model,
        calib=samples,
        config=folder / "myoedge.toml",
        output=folder / "out",
        memory="mram=auto",
        simulate=False,
    )


def infers(build: Build, samples: Array) -> list[Command]:
    name = build.network.graph.inputs[0]
    return [c.infer(build.network.input_integers(name, x[None])) for x in samples]


def test_a_session_is_that_of_the_host(build: Build, samples: Array) -> None:
    assert len(build.images["mram.bin"]) > 50_000
    given = infers(build, samples[:12])
    labels = [Command(c.WINDOW, n % 4) for n in range(12)]
    taught = [step for pair in zip(given, labels, strict=True) for step in pair]
    learnt = [Command(c.BEGIN, 1), *taught, Command(c.END), *given, Command(c.SAVE)]
    on_host = runner(build, "host")(learnt)
    kept = [*learnt, Command(c.KEEP), *given, Command(c.RESTORE), *given]
    on_chip = runner(build, "simulator")(kept)
    assert len({x.content for x in on_host}) > 10
    assert told(on_chip[: len(learnt)]) == told(on_host)
    again = told(on_host[-1 - len(given) : -1])
    after = on_chip[len(learnt) :]
    assert [x.result for x in (after[0], after[1 + len(given)])] == [0, 0]
    assert told(after[1 : 1 + len(given)]) == told(after[-len(given) :]) == again


def told(answers: Sequence[Answer]) -> list[tuple[int, bytes]]:
    return [(x.result, x.content) for x in answers]


def test_a_saved_classifier_leaves_the_weights_whole(
    build: Build, samples: Array, tmp_path: Path
) -> None:
    """What ECC cannot correct in them is written anew by the next start."""
    program = read_elf(build.written("adapt.elf"), "adapt.elf")
    for name, image in build.images.items():
        (tmp_path / name).write_bytes(image)
    (tmp_path / "adapt.bin").write_bytes(c.packed([*infers(build, samples[:1]), Command(c.KEEP)]))
    run = partial(simulate, program, folder=tmp_path, max_cycles=10**9)
    whole = run(flash=FlashState())
    image, (first, second) = build.images["mram.bin"], MAP.slots
    at = MAP.weights.offset + HEAD_BYTES
    assert whole.flash[at : at + len(image)] == image
    assert set(whole.flash[first.offset : second.end]) != {0xFF}
    again = run(flash=FlashState(whole.flash, damaged=[at + 1024]))
    assert (again.exit_code, again.flash_damaged) == (0, ())
    assert again.flash[at : at + len(image)] == image


BOARD = 'id = "bare"\nname = "bare"\nchip = "gap9"\ntried = false\n'
SECTORS = {"all": 256, "half": 128, "least": LEAST_SECTORS, "none": 0}


def on_board(
    folder: Path, samples: Array, sectors: int, width: int = 16, classes: int = 4
) -> Build:
    """A network with [adapt], for a board with this much MRAM; 0: with another flash only."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(128, width), nn.ReLU(), nn.Linear(width, classes)).eval()
    model = save_exported(network, (torch.zeros(1, 128),), folder / "model.pt2")
    name, size = ("mram", sectors * 8192) if sectors else ("octospi", 1 << 26)
    flash = f'[flash.{name}]\npart = "a flash"\nbytes = {size}\nsector_bytes = 8192\n'
    (folder / "board.toml").write_text(BOARD + flash)
    (folder / "myoedge.toml").write_text('[adapt]\nmethods = ["prototypes"]\n')
    given = {"config": folder / "myoedge.toml", "board": str(folder / "board.toml")}
    return myoedge.build(model, calib=samples, output=folder / "out", simulate=False, **given)


@pytest.mark.parametrize("sectors", SECTORS.values(), ids=SECTORS)
def test_a_classifier_is_saved_at_the_end_of_the_boards_mram(
    sectors: int, samples: Array, tmp_path: Path
) -> None:
    """By what a simulated session writes; a board without MRAM keeps none (-1)."""
    built = on_board(tmp_path, samples, sectors)
    program = read_elf(built.written("adapt.elf"), "adapt.elf")
    steps = [*infers(built, samples[:1]), Command(c.KEEP)]
    (tmp_path / "adapt.bin").write_bytes(c.packed(steps))
    run = simulate(program, folder=tmp_path, max_cycles=10**9, flash=FlashState())
    assert run.exit_code == 0
    (answer,) = runner(built, "simulator")(steps)[1:]
    assert answer.result == (0 if sectors else -1)
    written = {at // 8192 for at, byte in enumerate(run.flash or b"") if byte != 0xFF}
    assert written <= {sectors - 2, sectors - 1}
    assert bool(written) == bool(sectors)


LARGER = r"a board with a larger \[flash.mram\] of ([\d,]+) B"


def advised_sectors(build: Callable[[], Build]) -> int:
    """Return the sectors of MRAM that the error of a board with too few names."""
    with pytest.raises(MyoedgeError, match="E302") as caught:
        build()
    found = (re.fullmatch(LARGER, line) for line in caught.value.notice.tries)
    (size,) = (x[1] for x in found if x)
    return int(size.replace(",", "")) // 8192


def test_a_board_without_room_for_classifiers_is_refused(samples: Array, tmp_path: Path) -> None:
    sectors = advised_sectors(partial(on_board, tmp_path, samples, LEAST_SECTORS - 1))
    on_board(tmp_path, samples, sectors)


@pytest.mark.parametrize(("sectors", "has_room"), [(46, False), (64, True)])
def test_a_large_classifier_lies_behind_the_program(
    samples: Array, tmp_path: Path, sectors: int, has_room: bool
) -> None:
    """Of 64 classes and 1,200 features: its slots take 20 sectors, of which the room of a program
    without weights in MRAM leaves two."""
    build = partial(on_board, tmp_path, samples, sectors, width=1200, classes=64)
    if not has_room:
        enough = advised_sectors(build)
        on_board(tmp_path, samples, enough, width=1200, classes=64)
        return
    program = read_elf(build().written("adapt.elf"), "adapt.elf")
    record_bytes = 64 * 1200
    end = sectors * 8192 - 2 * -(-record_bytes // 8192) * 8192
    assert LAYOUT.boot_bytes + program.loaded_bytes <= end


@pytest.mark.parametrize("record_bytes", [0, 100, 8128, 8129, 40_000])
def test_weights_and_slots_share_the_flash(record_bytes: int) -> None:
    areas = LAYOUT.areas(record_bytes=record_bytes)
    first, second = areas.slots
    assert (areas.weights.end, first.end, second.end) == (first.offset, second.offset, MRAM_BYTES)
    assert first.size_bytes >= record_bytes + 64
    assert first.size_bytes % 8192 == 0
    check_slots(areas.image_bytes, areas)
    check_slots(0, areas, first.offset)
    for sizes in ((areas.image_bytes + 1, areas), (0, areas, first.offset + 1)):
        with pytest.raises(MyoedgeError, match="E302"):
            check_slots(*sizes)
