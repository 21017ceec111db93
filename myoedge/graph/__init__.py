# SPDX-License-Identifier: Apache-2.0
"""Graphs of tensors and nodes, all frozen, and the rules that rewrite them."""
