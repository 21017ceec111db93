# SPDX-License-Identifier: Apache-2.0
"""The precision search: changes (moves) to a quantised network until its outputs reach an SQNR
goal."""
