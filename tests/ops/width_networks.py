# SPDX-License-Identifier: Apache-2.0
"""Networks of independent layers for one kernel, in every combination of the kernel table: 8 and 16
bits of operands, weights and results, every form of a convolution, with a sum or mean behind."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node, Shape, Tensor
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import OPS
from myoedge.operators.cases import Draw, DrawnUse, weight_slack
from myoedge.operators.conv import CONV_IN_TORCH
from myoedge.operators.engine_choice import CORES, EngineChoice
from myoedge.operators.kernel import Kernel
from myoedge.operators.kernel_formats import always_reads
from myoedge.quantization.calibrate import Calibration
from myoedge.quantization.engines import EngineIntegers, EngineRules
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.stated_widths import LayerRule
from tests.ops.case import Case
from tests.ops.harness import USES

NE16 = "ne16"
WEIGHT_BITS = (8, 16, 3)  # of a rule: as many as of int8, more, fewer

# Operator, number of its kernel, types of its operands, bits of stored weights, type of its results
Row = tuple[str, int, tuple[str, ...], int | None, str]


def rows(op: str) -> Iterator[Row]:
    """Every combination of 8 and 16 bits that the kernel table has for an operator."""
    for number, kernel in enumerate(OPS[op].kernels):
        for form in kernel.formats:
            reads = ([kind for kind in kinds if kind in (INT8, INT16)] for kinds in form.reads)
            stored = {max(INT8.bits, bits) for bits in form.weights} or {None}
            each = itertools.product(
                itertools.product(*reads), sorted(stored, key=str), form.writes
            )
            for read, bits, made in each:
                yield op, number, tuple(map(str, read)), bits, str(made)


@dataclass(frozen=True)
class Part:
    """A network of a layer or two, before it is quantised.

    ranges   of its tensors      wider   names of those of int16
    inputs   their integers      rules   of [quant]
    """

    graph: Graph
    ranges: Mapping[str, tuple[float, float]]
    wider: frozenset[str]
    inputs: Mapping[str, Array]
    rules: tuple[LayerRule, ...]

    def renamed(self, prefix: str) -> Part:
        """The same with a prefix before all names."""
        old = self.graph
        nodes = (
            Node(
                node.op,
                tuple(prefix + name for name in node.inputs),
                tuple(prefix + name for name in node.outputs),
                node.attrs,
                tuple(Origin(prefix + origin.path, origin.source) for origin in node.origin),
            )
            for node in old.nodes
        )
        graph = Graph(
            tuple(prefix + name for name in old.inputs),
            tuple(prefix + name for name in old.outputs),
            tuple(nodes),
            {prefix + n: replace(t, name=prefix + n) for n, t in old.tensors.items()},
            {prefix + n: value for n, value in old.constants.items()},
        )
        return Part(
            graph,
            {prefix + name: x for name, x in self.ranges.items()},
            frozenset(prefix + name for name in self.wider),
            {prefix + name: x for name, x in self.inputs.items()},
            tuple(replace(rule, pattern=prefix + rule.pattern) for rule in self.rules),
        )

    def quantized(self, engine: str) -> QuantGraph:
        """As a build does for an engine, with its integers."""
        calibration = Calibration(self.ranges, 1, "drawn", "")
        network = quantize_graph(self.graph, calibration, self.rules, self.wider)
        rules = EngineRules(frozenset({engine} - {CORES}), EngineChoice(engine))
        return EngineIntegers(rules, self.rules)(network)


def together(parts: Sequence[Part]) -> Part:
    """Parts that have nothing to do with each other as one."""
    named = [part.renamed(f"c{number}_") for number, part in enumerate(parts)]
    graph = Graph(
        tuple(x for part in named for x in part.graph.inputs),
        tuple(x for part in named for x in part.graph.outputs),
        tuple(node for part in named for node in part.graph.nodes),
        {name: tensor for part in named for name, tensor in part.graph.tensors.items()},
        {name: value for part in named for name, value in part.graph.constants.items()},
        tuple(x for part in named for x in part.graph.outputs),
    )
    return Part(
        graph,
        {name: x for part in named for name, x in part.ranges.items()},
        frozenset(name for part in named for name in part.wider),
        {name: x for part in named for name, x in part.inputs.items()},
        tuple(rule for part in named for rule in part.rules),
    )


@dataclass(frozen=True)
class Widths(Case):
    """A use of an operator with chosen widths.

    int16_reads   positions of int16 operands
    int16_result  whether the result is int16
    bits          of a weight, by a rule of [quant]
    engine        whose integers it has
    """

    int16_reads: tuple[int, ...] = ()
    int16_result: bool = False
    bits: int = INT8.bits
    engine: str = CORES

    @property
    def wide(self) -> tuple[int, ...]:
        (node,) = self.graph.nodes
        always = (i for i in always_reads(node, INT16) if self.types[i] != "int16")
        return tuple(sorted({*self.int16_reads, *always}))

    @property
    def is_wide(self) -> bool:
        return self.int16_result

    @cached_property
    def part(self) -> Part:
        scales = "per_tensor" if self.per_tensor else "per_channel"
        rule = LayerRule("layer", scales, weight_bits=self.bits)
        inputs = dict(zip(self.names, self.data, strict=True))
        return Part(self.graph, self.calibration.ranges, self.wider, inputs, (rule,))

    @cached_property
    def quant(self) -> QuantGraph:
        return self.part.quantized(self.engine)

    def row(self, number: int) -> Row:
        """The row of the table for one of the operator's kernels."""
        step, kernel = self.step, OPS[self.op].kernels[number]
        count = min(len(kernel.formats[0].reads), len(step.operands))
        reads = tuple(str(step.read_type(n)) for n in range(count))
        has_weights = any(form.weights for form in kernel.formats)
        bits = step.weight_type.bits if has_weights else None
        return self.op, number, reads, bits, str(step.element_type)


def in_widths(use: DrawnUse, engine: str) -> Iterator[Widths]:
    """A use in all widths that the quantiser allows."""
    known = {field.name: getattr(use, field.name) for field in fields(DrawnUse)}
    first_two = range(min(len(use.shapes), 2))
    reads = [n for r in range(3) for n in itertools.combinations(first_two, r)]
    has_weights = any(form.weights for form in OPS[use.op].formats)
    bits = WEIGHT_BITS if has_weights else (INT8.bits,)
    found = set()
    for read, is_wide, n in itertools.product(reads, (False, True), bits):
        case = Widths(**known, int16_reads=read, int16_result=is_wide, bits=n, engine=engine)
        try:
            step = case.step
        except MyoedgeError as error:
            if error.code in ("E117", "E244"):  # a rule that no kernel can follow
                continue
            raise
        weights = (step.weight_type, step.weight_bits) if has_weights else ()
        types = (*(step.read_type(n) for n in first_two), *weights, step.element_type)
        if types not in found:
            found.add(types)
            yield case


def followed(case: Widths, behind: str) -> Iterator[Part]:
    """A layer and the sum of its results and another tensor, or their mean, in all widths."""
    own = case.part
    shape, low, high = own.graph.shape("y"), *own.ranges["y"]
    has_other = behind != "mean"
    attrs = {} if has_other else {"axes": (len(shape) - 2,), "keepdim": False}
    read = ("y", "other") if has_other else ("y",)
    node = Node(behind, read, ("z",), attrs, (Origin("behind", "net.py:2"),))
    z = OPS[behind].shape(attrs, *(shape for _ in read))
    tensors = {**own.graph.tensors, "other": Tensor("other", shape), "z": Tensor("z", z)}
    rng = np.random.default_rng(case.seed)
    for other in (INT8, INT16) if has_other else (None,):
        for made in (INT8, INT16):
            wide = {name for name, kind in (("other", other), ("z", made)) if kind == INT16}
            inputs = {} if other is None else {"other": _drawn(rng, shape, other.low, other.high)}
            graph = replace(
                own.graph,
                inputs=(*own.graph.inputs, *inputs),
                outputs=("z",),
                nodes=(*own.graph.nodes, node),
                tensors={n: t for n, t in tensors.items() if n != "other" or inputs},
            )
            ranges = {**own.ranges, **dict.fromkeys(inputs, (low, high)), "z": (2 * low, 2 * high)}
            yield Part(graph, ranges, own.wider | wide, {**own.inputs, **inputs}, own.rules)


def _drawn(rng: np.random.Generator, shape: Shape, low: int, high: int) -> Array:
    return rng.integers(low, high + 1, shape).astype(np.int8 if low == INT8.low else np.int16)


@contextmanager
def only_kernel(op: str, kernel: Kernel, behind: str = "") -> Iterator[None]:
    """The operator has this kernel alone, or this one with the operator behind it."""
    known = OPS[op]
    OPS[op] = (
        replace(known, kernels_before={behind: (kernel,)})
        if behind
        else replace(known, kernels=(kernel,), kernels_before={})
    )
    try:
        yield
    finally:
        OPS[op] = known


# ---- forms

SIZES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {  # input, weights, attributes
    "1x1 of a row": ((1, 21, 16), (20, 1, 16), {}),
    "three taps": ((1, 20, 12), (17, 3, 12), {"pads": ((1, 1),)}),
    "five taps": ((1, 23, 8), (33, 5, 8), {"pads": ((2, 2),)}),
    "every second of four taps": ((1, 24, 8), (9, 4, 8), {"stride": (2,)}),
    "seven taps that lie apart": ((1, 30, 8), (9, 7, 8), {"dilation": (2,)}),
    "windows without overlap": ((1, 24, 4), (9, 4, 4), {"stride": (4,)}),
    "nine taps of each channel": ((1, 30, 18), (18, 9, 1), {"groups": 18}),
    "three groups": ((1, 18, 12), (15, 3, 4), {"groups": 3}),
    "pixels": ((1, 5, 6, 16), (20, 1, 1, 16), {}),
    "3x3": ((1, 6, 7, 16), (34, 3, 3, 16), {"pads": ((1, 1), (1, 1))}),
    "3x3 of each channel": ((1, 6, 7, 18), (18, 3, 3, 1), {"groups": 18, "pads": ((1, 1), (1, 1))}),
    "every second 3x3": ((1, 7, 8, 6), (9, 3, 3, 6), {"stride": (2, 2)}),
    "3x3 that lie apart": ((1, 9, 9, 8), (9, 3, 3, 8), {"dilation": (2, 2)}),
    "5x5": ((1, 7, 8, 6), (9, 5, 5, 6), {"pads": ((2, 2), (2, 2))}),
    "a column": ((1, 9, 6, 8), (9, 5, 1, 8), {}),
    "many products": ((1, 9, 160), (9, 7, 160), {"pads": ((3, 3),)}),
}  # fmt: skip


def convolution(form: str, draw: Draw) -> DrawnUse:
    x, w, given = SIZES[form]
    rank = len(x) - 2
    usual = {"stride": (1,) * rank, "dilation": (1,) * rank, "pads": ((0, 0),) * rank, "groups": 1}
    common = draw.common(1, act=True) | {"slack": weight_slack, "per_tensor": draw.flag()}
    return DrawnUse("conv", usual | given, (x,), CONV_IN_TORCH, weights=draw.weights(w), **common)


@cache
def uses(op: str, count: int, number: int = 0) -> tuple[DrawnUse, ...]:
    """`count` drawn uses of an operator; of a convolution, as many of each form. Some of the others
    have sizes and ranges that accelerators ask for."""
    draw = Draw(np.random.default_rng([zlib.crc32(op.encode()), number]))
    if op == "conv":
        return tuple(convolution(form, draw) for form in SIZES for _ in range(count))
    found = [USES[op](draw) for _ in range(count)]
    for fit in FITTING.get(op, ()):
        found += [fit(USES[op](draw), draw) for _ in range(count)]
    return tuple(found)


def in_words(use: DrawnUse, draw: Draw) -> DrawnUse:
    """Rows of a multiple of four bytes."""
    shape = (draw.integer(2, 12), 4 * draw.integer(1, 12))
    return replace(use, shapes=(shape,), weights=draw.weights((draw.integer(1, 40), shape[1])))


def of_many_products(use: DrawnUse, draw: Draw) -> DrawnUse:
    """Results of so many products that an accelerator adds them in parts."""
    shape = (draw.integer(1, 4), 1024 + draw.integer(0, 64))
    return replace(use, shapes=(shape,), weights=draw.weights((draw.integer(1, 40), shape[1])))


def one_sequence(use: DrawnUse, draw: Draw) -> DrawnUse:
    """Units for both the cores and the engine."""
    units, gates = draw.integer(9, 20), use.shapes[0][2] // use.shapes[1][1]
    sizes = ((draw.integer(1, 4), 1, gates * units), *((1, units) for _ in use.shapes[1:]))
    weights = (
        draw.weights((gates * units, units))[0],
        *(draw.rng.normal(size=gates * units),) * (use.op == "gru"),
    )
    attrs = {**use.attrs, **({"reset_first": False} if use.op == "gru" else {})}
    return replace(use, shapes=sizes, weights=weights, attrs=attrs, int16=())


def symmetric(use: DrawnUse, draw: Draw) -> DrawnUse:
    """A right operand with zero point 0, and products that fill words."""
    m, c, k = draw.integer(1, 12), 4 * draw.integer(1, 8), draw.integer(1, 40)
    right, span = (k, c) if use.attrs else (c, k), use.spans[1][1] + 0.5
    return replace(use, shapes=((m, c), right), spans=(use.spans[0], (-span, span)), int16=())


FITTING = {
    "linear": (in_words, of_many_products), "gates": (in_words,), "sums": (in_words,),
    "lstm": (one_sequence,), "gru": (one_sequence,), "matmul": (symmetric,),
}  # fmt: skip
