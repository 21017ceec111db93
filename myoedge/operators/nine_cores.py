# SPDX-License-Identifier: Apache-2.0
"""Layers that nine cores of the cluster share: eight, and the control core that moves data."""

from __future__ import annotations

# The ninth core comes some hundred cycles late to every tile, when it has started what is to be
# moved meanwhile. A layer of so many MACs has tiles that are longer than nine times that.
LEAST_MACS = 2**18


def is_large(macs: int) -> bool:
    """Whether a layer of so many MACs is faster on nine cores."""
    return macs >= LEAST_MACS
