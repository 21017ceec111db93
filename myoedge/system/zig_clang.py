# SPDX-License-Identifier: Apache-2.0
"""Direct calls of the clang inside zig, without zig's driver, whose start takes longer than the
compilation of a small file."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from myoedge.system.tools import CompletedProcess, run, scratch

SOURCE, OBJECT = "source.c", "object.o"  # file names of the dry run
FRONTEND = "-cc1"
NAMED = ("-dependency-file", "-MT", "-main-file-name", "-o")  # arguments followed by a file name
COVERAGE = "-fcoverage-compilation-dir="  # the folder of the dry run
HEADERS = ("-sys-header-deps", "-MV")  # arguments for the list of headers, which is not written
RENAMED = ("-fdebug-prefix-map", "-fmacro-prefix-map")  # clang's parts of -ffile-prefix-map


@dataclass(frozen=True, slots=True)
class ClangCall:
    """Calls of clang with the same flags.

    command   command line of `zig cc`
    flags     all flags that affect the machine code
    env       environment variables for zig
    """

    command: tuple[str, ...]
    flags: tuple[str, ...]
    env: tuple[tuple[str, str], ...]

    def compile(
        self,
        source: str,
        output: Path,
        include: Sequence[str],
        renamed: Iterable[tuple[Path, str]],
        root: Path,
    ) -> CompletedProcess | None:
        """Compile a C file to an object as `zig cc` does.

        source    name of the file relative to `root`, in which clang runs
        include   -I arguments
        renamed   (folder, its name in debug information)
        -> None if clang cannot be called directly, or rejects the file: `zig cc` tells why
        """
        arguments = _frontend_arguments(self)
        if arguments is None:
            return None
        folders = [f"{name}={old}={new}" for old, new in renamed for name in RENAMED]
        names = ["-main-file-name", Path(source).name, "-o", str(output.absolute())]
        parts = [*arguments, *folders, *include, *names, "-x", "c", source]
        finished = run(parts, cwd=root, env=dict(self.env))
        return finished if finished.returncode == 0 and output.exists() else None


@functools.lru_cache(maxsize=64)
def _frontend_arguments(call: ClangCall) -> tuple[str, ...] | None:
    """Return clang's command line without file names, from a dry run of `zig cc`; None if its form
    is unknown."""
    with scratch() as folder:
        (folder / SOURCE).touch()
        dry_run = [*call.command, "-###", "-c", *call.flags, "-o", OBJECT, SOURCE]
        env = {**dict(call.env), "ZIG_LOCAL_CACHE_DIR": str(folder)}
        finished = run(dry_run, cwd=folder, env=env)
    lines = [line for line in finished.stderr.splitlines() if line.startswith(' "')]
    parts = shlex.split(lines[0]) if len(lines) == 1 and finished.returncode == 0 else []
    if parts[1:2] != [FRONTEND] or parts[-3:] != ["-x", "c", SOURCE]:
        return None
    kept = (call.command[0], *_without_names(parts[1:-3]))
    return None if any(str(folder) in part for part in kept) else kept


def _without_names(parts: Iterable[str]) -> Iterator[str]:
    """Yield clang's arguments but those that name files of the dry run."""
    rest = iter(parts)
    for part in rest:
        if part in NAMED:
            next(rest)
        elif part not in HEADERS and not part.startswith(COVERAGE):
            yield part
