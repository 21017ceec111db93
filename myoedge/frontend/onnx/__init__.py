# SPDX-License-Identifier: Apache-2.0
"""ONNX files -> Graph; a model file is data, nothing of it is run."""
