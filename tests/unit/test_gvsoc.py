# SPDX-License-Identifier: Apache-2.0
"""GVSoC as a program: how it is found and run (a stand-in), and our system on a real one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from myoedge.backends import doctor, gvsoc
from myoedge.errors import MyoedgeError
from myoedge.system import toolchain, tools

# Writes what it was called with where GVSoC writes its configuration.
PREPARES = """\
#!/bin/sh
for word; do case $word in --work-dir=*) folder=${word#--work-dir=};; esac; done
printf '%s\\n' "$@" > "$folder/gvsoc_config.json"
"""
# Shows that configuration, the folder it runs in and what it finds there, and ends as told.
LAUNCHES = """\
#!/bin/sh
cat "${1#--config=}"
echo "libraries=$LD_LIBRARY_PATH"
cat input.bin && echo made > output.bin
touch power_report.csv trace_file.txt
exit 42
"""


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def stand_in(home: Path, prepares: str = PREPARES, launches: str = LAUNCHES) -> Path:
    script(home / "bin" / "gvsoc", prepares)
    script(home / "bin" / "gvsoc_launcher", launches)
    for part in ("generators/pulp-open.py", "models/gen_isa_pulp_cluster_1_cpp_2.so"):
        script(home / part, "")
    return home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GVSOC_HOME", str(tmp_path / "home"))
    return stand_in(tmp_path / "home")


def error_of(*arguments: object, **options: object) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        gvsoc.run_elf(*arguments, **options)  # type: ignore[arg-type]
    return caught.value


def test_the_variable_wins_over_path(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = stand_in(tmp_path / "other")
    monkeypatch.setenv("PATH", str(other / "bin"), prepend=os.pathsep)
    assert gvsoc.find().home == home
    monkeypatch.delenv("GVSOC_HOME")
    assert gvsoc.find().home == other


def test_a_link_on_path_leads_to_the_installation(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GVSOC_HOME")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "gvsoc").symlink_to(home / "bin" / "gvsoc")
    monkeypatch.setenv("PATH", str(tmp_path / "links"))
    assert gvsoc.find().home == home


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GVSOC_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MyoedgeError) as caught:
        gvsoc.find()
    assert caught.value.notice.code == "E501"
    assert "GVSOC_HOME" in str(caught.value)
    assert "PATH" in str(caught.value)


@pytest.mark.parametrize(
    "part", ["bin/gvsoc_launcher", "generators/pulp-open.py", "models/gen_isa_pulp_cluster_*.so"]
)
def test_an_installation_that_lacks_something(home: Path, part: str) -> None:
    """A wrong GVSOC_HOME is said, even where another gvsoc is on PATH."""
    for file in home.glob(part):
        file.unlink()
    with pytest.raises(MyoedgeError) as caught:
        gvsoc.find()
    assert caught.value.notice.code == "E501"
    assert ("lacks", part) in caught.value.notice.facts


def test_doctor_shows_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.name: row for row in doctor.tool_rows()}
    assert (rows["gvsoc"].state, rows["gvsoc"].where) == ("ok", str(home))
    assert rows["gvsoc"].version == "no NE16"
    script(home / "models" / "pulp" / "ne16" / "ne16.so", "")
    rows = {row.name: row for row in doctor.tool_rows()}
    assert rows["gvsoc"].version == "with NE16"
    monkeypatch.setenv("GVSOC_HOME", str(home / "bin"))
    rows = {row.name: row for row in doctor.tool_rows()}
    assert (rows["gvsoc"].state, rows["gvsoc"].blocks) == ("missing", doctor.ON_GVSOC)
    assert not rows["gvsoc"].needed
    assert "GVSOC_HOME" in rows["gvsoc"].fix


def test_doctor_does_not_say_ok_where_the_first_python_on_path_does_not_start_it(
    home: Path,
) -> None:
    script(home / "bin" / "gvsoc", "#!/bin/sh\necho No module named prettytable >&2\nexit 1\n")
    row = next(row for row in doctor.tool_rows() if row.name == "gvsoc")
    assert row.state == "missing"
    assert row.fix.startswith("pip install -r gvsoc/requirements.txt six typing_extensions")


def test_a_run_in_a_folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "elsewhere")
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "input.bin").write_text("given\n")
    (folder / "trace_file.txt").write_text("somebody's own\n")
    ended = gvsoc.run_elf(
        Path("firmware.elf"), folder, timeout_s=60, frequency=240_000_000, fc_hart=9
    )
    assert ended.returncode == 42, "the firmware's own"
    said = ended.stdout.splitlines()
    assert f"--binary={Path.cwd() / 'firmware.elf'}" in said
    assert {"--target-property=frequency=240000000", "--target-property=fc_hart=9"} <= set(said)
    assert (f"--target-dir={gvsoc.DESCRIPTION}", "--target=gap9like") == tuple(said[:2])
    assert said[-3:] == ["prepare", f"libraries={home / 'lib'}:elsewhere", "given"]
    assert sorted(os.listdir(folder)) == ["input.bin", "output.bin", "trace_file.txt"]


@pytest.mark.parametrize("compiled", [False, True])
def test_ne16_is_attached_where_its_model_was_compiled(
    home: Path, tmp_path: Path, compiled: bool
) -> None:
    if compiled:
        script(home / "models/pulp/ne16/ne16.so", "")
        gvsoc.require_engines([("dense", "ne16")])
    else:
        with pytest.raises(MyoedgeError) as caught:
            gvsoc.require_engines([("dense", "ne16")])
        assert caught.value.code == "E504"
        assert ("lacks", "models/pulp/ne16/ne16.so") in caught.value.notice.facts
    gvsoc.require_engines([("dense", "cluster")])
    ended = gvsoc.run_elf(Path("f.elf"), tmp_path, timeout_s=60)
    assert f"--target-property=ne16={int(compiled)}" in ended.stdout.splitlines()


def test_a_hung_run_ends(home: Path, tmp_path: Path) -> None:
    stand_in(home, launches="#!/bin/sh\nsleep 1000\n")
    error = error_of(Path("f.elf"), tmp_path, timeout_s=0.2)
    assert error.notice.code == "E502"


def test_a_crash_of_gvsoc_is_seen(home: Path, tmp_path: Path) -> None:
    stand_in(home, launches="#!/bin/sh\nkill -SEGV $$\n")
    assert gvsoc.run_elf(Path("f.elf"), tmp_path, timeout_s=60).returncode == -11


def test_a_python_that_does_not_fit(home: Path, tmp_path: Path) -> None:
    stand_in(home, prepares="#!/bin/sh\necho no module named elftools >&2\nexit 1\n")
    error = error_of(Path("f.elf"), tmp_path, timeout_s=60)
    assert error.notice.code == "E501"
    assert "no module named elftools" in str(error)


def test_the_description_is_ours() -> None:
    folder = gvsoc.DESCRIPTION
    files = sorted(folder.glob("*.py"))
    assert folder / f"{gvsoc.SYSTEM.target}.py" in files
    for file in files:
        assert file.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: Apache-2.0")


# From here on a real GVSoC.

FIRMWARE = r"""
#include <stdint.h>
#define REG(address) (*(volatile uint32_t *)(address))
#define BYTE(address) (*(volatile uint8_t *)(address))
__attribute__((naked, section(".text.start"))) void _start(void) {
    __asm__ volatile("lui sp, 0x1c180\n j body");
}
static inline uint32_t hart(void) {
    uint32_t id;
    __asm__ volatile("csrr %0, 0xf14" : "=r"(id));
    return id;
}
static int host(int operation, const void *argument) {
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".option push\n.option norvc\n slli x0,x0,0x1f\n ebreak\n srai x0,x0,7\n"
                     ".option pop" : "+r"(a0) : "r"(a1) : "memory");
    return a0;
}
static void end(uint32_t address, uint32_t code) {
    for (;;) REG(address) = 0x80000000u | code;
}
"""
LINKS = """
ENTRY(_start)
MEMORY { L2 : ORIGIN = 0x1C010000, LENGTH = 0x160000 }
SECTIONS { .all : { *(.text.start) *(.text*) *(.rodata*) *(.data*) *(.bss*) } > L2 }
"""
BODIES = {
    "exit_gap9": "end(0x1A1040C0, 42);",
    "exit_pulp": "end(0x1A1040A0, 43);",
    "hart": "end(0x1A1040A0, hart() & 0xff);",
    "print": """
        BYTE(0x1A10F000) = 'a'; BYTE(0x1A10F000) = '\\n';
        BYTE(0x1A120000) = 'b'; BYTE(0x1A120000) = '\\n';
        end(0x1A1040C0, 0);""",
    "itc": """
        REG(0x1A109000 + 4) = 6;  /* MASK_SET */
        end(0x1A1040C0, REG(0x1A109800));""",
    "copy": """
        uint32_t word = 0;
        int in[3] = {(int)"input.bin", 1, 9}, out[3] = {(int)"output.bin", 5, 10};
        int from = host(1, in), to = host(1, out);
        int take[3] = {from, (int)&word, 4}, give[3] = {to, (int)&word, 4};
        host(6, take); word += 1; host(5, give); host(2, &from); host(2, &to);
        end(0x1A1040C0, 0);""",
    "l1_and_dma": """
        volatile uint32_t *l1 = (uint32_t *)0x1001FFF0, *l2 = (uint32_t *)0x1C170000;
        l2[0] = 0x11223344;
        volatile uint32_t *dma = (uint32_t *)0x10201800;  /* the FC's way to it */
        uint32_t id = dma[0];
        dma[0] = 4 | 1 << 17 | 1 << 18; dma[0] = (uint32_t)l1; dma[0] = (uint32_t)l2;
        while (dma[1] >> id & 1) {}
        end(0x1A1040C0, l1[0] == 0x11223344 ? 0 : 1);""",
    "spin": 'for (;;) __asm__ volatile("");',
}


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    """A folder for it; the ELF of a body comes from `built`."""
    try:
        gvsoc.find()
    except MyoedgeError as error:
        pytest.skip(f"no GVSoC here: {error.notice.title} (GVSOC_HOME, or gvsoc on PATH)")
    return tmp_path


def built(folder: Path, body: str) -> Path:
    source, elf = folder / "firmware.c", folder / "firmware.elf"
    text = f"{FIRMWARE}\nvoid body(void) {{ {BODIES[body]} }}\n"
    source.write_text(text, encoding="utf-8")
    flags = "-target riscv32-freestanding-none -mcpu=generic_rv32+m+c -O1 -nostdlib -static"
    flags += " -fno-sanitize=all -fomit-frame-pointer -Wl,-T,firmware.ld"
    (folder / "firmware.ld").write_text(LINKS, encoding="utf-8")
    zig = toolchain.compiler("zig")
    ended = tools.run([*zig.command, *flags.split(), "-o", elf, source], cwd=folder, timeout_s=300)
    assert ended.returncode == 0, ended.stderr
    return elf


@pytest.mark.parametrize(("body", "code"), [("exit_gap9", 42), ("exit_pulp", 43), ("itc", 6)])
def test_registers_of_both_chips(firmware: Path, body: str, code: int) -> None:
    ended = gvsoc.run_elf(built(firmware, body), firmware, timeout_s=60)
    assert ended.returncode == code, ended


@pytest.mark.parametrize(("hart", "frequency"), [(0x3E0, 370_000_000), (9, 240_000_000)])
def test_the_options(firmware: Path, hart: int, frequency: int) -> None:
    elf = built(firmware, "hart")
    ended = gvsoc.run_elf(elf, firmware, timeout_s=60, fc_hart=hart, frequency=frequency)
    assert ended.returncode == hart & 0xFF, ended


def test_both_standard_outputs(firmware: Path) -> None:
    ended = gvsoc.run_elf(built(firmware, "print"), firmware, timeout_s=60)
    assert (ended.returncode, ended.stdout) == (0, "a\nb\n")


def test_the_end_of_l1_and_the_dma(firmware: Path) -> None:
    ended = gvsoc.run_elf(built(firmware, "l1_and_dma"), firmware, timeout_s=60)
    assert ended.returncode == 0, ended


def test_files_are_those_of_the_folder(firmware: Path) -> None:
    folder = firmware / "run"
    folder.mkdir()
    (folder / "input.bin").write_bytes((77).to_bytes(4, "little"))
    ended = gvsoc.run_elf(built(firmware, "copy"), folder, timeout_s=60)
    assert ended.returncode == 0, ended
    assert (folder / "output.bin").read_bytes() == (78).to_bytes(4, "little")
    assert sorted(os.listdir(folder)) == ["input.bin", "output.bin"]


def test_firmware_that_hangs(firmware: Path) -> None:
    error = error_of(built(firmware, "spin"), firmware, timeout_s=3)
    assert error.notice.code == "E502"
