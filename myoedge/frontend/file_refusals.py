# SPDX-License-Identifier: Apache-2.0
"""Errors for files that are no model, or that cannot be built directly."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from myoedge.errors import MyoedgeError, command
from myoedge.frontend.detect import ModelFormat, describe, sniff
from myoedge.frontend.refusals import EXPORT_LINES, WITH_FACTORY


def check_file(path: Path) -> None:
    """Raise E101 if a file is missing, E102 if it is a folder."""
    kind = sniff(path)
    if kind in (ModelFormat.MISSING, ModelFormat.FOLDER):
        refuse(kind, path)


def refuse(kind: ModelFormat, path: Path) -> NoReturn:
    """Raise the error for a kind of model file that cannot be built directly."""
    if kind is ModelFormat.MISSING:
        raise missing(path)
    if kind is ModelFormat.FOLDER:
        raise MyoedgeError("E102", f"{path} is a folder", {"needs": "one model file"})
    if kind is ModelFormat.EMPTY:
        raise MyoedgeError("E105", f"{path} is empty", {}, ("save or copy the model again",))
    if kind is ModelFormat.TRUNCATED:
        raise damaged(path, "it ends before its contents do")
    if kind in (ModelFormat.CHECKPOINT, ModelFormat.LEGACY, ModelFormat.SAFETENSORS):
        facts = {"needs": "a function that makes the network these weights belong to"}
        tries = (command("build", path, *WITH_FACTORY), EXPORT_LINES)
        raise MyoedgeError("E106", f"{path} is {kind}", facts, tries)
    raise wrong_format(path, describe(kind, path), _conversion_hint(kind, path))


def missing(path: Path, named_by: str = "") -> MyoedgeError:
    """Return error E101 for a file that does not exist, with similarly named files.

    named_by   configuration file that contains the path, if any
    """
    folder = path.absolute().parent
    looked_in = f"{folder}{'' if folder.is_dir() else ', which does not exist either'}"
    facts = {"looked in": looked_in} | ({"named by": named_by} if named_by else {})
    names = [entry.name for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
    close = (path.with_name(name) for name in get_close_matches(path.name, names, 3))
    near = [found for found in close if sniff(found) in (ModelFormat.EXPORTED, ModelFormat.ONNX)]
    tries = [f"{found}, which is there" for found in near]
    return MyoedgeError("E101", f"{path} does not exist", facts, tries)


def wrong_format(path: Path, what: str, hint: str = "") -> MyoedgeError:
    """Return error E103 for a file that is no model, with the Python lines that create a loadable
    one.

    what   type of the file
    """
    needs = "a torch.export archive, an ONNX model, or weights with --factory pkg.mod:make_model"
    facts = {"needs": needs}
    return MyoedgeError("E103", f"{path} is {what}", facts, filter(None, (hint, EXPORT_LINES)))


def damaged(path: Path, cause: str) -> MyoedgeError:
    """Return error E104 for a file with inconsistent contents.

    cause   the inconsistency
    """
    return MyoedgeError(
        "E104", f"{path} is damaged", {"cause": cause}, ("copy or save the model again",)
    )


def needs_no_factory(kind: ModelFormat, path: Path) -> MyoedgeError:
    """Return error E206 for --factory with a file that already contains its network."""
    facts = {"needs": "weights without a network", "has": f"{path} is {kind}"}
    tries = [f"{command('build', path)}  without --factory or [model] factory"]
    return MyoedgeError("E206", "the factory would not be used", facts, tries)


def _conversion_hint(kind: ModelFormat, path: Path) -> str:
    if kind is ModelFormat.MODULE:
        load = f"model = torch.load({path.name!r}, weights_only=False)  # runs code in the file"
        return f"only if you trust the file, where its class can be imported:\n{load}"
    if kind is ModelFormat.TORCHSCRIPT:
        return "TorchScript has lost the network's Python; in the program that made it:"
    if kind is ModelFormat.ONNX:
        return "an ONNX model needs no --factory; if an archive is required:"
    if kind in (ModelFormat.NPZ, ModelFormat.NUMPY):
        return "arrays go to --calib; the model file comes first"
    if kind is ModelFormat.TFLITE:
        convert = f"python -m tf2onnx.convert --opset 17 --tflite {path.name} --output model.onnx"
        return f"{convert}\nor rebuild the network in PyTorch, load its weights, then:"
    if kind is ModelFormat.KERAS:
        convert = 'keras.saving.load_model(...).export("model.onnx", format="onnx")  # Keras 3'
        return f"{convert}\nor rebuild the network in PyTorch, load its weights, then:"
    return ""
