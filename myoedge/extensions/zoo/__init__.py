# SPDX-License-Identifier: Apache-2.0
"""Networks and recordings for examples and tests; no other package imports them."""

from __future__ import annotations

from myoedge.extension import Extension

EXTENSION = Extension()
