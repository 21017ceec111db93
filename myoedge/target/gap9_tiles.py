# SPDX-License-Identifier: Apache-2.0
"""What the planner takes things to cost on GAP9, in cycles of the cluster clock.

Estimates. The rate of the DMA and its cost a line follow from mchan's two ports of 4 bytes
(recorded programs p19 and p20). The others, and the cycles that operators give for their kernels,
are rounded from single runs on the embedded simulator, not fitted: on All-ConvNet 16 x 8 they are
4 to 28 % low.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TileCosts:
    """Constants of the model of a layer in tiles.

    dma_bytes    moved a cycle
    dma_line     of every line of a transfer, beside its bytes
    dma_start    from the start of a transfer until its first byte
    step         of a barrier and of calling a kernel
    layer        from the end of a layer to the start of the next, transfers apart
    """

    dma_bytes: float = 8.0
    dma_line: float = 2.0
    dma_start: float = 60.0
    step: float = 80.0
    layer: float = 250.0


GAP9_TILES = TileCosts()
