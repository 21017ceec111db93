# SPDX-License-Identifier: Apache-2.0
"""Sums along an axis up to every element."""
