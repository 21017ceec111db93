# SPDX-License-Identifier: Apache-2.0
"""Shared parts of linear, conv, matmul and recurrent layers: quantised weights, packing, tiling."""
