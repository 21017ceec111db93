# SPDX-License-Identifier: Apache-2.0
"""The table of operators: complete, and its counts checked against known numbers."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from myoedge.codegen.names import comment
from myoedge.graph.ir import Node, Shape
from myoedge.nest.flat import collapse_loops
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import exact_matmul, exact_sums, lookup
from myoedge.numerics.weight_format import BIAS_MAX, WeightFormat
from myoedge.operators import base as table
from myoedge.operators import queries
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs
from myoedge.operators.import_rows import aten_names, import_rows
from myoedge.operators.library.reductions import adaptive, regular
from tests.support.each import each
from tests.support.oracles.conv_attributes import attributes

EVERY = sorted(OPS)


@each("name", EVERY)
def test_an_entry_is_consistent(name: str) -> None:
    op = OPS[name]
    assert op.name == name
    assert op.doc
    assert not (op.epilogue and op.same_scale), "a fused activation needs parameters of its own"
    assert op.view <= op.same_scale
    is_written = inspect.getdoc(op.integer.stated) or op.meaning or op.same_scale
    assert is_written, "what the C must compute is written down"


def test_an_operator_is_registered_once() -> None:
    with pytest.raises(ValueError, match="conv"):
        table.register(OPS["conv"])


def test_a_call_has_one_row() -> None:
    """Two folders may not claim a call: networks would mean whichever comes last."""
    for integers in (False, True):
        rows = [row for row in import_rows() if row.integers == integers]
        aten = Counter(name for row in rows for name in aten_names(row.aten))
        signatures = (text for row in rows for text in row.onnx.split(";") if text.strip())
        onnx = Counter(text.strip().partition("(")[0] for text in signatures)
        assert not [name for name, count in (aten + onnx).items() if count > 1]


def test_an_operator_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        OPS["conv"].doc = "another"  # type: ignore[misc]


# ---- multiply-accumulates, with PyTorch's own count

CONV = attributes(2) | {"stride": (2, 1), "dilation": (1, 2), "pads": ((1, 0), (0, 2)), "groups": 2}


def counted(run: Any, *shapes: Shape) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run(*(torch.zeros(shape) for shape in shapes))
    return counter.get_total_flops() // 2


def test_macs_are_those_torch_counts() -> None:
    x, w = (2, 4, 5, 6), (4, 3, 2, 3)
    options = {"stride": (2, 1), "dilation": (1, 2), "groups": 2}
    padded = counted(
        lambda x, w: torch.nn.functional.conv2d(x, w, **options), (2, 6, 5, 7), (4, 3, 3, 2)
    )
    node = Node("conv", ("x", "w"), ("y",), CONV)
    assert queries.macs(node, (x, w), OPS["conv"].shape(CONV, x, w)) == padded
    linear = Node("linear", ("x", "w"), ("y",))
    assert queries.macs(linear, ((3, 7, 5), (4, 5)), (3, 7, 4)) == counted(
        torch.nn.functional.linear, (3, 7, 5), (4, 5)
    )
    matmul = Node("matmul", ("a", "b"), ("y",))
    assert queries.macs(matmul, ((6, 2, 5), (6, 5, 3)), (6, 2, 3)) == counted(
        torch.bmm, (6, 2, 5), (6, 5, 3)
    )
    add = Node("add", ("a", "b"), ("y",))
    assert queries.macs(add, ((3,), (3,)), (3,)) == 0


def test_an_exact_matmul_is_exact() -> None:
    """At the sizes of real layers, 128 * 128 * 4,608 products."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-128, 128, s) for s in ((3, 4608), (4608, 5)))
    wanted = a.astype(object) @ b.astype(object)
    assert exact_matmul(a.astype(np.int8), b.astype(np.int8)).tolist() == wanted.tolist()


def test_exact_sums_add_a_bias() -> None:
    """Python's own integers are the oracle; bounds on both sides of int32."""
    rng = np.random.default_rng(3)
    for reach in (127, 32767):
        a, b = rng.integers(-reach, reach, (5, 3)), rng.integers(-127, 127, (3, 4))
        bias = rng.integers(-(2**30), 2**30, 4)
        wanted = [
            [
                sum(int(x) * int(y) for x, y in zip(row, column, strict=True)) + int(c)
                for column, c in zip(b.T, bias, strict=True)
            ]
            for row in a
        ]
        narrow = np.int8 if reach == 127 else np.int16
        found = exact_sums(a.astype(narrow), b.astype(np.int8), bias)
        assert found.tolist() == wanted
    with pytest.raises(AssertionError):
        exact_sums(
            np.full((1, 2), 127, np.int8), np.full((2, 1), 127, np.int8), np.array([2**31 - 1])
        )


def test_a_lookup_begins_at_the_lowest_number() -> None:
    table = np.arange(-128, 128).astype(np.int16) * 100
    x = np.array([[-128, -1, 0, 1, 127]], np.int8)
    assert lookup(x, table).tolist() == [[-12800, -100, 0, 100, 12700]]


# ---- weights


def test_weights_are_rounded_to_the_nearest_of_their_channel() -> None:
    w = (
        np.random.default_rng(0).normal(size=(5, 3, 4))
        * np.array([1e-3, 1, 7, 1, 1])[:, None, None]
    )
    w[3] = 0.0
    q, scale = WeightFormat(8, True).quantize(w, np.zeros(5), QuantParams(0.01, 0))
    assert np.abs(q - w / scale[:, None, None]).max() <= 0.5 + 1e-5
    assert np.abs(q.astype(int)).reshape(5, -1).max(axis=1).tolist() == [127, 127, 127, 0, 127]
    q, scale = WeightFormat(8, False).quantize(w, np.zeros(5), QuantParams(0.01, 0))
    assert len(set(scale)) == 1
    assert np.abs(q - w / scale[0]).max() <= 0.5 + 1e-5


def test_a_large_bias_of_a_nearly_dead_channel_gets_a_larger_scale() -> None:
    w, bias = np.full((2, 3), 1e-9), np.array([40.0, 0.0])
    q, scale = WeightFormat(8, True).quantize(w, bias, QuantParams(0.01, 0))
    assert np.abs(bias / (0.01 * scale)).max() <= BIAS_MAX * (1 + 1e-6)
    assert q[0].tolist() == [0, 0, 0]
    assert q[1].tolist() == [127, 127, 127]


@pytest.mark.parametrize("size", [1e-38, 1e-42, 5e-44, 1.4e-45, 0.0])
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_too_small_for_a_scale_count_as_zero(size: float, per_channel: bool) -> None:
    """Weight decay takes a dead channel's batch norm factor down to subnormal numbers."""
    w = np.full((2, 3), np.float64(np.float32(size)))
    w[1] = 0.0 if not per_channel else 1.0
    with np.errstate(all="raise", under="ignore"):
        q, scale = WeightFormat(8, per_channel).quantize(
            w, np.array([0.5, 0.0]), QuantParams(0.01, 0)
        )
        _, unbiased = WeightFormat(8, per_channel).quantize(w, np.zeros(2), QuantParams(0.01, 0))
    assert np.all(scale > 0)
    assert np.all(unbiased > 0)
    assert q[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("count", [70_000, 140_000, 250_000])
def test_a_folded_bias_outside_int32_does_not_pass_for_a_small_one(count: int) -> None:
    """Cast to int32 it may be -2**31, which is its own absolute value there."""
    ones = np.ones((1, count), np.float32)
    x, y = QuantParams(1 / 255, -128), QuantParams(count / 255, -128)
    inputs = QuantizeInputs({}, ((1, count), ones.shape), (1, 1), (x, None), y, (None, ones))
    with np.errstate(invalid="ignore"):
        made = OPS["linear"].constants.quantize(inputs)
    node = Node("linear", ("x", "w"), ("y",))
    step = QuantizedNode(node, ("x",), ((1, count),), (1, 1), made)
    assert step.bound > 2**31 - 1


def test_every_intermediate_of_a_description_counts() -> None:
    """Not only the sum that somebody has written down: a product with its multiplier, too."""
    q, shape = QuantParams(0.01, 3), (2, 3)
    inputs = QuantizeInputs({}, (shape, shape), shape, (q, q), q, (None, None))
    numbers = OPS["mul"].constants.quantize(inputs)
    step = QuantizedNode(
        Node("mul", ("a", "b"), ("y",)), ("a", "b"), (shape, shape), shape, numbers
    )
    assert 255 * 255 < step.bound <= 2**31 - 1
    larger = dataclasses.replace(numbers, mult=2**20)
    assert dataclasses.replace(step, integers=larger).bound > 2**31 - 1


def test_fixed_parameters_are_those_of_the_node() -> None:
    """Gate sums of other fraction bits have another step, behind a reshape too."""
    gates = Node("gates", ("x", "w", "b"), ("g",), {"gate_bits": 10})
    shaped = Node("reshape", ("g",), ("y",), {"shape": (1, 8)})
    graph: Any = SimpleNamespace(producer={"g": gates, "y": shaped})
    assert queries.fixed_params(graph, "y") == QuantParams(2.0**-10, 0, INT16)


# ---- windows


@pytest.mark.parametrize("count_pad", [False, True])
def test_windows_are_clipped_and_their_divisors_counted_before(count_pad: bool) -> None:
    got = regular(5, 3, 2, 1, ceil=True, count_pad=count_pad)
    assert got == ((0, 2, 3 if count_pad else 2), (1, 4, 3), (3, 5, 3 if count_pad else 2))


def test_a_last_window_in_the_padding_is_left_out() -> None:
    assert len(regular(4, 2, 3, 1, ceil=True, count_pad=True)) == 2


def test_adaptive_windows_overlap_where_they_must() -> None:
    assert adaptive(5, 3) == ((0, 2, 2), (1, 4, 3), (3, 5, 2))


# ---- what the templates see


@pytest.mark.parametrize(
    ("out", "operands", "extents"),
    [
        ((2, 3, 4), [(12, 4, 1), (12, 4, 1)], [24]),
        ((2, 3, 4), [(12, 4, 1), (0, 0, 1)], [6, 4]),
        ((2, 1, 4), [(4, 4, 1), (1, 0, 2)], [2, 4]),
        ((1, 1), [(0, 0)], [1]),
        ((), [()], [1]),
    ],
)
def test_loops_are_merged_where_every_operand_goes_on(
    out: Shape, operands: list[Shape], extents: list[int]
) -> None:
    assert [loop.extent for loop in collapse_loops(out, operands)] == extents


@pytest.mark.parametrize(
    "text", ["a */ b", "tail\\", "trigraph ??/", "more ????/", "日本語/", "new\nline", "naïve"]
)
def test_a_user_s_text_stays_inside_its_comment(text: str) -> None:
    shown = comment(text)
    assert "*/" not in shown
    assert "??" not in shown
    assert "\n" not in shown
    assert not shown.endswith("\\")
    assert shown.isascii()


def test_a_step_gives_its_numbers_by_name() -> None:
    held = {"x_zero": 2, "pre": 3, "weight": np.ones((1, 1), np.int8), "bias": np.array([7])}
    held |= dict.fromkeys(("mult", "offset", "shift"), np.array([1]))
    numbers = queries.params_of("linear", held)
    step = table.QuantizedNode(Node("linear", ("x",), ("y",)), ("x",), ((1,),), (1,), numbers)
    assert step.integers.pre == 3
    assert step.integers.bias.tolist() == [7]
    assert step.table is None
    assert {**numbers.scalars, **numbers.arrays} == held
    with pytest.raises(ValueError, match="linear does not have: absent"):
        queries.params_of("linear", {"absent": 1})
