# SPDX-License-Identifier: Apache-2.0
"""Resizing along an axis: nearest elements, and weighted sums of neighbours."""
