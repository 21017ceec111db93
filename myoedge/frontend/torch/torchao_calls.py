# SPDX-License-Identifier: Apache-2.0
"""Conversion of torchao's quantising calls to quantized_decomposed.

Without torchao installed, torch does not know these names; placeholders that compute nothing are
registered while an archive is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BLOCKS = "Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point, ScalarType"
LIMITS = "Scalar? quant_min=None, Scalar? quant_max=None"
SCHEMAS = (
    f"quantize_affine({BLOCKS} output_dtype, {LIMITS}) -> Tensor",
    f"dequantize_affine({BLOCKS} input_dtype, {LIMITS}, ScalarType output_dtype=6) -> Tensor",
    "choose_qparams_affine(Tensor? input, str mapping_type, SymInt[] block_size, "
    "ScalarType target_dtype, Scalar? quant_min=None, Scalar? quant_max=None, float? eps=None, "
    "ScalarType? scale_dtype=None, ScalarType? zero_point_dtype=None, bool keepdim=False) "
    "-> (Tensor, Tensor)",
)  # of torchao 0.18


@contextmanager
def names_of_torchao() -> Iterator[None]:
    """Context manager during which torchao's calls are registered with torch; torchao may still be
    imported afterwards."""
    import torch

    if hasattr(torch.ops.torchao, "quantize_affine"):
        yield
        return
    with torch.library._scoped_library("torchao", "FRAGMENT") as library:
        for schema in SCHEMAS:
            library.define(schema)
        yield


def as_decomposed(program: Any) -> None:
    """Replace torchao's quantising calls in a program's graph by quantized_decomposed calls, if the
    blocks are whole tensors or channels."""
    for node in program.graph.nodes:
        name = str(node.target).removeprefix("torchao.")
        if node.op == "call_function" and name in (
            "quantize_affine.default",
            "dequantize_affine.default",
        ):
            _replace(node, name.removesuffix("_affine.default"))


def _replace(node: Any, verb: str) -> None:
    import torch

    x, blocks, scale, zero, kind, low, high = (*node.args, None, None)[:7]
    shape, calls = tuple(x.meta["val"].shape), torch.ops.quantized_decomposed
    axes = [axis for axis, n in enumerate(shape) if blocks[axis] != n]
    low = torch.iinfo(kind).min if low is None else low
    high = torch.iinfo(kind).max if high is None else high
    if not axes:
        node.target = getattr(calls, f"{verb}_per_tensor").tensor
        node.args = (x, scale, zero, low, high, kind)
    elif len(axes) == 1 and blocks[axes[0]] == 1:
        node.target = getattr(calls, f"{verb}_per_channel").default
        node.args = (x, scale, zero, axes[0], low, high, kind)
    node.kwargs = {}
