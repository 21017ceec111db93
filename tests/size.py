# SPDX-License-Identifier: Apache-2.0
"""Size of the code against the limits of tests/size.toml: `make check` runs it.

python -m tests.size    prints each figure with its limit; exit code 1 if one is exceeded
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from radon.visitors import ComplexityVisitor

ROOT = Path(__file__).resolve().parents[1]
LIMITS = Path(__file__).with_suffix(".toml")
MOST_PARAMETERS = 8
FRAGMENT_LINES = 4
C_SUFFIXES = frozenset({".c", ".h", ".S", ".inc", ".j2", ".def"})
NOT_COUNTED = re.compile(
    r"/\*.*?\*/|//[^\n]*|\\\n|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)
END_OF_C = re.compile(r";|^\s*#", re.MULTILINE)  # of a statement or declaration; a directive
PROTOTYPE = re.compile(r"^(?!static|typedef|#)\w[\w *]*\b(me_\w+)\([^;{]*\);", re.MULTILINE)
KERNELS = ("firmware_templates/library", "firmware_templates/operators")


@dataclass(frozen=True)
class SourceFile:
    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def statements(self) -> int:
        """Statements without docstrings and comments; of assembly and other text, lines."""
        if self.path.suffix == ".py":
            return sum(isinstance(x, ast.stmt) and not _is_text(x) for x in ast.walk(self.tree))
        code = NOT_COUNTED.sub(" ", self.text)
        if {".c", ".h"}.isdisjoint(self.path.suffixes):
            return sum(bool(line.strip()) for line in code.split("\n"))
        return len(END_OF_C.findall(code))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


@dataclass(frozen=True)
class FunctionSize:
    """A function of the package: its place, lines, parameters and cyclomatic complexity.

    is_fragment   whether it is private, has a body of at most FRAGMENT_LINES lines, and is called
                  at one place
    """

    place: str
    lines: int
    parameters: int
    complexity: int
    is_fragment: bool


def read_files(folder: str, suffixes: frozenset[str]) -> list[SourceFile]:
    paths = sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    return [SourceFile(path, path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def by_folder(files: list[SourceFile], depth: int) -> dict[str, list[SourceFile]]:
    """Files by folder, `depth` levels deep; those on a level above count to their own folder."""
    folders: dict[str, list[SourceFile]] = {}
    for file in files:
        folders.setdefault("/".join(file.name.split("/")[:-1][:depth]), []).append(file)
    return folders


def measure_functions(files: list[SourceFile]) -> list[FunctionSize]:
    return [size for file in files for size in _functions(file)]


def _functions(file: SourceFile) -> Iterator[FunctionSize]:
    nodes = [*ast.walk(file.tree)]
    named = _count_names(nodes)
    called = _count_names(node.func for node in nodes if isinstance(node, ast.Call))
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            complexity = ComplexityVisitor.from_ast(node).functions[0].complexity
            place = f"{file.name}:{node.lineno} {node.name}"
            yield FunctionSize(
                place,
                _count_lines(node),
                _count_parameters(node),
                complexity,
                _is_short_and_private(node) and called[node.name] == named[node.name] == 1,
            )


def _is_short_and_private(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
    return node.name.startswith("_") and not node.name.startswith("__") and lines <= FRAGMENT_LINES


def _count_names(nodes: Iterable[ast.AST]) -> Counter[str]:
    """Count the names of variables, functions and attributes."""
    return Counter(str(getattr(x, "id", getattr(x, "attr", ""))) for x in nodes)


def _count_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first decorator on; with many parameters, of the code after the docstring."""
    first = min((x.lineno for x in node.decorator_list), default=node.lineno)
    if _count_parameters(node) > MOST_PARAMETERS:
        first = node.body[1 if ast.get_docstring(node) else 0].lineno
    return (node.end_lineno or node.lineno) - first + 1


def _count_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([x for x in arguments if x.arg not in ("self", "cls")])


@dataclass(frozen=True)
class Measure:
    """A figure that tests/size.toml limits.

    places   what makes it as large as it is
    lines    lines of the statements that it counts, which have no limit; 0: it counts others
    """

    name: str
    value: int
    places: tuple[str, ...] = ()
    lines: int = 0


def measure_sizes() -> Iterator[Measure]:
    package = read_files("myoedge", frozenset({".py"}))
    extensions = [x for x in package if x.name.startswith("myoedge/extensions/")]
    core = [x for x in package if x not in extensions]
    for folder, files in sorted({**by_folder(core, 2), **by_folder(extensions, 3)}.items()):
        yield _statements(folder, files)
    yield _statements("core", core)
    yield _statements("package", package)
    yield _statements("firmware_templates", read_files("firmware_templates", C_SUFFIXES))
    yield _statements("C of extensions", read_files("myoedge/extensions", C_SUFFIXES))
    yield _statements("tests", read_files("tests", frozenset({".py"})))
    kernels = {x for folder in KERNELS for x in declared(read_files(folder, frozenset({".h"})))}
    yield Measure("kernels by hand", len(kernels))
    fields = fields_of(package, "myoedge/operators/base.py", "OpDef")
    yield Measure("fields of OpDef", len(fields), fields)
    longest = max(package, key=lambda file: file.lines)
    yield Measure("longest file", longest.lines, (longest.name,))
    functions = measure_functions(package)
    longest_function = max(functions, key=lambda x: x.lines)
    yield Measure("longest function", longest_function.lines, (longest_function.place,))
    yield _count("complexity above 10", [x for x in functions if x.complexity > 10])
    yield _count("complexity above 15", [x for x in functions if x.complexity > 15])
    yield _count("short functions called once", [x for x in functions if x.is_fragment])
    yield _count("more than 8 parameters", [x for x in functions if x.parameters > MOST_PARAMETERS])


def _statements(name: str, files: list[SourceFile]) -> Measure:
    return Measure(name, sum(x.statements for x in files), lines=sum(x.lines for x in files))


def declared(headers: list[SourceFile]) -> set[str]:
    """Functions that headers declare, with external linkage."""
    return {name for x in headers for name in PROTOTYPE.findall(NOT_COUNTED.sub(" ", x.text))}


def fields_of(files: list[SourceFile], name: str, record: str) -> tuple[str, ...]:
    """Fields of a dataclass."""
    (tree,) = (file.tree for file in files if file.name == name)
    (found,) = (x for x in tree.body if isinstance(x, ast.ClassDef) and x.name == record)
    return tuple(ast.unparse(x.target) for x in found.body if isinstance(x, ast.AnnAssign))


def _count(name: str, functions: list[FunctionSize]) -> Measure:
    return Measure(name, len(functions), tuple(x.place for x in functions))


def main() -> int:
    limits = tomllib.loads(LIMITS.read_text(encoding="utf-8"))["limits"]
    measures = [*measure_sizes()]
    for measure in measures:
        lines = f"   in {measure.lines:>8,} lines" * bool(measure.lines)
        limit = limits.get(measure.name, 0)
        print(f"{measure.name:<28}{measure.value:>8,}   limit {limit:>8,}{lines}")
    exceeded = [x for x in measures if x.value > limits.get(x.name, 0)]
    for measure in exceeded:
        print(f"{measure.name} exceeds its limit in tests/size.toml:", *measure.places, sep="\n  ")
    unknown = limits.keys() - {x.name for x in measures}
    if unknown:
        print(f"tests/size.toml limits what is not measured: {', '.join(sorted(unknown))}")
    return 1 if exceeded or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
