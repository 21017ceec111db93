# SPDX-License-Identifier: Apache-2.0
"""Operators as descriptions: an index map and a fixed-point formula per element."""
