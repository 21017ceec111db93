# SPDX-License-Identifier: Apache-2.0
"""ConvTranspose and Resize as ONNX files have them, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.numerics.arrays import Array
from tests.support.onnx.models import model, node
from tests.unit.test_onnx import agrees, ints, refused, weights

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
    agrees(model([made], {"x": (1, 4, 9)}, constants=constants, opset=19), tmp_path)


WAYS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
SIZES: dict[str, Array] = {"scales": np.array([1.75, 0.6], np.float32), "sizes": ints(5, 23)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("given", SIZES)
def test_resizing_means_what_onnxruntime_says(
    mode: str, way: str, given: str, tmp_path: Path
) -> None:
    """Of scales without a whole result onnxruntime aligns the corners of the whole one."""
    if (way, given) == ("align_corners", "scales"):
        constants = {"scales": np.array([1.5, 2.0], np.float32)}
    else:
        constants = {given: SIZES[given]}
    inputs = "x - scales" if given == "scales" else "x - - sizes"
    attrs = {"mode": mode, "axes": [2, 3], "coordinate_transformation_mode": way}
    more = {"exclude_outside": 1, "cubic_coeff_a": -0.5} if mode == "cubic" else {}
    made = node("Resize", inputs, "y", **attrs, **more)
    agrees(model([made], {"x": (1, 2, 8, 15)}, constants=constants, opset=19), tmp_path)


@pytest.mark.parametrize("scale", [0.6, 0.7, 1.1, 2.5])
def test_nearest_elements_are_found_in_float32(scale: float, tmp_path: Path) -> None:
    """As torch and onnxruntime do: 3 / 0.6 is 5 there, and 4.9999998 in float64."""
    way = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    made = node("Resize", "x - s", "y", mode="nearest", axes=[2], **way)
    constants = {"s": np.array([scale], np.float32)}
    agrees(model([made], {"x": (1, 2, 41)}, constants=constants, opset=19), tmp_path)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_region_is_resized_and_padded(mode: str, tmp_path: Path) -> None:
    way = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.5}
    made = node("Resize", "x r - s", "y", mode=mode, axes=[2], **way)
    constants = {"r": np.array([-0.3, 1.2], np.float32), "s": ints(9)}
    agrees(model([made], {"x": (1, 2, 8, 3)}, constants=constants, opset=19), tmp_path)


def test_antialias_is_refused(tmp_path: Path) -> None:
    made = node("Resize", "x - s", "y", mode="linear", antialias=1)
    error = refused(
        model(
            [made], {"x": (1, 2, 8)}, constants={"s": np.array([1, 1, 0.5], np.float32)}, opset=19
        ),
        tmp_path,
    )
    assert error.code == "E111"
    assert "antialias" in str(error)
    assert "use Resize without antialias, its scales or sizes constant" in error.notice.tries


OLDER = {  # factors by their opset: Upsample up to 9, then Resize, which says as little of places
    7: ([2.0, 3.0], [1.5, 1.7]),
    9: ([2.0, 3.0], [1.5, 1.7]),
    10: ([2.0, 3.0], [1.5, 1.7], [0.6, 0.7], [0.5, 1.0]),
}


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("opset", "factors"), [(opset, each) for opset, all_of in OLDER.items() for each in all_of]
)
def test_older_opsets_resize_as_onnxruntime_does(
    opset: int, factors: list[float], mode: str, tmp_path: Path
) -> None:
    scales = [1.0, 1.0, *factors]
    if opset == 7:
        made, constants = node("Upsample", "x", "y", mode=mode, scales=scales), {}
    else:
        name = "Upsample" if opset == 9 else "Resize"
        made, constants = node(name, "x s", "y", mode=mode), {"s": np.array(scales, np.float32)}
    agrees(model([made], {"x": (1, 1, 5, 6)}, constants=constants, opset=opset), tmp_path)


def test_an_older_resize_that_rounds_both_ways_is_refused(tmp_path: Path) -> None:
    made, scales = node("Resize", "x s", "y"), np.array([1, 1, 2, 0.5], np.float32)
    given = model([made], {"x": (1, 1, 4, 6)}, constants={"s": scales}, opset=10)
    assert "one axis longer and another one shorter" in str(refused(given, tmp_path))
