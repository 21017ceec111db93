# SPDX-License-Identifier: Apache-2.0
"""Sliding windows along an axis, and slice assignment."""
