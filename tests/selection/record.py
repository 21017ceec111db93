# SPDX-License-Identifier: Apache-2.0
"""Choose the tests of `make test` anew, from what each costs and reaches.

python -m tests.selection.record    runs all tests that are not marked slow in the source, with
                                    coverage.py, and writes deferred.txt: an hour on two cores
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

from tests.selection.choice import Measured, chosen, file_of
from tests.selection.deferred import DEFERRED

SHARED = "shared: "
PLUGIN = "tests.selection.reached"
ROOT = Path(__file__).resolve().parents[2]


def run_tests(folder: Path, jobs: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-n", jobs, "-m", "not slow"]
    env = {**os.environ, "REACHED": str(folder), "OMP_NUM_THREADS": "1"}
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


def seconds_by_folder(tests: Mapping[str, Measured]) -> Counter[str]:
    found = Counter[str]()
    for test, row in tests.items():
        found[str(Path(file_of(test)).parent)] += row.cpu_s
    return found


def places(names: Iterable[str], rows: Mapping[str, Measured]) -> int:
    """How many parts these reach with what they share."""
    pending, found = [*names], set[str]()
    while pending:
        if (name := pending.pop()) in rows and name not in found:
            found.add(name)
            pending += rows[name].uses
    return len(frozenset[int]().union(*(rows[name].parts for name in found)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="auto", help="processes")
    parser.add_argument("--measured", type=Path, help="folder with the files of an earlier run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.measured or Path(scratch)
        if not options.measured:
            run_tests(folder, options.jobs)
        tests, shared = read(folder)
    taken = chosen(tests, shared)
    left_out = sorted(tests.keys() - taken)
    DEFERRED.write_text("".join(f"{test}\n" for test in left_out), encoding="utf-8")
    before = seconds_by_folder(tests)
    after = seconds_by_folder({test: tests[test] for test in taken})
    for name in before:
        print(f"{name:35} {before[name]:8.1f} {after[name]:8.1f} CPU s")
    rows = {**tests, **shared}
    print(
        f"{len(taken)} of {len(tests)} tests, which reach {places(taken, rows)} of "
        f"{places(tests, rows)} places"
    )


if __name__ == "__main__":
    main()
