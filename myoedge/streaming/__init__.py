# SPDX-License-Identifier: Apache-2.0
"""QuantGraph -> Stream: the same integers, some frames of time after another.

Streams of weights from L3 are something else: plan/l3/transfers.py.
"""
