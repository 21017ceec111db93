# SPDX-License-Identifier: Apache-2.0
"""Variance, deviation and length over axes."""
