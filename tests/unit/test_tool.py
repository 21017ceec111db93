# SPDX-License-Identifier: Apache-2.0
"""External programs: same bytes anywhere, sanitizers that bite, and what doctor says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from elftools.elf.elffile import ELFFile
from packaging.requirements import Requirement

from myoedge.backends import doctor
from myoedge.catalogue import entries
from myoedge.cli import main
from myoedge.errors import MyoedgeError
from myoedge.extensions.integrations.huggingface import save_model_folder
from myoedge.extensions.integrations.lightning import firmware_callback
from myoedge.extensions.integrations.mlflow import log_build
from myoedge.system import cache, toolchain, tools
from myoedge.system.library import build_library
from myoedge.system.tools import install_command
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.guard import TRAPS, can_asan

REPOSITORY = Path(__file__).parents[2]
ENTRY = "int me_run(const void *const in[], void *const out[])"
ADD = f"""\
{ENTRY};
{ENTRY}
{{
    const int *a = in[0];
    int *sum = out[0];
    sum[0] = a[0] + a[1];
    return 0;
}}
"""
ADD_PROGRAM = """\
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    int a = atoi(argv[argc - 2]), b = atoi(argv[argc - 1]);
    printf("%d\\n", a + b);
    return 0;
}
"""


def written(folder: Path, text: str, name: str = "net.c") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def built(folder: Path, text: str = ADD, **options: tuple[str, ...]) -> Path:
    library = folder / "net.so"
    cc = toolchain.compiler("zig")
    given = toolchain.CompileOptions(**options)  # type: ignore[arg-type]
    finished = toolchain.compile_library([written(folder, text)], library, cc, given)
    assert finished.returncode == 0, finished.stderr
    return library


def test_a_program_is_run_with_its_streams_and_exit_code(tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd()); sys.stderr.write(os.environ['A']); sys.exit(3)"
    finished = tools.run([sys.executable, "-c", script], cwd=tmp_path, env={"A": "µ"})
    assert finished == tools.CompletedProcess(3, f"{tmp_path}\n", "µ")


@pytest.mark.parametrize(
    "extra", ["torch", "energy", "conditioning", "recordings", "dask", "qat", "notebook"]
)
def test_advice_names_packages_of_an_extra_not_this_one(extra: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pip, install, *packages = shlex.split(install_command(extra))
    assert (pip, install) == ("pip", "install")
    declared = {*map(Requirement, project["optional-dependencies"][extra])}
    assert {*map(Requirement, packages)} == declared
    assert project["name"] not in {Requirement(package).name for package in packages}


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("huggingface_hub", partial(save_model_folder, "gap9", "folder")),
        ("lightning", firmware_callback),
        ("mlflow", partial(log_build, "gap9")),
    ],
)
def test_a_missing_library_of_an_integration_is_E501(
    library: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MyoedgeError, match=f"needs {library}".replace("mlf", "MLf")) as caught:
        use()
    assert caught.value.code == "E501"


def test_no_text_installs_this_package_from_an_index() -> None:
    folders = ("myoedge", "docs", "examples", "firmware_templates", ".")
    paths = {path for folder in folders for path in (REPOSITORY / folder).glob("*.md")}
    paths |= {path for folder in folders[:-1] for path in (REPOSITORY / folder).rglob("*")}
    texts = [path for path in paths if path.suffix in (".py", ".txt", ".md", ".ipynb", ".j2")]
    from_index = re.compile(r"pip install [^\n`]*(?<![\w./-])myoedge(?![\w/])")
    assert len(texts) > 300
    assert not [path for path in texts if from_index.search(path.read_text())]


def test_torch_that_cannot_load_its_libraries_is_no_fault_of_the_model(tmp_path: Path) -> None:
    """As after a copy of a virtual environment to another machine; RReLU is read by torch."""
    save_exported(torch.nn.RReLU().eval(), (torch.zeros(1, 4),), tmp_path / "model.pt2")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch_cpu.so: missing')")
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    ran = subprocess.run(
        [sys.executable, "-m", "myoedge", "inspect", "model.pt2"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "error[E501] torch cannot be loaded" in ran.stderr
    assert "libtorch_cpu.so: missing" in ran.stderr
    assert "--force-reinstall" in ran.stderr


def test_a_missing_program_is_E501(tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="No such file") as caught:
        tools.run(["/nowhere/program"], cwd=tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("E501", 5)


def test_a_missing_folder_is_not_blamed_on_the_program(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        tools.run([sys.executable, "-V"], cwd=tmp_path / "gone")


def test_a_hung_program_ends_with_its_children(tmp_path: Path) -> None:
    child = "import time; time.sleep(8); open('survived', 'w').close()"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(MyoedgeError, match="did not finish") as caught:
        # The child holds the pipes open: unless it is ended too, this waits until it is done.
        tools.run([sys.executable, "-c", script], cwd=tmp_path, timeout_s=1.0)
    assert caught.value.code == "E502"
    assert not (tmp_path / "survived").exists()


def test_below_nohup_a_closed_terminal_is_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert command("explain", "E101", cwd=tmp_path).code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_builds_in_two_folders_are_the_same_bytes(tmp_path: Path) -> None:
    place = "int me_at(void);\nint me_at(void) { return (int)sizeof(__FILE__) + __FILE__[0]; }\n"
    text = place + ADD
    one, two = built(tmp_path / "one", text), built(tmp_path / "an other=µ folder", text)
    assert sha256(one) == sha256(two)
    assert sha256(built(tmp_path / "three", text, optimize="-O0")) != sha256(one)


def installed_compilers() -> list[toolchain.Compiler]:
    return [
        toolchain.compiler(row.name)
        for row in doctor.tool_rows()
        if row.name in ("zig", "cc")
        if row.where
    ]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("cc", installed_compilers(), ids=lambda cc: cc.name)
def test_no_folder_of_this_machine_is_in_a_library(
    tmp_path: Path, cc: toolchain.Compiler, debug: bool
) -> None:
    # __FILE__ is kept in the library; -g adds the names of folders where nothing maps them. Debug
    # information, which no build reads, is left out unless it is asked for.
    text = ADD.replace("return 0;", "return __FILE__[a[2]];")
    source, library = written(tmp_path / "inner", text), tmp_path / "net.so"
    options = toolchain.CompileOptions(warnings=("-Wall",), debug=debug)
    finished = toolchain.compile_library([source], library, cc, options)
    assert finished == tools.CompletedProcess(0, "", "")
    with library.open("rb") as file:
        assert bool(ELFFile(file).get_section_by_name(".debug_info")) == debug
    strings = re.findall(rb"[\x20-\x7e]{4,}", library.read_bytes())
    assert any(b"net.c" in text for text in strings)
    for private in (str(tmp_path), str(Path.home()), str(tools.cache_folder("zig"))):
        assert not [text for text in strings if private.encode() in text]


def test_the_code_is_not_made_for_the_processor_of_this_machine(tmp_path: Path) -> None:
    wide = "defined(__x86_64__) && defined(__SSE3__)"  # every x86-64 for twenty years has it
    built(tmp_path, f"#if {wide}\n#error made for this machine\n#endif\n{ADD}")


def test_a_folder_is_compiled_with_all_its_C(tmp_path: Path) -> None:
    written(tmp_path / "src", ADD.replace("a[0] + a[1]", "me_sum(a)").replace(
        f"{ENTRY};", f'#include "sum.h"\n{ENTRY};'))  # fmt: skip
    written(tmp_path / "src/include", "int me_sum(const int *a);\n", "sum.h")
    text = '#include "sum.h"\nint me_sum(const int *a) { return a[0] + a[1]; }\n'
    written(tmp_path / "src/deep", text, "sum.c")
    finished = toolchain.compile_library(
        tmp_path / "src",
        tmp_path / "net.so",
        toolchain.compiler(),
        include=[tmp_path / "src/include"],
    )
    assert finished == tools.CompletedProcess(0, "", "")


@pytest.mark.parametrize(
    ("body", "objection"),
    [
        ("int unused; return 0;", "-Wunused"),
        ("signed char c = (signed char)1; int i = 300; c = i; return c;", "-Wimplicit-int-conver"),
        ("return 0", "expected ';'"),
    ],
)
def test_the_compiler_objects(tmp_path: Path, body: str, objection: str) -> None:
    source = written(tmp_path, f"{ENTRY};\n{ENTRY} {{ (void)in; (void)out; {body} }}\n")
    finished = toolchain.compile_library([source], tmp_path / "net.so", toolchain.compiler())
    assert finished.returncode != 0
    assert objection in finished.stderr
    assert not (tmp_path / "net.so").exists()


def added(
    tmp_path: Path, name: str, sanitize: tuple[str, ...], *numbers: str
) -> tools.CompletedProcess:
    program = tmp_path / "add"
    source = written(tmp_path, ADD_PROGRAM, "main.c")
    cc = toolchain.compiler(name)
    flags = toolchain.CompileOptions(sanitize=sanitize, optimize="-O1").flags(cc)
    compiled = toolchain.compile_sources([source], program, cc, flags)
    assert compiled.returncode == 0, compiled.stderr
    return tools.run([program, *numbers], cwd=tmp_path)


def test_undefined_behaviour_sanitizer_catches_a_signed_overflow(tmp_path: Path) -> None:
    checked = ("undefined",)
    assert added(tmp_path, "zig", checked, "2147483646", "1") == (
        tools.CompletedProcess(0, "2147483647\n", "")
    )
    caught = added(tmp_path, "zig", checked, "2147483647", "1")
    assert caught.returncode in TRAPS
    assert added(tmp_path, "zig", (), "2147483647", "1").stdout == "-2147483648\n"


@pytest.mark.slow
def test_only_a_compiler_whose_address_sanitizer_was_seen_to_work_has_one(tmp_path: Path) -> None:
    assert not can_asan(toolchain.compiler("zig"))
    (zig, _) = toolchain.compiler("zig").command
    # Takes the flag, links, and catches nothing.
    script = f"""#!/bin/sh
[ "$1" = --version ] && echo some cc && exit
for flag; do
    shift
    [ "$flag" = -fsanitize=address ] || set -- "$@" "$flag"
done
exec '{zig}' cc "$@"
"""
    deaf = written(tmp_path, script, "cc")
    deaf.chmod(0o755)
    assert not can_asan(toolchain.compiler(str(deaf)))


def test_unknown_sanitizers_are_refused() -> None:
    with pytest.raises(ValueError, match="adress"):
        toolchain.CompileOptions(("adress",)).flags(toolchain.compiler())


def test_zig_is_found_and_tells_its_version() -> None:
    assert toolchain.compiler("zig").version == "zig 0.17.0"
    assert toolchain.compiler("zig").is_clang


def test_a_compiler_by_path_and_by_CC(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = written(tmp_path, "#!/bin/sh\necho my clang $1\n", "my cc")
    fake.chmod(0o755)
    assert toolchain.compiler(str(fake)).version == "my clang --version"
    monkeypatch.setenv("CC", f"'{fake}' -m64")
    cc = toolchain.compiler("cc")
    assert cc == toolchain.Compiler("cc", (str(fake), "-m64"), "my clang -m64")
    assert (cc.is_clang, cc.is_zig) == (True, False)


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\n", "\x7fELF no program"])
def test_a_compiler_that_does_not_run_is_E501(tmp_path: Path, text: str) -> None:
    fake = written(tmp_path, text, "cc")
    fake.chmod(0o755)
    with pytest.raises(MyoedgeError) as caught:
        toolchain.compiler(str(fake))
    assert caught.value.code == "E501"


def test_a_missing_compiler_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(MyoedgeError) as caught:
        toolchain.compiler("zig")
    assert caught.value.code == "E501"
    assert caught.value.notice.tries[0] == "pip install ziglang==0.17.0"
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MyoedgeError, match="no-such-compiler") as caught:
        toolchain.compiler("cc")
    assert "zig" in caught.value.notice.tries[0]


def test_the_cache_goes_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYOEDGE_CACHE", str(tmp_path / "mine"))
    assert tools.cache_folder("zig") == tmp_path / "mine/zig"
    assert (tmp_path / "mine/zig").is_dir()


def test_a_cache_that_cannot_be_written_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "", "file")
    monkeypatch.setenv("MYOEDGE_CACHE", str(tmp_path / "file/cache"))
    folder = tools.cache_folder("zig")
    assert folder.is_dir()
    assert tmp_path not in folder.parents
    assert folder.parent.stat().st_mode & 0o077 == 0
    assert tools.cache_folder("zig") == folder


def test_a_compilation_leaves_nothing_but_its_library(tmp_path: Path) -> None:
    library = built(tmp_path / "src")
    assert sorted(os.listdir(tmp_path / "src")) == ["net.c", library.name]


FOR_BOARDS = ("qemu", "pyserial", "openocd", "openocd_tools", "gap_sdk", "cmake", "probe")
OPTIONAL = {"torch", "ortools", "onnxruntime", "cc", "gvsoc", *FOR_BOARDS}


def test_a_tmpdir_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers write there; a program that is found in the cache needs none."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    built(tmp_path / "a")
    seen = tools.run(["/bin/sh", "-c", 'echo "$TMPDIR"'], cwd=tmp_path).stdout.strip()
    assert Path(seen).is_dir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert tools.run(["/bin/sh", "-c", 'echo "$TMPDIR"'], cwd=tmp_path).stdout.strip() == str(
        tmp_path
    )


def test_doctor_finds_what_is_installed() -> None:
    rows = {row.name: row for row in doctor.tool_rows()}
    here = ["python", "zig", "torch", "ortools", "onnx", "onnxruntime", "cc", "gvsoc"]
    assert list(rows) == [*here, *FOR_BOARDS]
    assert {name for name, row in rows.items() if not row.needed} == OPTIONAL
    assert rows["python"].version == ".".join(map(str, sys.version_info[:3]))
    zig = rows["zig"]
    assert (zig.state, zig.version, zig.fix) == ("ok", "0.17.0", "")
    assert zig.blocks == ("build", "validate", "simulate")
    assert Path(zig.where).is_file()
    import onnx

    assert rows["onnx"].version == onnx.__version__
    assert rows["onnx"].where == str(Path(onnx.__file__).parent)


def test_doctor_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ziglang", "torch", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("GVSOC_HOME", "no-such-folder")
    rows = {row.name: row for row in doctor.tool_rows()}
    missing = {name for name, row in rows.items() if row.state == "missing"} - {*FOR_BOARDS}
    assert missing == {"zig", "torch", "onnxruntime", "cc", "gvsoc"}
    assert rows["zig"].fix == "pip install ziglang==0.17.0"
    assert rows["torch"].fix == 'pip install "torch>=2.9,<2.16"'
    assert rows["torch"].blocks == doctor.OF_TORCH
    assert (rows["torch"].needed, rows["torch"].works) == (
        False,
        "model.onnx and most model.pt2 build",
    )
    assert rows["onnxruntime"].blocks == ("validate --onnx",)
    assert rows["cc"].blocks == ("validate --cc cc",)
    assert rows["gvsoc"].blocks == ("validate --on gvsoc", "simulate --on gvsoc")
    assert all(row.blocks for name, row in rows.items() if row.needed)


@pytest.mark.parametrize("code", ['raise OSError("libtorch.so: no such file")', "os.abort()"])
def test_doctor_tells_a_package_that_is_there_but_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """As `import` says; the others are ok."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(f"import os\n{code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    rows = {row.name: row for row in doctor.tool_rows()}
    assert rows["torch"].state == "broken"
    assert rows["torch"].fix == 'pip install "torch>=2.9,<2.16" --force-reinstall'
    assert rows["torch"].blocks == doctor.OF_TORCH
    assert all(rows[name].state == "ok" for name in ("onnx", "onnxruntime", "ortools"))


def test_doctor_tells_a_wrong_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.30.1+cpu")
    rows = {row.name: row for row in doctor.tool_rows()}
    assert (rows["torch"].state, rows["torch"].version) == ("wrong version", "1.30.1+cpu")
    assert rows["torch"].fix == 'pip install "torch>=2.9,<2.16"'
    assert (rows["onnx"].state, rows["ortools"].state) == ("ok", "wrong version")


@pytest.mark.parametrize(
    ("version", "requirement", "good"),
    [
        ("2.13.0+cpu", "torch==2.13.0", True),
        ("2.13.1", "torch==2.13.0", False),
        ("2.13.0rc1", "torch==2.13.0", False),
        ("2.15.1+cpu", "torch>=2.9,<2.16", True),
        ("2.16.0", "torch>=2.9,<2.16", False),
        ("2.8.0", "torch>=2.9,<2.16", False),
        ("1.17", "onnx>=1.17", True),
        ("1.9.2", "onnx>=1.17", False),
        ("10.0", "ortools>=9.11", True),
        ("9.11.4210", "ortools>=9.11", True),
        ("anything", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, requirement: str, good: bool) -> None:
    assert doctor.satisfies(version, requirement) is good


def test_constraints_pin_every_dependency_within_its_range() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement


def test_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = {*project["dependencies"], *chain(*project["optional-dependencies"].values())}
    assert {toolchain.ZIG, *(requirement for _, requirement, *_ in doctor.PACKAGES)} <= declared
    assert project["requires-python"] == ">=3.11"


def test_a_cc_that_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "gcc '")
    with pytest.raises(MyoedgeError, match="E501"):
        toolchain.compiler("cc")


@pytest.mark.parametrize("flags", [("--json",), ("-q", "--json"), ("--no-color", "--json")])
def test_flags_may_stand_before_the_verb(tmp_path: Path, flags: tuple[str, ...]) -> None:
    before = command(*flags, "explain", "E101", cwd=tmp_path)
    assert (before.code, json.loads(before.out)["code"]) == (0, "E101")
    assert before.out == command("explain", "E101", *flags, cwd=tmp_path).out


def test_flags_before_the_verb_stay_flags(tmp_path: Path) -> None:
    ran = command("--json", "inspect", "--", "--json", cwd=tmp_path)
    assert json.loads(ran.out)["error"]["code"] == "E101"
    assert command("--json", cwd=tmp_path).err == command(cwd=tmp_path).err


def test_explain_alone_lists_every_code(tmp_path: Path) -> None:
    lines = command("explain", cwd=tmp_path).out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == sorted(entries())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert "_MYOEDGE_COMPLETE" in command("completion", shell, cwd=tmp_path).out
    monkeypatch.setenv("_MYOEDGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "myoedge build --acc")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        main([])
    assert "--accurate" in capsys.readouterr().out


def kept(folder: Path) -> Path:
    """A file in the cache, as `store` leaves it."""
    fresh = folder / "fresh"
    fresh.write_bytes(b"code")
    fresh.chmod(0o777)
    cache.store(fresh, folder / "library.so")
    return folder / "library.so"


def test_the_cache_has_no_files_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept(tmp_path)
    assert cache.is_cached(path)
    path.chmod(0o666)
    assert not cache.is_cached(path)
    path.chmod(0o644)
    (tmp_path / "link.so").symlink_to(path)
    assert not cache.is_cached(tmp_path / "link.so")
    monkeypatch.setattr(os, "getuid", lambda: os.stat(path).st_uid + 1)
    assert not cache.is_cached(path)


@pytest.mark.parametrize("times", [1, 9])
@pytest.mark.parametrize("step", ["run", "store"])
def test_a_cache_that_is_removed_beside_a_compilation(
    tmp_path: Path, another_cache: Callable[..., Path], step: str, times: int
) -> None:
    """Before the compiler runs, and before what it made is stored; once, or every time."""
    root, left = another_cache(), [times]
    module = toolchain if step == "run" else cache
    whole = getattr(module, step)

    def removing(*arguments: Any, **options: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            shutil.rmtree(root)
            root.mkdir()
            (root / "zig").symlink_to(zig)
        return whole(*arguments, **options)

    zig = (root / "zig").readlink()
    toolchain.compiler("zig")
    written(tmp_path / "src", ADD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, step, removing)
        if times > 3:
            with pytest.raises(MyoedgeError, match="again and again") as caught:
                build_library(tmp_path / "src")
            assert caught.value.code == "E220"
        else:
            assert cache.is_cached(build_library(tmp_path / "src"))


@pytest.mark.parametrize("times", [1, 9])
def test_a_cache_that_is_removed_before_its_folders_are_open(
    another_cache: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    root, left = another_cache(), [times]

    def removing(path: Path, flags: int) -> int:
        if left[0] > 0:
            left[0] -= 1
            shutil.rmtree(root)
        return os.open(path, flags)

    monkeypatch.setattr(tools, "os", SimpleNamespace(**{**vars(os), "open": removing}))
    if times > 3:
        with pytest.raises(MyoedgeError, match=r"E220.*again and again"):
            cache.despite_removal(lambda: "made")
    else:
        assert cache.despite_removal(lambda: "made") == "made"


def test_a_compiler_s_error_is_told_once(
    tmp_path: Path, another_cache: Callable[..., Path]
) -> None:
    another_cache()
    written(tmp_path / "src", "int broken(\n")
    with pytest.raises(MyoedgeError, match="does not compile"):
        build_library(tmp_path / "src")


def test_a_second_user_has_a_folder_in_a_shared_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("MYOEDGE_CACHE", str(shared))
    tools._writable_root.cache_clear()
    mine = tools.cache_folder("libraries")
    assert mine == shared / f"user-{os.getuid()}" / "libraries"
    assert tools.is_own(mine.parent)
    mine.parent.chmod(0o777)  # somebody was there first
    tools._writable_root.cache_clear()
    assert not tools.cache_folder("libraries").is_relative_to(shared)
    tools._writable_root.cache_clear()
