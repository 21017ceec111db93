# SPDX-License-Identifier: Apache-2.0
"""The maximum of two tensors, element by element."""
