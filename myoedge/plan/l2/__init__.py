# SPDX-License-Identifier: Apache-2.0
"""Constants in L2: the choice of those that stay there, and deduplication."""
