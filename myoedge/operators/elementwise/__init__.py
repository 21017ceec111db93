# SPDX-License-Identifier: Apache-2.0
"""Sums, products, tables, and other operators on elements."""
