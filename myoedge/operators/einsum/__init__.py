# SPDX-License-Identifier: Apache-2.0
"""Import of einsum: sums of products of tensors whose axes are named by letters."""
