# SPDX-License-Identifier: Apache-2.0
"""How fast the dense kernels are with operands in L1: `python -m tests.kernels.dense_speed`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.kernels.dense import Ran, run_on_chip
from tests.kernels.dense_cases import Asked, Case, conv_case, matmul_case

AROUND = ((1, 1), (1, 1))


def _conv(h: int, w: int, c: int, k: int, size: int = 1) -> Case:
    pads = AROUND if size == 3 else ((0, 0), (0, 0))
    few = size == 3 and c <= 16
    return conv_case(Asked(h, w, c, k, (size, size), pads=pads, padded=few))


def _conv1d(c: int, k: int, taps: int) -> Case:
    return conv_case(Asked(1, 256, c, k, (1, taps), pads=((0, 0), (taps // 2, taps // 2))))


def _linear(rows: int, c: int, k: int, **more: int) -> Case:
    return conv_case(Asked(rows, 1, c, k, linear=True, **more))  # type: ignore[arg-type]


def shapes() -> Mapping[str, tuple[Case, float]]:
    """Cases, and the multiply-accumulates a cycle that they are not to fall below, caches warm."""
    whole = conv_case(Asked(1, 1280, 1, 192, (1, 20), stride=(1, 20)))
    clamped = conv_case(Asked(64, 1, 192, 64, linear=True, low=-10))
    table = conv_case(Asked(64, 1, 192, 64, linear=True, table=True))
    return {
        "linear 64 x 192 x 64": (_linear(64, 192, 64), 17.5),
        "linear 64 x 768 x 64": (_linear(64, 768, 64), 19.5),
        "the first, rows 4 bytes apart": (_linear(64, 192, 64, row_gap=4), 17.5),
        "the first, clamped": (clamped, 17.2),
        "the first, with a table": (table, 16.2),
        "linear 63 x 191 x 61": (_linear(63, 191, 61), 15.0),
        "linear 64 x 192 x 10": (_linear(64, 192, 10), 13.0),
        "linear 5 x 192 x 64": (_linear(5, 192, 64), 10.2),
        "linear 1 x 256 x 256": (_linear(1, 256, 256), 11.0),
        "conv 1x1, 8x8, 192 -> 64": (_conv(8, 8, 192, 64), 17.5),
        "conv 3x3, 16x16, 64 -> 64": (_conv(16, 16, 64, 64, 3), 17.5),
        "conv 3x3, 15x15, 33 -> 35": (_conv(15, 15, 33, 35, 3), 14.2),
        "conv 3x3, 32x32, 3 -> 16": (_conv(32, 32, 3, 16, 3), 7.8),
        "conv 3x3, 32x32, 1 -> 16": (_conv(32, 32, 1, 16, 3), 4.4),
        "conv 1x3, 256 steps, 32 -> 32": (_conv1d(32, 32, 3), 14.0),
        "conv 1x21, 256 steps, 32 -> 32": (_conv1d(32, 32, 21), 17.0),
        "conv 1x20, stride 20, 64 steps, 1 -> 192": (whole, 8.0),
        "matmul 64 x 192 x 64": (matmul_case(64, 192, 64), 15.5),
        "matmul 64 x 192 x 64, b turned": (matmul_case(64, 192, 64, turned=True), 16.0),
        "the same, b_zero = 0": (matmul_case(64, 192, 64, turned=True, zeros=(3, 0)), 17.15),
        "matmul 64 x 192 x 64, b_zero = 0": (matmul_case(64, 192, 64, zeros=(3, 0)), 16.85),
        "matmul 59 x 96 x 59": (matmul_case(59, 96, 59, zeros=(3, 0)), 11.6),
    }


def measured() -> Mapping[str, tuple[Case, Ran, float]]:
    wanted = shapes()
    with tempfile.TemporaryDirectory() as folder:
        runs = run_on_chip([case for case, _ in wanted.values()], Path(folder), runs=2)
    rows = zip(wanted.items(), runs, strict=True)
    return {name: (case, ran, least) for (name, (case, least)), ran in rows}


def main() -> None:
    print(f"{'':42s} {'MAC':>9s} {'cold':>8s} {'warm':>8s} cycles  MAC/cycle cold, warm")
    for name, (case, ran, _) in measured().items():
        speeds = f"{case.macs / ran.cold:6.2f} {case.macs / ran.warm:6.2f}"
        print(f"{name:42s} {case.macs:9,d} {ran.cold:8,d} {ran.warm:8,d}         {speeds}")


if __name__ == "__main__":
    main()
