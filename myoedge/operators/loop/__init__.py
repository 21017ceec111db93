# SPDX-License-Identifier: Apache-2.0
"""Loops: operators by which a part of the graph runs step by step."""
