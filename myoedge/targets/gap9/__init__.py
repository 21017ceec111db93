# SPDX-License-Identifier: Apache-2.0
"""GAP9: memories, engines, clocks, cycle and energy costs, errata."""
