# SPDX-License-Identifier: Apache-2.0
"""What a program can do to the machine it is simulated on: plain files of its folder, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions, binding, simulate
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.isa.program import A0, A1, L2_END, RESULTS, addi, load_constant, sw
from tests.simulator.attack import SECRET, is_untouched, lay_traps
from tests.simulator.cores import T0, T1, Code, get, make, note, put, spin

OPEN, CLOSE, WRITE_STRING, WRITE, READ = 1, 2, 4, 5, 6
IS_TERMINAL, SEEK, LENGTH = 9, 0x0A, 0x0C
BLOCK, NAME, BUFFER = 0x1C0E0000, 0x1C0E1000, 0x1C0F0000
FAILED = 0xFFFFFFFF
MODES = range(12)  # r, rb, r+, r+b, w, wb, w+, w+b, a, ab, a+, a+b
READING = MODES[:2]
CALL = [0x01F01013, 0x00100073, 0x40705013]
OUTER_DMA = 0x10201800


def host(operation: int, *words: int) -> Code:
    """A call of the host with a block of arguments; its answer is in a0."""
    block = [step for n, word in enumerate(words) for step in put(BLOCK + 4 * n, word)]
    return [*block, *load_constant(A1, BLOCK), addi(A0, 0, operation), *CALL]


def answers(
    name: bytes,
    code: Code,
    folder: Path | None,
    chip: Mapping[str, int] | None = None,
    count: int = 3,
) -> tuple[int, ...]:
    """The first words that the code has noted down, with `name` in memory at NAME."""
    elf = make({}, code, [(NAME, name + b"\0"), (RESULTS, bytes(4 * count))])
    cycles = {**GAP9_CYCLES, **(chip or {})}
    run = simulate(
        elf, cycles=cycles, folder=folder, options=RunOptions(dump=[(RESULTS, 4 * count)])
    )
    return tuple(memoryview(run.dumps[0]).cast("I"))


def opened(name: bytes, mode: int, folder: Path | None) -> int:
    """What opening a file answers."""
    code = [*host(OPEN, NAME, mode, len(name)), *note(0, A0)]
    return answers(name, code, folder)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ways out of it, in one whose files must stay as they are."""
    return lay_traps(tmp_path)


# ---- which files


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"..",
        b"../outside file",
        b"./plain",
        b"folder/new",
        b"folder",
        b"/etc/hostname",
        b"/dev/null",
        b"link",
        b"dangling",
        b"device",
        b"pipe",
        b"plain\0",
        b"pl\0ain",
        b"new\nline",
        b"\x1b[2J",
        b"n" * 256,
        b"n" * 4096,
    ],
)
def test_what_is_no_plain_name_is_not_opened(name: bytes, mode: int, folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert opened(name, mode, folder) == FAILED
    assert sorted(path.name for path in folder.iterdir()) == before
    assert is_untouched(folder.parent)


@pytest.mark.parametrize("mode", MODES)
def test_plain_files_are_opened_and_made_by_those_that_write(mode: int, folder: Path) -> None:
    assert opened(b"plain", mode, folder) == 1
    assert (folder / "plain").read_bytes() == (b"" if mode // 4 == 1 else b"plain" * 100)
    assert opened(b"new", mode, folder) == (1 if mode >= 4 else FAILED)
    assert (folder / "new").exists() == (mode >= 4)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_of_two_names_is_only_read(mode: int, folder: Path) -> None:
    assert opened(b"hard", mode, folder) == (1 if mode in READING else FAILED)
    assert is_untouched(folder.parent)


def test_without_a_folder_there_are_no_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert opened(b"plain", 0, None) == FAILED
    assert opened(b":tt", 0, None) == 1, "the terminal"


def test_a_folder_that_is_none_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for where in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(MyoedgeError) as caught:
            simulate(make({}, []), folder=where)
        assert caught.value.exit_code == 2


# ---- what is done with them


def test_bytes_go_there_and_back(folder: Path) -> None:
    text = b"from one file into the other"
    (folder / "input.bin").write_bytes(text)
    code = [
        *host(OPEN, NAME, 1, 9),
        *host(LENGTH, 1),
        *note(0, A0),
        *host(READ, 1, BUFFER, 1000),
        *note(1, A0),
        *host(OPEN, NAME + 10, 5, 10),
        *host(WRITE, 2, BUFFER, len(text)),
        *note(2, A0),
    ]
    assert answers(b"input.bin\0output.bin", code, folder) == (len(text), 1000 - len(text), 0)
    assert (folder / "output.bin").read_bytes() == text


@pytest.mark.parametrize("handle", [0, 2, 16, 17, 0x7FFFFFFF, FAILED])
@pytest.mark.parametrize("operation", [CLOSE, WRITE, READ, IS_TERMINAL, SEEK, LENGTH])
def test_a_handle_that_is_not_open(operation: int, handle: int, folder: Path) -> None:
    code = [*host(OPEN, NAME, 1, 5), *host(operation, handle, BUFFER, 4), *note(0, A0)]
    assert answers(b"plain", code, folder)[0] == FAILED


@pytest.mark.parametrize("address", [0, 0x1C18FFFF, L2_END, 0x1A104000, 0xFFFFFFFE])
@pytest.mark.parametrize("operation", [OPEN, WRITE, READ])
def test_bytes_outside_of_memory(operation: int, address: int, folder: Path) -> None:
    words = (address, 0, 4) if operation == OPEN else (1, address, 4)
    code = [*host(OPEN, NAME, 3, 5), *host(operation, *words), *note(0, A0)]
    assert answers(b"plain", code, folder)[0] == FAILED
    assert (folder / "plain").read_bytes() == b"plain" * 100


@pytest.mark.parametrize("address", [0, 0x1C18FFFD, L2_END, 0xFFFFFFFC])
@pytest.mark.parametrize("operation", [OPEN, CLOSE, WRITE, READ, SEEK, LENGTH])
def test_arguments_outside_of_memory(operation: int, address: int, folder: Path) -> None:
    code = [*load_constant(A1, address), addi(A0, 0, operation), *CALL, *note(0, A0)]
    assert answers(b"plain", code, folder)[0] == FAILED


@pytest.mark.parametrize("operation", [7, 0x0B, 0x0D, 0x0E, 0x0F, 0x12, 0x15, 0x31, 0x7FF])
def test_the_host_removes_renames_and_runs_nothing(operation: int, folder: Path) -> None:
    code = [*host(operation, NAME, 5, NAME, 5), *note(0, A0)]
    assert answers(b"plain", code, folder)[0] == FAILED
    assert (folder / "plain").exists()


# ---- limits


@pytest.mark.parametrize("mode", [3, 5, 9])
def test_what_is_written_in_all_is_limited(mode: int, folder: Path) -> None:
    (folder / "plain").write_bytes(b"")
    code = [*host(OPEN, NAME, mode, 5)]
    for n in range(3):
        code += [*host(WRITE, 1, BUFFER, 400), *note(n, A0), *host(SEEK, 1, 0)]
    assert answers(b"plain", code, folder, {"file_bytes": 1000}) == (0, 0, 400)


def test_no_file_grows_past_the_limit(folder: Path) -> None:
    sought = [*host(OPEN, NAME, 3, 5), *host(SEEK, 1, 900), *host(WRITE, 1, BUFFER, 200)]
    chip = {"file_bytes": 1000}
    assert answers(b"plain", [*sought, *note(0, A0)], folder, chip)[0] == 200
    appended = [*host(OPEN, NAME, 9, 5), *host(WRITE, 1, BUFFER, 600), *note(0, A0)]
    assert answers(b"plain", appended, folder, chip)[0] == 600
    beyond = [*host(OPEN, NAME, 3, 5), *host(SEEK, 1, 1001), *note(0, A0)]
    assert answers(b"plain", beyond, folder, chip)[0] == FAILED
    assert (folder / "plain").stat().st_size == 500


def test_what_is_read_in_all_is_limited(folder: Path) -> None:
    code = [*host(OPEN, NAME, 1, 5)]
    for n in range(3):
        code += [*host(SEEK, 1, 0), *host(READ, 1, BUFFER, 400), *note(n, A0)]
    assert answers(b"plain", code, folder, {"file_bytes": 1000}) == (0, 0, 400)


def test_how_many_are_open_and_how_often_is_limited(folder: Path) -> None:
    once = host(OPEN, NAME, 1, 5)
    assert answers(b"plain", [*once * 16, *note(0, A0), *once, *note(1, A0)], folder)[:2] == (
        16,
        FAILED,
    )
    again = [*once, *host(CLOSE, 1)]
    code = [*again * 3, *once, *note(0, A0)]
    assert answers(b"plain", code, folder, {"file_opens": 4})[0] == 1
    assert answers(b"plain", code, folder, {"file_opens": 3})[0] == FAILED


def test_a_run_leaves_no_file_open(folder: Path) -> None:
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("no list of open files on this system")
    before = len(list(handles.iterdir()))
    for _ in range(3):
        assert opened(b"plain", 1, folder) == 1
    assert len(list(handles.iterdir())) == before


def test_a_text_without_an_end_is_not_printed() -> None:
    code = [*load_constant(A1, BUFFER), addi(A0, 0, WRITE_STRING), *CALL, *note(0, A0)]
    run = simulate(
        make({}, code, [(BUFFER, b"x" * 65_536)]), options=RunOptions(dump=[(RESULTS, 4)])
    )
    assert run.output == ""
    assert run.dumps[0] == b"\xff" * 4


def endless(character: str) -> bytes:
    """Prints for ever."""
    code = [*load_constant(T0, ord(character)), *load_constant(T1, 0x1A120000)]
    return make({}, [*code, sw(T0, 0, T1), 0xFFDFF06F])


def test_what_is_kept_of_an_endless_text_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "MAX_TEXT_CHARS", 1000)
    said: list[str] = []
    with pytest.raises(MyoedgeError):
        simulate(endless("x"), max_cycles=20_000_000, progress=lambda _, text: said.append(text))
    assert "".join(said) == "x" * 1000 + "\n... the program printed more than is recorded\n"


def test_a_long_text_is_passed_on_whole() -> None:
    """Larger than the buffer between the program and us, with characters of several bytes."""
    text = "äöü€" * 5000
    block = load_constant(A1, BUFFER)
    code = [*block, addi(A0, 0, WRITE_STRING), *CALL] * 30
    assert simulate(make({}, code, [(BUFFER, text.encode() + b"\0")])).output == text * 30


# ---- the simulator's own memory


@pytest.mark.parametrize("out", [0, 1])
def test_lines_of_a_transfer_do_not_reach_behind_l2(out: int) -> None:
    """The last line begins inside, and ends a byte behind it."""
    line, stride, size = 0xC000, 0xB000, 0x18000
    words = (size | (0 if out else 1) << 17 | 3 << 18, 0x10000000, L2_END - stride - line + 1)
    code = get(OUTER_DMA, 0)
    for word in (*words, line, stride):
        code += put(OUTER_DMA, word)
    with pytest.raises(MyoedgeError, match="not all inside L2") as caught:
        simulate(make({}, [*code, *spin(200_000)]))
    assert caught.value.code == "E705"


def test_secrets_are_where_the_tests_expect_them(folder: Path) -> None:
    """Otherwise nothing of the above says anything."""
    assert (folder / "link").read_bytes() == SECRET
    (folder / "link").write_bytes(b"changed")
    assert not is_untouched(folder.parent)
