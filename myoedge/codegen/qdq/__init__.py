# SPDX-License-Identifier: Apache-2.0
"""Plan -> model.int8.onnx, for onnxruntime as an independent judge."""
