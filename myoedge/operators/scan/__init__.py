# SPDX-License-Identifier: Apache-2.0
"""Linear recurrences h_t = a_t h_(t-1) + b_t along an axis."""
