# SPDX-License-Identifier: Apache-2.0
"""Every option of `build` and `quantize` is an argument; values of any type give a result or an
error with a code."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.building import options as records
from myoedge.building.config import Found
from myoedge.building.config_tables import Config
from myoedge.building.options import CLASSES, KINDS, OWN_MESSAGES, BuildOptions, QuantizeOptions
from myoedge.errors import MyoedgeError
from myoedge.quantization.samples import Given
from myoedge.quantization.scales import QuantGraph

# --- arguments ------------------------------------------------------------------------------------


VERBS: dict[Any, type] = {myoedge.build: BuildOptions, myoedge.quantize: QuantizeOptions}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_a_verb_has_the_fields_of_its_record(verb: Any) -> None:
    found = inspect.signature(verb).parameters
    assert {*found} == {field.name for field in fields(VERBS[verb])}
    assert all(f"\n{name}" in verb.__doc__ for name in ("model", "accurate", "say", "reuse"))


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"build\(\) .*'calibration'; did you mean 'calib'"):
        myoedge.build("m.onnx", calibration="c.npz")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"quantize\(\) .*'target'"):
        myoedge.quantize("m.onnx", target="gap9")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("option", "value"),
    [("stream", "no"), ("simulate", "yes"), ("accurate", 1), ("samples", "100"), ("holdout", "0")],
)
def test_a_value_of_another_type_is_refused(option: str, value: Any) -> None:
    with pytest.raises(MyoedgeError, match=option) as caught:
        myoedge.build("m.onnx", **{option: value})
    assert caught.value.code == "E203"
    assert repr(value) in str(caught.value)


# --- types ----------------------------------------------------------------------------------------


RECORDS: dict[str, Any] = {"build": BuildOptions, "quantize": QuantizeOptions}
OPTIONS = [(verb, f.name) for verb, record in RECORDS.items() for f in fields(record)]
LATER = {"Build": Build, "Config": Config, "Found": Found, "Given": Given, "QuantGraph": QuantGraph}


def rows() -> Iterator[Any]:
    yield np.zeros((4, 4), np.float32)


VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "int": lambda: 3,
    "large": lambda: 10**30,
    "float": lambda: 2.5,
    "nan": lambda: float("nan"),
    "bool": lambda: True,
    "text": lambda: "zz",
    "no text": lambda: "",
    "zero byte": lambda: "a\0b",
    "bytes": lambda: b"zz",
    "Path": lambda: Path("zz"),
    "numpy int": lambda: np.int64(3),
    "numpy float": lambda: np.float32(2.5),
    "numpy bool": lambda: np.True_,
    "numpy text": lambda: np.str_("zz"),
    "array": lambda: np.zeros(3),
    "no array": lambda: np.array(None),
    "list": lambda: [1],
    "tuple": lambda: ("a",),
    "dict": lambda: {"a": 1},
    "set": lambda: {1},
    "generator": rows,
    "function": lambda: rows,
    "class": lambda: int,
    "object": object,
}


@functools.cache
def hints(verb: str) -> dict[str, Any]:
    return get_type_hints(RECORDS[verb], vars(records), LATER)


def allowed(verb: str, name: str, value: Any) -> bool:
    """Whether the annotation of an option has the class of a value, as Python resolves it."""
    kinds = getattr(hints(verb)[name], "__args__", None) or (hints(verb)[name],)
    return isinstance(value, tuple(kind for kind in kinds if isinstance(kind, type)))


@pytest.mark.parametrize(("verb", "name"), OPTIONS)
def test_a_value_of_any_type_is_a_result_or_has_a_code(
    verb: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text, make in VALUES.items():
        value = make()
        with pytest.raises(MyoedgeError) as caught:  # the model is not there
            getattr(myoedge, verb)(**{"model": "no.onnx", "calib": "random", name: value})
        refused = caught.value.code == "E203" and "of another type" in str(caught.value)
        is_checked = name not in ("say", "progress", *OWN_MESSAGES)
        numeric = text.startswith(("numpy", "large", "nan")) or type(value) is bool
        if is_checked and not numeric and text != "zero byte":
            whole = {int: "float", bool: ""}.get(type(value), "")
            known = allowed(verb, name, value) or (whole and allowed(verb, name, 0.5))
            assert refused != bool(known), (name, text, str(caught.value))
        if refused:
            assert f"{name} is of" in str(caught.value)
            assert repr(value)[:20] in str(caught.value)


@pytest.mark.parametrize("verb", RECORDS)
def test_every_type_of_an_option_has_a_name(verb: str) -> None:
    found = {
        part.strip().partition("[")[0]
        for f in fields(RECORDS[verb])
        if f.name not in OWN_MESSAGES
        for part in str(f.type).split("|")
    }
    named = {*KINDS, *CLASSES}
    assert {part for part in found if not part.endswith("]")} <= named
