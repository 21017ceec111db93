# SPDX-License-Identifier: Apache-2.0
"""Size of the code against the limits of tests/size.toml: `make check` runs it.

python -m tests.size    prints each figure with its limit; exit code 1 if one is exceeded
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radon.visitors import ComplexityVisitor

ROOT = Path(__file__).resolve().parents[1]
LIMITS = Path(__file__).with_suffix(".toml")
MOST_PARAMETERS = 8
C_SUFFIXES = frozenset({".c", ".h", ".S", ".inc", ".j2", ".def"})


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


@dataclass(frozen=True)
class FunctionSize:
    """A function of the package: its place, lines, parameters and cyclomatic complexity."""

    place: str
    lines: int
    parameters: int
    complexity: int


def read_files(folder: str, suffixes: frozenset[str]) -> list[SourceFile]:
    paths = sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    return [SourceFile(path, path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def count_lines(files: list[SourceFile], depth: int) -> dict[str, int]:
    """Lines by folder, `depth` levels deep; files on a level above count to their own folder."""
    lines: dict[str, int] = {}
    for file in files:
        folder = "/".join(file.name.split("/")[:-1][:depth])
        lines[folder] = lines.get(folder, 0) + file.lines
    return lines


def measure_functions(files: list[SourceFile]) -> list[FunctionSize]:
    return [size for file in files for size in _functions(file)]


def _functions(file: SourceFile) -> Iterator[FunctionSize]:
    for node in ast.walk(ast.parse(file.text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            complexity = ComplexityVisitor.from_ast(node).functions[0].complexity
            place = f"{file.name}:{node.lineno} {node.name}"
            yield FunctionSize(place, _count_lines(node), _count_parameters(node), complexity)


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
    """A figure that tests/size.toml limits, and the places that make it as large as it is."""

    name: str
    value: int
    places: tuple[str, ...] = ()


def measure_sizes() -> Iterator[Measure]:
    package = read_files("myoedge", frozenset({".py"}))
    for folder, lines in sorted(count_lines(package, 2).items()):
        yield Measure(folder, lines)
    yield Measure("package", sum(file.lines for file in package))
    for folder, suffixes in (("firmware_templates", C_SUFFIXES), ("tests", frozenset({".py"}))):
        yield Measure(folder, sum(file.lines for file in read_files(folder, suffixes)))
    longest = max(package, key=lambda file: file.lines)
    yield Measure("longest file", longest.lines, (longest.name,))
    functions = measure_functions(package)
    longest_function = max(functions, key=lambda x: x.lines)
    yield Measure("longest function", longest_function.lines, (longest_function.place,))
    yield _count("complexity above 10", [x for x in functions if x.complexity > 10])
    yield _count("complexity above 15", [x for x in functions if x.complexity > 15])
    yield _count("more than 8 parameters", [x for x in functions if x.parameters > MOST_PARAMETERS])


def _count(name: str, functions: list[FunctionSize]) -> Measure:
    return Measure(name, len(functions), tuple(x.place for x in functions))


def main() -> int:
    limits = tomllib.loads(LIMITS.read_text(encoding="utf-8"))["limits"]
    measures = [*measure_sizes()]
    for measure in measures:
        print(f"{measure.name:<28}{measure.value:>8,}   limit {limits.get(measure.name, 0):>8,}")
    exceeded = [x for x in measures if x.value > limits.get(x.name, 0)]
    for measure in exceeded:
        print(f"{measure.name} exceeds its limit in tests/size.toml:", *measure.places, sep="\n  ")
    unknown = limits.keys() - {x.name for x in measures}
    if unknown:
        print(f"tests/size.toml limits what is not measured: {', '.join(sorted(unknown))}")
    return 1 if exceeded or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
