# SPDX-License-Identifier: Apache-2.0
"""Constants in L2: the choice of resident ones, and deduplication."""
