# SPDX-License-Identifier: Apache-2.0
"""Plan -> Sources: C from templates, and the annotated ONNX file."""
