# SPDX-License-Identifier: Apache-2.0
"""Streams: quantised networks converted to process consecutive frames, with unchanged results.

Weight streaming from L3 is unrelated: plan/levels/transfers.py.
"""
