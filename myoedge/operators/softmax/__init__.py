# SPDX-License-Identifier: Apache-2.0
"""Softmax, log-softmax, argmax, and decoding of class indices over time."""
