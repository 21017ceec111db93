# SPDX-License-Identifier: Apache-2.0
"""Mistakes in import rows, of the package or of a plug-in: each is told with file and line."""

from __future__ import annotations

import sys

import pytest
import torch

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch import calls, static_shapes
from myoedge.frontend.torch.export import from_exported
from myoedge.frontend.torch.static_shapes import arguments_of_call
from myoedge.operators import api
from myoedge.operators.import_rows import aten_names, import_rows, torch_row
from tests.support.networks.small import Function

ATAN2 = Function(lambda x: torch.atan2(x, x.exp()))
RAISING = {  # what a row of the package itself does -> what is told of it
    "lambda b, a, out: 1 // 0": "ZeroDivisionError",
    "lambda b, a, out: a['self'].shape": "AttributeError",
    "lambda b, a, out: b.shape('nothing')": "KeyError",
    "lambda b, a, out: out[7]": "IndexError",
    "lambda b, a, out: undefined": "NameError",
    "lambda b, a, out: b.add('add')": "",  # told by the builder
}


@pytest.mark.parametrize("function", RAISING)
def test_a_row_that_raises_names_its_file_and_line(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no bug of myoedge (E900) where an author's row fails; a refusal stays one."""
    line = sys._getframe().f_lineno + 1
    row = api.ImportRow("atan2", eval(function), "atan2")
    call = torch_row(row)
    monkeypatch.setattr(calls, "IMPORT", {**calls.IMPORT, "aten.atan2.default": call})
    with pytest.raises(MyoedgeError) as caught:
        from_exported(torch.export.export(ATAN2, (torch.ones(2),)))
    notice = caught.value.notice
    assert notice.code == "E257"
    assert dict(notice.facts)["row"] == f"unit/test_import_rows.py:{line}"
    assert RAISING[function] in dict(notice.facts)["cause"]
    assert f"row at unit/test_import_rows.py:{line}" in notice.tries[0]


@pytest.mark.parametrize(("name", "overload"), [("atan2.Tensor", ""), ("lerp.Scalars", ".Scalar")])
def test_a_row_of_an_overload_that_torch_lacks_is_told(
    name: str, overload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the right one is called, also one that is spelled out instead; the try imports it."""
    functions = {"atan2": ATAN2, "lerp": Function(lambda x: torch.lerp(x, x.exp(), 0.5))}
    operator = name.partition(".")[0]
    target = f"aten.{operator}{overload or '.default'}"

    def rows(aten: str) -> None:
        row = api.import_row("atan2", f"{aten}(self, {second})")
        monkeypatch.setattr(static_shapes, "import_rows", lambda: [row])
        known = dict.fromkeys(aten_names(aten), torch_row(row))
        others = {x: y for x, y in calls.IMPORT.items() if x != target}
        monkeypatch.setattr(calls, "IMPORT", {**others, **known})

    second = "other" if operator == "atan2" else "end"
    program = torch.export.export(functions[operator], (torch.ones(2),))
    rows(name)
    with pytest.raises(MyoedgeError, match="there is no such overload") as caught:
        from_exported(program)
    (told,) = caught.value.notice.tries
    assert dict(caught.value.notice.facts)["needs"] == target
    if operator == "atan2":  # of lerp, the row reads no weight
        rows(told.split('"')[1])
        assert "atan2" in {node.op for node in from_exported(program).nodes}


# spelled out by every version of torch, or a call of an older one
UNKNOWN = {"softsign", "tanhshrink", "_adaptive_avg_pool1d"}


def test_torch_has_the_overload_of_every_row() -> None:
    rows = [(name, row.place) for row in import_rows() for name in aten_names(row.aten)]
    lacking = {name: place for name, place in rows if arguments_of_call(name) is None}
    assert {name.split(".")[1] for name in lacking} <= UNKNOWN, lacking
    assert len(rows) > 300


def test_an_operator_of_onnx_without_a_bracket_has_the_arguments_of_torch() -> None:
    torchs = "lab::dead_zone(x, *, threshold, gain: factor)"
    row = api.import_row(
        "add", torchs, "lab.DeadZone; lab.Dead(x, *, threshold=0.5, factor: g = 1.0)"
    )
    assert aten_names(row.aten) == ["lab.dead_zone.default"]
    assert row.onnx.split("; ") == [
        "lab.DeadZone(x, *, threshold, factor)",
        "lab.Dead(x, *, threshold=0.5, factor: g = 1.0)",
    ]
