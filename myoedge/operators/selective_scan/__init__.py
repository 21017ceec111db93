# SPDX-License-Identifier: Apache-2.0
"""Selective scans of state-space models (Mamba) as one operator."""
