# SPDX-License-Identifier: Apache-2.0
"""Archives whose graphs say of their calls what torch does not make of them are refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.frontend.torch.load import load_exported
from myoedge.passes import prepare
from tests.conftest import thinned
from tests.support.attacks import MODEL, WEIGHTS, Members, edited, members, pack

pytestmark = pytest.mark.filterwarnings("ignore")


class Net(nn.Module):
    """A little of what networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 6, 3, padding=1), nn.LayerNorm(6)
        self.inner, self.out = nn.Linear(6, 6), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).relu().permute(0, 2, 1)
        shares = (self.inner(y) @ y.transpose(1, 2) / 2.0).softmax(-1)
        z = self.norm(shares @ y)
        z = torch.cat([z[:, :4], z.flip(1)[:, 4:]], 1).movedim(1, 2)
        z = nn.functional.avg_pool1d(z, 2).unsqueeze(0).squeeze(0)
        return self.out(z.reshape(1, 24)).clamp(min=-3.0).chunk(1, 1)[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Members:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("plain") / "plain.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(1, 4, 8),)), path)
    return members(path)


def read(path: Path, content: Members) -> None:
    prepare(from_exported(load_exported(pack(path / "changed.pt2", content))))


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(list or object, index or name) of everything in it."""
    named = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(named):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places(value)


def changed(tree: Any, rng: random.Random) -> None:
    """A number or a text of the graph becomes another, or something is gone."""
    graph = tree["graph_module"]["graph"]
    leaves = [(at, key) for at, key in places(graph) if not isinstance(at[key], dict | list)]
    at, key = rng.choice(leaves)
    if rng.random() < 0.2:
        del at[key]
    elif isinstance(at[key], int) and rng.random() < 0.7:
        at[key] += rng.choice((-3, -2, -1, 1, 2, 5))
    else:
        at[key] = rng.choice((None, 0, 1, 2, -1, -2, 99, True, "x", "", 1.5, "conv1d", [], {}))


@pytest.mark.parametrize("ten", thinned(range(10), 3))
def test_changed_graphs_are_read_or_refused(ten: int, plain: Members, tmp_path: Path) -> None:
    codes = set()
    for seed in range(10 * ten, 10 * ten + 10):
        rng = random.Random(seed)
        try:
            read(tmp_path, edited(plain, MODEL, lambda tree, rng=rng: changed(tree, rng)))  # type: ignore[misc]
        except MyoedgeError as error:
            codes.add(error.code)
    assert codes <= {"E104", "E107", "E108", "E109", "E110", "E111", "E113"}


def node_of(tree: Any, target: str) -> Any:
    nodes = tree["graph_module"]["graph"]["nodes"]
    return next(node for node in nodes if f".{target}." in node["target"])


def keyword(tree: Any) -> None:
    node_of(tree, "permute")["inputs"][1]["kind"] = 2


def axis_twice(tree: Any) -> None:
    node_of(tree, "permute")["inputs"][1]["arg"]["as_ints"] = [0, 1, 1]


def axis_gone(tree: Any) -> None:
    node_of(tree, "permute")["inputs"][1]["arg"]["as_ints"].pop()


def axis_beyond(tree: Any) -> None:
    node_of(tree, "movedim")["inputs"][2]["arg"]["as_int"] = 5


def size(tree: Any) -> None:
    sizes = tree["graph_module"]["graph"]["tensor_values"]["permute"]["sizes"]
    sizes[1]["as_int"] = 7


def other_end(tree: Any) -> None:
    node_of(tree, "slice")["inputs"][3]["arg"]["as_int"] = 3


@pytest.mark.parametrize("change", [axis_twice, axis_gone, axis_beyond, size, other_end])
def test_a_call_that_torch_makes_something_else_of_is_named(
    change: Callable[[Any], None], plain: Members, tmp_path: Path
) -> None:
    with pytest.raises(MyoedgeError) as caught:
        read(tmp_path, edited(plain, MODEL, change))
    assert caught.value.code == "E109"
    assert "test_consistent.py:" in caught.value.notice.title
    assert {"cause", "needs"}.intersection(dict(caught.value.notice.facts))


def test_an_argument_under_its_name_is_the_same_argument(plain: Members, tmp_path: Path) -> None:
    read(tmp_path, edited(plain, MODEL, keyword))


def test_places_that_are_no_text_are_none(plain: Members, tmp_path: Path) -> None:
    def number(tree: Any) -> None:
        node_of(tree, "permute")["metadata"]["stack_trace"] = 2

    read(tmp_path, edited(plain, MODEL, number))


@pytest.mark.parametrize("dtype", [6, 8, 9, 12])  # half, double, complex half, bool
def test_weights_of_another_type_than_the_graph_says_are_refused(
    dtype: int, plain: Members, tmp_path: Path
) -> None:
    def other(tree: Any) -> None:
        tree["config"]["conv.weight"]["tensor_meta"]["dtype"] = dtype

    with pytest.raises(MyoedgeError) as caught:
        read(tmp_path, edited(plain, WEIGHTS, other))
    assert caught.value.code in ("E108", "E109")
