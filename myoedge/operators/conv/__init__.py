# SPDX-License-Identifier: Apache-2.0
"""Convolutions: dense, depthwise, and of int16."""
