# SPDX-License-Identifier: Apache-2.0
"""Lookup of table rows by integers: embeddings, one-hot vectors, functions of an integer."""
