# SPDX-License-Identifier: Apache-2.0
"""Choose the tests of `make test` anew, from what each costs and reaches; writes deferred.txt.

python -m tests.selection.record            runs all tests that are not marked slow in the source,
                                            with coverage.py, for what they reach: an hour on two
                                            cores; then those that are left, for their costs
python -m tests.selection.record --costs    runs the tests of `make test` for their costs alone, and
                                            leaves out what they have no time for
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.selection.choice import Measured, affordable, chosen, file_of, shares_s
from tests.selection.deferred import DEFERRED, read_deferred

SHARED = "shared: "
PLUGIN = "tests.selection.reached"
ROOT = Path(__file__).resolve().parents[2]


def run_tests(measures: str, folder: Path, jobs: str) -> None:
    """Run what is not slow; PLUGIN writes "reach" or "costs" to the folder.

    Compiled C is part of the cost, as in a clean clone: the cache is empty at the start.
    """
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-n", jobs, "-m", "not slow"]
    env = {**os.environ, "MEASURED": str(folder), "MEASURES": measures, "OMP_NUM_THREADS": "1"}
    env["MYOEDGE_CACHE"] = str(folder / "cache")
    subprocess.run([*command, "--dist", "worksteal"], cwd=ROOT, env=env, check=True)


def measured(folder: Path) -> Iterator[tuple[str, Measured]]:
    """(name, what was measured) of all processes of a run."""
    for file in sorted(folder.glob("rows.*.jsonl")):
        numbers = array("Q")
        numbers.frombytes(
            file.with_name(file.name.replace("rows", "parts")[:-5] + "bin").read_bytes()
        )
        at = 0
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            parts = frozenset(numbers[at : at + row["parts"]])
            at += row["parts"]
            uses, is_opaque = frozenset(row["uses"]), row["is_opaque"]
            yield row["name"], Measured(row["cpu_s"], parts, uses, is_opaque)


def of_several(one: Measured, other: Measured) -> Measured:
    """What two processes made of the same."""
    cpu_s = min(one.cpu_s, other.cpu_s)
    is_opaque = one.is_opaque or other.is_opaque
    return Measured(cpu_s, one.parts | other.parts, one.uses | other.uses, is_opaque)


def read(folder: Path) -> tuple[dict[str, Measured], dict[str, Measured]]:
    """(tests, what they share)."""
    found: dict[str, Measured] = {}
    for name, row in measured(folder):
        found[name] = of_several(found[name], row) if name in found else row
    shared = {name: row for name, row in found.items() if name.startswith(SHARED)}
    return {name: row for name, row in found.items() if name not in shared}, shared


def print_seconds(costs: Mapping[str, float], taken: set[str]) -> None:
    """Print CPU seconds of all tests and of those taken, by folder and in all."""
    before, after = Counter[str](), Counter[str]()
    for test, cost in costs.items():
        for name in (str(Path(file_of(test)).parent), "all"):
            before[name] += cost
            after[name] += cost * (test in taken)
    for name, cost in before.items():
        print(f"{name:35} {cost:8.1f} {after[name]:8.1f} CPU s")


def places(names: Iterable[str], rows: Mapping[str, Measured]) -> int:
    """How many parts these reach with what they share."""
    pending, found = [*names], set[str]()
    while pending:
        if (name := pending.pop()) in rows and name not in found:
            found.add(name)
            pending += rows[name].uses
    return len(frozenset[int]().union(*(rows[name].parts for name in found)))


def leave_out(tests: Iterable[str]) -> None:
    DEFERRED.write_text("".join(f"{test}\n" for test in sorted(tests)), encoding="utf-8")


def choose_by_reach(folder: Path) -> None:
    tests, shared = read(folder)
    taken = chosen(tests, shared)
    leave_out(tests.keys() - taken)
    print_seconds({test: row.cpu_s for test, row in tests.items()}, taken)
    rows = {**tests, **shared}
    print(
        f"{len(taken)} of {len(tests)} tests, which reach {places(taken, rows)} of "
        f"{places(tests, rows)} places"
    )


def choose_by_cost(folder: Path) -> None:
    tests, shared = read(folder)
    costs, taken = shares_s(tests, shared), affordable(tests, shared)
    leave_out(read_deferred() | costs.keys() - taken)
    print_seconds(costs, taken)
    print(f"{len(taken)} of {len(costs)} tests")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="auto", help="processes")
    parser.add_argument("--costs", action="store_true", help="by their costs alone")
    options = parser.parse_args()
    chosen_by = {"reach": choose_by_reach, "costs": choose_by_cost}
    for measures in ("costs",) if options.costs else ("reach", "costs"):
        with tempfile.TemporaryDirectory() as folder:
            run_tests(measures, Path(folder), options.jobs)
            chosen_by[measures](Path(folder))


if __name__ == "__main__":
    main()
