# SPDX-License-Identifier: Apache-2.0
"""Archives are loaded in less time than torch takes, and as torch loads them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
import torch
from torch import nn

from myoedge.frontend.torch.deserialize import once_for_all


class Various(nn.Module):
    """Calls with numbers, lists, types, several results and none; an LSTM; a view of a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 4, batch_first=True)
        self.conv = nn.Conv1d(4, 6, 3, padding=1, bias=False)
        self.register_buffer("scale", torch.arange(6.0).reshape(2, 3).T[1:])

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        states, (last, _) = self.lstm(x)
        y = self.conv(states.transpose(1, 2))[:, ::2]
        a, b = y.split([1, 2], dim=1)
        picked = x[:, :, 1:3].to(torch.float16).float() * self.scale
        chosen = torch.where(ids > 1, a.sum(), b.mean(dim=(1, 2)))
        return {"picked": picked, "chosen": chosen, "last": last.clamp(min=-0.5)}


@pytest.fixture(scope="module")
def archive() -> bytes:
    given = (torch.randn(1, 2, 6), torch.tensor([1, 2]))
    saved = io.BytesIO()
    torch.export.save(torch.export.export(Various().eval(), given), saved)
    return saved.getvalue()


def described(value: Any) -> Any:
    """All that torch records of tensors without values."""
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    layout = (value.shape, value.stride(), value.storage_offset())
    return type(value), layout, value.dtype, value.device, value.requires_grad


def test_a_program_is_what_torch_loads(archive: bytes) -> None:
    plain = torch.export.load(io.BytesIO(archive))
    with once_for_all():
        found = torch.export.load(io.BytesIO(archive))
    assert str(found.graph) == str(plain.graph)
    assert found.graph_signature == plain.graph_signature
    for ours, theirs in zip(found.graph.nodes, plain.graph.nodes, strict=True):
        assert described(ours.meta.get("val")) == described(theirs.meta.get("val"))
        assert ours.meta.keys() == theirs.meta.keys()
    values = [
        n.meta["val"] for n in found.graph.nodes if isinstance(n.meta.get("val"), torch.Tensor)
    ]
    assert len({id(x) for x in values}) == len(values) > 10
    given = (torch.randn(1, 2, 6), torch.tensor([0, 2]))
    for name, value in plain.module()(*given).items():
        torch.testing.assert_close(found.module()(*given)[name], value, rtol=0, atol=0)


def test_schema_objects_are_what_torch_makes_of_json(archive: bytes) -> None:
    from torch._export.serde import schema, serialize

    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        name = next(n for n in members.namelist() if n.endswith("models/model.json"))
        data = json.loads(members.read(name))
    before = serialize._dict_to_dataclass
    plain = before(schema.ExportedProgram, data)
    with once_for_all():
        found = serialize._dict_to_dataclass(schema.ExportedProgram, data)
    assert serialize._dict_to_dataclass is before
    assert found == plain
    assert found.graph_module.graph.nodes[0].inputs[0].arg.type is not None


@pytest.mark.parametrize("broken", [{}, {"as_int": 1, "as_expr": {}}, {"as_what": 1}, 3])
def test_json_that_is_no_schema_is_an_error(broken: Any) -> None:
    from torch._export.serde import schema, serialize

    with once_for_all(), pytest.raises((ValueError, KeyError, AttributeError)):
        serialize._dict_to_dataclass(schema.SymInt, broken)
