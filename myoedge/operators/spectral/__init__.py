# SPDX-License-Identifier: Apache-2.0
"""Spectrograms and Fourier transforms."""
