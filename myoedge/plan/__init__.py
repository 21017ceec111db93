# SPDX-License-Identifier: Apache-2.0
"""QuantGraph + Chip -> Plan: buffers, live ranges, offsets."""
