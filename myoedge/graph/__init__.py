# SPDX-License-Identifier: Apache-2.0
"""Graphs of tensors and nodes, all immutable; matching and rewriting of node patterns."""
