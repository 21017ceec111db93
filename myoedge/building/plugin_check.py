# SPDX-License-Identifier: Apache-2.0
"""Checks of an installed package for its author: its entry points, the hooks of its extensions,
and the results of its operators.

Operators are tested on the random cases of their CASES: integers against floats, and C against
the integers, with all cases as layers of one network.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from itertools import chain
from types import ModuleType

import numpy as np

import myoedge.operators as families
from myoedge.backends import host
from myoedge.building.config_tables import PluginsTable
from myoedge.building.hook_rows import (
    EXTENSIONS,
    OK,
    UNUSABLE,
    CheckedPoint,
    cause_in,
    checked_extensions,
)
from myoedge.building.plugin_rows import NO_ROW, CheckedRow, checked_rows
from myoedge.building.plugins import GROUP, KINDS, load_plugins
from myoedge.codegen.project import make_sources
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.cases import Draw, drawn_use, drawn_uses
from myoedge.operators.formula import FORMULAS
from myoedge.operators.formula_text import rounding_advice
from myoedge.operators.import_rows import import_rows
from myoedge.operators.interpreter import integer_step
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Calibration
from myoedge.quantization.drawn_case import DrawnCase, allowed
from myoedge.quantization.masked_ranges import Range
from myoedge.quantization.scales import OVERFLOW, QuantGraph, quantize_graph
from myoedge.quantization.stated_widths import LayerRule
from myoedge.system import tools
from myoedge.system.near_names import ALIKE_PACKAGES, nearest
from myoedge.system.notebook import Card, Shown
from myoedge.targets import DEFAULT
from myoedge.version import __version__

COUNT = 24  # random test cases per operator
NOTHING = 'nothing imports it: ROWS = (api.import_row("{}", "lab::call(x)"),) in its module'
DIFFERS, NOT_CHECKED = "differs", "not checked"


@dataclass(frozen=True, slots=True)
class CheckedOperator:
    """Result of testing one operator of a plug-in package.

    name    name of the operator
    uses    number of random cases tested
    state   "ok", "differs" or "not checked"
    cause   first difference, or reason
    """

    name: str
    uses: int = 0
    state: str = OK
    cause: str = ""


@dataclass(frozen=True)
class PluginCheck(Shown):
    """Result of `plugin check`: an installed package, its entry points, operators and hooks."""

    package: str
    version: str
    entry_points: tuple[CheckedPoint, ...]
    operators: tuple[CheckedOperator, ...]
    import_rows: tuple[CheckedRow, ...] = ()
    hooks: tuple[CheckedPoint, ...] = ()

    def _card(self) -> Card:
        operators = [(operator.name, operator.state) for operator in self.operators]
        hooks = [(f"{hook.kind} {hook.name}", hook.state) for hook in self.hooks]
        return Card(f"{self.package} {self.version}", [*operators, *hooks])

    @property
    def named_points(self) -> dict[str, list[str]]:
        """Names of the entry points by kind, as [plugins] has them."""
        named = [point for point in self.entry_points if point.kind != EXTENSIONS]
        kinds = dict.fromkeys(point.kind for point in named)
        return {k: [x.name for x in named if x.kind == k] for k in kinds}

    @property
    def exit_code(self) -> int:
        """Exit code: 0; 4 if results differ; 2 if something cannot be used or was not checked."""
        states = {point.state for point in (*self.entry_points, *self.hooks)}
        states |= {*(op.state for op in self.operators), *(row.state for row in self.import_rows)}
        return 4 if DIFFERS in states else 2 if states - {OK} else 0


def check_package(package: str) -> PluginCheck:
    """Load all entry points of an installed package, what stands at the places of its hooks, and
    test its operators; or the formulas of a folder of myoedge/operators.

    Errors: E256 the package is not installed, or has no entry points of myoedge.
    """
    family = f"{families.__name__}.{package}"
    if formulas := [x for x in FORMULAS if _is_defined_in(x, family)]:
        return PluginCheck(
            package, __version__, (), *_check_operators([import_module(family)], formulas)
        )
    found = _find_distribution(package)
    points = _entry_points_of(found)
    extensions, hooks = checked_extensions(points)
    rows, names = _load_operators(points)
    tops = {_top_package(point.module) for point in points}
    own = [package for package in families.ADDED if _top_package(package.__name__) in tops]
    tested = _check_operators(own, names)
    return PluginCheck(found.name, found.version, (*rows, *extensions), *tested, hooks)


def _entry_points_of(found: metadata.Distribution) -> list[metadata.EntryPoint]:
    """Return the entry points of an installed package that are for myoedge. Errors: E256."""
    groups = [GROUP + kind for kind in (*KINDS, EXTENSIONS)]
    points = [point for point in found.entry_points if point.group in groups]
    if not points:
        has = dict.fromkeys(point.group for point in found.entry_points)
        facts = {"needs": f"entry points of {', '.join(groups)}", "has": ", ".join(has) or "none"}
        tries = [line for group in has for line in nearest(group, groups)]
        raise MyoedgeError("E256", f"{found.name} is no plug-in of myoedge", facts, tries)
    return points


def _load_operators(
    points: Iterable[metadata.EntryPoint],
) -> tuple[tuple[CheckedPoint, ...], list[str]]:
    """Load the entry points of plug-ins; return them, and the names of their operators."""
    before, added = {*OPS}, [*families.ADDED]
    named = [(point.group.removeprefix(GROUP), point.name) for point in points]
    rows = tuple(_load_plugin(kind, name) for kind, name in named if kind in KINDS)
    # nothing is new if this process loaded them before
    known = [x for x in OPS for p in added if _is_defined_in(x, p.__name__)]
    return rows, [name for name in OPS if name not in before] or known


def _check_operators(
    packages: Sequence[ModuleType], names: Sequence[str]
) -> tuple[tuple[CheckedOperator, ...], tuple[CheckedRow, ...]]:
    """Check operators, and by their uses the import rows of packages; each operator needs a row."""
    if not (packages or names):
        return (), ()
    operators = tuple(map(_check_by_name, names))
    families.modules("torch_library")  # registers the calls of plug-ins in torch
    cases = drawn_uses()
    uses = {name: drawn(name) for name in names if name in cases}
    tables = [table for x in packages for table in families.with_table(x, "import_rows")]
    rows = checked_rows([row for table in tables for row in table.ROWS], uses)
    return operators, (*rows, *_lacking_rows(names))


def _lacking_rows(names: Iterable[str]) -> Iterator[CheckedRow]:
    """Yield a row for each operator that no row imports."""
    imported = {op for row in import_rows() for op in row.ops.split()}
    for name in names:
        if name not in imported:
            yield CheckedRow(name, 0, NO_ROW, NOTHING.format(name))


def _top_package(module: str) -> str:
    return module.partition(".")[0]


def _is_defined_in(op: str, package: str) -> bool:
    return f"{OPS[op].real.__module__}.".startswith(f"{package}.")


def _check_by_name(name: str) -> CheckedOperator:
    if name in drawn_uses():
        return checked_operator(name, drawn(name))
    return CheckedOperator(
        name,
        0,
        NOT_CHECKED,
        f'CASES of its module draws no uses of {name}: CASES = api.uses("{name}")',
    )


def _find_distribution(package: str) -> metadata.Distribution:
    """Return an installed package, found by its name or by one of its modules. Errors: E256."""
    installed = metadata.packages_distributions()
    for name in (package, *installed.get(package, ())):
        try:
            return metadata.distribution(name)
        except (metadata.PackageNotFoundError, ValueError):
            continue
    known = {*installed, *chain.from_iterable(installed.values())}
    near = nearest(package, sorted(known), ALIKE_PACKAGES)
    tries = [*near, f"pip install -e .  in the folder of {package}"]
    raise MyoedgeError("E256", f"the package {package} is not installed", tries=tries)


def _load_plugin(kind: str, name: str) -> CheckedPoint:
    try:
        load_plugins(PluginsTable(**{kind: [name]}))
    except MyoedgeError as error:
        return CheckedPoint(kind, name, UNUSABLE, cause_in(error))
    return CheckedPoint(kind, name)


# --- operators ------------------------------------------------------------------------------------


def drawn(op: str) -> tuple[DrawnCase, ...]:
    """Return random test cases of an operator, with fixed seeds."""
    draw = Draw(np.random.default_rng(zlib.crc32(op.encode())))
    return tuple(DrawnCase(**vars(drawn_use(op, draw))) for _ in range(COUNT))


def checked_operator(name: str, cases: Sequence[DrawnCase]) -> CheckedOperator:
    """Compare an operator's float, integer and C results on its cases; return the first
    difference."""
    try:
        cause = next(_differences(cases), "")
    except MyoedgeError as error:
        if error.code not in (OVERFLOW, "E111"):
            raise
        cause = cause_in(error)
    return CheckedOperator(name, len(cases), DIFFERS if cause else OK, cause)


def _differences(cases: Sequence[DrawnCase]) -> Iterator[str]:
    integers = [integer_step(case.step, case.data) for case in cases]
    for case, y in zip(cases, integers, strict=True):
        low, high = allowed(case)
        outside = np.argwhere((y < low) | (y > high))
        if len(outside):
            at = tuple(map(int, outside[0]))
            wanted = f"{low[at]:.4g} to {high[at]:.4g}"
            found = f"integer gives {y[at]} at {list(at)}, real allows {wanted}"
            advice = rounding_advice(case, np.maximum(low - y, y - high))
            yield f"{_about_case(case)}: {found}{advice}"
    compiled = [case for case in cases if not OPS[case.op].view]
    if compiled:
        yield from _differences_of_c(compiled)


def _differences_of_c(cases: Sequence[DrawnCase]) -> Iterator[str]:
    """Yield differences between C and integer results; the C is planned for the chip but compiled
    for this computer."""
    try:
        results = c_results(joined(cases), [x for case in cases for x in case.data])
    except MyoedgeError as error:
        yield f"its C cannot be built: {error.notice.title}: {dict(error.notice.facts)}"
        return
    for case, made in zip(cases, results, strict=True):
        wanted = integer_step(case.step, case.data)
        wrong = np.argwhere(made != wanted)
        if len(wrong):
            at = tuple(map(int, wrong[0]))
            yield f"{_about_case(case)}: C gives {made[at]} at {list(at)}, integer {wanted[at]}"


def _about_case(case: DrawnCase) -> str:
    shapes = " ".join(str(list(shape)) for shape in case.shapes)
    return f"inputs {shapes}, {dict(case.attrs)}{f', act {case.act}' if case.act else ''}"


def joined(cases: Sequence[DrawnCase]) -> QuantGraph:
    """Return one network whose layers are the cases, each with its own inputs and outputs."""
    parts = [_rename_tensors(case.graph, i) for i, case in enumerate(cases)]
    outputs = tuple(chain.from_iterable(part.outputs for part in parts))
    graph = Graph(
        tuple(chain.from_iterable(part.inputs for part in parts)),
        outputs,
        tuple(chain.from_iterable(part.nodes for part in parts)),
        dict(chain.from_iterable(part.tensors.items() for part in parts)),
        dict(chain.from_iterable(part.constants.items() for part in parts)),
        outputs,
    )
    spans, rules, wider = dict[str, Range](), list[LayerRule](), set[str]()
    for i, case in enumerate(cases):
        spans |= {f"u{i}_{name}": span for name, span in case.calibration.ranges.items()}
        wider |= {f"u{i}_{name}" for name in case.wider}
        rules += [LayerRule(f"u{i}", "per_tensor")] * case.per_tensor
    return quantize_graph(graph, Calibration(spans, 1, "drawn", ""), rules, frozenset(wider))


def _rename_tensors(graph: Graph, number: int) -> Graph:
    def of(name: str) -> str:
        return f"u{number}_{name}"

    (node,) = graph.nodes
    inputs, origin = tuple(map(of, node.inputs)), (Origin(f"u{number}", ""),)
    tensors = {of(name): replace(t, name=of(name)) for name, t in graph.tensors.items()}
    constants = {of(name): value for name, value in graph.constants.items()}
    made = (Node(node.op, inputs, (of("y"),), node.attrs, origin),)
    return Graph(tuple(map(of, graph.inputs)), (of("y"),), made, tensors, constants)


def c_results(q: QuantGraph, inputs: Sequence[Array]) -> list[Array]:
    """Compile a network's C and return its outputs for one sample.

    Errors: E301 .. E308, and as the compiler.
    """
    plan = make_plan(q, DEFAULT)
    with tools.scratch() as folder:
        for path, text in make_sources(plan, "check").files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        library = host.load_library(folder)
        specs = [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]
        return host.run(library, inputs, specs, l3=b"".join(plan.image_files.values()) or None)
