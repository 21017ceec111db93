# SPDX-License-Identifier: Apache-2.0
"""Advice about files and samples: who does literally what it says has a network that is read."""

from __future__ import annotations

import runpy
import shlex
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from myoedge.building.loading import load_model
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported
from tests.support.onnx.models import gemm, model, node, saved
from tests.support.oracles.torch import Net, seeded
from tests.support.refusals.models import drawn, parsed

pytestmark = pytest.mark.filterwarnings("ignore")
X = seeded(1, 2, 12)
WINDOWS = seeded(8, 1, 2, 12).numpy()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where advice is followed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a factory is changed within a second
    return tmp_path


class Head(nn.Sequential):
    def __init__(self, width: int = 3) -> None:
        super().__init__(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(40, width))


def advised(code: str, cause: Callable[..., Any], *given: Any, **options: Any) -> str:
    """The first of an error's tries."""
    with pytest.raises(MyoedgeError) as caught:
        cause(*given, **options)
    assert caught.value.code == code
    return caught.value.notice.tries[0]


def followed(lines: str, **names: Any) -> None:
    """Python of an advice, run as it stands, its "..." and text that is no Python left out."""
    written = (line for line in lines.splitlines() if "..." not in line and not line.endswith(":"))
    exec("\n".join(written), {"torch": torch, "onnx": onnx, **names})


def quantized(path: Any = "model.pt2", **options: Any) -> Any:
    return run_quantize(Options(model=path, **options)).network


def exported(example: Tensor = X, network: nn.Module | None = None) -> Path:
    torch.manual_seed(0)
    return save_exported(network or Head().eval(), (example,), Path("model.pt2"))


# --- model files ----------------------------------------------------------------------------------


def module(path: Path) -> None:
    torch.save(Head(), path)


def scripted(path: Path) -> None:
    torch.jit.trace(Head().eval(), X).save(path)  # type: ignore[no-untyped-call]


def incomplete(path: Path) -> None:
    with zipfile.ZipFile(exported()) as whole, zipfile.ZipFile(path, "w") as part:
        for name in whole.namelist():
            if not name.endswith("archive_version"):
                part.writestr(name, whole.read(name))


def dynamic(path: Path) -> None:
    shapes = {"input": {2: torch.export.Dim("frames", min=4, max=64)}}
    program = torch.export.export(nn.Conv1d(2, 4, 3).eval(), (X,), dynamic_shapes=shapes)
    torch.export.save(program, path)


def compiled(path: Path) -> None:
    exported().rename(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].split('/')[0]}/data/aotinductor/model.so", b"")


@pytest.mark.parametrize(
    ("made", "code"), [(module, "E103"), (scripted, "E103"), (incomplete, "E108"),
                       (dynamic, "E110"), (compiled, "E107")],
)  # fmt: skip
def test_a_file_is_exported_again_by_the_lines_given(made: Any, code: str) -> None:
    made(Path("given.pt2"))
    with pytest.raises(MyoedgeError) as caught:
        load_model(Path("given.pt2"))
    assert caught.value.code == code
    (lines,) = (text for text in caught.value.notice.tries if "torch.export.save" in text)
    followed(lines, model=Head(), example=X)
    assert load_model(Path("model.pt2")).params == 40 * 3 + 3 + 28


@pytest.mark.parametrize(("size", "code"), [(0, "E105"), (900, "E104")])
def test_a_file_is_saved_again(size: int, code: str) -> None:
    whole, cut = exported(), Path("cut.pt2")
    cut.write_bytes(whole.read_bytes()[:size])
    assert "the model again" in advised(code, load_model, cut)
    cut.write_bytes(whole.read_bytes())
    assert load_model(cut).params


def factory(made: str = "Head()") -> None:
    text = "from tests.unit.test_advice import Head, Hint\n\n\ndef make_model():\n"
    Path("advised_nets.py").write_text(f"{text}    return {made}\n")
    sys.modules.pop("advised_nets", None)


def test_weights_get_their_network() -> None:
    torch.save(Head().state_dict(), "weights.pt")
    np.savez("calib.npz", input=WINDOWS)
    command = shlex.split(advised("E106", load_model, Path("weights.pt")))
    assert command[:3] == ["myoedge", "build", "weights.pt"]
    factory()
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options["--factory"] == "pkg.mod:make_model"
    given = {"factory": "advised_nets:make_model", "calib": options["--calib"]}
    assert load_model(Path(command[2]), **given).params
    assert "--calib calib.npz" in advised(
        "E205", load_model, Path(command[2]), factory=given["factory"]
    )
    exported()
    assert "without --factory" in advised("E206", load_model, Path("model.pt2"), **given)


def test_a_checkpoint_holds_a_state_dict() -> None:
    factory()
    torch.save({"epochs": 3}, "weights.pt")
    given = {"factory": "advised_nets:make_model", "calib": WINDOWS}
    followed(advised("E109", load_model, Path("weights.pt"), **given), model=Head())
    assert load_model(Path("weights.pt"), **given).params


def test_a_factory_makes_the_network_that_was_trained() -> None:
    torch.save(Head(5).state_dict(), "weights.pt")
    factory()
    given = {"factory": "advised_nets:make_model", "calib": WINDOWS}
    assert "same sizes" in advised("E109", load_model, Path("weights.pt"), **given)
    factory("Head(5)")
    assert load_model(Path("weights.pt"), **given).params


class Kept:
    """Keys and values, as DynamicCache of transformers."""


DynamicCache = type("DynamicCache", (Kept,), {})


class Hint(nn.Module):
    """What torch.export refuses, and what the advice says to do about it."""

    def __init__(self, way: str, *, is_followed: bool) -> None:
        super().__init__()
        self.way, self.is_followed = way, is_followed
        self.layer = nn.Linear(12, 3)
        self.config = SimpleNamespace(use_cache=not is_followed)

    def forward(self, x: Tensor) -> Any:
        y = self.layer(x)
        if self.way == "cache":
            return (y, DynamicCache()) if self.config.use_cache else y
        if self.is_followed:
            return torch.where(x.sum() > 0, y, -y)
        return y if x.sum() > 0 else -y


@pytest.mark.parametrize(
    ("way", "advice"),
    [("cache", "model.config.use_cache = False"), ("branch", "torch.where(condition, first")],
)
def test_what_torch_does_not_export_is_changed(way: str, advice: str) -> None:
    torch.save(Hint(way, is_followed=True).state_dict(), "weights.pt")
    given = {"factory": "advised_nets:make_model", "calib": WINDOWS}

    factory(f"Hint({way!r}, is_followed=False)")
    assert advice in advised("E118", load_model, Path("weights.pt"), **given)
    factory(f"Hint({way!r}, is_followed=True)")
    assert load_model(Path("weights.pt"), **given).params


def test_evaluation_is_called() -> None:
    network = nn.Sequential(nn.Dropout(0.5), Head()).train()
    torch.export.save(torch.export.export(network, (X,)), "model.pt2")
    assert "call model.eval()" in advised("E113", load_model, Path("model.pt2"))
    assert load_model(exported(network=network.eval())).params


def test_groups_shorten_sums() -> None:
    def of(width: int) -> Any:
        exported(torch.ones(2, width), Net(lambda net, x: (x[:1] @ x[1:].mT).relu()))
        return quantized(calib=np.ones((1, 2, width), np.float32))

    assert "fewer products" in advised("E117", of, 140_000)
    assert of(20_000).steps


def test_the_checker_says_more_of_a_model_that_is_wrong() -> None:
    made = parsed("h = Relu(x) y = Tanh(h)", {"x": drawn(2, 3)}, 17, {})
    made.graph.output[0].type.CopyFrom(made.graph.input[0].type)
    made.graph.node[0].input[0] = "y"  # a circle
    python, flag, code = shlex.split(advised("E119", load_model, saved(made, Path())))
    assert (python, flag) == ("python", "-c")
    with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
        exec(code, {})
    made.graph.node[0].input[0] = "x"
    saved(made, Path())
    exec(code, {})
    assert load_model(Path("model.onnx")).graph.nodes
    made.graph.node[0].input[0] = "y"
    other = Path("it's another.onnx")
    saved(made, Path()).rename(other)
    assert other.name in shlex.split(advised("E119", load_model, other))[2].replace("\\", "")


def test_older_models_are_exported_with_a_newer_opset() -> None:
    made = parsed("y = Relu(x)", {"x": drawn(2, 3)}, 6, {})
    assert "opset_version=17" in advised("E120", load_model, saved(made, Path()))
    newer = parsed("y = Relu(x)", {"x": drawn(2, 3)}, 17, {})
    assert load_model(saved(newer, Path())).graph.nodes


def test_weights_outside_become_one_file() -> None:
    made = gemm()
    Path("elsewhere").mkdir()
    onnx.save(made, "elsewhere/model.onnx", save_as_external_data=True, location="w.bin",
              size_threshold=0)  # fmt: skip
    Path("model.onnx").write_bytes(Path("elsewhere/model.onnx").read_bytes())
    lines = advised("E121", load_model, Path("model.onnx"))
    Path("w.bin").write_bytes(Path("elsewhere/w.bin").read_bytes())  # "where it came from"
    followed(lines)
    Path("w.bin").unlink()
    assert load_model(Path("whole.onnx")).params == 15


def test_the_tool_fixes_a_dynamic_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    saved(model([node("Relu", "x", "y")], {"x": (1, "frames")}), Path())
    tool = advised("E110", load_model, Path("model.onnx")).replace("<n>", "7")
    python, flag, name, *arguments = shlex.split(tool)
    assert (python, flag) == ("python", "-m")
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_module(name, run_name="__main__")
    assert load_model(Path("fixed.onnx")).graph.shape("x") == (1, 7)


@pytest.mark.parametrize(
    ("alone", "has"),
    [(nn.BatchNorm1d(2), "scale and shift the inputs"), (nn.Flatten(), "in another shape")],
)
def test_the_layers_behind_are_exported_too(alone: nn.Module, has: str) -> None:
    alone.eval()
    exported(network=alone)
    assert "with the layers after it" in advised("E122", quantized, calib=WINDOWS)
    with pytest.raises(MyoedgeError, match=has):
        quantized(calib=WINDOWS)
    exported(network=nn.Sequential(alone, nn.Tanh()).eval())
    assert quantized(calib=WINDOWS).steps


# --- samples --------------------------------------------------------------------------------------

LINES = {
    "E210": lambda: "calib.npz",
    "E211": lambda: _file("calib.npz", b"no archive"),
    "E215": dict,
    "E217": lambda: _pickled("calib.npz"),
    "E219": lambda: None,
}


def _file(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return name


def _pickled(name: str) -> str:
    np.savez(name, input=np.array([{}], object))
    return name


@pytest.mark.parametrize("code", LINES)
def test_samples_are_saved_by_the_lines_given(code: str) -> None:
    if code == "E219":
        path = saved(parsed("y = Tanh(x)", {"x": WINDOWS[0]}, 17, {}), Path())
    else:
        path = exported()
    lines = advised(code, quantized, path, calib=LINES[code]())
    followed(lines.replace("savez(...", 'savez("calib.npz"'), windows=WINDOWS, np=np)
    assert quantized(path, calib="calib.npz").steps


def test_arrays_are_renamed_by_the_lines_given() -> None:
    torch.export.save(torch.export.export(Net(lambda net, a, b: a * b), (X, X)), "model.pt2")
    np.savez("calib.npz", first=WINDOWS, second=WINDOWS)
    lines = advised("E212", quantized, calib="calib.npz")
    followed(lines.replace("load(...)", 'load("calib.npz")'), np=np)
    assert quantized(calib="renamed.npz").steps
    with pytest.raises(MyoedgeError, match="E212") as raised:
        quantized(calib={"first": WINDOWS, "second": WINDOWS})
    d = {"first": WINDOWS, "second": WINDOWS}
    assert quantized(calib=eval(raised.value.notice.tries[-1], {"d": d})).steps
    with pytest.raises(MyoedgeError, match=r"E213.* array xs_0 "):
        quantized(calib={"xs_1": WINDOWS, "xs_0": WINDOWS[..., :3]})


def test_samples_are_changed_as_told() -> None:
    exported()
    text = WINDOWS.astype(str)
    advice = advised("E214", quantized, calib=text)
    name = load_model(Path("model.pt2")).graph.inputs[0]
    assert quantized(calib=eval(advice, {name: text, "np": np})).steps
    assert "first axis counts" in advised("E213", quantized, calib=np.moveaxis(WINDOWS, 0, 3))
    bad = WINDOWS.copy()
    bad[3, 0, 1, 2] = np.nan
    assert "leave such windows out" in advised("E216", quantized, calib=bad)
    assert quantized(calib=np.delete(bad, 3, 0)).steps


def test_labels_are_counted_as_told() -> None:
    exported()
    label = np.arange(8) % 3 + 1
    advice = advised("E225", quantized, calib={"input": WINDOWS, "label": label})
    given: dict[str, Any] = {}
    exec(advice.partition(",")[0], {"label": label}, given)
    assert quantized(calib={"input": WINDOWS, **given}).steps


def test_what_has_no_value_is_clamped() -> None:
    exported(network=Net(lambda net, x: torch.log(x)))
    with pytest.raises(MyoedgeError, match="E224") as caught:
        quantized(calib=WINDOWS)
    expression = caught.value.notice.tries[1].partition("as in ")[2].partition(";")[0]
    clamped = Net(lambda net, x: eval(expression, {"log": torch.log, "x": x}))
    exported(network=clamped)
    assert quantized(calib=WINDOWS).steps


# --- options --------------------------------------------------------------------------------------


def configured(text: str) -> Any:
    Path("myoedge.toml").write_text(text)
    return quantized(calib=WINDOWS, config="myoedge.toml")


def test_keys_and_patterns_are_spelt_as_told() -> None:
    exported()
    old, _, new = advised("E230", configured, '[calib]\nmehtod = "minmax"').partition("  ->  ")
    assert old == "calib.mehtod"
    assert configured(f'[calib]\n{new} = "minmax"').steps
    near = advised("E233", configured, '[quant]\n"00" = { weights = "per_tensor" }')
    table, _, line = near.partition("] ")
    filled = line.replace("...", '{ weights = "per_tensor" }')
    assert configured(f"{table}]\n{filled}").steps


def test_percentiles_have_their_method() -> None:
    exported()
    advice = advised("E203", quantized, calib=WINDOWS, percentile=99.0, method="minmax")
    assert quantized(calib=WINDOWS, percentile=99.0, method=advice.split()[1]).steps
