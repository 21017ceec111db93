# SPDX-License-Identifier: Apache-2.0
"""The table of stages: names and types of their values, and the loop that runs them."""

from __future__ import annotations

import ast
import contextlib
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from myoedge.building import pipeline, stages
from myoedge.building.config_tables import Config
from myoedge.building.model_inputs import ModelInputs
from myoedge.building.pipeline_options import Options
from myoedge.building.stages import QUANTIZE_STAGES, Stage, run, timed

GIVEN: dict[str, Any] = {
    "options": Options,
    "inputs": ModelInputs,
    "settings": Config,
    "inputs_key": str | None,
}
MOST_IMPORTS = 15


def leaves(table: tuple[Stage, ...]) -> Iterator[Stage]:
    for stage in table:
        yield from leaves(stage.function) if isinstance(stage.function, tuple) else (stage,)


def without_none(kind: Any) -> Any:
    kinds = [x for x in get_args(kind) if x is not type(None)]
    return kinds[0] if len(kinds) < len(get_args(kind)) else kind


def checked(table: tuple[Stage, ...], known: dict[str, Any]) -> dict[str, Any]:
    """Names and types of all values of a table, whose stages read what earlier ones made."""
    known = dict(known)
    for stage in table:
        assert {*stage.inputs, *stage.key, *filter(None, [stage.needs])} <= {*known}, stage.name
        if isinstance(stage.function, tuple):
            inside = checked(stage.function, {name: known[name] for name in stage.inputs})
            made: tuple[Any, ...] = tuple(inside[name] for name in stage.outputs)
        else:
            hints = get_type_hints(stage.function)
            returned = hints.pop("return")
            assert (*hints,) == stage.inputs, "arguments are named as the values"
            for name, kind in hints.items():
                given = without_none(known[name]) if name == stage.needs else known[name]
                assert kind == given, (stage.name, name)
            made = get_args(returned) if get_origin(returned) is tuple else (returned,)
        known |= zip(stage.outputs, made, strict=True)
    return known


def test_stages_read_what_earlier_stages_make() -> None:
    made = checked(pipeline.PIPELINE, GIVEN)
    assert {"model", "samples", "integers", "evaluation"} <= {*made}


def test_names_are_those_of_the_progress() -> None:
    assert tuple(stage.name for stage in leaves(pipeline.PIPELINE)) == QUANTIZE_STAGES


def test_the_pipeline_knows_few_modules() -> None:
    tree = ast.parse(Path(inspect.getfile(pipeline)).read_text())
    found = {x.module for x in ast.walk(tree) if isinstance(x, ast.ImportFrom)}
    assert len({x for x in found if x and x.startswith("myoedge")}) <= MOST_IMPORTS


def test_stages_that_fail_or_come_again_count() -> None:
    times_s = dict[str, float]()
    for fails in (True, False, True):
        with contextlib.suppress(ZeroDivisionError), timed("emit", times_s, str):
            time.sleep(0.02)
            assert 1 // (not fails)
    assert list(times_s) == ["emit"]
    assert 0.06 <= times_s["emit"] < 1.0


def test_the_loop_hands_values_on() -> None:
    said, times_s = list[str](), dict[str, float]()
    table = (
        Stage("split", ("x",), ("low", "high"), lambda x: (x % 10, x // 10)),
        Stage("left out", ("low",), ("nothing",), refuse, needs="absent"),
        Stage(
            "both",
            ("low", "high"),
            ("sum", "product"),
            (
                Stage("add", ("low", "high"), ("sum",), lambda low, high: low + high),
                Stage("multiply", ("high", "low"), ("product",), lambda high, low: (high, low)),
            ),
        ),
    )
    made = run(table, {"x": 47, "absent": None}, times_s, said.append)
    assert made == {
        "x": 47,
        "absent": None,
        "low": 7,
        "high": 4,
        "nothing": None,
        "sum": 11,
        "product": (4, 7),
    }
    assert said == [*times_s] == ["split", "add", "multiply"]


def refuse(*arguments: Any) -> Any:
    raise AssertionError("computed")


@pytest.mark.parametrize("value", [3, None])
def test_a_key_of_values_alone_caches(
    value: int | None, another_cache: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal values of `key` give the first result; None is computed anew."""
    another_cache()
    monkeypatch.delenv(stages.SWITCH)
    made = []
    for x in (1, 2):
        table = (
            Stage("count", ("x",), ("y",), (Stage("inner", ("x",), ("y",), lambda x: x),), ("k",)),
        )
        made.append(run(table, {"x": x, "k": value}, {}, lambda text: None)["y"])
    assert made == ([1, 1] if value else [1, 2])
