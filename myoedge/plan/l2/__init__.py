# SPDX-License-Identifier: Apache-2.0
"""Constants in L2: which stay resident, and which are stored once."""
