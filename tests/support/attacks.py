# SPDX-License-Identifier: Apache-2.0
"""Makes model files that run code in torch.export.load; each would write its own marker file."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

Members = dict[str, bytes]
MODEL = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Payload:
    """Writes a marker when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (source(self.marker),)


class Net(torch.nn.Module):
    """Small, with a parameter, a buffer and a lifted constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(2, 3, 3)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x))) + torch.tensor([0.5])


def source(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def saved(folder: Path, name: str = "plain.pt2", dynamic: bool = False) -> Path:
    """A harmless archive by torch.export.save."""
    torch.manual_seed(0)
    example = torch.randn(2 if dynamic else 1, 2, 12)
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if dynamic else None
    program = torch.export.export(Net().eval(), (example,), dynamic_shapes=shapes)
    path = folder / name
    torch.export.save(program, path)
    return path


def members(path: Path) -> Members:
    """What is in the archive, names without the top folder."""
    with zipfile.ZipFile(path) as archive:
        return {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}


def pack(path: Path, content: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(f"model/{name}", data)
    return path


def torch_pickle(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def edited(content: Members, member: str, change: Callable[[Any], None]) -> Members:
    tree = json.loads(content[member])
    change(tree)
    return {**content, member: json.dumps(tree).encode()}


def sample_inputs(content: Members, marker: Path) -> Members:
    return {**content, SAMPLES: torch_pickle(((Payload(marker),), {}))}


def old_sample_inputs(content: Members, marker: Path) -> Members:
    """The same in the pre-1.6 format, which is no zip."""
    data = torch_pickle(((Payload(marker),), {}), _use_new_zipfile_serialization=False)
    return {**content, SAMPLES: data}


def old_weights(content: Members, marker: Path) -> Members:
    """data/weights/model.pt, where torch 2.8 kept the weights."""
    return {**content, "data/weights/model.pt": torch_pickle({"conv.weight": Payload(marker)})}


def old_constants(content: Members, marker: Path) -> Members:
    return {**content, "data/constants/model.pt": torch_pickle({"c": Payload(marker)})}


def pickled_weight(content: Members, marker: Path) -> Members:
    def change(tree: Any) -> None:
        tree["config"]["conv.bias"]["use_pickle"] = True

    name = json.loads(content[WEIGHTS])["config"]["conv.bias"]["path_name"]
    data = {f"data/weights/{name}": torch_pickle(Payload(marker))}
    return edited({**content, **data}, WEIGHTS, change)


def pickled_constant(content: Members, marker: Path) -> Members:
    def change(tree: Any) -> None:
        tree["config"]["lifted_tensor_0"]["use_pickle"] = True

    data = {"data/constants/tensor_0": torch_pickle(Payload(marker))}
    return edited({**content, **data}, CONSTANTS, change)


def opaque_object(content: Members, marker: Path) -> Members:
    """data/constants/opaque_obj_0 goes straight to pickle.loads."""

    def change(tree: Any) -> None:
        tree["config"]["more"] = {
            "path_name": "opaque_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }

    data = {"data/constants/opaque_obj_0": pickle.dumps(Payload(marker))}
    return edited({**content, **data}, CONSTANTS, change)


def symbolic_size(content: Members, marker: Path) -> Members:
    """sympy.sympify is eval."""
    text = f"__import__('builtins').exec({source(marker)!r}) or 1"

    def change(tree: Any) -> None:
        values = tree["graph_module"]["graph"]["tensor_values"]
        values["conv1d"]["sizes"][2] = {"as_expr": {"expr_str": text, "hint": {"as_int": 10}}}

    return edited(content, MODEL, change)


def input_name(content: Members, marker: Path) -> Members:
    """torch.fx writes input names into Python source and execs it; this is a default value."""
    text = content[MODEL].decode()
    assert '"x"' in text
    return {**content, MODEL: text.replace('"x"', json.dumps(f"x={_one_call(marker)}")).encode()}


def _one_call(marker: Path) -> str:
    """An expression without double quotes."""
    return f"exec(bytes.fromhex('{source(marker).encode().hex()}'))"


def default_factory(content: Members, marker: Path) -> Members:
    """The pytree spec of a defaultdict names a module, which is imported."""
    context = {
        "default_factory_module": _module_beside(marker),
        "default_factory_name": "int",
        "dict_context": [],
    }
    return _with_spec(content, "collections.defaultdict", context)


def enum_key(content: Members, marker: Path) -> Members:
    """So does an enum among the keys of a dict."""
    name = _module_beside(marker)
    return _with_spec(
        content,
        "builtins.dict",
        json.dumps([{"__enum__": True, "fqn": f"{name}:Colour", "name": "RED"}]),
    )


def _module_beside(marker: Path) -> str:
    """A Python file that lies next to the model, as in a downloaded folder."""
    name = f"beside_{marker.stem}"
    text = f"import enum\n{source(marker)}\nColour = enum.Enum('Colour', 'RED')\n"
    (marker.parent / f"{name}.py").write_text(text + "int = int\n")
    return name


def _with_spec(content: Members, kind: str, context: object) -> Members:
    def change(tree: Any) -> None:
        leaf = {"type": None, "context": None, "children_spec": []}
        spec = {"type": kind, "context": context, "children_spec": [leaf]}
        entry = tree["graph_module"]["module_call_graph"][0]
        entry["signature"]["out_spec"] = json.dumps([1, spec])

    return edited(content, MODEL, change)


def guards(content: Members, marker: Path) -> Members:
    """Guards are source that ExportedProgram.module() puts into a function and execs."""

    def change(tree: Any) -> None:
        tree["guards_code"] = [f"{_one_call(marker)} is None"]

    return edited(content, MODEL, change)


# what plain torch.export.load runs
ON_LOAD: tuple[Callable[[Members, Path], Members], ...] = (
    sample_inputs,
    old_sample_inputs,
    old_weights,
    old_constants,
    pickled_weight,
    pickled_constant,
    opaque_object,
    symbolic_size,
    input_name,
    default_factory,
    enum_key,
)
# attacks by the name in torch's list of archive members without which it does not read them, as
# torch 2.9; they are refused all the same
NEEDS = {"opaque_object": "OPAQUE_OBJ_FILENAME_PREFIX"}
# what the first run of the loaded program runs
ON_CALL: tuple[Callable[[Members, Path], Members], ...] = (guards,)


def write_all(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Every attack as name -> (archive, marker it would write)."""
    content = members(saved(folder))
    made = {}
    for attack in (*ON_LOAD, *ON_CALL):
        marker = folder / f"{attack.__name__}.marker"
        archive = pack(folder / f"{attack.__name__}.pt2", attack(content, marker))
        made[attack.__name__] = (archive, marker)
    return made
