# SPDX-License-Identifier: Apache-2.0
"""Errors for ONNX models that cannot be imported, with replacements for unsupported operators."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from myoedge.errors import MyoedgeError, escaped, named_input
from myoedge.frontend.onnx.normal_form import OLDEST_CONVERTED

# Suggested replacement -> the ONNX operators for which it is. These and the import table cover all
# operators.
MISSING: Mapping[str, tuple[str, ...]] = {
    "Concat of the state and the new frames, Conv, and Slice of the last frames as the new state": (
        "CausalConvWithState",
    ),
    "without decay: MatMul of q and k, Mul by a triangle of ones, and MatMul by v": (
        "LinearAttention",
    ),
    "MatMul and Softmax written out, which are supported": ("FlexAttention",),
    "Mul and Sigmoid written out, which are supported": ("SwiGLU",),
    "Reshape to [n, taps, height, width], then ConvTranspose with an identity matrix as weights": (
        "Col2Im",
    ),
    "Resize, mode nearest, which fills the whole window": ("MaxUnpool",),
    "constant scales, as onnxruntime.quantization.quantize_static writes them, or the float "
    "network": ("DynamicQuantizeLinear",),
    "Slice and Pad by constant sizes": ("CenterCropPad",),
    "Gather by constant indices": ("Compress", "ReverseSequence"),
    "Concat of the old rows and the new ones": ("TensorScatter",),
    "for p=2: Mul, AveragePool and Sqrt, times the root of the window's size": ("LpPool",),
    "ReduceL1 or ReduceL2 over the last axes": ("GlobalLpPool",),
    "ArgMax and OneHot": ("Hardmax",),
    "its input as a network output, and do this step on the host": (
        "NonMaxSuppression", "Unique", "NonZero",
    ),
    "its result as a network input, computed on the host": (
        "BitCast", "ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer",
        "StringSplit", "TfIdfVectorizer",
    ),
    "an initializer with its result, if the result is constant": (
        "BlackmanWindow", "EyeLike", "HammingWindow", "HannWindow", "MelWeightMatrix", "Range",
    ),
    "the network as it runs after training, without losses and random numbers": (
        "Bernoulli", "Multinomial", "NegativeLogLikelihoodLoss", "RandomNormal",
        "RandomNormalLike", "RandomUniform", "RandomUniformLike", "SoftmaxCrossEntropyLoss",
    ),
    "plain tensors": (
        "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceMap",
    ),
    "MatMul of theta by a constant [3, h * w] of columns (x, y, 1), and Transpose": ("AffineGrid",),
    "for a constant grid MatMul by the matrix of its weights, for a regular grid Resize": (
        "GridSample",
    ),
    "Mul by a power of 2": ("BitShift",),
    "Mod by a power of 2 for the low bits, And, Or, Xor and Not of booleans": (
        "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
    ),
    "Conv, all offsets being zero": ("DeformConv",),
    "Mul and Sub written out for 2x2, or move it to the host": ("Det",),
    "Slice and MaxPool for boxes that are constant": ("MaxRoiPool", "RoiAlign"),
    # Integer operators of QuantLib and Deeploy.
    "QuantizeLinear and DequantizeLinear around float operators (QDQ)": (
        "IntegerMean", "ITAMax", "ITAPartialMax", "RequantShift", "TrueIntegerDiv", "iGELU",
        "iHardswish", "iLayerNorm", "iLeakyReLU", "iNoNorm", "iRMSNorm", "iSoftmax",
    ),
}  # fmt: skip

ADVICE: Mapping[str, str] = {name: advice for advice, names in MISSING.items() for name in names}
# Unsupported uses of supported operators, and operators of other domains.
SPECIAL: Mapping[str, str] = {
    "If": "only the branch that is taken, if a condition is not constant",
    "Loop": "a constant number of iterations: export with an example of the device's size",
    "Mod": "Mod of integers by a positive constant",
    "SplitToSequence": "Split by constant sizes",
    "SequenceAt": "Split by constant sizes, whose parts have names",
    "Attention": "MatMul and Softmax written out, which are supported",
    "RotaryEmbedding": "caches of cosines and sines, and positions, that are constant",
    "Resize": "Resize without antialias, its scales or sizes constant",
    "Where": "a finite number instead of an infinity that no Softmax reads",
}
_UNKNOWN = re.compile(r"No Op registered for (\w+) with domain_version of \d+")
INLINE = (
    'inline the functions: import onnx, onnx.inliner\nmodel = onnx.load("model.onnx")\n'
    'onnx.save(onnx.inliner.inline_local_functions(model), "plain.onnx")'
)


def instead(target: str) -> str:
    """Return a suggested replacement for an unsupported operator.

    target   name of the operator: "LSTM", or with its domain "com.acme.Fancy"
    """
    from myoedge.frontend.operator_table import ONNX_IMPORT

    known = target.rpartition(".")[2]
    advice = ADVICE.get(known) or SPECIAL.get(target)
    if advice:
        return f"use {advice}"
    if "." in target:
        if target in ONNX_IMPORT:
            return ""  # a row knows it, and has refused this use
        return (
            f'name a plug-in with a row of "{target}(...)" in myoedge.toml: [plugins] operators = '
            "[...], docs/developers/plugins.md; or export with ONNX's own operators"
        )
    if target.endswith("()"):
        return INLINE
    return f"rewrite {target} with supported operators, or move it to the host"


def wrong_opset(path: Path, opset: int, newest: int, cause: str = "") -> MyoedgeError:
    """Return error E120 for an opset that is too old, cannot be converted, or is newer than the
    onnx package.

    newest   newest opset of the installed onnx package
    cause    message of the converter
    """
    facts = {
        "needs": f"opset {OLDEST_CONVERTED} to {newest}",
        "has": f"opset {opset}" if opset else "none",
        **({"the onnx package's converter says": cause} if cause else {}),
    }
    again = "export it again with opset_version=17"
    newer = "pip install --upgrade onnx, or export it again with an older opset_version"
    title = f"{path} is of an ONNX opset that is not read"
    return MyoedgeError("E120", title, facts, [newer if opset > newest else again])


def _opset_advice(op: str) -> str:
    """Return advice for an operator that the file's opset lacks: a newer opset or a replacement."""
    from onnx import defs

    schemas = (s for s in defs.get_all_schemas_with_history() if (s.name, s.domain) == (op, ""))
    since = min((schema.since_version for schema in schemas), default=0)
    newer = max(since, 17)
    if not since:
        return f"{op} is none of ONNX's operators: {instead(op)}"
    return f"export it again with opset_version={newer} (tf2onnx: --opset {newer})"


def breaks_rules(path: Path, cause: str, where: str = "") -> MyoedgeError:
    """Return error E119 for a file that the onnx package's checker or shape inference rejects; the
    suggested remedy runs the checker on it.

    cause   message of the onnx package
    """
    facts = {"cause": cause[:400], **({"at": where} if where else {})}
    check = f"import onnx; onnx.checker.check_model({escaped(repr(str(path)))}, full_check=True)"
    advice = shlex.join(["python", "-c", check])
    if found := _UNKNOWN.match(cause):
        advice = _opset_advice(found[1])
    return MyoedgeError("E119", f"{path} is not as the ONNX format demands", facts, [advice])


def dynamic(path: Path, name: str, axis: int, shape: Sequence[int | str]) -> MyoedgeError:
    """Return error E110 for a dynamic axis of an input, with the command of onnxruntime's tool that
    fixes its size."""
    size = shape[axis] if shape else "?"
    shown = ",".join(
        str(n) if isinstance(n, int) else "1" if i == 0 else "<n>" for i, n in enumerate(shape)
    )
    given = (
        f"--dim_param {size} --dim_value <n>"
        if size != "?"
        else f"--input_name {name} --input_shape {shown or '<n>,<n>'}"
    )
    tool = f"python -m onnxruntime.tools.make_dynamic_shape_fixed {given} {path.name} fixed.onnx"
    title = (
        f"axis {axis} of {named_input(name)} is dynamic"
        if shape
        else f"{named_input(name)} has no shape"
    )
    return MyoedgeError(
        "E110",
        title,
        {"needs": "static shapes", "has": f"{name} [{', '.join(map(str, shape))}]"},
        [tool, "or export without dynamic axes, with an example of the size the device sees"],
    )
