# SPDX-License-Identifier: Apache-2.0
"""Import of ONNX files: ONNX -> Graph. A model file is only data; nothing in it is executed."""
