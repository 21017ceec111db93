# SPDX-License-Identifier: Apache-2.0
"""`build` and `quantize` have the fields of their record as arguments, and check their types."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

import myoedge
from myoedge.building.options import BuildOptions, QuantizeOptions
from myoedge.errors import MyoedgeError

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
