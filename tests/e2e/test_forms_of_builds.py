# SPDX-License-Identifier: Apache-2.0
"""What builds choose beside ranges: factors that spare the axis of time, 16 bits of what a file
that is quantised already leaves in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import myoedge
from tests.conftest import save_exported

FRAMES, CHANNELS = 16, 6


class Mixed(nn.Module):
    """A product over time, whose weights make up for an amplitude that grows with time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix, self.head = nn.Linear(FRAMES, FRAMES), nn.Linear(CHANNELS, CHANNELS)
        with torch.no_grad():
            self.mix.weight /= torch.logspace(0, 3, FRAMES)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.mix(x.transpose(0, 1))).transpose(0, 1))
        return found


def test_a_stream_in_windows_has_no_factors_along_time(tmp_path: Path) -> None:
    """The same network without --stream has them."""
    example = (torch.zeros(FRAMES, CHANNELS),)
    model = save_exported(Mixed().eval(), example, tmp_path / "model.pt2")
    x = np.random.default_rng(0).standard_normal((24, FRAMES, CHANNELS))
    x = (x * np.logspace(0, 3, FRAMES)[:, None]).astype(np.float32)
    config = tmp_path / "my.toml"
    config.write_text("[stream]\naxis = 0\npast = 12\n")
    options = {"calib": x, "target": "gap9", "config": config, "simulate": False}
    window = myoedge.build(model, output=tmp_path / "window", **options)
    assert [border.axis for border in window.network.graph.input_normalization.values()] == [0]
    stream = myoedge.build(model, output=tmp_path / "stream", stream=True, **options)
    assert not stream.network.graph.input_normalization
    assert myoedge.validate(stream, on="host").exact["host"]


def quantised_sum(folder: Path) -> tuple[Path, np.ndarray]:  # type: ignore[type-arg]
    """(QDQ file: int8 x plus a constant in float, in 16 bits; samples)."""
    rng = np.random.default_rng(0)
    added = rng.standard_normal((1, 8, 16)).astype(np.float32)
    added[0, 0, 0] = 20.0  # 8 bits leave the others few steps
    scales = {"x.scale": 3.0 / 127, "y.scale": 25.0 / 32767}
    zeros = {"x.zero": np.int8(0), "y.zero": np.int16(0)}
    constants = {name: np.float32(scale) for name, scale in scales.items()} | zeros
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x.scale", "x.zero"], ["x.q"]),
        helper.make_node("DequantizeLinear", ["x.q", "x.scale", "x.zero"], ["x.d"]),
        helper.make_node("Add", ["x.d", "added"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "y.scale", "y.zero"], ["y.q"]),
        helper.make_node("DequantizeLinear", ["y.q", "y.scale", "y.zero"], ["y"]),
    ]
    stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8, 16]) for n in "xy"]
    graph = helper.make_graph(
        nodes, "g", ports[:1], ports[1:], [*stored, numpy_helper.from_array(added, "added")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path, np.clip(rng.standard_normal((16, 1, 8, 16)), -3, 3).astype(np.float32)


def test_what_a_file_leaves_in_float_has_16_bits(tmp_path: Path) -> None:
    """Where that costs hardly any cycles, and 8 bits keep less than 40 dB of onnxruntime's run."""
    file, x = quantised_sum(tmp_path)
    build = myoedge.build(file, calib=x, target="gap9", output=tmp_path / "build", simulate=False)
    session = onnxruntime.InferenceSession(file)
    wanted = np.stack([session.run(None, {"x": sample})[0] for sample in x]).astype(np.float64)
    error = np.stack([build.run(sample) for sample in x]) - wanted
    assert 10 * np.log10(np.sum(wanted**2) / np.sum(error**2)) > 60.0
    assert build.network.int16
    assert myoedge.validate(build, on="host").exact["host"]
