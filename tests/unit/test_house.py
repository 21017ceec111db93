# SPDX-License-Identifier: Apache-2.0
"""The package as a whole: imports without cycles, docstrings with nouns, unique class names."""

from __future__ import annotations

import ast
import collections
import functools
import graphlib
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import grimp
import pytest

import myoedge
from myoedge.codegen.library import instances
from myoedge.codegen.render import template_dir
from myoedge.operators import families
from tests.support.each import each

PACKAGE = Path(myoedge.__file__).parent
MODULES = sorted(m.name for m in pkgutil.walk_packages(myoedge.__path__, "myoedge."))
QUANTIZER, MAIN = "myoedge.frontend.torch.quantizer", "myoedge.__main__"


@each("name", [m for m in MODULES if m != MAIN])
def test_every_module_imports_by_its_full_name(name: str) -> None:
    if name.startswith(QUANTIZER):
        pytest.importorskip("torchao", reason="torchao is not installed: the extra `qat`")
    module = importlib.import_module(name)
    found = myoedge
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    assert found is module


BARE = """
import importlib, sys
for name in sys.argv[1].split():
    sys.modules[name] = None
for name in sys.argv[2].split():
    try:
        importlib.import_module(name)
    except ImportError:
        print(name)
"""


def distribution(requirement: str) -> str:
    (name,) = re.findall(r"^[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", str(name)).lower()


def optional_modules() -> list[str]:
    """Modules of the installed packages that only extras require."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {distribution(x) for given in project["optional-dependencies"].values() for x in given}
    extras -= {*map(distribution, project["dependencies"])}
    known = metadata.packages_distributions().items()
    return [name for name, owners in known if {*map(distribution, owners)} & extras]


def test_modules_import_without_the_packages_of_extras() -> None:
    """An operator's cases that need scipy do not prevent the check of somebody's plug-in."""
    hidden = optional_modules()
    assert {"scipy", "torch"} <= {*hidden}
    given = [m for m in MODULES if not m.startswith((QUANTIZER, "myoedge.extensions.zoo.", MAIN))]
    command = [sys.executable, "-c", BARE, " ".join(hidden), " ".join(given)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_no_import_cycle() -> None:
    assert len([*graphlib.TopologicalSorter(imports()).static_order()]) == len(imports())


@functools.cache
def imports(*, for_types: bool = False) -> dict[str, set[str]]:
    """Module -> modules that it imports.

    for_types   whether imports under TYPE_CHECKING count
    """
    without = not for_types
    graph = grimp.build_graph("myoedge", exclude_type_checking_imports=without, cache_dir=None)
    return {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}


CIRCLES = {"backends", "nest", "operators", "quantization", "reports", "extensions"}


def test_no_cycle_of_types_in_other_rooms() -> None:
    """CIRCLES: rooms in which modules still import each other for their types."""
    found = set[str]()
    known = imports(for_types=True)
    rooms = {name.split(".")[1] for name in known if "." in name}
    for room in rooms:
        names = {name for name in known if f"{name}.".startswith(f"myoedge.{room}.")}
        try:
            graphlib.TopologicalSorter({name: known[name] & names for name in names}).prepare()
        except graphlib.CycleError:
            found.add(room)
    assert found <= CIRCLES


READ_FAMILIES = (  # "importing family: families that it imports"; all others share by library/
    "attention: elementwise softmax", "classic: gather norm", "conv: pool",
    "einsum: indexing linear", "fake_quantize: elementwise", "indexing: gather",
    "integers: cumsum", "linear: conv", "norm: elementwise", "recurrent: linear", "scan: cumsum",
    "softmax: norm pool", "spectral: conv elementwise", "variance: pool",
)  # fmt: skip


def test_families_of_operators_share_code_by_their_library() -> None:
    read = collections.defaultdict(set)
    for importer, names in imports().items():
        for name in names:
            family, other = (f"{x}....".split(".")[2] for x in (importer, name))
            inside = importer.startswith("myoedge.operators.") and family != other
            if inside and name.startswith("myoedge.operators.") and other in families():
                read[family].add(other)
    found = {f"{family}: {' '.join(sorted(others))}" for family, others in read.items()}
    assert found == {*READ_FAMILIES}


PRONOUN = re.compile(
    r"(what|the same|the ones?|those|these|that|this|it|its|they|them|of|how|as|where|whose|which"
    r"|who|all that|everything|one that)\b",
    re.IGNORECASE,
)


@functools.cache
def nodes() -> dict[Path, list[ast.AST]]:
    """Every node of each file's tree."""
    texts = {p: p.read_text(encoding="utf-8") for p in sorted(PACKAGE.rglob("*.py"))}
    return {path: [*ast.walk(ast.parse(text))] for path, text in texts.items()}


def docstrings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield getattr(node, "name", "module"), ast.get_docstring(node) or ""


def test_docstrings_name_the_thing() -> None:
    """No docstring begins with a pronoun in the place of the noun that it describes."""
    pronouns = [
        f"{path.relative_to(PACKAGE)} {name}: {text.splitlines()[0]}"
        for path, every in nodes().items()
        for name, text in docstrings(every)
        if PRONOUN.match(text)
    ]
    assert pronouns == []


def test_no_tuple_is_spread_into_positional_arguments() -> None:
    """`f(*(a, b), c)` only hides that f has too many positional arguments."""
    spread = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path, every in nodes().items()
        for node in every
        if isinstance(node, ast.Call)
        and any(isinstance(x, ast.Starred) and isinstance(x.value, ast.Tuple) for x in node.args)
    ]
    assert spread == []


def test_private_methods_are_read_as_attributes() -> None:
    """One that only a function of the same name elsewhere seems to use is no longer called: the
    base class of an override may have lost it."""
    every = [node for each in nodes().values() for node in each]
    reads = {x.attr for x in every if isinstance(x, ast.Attribute) and isinstance(x.ctx, ast.Load)}
    methods = {
        method.name
        for node in every
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name.startswith("_")
    }
    read_by_name = {name for name in methods if name.startswith("__")} | {"_repr_pretty_"}
    assert methods - reads - read_by_name == set()


def test_constants_of_a_module_have_names_of_their_own() -> None:
    """A second assignment would also change what functions between the two read."""
    again = []
    for path, (tree, *_) in nodes().items():
        assigned = [n for n in ast.iter_child_nodes(tree) if isinstance(n, ast.Assign)]
        names = [x for n in assigned for t in n.targets for x in ast.walk(t)]
        counts = collections.Counter(x.id for x in names if isinstance(x, ast.Name))
        again += [f"{path.relative_to(PACKAGE)} {name}" for name in counts if counts[name] > 1]
    assert again == []


def test_classes_have_names_of_their_own() -> None:
    names = collections.Counter(
        node.name for every in nodes().values() for node in every if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def skips(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls of skip, skipif, importorskip and xfail, and marks of them without a call."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in SKIPS:
            yield node
        elif isinstance(node, ast.Attribute) and node.attr in SKIPS and id(node) not in called:
            yield ast.Call(node, [], [])


SKIPS = ("skip", "skipif", "importorskip", "xfail")


def test_skips_say_why() -> None:
    folder, silent = Path(__file__).parents[1], []
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))}
    for path in (path for path, text in texts.items() if any(word in text for word in SKIPS)):
        for call in skips(ast.parse(texts[path])):
            said = {word.arg for word in call.keywords} & {"reason", "msg"}
            if not said and not (call.args and getattr(call.func, "attr", "") == "skip"):
                silent.append(f"{path.relative_to(folder)}: {ast.unparse(call)}")
    assert silent == []


PLACES_OF_C = (template_dir(), PACKAGE / "extensions")
HEADERS = sorted(path for place in PLACES_OF_C for path in place.rglob("*.h"))
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
# A macro, an object, a function, a type of functions, the end of a struct: at the start of a line
# of a header nothing is inside another.
C_NAMES = re.compile(
    r"^#define (\w+)|^[A-Za-z_][\w ]*[ *](\w+)(?: = |;|\[)"
    r"|^(?!typedef)[A-Za-z_][\w ]*[ *](\w+)\(|^typedef [^;\n]*?[ *](\w+)\)?\(|^\} (\w+);",
    re.MULTILINE,
)
C_ENUM = re.compile(r"^(?:typedef )?enum(?: \w+)? \{(.*?)\}", re.MULTILINE | re.DOTALL)
C_FREE = {"main", "__attribute__", "_Alignas", "_Static_assert", "__has_include"}


def header_names(text: str) -> Iterator[str]:
    """Names that a C header defines for all files that include it."""
    plain = C_COMMENT.sub("", text).replace("\\\n", " ")
    for groups in C_NAMES.findall(plain):
        yield from (name for name in groups if name)
    for constants in C_ENUM.findall(plain):
        yield from re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", constants.strip())


@each("path", HEADERS, ids=lambda path: path.name)
def test_names_in_headers_have_the_prefix(path: Path) -> None:
    """Generated and included C meets other C in one program: no header defines `run` or `start`."""
    names = {*header_names(path.read_text())} - C_FREE
    assert names
    assert not [name for name in sorted(names) if not name.lower().startswith("me_")]


C_KERNEL = re.compile(
    r"^void (me_\w+)\(const me_\w+_params \*\w+,\s+const me_\w+_tile \*tile\);", re.MULTILINE
)
RANGES = re.compile(r"\d to \S|at least|>= \d|\branges\b")


def kernels_without_ranges(header: str) -> list[str]:
    """Kernels whose own comment, or else the header's first one, states no range."""
    first, *parts = header.split("\n\n")
    groups = {part: C_KERNEL.findall(part) for part in parts}
    above = {part: part.split("*/")[0] if part.startswith("/*") else "" for part in parts}
    said = {part: above[part] and RANGES.search(above[part] + first) for part in parts}
    return [name for part, names in groups.items() for name in names if not said[part]]


def test_every_kernel_states_its_ranges() -> None:
    headers = {path.read_text() for path in HEADERS}
    assert sum(len(C_KERNEL.findall(text)) for text in headers) > 40
    assert [name for text in headers for name in kernels_without_ranges(text)] == []


def test_general_names_are_found() -> None:
    text = "#define MOST 4\nenum { CORES = 8 };\nstatic inline int32_t *start(int32_t n)\n{\n}\n"
    text += "typedef struct {\n    int32_t x;\n} part;\ntypedef void (*work)(int32_t n);\n"
    text += (
        "static uint32_t pending;\nME_INLINE part within(part p, int32_t first,\n    int32_t n)\n"
    )
    found = {"MOST", "CORES", "start", "part", "work", "pending", "within"}
    assert {*header_names(text)} == found


def test_a_table_of_instances_is_one_c_file_each() -> None:
    made = instances("[me_a.h me_a_steps.h]\nme_a_s8 = me_a(op, tile, 1); me_put(op)\n")
    text = made.pop("me_a_s8.c").split("\n\n", 1)
    assert text[0].splitlines()[1:] == ['#include "me_a.h"']
    function = "void me_a_s8(const me_a_s8_params *op, const me_a_s8_tile *tile)"
    body = "{\n    me_a(op, tile, 1);\n    me_put(op);\n}\n"
    assert text[1] == f'#include "me_a_steps.h"\n\n{function}\n{body}'
    assert not made


TEXT_METHODS = ("replace", "startswith", "endswith", "removeprefix", "removesuffix", "split")


def guessed_formats(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Code that tells a format by a name among a layer's numbers, by an optional number, by a flag,
    or by the text of a kernel's name."""
    for node in nodes:
        match node:
            case ast.Compare(ast.Constant(str()), comparators=[ast.Attribute(attr=attr)]):
                guesses = attr in ("integers", "scalars", "arrays")
            case ast.Compare(ast.Attribute(ast.Attribute(attr="integers")), [op], [right]):
                guesses = isinstance(op, ast.Is | ast.IsNot) and ast.unparse(right) == "None"
            case ast.AnnAssign(target=ast.Name(id=name)):
                guesses = name.endswith("_wide")
            case ast.Call(ast.Attribute(value=text, attr=attr)) if attr in TEXT_METHODS:
                name = ast.unparse(text).rpartition(".")[2]
                guesses = name in ("kernel", "function")
            case _:
                guesses = False
        if guesses:
            yield node


def test_no_format_is_told_by_a_key_a_flag_or_a_name() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}"
        for path, every in nodes().items()
        for node in guessed_formats(every)
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        '"x_wide" in step.integers.scalars', "step.integers.y_wide is not None",
        "x_wide: int | None = None", 'kernel.replace("gru", "gru_reset_first")',
        'tiled.function.endswith("_s16")',
    ],
)  # fmt: skip
def test_guessed_formats_are_found(code: str) -> None:
    assert [*guessed_formats(ast.walk(ast.parse(code)))]


CHIP_WORD = re.compile(r"\b(gap9|ne16)\b", re.IGNORECASE)
CHIPS_OWN = ("targets/gap9/", "simulator/")  # and the kernels of the accelerator, ne16*.py
NAMES_A_CHIP = {
    "targets/__init__.py": "lists the targets",
    "extensions/boards/flash_image.py": "writes images for GAP9's ROM",
    "extensions/boards/flashing.py": "writes them",
    **dict.fromkeys(
        (f"operators/{family}/__init__.py" for family in ("attention", "conv", "linear")),
        "lists kernels of ne16*.py",
    ),
    "operators/recurrent/__init__.py": "lists kernels of ne16*.py",
}
MOST_WITH_LETTERS = 29  # files: C names, keys of reports, and the names above


def test_a_chip_is_named_in_few_files_outside_its_target() -> None:
    texts = {x.relative_to(PACKAGE).as_posix(): x.read_text() for x in PACKAGE.rglob("*.py")}
    others = {
        name: text
        for name, text in texts.items()
        if not name.startswith(CHIPS_OWN) and not Path(name).name.startswith("ne16")
    }
    assert {name for name, text in others.items() if CHIP_WORD.search(text)} == {*NAMES_A_CHIP}
    letters = [x for x, text in others.items() if re.search("gap9|ne16", text, re.IGNORECASE)]
    assert len(letters) <= MOST_WITH_LETTERS
