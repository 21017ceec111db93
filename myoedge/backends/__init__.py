# SPDX-License-Identifier: Apache-2.0
"""Backends that run a build: host, onnxruntime, simulator, GVSoC, board."""
