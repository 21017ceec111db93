# SPDX-License-Identifier: Apache-2.0
"""Campaign over drawn networks and faults, hostile files, edited builds, kills: make fuzz.

Each case follows from its kind and seed alone; a few share a process. A line of JSON a case is
added to the journal; the next run goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz import edits, files, kills, networks, playbacks, sensors, uses

Case = Callable[[int, Path], dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """Cases of one kind; `prepare` makes what all of them start from, `count` is a campaign's."""

    run: Case
    prepare: Callable[[], object]
    count: int


KINDS: Mapping[str, Kind] = {
    "networks": Kind(networks.run, networks.warm, 2000),
    "uses": Kind(uses.run, networks.warm, 1000),
    "files": Kind(files.run, files.corpus, 2000),
    "edits": Kind(edits.run, edits.builds, 1000),
    "kills": Kind(kills.run, kills.sound, 300),
    "sensors": Kind(sensors.run, sensors.prepare, 1000),
    "playbacks": Kind(playbacks.run, playbacks.prepare, 200),
}
LONGEST_S = 600.0  # of a case, on a machine that does other things too
BATCH = 10  # cases of a fork, which costs half a second beside torch
MOST_MEMORY_BYTES = 24 << 30
GOOD = ("exact", "refused", "read", "harmless", "same bytes")


def isolated(case: Case, seeds: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Outcomes of cases in a fork of this process: a crash, a hang or a lack of memory is one, and
    the next case begins in a new fork."""
    left, context = deque(seeds), multiprocessing.get_context("fork")
    while left:
        receives, sends = context.Pipe(duplex=False)
        process = context.Process(target=_in_fork, args=(case, tuple(left), sends))
        process.start()
        sends.close()
        ended = False
        while left and not ended:
            began = time.perf_counter()
            found = _received(receives)
            ended = found["outcome"] in ("hang", "crash")
            yield {"seed": left.popleft(), **found, "seconds": _seconds_since(began)}
        process.kill()
        process.join()


def _received(receives: Connection) -> dict[str, Any]:
    try:
        found: dict[str, Any] = receives.recv() if receives.poll(LONGEST_S) else {"outcome": "hang"}
        return found
    except EOFError:
        return {"outcome": "crash"}


def _seconds_since(began: float) -> float:
    return round(time.perf_counter() - began, 2)


def _in_fork(case: Case, seeds: tuple[int, ...], sends: Connection) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, most))
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        for seed in seeds:
            sends.send(_outcome(case, seed))
        os._exit(0)  # what a library does at exit is none of the case


def _outcome(case: Case, seed: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        return case(seed, folder)
    except Exception:
        return {"outcome": "traceback", "detail": traceback.format_exc()[-2000:]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def known(journal: Path) -> list[dict[str, Any]]:
    """Cases of earlier runs; a line that a kill has cut off is none."""
    if not journal.exists():
        return []
    rows = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def pending(
    counts: Mapping[str, int], rows: list[dict[str, Any]], first: int = 0
) -> Iterator[tuple[str, list[int]]]:
    """Kinds and seeds that are not in the journal, kinds in turn by the share that is done."""
    done = {(row["kind"], row["seed"]) for row in rows}
    total = -(-max(counts.values(), default=0) // BATCH)
    for step in range(total):
        for kind, count in counts.items():
            share = range(first + step * count // total, first + (step + 1) * count // total)
            if seeds := [seed for seed in share if (kind, seed) not in done]:
                yield kind, seeds


def campaign(
    counts: Mapping[str, int], journal: Path, minutes: float | None, first: int = 0
) -> int:
    """Runs what is pending. -> number of cases in the journal that are not in order."""
    rows, end = known(journal), None if minutes is None else time.monotonic() + 60 * minutes
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as written:
        written.write("\n" if rows else "")  # behind a line that a kill has cut off
        for kind, seeds in pending(counts, rows, first):
            if end is not None and time.monotonic() > end:
                break
            KINDS[kind].prepare()  # once, before the first fork
            for found in isolated(KINDS[kind].run, seeds):
                row = {"kind": kind, **found}
                rows.append(row)
                written.write(json.dumps(row, default=str) + "\n")
                written.flush()
                if row["outcome"] not in GOOD:
                    print(json.dumps(row, default=str), flush=True)
    return _summary(rows, counts)


def _summary(rows: list[dict[str, Any]], counts: Mapping[str, int]) -> int:
    wrong = 0
    for kind in counts:
        found = [row for row in rows if row["kind"] == kind]
        outcomes = Counter(row["outcome"] for row in found)
        codes = Counter(row["code"] for row in found if row.get("code"))
        wrong += sum(n for outcome, n in outcomes.items() if outcome not in GOOD)
        print(f"{kind}: {len(found)} of {counts[kind]}", dict(outcomes), dict(codes.most_common(8)))
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in KINDS.items():
        parser.add_argument(f"--{name}", type=int, default=kind.count)
    parser.add_argument("--journal", type=Path, default=Path("build/fuzz.jsonl"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="of every kind")
    parser.add_argument("--case", nargs=2, metavar=("KIND", "SEED"), help="one case, printed")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["MYOEDGE_ENERGY"] = ""
    import torch

    torch.set_num_threads(1)
    if given.case:
        with tempfile.TemporaryDirectory() as folder:
            print(KINDS[given.case[0]].run(int(given.case[1]), Path(folder)))
        return
    counts = {kind: getattr(given, kind) for kind in KINDS}
    sys.exit(1 if campaign(counts, given.journal, given.minutes, given.first) else 0)


if __name__ == "__main__":
    main()
