# SPDX-License-Identifier: Apache-2.0
"""ConvTranspose and Resize as ONNX files have them, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.onnx_models import model, node
from tests.unit.test_onnx import agrees, weights

TRANSPOSED: tuple[dict[str, Any], ...] = (
    {},
    {"strides": [2], "auto_pad": "SAME_UPPER"},
    {"strides": [2], "auto_pad": "SAME_LOWER"},
    {"strides": [3], "auto_pad": "VALID"},
    {"strides": [2], "pads": [2, 1]},
    {"strides": [2], "output_shape": [20]},
    {"strides": [2], "output_shape": [16], "auto_pad": "SAME_UPPER"},
    {"strides": [3], "dilations": [2], "output_padding": [2]},
    {"strides": [2], "group": 2, "kernel_shape": [5]},
)


@pytest.mark.parametrize("attrs", TRANSPOSED, ids=str)
def test_a_transposed_convolution_means_what_onnxruntime_says(
    attrs: dict[str, Any], tmp_path: Path
) -> None:
    constants = {"w": weights(4, 3, 5), "b": weights(3 * attrs.get("group", 1))}
    made = node("ConvTranspose", "x w b", "y", **attrs)
    agrees(model([made], {"x": (1, 4, 9)}, constants=constants), tmp_path)
