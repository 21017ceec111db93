# SPDX-License-Identifier: Apache-2.0
"""Time-domain features: sums over a window of steps, products and tests of neighbours."""
