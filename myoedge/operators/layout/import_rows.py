# SPDX-License-Identifier: Apache-2.0
"""Import rows of operators that move elements."""

from __future__ import annotations

from myoedge.operators.import_rows import Calls, by_inputs, calls
from myoedge.operators.layout import aten_rows as aten
from myoedge.operators.layout import onnx_rows as onnx

NOTHING = (
    "alias", "clone", "contiguous", "detach", "detach_", "dropout", "alpha_dropout",
    "feature_dropout", "feature_alpha_dropout", "lift_fresh_copy", "to.dtype", "to.dtype_layout",
    "to.device", "type_as", "_to_copy", "resolve_conj", "resolve_neg",
)  # fmt: skip
VIEWS = (
    "reshape", "view", "_unsafe_view", "flatten.using_ints", "unflatten.int", "squeeze",
    "ravel", "squeeze.dim", "squeeze.dims", "unsqueeze", "view_as", "reshape_as", "view_copy",
)  # fmt: skip
PARTS = (
    "split.Tensor", "split.sizes", "split.default", "split_with_sizes", "chunk",
    "tensor_split.sections", "tensor_split.indices", "unbind.int",
)  # fmt: skip

ATEN: Calls = {
    "": {
        **calls(aten.same, *NOTHING),
        **calls(aten.filled(1.0), "ones_like", "new_ones"),
        **calls(aten.filled(0.0), "zeros_like", "new_zeros"),
        **calls(aten.filled(None), "full_like", "new_full"),
    },
    "reshape": calls(aten.view, *VIEWS),
    "transpose": {
        **calls(aten.permute, "permute"),
        **calls(aten.swap, "transpose.int", "t", "mT", "swapaxes", "swapdims"),
        **calls(aten.reverse, "numpy_T"),
        **calls(aten.movedim, "movedim.int", "movedim.intlist"),
        **calls(aten.movedim, "moveaxis.int", "moveaxis.intlist"),
    },
    "slice": {
        **calls(aten.cut, "slice.Tensor"),
        **calls(aten.narrow, "narrow"),
        **calls(aten.select, "select.int"),
        **calls(aten.parts, *PARTS),
        **calls(aten.index, "index.Tensor"),
        **calls(aten.index_select, "index_select"),
        **calls(aten.flip, "flip"),
    },
    "concat": {
        **calls(aten.cat, "cat", "concat", "concatenate"),
        **calls(aten.stack, "stack"),
        **calls(aten.roll, "roll"),
    },
    "expand": {
        **calls(aten.expand, "expand", "expand_as", "broadcast_to"),
        **calls(aten.repeat, "repeat", "tile"),
        **calls(aten.repeat_each, "repeat_interleave.self_int"),
        **calls(aten.upsample_nearest, "upsample_nearest1d.vec", "upsample_nearest2d.vec"),
    },
    "pad": calls(aten.pad, "pad", "constant_pad_nd"),
}
ONNX: Calls = {
    "": {
        "Identity": onnx.same,
        "Dropout": onnx.dropout,
        "Cast": onnx.cast,
        "CastLike": onnx.cast_like,
    },
    "reshape": dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), onnx.view),
    "transpose": {
        "Transpose": onnx.permute,
        "DepthToSpace": onnx.depth_to_space,
        "SpaceToDepth": onnx.space_to_depth,
    },
    "slice": {"Slice": onnx.cut, "Split": onnx.parts, "Gather": onnx.gather},
    "expand": {
        "Expand": by_inputs(aten.expand, "self"),
        "Tile": onnx.tile,
        "Resize": onnx.resize,
    },
    "pad": {"Pad": onnx.pad},
    "concat": {"Concat": onnx.join},
}
