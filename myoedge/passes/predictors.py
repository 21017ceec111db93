# SPDX-License-Identifier: Apache-2.0
"""Pattern that replaces AR coefficients computed from autocorrelations by the operator `features`.

Levinson's recursion, Gaussian elimination and closed formulas all compute the same rational
functions of the autocorrelations. Rational functions that agree at random points are equal, so the
pattern evaluates the graph instead of matching one notation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import NoMatch, attempt, behind, found, require, writer
from myoedge.graph.rewrite import Rewrite, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.features.factors import (
    MOST_ORDER,
    Factor,
    Feature,
    autocorrelations,
    predictor,
)
from myoedge.operators.graph_builder import GraphBuilder, concat, reshape
from myoedge.passes.window_features import SampleWindow, added, feature_of, share

RATIONAL = ("add", "concat", "gather", "mul", "reshape", "slice", "sub", "transpose")
VIEWS = ("reshape", "transpose")
FUNCTIONS = ("affine", "neg", "reciprocal", "square")  # rational functions of one tensor
MOST_NODES = 400
DRAWS, SIGNAL, TOLERANCE = 16, 24, 1e-3  # test points, samples of each, tolerance for float32


@dataclass(frozen=True)
class _LagMatch:
    """A match of an autocorrelation: its window of samples, its lag, and the factor on its sum."""

    window: SampleWindow
    lag: int
    factor: float


def _match_lag(graph: Graph, node: Node) -> _LagMatch:
    """Match a node that computes an autocorrelation. Errors: NoMatch."""
    window, feature = feature_of(graph, node, least=0)
    require(len(feature) == 1, feature[0].form == "product", not feature[0].test)
    (a, a_less), (b, b_less) = feature[0].a, feature[0].b
    require(a_less == b_less == -1, min(a, b) == 0)
    return _LagMatch(window, max(a, b), share(graph, node))


@dataclass
class _CoefficientFormula:
    """The subgraph between autocorrelations and a tensor that is computed from them.

    lags        tensor name -> the autocorrelation that it holds
    nodes       tensor name -> node that computes it
    """

    graph: Graph
    lags: dict[str, _LagMatch] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    def follow(self, name: str) -> None:
        """Collect the nodes of a tensor, back to the autocorrelations. Errors: NoMatch."""
        if name in self.lags or name in self.nodes or name in self.graph.constants:
            return
        node = found(self.graph.producer.get(name))
        require(len(self.nodes) < MOST_NODES, "act" not in node.attrs)
        lag = attempt(_match_lag, self.graph, node) if node.op in ("sum", "mean") else None
        if lag is not None:
            self.lags[name] = lag
            return
        names = [call[0] for call in node.attrs["chain"]] if node.op == "table" else []
        require(node.op in RATIONAL or names, {*names} <= {*FUNCTIONS})
        self.nodes[name] = node
        for x in node.inputs:
            self.follow(x)

    @property
    def order(self) -> int:
        """Largest lag of the autocorrelations. Errors: NoMatch unless all lags from 0 on are
        present, from one window."""
        order = max((lag.lag for lag in self.lags.values()), default=0)
        require(1 <= order <= MOST_ORDER)
        require({lag.lag for lag in self.lags.values()} == {*range(order + 1)})
        sources = (behind(self.graph, lag.window.source, *VIEWS) for lag in self.lags.values())
        require(len({*sources}) == 1)
        return order

    @property
    def window(self) -> SampleWindow:
        """Window of samples of the autocorrelations."""
        return next(iter(self.lags.values())).window

    @property
    def added_energies(self) -> list[float]:
        """Candidates for a constant added to lag 0: 0 and constants that the subgraph adds."""
        factor = next(lag.factor for lag in self.lags.values())
        calls = [call for node in self.nodes.values() for call in node.attrs.get("chain", ())]
        added = {call[2] / factor for call in calls if call[:2] == ("affine", 1.0)}
        return sorted({0.0, *(x for x in added if x > 0)})

    def value(self, name: str, r: Array) -> Array:
        """Evaluate a tensor for given autocorrelations r [lags, n]; return float64 [n]."""
        values: dict[str, Array] = {}
        for leaf, lag in self.lags.items():
            values[leaf] = (r[lag.lag] * lag.factor).reshape(self.graph.shape(leaf))
        return np.ravel(self._evaluate_node(name, values)).astype(np.float64)

    def _evaluate_node(self, name: str, values: dict[str, Array]) -> Array:
        if name in self.graph.constants:
            return self.graph.array(name)
        if name not in values:
            node = self.nodes[name]
            inputs = [self._evaluate_node(x, values) for x in node.inputs]
            values[name] = OPS[node.op].real(node.attrs, *inputs)
        return values[name]


def _match_coefficient(graph: Graph, name: str) -> tuple[SampleWindow, Feature, float]:
    """Return (window, AR coefficient, sign) if a tensor is an AR coefficient. Errors: NoMatch."""
    require(writer(graph, behind(graph, name, *VIEWS)).op in (*RATIONAL, "table"))
    formula = _CoefficientFormula(graph)
    formula.follow(name)
    order, window = formula.order, formula.window
    count = int(np.prod(graph.shape(name)))
    require(all(np.prod(graph.shape(lag)) == count for lag in formula.lags))
    energies = formula.added_energies
    # Autocorrelations [order + 1, count] of random test signals
    unit = energies[-1] or 1.0
    rng, shape = np.random.default_rng(0), (count, SIGNAL)
    signals = (rng.normal(size=shape).cumsum(1) for _ in range(-(-DRAWS // count)))
    draws = [(autocorrelations(x, order) * (unit / SIGNAL)).astype(np.float32) for x in signals]
    with np.errstate(all="ignore"):
        values = np.stack([formula.value(name, r) for r in draws])
    for energy in energies:
        added = np.zeros((order + 1, 1))
        added[0] = energy
        wanted = np.stack([predictor(r.astype(np.float64) + added) for r in draws], axis=1)
        for at, sign in itertools.product(range(order), (1.0, -1.0)):
            expected = sign * wanted[at]
            tolerance = TOLERANCE * max(1.0, np.abs(expected).max())
            if np.abs(values - expected).max() < tolerance:
                return window, (Factor("ar", (order, -1), (at + 1, -1), "", energy),), sign
    raise NoMatch


@rewrite_pattern("concat")
def coefficients_of_predictors(graph: Graph, node: Node) -> Rewrite:
    """Replace AR coefficients in a concat by features of their window."""
    matches = {
        name: attempt(_match_coefficient, graph, name) for name in dict.fromkeys(node.inputs)
    }
    require(any(matches.values()))
    patch, names = GraphBuilder(graph, node), []
    for name in node.inputs:
        match = matches[name]
        if match is None:
            names.append(name)
            continue
        window, feature, sign = match
        y = added(patch, window, [(feature, sign)])
        names.append(reshape(patch, y, graph.shape(name)))
    return patch.same_as(concat(patch, names, node.attrs["axis"]))
