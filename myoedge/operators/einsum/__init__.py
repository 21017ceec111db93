# SPDX-License-Identifier: Apache-2.0
"""Sums of products of tensors by the letters of their axes."""
