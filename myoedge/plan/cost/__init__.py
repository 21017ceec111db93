# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of layers and networks."""
