# SPDX-License-Identifier: Apache-2.0
"""Fake quantisation: a tensor is quantised and dequantised with parameters from the model file."""
