# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic: computed ids and positions, and comparisons."""
