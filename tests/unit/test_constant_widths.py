# SPDX-License-Identifier: Apache-2.0
"""Constant operands take the width of what is beside them: over the table of operators, and in
networks against torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Tensor, TensorQuant
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.cases import Draw
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Calibration, Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.candidates import int16_candidates
from myoedge.quantization.stated_widths import LayerRule
from myoedge.quantization.tensor_params import HEADROOM, INNER_HEADROOM, inner_groups
from tests.ops.case import oracle_value
from tests.ops.harness import USES
from tests.support.networks.small import Splines
from tests.support.searches import CYCLES

T = torch.Tensor
SHAPE = (24, 40)
EITHER = {INT8, INT16}

# An operand that is uniform in its range is 20 * log10(2**15) = 90 dB above the rounding of int16
# without headroom, and 6 dB below that with headroom 2; a result with headroom 8 has 18 dB less,
# and up to 7 dB less for what a layer adds up, and for a range of several standard deviations.
# An int8 operand is 48 dB above its rounding; up to 61 dB where it is much smaller than the result.
WIDE_DB = 90.0 + 20 * math.log10(1 / HEADROOM) - 7.0
NARROW_DB = 20 * math.log10(2**8)


# ---- the table of operators


def of_either_width(op: str) -> list[int]:
    """Positions of the operands of which the table has kernels of 8 and of 16 bits, of operators
    that are formulas."""
    known = OPS[op]
    if known.meaning is None or known.same_scale or op not in USES:
        return []
    count = len(USES[op](Draw(np.random.default_rng(0))).shapes)
    return [
        at for at in range(count) if any({*form.of_operand(at)} >= EITHER for form in known.formats)
    ]


BINARY = {op: at for op in OPS if len(at := of_either_width(op)) > 1 and op != "scan_last"}


def rows() -> Iterator[tuple[str, int, tuple[int, ...], bool]]:
    """Operator, place of the constant, places of the int16 operands, whether the result is int16:
    every combination that the table has."""
    for op, places in BINARY.items():
        for constant in places:
            others = [at for at in places if at != constant]
            for count in range(len(others) + 1):
                for wide in itertools.combinations(others, count):
                    for is_wide in (False, True):
                        yield op, constant, wide, is_wide


def values(op: str, at: int, seed: int) -> Array:
    """Magnitudes of one decade. The last operand of a quotient or an angle is positive, a decay is
    below 1, and a condition is 0 or 1."""
    rng = np.random.default_rng([seed, at])
    if op == "where" and at == 0:
        return rng.integers(0, 2, SHAPE).astype(np.float32)
    signs = rng.choice([-1.0, 1.0], SHAPE) if at == 0 else 1.0
    largest = 0.95 if op == "scan" else 3.0
    return np.float32(signs * rng.uniform(0.3 * largest, largest, SHAPE))


def layer(
    op: str, constant: int, int16: frozenset[str], seed: int = 0
) -> tuple[QuantGraph, Mapping[str, Array], Array]:
    """One operator with a constant operand; its inputs, and its result by torch."""
    use = USES[op](Draw(np.random.default_rng(seed)))
    use = replace(use, attrs={**use.attrs, "axis": 0} if op == "scan" else use.attrs)
    names = [f"x{at}" for at in range(len(use.shapes))]
    given = {name: values(op, at, seed) for at, name in enumerate(names)}
    use = replace(use, shapes=(SHAPE,) * len(names))
    real = oracle_value(use, [torch.as_tensor(given[name].astype(np.float64)) for name in names])
    fixed = names[constant]
    inputs = tuple(name for name in names if name != fixed)
    tensors = {name: Tensor(name, SHAPE, "float32") for name in (*inputs, "y")}
    node = Node(op, tuple(names), ("y",), use.attrs)
    graph = Graph(inputs, ("y",), (node,), tensors, as_constants({fixed: given[fixed]}))
    ranges = {n: (float(x.min()), float(x.max())) for n, x in given.items() if n != fixed}
    ranges["y"] = float(real.min()), float(real.max())
    network = quantize_graph(graph, Calibration(ranges, 1, "drawn", ""), (), int16)
    return network, {name: given[name] for name in inputs}, real.numpy()


def db(real: Array, got: Array) -> float:
    return float(10 * np.log10(np.sum(real**2) / np.sum((got - real) ** 2)))


def result_db(network: QuantGraph, inputs: Mapping[str, Array], real: Array) -> float:
    integers = {name: network.input_integers(name, x) for name, x in inputs.items()}
    q = network.params["y"]
    y = run_int(network.steps, network.constants, integers)["y"].astype(np.float64)
    return db(real, (y - q.zero_point) * q.scale)


@pytest.mark.parametrize(("op", "constant", "wide", "is_wide"), [*rows()])
def test_a_constant_has_the_width_of_the_operands_beside_it(
    op: str, constant: int, wide: tuple[int, ...], is_wide: bool
) -> None:
    int16 = {f"x{at}" for at in wide} | ({"y"} if is_wide else set())
    network, inputs, real = layer(op, constant, frozenset(int16))
    name = f"x{constant}"
    is_mask = op == "where" and constant == 0  # ones and zeros are exact in int8
    bits = 16 if wide and not is_mask else 8
    stored, q = network.constants[name], network.params[name]
    assert (stored.nbytes, q.element_type.bits) == (math.prod(SHAPE) * bits // 8, bits)
    given = values(op, constant, 0)
    step = (INNER_HEADROOM if bits == 16 else 1.0) * 2 * np.abs(given).max() / (2.0**bits - 2)
    away = np.abs((stored.astype(np.float64) - q.zero_point) * q.scale - given)
    assert away.max() <= 0.501 * step
    others = {at for at in BINARY[op] if at != constant and not (op == "where" and at == 0)}
    if is_wide and others <= {*wide}:
        assert result_db(network, inputs, real) > WIDE_DB


def test_the_table_has_every_operator_of_two_tensors() -> None:
    """What torch calls them; a scan is a decay times a state."""
    assert {"add", "sub", "mul", "maximum", "where", "atan2", "magnitude", "scan"} <= BINARY.keys()


# ---- networks


class Formula(nn.Module):
    def __init__(self, compute: Callable[..., T], *constants: T) -> None:
        super().__init__()
        self.compute = compute
        self.constants = [f"constant{at}" for at in range(len(constants))]
        for name, value in zip(self.constants, constants, strict=True):
            self.register_buffer(name, value)

    def forward(self, x: T) -> T:
        return self.compute(x, *(getattr(self, name) for name in self.constants))


def constant(seed: int, shape: tuple[int, ...] = (6, 12)) -> T:
    return torch.as_tensor(values("", 0, seed).ravel()[: math.prod(shape)].reshape(shape))


K, L = constant(1), constant(2)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "x - k": lambda: Formula(lambda x, k: x - k, K),
    "k - x": lambda: Formula(lambda x, k: k - x, K),
    "x * k": lambda: Formula(lambda x, k: x * k, K),
    "x / k": lambda: Formula(lambda x, k: x / k, K),
    "x * k + l": lambda: Formula(lambda x, k, m: x * k + m, K, L),
    "maximum(x, k)": lambda: Formula(torch.maximum, K),
    "minimum(x, k)": lambda: Formula(torch.minimum, K),
    "where(x > 0, x, k)": lambda: Formula(lambda x, k: torch.where(x > 0, x, k), K),
    "where(x > k, k, x)": lambda: Formula(lambda x, k: torch.where(x > k, k, x), K),
    "k / (x * x + 1)": lambda: Formula(lambda x, k: k / (x * x + 1), K),
    "atan2(x, k)": lambda: Formula(torch.atan2, K.abs()),
    "hypot(x, k)": lambda: Formula(torch.hypot, K),
    "(x - k) ** 2": lambda: Formula(lambda x, k: (x - k) ** 2, K),
    "outer product": lambda: Formula(lambda x, k: x.unsqueeze(-1) * k, constant(3, (5,))),
    "splines": lambda: Splines(12, 6),
}


def prepared(model: nn.Module) -> tuple[Graph, dict[str, Array], Array]:
    """Its graph, samples, and what torch computes of them."""
    torch.manual_seed(0)
    rows = 1 if isinstance(model, Splines) else 6
    samples = np.stack([values("", 0, 7 + n).ravel()[: rows * 12] for n in range(8)])
    samples = samples.reshape(8, rows, 12)
    graph = prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(rows, 12),))))
    with torch.no_grad():
        real = torch.stack([model(torch.as_tensor(x)) for x in samples])
    return graph, {graph.inputs[0]: samples}, real.double().numpy()


def of_16_bits(graph: Graph, samples: Mapping[str, Array]) -> QuantGraph:
    """As [quant] "*" = { activations = 16 } and the same for the input."""
    rules = [LayerRule(pattern, activations=16) for pattern in ("*", *graph.inputs)]
    rules += [LayerRule("*", weight_bits=16)]
    return quantize_graph(graph, calibrate(graph, samples, Observer(), "test"), rules)


def output(network: QuantGraph, samples: Mapping[str, Array]) -> Array:
    (name,), (given,) = network.graph.outputs, network.graph.inputs
    rows = (network.input_integers(given, x) for x in samples[given])
    found = np.stack([run_int(network.steps, network.constants, {given: x})[name] for x in rows])
    q = network.params[name]
    return (found.astype(np.float64) - q.zero_point) * q.scale


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_16_bits_with_constants_reach_what_16_bits_have(name: str) -> None:
    graph, samples, real = prepared(NETWORKS[name]())
    network = of_16_bits(graph, samples)
    kinds = {str(network.element_type(name)) for name in network.constants}
    assert kinds == {"int16"}
    assert db(real, output(network, samples)) > WIDE_DB


def test_what_int8_has_exactly_stays_int8() -> None:
    """Ones and zeros, halves, and one number for all elements gain nothing by 16 bits."""
    for exact in (K > 0, torch.round(2 * K) / 2, torch.full((6, 12), 0.7)):
        graph, samples, real = prepared(
            Formula(lambda x, k: torch.maximum(x, k) * x, exact.float())
        )
        network = of_16_bits(graph, samples)
        assert [str(x.dtype) for x in network.constants.values()] == ["int8"]
        assert db(real, output(network, samples)) > WIDE_DB


def test_a_constant_beside_int8_stays_int8() -> None:
    """Also where the result is int16."""
    graph, samples, _ = prepared(NETWORKS["x - k"]())
    calibration = calibrate(graph, samples, Observer(), "test")
    network = quantize_graph(graph, calibration, (), frozenset(graph.outputs))
    assert network.element_type(graph.outputs[0]) == INT16
    assert [x.dtype for x in network.constants.values()] == [np.int8]


def test_parameters_of_a_file_count_as_widths() -> None:
    """A constant follows int16 operands of the file, and keeps parameters of its own there."""
    graph, samples, _ = prepared(NETWORKS["x - k"]())
    calibration = calibrate(graph, samples, Observer(), "test")
    wide = TensorQuant(QuantParams(2.0**-12, 0, INT16))
    given = graph.with_given(dict.fromkeys(graph.inputs, wide))
    (name,) = quantize_graph(given, calibration).constants
    assert quantize_graph(given, calibration).constants[name].dtype == np.int16
    kept = given.with_given({name: TensorQuant(QuantParams(2.0**-5, 0))})
    assert quantize_graph(kept, calibration).constants[name].dtype == np.int8


def test_constants_inside_a_group_have_the_bits_of_its_intermediates() -> None:
    """Their loads need no conversion: fewer cycles, and no more noise."""
    model = Formula(lambda x, k, m: ((x * x + k) * x - m) * x, K, L)
    graph, samples, real = prepared(model)
    calibration = calibrate(graph, samples, Observer(), "test")
    names = frozenset(name for group in inner_groups(graph, graph.tensors) for name in group)
    network = quantize_graph(graph, calibration, (), inner=names)
    assert {x.dtype.name for x in network.constants.values()} == {"int16"}
    assert db(real, output(network, samples)) > NARROW_DB - 18.0


# ---- the precision search


@pytest.mark.parametrize("formula", ["atan2(x, k)", "hypot(x, k)", "(x - k) ** 2"])
def test_the_search_chooses_a_constant_with_what_is_beside_it(formula: str) -> None:
    """One decision, at the cycles of both."""
    graph, samples, _ = prepared(NETWORKS[formula]())
    calibration = calibrate(graph, samples, Observer(), "test")
    network = quantize_graph(graph, calibration)
    (name,) = network.constants
    (given,) = graph.inputs
    found = int16_candidates(network, samples, np.full(1, 1e-12), CYCLES)
    (choice,) = (choice for choice in found if name in choice.names)
    assert {given, name} <= {*choice.names}
    wide = quantize_graph(graph, calibration, (), frozenset({given}))
    assert wide.constants[name].dtype == np.int16
    more = sum(map(CYCLES, wide.steps)) - sum(map(CYCLES, network.steps))
    assert more == pytest.approx(choice.cost_cycles)
    assert more > 0
