# SPDX-License-Identifier: Apache-2.0
"""Export of the maximum of two tensors as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.qdq import Write, named

WRITE: Mapping[str, Write] = {"maximum": named("Max")}
