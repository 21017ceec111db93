# SPDX-License-Identifier: Apache-2.0
"""Views, transposes, slices, padding, concatenation."""
