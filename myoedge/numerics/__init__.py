# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic and functions of one number, without an operator or a graph."""
