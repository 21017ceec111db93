# SPDX-License-Identifier: Apache-2.0
"""Records what networks become and take, and compares a run of changed code with such a record.

python -m tests.regression.record --models DIR --out FILE       the record; layers in it
python -m tests.regression.record --models DIR --against FILE   what has changed since
    --only PATTERN   networks whose name has this regular expression in it
    --jobs N         processes
    --full FILE      the record with the cycles of each layer
    --no-simulate    integers and hashes of src/ alone, in a few minutes; `cycles` stay as recorded
DIR keeps models and samples: what is there already is built from, and not made anew.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.regression.networks import Entry, networks
from tests.regression.run import Found, run

RECORDED = Path(__file__).resolve().parents[1] / "fixtures" / "regression.json"
KEPT_EVERY = 4  # networks
INTEGERS = ("integers", "border")
BUILT = ("graph", "src")  # of which there are hashes for every engine
HEAD = f"{'network':<36}{'integers':>9}{'outputs':>9}{'cycles':>9}{'estimate':>9}  remarks"
Record = dict[str, Found]
Tables = Callable[[], Mapping[str, Entry]]


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A network of a table that a process of its own finds by its name."""

    table: Tables
    name: str
    models: Path
    seconds: float | None = None
    simulate: bool = True

    def __call__(self) -> Found:
        entry = self.table()[self.name]
        return run(entry, self.models, self.seconds, simulate=self.simulate)


def _timed(task: Task) -> tuple[str, Found, float]:
    began = time.monotonic()
    try:
        found = task()
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"[:200]}
    return task.name, found, time.monotonic() - began


def _each(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[str, Found]]:
    """As they end."""
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=20) as pool:
        ended = pool.imap_unordered(_timed, tasks)
        for count, (name, found, seconds) in enumerate(ended, 1):
            said = found.get("error") or f"{found.get('cycles', found['estimate']):,} cycles"
            print(f"{count}/{len(tasks)} {name}: {said}, {seconds:.1f} s", flush=True)
            yield name, found


def recorded(tasks: Sequence[Task], jobs: int, keep: Callable[[Record], None]) -> Record:
    """All of them; what there is up to then is kept now and then."""
    record: Record = {}
    for count, (name, found) in enumerate(_each(tasks, jobs), 1):
        record[name] = found
        if count % KEPT_EVERY == 0:
            keep(record)
    keep(record)
    return dict(sorted(record.items()))


def chosen(table: Tables, only: str) -> list[str]:
    return [name for name in table() if re.search(only, name)]


# --- comparing ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A network now and as it is recorded; ratios are None where there is nothing to divide."""

    name: str
    new: Found
    old: Found

    def same(self, *keys: str) -> bool:
        return all(self.new.get(key) == self.old.get(key) for key in keys)

    def ratio(self, key: str) -> float | None:
        new, old = self.new.get(key), self.old.get(key)
        return new / old if new and old else None

    @property
    def integers(self) -> bool:
        return self.same(*INTEGERS)

    @property
    def outputs(self) -> bool:
        exact = ("exact",) if "exact" in self.new else ()  # of what has run
        return self.same("outputs", "error", *exact)

    @property
    def sound(self) -> bool:
        return self.integers and self.outputs

    @property
    def unlike(self) -> list[str]:
        """What both builds have and differs: "cores graph", "auto src"."""
        new, old = self.new.get("built", {}), self.old.get("built", {})
        parts = [(f"{engine} {part}", engine, i) for engine in new for i, part in enumerate(BUILT)]
        return [name for name, e, i in parts if e in old and new[e][i] != old[e][i]]

    def remarks(self) -> Iterator[str]:
        if not self.same("error"):
            yield f"{self.old.get('error', 'built')} -> {self.new.get('error', 'built')}"
        yield from (f"{part} differs" for part in self.unlike)
        for key in ("inside", "warnings", "untiled", "l2_peak_bytes", "l3_bytes"):
            if not self.same(key):
                yield f"{key} differs" if key == "inside" else self._of(key)

    def _of(self, key: str) -> str:
        return f"{key} {self.old.get(key)} -> {self.new.get(key)}"

    def line(self) -> str:
        words = ["equal" if same else "DIFFER" for same in (self.integers, self.outputs)]
        ratios = [f"{r:.4f}" if r else "" for r in map(self.ratio, ("cycles", "estimate"))]
        cells = "".join(f"{cell:>9}" for cell in (*words, *ratios))
        return f"{self.name:<36}{cells}  {'; '.join(self.remarks())}".rstrip()


def changes(new: Mapping[str, Found], old: Mapping[str, Found]) -> list[Change]:
    return [Change(name, found, old.get(name, {})) for name, found in new.items()]


def mean_ratio(found: Iterable[Change], key: str = "cycles") -> float:
    """The geometric mean."""
    logs = [math.log(ratio) for change in found if (ratio := change.ratio(key))]
    return math.exp(sum(logs) / len(logs)) if logs else 1.0


def compared(new: Mapping[str, Found], old: Mapping[str, Found], *, hashes: bool = False) -> int:
    """Prints the table -> the exit code: 1 where integers or outputs differ.

    hashes   or what is built for any engine
    """
    found = changes(new, old)
    print("\n".join([HEAD, *(change.line() for change in found)]))
    means = [mean_ratio(found, key) for key in ("cycles", "estimate")]
    print(f"{'geometric mean':<54}" + "".join(f"{mean:>9.5f}" for mean in means))
    return int(not all(change.sound and not (hashes and change.unlike) for change in found))


# --- command line ---------------------------------------------------------------------------------


def without_layers(record: Record) -> Record:
    return {
        name: {k: v for k, v in found.items() if k != "layers"} for name, found in record.items()
    }


def text(record: Record) -> str:
    """JSON with a network a line."""
    rows = (f" {json.dumps(name)}: {json.dumps(found)}" for name, found in record.items())
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _merged(record: Record, path: Path, only: str) -> Record:
    """With the networks of an earlier record that were not chosen."""
    earlier = json.loads(path.read_text()) if only and path.exists() else {}
    return dict(sorted({**earlier, **record}.items()))


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser()
    found.add_argument("--only", default="")
    found.add_argument("--jobs", type=int, default=2)
    found.add_argument("--no-simulate", dest="simulate", action="store_false")
    for name in ("--out", "--full", "--against", "--models"):
        found.add_argument(name, type=Path)
    return found


def written(record: Record, given: argparse.Namespace) -> None:
    if given.full:
        given.full.write_text(text(_merged(record, given.full, given.only)))
    if given.out:
        given.out.write_text(text(_merged(without_layers(record), given.out, given.only)))


def main(table: Tables = networks, seconds: float | None = None) -> int:
    given = parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = given.models or Path(folder)
        names = chosen(table, given.only)
        tasks = [Task(table, name, models, seconds, given.simulate) for name in names]
        record = recorded(tasks, given.jobs, lambda found: written(found, given))
    if not given.against:
        return 0
    return compared(record, json.loads(given.against.read_text()), hashes=not given.simulate)


if __name__ == "__main__":
    sys.exit(main())
