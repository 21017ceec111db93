# SPDX-License-Identifier: Apache-2.0
"""me_attention_s8: rows of heads against the operator's integer meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attention import ATTENTION
from myoedge.operators.attention.operands import FINE_BITS, sizes_of
from myoedge.operators.base import QuantizedNode, QuantizeInputs
from myoedge.operators.interpreter import integer_step
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_elementwise import draw_bytes, qparams

KERNELS = ("me_attention_s8", "me_attention_exp12_s8")
# rows, keys, width, columns, window, whether something is added, keys at a time (0: all)
SIZES = (
    (8, 160, 64, 64, None, False, 0), (8, 8, 4, 4, None, False, 0), (5, 13, 8, 12, None, True, 0),
    (1, 1, 4, 4, None, False, 0), (3, 198, 64, 64, None, False, 0),
    (20, 20, 16, 8, (2**20, 0), False, 0), (37, 37, 8, 4, (5, 4), True, 0),
    (16, 16, 4, 4, (0, 0), False, 0), (9, 40, 12, 4, (1, 2**20), False, 0),
    (8, 160, 64, 64, None, False, 40), (5, 13, 8, 12, None, True, 4),
    (3, 98, 64, 64, None, False, 64), (20, 20, 16, 8, (2**20, 0), False, 8),
    (37, 37, 8, 4, (5, 4), True, 12), (16, 16, 4, 4, (0, 0), False, 4),
    (9, 41, 12, 4, (1, 2**20), False, 16),
)  # fmt: skip
# the same with a mask; whether a row whose keys are all hidden has equal shares
MASKED = (
    ((5, 13, 8, 12, None, True, 0), True), ((5, 13, 8, 12, None, False, 4), False),
    ((37, 37, 8, 4, (5, 4), True, 12), True), ((1, 1, 4, 4, None, False, 0), False),
    ((37, 37, 8, 4, (1, 1), False, 0), True), ((37, 37, 8, 4, (1, 1), True, 0), False),
)  # fmt: skip
# the same of some heads, what is added for each of them or for all: heads, whether for each
HEADS = (
    ((8, 8, 8, 4, None, False, 0), 5, False), ((5, 13, 8, 12, None, True, 0), 3, True),
    ((1, 7, 4, 8, None, True, 4), 9, False), ((9, 9, 4, 4, (2, 1), True, 4), 2, True),
)  # fmt: skip
FIELDS = (
    "half", "most", "mult", "shift", "bias_mult", "bias_shift", "share", "offset", "out_shift",
)  # fmt: skip


def case_of(
    rng: np.random.Generator, rows: int, keys: int, width: int, columns: int, window: object,
    biased: bool, part: int, *, nine_cores: bool = False, masked: bool = False, flat: bool = False,
    heads: int = 1, each: bool = False, fine: bool = False,
) -> Case:  # fmt: skip
    filled = -(-keys // 4) * 4
    shapes = ((1, rows, heads, width), (1, keys, heads, width), (1, heads, columns, filled))
    shapes = (*shapes, *[(1, heads if each else 1, rows, keys)] * (biased + masked))
    attrs = {"scale": float(2.0 ** rng.uniform(-6, 2)), "window": window}
    attrs |= {"masked": True, "flat": flat} if masked else {}
    attrs |= {"exp_bits": FINE_BITS} if fine else {}
    out = ATTENTION.shape(attrs, *shapes)
    params = (QuantParams(qparams(rng).scale, 0), *(qparams(rng) for _ in shapes[1:]))
    inputs = QuantizeInputs(attrs, shapes, out, params, qparams(rng), (None,) * len(shapes))
    names = ("q", "k", "v", "bias", "mask")[: len(shapes)]
    node = Node("attention", names, ("y",), attrs)
    step = QuantizedNode(node, names, shapes, out, ATTENTION.constants.quantize(inputs))
    operands = [draw_bytes(rng, shape) for shape in shapes]
    held = [np.concatenate([cut.ravel() for cut in _parts(operands[2], part or filled)])]
    data = blob(step.integers.exp, *operands[:2], *held, *operands[3:])
    sizes = sizes_of(step)
    keys_ = ("keys", "width", "out_width", "before", "after")
    more = list(data.starts[4:])
    places = (more.pop(0) if biased else -1, more.pop() if masked else -1)
    numbers = (
        *(sizes[n] for n in keys_),
        *(getattr(step.integers, n) for n in FIELDS),
        *data.starts[:4],
        *places,
        rows,
        part,
        int(nine_cores),
        int(flat),
        heads,
        each * rows * keys,
        step.integers.units if fine else 0,
        int(fine),
    )
    added = f"{biased} {part} {nine_cores} {masked} {flat} {heads} {each} {fine}"
    name = f"{rows} {keys} {width} {columns} {window} {added}"
    return Case(name, numbers, data.data, integer_step(step, operands))


def _parts(v: Array, part: int) -> list[Array]:
    return np.split(v, range(part, v.shape[-1], part), axis=-1)


def every_case() -> list[Case]:
    rng = np.random.default_rng(47)
    plain = [
        case_of(rng, *size, nine_cores=nine_cores) for size in SIZES for nine_cores in (False, True)
    ]
    masked = [case_of(rng, *size, masked=True, flat=flat) for size, flat in MASKED]
    more = {"nine_cores": True, "masked": True}
    heads = [case_of(rng, *size, heads=n, each=each, **more) for size, n, each in HEADS]
    fine = [case_of(rng, *size, fine=True) for size in SIZES]
    fine += [case_of(rng, *size, masked=True, flat=flat, fine=True) for size, flat in MASKED]
    fine += [case_of(rng, *size, heads=n, each=e, fine=True, **more) for size, n, e in HEADS]
    return plain + masked + heads + fine


@pytest.mark.parametrize("run", RUNS)
def test_rows_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("attention", KERNELS, cases, tmp_path))
