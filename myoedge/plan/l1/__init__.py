# SPDX-License-Identifier: Apache-2.0
"""Layers in L1: tile sizes, buffers, transfers, prefetch, resident tensors."""
