# SPDX-License-Identifier: Apache-2.0
"""Moves of the precision search, one file per kind."""
