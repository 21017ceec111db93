# SPDX-License-Identifier: Apache-2.0
"""C compilers: search and version, and the flags for libraries, programs and firmware."""

from __future__ import annotations

import functools
import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.system import zig_clang
from myoedge.system.tools import CompletedProcess, cache_folder, run, scratch

ZIG = "ziglang==0.17.0"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion")
SANITIZERS = ("undefined", "address")
FIRMWARE_FLAGS = (
    *("-std=c11", *WARNINGS, "-O2", "-g", "-gdwarf-4", "-ffreestanding", "-nostdlib", "-static"),
    *("-fno-pic", "-fomit-frame-pointer", "-fno-stack-protector"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
    *("-ffunction-sections", "-fdata-sections"),
    "-falign-functions=16",  # fewer lines of the instruction cache per function
)

Names = Sequence[str]
Files = Sequence[Path]


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Flags of each kind of compiler that choose the instruction set of a program for a chip.

    zig     for `zig cc`
    clang   for another clang, in addition to those of GCC
    gcc     for GCC
    machine   of its ELF files
    """

    zig: tuple[str, ...]
    clang: tuple[str, ...]
    gcc: tuple[str, ...]
    machine: str

    def flags(self, cc: Compiler) -> tuple[str, ...]:
        """Return the flags for a compiler."""
        if cc.is_zig:
            return self.zig
        return (*self.clang, *self.gcc) if cc.is_clang else self.gcc


# RV32IMC without floating-point registers.
RV32IMC = InstructionSet(
    zig=("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c", "-mno-relax"),
    clang=("--target=riscv32-unknown-elf", "-fuse-ld=lld"),
    gcc=("-march=rv32imc_zicsr", "-mabi=ilp32", "-mno-relax"),
    machine="EM_RISCV",
)


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler.

    name      name as requested: "zig", "cc" or a path
    command   command line that runs it
    version   its version
    """

    name: str
    command: tuple[str, ...]
    version: str

    @property
    def is_zig(self) -> bool:
        return self.version.startswith("zig ")

    @property
    def is_clang(self) -> bool:
        return self.is_zig or "clang" in self.version


def _zig_command() -> Compiler:
    spec = importlib.util.find_spec("ziglang")
    folders = (spec.submodule_search_locations if spec else None) or ()
    binary = next((str(p) for f in folders if (p := Path(f, "zig")).is_file()), None)
    if binary is None:
        tries = f"pip install {ZIG}", "or, for the C on the host: validate --cc cc"
        raise _missing_tool_error("the C compiler zig", *tries)
    return Compiler("zig", (binary, "cc"), f"zig {_first_line((binary, 'version'))}")


def compiler(name: str = "zig") -> Compiler:
    """Return a C compiler by name: "zig" (installed with the package), "cc" ($CC, otherwise cc), or
    a path.

    Errors: E501 if it is missing or does not run.
    """
    if name == "zig":
        return _zig_command()
    command: tuple[str, ...] = (name,)
    if name == "cc":
        variable = os.environ.get("CC", "")
        try:
            command = tuple(shlex.split(variable)) or (name,)
        except ValueError as error:
            title = f"CC is no command: {variable}"
            raise MyoedgeError("E501", title, {"cause": error}) from None
    program = shutil.which(command[0])
    if program is None:
        raise _missing_tool_error(
            f"the C compiler {command[0]}", "use the compiler of the package: --cc zig"
        )
    command = (str(Path(program).absolute()), *command[1:])
    return Compiler(name, command, _first_line((*command, "--version")))


def _missing_tool_error(subject: str, *tries: str) -> MyoedgeError:
    return MyoedgeError("E501", f"{subject} is missing", tries=tries)


@functools.cache
def _first_line(command: tuple[str, ...]) -> str:
    """Return the first line of a program's output, run once per process."""
    finished = run(command, cwd=Path(__file__).parent, env={"LC_ALL": "C"}, timeout_s=60)
    if finished.returncode != 0 or not finished.stdout.strip():
        facts = {"exit code": finished.returncode, "output": finished.stderr.strip()[:400]}
        raise MyoedgeError("E501", f"{command[0]} does not print its version", facts)
    return finished.stdout.strip().splitlines()[0]


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Options for compiling C for the host.

    sanitize   any of SANITIZERS; the first finding ends the process: with a message, or, undefined
               behaviour with zig, by a trap (zig takes 36 s to compile its library of messages)
    defines    names of macros to define
    debug      keep debug information, as sanitizers do, whose reports name lines by it
    link_time  optimise across files when linking, where the linker is LLD (zig on Linux)
    """

    sanitize: Names = ()
    defines: Names = ()
    optimize: str = "-O2"
    warnings: Names = WARNINGS
    debug: bool = False
    link_time: bool = False

    def flags(self, cc: Compiler) -> tuple[str, ...]:
        """Return all flags that affect the machine code; none contains a path."""
        if unknown := set(self.sanitize) - set(SANITIZERS):
            raise ValueError(f"unknown sanitizers {sorted(unknown)}; there are {SANITIZERS}")
        # zig cc enables UBSan in some modes: every sanitizer is set explicitly.
        checks = [f"-f{'' if x in self.sanitize else 'no-'}sanitize={x}" for x in SANITIZERS]
        checks += ["-fno-sanitize-recover=all"] * bool(self.sanitize)
        checks += ["-fsanitize-trap=undefined"] * (cc.is_zig and "undefined" in self.sanitize)
        # zig cc adds debug information by default: three quarters of a library.
        checks.append("-g" if any((self.debug, self.sanitize)) else "-g0")
        # zig cc optimises for the host's CPU by default; machines may share a cache.
        cpu = ["-mcpu=baseline"] * cc.is_zig
        prefix = ["-fdebug-compilation-dir=."] * cc.is_clang
        macros = [f"-D{name}" for name in self.defines]
        lto = ["-flto"] if self.link_time and cc.is_zig and sys.platform == "linux" else []
        return ("-std=c11", *self.warnings, self.optimize, *cpu, *checks, *prefix, *macros, *lto)


DEFAULT_OPTIONS = CompileOptions()


def compile_library(
    sources: Path | Files,
    output: Path,
    cc: Compiler,
    options: CompileOptions = DEFAULT_OPTIONS,
    include: Files = (),
    objects: Files = (),
) -> CompletedProcess:
    """Compile C files, or all C files below a folder, to a shared library that also links these
    objects.

    Equal sources give equal bytes in any folder (except with sanitizers, whose run-time library
    contains its path). The compiler's messages are in the result.
    """
    # As in firmware, nothing calls zig's run-time library, whose compilation takes 4 s.
    runtime = ["-rtlib=none"] if cc.is_zig and "address" not in options.sanitize else []
    flags = ("-shared", "-fPIC", *runtime, *options.flags(cc))
    return compile_sources(sources, output, cc, flags, include, objects)


def compile_sources(
    sources: Path | Files,
    output: Path,
    cc: Compiler,
    flags: Names,
    include: Files = (),
    objects: Files = (),
    root: Path | None = None,
) -> CompletedProcess:
    """Compile C files, or all C files below a folder, and link them with objects.

    root   folder to which source names in the output are relative; None: their common folder
    """
    common_root, files = _source_folder(sources)
    root = root or common_root
    includes = [f"-I{os.path.relpath(folder.resolve(), root)}" for folder in include]
    names = [os.path.relpath(file, root) for file in files]
    options = [
        *(f"-ffile-prefix-map={old}={new}" for old, new in _renamed_folders(cc, root)),
        "-o",
        str(output.absolute()),
    ]
    env = _environment(cc)
    # A temporary folder for objects; otherwise zig's cache grows with every compilation.
    with scratch() as folder:
        env["ZIG_LOCAL_CACHE_DIR"] = str(folder)
        finished = run(
            [*cc.command, *flags, *options, *includes, *names, *objects], cwd=root, env=env
        )
    if finished.returncode == 0 and not output.exists():
        raise _missing_tool_error(
            f"a C compiler ({cc.command[0]} compiles nothing)", "--cc zig, or cc"
        )
    return finished


def compile_object(
    source: Path, output: Path, cc: Compiler, flags: Names, include: Files, root: Path
) -> CompletedProcess:
    """Compile a C or assembly file to an object.

    flags   all flags that affect the machine code
    root    folder to which source names in the output are relative
    """
    if cc.is_zig and source.suffix == ".c":
        name = os.path.relpath(source.resolve(), root)
        names = [f"-I{os.path.relpath(folder.resolve(), root)}" for folder in include]
        call = zig_clang.ClangCall(cc.command, tuple(flags), tuple(_environment(cc).items()))
        finished = call.compile(name, output, names, _renamed_folders(cc, root), root)
        if finished is not None:
            return finished
    return compile_sources([source], output, cc, ("-c", *flags), include, root=root)


def _renamed_folders(cc: Compiler, root: Path) -> list[tuple[Path, str]]:
    """Return (folder, its name in debug information), so that it has no path of this machine,
    neither ours nor zig's."""
    return [(root, "."), *([(Path(cc.command[0]).parent, "zig")] if cc.is_zig else [])]


def _environment(cc: Compiler) -> dict[str, str]:
    """Return the environment variables for a compiler."""
    env = {"LC_ALL": "C", "ZIG_GLOBAL_CACHE_DIR": str(cache_folder("zig"))}
    if cc.is_zig:
        # zig finds its headers by /proc/self/exe, which is another name where environments share
        # files by hard links.
        env["ZIG_LIB_DIR"] = str(Path(cc.command[0]).parent / "lib")
    return env


def _source_folder(sources: Path | Files) -> tuple[Path, list[Path]]:
    """Return the common folder of the sources, to which their names are relative, and the files."""
    if isinstance(sources, Path):
        root = sources.resolve()
        return root, sorted(root.rglob("*.c"))
    files = [file.resolve() for file in sources]
    return Path(os.path.commonpath([file.parent for file in files])), files


def firmware_flags(
    cc: Compiler, defines: Names = (), isa: InstructionSet = RV32IMC
) -> tuple[str, ...]:
    """Return all flags that affect the machine code of a bare-metal program.

    Every function has its own section, so that the linker removes unused ones.
    """
    prefix = ["-fdebug-compilation-dir=."] if cc.is_clang else []
    checks = [f"-fno-sanitize={kind}" for kind in SANITIZERS] if cc.is_zig else []
    macros = [f"-D{name}" for name in defines]
    return (*isa.flags(cc), *FIRMWARE_FLAGS, *prefix, *checks, *macros)


def compile_firmware(
    sources: Files,
    output: Path,
    script: Path,
    cc: Compiler,
    flags: Names,
    include: Files = (),
    objects: Files = (),
) -> CompletedProcess:
    """Compile C and assembly and link them by a linker script to an ELF; otherwise as
    compile_library."""
    root = _source_folder([script, *sources])[0]
    link = ["-Wl,--gc-sections", f"-Wl,-T,{os.path.relpath(script.resolve(), root)}"]
    return compile_sources(sources, output, cc, (*flags, *link), include, objects, root)
