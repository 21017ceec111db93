# SPDX-License-Identifier: Apache-2.0
"""Code generation: C from templates, and the annotated ONNX file."""
