# SPDX-License-Identifier: Apache-2.0
"""Generated C in this process: cached, loaded apart, checked, serialised, between guard pages."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from myoedge.backends import host
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.system import toolchain, tools
from myoedge.system.cache import MAX_BYTES
from tests.support.guard import TRAPS, asan_at_hand, run_guarded

REPOSITORY = Path(__file__).parents[2]
ARGUMENTS = "(const void *const in[], void *const out[])"


def function(body: str, name: str = "me_run") -> str:
    return f"int {name}{ARGUMENTS};\nint {name}{ARGUMENTS}\n{{\n{textwrap.dedent(body)}\n}}\n"


def scaling(factor: int) -> tuple[str, str]:
    """A network of two files; the arena and the layer of the second are reached by the loader."""
    body = """
        const signed char *x = in[0];
        int *y = out[0];
        for (int i = 0; i < 5; i++) me_arena[i] = me_layer(x[i]);
        for (int i = 0; i < 5; i++) y[i] = me_arena[i];
        return 0;"""
    head = "int me_layer(int x);\nextern int me_arena[5];\n"
    layer = f"int me_arena[5];\nint me_layer(int x) {{ return {factor} * x; }}\n"
    return head + function(body), head + layer


def sources(folder: Path, *texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, text in enumerate(texts):
        (folder / f"part{index}.c").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def cache(another_cache: Callable[..., Path]) -> Path:
    """A library cache of its own, with the warm zig cache of the machine."""
    return another_cache()


UNDEFINED = toolchain.CompileOptions(sanitize=("undefined",))
FIVE = np.array([-128, -1, 0, 1, 127], np.int8)


def test_a_network_is_built_and_run(tmp_path: Path, cache: Path) -> None:
    library = host.load_library(sources(tmp_path / "src", *scaling(3)))
    (y,) = host.run(library, [FIVE], [((1, 5), np.int32)])
    assert y.dtype == np.int32
    assert y.tolist() == [[-384, -3, 0, 3, 381]]


def test_a_first_build_compiles_no_run_time_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zig would compile its own, in 4 s."""
    monkeypatch.setenv("MYOEDGE_CACHE", str(tmp_path / "cold"))
    library = host.load_library(sources(tmp_path / "src", *scaling(3)))
    assert host.run(library, [FIVE], [((1, 5), np.int32)])[0].tolist() == [[-384, -3, 0, 3, 381]]
    assert [*(tmp_path / "cold").rglob("*.so")]
    assert not [*(tmp_path / "cold" / "zig").rglob("libcompiler_rt*")]


def test_the_second_build_is_a_cache_hit(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = host.build_library(sources(tmp_path / "one", *scaling(3)))
    assert first.parent == cache / "libraries"
    monkeypatch.setattr(
        toolchain, "compile_library", lambda *_, **__: pytest.fail("compiled again")
    )
    assert host.build_library(sources(tmp_path / "two", *scaling(3))) == first


def test_the_name_follows_sources_headers_names_and_flags(tmp_path: Path, cache: Path) -> None:
    src = sources(tmp_path / "src", function("(void)in; (void)out; return 0;"))
    names = [host.build_library(src).name]
    (src / "inc").mkdir()
    (src / "inc/net.h").write_text("#define ME_ONE 1\n")
    names.append(host.build_library(src).name)
    (src / "inc/net.h").write_text("#define ME_ONE 2\n")
    names.append(host.build_library(src).name)
    (src / "inc/net.h").rename(src / "inc/net2.h")
    names.append(host.build_library(src).name)
    names.append(host.build_library(src, options=UNDEFINED).name)
    assert len(set(names)) == 5
    (src / "main.c").write_text("int main(void) { return 0; }\n")
    (src / "selftest.c").write_text("no C at all")
    (src / "README.md").write_text("text")
    assert host.build_library(src).name == names[3]


def test_headers_are_found_wherever_they_lie(tmp_path: Path, cache: Path) -> None:
    body = "(void)in; *(int *)out[0] = ME_SEVEN; return 0;"
    src = sources(tmp_path / "src", f'#include "net.h"\n{function(body)}')
    (src / "include").mkdir()
    (src / "include/net.h").write_text("#define ME_SEVEN 7\n")
    assert host.run(host.load_library(src), [], [((), np.int32)])[0].item() == 7


def test_processes_may_build_the_same_at_once(tmp_path: Path, cache: Path) -> None:
    src = sources(tmp_path / "src", *scaling(5))
    script = f"""
from pathlib import Path
import numpy as np
from myoedge.backends import host
library = host.load_library(Path({str(src)!r}))
print(host.run(library, [np.full(5, 9, np.int8)], [((5,), np.int32)])[0].tolist())
"""
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda _: python(script), range(3)))
    assert ends == [tools.CompletedProcess(0, "[45, 45, 45, 45, 45]\n", "")] * 3
    assert len(list((cache / "libraries").iterdir())) == 1
    assert list((cache / "scratch").iterdir()) == []


def python(script: str, **env: str) -> tools.CompletedProcess:
    command = [sys.executable, "-c", script]
    return tools.run(command, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY), **env})


def test_the_newest_libraries_are_kept(tmp_path: Path, cache: Path) -> None:
    folder = tools.cache_folder("libraries")
    for age in range(70):
        (folder / f"{age:02}.so").touch()
        os.truncate(folder / f"{age:02}.so", MAX_BYTES // 64)  # takes no space on the disk
        os.utime(folder / f"{age:02}.so", (1e9 - age, 1e9 - age))
    left = tools.cache_folder("scratch") / "locked-by a killed compilation"
    left.mkdir()
    with tools.scratch() as busy:
        for place in (left, busy):
            os.utime(place, (1e9, 1e9))
        library = host.build_library(sources(tmp_path / "src", *scaling(2)))
        assert busy.is_dir()
    assert not left.exists()
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == sorted([library.name, *(f"{age:02}.so" for age in range(63))])


@pytest.mark.parametrize("left", [b"cut off", slice(0, 1000), slice(0, -1), slice(4096, None)])
def test_a_damaged_library_in_the_cache_is_built_anew(
    left: bytes | slice, tmp_path: Path, cache: Path
) -> None:
    src = sources(tmp_path / "src", *scaling(4))
    library = host.build_library(src)
    library.write_bytes(left if isinstance(left, bytes) else library.read_bytes()[left])
    (y,) = host.run(host.load_library(src), [FIVE], [((5,), np.int32)])
    assert y.tolist() == [-512, -4, 0, 4, 508]


def test_C_that_does_not_compile_is_a_bug(tmp_path: Path, cache: Path) -> None:
    body = "(void)in; (void)out;\nint unused;\nreturn 0;"
    with pytest.raises(MyoedgeError, match=r"part0\.c:5:5: error: unused variable") as caught:
        host.build_library(sources(tmp_path / "src", function(body)))
    assert (caught.value.code, caught.value.exit_code) == ("E910", 70)
    assert list((cache / "libraries").iterdir()) == []


def test_a_folder_without_C_is_said_to_be_one(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(MyoedgeError) as caught:
        host.build_library(sources(tmp_path / "src"))
    assert (caught.value.code, caught.value.exit_code) == ("E280", 2)


def test_a_full_disk_is_no_bug(tmp_path: Path, cache: Path) -> None:
    host.build_library(sources(tmp_path / "warm", *scaling(7)))
    src = sources(tmp_path / "src", *scaling(8))
    script = f"""
import resource
from pathlib import Path
from myoedge.errors import MyoedgeError
from myoedge.backends import host
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    host.build_library(Path({str(src)!r}))
except MyoedgeError as error:
    print(error.code, error.exit_code)
"""
    assert python(script) == tools.CompletedProcess(0, "E281 2\n", "")


def test_two_libraries_with_the_same_symbols_do_not_meet(tmp_path: Path, cache: Path) -> None:
    two, three = (host.load_library(sources(tmp_path / str(n), *scaling(n))) for n in (2, 3))
    for _ in range(2):
        assert host.run(two, [FIVE], [((5,), np.int32)])[0].tolist() == [-256, -2, 0, 2, 254]
        assert host.run(three, [FIVE], [((5,), np.int32)])[0].tolist() == [-384, -3, 0, 3, 381]


def test_one_library_opened_twice_has_one_lock(tmp_path: Path, cache: Path) -> None:
    path = host.build_library(sources(tmp_path / "src", *scaling(6)))
    (tmp_path / "link.so").symlink_to(path)
    first, second = host.open_library(path), host.open_library(tmp_path / "link.so")
    assert first.lock is second.lock
    other = host.load_library(sources(tmp_path / "other", *scaling(9)))
    assert other.lock is not first.lock


def test_calls_of_one_library_wait_for_each_other(tmp_path: Path, cache: Path) -> None:
    # Counts the calls inside at once; the loop makes room for a second one to come in.
    body = """
        static volatile int inside;
        const int *rounds = in[0];
        int *most = out[0];
        inside = inside + 1;
        most[0] = inside;
        for (volatile int i = 0; i < rounds[0]; i = i + 1) if (inside > most[0]) most[0] = inside;
        inside = inside - 1;
        return 0;"""
    path = host.build_library(sources(tmp_path / "src", function(body)))
    libraries = [host.open_library(path) for _ in range(4)]
    rounds = np.array([3_000_000], np.int32)
    start = threading.Barrier(4)

    def one(library: host.Library) -> int:
        start.wait()
        return int(host.run(library, [rounds], [((1,), np.int32)])[0][0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, libraries)) == [1, 1, 1, 1]


def test_many_functions_in_one_library(tmp_path: Path, cache: Path) -> None:
    bodies = [
        function(f"(void)in; *(int *)out[0] = {n}; return 0;", f"me_run_{n}") for n in range(9)
    ]
    library = host.load_library(sources(tmp_path / "src", *bodies))
    specs = [((1,), np.int32)]
    results = [host.run(library, [], specs, symbol=f"me_run_{n}")[0][0] for n in range(9)]
    assert results == list(range(9))
    with pytest.raises(ValueError, match="no function me_run_9"):
        host.run(library, [], [], symbol="me_run_9")


def test_a_failing_function_is_a_bug(tmp_path: Path, cache: Path) -> None:
    library = host.load_library(
        sources(tmp_path / "src", function("(void)in; (void)out; return 7;"))
    )
    with pytest.raises(MyoedgeError, match="7") as caught:
        host.run(library, [], [])
    assert (caught.value.code, caught.value.exit_code) == ("E911", 70)


def test_inputs_are_laid_out_as_C_reads_them(tmp_path: Path, cache: Path) -> None:
    library = host.load_library(sources(tmp_path / "src", *scaling(1)))
    spread = np.arange(10, dtype=np.int8)[::2]
    (y,) = host.run(library, [spread], [((5,), np.int32)])
    assert y.tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("dtype", [object, ">i4", "U3", complex])
def test_arrays_that_are_no_numbers_of_this_machine_are_refused(
    tmp_path: Path, cache: Path, dtype: object
) -> None:
    library = host.load_library(sources(tmp_path / "src", *scaling(1)))
    with pytest.raises(ValueError, match="input 0 has dtype"):
        host.run(library, [np.zeros(5, dtype)], [((5,), np.int32)])  # type: ignore[call-overload]


# Each reads or writes `n` bytes of in[0] and out[0]; in[1] holds the offset of a planted access.
GUARDED = """
    const signed char *x = in[0];
    const int *at = in[1];
    signed char *y = out[0];
    int n = at[1];
    for (int i = 0; i < n; i++) y[i] = x[i];
    {planted}
    return 0;"""
READS = "volatile signed char seen = x[at[0]]; (void)seen;"
WRITES = "y[at[0]] = 1;"
WRITES_INPUT = "*(signed char *)(unsigned long)&x[at[0]] = 1;"
FAULT = -signal.SIGSEGV


def guarded_in_a_process(src: Path, size: int, offset: int, written: int) -> tools.CompletedProcess:
    script = f"""
from pathlib import Path
import numpy as np
from myoedge.backends import host
from tests.support.guard import run_guarded
library = host.load_library(Path({str(src)!r}))
inputs = [np.arange({size}, dtype=np.int8), np.array([{offset}, {written}], np.int32)]
print(run_guarded(library, "me_run", inputs, [(({size},), np.int8)])[0].tolist())
"""
    return python(script)


@pytest.mark.parametrize(
    ("planted", "size", "offset", "returncode"),  # an underflow is written over the canary first
    [
        (READS, 8, 7, 0),
        (READS, 8, 8, FAULT),
        (READS, 8, -1, FAULT),
        (READS, 4096, 4096, FAULT),
        (WRITES, 8, 8, FAULT),
        (WRITES, 8, -1, 1),
        (WRITES_INPUT, 8, 0, FAULT),
    ],
)
def test_an_access_out_of_bounds_faults(
    tmp_path: Path, cache: Path, planted: str, size: int, offset: int, returncode: int
) -> None:
    body = GUARDED.replace("{planted}", planted)
    src = sources(tmp_path / "src", function(body))
    finished = guarded_in_a_process(src, size, offset, size)
    assert finished.returncode == returncode, finished.stderr
    if returncode == 0:
        assert finished.stdout == f"{list(range(size))}\n"


def test_what_guard_pages_cannot_see_the_canaries_do(tmp_path: Path, cache: Path) -> None:
    body = GUARDED.replace("{planted}", "if (at[0] != 0) y[at[0]] = 1;")
    library = host.load_library(sources(tmp_path / "src", function(body)))
    five: list[host.Spec] = [((5,), np.int8)]

    def guarded(offset: int, written: int) -> list[int]:
        inputs: list[Array] = [FIVE, np.array([offset, written], np.int32)]
        return run_guarded(library, "me_run", inputs, five)[0].tolist()  # type: ignore[no-any-return]

    assert guarded(4, 4) == [-128, -1, 0, 1, 1]
    for offset in (5, 7):  # the three bytes between a size of five and the guard page
        with pytest.raises(AssertionError, match="bytes beside buffer 0"):
            guarded(offset, 5)
    with pytest.raises(AssertionError, match="output 0 depends"):
        guarded(0, 4)  # the last byte is left unwritten


def test_undefined_behaviour_is_caught_in_a_library(tmp_path: Path, cache: Path) -> None:
    src = sources(tmp_path / "src", function(
        "const int *a = in[0]; *(int *)out[0] = a[0] + a[1]; return 0;"))  # fmt: skip
    script = f"""
import sys
from pathlib import Path
import numpy as np
from myoedge.backends import host
library = host.load_library(Path({str(src)!r}), options=host.CompileOptions(("undefined",)))
for one in (0, 1):
    a = np.array([2**31 - 1, one], np.int32)
    print(host.run(library, [a], [((1,), np.int32)])[0].tolist(), flush=True)
"""
    caught = python(script)
    assert caught.returncode in TRAPS
    assert caught.stdout == "[2147483647]\n"


def test_address_sanitizer_of_a_system_compiler_catches_a_static_overflow(
    tmp_path: Path, cache: Path
) -> None:
    environment = asan_at_hand()
    # Guard pages do not see this: the arena lies in the library itself.
    body = (
        "static int arena[4]; arena[*(const int *)in[0]] = 1; *(int *)out[0] = arena[0]; return 0;"
    )
    src = sources(tmp_path / "src", function(body))
    script = f"""
from pathlib import Path
import numpy as np
from myoedge.backends import host
library = host.load_library(Path({str(src)!r}), "cc", host.CompileOptions(("address",)))
for index in (0, 4):
    at = np.array([index], np.int32)
    print(host.run(library, [at], [((1,), np.int32)])[0].tolist(), flush=True)
"""
    caught = python(script, **environment)
    assert caught.stdout == "[1]\n"
    assert caught.returncode != 0
    assert "global-buffer-overflow" in caught.stderr
