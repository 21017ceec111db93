# SPDX-License-Identifier: Apache-2.0
"""Kernels for the cores, selected by a layer's size or element types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from myoedge.operators.format import INT8_ALONE, Format
from myoedge.operators.kernel import CLUSTER, NINE_CORES, Kernel, Tiling

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode


# The ninth core, the control core, joins each tile some hundred cycles late, after starting its
# transfers. With this many MACs, a tile is longer than nine times that.
NINE_CORES_MACS = 2**18


def low_scratch_fallback(
    tiling: Tiling,
    *formats: Format,
    accepts: Callable[[QuantizedNode], bool] = lambda node: True,
) -> Kernel:
    """Return a slower kernel with little scratch, for layers whose other kernels need more scratch
    than fits in L1."""
    return Kernel(CLUSTER, tiling, accepts, formats or (INT8_ALONE,), fallback=True)


def has_int16(step: QuantizedNode) -> bool:
    """Return whether operand, weights or result are int16; used as `accepts` of an int16 kernel."""
    return step.has_int16


def by_width(tiling: Tiling, wide: Tiling, *formats: Format) -> tuple[Kernel, ...]:
    """Return two kernels for eight cores, one for int8 only and one for int16.

    tiling, wide   tiling of the int8 and of the int16 kernel
    formats        formats of the int16 kernel
    """
    return (
        Kernel(CLUSTER, tiling, lambda node: not node.has_int16),
        Kernel(CLUSTER, wide, has_int16, formats),
    )


def is_large(macs: int) -> bool:
    """Return whether a layer with this number of multiply-accumulates is faster on nine cores."""
    return macs >= NINE_CORES_MACS


def on_nine_cores(
    tiling: Tiling, large: Callable[[QuantizedNode], bool], *formats: Format
) -> tuple[Kernel, ...]:
    """Return two kernels, for eight cores and for nine.

    large     layer -> whether the kernel for nine cores runs it
    formats   formats of both kernels in addition to int8
    """
    return (
        Kernel(CLUSTER, tiling, lambda node: not large(node), formats),
        Kernel(NINE_CORES, tiling, large, formats),
    )
