# SPDX-License-Identifier: Apache-2.0
"""Rounding of a tensor to parameters of the model file: quantised and dequantised again."""
