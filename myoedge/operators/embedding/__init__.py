# SPDX-License-Identifier: Apache-2.0
"""Rows of a constant table by integers: embeddings, one-hot vectors, functions of an integer."""
