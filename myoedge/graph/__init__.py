# SPDX-License-Identifier: Apache-2.0
"""Graphs of tensors and nodes, all immutable, and rewrite patterns."""
