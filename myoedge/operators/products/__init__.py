# SPDX-License-Identifier: Apache-2.0
"""What linear, conv, matmul and recurrent layers share: packing and tiling of matrix products."""
