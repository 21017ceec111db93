# SPDX-License-Identifier: Apache-2.0
"""Quantisation of a graph with calibration samples: scales, integers, precision search, SQNR."""
