# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic on computed indices and positions, and comparisons of integers."""
