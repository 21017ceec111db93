# SPDX-License-Identifier: Apache-2.0
"""How fast kernels are on the simulated chip: operands in L1, and whole operators from L2.

python -m tests.kernels.speed            the table, from runs
python -m tests.kernels.speed --record   the same, kept in tests/fixtures/kernel_cycles.json and
                                         docs/developers/performance.md
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import myoedge
from myoedge.building.loading import load_model
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.conftest import save_exported
from tests.kernels.dense import run_on_chip
from tests.kernels.dense_speed import shapes
from tests.kernels.drawn import Case, on_simulator
from tests.kernels.test_depthwise import KERNELS as depthwise
from tests.kernels.test_depthwise import Conv, case_of
from tests.kernels.test_elementwise import ALIGNED, eight_bit_cases, pair_case, table_cases
from tests.kernels.test_elementwise import KERNELS as elementwise
from tests.kernels.test_move import KERNELS as move
from tests.kernels.test_move import move_case, permute_case
from tests.kernels.test_recurrent_kernels import KERNELS as recurrent
from tests.kernels.test_recurrent_kernels import gates_case, steps_case
from tests.support.networks.layers import Function, Last, Layer
from tests.support.pages import head, show

KERNELS = {
    "depthwise": depthwise,
    "elementwise": elementwise,
    "move": move,
    "recurrent": recurrent,
}
RECORDED = Path(__file__).resolve().parents[1] / "fixtures" / "kernel_cycles.json"
COLUMNS = ("work per cycle on eight cores", "in L1", "target", "from L2", "target")
HEAD = head(*COLUMNS)
# Instruction caches that hold all code: what is left does not depend on how a program is laid out.
ROOMY = {
    **GAP9_CYCLES,
    **dict.fromkeys(("l0_sets", "l0_master_sets", "l1_cache_sets", "fc_cache_sets"), 4096),
}


@dataclass(frozen=True)
class Row:
    """What is run, and how much of it: MACs, or results where there are none.

    dense    name of a case of dense_speed    kernel  program and case of the others
    from_l2  a network of this layer alone    wanted  work a cycle in L1 and from L2, or 0
    """

    work: int
    dense: str = ""
    kernel: Callable[[], tuple[str, Case]] | None = None
    from_l2: Callable[[], Layer] | None = None
    wanted: tuple[float, float] = (0.0, 0.0)
    unit: str = "MAC"


def linear(rows: int, c: int, k: int) -> Callable[[], Layer]:
    return lambda: Layer(nn.Linear(c, k), ((rows, c),))


def conv(shape: tuple[int, ...], k: int, size: int, **more: int) -> Callable[[], Layer]:
    """Over images or sequences, channels last."""
    kind = nn.Conv2d if len(shape) == 4 else nn.Conv1d
    pads = {"padding": size // 2, **more}
    return lambda: Layer(Last(kind(shape[-1], k, size, **pads)), (shape,))  # type: ignore[arg-type]


def transposed(
    shape: tuple[int, ...], k: int, size: int, pad: int, **more: int
) -> Callable[[], Layer]:
    """Of stride 2."""
    kind = nn.ConvTranspose2d if len(shape) == 4 else nn.ConvTranspose1d
    options = {"stride": 2, "padding": pad, **more}
    return lambda: Layer(Last(kind(shape[-1], k, size, **options)), (shape,))  # type: ignore[arg-type]


def resized(
    shape: tuple[int, ...], size: tuple[int, ...], mode: str, **more: bool
) -> Callable[[], Layer]:
    """Channels last, but for sequences."""
    made = Function(lambda x: F.interpolate(x, size=size, mode=mode, **more))
    return lambda: Layer(Last(made) if len(shape) == 4 else made, (shape,))


def normalised(norm: nn.Module) -> Callable[[], Layer]:
    """Channels last."""
    return lambda: Layer(Last(norm), ((1, 20, 20, 64),))


def product(m: int, c: int, k: int) -> Callable[[], Layer]:
    return lambda: Layer(Function(torch.matmul), ((m, c), (c, k)))


def product_of_rows(m: int, c: int, k: int) -> Callable[[], Layer]:
    """b is given as rows: a @ b.transpose(-1, -2)."""
    return lambda: Layer(Function(lambda a, b: a @ b.transpose(-1, -2)), ((m, c), (k, c)))


def patches() -> Layer:
    return Layer(Last(nn.Conv2d(1, 192, (1, 20), (1, 20))), ((1, 1, 1280, 1),))


def seeded() -> np.random.Generator:
    return np.random.default_rng(9)


def moved(function: Callable[..., Tensor], count: int, *shape: int) -> Layer:
    """A function of `count` tensors of one shape."""
    return Layer(Function(function), (shape,) * count)


def rotated_halves(x: Tensor) -> Tensor:
    """Halves of [..., 128, 64] turned, as rotate_half does."""
    angles = torch.outer(torch.arange(128.0), 100.0 ** (-torch.arange(32.0) / 32)).repeat(1, 2)
    a, b = x.chunk(2, -1)
    return x * angles.cos() + torch.cat((-b, a), -1) * angles.sin()


def paired(op: str, *shapes: tuple[int, ...]) -> Callable[[], tuple[str, Case]]:
    return lambda: ("elementwise", pair_case(seeded(), op, *shapes, 0, simple=True))


def steps(op: str, units: int) -> Callable[[], tuple[str, Case]]:
    """32 steps, one behind the other."""
    return lambda: ("recurrent", steps_case(seeded(), op, 32, 1, units))


def normed(rows: int, length: int) -> Callable[[], Layer]:
    return lambda: Layer(Function(lambda x: F.layer_norm(x, (length,))), ((rows, length),))


ROWS: Mapping[str, Row] = {
    "linear 64 x 192 x 64": Row(
        786_432, "linear 64 x 192 x 64", from_l2=linear(64, 192, 64), wanted=(17.5, 16.5)
    ),
    "linear 64 x 768 x 64": Row(
        3_145_728, "linear 64 x 768 x 64", from_l2=linear(64, 768, 64), wanted=(19.5, 18.0)
    ),
    "conv 1x1 64 x 192 x 64": Row(
        786_432,
        "conv 1x1, 8x8, 192 -> 64",
        from_l2=conv((1, 8, 8, 192), 64, 1),
        wanted=(17.5, 16.5),
    ),
    "matmul 64 x 192 x 64": Row(
        786_432,
        "matmul 64 x 192 x 64, b_zero = 0",
        from_l2=product(64, 192, 64),
        wanted=(17.5, 16.5),
    ),
    "matmul 64 x 768 x 64": Row(3_145_728, from_l2=product(64, 768, 64), wanted=(19.5, 18.0)),
    "matmul 64 x 192 x 64, b in rows": Row(
        786_432,
        "the same, b_zero = 0",
        from_l2=product_of_rows(64, 192, 64),
        wanted=(17.5, 16.5),
    ),
    "matmul 64 x 768 x 64, b in rows": Row(
        3_145_728, from_l2=product_of_rows(64, 768, 64), wanted=(19.5, 18.0)
    ),
    "conv 3x3 16x16, 64 -> 64": Row(
        9_437_184,
        "conv 3x3, 16x16, 64 -> 64",
        from_l2=conv((1, 16, 16, 64), 64, 3),
        wanted=(17.5, 16.5),
    ),
    "conv 1d 256, 32 -> 32, k = 3": Row(
        786_432,
        "conv 1x3, 256 steps, 32 -> 32",
        from_l2=conv((1, 256, 32), 32, 3),
        wanted=(14.0, 13.0),
    ),
    "conv 1d 256, 32 -> 32, k = 21": Row(
        5_505_024,
        "conv 1x21, 256 steps, 32 -> 32",
        from_l2=conv((1, 256, 32), 32, 21),
        wanted=(17.0, 16.0),
    ),
    "conv 3x3 32x32, 3 -> 16": Row(
        442_368,
        "conv 3x3, 32x32, 3 -> 16",
        from_l2=conv((1, 32, 32, 3), 16, 3),
        wanted=(8.0, 7.0),
    ),
    "conv 3x3 32x32, 1 -> 16": Row(
        147_456,
        "conv 3x3, 32x32, 1 -> 16",
        from_l2=conv((1, 32, 32, 1), 16, 3),
        wanted=(4.5, 4.0),
    ),
    "conv 1x20 stride 20, 1 -> 192": Row(
        245_760,
        "conv 1x20, stride 20, 64 steps, 1 -> 192",
        from_l2=patches,
        wanted=(8.0, 7.0),
    ),
    "conv 1x64 8x400, 1 -> 8": Row(
        1_642_496,
        from_l2=lambda: Layer(Last(nn.Conv2d(1, 8, (1, 64), padding=(0, 32))), ((1, 8, 400, 1),)),
        wanted=(0.0, 10.0),
    ),
    "conv 1x15 8x400, 1 -> 2": Row(
        92_640, from_l2=lambda: Layer(Last(nn.Conv2d(1, 2, (1, 15))), ((1, 8, 400, 1),))
    ),
    "conv 3x3 32x32, 1 -> 8": Row(73_728, from_l2=conv((1, 32, 32, 1), 8, 3)),
    "conv 3x3 64x64, 1 -> 2": Row(73_728, from_l2=conv((1, 64, 64, 1), 2, 3)),
    "conv 3x3 64x64, 1 -> 8": Row(294_912, from_l2=conv((1, 64, 64, 1), 8, 3)),
    "conv 5x5 32x32, 1 -> 4": Row(102_400, from_l2=conv((1, 32, 32, 1), 4, 5)),
    "depthwise 3x3 16x16x64": Row(
        147_456,
        kernel=lambda: ("depthwise", case_of(seeded(), Conv(16, 16, 64), simple=True)),
        from_l2=conv((1, 16, 16, 64), 64, 3, groups=64),
        wanted=(5.5, 4.5),
    ),
    "transposed conv 4x4 stride 2, 16x16, 32 -> 16": Row(
        2_097_152, from_l2=transposed((1, 16, 16, 32), 16, 4, 1), wanted=(0.0, 12.0)
    ),
    "transposed conv 2x2 stride 2, 16x16, 32 -> 16": Row(
        524_288, from_l2=transposed((1, 16, 16, 32), 16, 2, 0), wanted=(0.0, 9.0)
    ),
    "transposed conv 1d k = 4, stride 2, 256, 32 -> 32": Row(
        1_048_576, from_l2=transposed((1, 256, 32), 32, 4, 1), wanted=(0.0, 12.0)
    ),
    "transposed depthwise 4x4 stride 2, 16x16x16": Row(
        65_536, from_l2=transposed((1, 16, 16, 16), 16, 4, 1, groups=16)
    ),
    "matrix times vector 256 x 256": Row(
        65_536, "linear 1 x 256 x 256", from_l2=linear(1, 256, 256), wanted=(11.0, 6.0)
    ),
    "gates 32 x 192 x 384": Row(
        32 * 192 * 384, kernel=lambda: ("recurrent", gates_case(seeded(), 32, 192, 384))
    ),
    "LSTM, 32 steps of 96 units": Row(32 * 4 * 96 * 96, kernel=steps("lstm", 96)),
    "LSTM, 32 steps of 30 units": Row(32 * 4 * 30 * 30, kernel=steps("lstm", 30)),
    "GRU, 32 steps of 96 units": Row(32 * 3 * 96 * 96, kernel=steps("gru", 96)),
    "add 16x16x64": Row(
        16_384,
        kernel=lambda: ("elementwise", pair_case(seeded(), "add", *ALIGNED, 0, simple=True)),
        wanted=(0.9, 0.0),
        unit="result",
    ),
    "add 16x16x64, 8-bit multipliers": Row(
        16_384,
        kernel=lambda: ("elementwise", eight_bit_cases()[0]),
        wanted=(1.3, 0.0),
        unit="result",
    ),
    "product 256x4": Row(1024, kernel=paired("mul", (256, 4), (256, 4)), unit="result"),
    "product 256x1 times 256x4": Row(1024, kernel=paired("mul", (256, 1), (256, 4)), unit="result"),
    "product 64x64x1 times 64x1x16": Row(
        65_536, kernel=paired("mul", (64, 64, 1), (64, 1, 16)), unit="result"
    ),
    "product 256x4x4 times 256x1x4": Row(
        4096, kernel=paired("mul", (256, 4, 4), (256, 1, 4)), unit="result"
    ),
    "sum 256x64 and 64": Row(16_384, kernel=paired("add", (256, 64), (64,)), unit="result"),
    "table 16384": Row(
        16_384,
        kernel=lambda: ("elementwise", table_cases()[0]),
        wanted=(2.0, 0.0),
        unit="result",
    ),
    "layer norm 128 x 192": Row(24_576, from_l2=normed(128, 192), unit="result"),
    "group norm of 8 groups 20x20x64": Row(
        25_600, from_l2=normalised(nn.GroupNorm(8, 64)), unit="result"
    ),
    "instance norm 20x20x64": Row(25_600, from_l2=normalised(nn.InstanceNorm2d(64)), unit="result"),
    "layer norm 16 x 4096": Row(65_536, from_l2=normed(16, 4096), unit="result"),
    "deviation of 64 signals of 400": Row(
        25_600,
        from_l2=lambda: Layer(Function(lambda x: x.std(-1)), ((64, 400),)),
        unit="element",
    ),
    "bilinear 48x48x16 to 96x96": Row(
        147_456, from_l2=resized((1, 48, 48, 16), (96, 96), "bilinear"), unit="result"
    ),
    "bicubic 24x24x16 to 48x48": Row(
        36_864, from_l2=resized((1, 24, 24, 16), (48, 48), "bicubic"), unit="result"
    ),
    "linear resizing of 8 signals, 400 to 1000": Row(
        8000, from_l2=resized((1, 8, 400), (1000,), "linear"), unit="result"
    ),
    "nearest 48x48x16 to 72x72": Row(
        82_944, from_l2=resized((1, 48, 48, 16), (72, 72), "nearest"), unit="result"
    ),
    "nearest 32x32x32 to 64x64": Row(
        131_072, from_l2=resized((1, 32, 32, 32), (64, 64), "nearest"), unit="result"
    ),
    "softmax 256 x 128": Row(
        32_768,
        from_l2=lambda: Layer(Function(lambda x: F.softmax(x, -1)), ((256, 128),)),
        unit="result",
    ),
    "PReLU 32x32x64": Row(
        65_536, from_l2=lambda: Layer(nn.PReLU(64), ((1, 64, 32, 32),)), unit="result"
    ),
    "transpose 128 x 128": Row(
        16_384,
        kernel=lambda: ("move", permute_case(seeded(), (128, 128), (1, 0))),
        wanted=(2.0, 0.0),
        unit="result",
    ),
    "channels first to last 3x32x32": Row(
        3072,
        kernel=lambda: ("move", permute_case(seeded(), (3, 32, 32), (1, 2, 0))),
        wanted=(2.0, 0.0),
        unit="result",
    ),
    "embedding 128 x 128 of 1000 rows": Row(
        16_384, from_l2=lambda: Layer(nn.Embedding(1000, 128), ((128,),), 1000), unit="result"
    ),
    "embedding 256 x 192 of 1000 rows, by DMA": Row(
        49_152, from_l2=lambda: Layer(nn.Embedding(1000, 192), ((256,),), 1000), unit="result"
    ),
    "products of 16384 ids": Row(
        16_384, from_l2=lambda: Layer(Function(lambda x: x * 3), ((16_384,),), 1000), unit="result"
    ),
    "sums up to each of 16 x 1024 ids": Row(
        16_384,
        from_l2=lambda: Layer(Function(lambda x: x.cumsum(1)), ((16, 1024),), 1000),
        unit="result",
    ),
    "masks of 16384 ids": Row(
        16_384,
        from_l2=lambda: Layer(Function(lambda x: (x != 0).float()), ((16_384,),), 1000),
        unit="result",
    ),
    "two tensors of 8192, interleaved": Row(
        16_384, from_l2=lambda: moved(lambda a, b: torch.stack((a, b), -1), 2, 8192), unit="result"
    ),
    "columns of 4096 x 4, four tensors": Row(
        16_384, from_l2=lambda: moved(lambda a: a.unbind(-1), 1, 4096, 4), unit="result"
    ),
    "one column of 8192 x 8": Row(
        8192, from_l2=lambda: moved(lambda a: a[:, 3], 1, 8192, 8), unit="result"
    ),
    "every fourth of 16 x 64 rows of 16": Row(
        4096, from_l2=lambda: moved(lambda a: a[:, ::4], 1, 16, 64, 16), unit="result"
    ),
    "angles of 16384 points": Row(
        16_384, from_l2=lambda: moved(torch.atan2, 2, 16_384), unit="result"
    ),
    "rotary embedding of halves 128 x 64": Row(
        8192, from_l2=lambda: Layer(Function(rotated_halves), ((1, 128, 64),)), unit="result"
    ),
    "copy 16384": Row(
        16_384,
        kernel=lambda: ("move", move_case(seeded(), 1, 16384, (0, 0), 0, fill=False)),
        unit="result",
    ),
}


def in_l1(costs: Mapping[str, int] = GAP9_CYCLES) -> dict[str, int]:
    """Cycles of a second call, whose code is in the caches as far as they hold it."""
    wanted = {name: row for name, row in ROWS.items() if row.dense}
    cases = [shapes()[row.dense][0] for row in wanted.values()]
    with tempfile.TemporaryDirectory() as folder:
        runs = run_on_chip(cases, Path(folder), 2, costs)
        found = {name: ran.warm for name, ran in zip(wanted, runs, strict=True)}
        for name, row in ROWS.items():
            if row.kernel is not None:
                program, case = row.kernel()
                ((_, cycles),) = on_simulator(
                    program, KERNELS[program], [case], Path(folder), costs
                )
                found[name] = cycles
    return found


def from_l2() -> dict[str, int]:
    """Cycles of a network of one layer, its first inference: transfers, start and end included."""
    found = {}
    for name, row in ROWS.items():
        if row.from_l2 is not None:
            with tempfile.TemporaryDirectory() as folder:
                found[name] = _inference(row.from_l2(), Path(folder))
    return found


def _inference(layer: Layer, folder: Path) -> int:
    torch.manual_seed(0)
    dtype = torch.int64 if layer.ids else torch.float32
    inputs = tuple(torch.zeros(shape, dtype=dtype) for shape in layer.shapes)
    model = save_exported(layer.module.eval(), inputs, folder / "model.pt2")
    rng, names = np.random.default_rng(0), load_model(model).graph.inputs
    calib = {
        name: rng.integers(layer.ids, size=(2, *shape))
        if layer.ids
        else rng.standard_normal((2, *shape)).astype(np.float32)
        for name, shape in zip(names, layer.shapes, strict=True)
    }
    build = myoedge.build(model, calib=calib, output=folder / "out", engine="cores")
    return int(myoedge.simulate(build).report["cycles"]["total"])


def measured() -> dict[str, dict[str, int]]:
    return {"in L1": in_l1(), "from L2": from_l2(), "without misses": in_l1(ROOMY)}


def lines(found: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """Name and unit, work a cycle and what is wanted, in L1 and from L2."""
    made = []
    for name, row in ROWS.items():
        cells = [f"{name}, {row.unit}s"]
        for place, wanted in zip(("in L1", "from L2"), row.wanted, strict=True):
            cycles = found[place].get(name)
            cells += [f"{row.work / cycles:.2f}" if cycles else "", f"{wanted:g}" if wanted else ""]
        made.append(cells)
    return made


def main() -> None:
    found = measured()
    show(found, COLUMNS, lines(found), RECORDED)


if __name__ == "__main__":
    main()
