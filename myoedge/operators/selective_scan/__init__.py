# SPDX-License-Identifier: Apache-2.0
"""Selective scans of state-space models as one operator: decays, products, states and readout."""
