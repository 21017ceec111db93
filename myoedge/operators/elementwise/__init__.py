# SPDX-License-Identifier: Apache-2.0
"""Pointwise operators: sums, products, tables and others."""
