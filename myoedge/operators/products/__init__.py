# SPDX-License-Identifier: Apache-2.0
"""Matrix products of linear, conv, matmul and recurrent layers: weights, packing, tiling."""
