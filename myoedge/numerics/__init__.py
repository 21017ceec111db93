# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic and pointwise functions, independent of operators and graphs."""
