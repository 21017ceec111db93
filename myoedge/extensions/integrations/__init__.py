# SPDX-License-Identifier: Apache-2.0
"""Functions for training and experiment-tracking libraries: one module per library, which is
imported on use and needs the package's extra of the same name."""

from __future__ import annotations

from myoedge.extension import Extension

EXTENSION = Extension()
