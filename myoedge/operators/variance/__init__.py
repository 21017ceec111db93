# SPDX-License-Identifier: Apache-2.0
"""Variance, standard deviation and vector norms over axes."""
