# SPDX-License-Identifier: Apache-2.0
"""Complex tensors, which are pairs of real ones."""
