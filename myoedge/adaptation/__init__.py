# SPDX-License-Identifier: Apache-2.0
"""Adaptation of a built network to labelled windows of a new session, with integer arithmetic.

Reference implementation of firmware_templates/adapt/: the same integers in the same order.
"""
