# SPDX-License-Identifier: Apache-2.0
"""`make test` runs what is cheap, and reaches all that the tests it leaves out reach."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.conftest import ROOT
from tests.selection.choice import Measured, affordable, chosen, shares_s
from tests.selection.deferred import mark_slow, read_deferred
from tests.selection.record import PLUGIN, places, read
from tests.support.each import each

CHEAP_S = 0.25


def drawn(seed: int) -> tuple[dict[str, Measured], dict[str, Measured]]:
    """(tests, what they share)."""
    rng = np.random.default_rng(seed)

    def one(uses: list[str]) -> Measured:
        parts = frozenset(rng.integers(0, 60, rng.integers(0, 20)).tolist())
        return Measured(float(rng.choice([0.01, 0.2, 0.3, 1.0, 4.0])), parts, frozenset(uses))

    shared = {f"shared: {i}": one([f"shared: {i - 1}"] if i % 2 else []) for i in range(6)}
    names = [*shared]
    some = [[names[i] for i in rng.integers(0, 6, rng.integers(0, 3))] for _ in range(40)]
    return {f"test_{i % 9}.py::test_{i}": one(uses) for i, uses in enumerate(some)}, shared


@each("seed", range(20))
def test_chosen_tests_reach_what_all_tests_reach(seed: int) -> None:
    tests, shared = drawn(seed)
    taken, rows = chosen(tests, shared, CHEAP_S, 0), {**tests, **shared}
    assert taken < tests.keys()
    assert places(taken, rows) == places(tests, rows)
    assert {t.split("::")[0] for t in taken} == {t.split("::")[0] for t in tests}


@each("seed", range(20))
def test_a_cheap_test_is_never_left_out(seed: int) -> None:
    """Nor is one whose fixtures another one has paid for."""
    tests, shared = drawn(seed)
    taken = chosen(tests, shared, CHEAP_S, 0)
    made = set[str]()
    pending = [name for test in taken for name in tests[test].uses]
    while pending:
        made.add(name := pending.pop())
        pending += shared[name].uses
    for test in tests.keys() - taken:
        assert tests[test].cpu_s > CHEAP_S or tests[test].uses - made


def test_the_cheaper_of_two_alike_is_chosen() -> None:
    both = frozenset({1, 2})
    build = {"shared: build": Measured(3.0, frozenset({3}))}
    tests = {
        "a.py::test_first": Measured(0.01),
        "a.py::test_dear": Measured(2.0, both),
        "a.py::test_cheaper": Measured(1.0, both),
        "a.py::test_reads_a_build": Measured(0.1, frozenset(), frozenset(build)),
    }
    assert chosen(tests, build, CHEAP_S, 0) == tests.keys() - {"a.py::test_dear"}
    without = {"shared: build": Measured(3.0)}
    assert chosen(tests, without, CHEAP_S, 0) == {"a.py::test_first", "a.py::test_cheaper"}


def test_each_row_of_a_table_is_chosen() -> None:
    def left_out(rows: int, cpu_s: float) -> int:
        tests = {f"a.py::test[{row}]": Measured(cpu_s) for row in range(rows)}
        tests["a.py::test_first"] = Measured(0.01)
        return len(tests.keys() - chosen(tests, {}, CHEAP_S, 2.0))

    assert [left_out(8, 1.0), left_out(8, 1.1), left_out(7, 1.0)] == [0, 8, 7]


def test_places_are_those_of_tests_and_what_they_share() -> None:
    rows = {
        "a.py::test": Measured(1.0, frozenset({1, 2}), frozenset({"shared: x", "shared: unknown"})),
        "shared: x": Measured(1.0, frozenset({2, 3}), frozenset({"shared: y"})),
        "shared: y": Measured(1.0, frozenset({4})),
        "b.py::test": Measured(1.0, frozenset({9})),
    }
    assert [places([name], rows) for name in rows] == [4, 3, 1, 1]


def test_a_few_new_parts_are_not_worth_long_tests() -> None:
    tests = {
        "a.py::test_first": Measured(0.01),
        "a.py::test_five": Measured(2.0, frozenset(range(5))),
        "a.py::test_four": Measured(2.0, frozenset(range(10, 14))),
        "a.py::test_starts_a_process": Measured(9.0, frozenset(), frozenset(), True),
    }
    assert tests.keys() - chosen(tests, {}, CHEAP_S, 2.0) == {"a.py::test_four"}


def test_users_of_the_same_pay_the_same() -> None:
    """Also of what that uses itself."""
    of_build, of_both = frozenset({"shared: build"}), frozenset({"shared: build", "shared: host"})
    shared = {
        "shared: model": Measured(3.0),
        "shared: build": Measured(6.0, frozenset(), frozenset({"shared: model"})),
        "shared: host": Measured(1.0),
    }
    tests = {
        "a.py::test_b": Measured(0.5, frozenset(), of_build),
        "a.py::test_c": Measured(0.0, frozenset(), of_build),
        "a.py::test_d": Measured(0.25, frozenset(), of_both),
        "a.py::test_e": Measured(0.125),
    }
    assert [*shares_s(tests, shared).values()] == [3.5, 3.0, 4.25, 0.125]


def test_files_come_before_functions_and_functions_before_cases() -> None:
    """The cheapest first; a fixture is paid once, and tests of CHEAP_S run in any case."""
    build = frozenset({"shared: build"})
    tests = {
        "a.py::test_b[0]": Measured(0.5, frozenset(), build),
        "a.py::test_b[1]": Measured(0.75, frozenset(), build),
        "a.py::test_c": Measured(2.0),
        "d.py::test_e": Measured(3.0),
        "d.py::test_f[0]": Measured(0.25),
        "g.py::test_h": Measured(9.0),
    }
    shared = {"shared: build": Measured(2.0)}
    in_order = [
        "d.py::test_f[0]",
        "a.py::test_b[0]",
        "g.py::test_h",
        "a.py::test_c",
        "d.py::test_e",
    ]
    for count, most_s in enumerate((0.0, 2.75, 11.75, 13.75, 16.75), 1):
        assert affordable(tests, shared, most_s) == {*in_order[:count]}
    assert affordable(tests, shared, 17.5) == tests.keys()


def test_marks_are_those_of_the_list() -> None:
    left_out, others = (
        ["a/b.py::test_c", "a/b.py::test_d[x]"],
        ["a/b.py::test_c[x]", "a/b.py::test_d"],
    )
    marked: list[str] = []
    of_pages = "a/b.py::test_page"
    items: list[Any] = [
        SimpleNamespace(
            nodeid=name,
            add_marker=lambda mark, name=name: marked.append(name),
            get_closest_marker=lambda mark, name=name: mark if name == of_pages else None,
        )
        for name in [*left_out, *others, of_pages]
    ]
    mark_slow(items, frozenset([*left_out, of_pages]))
    assert marked == left_out


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_list_names_tests_that_exist() -> None:
    """A file or function that is renamed loses its lines."""
    for test in read_deferred():
        file, *_, name = test.partition("[")[0].split("::")
        assert name in functions(file), test


TESTS = """
from functools import cache
import subprocess
import pytest
from myoedge.errors import MyoedgeError

@cache
def shared(code):
    return MyoedgeError(code, "")

@pytest.fixture(scope="module")
def wide():
    return str(MyoedgeError("E101", ""))

@pytest.mark.parametrize("case", [1, 2])
def test_wide(wide, case):
    pass

def test_nothing():
    pass

def test_cached():
    shared("E102")

def test_cached_again():
    shared("E102")

def test_starts_a_process():
    subprocess.run(["true"])
"""


def recorded(folder: Path, measures: str) -> tuple[dict[str, Measured], dict[str, Measured]]:
    """What the plugin records of TESTS."""
    (folder / "test_it.py").write_text(TESTS)
    (measured := folder / measures).mkdir()
    env = {**os.environ, "MEASURED": str(measured), "MEASURES": measures, "PYTHONPATH": str(ROOT)}
    plugins = ["-p", PLUGIN, "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, "test_it.py"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return read(measured)


def test_costs_alone_are_recorded_without_reach(tmp_path: Path) -> None:
    tests, shared = recorded(tmp_path, "costs")
    assert not any(row.parts for row in (*tests.values(), *shared.values()))
    assert all(0 <= cost < 60 for cost in shares_s(tests, shared).values())
    assert tests["test_it.py::test_cached"].uses & tests["test_it.py::test_cached_again"].uses


def test_a_run_records_what_tests_reach_and_share(tmp_path: Path) -> None:
    tests, shared = recorded(tmp_path, "reach")
    wide, again, nothing, cached, cached_again, process = tests.values()
    names = [test.removeprefix("test_it.py::") for test in tests]
    assert names[:3] == ["test_wide[1]", "test_wide[2]", "test_nothing"]
    (fixture,) = wide.uses & again.uses
    (result,) = cached.uses & cached_again.uses
    assert shared[fixture].parts
    assert shared[result].parts
    assert not nothing.uses
    assert not nothing.parts
    assert not cached_again.parts
    assert [row for row in tests.values() if row.is_opaque] == [process]
