# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of integers: ids and positions that a network computes, comparisons of them."""
