# SPDX-License-Identifier: Apache-2.0
"""Cumulative sums along an axis."""
