# SPDX-License-Identifier: Apache-2.0
"""Streams: a quantised network converted to process consecutive frames, with the same integers.

Weight streaming from L3 is unrelated: plan/l3/transfers.py.
"""
