# SPDX-License-Identifier: Apache-2.0
"""Complex tensors, represented as pairs of real tensors."""
