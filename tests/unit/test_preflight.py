# SPDX-License-Identifier: Apache-2.0
"""Crafted archives run nothing here, though plain torch.export.load runs them; damage is named."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import random
import sys
import typing
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export.pt2_archive import constants

from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import ModelFormat, sniff
from myoedge.frontend.file_refusals import refuse
from myoedge.frontend.torch.load import _silence_torch, load_exported, preflight
from tests.support import attacks


def run_plainly(folder: Path, paths: Sequence[Path]) -> None:
    """As `python` in that folder, which has the modules of attacks; in a process of its own."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    logging.disable()
    for path in paths:
        with suppress(BaseException):
            torch.export.load(path).module()(torch.zeros(1, 2, 12))


@pytest.fixture(scope="module")
def crafted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    return attacks.write_all(tmp_path_factory.mktemp("crafted"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attacks.saved(tmp_path_factory.mktemp("plain"))


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(MyoedgeError) as caught:
        call()
    return caught.value.code


def test_every_attack_runs_in_torch_and_none_runs_here(
    crafted: dict[str, tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = next(iter(crafted.values()))[0].parent
    paths = [archive for archive, _ in crafted.values()]
    plainly = multiprocessing.get_context("fork").Process(target=run_plainly, args=(folder, paths))
    plainly.start()
    plainly.join()
    assert plainly.exitcode == 0
    harmless = [name for name, needs in attacks.NEEDS.items() if not hasattr(constants, needs)]
    assert [name for name, (_, marker) in crafted.items() if not marker.exists()] == harmless
    monkeypatch.syspath_prepend(str(folder))
    for name, (archive, marker) in crafted.items():
        marker.unlink(missing_ok=name in harmless)
        assert code_of(lambda path=archive: preflight(path)) == "E107", name  # type: ignore[misc]
        assert code_of(lambda path=archive: load_exported(path)) == "E107", name  # type: ignore[misc]
        assert not marker.exists(), name


def test_an_attack_is_named_with_its_member(crafted: dict[str, tuple[Path, Path]]) -> None:
    with pytest.raises(MyoedgeError) as caught:
        preflight(crafted["sample_inputs"][0])
    assert "data/sample_inputs/model.pt" in str(caught.value)
    assert "builtins.exec" in str(caught.value)


def test_a_plain_archive_loads_and_computes_the_same(plain: Path) -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, 12)
    ours, theirs = load_exported(plain), torch.export.load(plain)
    assert torch.equal(ours.module()(x), theirs.module()(x))
    assert torch.equal(ours.example_inputs[0][0], theirs.example_inputs[0][0])


def test_annotations_of_a_class_are_resolved_once(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each of a program's nodes; afterwards by Python's own function again."""
    resolve, resolved = typing.get_type_hints, list[object]()

    def counting(of: Any, *given: Any, **named: Any) -> dict[str, Any]:
        resolved.append(of)
        return resolve(of, *given, **named)

    monkeypatch.setattr(typing, "get_type_hints", counting)
    load_exported(plain)
    assert resolved.count(torch._export.serde.schema.Node) == 1
    assert typing.get_type_hints is counting


def test_nested_inputs_and_outputs_pass(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleDict({"a part": torch.nn.Linear(3, 2)})
            self.register_buffer("empty", torch.zeros(0))

        def forward(self, größe: Any, more: Any) -> Any:
            with torch.no_grad():
                y = self.parts["a part"](größe)
            return {"y": y, "z": [more["q"] * 2, (self.empty,)]}

    x = (torch.randn(1, 3), {"q": torch.randn(2)})
    program = torch.export.export(Net().eval(), x)
    torch.export.save(program, tmp_path / "n.pt2", extra_files={"labels.txt": "fist\nrest"})
    loaded = load_exported(tmp_path / "n.pt2").module()(*x)
    assert torch.equal(loaded["y"], program.module()(*x)["y"])


def test_dynamic_shapes_name_input_and_axis(tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as caught:
        load_exported(attacks.saved(tmp_path, dynamic=True))
    assert caught.value.code == "E110"
    assert "axis 0 of input x" in str(caught.value)


class Statistics(nn.Module):
    """Counts what it reads, as S4D layers do, and checks the count."""

    def __init__(self, used: bool) -> None:
        super().__init__()
        self.head, self.used = nn.Linear(3, 2), used

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        (x < 0).count_nonzero().item()
        count = (y > 0).count_nonzero().item()
        torch._check(count >= 0)
        return y * count if self.used else y


@pytest.mark.parametrize("used", [False, True])
def test_scalars_that_no_tensor_reads_are_left_out(used: bool, tmp_path: Path) -> None:
    """Their expressions, which torch evaluates, do not reach it."""
    x = torch.randn(1, 3)
    program = torch.export.export(Statistics(used).eval(), (x,))
    torch.export.save(program, tmp_path / "s.pt2")
    if used:
        assert code_of(lambda: load_exported(tmp_path / "s.pt2")) == "E110"
        return
    _, stated = preflight(tmp_path / "s.pt2")
    assert "Symbol" not in json.dumps(stated)
    loaded = load_exported(tmp_path / "s.pt2").module()(x)
    assert torch.equal(loaded, program.module()(x))


@pytest.mark.parametrize(
    "member", ["data/aotinductor/model/a.so", "models/other.json", "data/constants/custom_obj_0"]
)
def test_other_members_are_refused(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    content = {**attacks.members(plain), member: b"x"}
    with pytest.raises(MyoedgeError) as caught:
        preflight(attacks.pack(tmp_path / "m.pt2", content))
    assert caught.value.code == "E107"
    facts = dict(caught.value.notice.facts)
    assert facts["has"].startswith(f"{member}: ")
    assert "nothing was run" in facts["needs"]
    monkeypatch.chdir(tmp_path)
    model, example = torch.nn.Linear(3, 2), torch.zeros(1, 3)
    exec(caught.value.notice.tries[1], {"torch": torch, "model": model, "example": example})
    assert preflight(tmp_path / "model.pt2")


@pytest.mark.parametrize(
    "name", ["model/../../evil", "/evil", "evil", "model\\evil", "other/extra/a"]
)
def test_names_that_leave_the_folder_are_refused(plain: Path, tmp_path: Path, name: str) -> None:
    path = attacks.pack(tmp_path / "m.pt2", attacks.members(plain))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")
    assert code_of(lambda: preflight(path)) == "E107"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["model/models/model.json", "model/models/MODEL.json"])
def test_a_name_that_appears_twice_is_refused(plain: Path, tmp_path: Path, name: str) -> None:
    path = attacks.pack(tmp_path / "m.pt2", attacks.members(plain))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"{}")
    assert code_of(lambda: preflight(path)) == "E107"


def test_a_zip_bomb_is_refused(plain: Path, tmp_path: Path) -> None:
    content = {**attacks.members(plain), "data/weights/weight_99": bytes(10_000_000)}
    path = attacks.pack(tmp_path / "m.pt2", content, zipfile.ZIP_DEFLATED)
    assert code_of(lambda: preflight(path)) == "E107"


@pytest.mark.parametrize(
    "target", ["torch.os.system", "_operator.call", "torch.ops.import_module.x", "#ns:op", "os.x"]
)
def test_targets_that_are_no_operators_are_refused(
    plain: Path, tmp_path: Path, target: str
) -> None:
    def change(tree: Any) -> None:
        tree["graph_module"]["graph"]["nodes"][0]["target"] = target

    content = attacks.edited(attacks.members(plain), attacks.MODEL, change)
    assert code_of(lambda: preflight(attacks.pack(tmp_path / "m.pt2", content))) == "E107"


def test_a_weight_larger_than_its_bytes_is_refused(plain: Path, tmp_path: Path) -> None:
    def change(tree: Any) -> None:
        tree["config"]["conv.bias"]["tensor_meta"]["sizes"] = [{"as_int": 1 << 40}]

    content = attacks.edited(attacks.members(plain), attacks.WEIGHTS, change)
    assert code_of(lambda: preflight(attacks.pack(tmp_path / "m.pt2", content))) == "E104"


@pytest.mark.parametrize(("major", "minor"), [(99, 1), (8, 21), (7, 3)])
def test_an_unknown_schema_is_refused_before_torch_reads_it(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, major: int, minor: int
) -> None:
    def change(tree: Any) -> None:
        tree["schema_version"] = {"major": major, "minor": minor}
        tree["torch_version"] = "9.9.0"

    monkeypatch.setattr(torch.export, "load", None)

    content = attacks.edited(attacks.members(plain), attacks.MODEL, change)
    with pytest.raises(MyoedgeError) as caught:
        load_exported(attacks.pack(tmp_path / "m.pt2", content))
    assert caught.value.code == "E108"
    for text in ("9.9.0", f"{major}.{minor}", "8.0 to 8.20", "torch>=2.9,<2.16"):
        assert text in str(caught.value)


def test_an_export_from_a_gpu_is_explained(plain: Path, tmp_path: Path) -> None:
    content = attacks.members(plain)
    text = content[attacks.MODEL].replace(b'"type": "cpu"', b'"type": "cuda"')
    path = attacks.pack(tmp_path / "m.pt2", {**content, attacks.MODEL: text})
    with pytest.raises(MyoedgeError, match=r"model\.cpu\(\)") as caught:
        load_exported(path)
    assert caught.value.code == "E108"


def test_deeply_nested_json_is_damage(plain: Path, tmp_path: Path) -> None:
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    path = attacks.pack(tmp_path / "m.pt2", {**attacks.members(plain), attacks.MODEL: deep})
    assert code_of(lambda: preflight(path)) == "E104"


def test_torch_missing_is_a_missing_tool(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MyoedgeError, match="pip install") as caught:
        load_exported(plain)
    assert caught.value.exit_code == 5


def front_door(path: Path) -> str:
    """What comes of a file: "loaded" or the code of the error; anything else is a failure."""
    try:
        kind = sniff(path)
        if kind is not ModelFormat.EXPORTED:
            refuse(kind, path)
        load_exported(path)
    except MyoedgeError as error:
        return error.code
    return "loaded"


def test_flipped_and_cut_archives_raise_only_our_errors(plain: Path, tmp_path: Path) -> None:
    rng, whole = random.Random(20), plain.read_bytes()
    attempts = [whole, whole[:-10]]  # the archive's own bytes differ from run to run
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = rng.randrange(len(data)) if rng.random() < 0.3 else len(data)
        attempts.append(bytes(data[:cut]))
    outcomes = []
    for data_bytes in attempts:
        (tmp_path / "f.pt2").write_bytes(data_bytes)
        outcomes.append(front_door(tmp_path / "f.pt2"))
    assert outcomes[:2] == ["loaded", "E104"]
    assert "E104" in outcomes[2:]


def test_what_torch_logs_of_a_file_it_cannot_read_is_not_shown() -> None:
    """Its loggers may have handlers of their own, which write to the terminal."""
    shown = io.StringIO()
    handler, logger = logging.StreamHandler(shown), logging.getLogger("torch.export")
    logger.addHandler(handler)
    try:
        with _silence_torch() as causes:
            try:
                raise ValueError("strides")
            except ValueError:
                logger.error("Ran into the following error", exc_info=True)
        assert (shown.getvalue(), [str(cause) for cause in causes]) == ("", ["strides"])
        logger.error("later")
        assert shown.getvalue() == "later\n", "the handlers are there again"
    finally:
        logger.removeHandler(handler)


def test_changed_members_raise_only_our_errors(
    plain: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Past the checksums: bytes and JSON values are changed, then packed again."""
    rng, content = random.Random(21), attacks.members(plain)
    outcomes = set()
    for turn in range(140):
        member = rng.choice((attacks.MODEL, attacks.WEIGHTS, attacks.CONSTANTS, attacks.SAMPLES))
        change = bent_json if turn % 3 and member.endswith(".json") else bent_bytes
        changed = {**content, member: change(content[member], rng)}
        outcomes.add(front_door(attacks.pack(tmp_path / "f.pt2", changed)))
    assert {"E104", "E107", "E108"} <= outcomes
    assert "Traceback" not in "".join(capfd.readouterr())


def bent_bytes(data: bytes, rng: random.Random) -> bytes:
    bent = bytearray(data)
    bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
    return bytes(bent)


def bent_json(data: bytes, rng: random.Random) -> bytes:
    tree = json.loads(data)
    places = list(leaves(tree))
    holder, key = rng.choice(places)
    holder[key] = rng.choice((None, -1, 1 << 62, 3.5, "x", [], {}, "", True, {"as_int": 7}))
    return json.dumps(tree).encode()


def leaves(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from leaves(item)


@pytest.mark.parametrize("value", [True, 1, "yes", None, [1]])
def test_whatever_counts_as_use_pickle_is_refused(
    plain: Path, tmp_path: Path, value: object
) -> None:
    def change(tree: Any) -> None:
        tree["config"]["conv.bias"]["use_pickle"] = value

    content = attacks.edited(attacks.members(plain), attacks.WEIGHTS, change)
    assert code_of(lambda: preflight(attacks.pack(tmp_path / "m.pt2", content))) == "E107"


@pytest.mark.parametrize("kind", ["collections.deque", "own.Output", "torch.Size"])
def test_containers_that_torch_looks_up_are_refused(plain: Path, tmp_path: Path, kind: str) -> None:
    def change(tree: Any) -> None:
        entry = tree["graph_module"]["module_call_graph"][0]
        spec = {"type": kind, "context": "null", "children_spec": []}
        entry["signature"]["out_spec"] = json.dumps([1, spec])

    content = attacks.edited(attacks.members(plain), attacks.MODEL, change)
    assert code_of(lambda: preflight(attacks.pack(tmp_path / "m.pt2", content))) == "E107"
