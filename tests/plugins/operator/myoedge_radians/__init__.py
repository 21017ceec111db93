# SPDX-License-Identifier: Apache-2.0
"""Degrees to radians: a folder like those of myoedge/operators, with its C."""
