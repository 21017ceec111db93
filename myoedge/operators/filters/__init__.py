# SPDX-License-Identifier: Apache-2.0
"""Causal filters and running normalisation of raw signals, in int16."""
