# SPDX-License-Identifier: Apache-2.0
"""Scalers, linear models and support vector machines of ai.onnx.ml, built from existing
operators."""
