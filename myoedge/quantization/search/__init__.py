# SPDX-License-Identifier: Apache-2.0
"""The precision search: moves that bring a quantised network to its goal."""
