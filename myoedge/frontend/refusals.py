# SPDX-License-Identifier: Apache-2.0
"""Refusals of files that cannot be built as they are, and of models that cannot be imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from myoedge.errors import MyoedgeError, command
from myoedge.frontend.detect import Kind, head_of, is_zip, module_class, sniff
from myoedge.graph.ir import Origin
from myoedge.operators.softmax.masks import MIXED, NO_KEY

# ---- files

FOREIGN = (
    (0, b"\x1f\x8b", "a gzip file: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip file: unpack it first"),
    (257, b"ustar", "a tar file: unpack it first"),
    (0, b"GGUF", "a GGUF language model"),
    (4, b"ET12", "an ExecuTorch program"),
    (0, b"\x7fELF", "a compiled program"),
    (0, b"%PDF", "a PDF document"),
)
TEXTS = (
    ("version https://git-lfs", "a Git LFS pointer: the model itself was not downloaded"),
    ("<!doctype html", "a web page, saved instead of the model"),
    ("<html", "a web page, saved instead of the model"),
    ("matlab 5.0", "a MATLAB data file"),
)
WITH_FACTORY = ("--factory", "pkg.mod:make_model", "--calib", "calib.npz")
EXPORT_LINES = (
    "ep = torch.export.export(model.eval(), (example,))\n"
    'torch.export.save(ep, "model.pt2")\n'
    "# then: myoedge build model.pt2 --calib calib.npz"
)


def check_file(path: Path) -> None:
    """Errors: E101 there is no such file, E102 it is a folder."""
    kind = sniff(path)
    if kind in (Kind.MISSING, Kind.FOLDER):
        refuse(kind, path)


def refuse(kind: Kind, path: Path) -> NoReturn:
    """Raise what a person needs to hear about a file that cannot be built as it is."""
    if kind is Kind.MISSING:
        raise MyoedgeError("E101", f"{path} does not exist", {"looked in": path.absolute().parent})
    if kind is Kind.FOLDER:
        raise MyoedgeError("E102", f"{path} is a folder", {"needs": "one model file"})
    if kind is Kind.EMPTY:
        raise MyoedgeError("E105", f"{path} is empty", {}, ("save or copy the model again",))
    if kind is Kind.TRUNCATED:
        raise damaged(path, "it ends before its contents do")
    if kind in (Kind.CHECKPOINT, Kind.LEGACY, Kind.SAFETENSORS):
        facts = {"needs": "a function that makes the network these weights belong to"}
        tries = (command("build", path, *WITH_FACTORY), EXPORT_LINES)
        raise MyoedgeError("E106", f"{path} is {kind}", facts, tries)
    raise wrong_format(path, describe(kind, path), _hint(kind, path))


def wrong_format(path: Path, what: str, hint: str = "") -> MyoedgeError:
    """E103 with what the file is and the lines of Python that make a loadable one."""
    needs = "a torch.export archive, an ONNX model, or weights with --factory pkg.mod:make_model"
    facts = {"needs": needs}
    return MyoedgeError("E103", f"{path} is {what}", facts, filter(None, (hint, EXPORT_LINES)))


def damaged(path: Path, cause: str) -> MyoedgeError:
    """E104 for a file whose contents do not hold together."""
    return MyoedgeError(
        "E104", f"{path} is damaged", {"cause": cause}, ("copy or save the model again",)
    )


def describe(kind: Kind, path: Path) -> str:
    """The kind in words, with the class of a pickled module and the name of a known stranger."""
    if kind is Kind.MODULE:
        name = module_class(path)
        return f"{kind} of class {name}" if name else str(kind)
    if kind is Kind.TEXT:
        start = head_of(path).decode("utf-8", "ignore").lstrip().lower()
        return next((words for magic, words in TEXTS if start.startswith(magic)), str(kind))
    if kind is Kind.UNKNOWN and path.is_file():
        head = head_of(path)
        names = (text for at, magic, text in FOREIGN if head.startswith(magic, at))
        return next(names, "a zip file of something else" if is_zip(head) else str(kind))
    return str(kind)


def needs_no_factory(kind: Kind, path: Path) -> MyoedgeError:
    """E206: for a file that holds its network too."""
    facts = {"needs": "weights without a network", "has": f"{path} is {kind}"}
    tries = [f"{command('build', path)}  without --factory or [model] factory"]
    return MyoedgeError("E206", "the factory would not be used", facts, tries)


def _hint(kind: Kind, path: Path) -> str:
    if kind is Kind.MODULE:
        load = f"model = torch.load({path.name!r}, weights_only=False)  # runs code in the file"
        return f"only if you trust the file, where its class can be imported:\n{load}"
    if kind is Kind.TORCHSCRIPT:
        return "TorchScript has lost the network's Python; in the program that made it:"
    if kind is Kind.ONNX:
        return "an ONNX model needs no --factory; where an archive is asked for:"
    if kind in (Kind.NPZ, Kind.NUMPY):
        return "arrays go to --calib; the model file comes first"
    if kind is Kind.TFLITE:
        convert = f"python -m tf2onnx.convert --opset 17 --tflite {path.name} --output model.onnx"
        return f"{convert}\nor rebuild the network in PyTorch, load its weights, then:"
    if kind is Kind.KERAS:
        convert = 'keras.saving.load_model(...).export("model.onnx", format="onnx")  # Keras 3'
        return f"{convert}\nor rebuild the network in PyTorch, load its weights, then:"
    return ""


# ---- calls and inputs


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that cannot be imported: which, where, why."""

    target: str
    origin: Origin
    reason: str = ""

    @property
    def what(self) -> str:
        return f"{short(self.target)}{f': {self.reason}' if self.reason else ''}"


def short(target: str) -> str:
    """ "aten.layer_norm.default" -> "layer_norm" """
    return target.removeprefix("aten.").removesuffix(".default")


INSTEAD = {
    "lstm": "a weight that is a parameter",
    "einsum": "matmul, permute and reshape written out, which are supported",
    "embedding": "ids that are an input of integers (torch.int64), and a table that is a parameter",
    "upsample": "F.interpolate without antialias=True, or avg_pool in front of it",
    "stft": "n_fft of at most 2,048 samples, and a window that is a buffer of the module",
    "fft_": "n of at most 2,048 samples: shorter frames, or torch.stft",
    "where": "a finite number in the place of an infinity that no softmax reads",
    "masked_fill": "a finite number, masked_fill(mask, 0.0), for what no softmax reads",
    "scatter": "cat or stack of the parts instead of writing into a slice",
}


COMPLEX = "complex numbers"
AS_REAL = "compute with x.real, x.imag, x.abs(), x.angle() or torch.view_as_real(x) instead"
KEEP_A_KEY = (
    "leave every query a key, its own frame say: hidden & ~torch.eye(frames, dtype=torch.bool), "
    "where hidden joins all masks; multiply the rows by 0 behind it where they must be zeros"
)


TWO_MASKS = "give two masks, each 1 where a key is seen: (1 - first) * -1e4 + (1 - second) * -1e4"


def instead(target: str) -> str:
    """Replacement of an unsupported operator."""
    for part, advice in INSTEAD.items():
        if part in target:
            return f"use {advice}"
    return f"rewrite {short(target)} with supported operators, or move it to the host"


def unsupported(
    refusals: Sequence[Refusal], advice: Callable[[str], str] = instead
) -> MyoedgeError:
    """E111 with every operator that is in the way, and every place where it stands."""
    first = refusals[0]
    kinds: dict[str, list[str]] = {}
    for refusal in refusals:
        kinds.setdefault(refusal.what, []).append(str(refusal.origin))
    title = f"uses an operator that is not supported: {short(first.target)}"
    if first.reason:
        title = f"cannot be built: {first.reason} ({short(first.target)})"
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    lines = []
    for what, origins in kinds.items():
        places = ", ".join(dict.fromkeys(filter(None, origins)))
        lines.append(f"{what}, at {places}" if places else what)
    by_reason = {NO_KEY: KEEP_A_KEY, MIXED: TWO_MASKS}
    tries = (
        AS_REAL if r.reason.startswith(COMPLEX) else by_reason.get(r.reason) or advice(r.target)
        for r in refusals
    )
    return MyoedgeError(
        "E111",
        f"{str(first.origin or '') or 'the network'} {title}{more}",
        {"found": "\n".join(lines)},
        [*dict.fromkeys(tries), "myoedge ops  lists what there is"],
    )


def not_numbers(name: str, dtype: str, readers: Sequence[str]) -> MyoedgeError:
    """E116; `readers` are the operators that take the input, with their places."""
    read = {"read by": "\n".join(readers)} if readers else {}
    return MyoedgeError(
        "E116",
        f"input {name} is {dtype}, which no operator here reads",
        {"needs": "floats, bool, uint8, int8, int16, int32 or int64", "has": dtype, **read},
        [f"export with an example input of torch.int64 or torch.float32 for {name}"],
    )


def constant_output(name: str, value: str) -> MyoedgeError:
    return MyoedgeError(
        "E115",
        f"{name} does not depend on any input",
        {"has": value},
        ["leave it out of what forward() returns"],
    )
