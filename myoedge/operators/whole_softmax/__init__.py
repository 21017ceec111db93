# SPDX-License-Identifier: Apache-2.0
"""Softmax of networks of whole numbers: exponentials by a polynomial, or by powers of two."""
