# SPDX-License-Identifier: Apache-2.0
"""Import of ONNX files. A file is treated as data; no code from it is executed."""
