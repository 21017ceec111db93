# SPDX-License-Identifier: Apache-2.0
"""The larger of two tensors, element by element."""
