# SPDX-License-Identifier: Apache-2.0
"""einsum: sums of products of tensors, with lettered axes."""
