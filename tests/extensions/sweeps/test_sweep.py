# SPDX-License-Identifier: Apache-2.0
"""The file of a sweep, keys of its tasks, Pareto fronts, comparisons, processes."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from myoedge.building.config import from_tables
from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps import executors as engines
from myoedge.extensions.sweeps.executors import on_cluster, on_processes
from myoedge.extensions.sweeps.page import (
    ACCURACY,
    LATENCY,
    MEMORY,
    SQNR,
    pareto,
    plot,
    round_step,
    sweep_html,
)
from myoedge.extensions.sweeps.results import (
    COLUMNS,
    keep,
    kept,
    raise_worse,
    raise_wrong,
    read_table,
    regressions,
    table_csv,
    table_json,
)
from myoedge.extensions.sweeps.settings import Bounds, read_sweep
from myoedge.extensions.sweeps.table import best_in_budgets, hidden, printed, said
from myoedge.extensions.sweeps.tasks import Task, tasks, toml_lines, with_files
from myoedge.reports.tables import show
from tests.conftest import ROOT
from tests.extensions.sweeps import sweep_work
from tests.support.each import each

ONE = '[[model]]\npath = "m.pt2"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.pt2").write_bytes(b"a model")
    (tmp_path / "c.npz").write_bytes(b"samples")
    return tmp_path


def found(folder: Path, text: str, depends: str = "") -> tuple[Task, ...]:
    (folder / "s.toml").write_text(text)
    return tasks(read_sweep(folder / "s.toml"), folder, depends)


# --- the file -------------------------------------------------------------------------------------


def test_every_combination_in_order(folder: Path) -> None:
    text = (
        'operating_points = ["low", "high"]\n'
        + ONE
        + '[[model]]\npath = "m.pt2"\nname = "again"\n'
        + '[[budget]]\nl1 = "64KiB"\n[[options]]\nname = "a"\n[[options]]\nname = "b"\n'
    )
    names = [task.name for task in found(folder, text)]
    assert names == [
        f"{model} / l1 64KiB / {options} / {point}"
        for model in ("m", "again")
        for options in ("a", "b")
        for point in ("low", "high")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model = 3",
        "[[model]]\n",
        ONE + "[[model]]\npath = 'm.pt2'",
        ONE + "colour = 1",
        ONE + "[bounds]\nspeed = 1",
        ONE + "[bounds]\nlatency = nan",
        ONE + "[[budget]]\nl1 = true",
        ONE + "[[options]]\nmethod = 'magic'",
        ONE + "[[options]]\nquant = { a = { weights = 'none' } }",
        "operating_points = []\n" + ONE,
        "operating_points = ['low', 'low']\n" + ONE,
        "simulate = 2024-01-01\n" + ONE,
        "[[model",
    ],
)
def test_files_that_describe_no_sweep(folder: Path, text: str) -> None:
    with pytest.raises(MyoedgeError) as raised:
        found(folder, text)
    assert raised.value.code == "E260"


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("path = 'elsewhere.pt2'", "E101"),
        ("path = '.'", "E102"),
        ("path = 'm.pt2'\ncalib = 'none.npz'", "E210"),
    ],
)
def test_a_file_that_is_not_there_has_the_code_that_it_has_in_build(
    folder: Path, model: str, code: str
) -> None:
    with pytest.raises(MyoedgeError) as raised:
        found(folder, f"[[model]]\n{model}")
    assert raised.value.code == code


def test_a_chip_without_operating_points_has_results_too(folder: Path) -> None:
    (task,) = found(folder, "target = 'host'\n" + ONE)
    assert (task.name, task.chosen["operating_point"]) == ("m / free / default", None)
    (task,) = found(folder, ONE)
    assert task.labels["operating_point"] == task.chosen["operating_point"] == "high"
    with pytest.raises(MyoedgeError) as raised:
        found(folder, "target = 'gap10'\n" + ONE)
    assert raised.value.code == "E201"


@pytest.mark.parametrize(
    "budget",
    ['latency = "fast"', "latency = 20", "l1 = 1.5", 'energy = "3"', 'l2 = "1 acre"', "sqnr = nan"],
)
def test_budgets_that_are_none(folder: Path, budget: str) -> None:
    with pytest.raises(MyoedgeError) as raised:
        found(folder, ONE + f"[[budget]]\n{budget}")
    assert raised.value.code == "E232"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as raised:
        read_sweep(tmp_path / "none.toml")
    assert raised.value.code == "E260"


# --- tasks ----------------------------------------------------------------------------------------


def test_a_key_says_all_that_a_result_depends_on(folder: Path) -> None:
    def keys(text: str, depends: str = "") -> set[str]:
        return {task.key for task in found(folder, text, depends)}

    base = keys(ONE)
    assert keys(ONE) == base
    others = [
        keys("simulate = false\n" + ONE),
        keys("target = 'host'\n" + ONE),
        keys("operating_points = ['low']\n" + ONE),
        keys(ONE + "calib = 'c.npz'\n"),
        keys(ONE + "calib = 'random'\n"),
        keys(ONE + "[[budget]]\nl1 = '64KiB'"),
        keys(ONE + "[[options]]\nsamples = 3"),
        keys(ONE + "[[options]]\nquant = { a = { method = 'mse' } }"),
        keys(ONE, "other coefficients"),
    ]
    (folder / "m.pt2").write_bytes(b"another model")
    others.append(keys(ONE))
    assert len(set.union(base, *others)) == 1 + len(others)


def test_bounds_are_no_part_of_a_result(folder: Path) -> None:
    assert found(folder, ONE)[0].key == found(folder, ONE + "[bounds]\nlatency = 0.5")[0].key


def test_toml_of_a_task_is_read_back(folder: Path) -> None:
    text = (
        ONE
        + '[[budget]]\nl1 = "64KiB"\nl2 = 5000\nsqnr = 12.5\nenergy = "1 µJ"\n'
        + "[[options]]\nquant = { 'head.\"x\"' = { weights = 'per_tensor', method = 'mse' } }"
    )
    task = found(folder, text)[0]
    tables = tomllib.loads("\n".join(toml_lines(task.toml)))
    config = from_tables(tables, "myoedge.toml")
    assert (config.budget.l1, config.budget.l2, config.budget.energy) == ("64KiB", 5000, "1 µJ")
    assert config.budget.sqnr == 12.5
    assert {k: asdict(rule) for k, rule in config.quant.items()} == task.toml["quant"]


def test_files_travel_along(folder: Path) -> None:
    task = with_files(found(folder, ONE + "calib = 'c.npz'")[0])
    assert task.calib is not None
    assert (task.model.content, task.calib.content) == (b"a model", b"samples")
    assert pickle.loads(pickle.dumps(task)) == task


# --- results --------------------------------------------------------------------------------------


def row(**figures: Any) -> dict[str, Any]:
    labels = {"model": "m", "budget": "free", "options": "a", "operating_point": "high"}
    base = {**dict.fromkeys(COLUMNS), "key": "k", **labels, "status": "ok"}
    known = {"latency_s": 1e-3, "energy_uj": 50.0, "sqnr_db": 30.0, "l2_bytes": 1000}
    same = {"cycles_source": "simulated", "coefficients": "published"}
    return {**base, **known, **same, **figures}


def test_a_result_is_whole_or_not_there(folder: Path) -> None:
    task = found(folder, ONE)[0]
    assert kept(folder, task) is None
    keep(folder, row(key=task.key))
    assert kept(folder, task) == row(key=task.key)
    file = folder / "runs" / f"{task.key}.json"
    for damaged in (
        "",
        file.read_text()[:-20],
        "[]",
        '{"key": "another"}',
        f'{{"key": "{task.key}"}}',
    ):
        file.write_text(damaged)
        assert kept(folder, task) is None, damaged


def test_tables(tmp_path: Path) -> None:
    rows = [row(), row(status="refused", code="E302", latency_s=None)]
    (tmp_path / "sweep.json").write_text(table_json(rows))
    assert read_table(tmp_path) == read_table(tmp_path / "sweep.json") == rows
    lines = table_csv(rows).splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert len(lines) == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "x", "results": []}', None])
def test_what_is_no_sweep(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(MyoedgeError) as raised:
        read_table(tmp_path)
    assert raised.value.code == "E261"


# --- against an earlier sweep ---------------------------------------------------------------------


@each(
    ("figures", "worse"),
    [
        ({}, []),
        ({"latency_s": 1.02e-3}, []),
        ({"latency_s": 1.021e-3}, ["latency_s"]),
        ({"latency_s": 0.5e-3, "energy_uj": 51.1}, ["energy_uj"]),
        ({"l2_bytes": 1001}, ["l2_bytes"]),
        ({"sqnr_db": 29.5}, []),
        ({"sqnr_db": 29.4}, ["sqnr_db"]),
        ({"sqnr_db": None}, ["sqnr_db"]),
        ({"latency_s": 9.0, "cycles_source": "modelled"}, []),
        ({"energy_uj": 99.0, "coefficients": "calibrated"}, []),
        ({"status": "refused", "code": "E302"}, ["result"]),
        ({"status": "differs"}, ["result"]),
        ({"model": "another"}, ["result"]),
    ],
)
def test_what_is_worse(figures: dict[str, Any], worse: list[str]) -> None:
    found = regressions([row()], [row(**figures)], Bounds())
    assert [r.what for r in found] == worse
    if worse:
        with pytest.raises(MyoedgeError) as raised:
            raise_worse(found)
        assert (raised.value.code, raised.value.exit_code) == ("E305", 3)
        assert raised.value.notice.facts[0][1] == "\n".join(f"{r.name}: {r.change}" for r in found)
    else:
        raise_worse(found)


def test_regressions_have_units() -> None:
    old = row(l1_bytes=2048, accuracy_int8=0.9, rmse_int8=0.5, evaluated_on="test")
    worse = {"latency_s": 1.5e-3, "energy_uj": 75.0, "l1_bytes": 4096, "l2_bytes": None}
    new = {**old, **worse, "sqnr_db": 27.0, "accuracy_int8": 0.8, "rmse_int8": 0.6}
    found = regressions([old], [new], Bounds(latency=0.02, sqnr_db=0.5))
    assert [(r.change, r.allowed) for r in found][:1] == [
        ("latency 1 ms -> 1.5 ms (+50.0 %)", "2 % more")
    ]
    assert [r.change for r in found[1:]] == [
        "energy 50 \u00b5J -> 75 \u00b5J (+50.0 %)",
        "L1 2 KiB -> 4 KiB (+100.0 %)",
        "L2 1000 B -> \u2013",
        "SQNR 30.0 dB -> 27.0 dB",
        "accuracy 90.0 % -> 80.0 %",
        "RMSE 0.5 -> 0.6 (+20.0 %)",
    ]
    assert found[4].allowed == "0.5 dB less"
    html = sweep_html([new], found)
    assert "1 ms -&gt; 1.5 ms (+50.0 %); allowed 2 % more" in html


def test_bounds_are_the_users(folder: Path) -> None:
    slower = [row(latency_s=1.5e-3)]
    assert regressions([row()], slower, Bounds(latency=0.4))
    assert not regressions([row()], slower, Bounds(latency=0.6))
    assert not regressions([row(status="refused")], [row(status="refused")], Bounds())


# --- plots ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_the_front_by_another_way(points: list[tuple[int, int]]) -> None:
    """Sorted by the first figure, the front is where the second falls below all before it."""
    front, best = set(), None
    for x, y in sorted(points):
        if best is None or y < best:
            front.add((x, y))
            best = y
    marked = {p for p, on in zip(points, pareto(points), strict=True) if on}
    assert marked == front


def test_the_page_shows_all_and_escapes_names() -> None:
    rows = [
        row(),
        row(model="<b>", latency_s=2e-3),
        row(options="b", status="refused", code="E302"),
    ]
    html = sweep_html(rows, regressions([row()], [], Bounds()))
    assert "&lt;b&gt;" in html
    assert "<b> /" not in html
    assert html.count("<circle") == 2 * 5
    for text in ("E302", "Worse than before", "1 ms", "30.0 dB", "polyline"):
        assert text in html
    assert "<script" not in html


# --- the table, and names in plots


FIGURES = st.lists(
    st.tuples(
        st.sampled_from(["free", "tight"]), st.sampled_from(["ok", "refused"]),
        st.integers(1, 5), st.sampled_from([12.0, 20.0, 30.0]),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@given(FIGURES)
def test_the_best_within_a_budget_by_another_way(
    figures: list[tuple[str, str, int, float]],
) -> None:
    """One that nothing else of its budget is better than, if the budget has two results or more,
    refused ones included."""
    keys = ("budget", "status", "energy_uj", "sqnr_db")
    rows = [row(**dict(zip(keys, values, strict=True))) for values in figures]
    marked = best_in_budgets(rows)
    for budget in ("free", "tight"):
        able = [i for i, f in enumerate(figures) if f[:2] == (budget, "ok") and f[3] >= 20]
        chosen = [i for i, on in enumerate(marked) if on and figures[i][0] == budget]
        tried = [f for f in figures if f[0] == budget]
        assert len(chosen) == (len(able) > 0 and len(tried) > 1)
        for i in chosen:
            assert i in able
            assert all(figures[i][2] <= figures[other][2] for other in able)


def test_the_only_result_within_a_budget_is_the_best() -> None:
    over = row(options="b", status="refused", code="E302")
    weak = row(options="c", sqnr_db=12.0)
    assert best_in_budgets([row(), over]) == [True, False]
    assert best_in_budgets([weak, row()]) == [False, True]
    assert best_in_budgets([row()]) == [False]


def test_accuracy_and_errors_are_plotted() -> None:
    rows = [
        row(accuracy_int8=0.9, rmse_int8=0.5),
        row(options="b", accuracy_int8=0.95, rmse_int8=0.4),
    ]
    html = sweep_html(rows, [])
    for title in ("accuracy", "RMSE"):
        for cost in ("latency", "energy", "data in L2"):
            assert f"{title} against {cost}" in html
    assert "accuracy against" not in sweep_html([row(), row(options="b")], [])
    shown = plot(rows, LATENCY, ACCURACY)
    assert shown is not None
    assert "92.0 %" in [text for _, text in shown.y_ticks]


def test_the_printed_table_is_aligned_and_names_what_differs() -> None:
    rows = [
        row(model="a", energy_low_uj=40.0, energy_high_uj=60.0),
        row(model="a long name [red]", latency_s=12e-3, energy_uj=30.0, sqnr_db=8.0),
        row(model="b", energy_uj=45.0),
        row(model="c", status="refused", code="E302", title="over budget: latency", latency_s=None),
    ]
    console = Console(width=100, file=io.StringIO(), no_color=True, markup=False)
    show(printed(rows, 100), console)
    head, *lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert head.split() == ["model", "latency", "energy", "L2", "SQNR"]
    assert [line.split()[0] for line in lines] == ["a", "a", "b", "c"]
    ends = {line.index("ms") + 2 for line in lines[:3]}
    assert ends == {head.index("latency") + len("latency")}
    assert [line.endswith("best") for line in lines] == [False, False, True, False]
    assert "[red]" in lines[1]
    assert lines[3].endswith("E302")
    assert [*said(rows)][-1] == "E302: over budget: latency"
    narrow = Console(width=56, file=io.StringIO(), no_color=True)
    show(printed(rows, 56), narrow)
    head, *lines = narrow.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert head.split() == ["model", "latency", "energy"]
    assert len(lines) == len(rows)
    assert hidden(rows, 56) == ["not shown: L2, SQNR: in sweep.csv and sweep.html"]
    assert hidden(rows, 100) == []


def test_what_has_no_accuracy_is_not_the_best_of_those_that_have_one() -> None:
    unjudged = row(model="b", energy_uj=10.0)
    judged = row(model="a", energy_uj=20.0, accuracy_int8=1.0)
    assert best_in_budgets([judged, unjudged]) == [True, False]
    assert best_in_budgets([unjudged, unjudged | {"energy_uj": 9.0}]) == [False, True]


def test_what_a_warning_makes_useless_is_shown_and_never_the_best() -> None:
    remedy = "[[model]] classes = []"
    wrong = {"code": "W209", "title": "no better than chance", "facts": [], "tries": [remedy]}
    small = {"code": "W202", "title": "accuracy not measured", "facts": [], "tries": []}
    rows = [
        row(options="wrong", energy_uj=1.0, warnings=[small, wrong]),
        row(options="sound", energy_uj=2.0, warnings=[small]),
    ]
    assert best_in_budgets(rows) == [False, True]
    assert best_in_budgets(rows[:1] * 2) == [False, False]
    console = Console(width=60, file=io.StringIO(), no_color=True)
    show(printed(rows, 60), console)
    _, first, second = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.split()[-2:] == ["W202", "W209"]
    assert second.split()[-2:] == ["W202", "best"]
    told = f"W209, never best: no better than chance; try: {remedy}"
    assert {told, "W202: accuracy not measured"} <= {*said(rows)}
    html = sweep_html(rows, [])
    assert '<td class="left">W202 W209</td>' in html
    assert "W209, never best: no better than chance" in html
    assert "warnings" not in sweep_html([row()], [])
    assert table_csv(rows).splitlines()[1].endswith(",W202 W209")


def test_the_best_is_not_less_accurate() -> None:
    rows = [
        row(options="small", energy_uj=10.0, accuracy_int8=0.80),
        row(options="good", energy_uj=20.0, accuracy_int8=0.945),
        row(options="dear", energy_uj=30.0, accuracy_int8=0.95),
        row(options="blind", energy_uj=9.0, accuracy_int8=0.0),
    ]
    assert best_in_budgets(rows) == [False, True, False, False]
    console = Console(width=100, file=io.StringIO(), no_color=True, markup=False)
    show(printed(rows, 100), console)
    assert " 0.0 %" in console.file.getvalue(), "no accuracy is one too"  # type: ignore[attr-defined]


def test_points_have_names_that_cover_nothing_and_colours_of_models() -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(model=f"m{i % 3}", options=f"o{i}", latency_s=rng.uniform(), energy_uj=rng.uniform())
        for i in range(30)
    ]
    shown = plot(rows, LATENCY, SQNR)
    assert shown is not None
    names = [dot.name for dot in shown.dots if dot.name]
    assert len(names) > 5
    boxes = [name.box for name in names]
    boxes += [(dot.x - 5, dot.y - 5, dot.x + 5, dot.y + 5) for dot in shown.dots]
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(boxes[: len(names)], 2):
        assert c <= e or g <= a or d <= f or h <= b
    assert {dot.title[:2]: dot.model for dot in shown.dots} == {"m0": 0, "m1": 1, "m2": 2}
    html = sweep_html(rows, [])
    assert '<div class="panel scroll">\n    <table class="sticky">' in html, "names stay on phones"
    assert html.count('class="key m') == 3
    assert "m0 o0" in html


# --- processes ------------------------------------------------------------------------------------


def many(folder: Path, count: int) -> tuple[Task, ...]:
    options = "".join(f'[[options]]\nname = "o{i}"\n' for i in range(count))
    return found(folder, ONE + options)


def test_errors_cross_processes_whole() -> None:
    error = MyoedgeError("E501", "title", {"a": 1}, ["try"])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.notice, str(again)) == (MyoedgeError, error.notice, str(error))


def test_results_come_from_other_processes_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = folder / "log"
    monkeypatch.setenv(sweep_work.LOG, str(log))
    work = many(folder, 5)
    results = list(on_processes(work, 2, sweep_work.logged))
    assert sorted(r["key"] for r in results) == sorted(t.key for t in work)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(key for what, _, key in lines if what == "end") == sorted(t.key for t in work)
    assert str(os.getpid()) not in {pid for _, pid, _ in lines}


def test_a_script_that_calls_is_not_run_again(folder: Path) -> None:
    """Without `if __name__ == "__main__":`, which a process that imported it would need."""
    script = folder / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from myoedge.extensions.sweeps.executors import on_processes\n"
        "from myoedge.extensions.sweeps.tasks import tasks\n"
        "from myoedge.extensions.sweeps.settings import read_sweep\n"
        "from tests.extensions.sweeps.sweep_work import named\n"
        "print('ran')\n"
        f"work = tasks(read_sweep(Path({str(folder / 's.toml')!r})), Path({str(folder)!r}), '')\n"
        "print(list(on_processes(work, 1, named)))\n"
    )
    (folder / "s.toml").write_text(ONE)
    ran = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout.count("ran"), "'key'" in ran.stdout) == (0, 1, True), ran


@pytest.mark.parametrize(("do", "code"), [(sweep_work.fails, "E501"), (sweep_work.dies, "E503")])
def test_what_is_no_result_ends_the_sweep(folder: Path, do: Any, code: str) -> None:
    with pytest.raises(MyoedgeError) as raised:
        list(on_processes(many(folder, 2), 1, do))
    assert raised.value.code == code


def test_no_scheduler_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "CONNECT_S", 0.3)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "tcp://127.0.0.1:99999999"):
        with pytest.raises(MyoedgeError) as raised:
            list(on_cluster(many(folder, 1), address))
        assert raised.value.code == "E503", address


@pytest.mark.slow
def test_a_worker_of_a_cluster_is_killed_in_the_middle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and nothing that was finished is computed twice."""
    import distributed

    log = folder / "log"
    log.touch()
    monkeypatch.setenv(sweep_work.LOG, str(log))
    work = many(folder, 16)
    quiet = {"dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster:
        results, victim = [], None
        for result in on_cluster(work, cluster.scheduler_address, sweep_work.logged):
            results.append(result)
            if len(results) == 4:
                victim = busy_process(log)
                os.kill(victim, 9)
    lines = [line.split() for line in log.read_text().splitlines()]
    ends = [key for what, _, key in lines if what == "end"]
    begins = [key for what, _, key in lines if what == "begin"]
    assert sorted(r["key"] for r in results) == sorted(t.key for t in work), "nothing is lost"
    assert sorted(ends) == sorted(t.key for t in work), "nothing is finished twice"
    assert len(begins) == len(ends) + 1, "the task at hand was begun again"
    assert len({pid for what, pid, _ in lines if what == "end"}) >= 2


def busy_process(log: Path) -> int:
    """Of a worker that is in the middle of a task."""
    while True:
        lines = [line.split() for line in log.read_text().splitlines()]
        last = {pid: what for what, pid, _ in lines}
        busy = [pid for pid, what in last.items() if what == "begin"]
        if busy:
            return int(busy[-1])


# --- what ends with which code --------------------------------------------------------------------


def rows_of(*states: str) -> list[dict[str, Any]]:
    labels = ("model", "budget", "options", "operating_point")
    about = {"code": "E302", "title": "over budget"}
    return [
        {**dict.fromkeys(labels, str(n)), "status": state, **about}
        for n, state in enumerate(states)
    ]


def test_results_that_are_in_order_beside_refused_ones_are_no_error() -> None:
    raise_wrong(rows_of("ok", "refused"))


@pytest.mark.parametrize(
    ("states", "code", "exit_code"),
    [
        (("refused",), "E307", 3),
        (("refused",) * 20, "E307", 3),
        (("ok", "differs"), "E401", 4),
        (("refused", "differs"), "E401", 4),
    ],
)
def test_nothing_in_order_or_other_outputs_are(
    states: tuple[str, ...], code: str, exit_code: int
) -> None:
    with pytest.raises(MyoedgeError) as raised:
        raise_wrong(rows_of(*states))
    assert (raised.value.code, raised.value.exit_code) == (code, exit_code)
    assert len(str(raised.value).splitlines()) < 14


# --- plots ----------------------------------------------------------------------------------------


@given(st.floats(1e-12, 1e12))
def test_ticks_are_at_round_steps(least: float) -> None:
    step = round_step(least)
    assert least * (1 - 1e-9) <= step <= 2.5 * least
    assert f"{step:.0e}"[0] in "125"


def test_a_plot_of_equal_figures_has_them_in_its_middle_and_the_best_on_top() -> None:
    rows = [row(sqnr_db=db, latency_s=1e-3) for db in (40.0, 20.0, 30.0)]
    shown = plot(rows, LATENCY, SQNR)
    assert shown is not None
    middle = (shown.left + shown.width - 16) / 2
    assert [dot.x for dot in shown.dots] == [pytest.approx(middle)] * 3
    assert [dot.on_front for dot in shown.dots] == [False, False, True]
    assert all("dB" in text for _, text in shown.y_ticks)
    heights = [at for at, _ in shown.y_ticks]
    assert len(heights) >= 3
    assert heights == sorted(heights, reverse=True)
    assert [text for _, text in shown.y_ticks] == [
        "20.0 dB",
        "25.0 dB",
        "30.0 dB",
        "35.0 dB",
        "40.0 dB",
    ]


def test_ticks_of_memory_are_round_in_its_unit() -> None:
    shown = plot([row(l2_bytes=b * 1024) for b in (100, 400)], LATENCY, MEMORY)
    assert shown is not None
    assert [text for _, text in shown.y_ticks] == ["100 KiB", "200 KiB", "300 KiB", "400 KiB"]
