# SPDX-License-Identifier: Apache-2.0
"""Streams: QuantGraph -> Stream, the same integers over consecutive frames.

Weight streaming from L3 is a different thing: plan/l3/transfers.py.
"""
