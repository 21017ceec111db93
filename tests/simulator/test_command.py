# SPDX-License-Identifier: Apache-2.0
"""`myoedge simulate --elf`: what comes out where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from myoedge import api
from myoedge.backends.measurement import MEANINGS
from myoedge.errors import MyoedgeError
from myoedge.simulator import PROGRAM_CYCLES, simulate
from tests.conftest import ROOT, Ran
from tests.firmware.programs import program
from tests.isa.program import addi, bne, jal, leave, load_constant, lw
from tests.simulator.cores import (
    L1,
    MHARTID,
    T0,
    T1,
    T2,
    WFI,
    ZERO,
    Code,
    csrr,
    make,
    put,
    repeat,
    store,
)
from tests.simulator.networks import GAP9_NETWORKS

Run = Callable[..., Ran]
HELLO = "Grüße\nzwei 100 %\n"
DATA = 0x1C110000
BYTES = bytes(range(256)) * 4


def hello(code: int = 0) -> bytes:
    """Prints, stores and ends with an exit code."""
    fc = [word for byte in HELLO.encode() for word in put(0x1A120000 + 72, byte, 1)]
    fc += put(DATA + 4, 0x78563412)
    return make({}, fc, [(DATA, BYTES)], ending=leave(code))


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    file = tmp_path / "hello.elf"
    file.write_bytes(hello())
    return file


@pytest.mark.parametrize("code", [0, 1, 7, 42, 255])
def test_output_and_exit_code_are_the_programs(code: int, run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.elf").write_bytes(hello(code))
    ran = run("simulate", "--elf", "p.elf")
    assert (ran.code, ran.out) == (code, HELLO)
    assert re.search(rf"[\d,]+ cycles, [\d,]+ instructions, exit code {code}\n", ran.err)
    assert run("simulate", "--elf", "p.elf", "-q").err == ""


@pytest.mark.parametrize("code", [256, 512, 0x7FFFFFFF])
def test_a_code_that_no_shell_can_see_is_no_success(code: int, run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.elf").write_bytes(hello(code))
    assert run("simulate", "--elf", "p.elf").code == 255
    assert run("simulate", "--elf", "p.elf", "--json").json["exit_code"] == code


@pytest.mark.parametrize("size", ["1024", "1KiB", "0x400"])
def test_a_dump_holds_the_bytes_of_the_end(size: str, run: Run, elf: Path) -> None:
    assert run("simulate", "--elf", elf, "--dump", f"0x1C110000:{size}", "OUT.bin").code == 0
    expected = BYTES[:4] + bytes.fromhex("12345678") + BYTES[8:]
    assert (elf.parent / "OUT.bin").read_bytes() == expected
    assert sorted(p.name for p in elf.parent.iterdir()) == ["OUT.bin", elf.name]


@pytest.mark.parametrize("where", ["0x1C110000", "0x1C110000:", "x:4", "0x1C110000:4TiB", ":4"])
def test_a_range_that_is_none_is_a_matter_of_usage(where: str, run: Run, elf: Path) -> None:
    assert run("simulate", "--elf", elf, "--dump", where, "OUT.bin").code == 2
    assert not (elf.parent / "OUT.bin").exists()


@pytest.mark.parametrize("where", ["0x2C110000:4", "0x1C18FFFF:2", "0x1C110000:64MiB"])
def test_a_range_outside_memory_is_told(where: str, run: Run, elf: Path) -> None:
    ran = run("simulate", "--elf", elf, "--dump", where, "OUT.bin")
    assert ran.code == 2
    assert "E243" in ran.err
    assert not (elf.parent / "OUT.bin").exists()


def test_a_dump_goes_through_links_and_into_pipes_and_into_no_folder(
    run: Run, elf: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("behind")
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("link", "pipe"):
        assert run("simulate", "--elf", elf, "--dump", "0x1C110000:4", name).code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "behind").read_bytes() == BYTES[:4] == os.read(reading, 5)
    os.close(reading)
    for name, told in (("", "is given, but empty"), (".", "E220")):
        ran = run("simulate", "--elf", elf, "--dump", "0x1C110000:4", name)
        assert (ran.code, told in ran.err) == (2, True)


def test_a_dump_of_a_run_that_fails_leaves_what_was_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.elf").write_bytes(make({}, put(0x20000000, 1)))
    (tmp_path / "OUT.bin").write_bytes(b"before")
    ran = run("simulate", "--elf", "p.elf", "--dump", "0x1C110000:64KiB", "OUT.bin")
    assert ran.code == 7
    assert (tmp_path / "OUT.bin").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["OUT.bin", "p.elf"]


def test_a_dump_that_finds_no_room_leaves_nothing(elf: Path) -> None:
    """The size of files is limited: a disk that is full."""
    command = [sys.executable, "-m", "myoedge", "simulate", "--elf", elf.name]
    limited = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", *command]
    ended = subprocess.run(
        [*limited, "--dump", "0x1C010000:1MiB", "OUT.bin"],
        cwd=elf.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "E281" in ended.stderr
    assert [p.name for p in elf.parent.iterdir()] == [elf.name]


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ((), 9),
        (("--like", "public-gvsoc"), 0x3E0),
        (("--like", "public-gvsoc", "--fc-hart", "9"), 9),
        (("--fc-hart", "0x3e0"), 0x3E0),
    ],
)
def test_number_of_the_first_core(
    options: tuple[str, ...], number: int, run: Run, tmp_path: Path
) -> None:
    code = [csrr(T0, MHARTID), *load_constant(T1, DATA), store(T0, T1, 4)]
    (tmp_path / "p.elf").write_bytes(make({}, code))
    ran = run("simulate", "--elf", "p.elf", *options, "--dump", f"{DATA:#x}:4", "OUT.bin")
    assert ran.code == 0, ran.err
    assert int.from_bytes((tmp_path / "OUT.bin").read_bytes(), "little") == number


@pytest.mark.parametrize("number", ["x", "-1", "0x100000000"])
def test_a_number_that_no_core_has(number: str, run: Run, elf: Path) -> None:
    assert run("simulate", "--elf", elf, "--fc-hart", number).code == 2


def test_most_cycles(run: Run, elf: Path) -> None:
    cycles = simulate(elf.read_bytes()).cycles
    assert run("simulate", "--elf", elf, "--max-cycles", cycles + 1).code == 0
    ran = run("simulate", "--elf", elf, "--max-cycles", cycles - 1)
    assert ran.code == 7
    assert "E708" in ran.err
    assert HELLO.startswith(ran.out), "what it printed before"
    assert ran.out
    assert run("simulate", "--elf", elf, "--max-cycles", 0).code == 2


def test_a_program_that_never_ends_is_ended(
    run: Run, elf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"{PROGRAM_CYCLES:,}" in " ".join(run("simulate", "--help").out.split())
    monkeypatch.setattr("myoedge.simulator.PROGRAM_CYCLES", 100)
    with pytest.raises(MyoedgeError, match="E708"):
        api.simulate_elf(elf)


def test_firmwares_own_exit_codes_are_explained(run: Run, tmp_path: Path) -> None:
    """The meanings are the comments of the headers that firmware is compiled with."""
    headers = ("runtime/exit_codes.h", "cortex_m/platform.h")
    text = "".join((ROOT / "firmware_templates" / name).read_text() for name in headers)
    rows = re.findall(r"#define ME_EXIT_\w+ (\d+) +/\* (.*) \*/", text)
    assert {int(code): text for code, text in rows} == dict(MEANINGS)
    firmware = GAP9_NETWORKS / "fmap" / "firmware.elf"
    ran = run("simulate", "--elf", firmware)
    assert (ran.code, MEANINGS[102] in ran.err) == (102, True)
    (tmp_path / "p.elf").write_bytes(hello(102))
    assert MEANINGS[102] not in run("simulate", "--elf", "p.elf").err, "another program's code"


@pytest.mark.parametrize(
    ("own", "options", "told"),
    [
        (0x3E0, (), "--fc-hart 0x3e0"),
        (9, ("--fc-hart", "0x3e0"), "--fc-hart 0x9"),
        (9, ("--like", "public-gvsoc"), "--fc-hart 0x9"),
    ],
)
def test_a_program_for_another_first_core_is_told_its_option(
    own: int, options: tuple[str, ...], told: str, run: Run, tmp_path: Path
) -> None:
    """It waits for ever on every core but its first; one that asks for no number is not told."""
    asks = [csrr(T0, MHARTID), *load_constant(T1, own), bne(T0, T1, 8), jal(0, 8), WFI]
    (tmp_path / "p.elf").write_bytes(make({}, asks))
    ran = run("simulate", "--elf", "p.elf", *options)
    assert (ran.code, re.search(rf"^  try +{told}, ", ran.err, re.MULTILINE) is not None) == (
        7,
        True,
    )
    assert run("simulate", "--elf", "p.elf", *told.split()).code == 0
    (tmp_path / "p.elf").write_bytes(make({}, [WFI]))
    assert "fc-hart" not in run("simulate", "--elf", "p.elf", *options).err


def test_the_json_of_a_run(run: Run, elf: Path) -> None:
    ran = run("simulate", "--elf", elf, "--json")
    direct = simulate(elf.read_bytes())
    assert ran.json["output"] == HELLO
    assert ran.json["cycles"] == direct.cycles
    assert ran.json["exit_code"] == 0
    (core,) = ran.json["cores"]
    assert core["core"] == 9
    assert core["instructions"] == direct.counts[9].instructions
    assert core["active_cycles"] + core["stalls"]["sleep"] <= direct.cycles + 40
    assert json.loads(ran.out) == ran.json, "one object and nothing else"


def test_a_profile_names_functions_and_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.elf").write_bytes(program("stack", "DEEP=4").elf)
    ran = run("simulate", "--elf", "p.elf", "--profile")
    assert ran.code == 0
    assert re.search(r"^ +cycles +share +function$", ran.out, re.MULTILINE)
    assert re.search(r"^ +[\d,]+ +\d+\.\d % +me_cluster_core$", ran.out, re.MULTILINE)
    assert re.search(r"^ +[\d,]+ +\d+\.\d % +cluster\.[ch]:\d+$", ran.out, re.MULTILINE)
    as_json = run("simulate", "--elf", "p.elf", "--profile", "--json")
    assert as_json.err.endswith(ran.out), "beside the object on stdout"
    assert json.loads(as_json.out) == as_json.json


def test_a_window_shows_instructions(run: Run, tmp_path: Path) -> None:
    code: Code = [addi(T0, ZERO, 5), addi(T1, T0, 6), addi(T2, T1, 7)]
    (tmp_path / "p.elf").write_bytes(make({}, code))
    ran = run("simulate", "--elf", "p.elf", "--window", "0:40")
    rows = [row.split() for row in ran.out.splitlines()]
    assert [row[4] for row in rows[:3]] == ["x5=00000005", "x6=0000000b", "x7=00000012"]
    assert all(0 <= int(row[0]) < 40 for row in rows)
    for wrong in ("5", "a:b", "1:2:3", "40:0", "7:7", "-5:5"):
        assert run("simulate", "--elf", "p.elf", "--window", wrong).code == 2


def test_what_was_recorded_is_shown_of_a_run_that_fails_too(run: Run, tmp_path: Path) -> None:
    """The way there is what one wants to see."""
    code: Code = [addi(T0, ZERO, 5), addi(T1, T0, 6), 0xFFFFFFFF]
    (tmp_path / "p.elf").write_bytes(make({}, code))
    options = ("simulate", "--elf", "p.elf", "--window", "0:100", "--profile")
    ran = run(*options)
    assert ran.code == 7
    assert "E701" in ran.err
    steps = [line.split() for line in ran.out.splitlines() if " core " in line]
    assert [row[4] for row in steps] == ["x5=00000005", "x6=0000000b"]
    assert re.search(r"^ +cycles +share +function$", ran.out, re.MULTILINE)
    as_json = run(*options, "--json")
    assert as_json.code == 7
    assert "E701" in str(as_json.json), "nothing but the error on stdout"


OF_A_BUILD = [("--on", "gvsoc"), ("--input", "x.npz"), ("--operating-point", "low"), ("--trace",)]
OF_A_PROGRAM = [("--max-cycles", 9), ("--bank-conflicts", "off")]


@pytest.mark.parametrize("option", [*OF_A_BUILD, ("build/model-gap9",)])
def test_options_of_a_build_are_not_passed_over(
    option: tuple[str, ...], run: Run, elf: Path
) -> None:
    ran = run("simulate", *option, "--elf", elf)
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be combined with --elf" in ran.err


@pytest.mark.parametrize("option", [*OF_A_PROGRAM, ("--dump", "0x1C110000:4", "OUT.bin")])
def test_options_of_a_program_are_not_passed_over(option: tuple[str, ...], run: Run) -> None:
    ran = run("simulate", *option)
    assert ran.code == 2
    assert f"'{option[0]}' needs --elf" in ran.err


def test_bank_conflicts_can_be_turned_off(run: Run, tmp_path: Path) -> None:
    same_word = [*load_constant(T1, L1), *[lw(T0, 0, T1)] * 16]
    (tmp_path / "p.elf").write_bytes(make({c: repeat(50, same_word) for c in range(8)}))
    waited = {}
    for choice in ("on", "off"):
        cores = run("simulate", "--elf", "p.elf", "--json", "--bank-conflicts", choice).json
        waited[choice] = sum(core["stalls"]["bank"] for core in cores["cores"])
    assert waited["on"] > 1000
    assert waited["off"] == 0


def test_costs_of_another_platform(run: Run, tmp_path: Path) -> None:
    """There a multiplication takes 2 cycles."""
    multiply = 1 << 25 | T1 << 20 | T1 << 15 | T2 << 7 | 0x33
    (tmp_path / "p.elf").write_bytes(make({}, repeat(1000, [multiply])))
    silicon, public = (
        run("simulate", "--elf", "p.elf", "--json", "--like", like).json["cycles"]
        for like in ("silicon", "public-gvsoc")
    )
    assert 950 <= public - silicon <= 1050
    assert run("simulate", "--elf", "p.elf", "--like", "nothing").code == 2


@pytest.mark.parametrize("text", [b"", b"\x7fELF", b"no program at all", b"\0" * 5000])
def test_what_is_no_program(text: bytes, run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.elf").write_bytes(text)
    ran = run("simulate", "--elf", "p.elf")
    assert ran.code == 2
    assert "E241" in ran.err
    remedy = next(line for line in ran.err.splitlines() if line.startswith("  try"))
    assert shlex.split(remedy, comments=True)[1:3] == ["myoedge", "build"]


def test_a_program_that_is_not_there(run: Run) -> None:
    ran = run("simulate", "--elf", "nowhere.elf")
    assert ran.code == 2
    assert "E241" in ran.err


def test_a_program_opens_files_in_the_current_folder_only(run: Run, tmp_path: Path) -> None:
    (tmp_path / "l3.bin").write_bytes(bytes(i * 41 + (i >> 8) * 3 & 255 for i in range(10_000)))
    (tmp_path / "p.elf").write_bytes(program("l3").elf)
    assert run("simulate", "--elf", "p.elf").code == 0


def test_an_interrupt_ends_a_run_that_never_would(tmp_path: Path) -> None:
    """Ctrl-C while the C core computes."""
    (tmp_path / "p.elf").write_bytes(make({}, [*put(0x1A120000, ord("!"), 1), jal(0, 0)]))
    limit = ["--max-cycles", str(1 << 60)]  # decades
    command = [sys.executable, "-m", "myoedge", "simulate", "--elf", "p.elf", *limit]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"!"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()


def test_many_lines_come_whole_and_in_order(run: Run, tmp_path: Path) -> None:
    body = [*put(0x1A120000, ord("x"), 1), *put(0x1A120000, ord("\n"), 1)]
    (tmp_path / "p.elf").write_bytes(make({}, repeat(10_000, body)))
    assert run("simulate", "--elf", "p.elf").out == "x\n" * 10_000
