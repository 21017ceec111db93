# SPDX-License-Identifier: Apache-2.0
"""Loops: operators that run a part of the graph repeatedly, iteration by iteration."""
