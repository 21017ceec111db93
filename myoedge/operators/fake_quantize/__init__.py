# SPDX-License-Identifier: Apache-2.0
"""Rounding of a tensor to parameters that a file gives: quantised and dequantised again."""
