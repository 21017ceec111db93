# SPDX-License-Identifier: Apache-2.0
"""Fused attention, and the rotary position embedding."""
