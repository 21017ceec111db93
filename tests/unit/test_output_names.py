# SPDX-License-Identifier: Apache-2.0
"""Outputs have the names of dicts, dataclasses and named tuples that forward() returns."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.frontend.torch.export import from_exported
from myoedge.frontend.torch.load import load_exported
from tests.conftest import myoedge as command
from tests.support import attacks

X = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))


@dataclass
class Returned:
    """As HuggingFace's ModelOutput: what is None is left out."""

    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


torch.export.register_dataclass(Returned, serialized_type_name="not_installed.Returned")


class Named(NamedTuple):
    mean: Tensor
    variance: Tensor


class Returning(nn.Module):
    """A network whose result is made by a function of two tensors."""

    def __init__(self, result: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.wide, self.narrow, self.result = nn.Linear(8, 4), nn.Linear(8, 3), result

    def forward(self, x: Tensor) -> Any:
        return self.result(self.wide(x), self.narrow(x))


def exported(result: Callable[[Tensor, Tensor], Any]) -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    return torch.export.export(Returning(result).eval(), (X,))


RESULTS: dict[str, tuple[Callable[[Tensor, Tensor], Any], tuple[str, ...]]] = {
    "a tensor": (lambda h, g: h + 1, ("output",)),
    "a tuple": (lambda h, g: (h, g), ("output0", "output1")),
    "a list of one": (lambda h, g: [h], ("output",)),
    "tuples in tuples": (lambda h, g: (h, (g, h)), ("output0", "output1", "output2")),
    "a dict": (lambda h, g: {"logits": h, "aux": g}, ("logits", "aux")),
    "a dict of one": (lambda h, g: {"logits": h}, ("logits",)),
    "numbers as keys": (lambda h, g: {3: h, 1: g}, ("output0", "output1")),
    "an ordered dict": (lambda h, g: OrderedDict(b=h, a=g), ("b", "a")),
    "containers in a dict": (
        lambda h, g: {"y": {"deep": h, "pair": (g, h)}, "z": [g]},
        ("y_deep", "y_pair_0", "y_pair_1", "z_0"),
    ),
    "a dict in a tuple": (lambda h, g: (h, {"hidden": g}), ("output0", "output1_hidden")),
    "a dataclass": (
        lambda h, g: Returned(h, hidden_states=(g, h)),
        ("logits", "hidden_states_0", "hidden_states_1"),
    ),
    "a named tuple": (lambda h, g: Named(h, g), ("mean", "variance")),
    "None": (lambda h, g: (h, None), ("output",)),
    "None in a dict": (lambda h, g: {"loss": None, "logits": h, "aux": g}, ("logits", "aux")),
    "one result twice": (lambda h, g: {"first": h, "second": h}, ("first", "second")),
    "names that files cannot hold": (
        lambda h, g: {"a/b": h, "a b": g, "for": h + 1, "1st": g + 1},
        ("a_b", "a_b_1", "for_", "_1st"),
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_names(name: str) -> None:
    result, names = RESULTS[name]
    program = exported(result)
    graph = from_exported(program)
    assert graph.output_names == names
    with torch.no_grad():
        wanted = torch.utils._pytree.tree_leaves(program.module()(X))
    shapes = [tuple(y.shape) for y in wanted if y is not None]
    assert [graph.tensors[output].shape for output in graph.outputs] == shapes


def spec_of(kind: str, context: Any, children: list[Any]) -> dict[str, Any]:
    return {"type": kind, "context": json.dumps(context), "children_spec": children}


LEAF = {"type": None, "context": None, "children_spec": []}
PAIR = spec_of("builtins.tuple", None, [LEAF, LEAF])
SPECS = {  # as HuggingFace's and torch's registrations write them
    "ModelOutput": spec_of("not_installed.Output", ["logits", "hidden"], [LEAF, PAIR]),
    "dataclass": spec_of("not_installed.Output", [["logits", "hidden"], ["loss"]], [LEAF, PAIR]),
    "below a tuple": spec_of(
        "builtins.dict",
        ["all"],
        [spec_of("not_installed.Output", ["logits", "hidden"], [LEAF, PAIR])],
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_archives_of_classes_that_are_not_installed(name: str, tmp_path: Path) -> None:
    def change(tree: Any) -> None:
        entry = tree["graph_module"]["module_call_graph"][0]
        entry["signature"]["out_spec"] = json.dumps([1, SPECS[name]])

    torch.export.save(exported(lambda h, g: (h, (g, h + 1))), tmp_path / "plain.pt2")
    content = attacks.edited(attacks.members(tmp_path / "plain.pt2"), attacks.MODEL, change)
    graph = from_exported(load_exported(attacks.pack(tmp_path / "m.pt2", content)))
    above = "all_" if name == "below a tuple" else ""
    assert graph.output_names == tuple(
        f"{above}{key}" for key in ("logits", "hidden_0", "hidden_1")
    )


def test_keys_with_quotes_are_made_names(tmp_path: Path) -> None:
    """They never reach torch, which would put them between quotes in source."""
    keys = ("it's", 'the "second"', "it_s", "__import__('os')")
    result = exported(lambda h, g: dict(zip(keys, (h, g, h + 1, g + 1), strict=True)))
    torch.export.save(result, tmp_path / "m.pt2")
    names = from_exported(load_exported(tmp_path / "m.pt2")).output_names
    assert names == ("it_s", "the_second_", "it_s_1", "_import_os_")


def test_names_go_through_a_build(tmp_path: Path) -> None:
    """An output has the name of the input, and one tensor is two outputs."""

    def result(h: Tensor, g: Tensor) -> Any:
        return {"x": h, "returned": Returned(g.relu(), hidden_states=(h, g))}

    program = exported(result)
    torch.export.save(program, tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    build = myoedge.build(tmp_path / "m.pt2", calib=calib, output=tmp_path / "out")
    names = ["x", "returned_logits", "returned_hidden_states_0", "returned_hidden_states_1"]
    assert [port["name"] for port in build.report["outputs"]] == names
    header = (build.folder / "src" / f"{build.prefix}.h").read_text()
    assert all(f"/* out[{i}]: {name}, " in header for i, name in enumerate(names))
    with np.load(build.folder / "golden" / "output.npz") as golden:
        assert {*names} <= {*golden.files}
    assert "returned_logits" in command("report", build.folder, cwd=tmp_path).out
    found = build.run(calib[0])
    with torch.no_grad():
        leaves = torch.utils._pytree.tree_leaves(program.module()(torch.from_numpy(calib[:1])))
    for y, wanted in zip(found, leaves, strict=True):
        np.testing.assert_allclose(np.ravel(y), wanted.numpy().ravel(), atol=0.1)
    np.testing.assert_array_equal(found[0], found[2])
    assert myoedge.validate(build, on="host,simulator").exact["host"]
