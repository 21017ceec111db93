# SPDX-License-Identifier: Apache-2.0
"""Operators that move data: views, transposes, slices, padding, concatenation."""
