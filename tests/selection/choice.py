# SPDX-License-Identifier: Apache-2.0
"""Which tests `make test` runs: the cheap ones, and of the others what reaches something new."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CHEAP_S = 0.25  # CPU seconds of a test that runs in any case
TABLE_ROWS, ROW_S = 8, 1.0  # cases of a test that is a table, and CPU seconds of one that runs
LEAST_RATE = 2.0  # new parts a CPU second, below which a test is left out
TESTS_S = 500.0  # CPU seconds of all: five minutes on two cores, but for the processes' start


@dataclass(frozen=True, slots=True)
class Measured:
    """A test, or what several tests share, as it was recorded.

    cpu_s      CPU seconds of its own
    parts      parts of the product that it reaches
    uses       names of what it shares with other tests
    is_opaque  whether it reaches more than is known, in C or processes of its own
    """

    cpu_s: float
    parts: frozenset[int] = frozenset()
    uses: frozenset[str] = frozenset()
    is_opaque: bool = False


class Choice:
    """Tests are chosen one by one; each also pays for what it shares, unless an earlier one did."""

    def __init__(self, tests: Mapping[str, Measured], shared: Mapping[str, Measured]) -> None:
        self.tests, self.shared = tests, shared
        self.paid, self.chosen, self.reached = set[str](), list[str](), set[int]()

    def unpaid(self, test: str) -> set[str]:
        found, pending = set[str](), [*self.tests[test].uses]
        while pending:
            name = pending.pop()
            if name not in found and name not in self.paid and name in self.shared:
                found.add(name)
                pending += self.shared[name].uses
        return found

    def cost_s(self, test: str) -> float:
        """CPU seconds that the run takes longer with this test."""
        return self.tests[test].cpu_s + sum(self.shared[x].cpu_s for x in self.unpaid(test))

    def new_parts(self, test: str) -> int:
        parts = (self.shared[name].parts for name in self.unpaid(test))
        return len(self.tests[test].parts.union(*parts) - self.reached)

    def take(self, test: str) -> None:
        unpaid = self.unpaid(test)
        self.reached.update(self.tests[test].parts, *(self.shared[x].parts for x in unpaid))
        self.paid |= unpaid
        self.chosen.append(test)

    def take_cheap(self, cheap_s: float) -> None:
        left = self.tests.keys() - {*self.chosen}
        while taken := [test for test in sorted(left) if self.cost_s(test) <= cheap_s]:
            for test in taken:
                self.take(test)
            left -= {*taken}

    def take_what_is_new(self, least_rate: float) -> None:
        """Take whatever reaches most new parts a second, as long as that is more than a rate."""
        rates = [(-self.rate(test), test) for test in self.tests.keys() - {*self.chosen}]
        heapq.heapify(rates)
        while rates:
            _, test = heapq.heappop(rates)
            rate = self.rate(test)
            if rate <= least_rate:
                continue
            if rates and rate < -rates[0][0]:  # others may have more now
                heapq.heappush(rates, (-rate, test))
            else:
                self.take(test)

    def rate(self, test: str) -> float:
        return self.new_parts(test) / max(self.cost_s(test), 1e-3)


def chosen(
    tests: Mapping[str, Measured],
    shared: Mapping[str, Measured],
    cheap_s: float = CHEAP_S,
    least_rate: float = LEAST_RATE,
) -> set[str]:
    """Return the tests of `make test`.

    These are tests of at most `cheap_s`, opaque ones, rows of tables of at most ROW_S, and the
    cheapest of each file; then those that reach most new parts a second, until no other test
    reaches more than `least_rate`; then tests that share with these and add at most `cheap_s`.
    A row of a table of the product may be data, which no branch shows.
    """
    choice = Choice(tests, shared)
    choice.take_cheap(cheap_s)
    rows = rows_of_tables(tests)
    for test in sorted(tests.keys() - {*choice.chosen}):
        if tests[test].is_opaque or (test in rows and choice.cost_s(test) <= ROW_S):
            choice.take(test)
    for test in cheapest_of_files(choice, tests.keys() - {*choice.chosen}):
        choice.take(test)
    choice.take_what_is_new(least_rate)
    choice.take_cheap(cheap_s)
    return {*choice.chosen}


def shares_s(tests: Mapping[str, Measured], shared: Mapping[str, Measured]) -> dict[str, float]:
    """CPU seconds by test; all tests that use the same pay the same for it."""
    choice = Choice(tests, shared)
    uses = {test: choice.unpaid(test) for test in tests}
    users = Counter(name for used in uses.values() for name in used)
    shares = {name: shared[name].cpu_s / count for name, count in users.items()}
    return {test: row.cpu_s + sum(shares[x] for x in uses[test]) for test, row in tests.items()}


def affordable(
    tests: Mapping[str, Measured], shared: Mapping[str, Measured], most_s: float = TESTS_S
) -> set[str]:
    """Return the tests that run: those of at most CHEAP_S with their share of what they use, then,
    as long as all take at most `most_s` CPU seconds, the cheapest test of each file, the cheapest
    case of each other function, and further cases, the cheapest first.
    """
    choice, costs = Choice(tests, shared), shares_s(tests, shared)
    files, cases, order = set[str](), Counter[str](), []
    for cost, test in sorted((cost, test) for test, cost in costs.items()):
        function, file = test.partition("[")[0], file_of(test)
        rank = 0 if file not in files else 1 + cases[function]
        files.add(file)
        cases[function] += 1
        order.append((-1 if cost <= CHEAP_S else rank, cost, test))
    spent_s = 0.0
    for rank, _, test in sorted(order):
        cost_s = choice.cost_s(test)
        if rank < 0 or spent_s + cost_s <= most_s:
            choice.take(test)
            spent_s += cost_s
    return {*choice.chosen}


def cheapest_of_files(choice: Choice, left: Iterable[str]) -> list[str]:
    """Return the cheapest test of each file of which none is chosen."""
    with_one = {file_of(test) for test in choice.chosen}
    best: dict[str, tuple[float, str]] = {}
    for test in left:
        file, cost = file_of(test), (choice.cost_s(test), test)
        if file not in with_one:
            best[file] = min(cost, best.get(file, cost))
    return sorted(test for _, test in best.values())


def rows_of_tables(tests: Iterable[str]) -> set[str]:
    """Return the cases of tests with at least TABLE_ROWS cases."""
    tests = [*tests]
    count = Counter(test.partition("[")[0] for test in tests)
    return {test for test in tests if count[test.partition("[")[0]] >= TABLE_ROWS}


def file_of(test: str) -> str:
    return test.split("::")[0]
