# SPDX-License-Identifier: Apache-2.0
"""Gathers: elements along an axis by computed indices."""
