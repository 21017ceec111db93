# SPDX-License-Identifier: Apache-2.0
"""Requantisation by multipliers and shifts that a file gives, of networks of whole numbers."""
