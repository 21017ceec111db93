# SPDX-License-Identifier: Apache-2.0
"""How many cores of the cluster share a layer: eight, or the one that moves data as well."""

from __future__ import annotations

from myoedge.operators.kernel import WORKERS

EVERYONE = WORKERS + 1

# The ninth core comes some hundred cycles late to every tile, when it has started what is to be
# moved meanwhile. A layer of so many MACs has tiles that are longer than nine times that.
LEAST_MACS = 2**18


def helped(macs: int) -> bool:
    """Whether the core that moves data computes as well, where a kernel can be shared with it."""
    return macs >= LEAST_MACS


def cores(is_helped: bool) -> int:
    return EVERYONE if is_helped else WORKERS
