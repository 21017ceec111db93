# SPDX-License-Identifier: Apache-2.0
"""Resizing along an axis, by nearest elements or by weighted sums of neighbours."""
