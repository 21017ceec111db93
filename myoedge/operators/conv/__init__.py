# SPDX-License-Identifier: Apache-2.0
"""Convolutions, dense and depthwise, with int8 and int16 data."""
