# SPDX-License-Identifier: Apache-2.0
"""Streams: QuantGraph -> Stream, the same integers over consecutive frames.

Streams of weights from L3 are something else: plan/l3/transfers.py.
"""
