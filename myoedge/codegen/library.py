# SPDX-License-Identifier: Apache-2.0
"""The kernel sources and headers that a network needs, found through their #include lines; its
library as a zip file, for build systems that cannot use src/ as it is."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Container, Iterable, Mapping, Sequence
from configparser import ConfigParser
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from myoedge.codegen.formulas import with_formulas
from myoedge.codegen.render import render, template_dir
from myoedge.errors import MyoedgeError
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.plan import Plan
from myoedge.system.elf import RISCV
from myoedge.targets.program import LibraryArchive, ProgramTarget

NOTHING: Mapping[str, str] = {}
C_COLUMNS = 110  # line length, as in .clang-format
OF_RISCV = re.compile(r"library/.*\.(S|inc)")
_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def library_files(kernels: Iterable[str], brought: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """Return path -> text of the C library files that kernels need: their sources, all included
    headers, and the sources of these headers.

    kernels   C function names
    brought   file name -> text of plug-ins' kernel sources
    """
    texts: dict[str, str] = {}
    names = [f"{kernel}.c" for kernel in kernels]
    while names:
        name = names.pop()
        text = None if name in texts else _library_text(name, brought)
        if text is not None:
            texts[name] = text
            for included in _INCLUDE.findall(text):
                stem = Path(included).stem
                names += [included, f"{stem}.c", f"{stem}.S"]
    return {f"library/{name}": text for name, text in sorted(texts.items())}


def include_files(texts: Iterable[str], chip_only: Container[str]) -> dict[str, str]:
    """Return name -> text of the headers in include/ that C texts include, directly or indirectly.

    chip_only   headers that a host build leaves out
    """
    headers: dict[str, str] = {}
    names = [name for text in texts for name in _INCLUDE.findall(text)]
    while names:
        name = names.pop()
        path = template_dir() / "include" / name
        if name not in headers and name not in chip_only and path.is_file():
            headers[name] = path.read_text()
            names += _INCLUDE.findall(headers[name])
    return headers


def _of_instruction_set(
    files: Mapping[str, str], program: ProgramTarget | None
) -> Mapping[str, str]:
    """Return the files of src/ without kernels in RISC-V's assembler for a chip without it."""
    is_riscv = program is None or program.isa.machine == RISCV
    if is_riscv:
        return files
    others = {path for path in files if OF_RISCV.fullmatch(path)}
    return {path: text for path, text in files.items() if path not in others}


def with_replaced(files: Mapping[str, str], program: ProgramTarget | None) -> dict[str, str]:
    """Return the files of src/, sorted; files of the chip replace headers and kernels with their
    names, and bring headers that they include."""
    files = _of_instruction_set(files, program)
    own = {Path(name).name: name for name in (() if program is None else program.replaced)}
    texts = {
        path: (template_dir() / own[name]).read_text()
        for path in files
        if (name := Path(path).name) in own
    }
    known = {Path(path).name for path in files}
    brought = {
        str(Path(path).parent / name): (template_dir() / own[name]).read_text()
        for path, text in texts.items()
        for name in _INCLUDE.findall(text)
        if name in own and name not in known
    }
    return dict(sorted({**files, **texts, **brought}.items()))


def headers(kernels: Iterable[str], brought: Mapping[str, str] = NOTHING) -> list[str]:
    """Return the paths of the headers that declare kernels: the first #include of each kernel's
    file.

    kernels   C function names
    brought   file name -> text of plug-ins' kernel sources

    Errors: E257 for a kernel without a file.
    """
    return sorted({f"library/{_kernel_header(kernel, brought)}" for kernel in kernels})


def _kernel_header(kernel: str, brought: Mapping[str, str]) -> str:
    included = _INCLUDE.search(_library_text(f"{kernel}.c", brought) or "")
    if included is None:
        title = f"the plug-in that has {kernel} cannot be used"
        facts = {
            "needs": f"{kernel}.c, which includes its header first",
            "has": "a TiledKernel without",
        }
        tries = ["sources={name: (FOLDER / name).read_text() for name in FILES} in its TiledKernel"]
        raise MyoedgeError("E257", title, facts, tries)
    return included[1]


def called(tilings: Iterable[Tiling]) -> set[str]:
    """Return the names of the C functions that the layers' tiles call."""
    return {function for tiling in tilings for function in tiling.kernel.functions}


def brought(plan: Plan) -> dict[str, str]:
    """Return file name -> text of the C files of a plan's kernels outside the library: generated
    ones, and those that plug-ins supply."""
    kernels = (tiling.kernel for tiling in plan.tilings)
    sources = {name: text for kernel in kernels for name, text in kernel.sources.items()}
    return with_formulas(plan, sources)


def _library_text(name: str, brought: Mapping[str, str]) -> str | None:
    return brought.get(name) or _library_texts().get(name)


@cache
def _library_texts() -> dict[str, str]:
    """Return name -> text of the library's and the operators' files, with instances of tables
    expanded."""
    folders = [template_dir() / name for name in ("library", "storage")]
    folders += template_dir().glob("operators/[a-z]*")
    files = (path for folder in folders for path in folder.iterdir() if path.is_file())
    texts = {path.name: path.read_text() for path in files}
    tables = [text for name, text in texts.items() if name.endswith("_instances.def")]
    return texts | {name: text for table in tables for name, text in instances(table).items()}


def instances(table: str) -> dict[str, str]:
    """Return file name -> text for kernels that are instances of one body with different constants.

    table   "[headers to include]", then for each kernel "name = statements"
    """
    parser = ConfigParser(interpolation=None)
    parser.read_string(table)
    return {
        f"{kernel}.c": _instance_source(kernel, section.split(), statements.split("; "))
        for section in parser.sections()
        for kernel, statements in parser[section].items()
    }


def _instance_source(kernel: str, headers: Sequence[str], statements: Sequence[str]) -> str:
    first, *others = (f'#include "{header}"' for header in headers)
    start, end = f"void {kernel}(const {kernel}_params *op,", f"const {kernel}_tile *tile)"
    space = " " if len(start) + len(end) < C_COLUMNS else "\n" + " " * len(f"void {kernel}(")
    body = (f"    {statement};" for statement in statements)
    lines = ["/* SPDX-License-Identifier: Apache-2.0 */", first, "", *others, ""]
    return "\n".join([*lines, f"{start}{space}{end}", "{", *body, "}", ""])


# --- archive --------------------------------------------------------------------------------------


GOLDEN, LICENSE = "golden.h", "LICENSE"
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest of the format: equal contents give equal bytes


def library_zips(
    program: ProgramTarget | None, files: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return file name -> zip file, for the archives of a chip's programs.

    files    of src/
    values   of the templates
    """
    found = {}
    for archive in () if program is None else program.archives:
        texts = _library(archive, files, values["own"]) | _rendered(archive.templates, values)
        if GOLDEN in files:
            texts |= {archive.golden: files[GOLDEN], **_rendered(archive.example, values)}
        found[values["prefix"] + archive.name] = _zip(values["prefix"], texts)
    return found


def _library(archive: LibraryArchive, files: Mapping[str, str], own: list[str]) -> dict[str, str]:
    """Return the files of the library: the network's C, its kernels, and headers that these may
    include."""
    texts = {LICENSE: files[LICENSE]}
    for path, text in files.items():
        folder, kind = str(PurePath(path).parent), PurePath(path).suffix
        is_header = folder == "." and kind == ".h" and path != GOLDEN
        if folder == "library" or is_header or path in own:
            texts[f"{archive.sources}/{path}"] = text
    return texts


def _rendered(templates: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    return {path: render(template, values) for path, template in templates.items()}


def _zip(folder: str, texts: Mapping[str, str]) -> bytes:
    """Return a zip file with one folder, as arduino-cli and the IDE require."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(texts.items()):
            archive.writestr(
                zipfile.ZipInfo(f"{folder}/{path}", FIRST_DATE), text, zipfile.ZIP_DEFLATED
            )
    return content.getvalue()
