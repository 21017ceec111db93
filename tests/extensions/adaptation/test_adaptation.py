# SPDX-License-Identifier: Apache-2.0
"""The integers of an adaptation against formulas in fractions and floats."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from myoedge.extensions.adaptation import head as heads
from myoedge.extensions.adaptation import session
from myoedge.extensions.adaptation.commands import saved_bytes
from myoedge.extensions.adaptation.record import (
    MOST_FACTOR,
    Adaptation,
    Classifier,
    from_arrays,
    pooled,
    pseudo,
    to_arrays,
)
from myoedge.extensions.adaptation.session import (
    LEAST_RIDGE_SHIFT,
    MOST_WINDOWS,
    RIDGE_SHIFT,
    Sums,
    cholesky,
    lda,
    no_sums,
    prototypes,
    scaled,
    scatter,
)
from tests.support.each import each

ADAPTATION = Adaptation(
    layer=0,
    name="mean",
    features=6,
    positions=1,
    group=1,
    classes=3,
    zero_point=-128,
    methods=("head",),
    held_back=4,
    kept=5,
    exponent=6,
    replay=np.zeros((0, 6), np.int8),
    replay_labels=np.zeros(0, np.int64),
)


def sums_of(x: np.ndarray, labels: np.ndarray, classes: int) -> Sums:
    sums = no_sums(classes, x.shape[1])
    for row, label in zip(x, labels, strict=True):
        sums = sums.added(row, int(label))
    return sums


def gaussians(seed: int, features: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Features of three classes with correlated noise, as integers 0 to 255."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    mixing = random.normal(size=(features, features)) * 8
    centres = random.integers(60, 190, (3, features))
    x = centres[labels] + random.normal(size=(count, features)) @ mixing
    return x.round().clip(0, 255).astype(np.int64), labels


@given(st.integers(0, 1000), st.integers(1, 9))
def test_prototypes_choose_the_nearest_mean(seed: int, features: int) -> None:
    """Wherever the nearest mean, in fractions, is nearer than roundings of weights can change."""
    x, labels = gaussians(seed, features, 30)
    tested, _ = gaussians(seed + 1, features, 20)
    found = prototypes(sums_of(x, labels, 3)).decide(tested)
    means = [[Fraction(int(sum(c)), 10) for c in x[labels == k].T] for k in range(3)]
    for row, decision in zip(tested, found, strict=True):
        gaps = [sum((int(a) - m) ** 2 for a, m in zip(row, mean, strict=True)) for mean in means]
        nearest, second = sorted(gaps)[:2]
        if second - nearest > Fraction(features * 255 * 255, 1 << 11):
            assert decision == gaps.index(nearest)


@each("features", [2, 5, 40])
@each("seed", range(4))
def test_discriminants_are_those_of_floats(seed: int, features: int) -> None:
    """inverse(covariance + ridge) times the ways to the means, up to one factor and int16."""
    x, labels = gaussians(seed, features)
    found = lda(sums_of(x, labels, 3))
    means = np.array([x[labels == k].mean(axis=0) for k in range(3)])
    within = (x - means[labels]).T @ (x - means[labels])
    variances = np.diag(within)
    ridge = max(variances.mean() / 2**RIDGE_SHIFT, variances.max() / 2**LEAST_RIDGE_SHIFT)
    ways = np.linalg.solve(within + ridge * np.eye(features), (means - means.mean(axis=0)).T).T
    factor = np.abs(found.weights).max() / np.abs(ways).max()
    np.testing.assert_allclose(found.weights, ways * factor, atol=0.002 * 2**14)
    bias = -(ways * (means + means.mean(axis=0)) / 2).sum(axis=1) * factor
    np.testing.assert_allclose(found.bias, bias, atol=0.002 * 2**14 * 255 * features)


@pytest.mark.parametrize("seed", range(4))
def test_the_factor_times_itself_is_the_matrix(seed: int) -> None:
    x, labels = gaussians(seed, 30)
    sums = sums_of(x, labels, 3)
    matrix = scaled(scatter(sums, (sums.sums << 24) // sums.counts[:, None]))
    factor, inverses = cholesky(matrix)
    lower = factor.astype(np.float64) / 2**30
    matrix = (matrix + np.tril(matrix, -1).T) / 2.0**30
    np.testing.assert_allclose(lower @ lower.T, matrix, atol=2**-22)
    np.testing.assert_allclose(inverses / 2**24 * np.diag(lower), 1, rtol=2**-22)


@pytest.mark.parametrize("fill", ["ends", "same", "ramp"])
def test_the_largest_sums_stay_inside_their_integers(fill: str) -> None:
    """MOST_WINDOWS windows of one class at the limits of int8."""
    size = 256
    random = np.random.default_rng(0)
    row = {
        "ends": random.choice([-255, 255], size),
        "same": np.full(size, 255),
        "ramp": np.linspace(-255, 255, size).round(),
    }[fill].astype(np.int64)
    counts = np.array([MOST_WINDOWS - 1, 1])
    sums = np.array([row * counts[0], -row])
    products = np.tril(np.outer(row, row)) * MOST_WINDOWS
    assert np.abs(products).max() < 2**31
    assert np.abs(sums).max() < 2**31
    for fit in (prototypes, lda):
        found = fit(Sums(counts, sums, products))
        assert np.abs(found.weights.astype(int)).max() <= 2**14
        assert found.decide(np.array([row, -row])).tolist() == [0, 1]


def test_a_class_without_windows_is_never_decided() -> None:
    x, labels = gaussians(0, 5)
    for fit in (prototypes, lda):
        found = fit(sums_of(x[labels < 2], labels[labels < 2], 4))
        assert {*found.decide(x).tolist()} <= {0, 1}
    assert lda(no_sums(3, 5)).decide(x).tolist() == [0] * len(x)


def test_gradients_are_those_of_torch() -> None:
    """One update from weights that are not 0: momentum / 2**20 against autograd's gradient."""
    random = np.random.default_rng(0)
    rows = random.integers(-128, 128, (16, 6)).astype(np.int8)
    labels = random.integers(0, 3, 16)
    weights = random.integers(-(2**19), 2**19, (3, 7))
    head = heads._update_head(ADAPTATION, heads.Head(weights, weights * 0), rows, labels, 3)
    w = torch.tensor(weights / 2.0**20, requires_grad=True)
    x = torch.tensor((rows.astype(float) + 128) / 2**6)
    x = torch.cat([x, torch.ones(16, 1)], dim=1)
    torch.nn.functional.cross_entropy(x @ w.T, torch.tensor(labels)).backward()
    assert w.grad is not None
    np.testing.assert_allclose(head.momentum / 2.0**20, w.grad.numpy(), atol=0.03)
    np.testing.assert_array_equal(head.weights, weights - (head.momentum >> 3))


def test_softmax_is_that_of_floats_to_the_step_of_its_table() -> None:
    z = np.random.default_rng(0).integers(-(2**16), 2**16, (200, 5))
    exact = torch.softmax(torch.tensor(z / 2.0**12), dim=1).numpy()
    np.testing.assert_allclose(heads.probabilities(z) / 2**15, exact, atol=1 / 32)


def test_a_store_holds_every_window_with_equal_probability() -> None:
    """Of 40 windows five places hold each in one of eight stores."""
    held = np.zeros(40)
    for seed in np.random.default_rng(0).integers(0, 2**32, 2000):
        store = replace(heads.nothing_stored(ADAPTATION), random=int(seed))
        for number in range(40):
            store = heads.stored(store, np.full(6, number, np.int8), 1)
        held += np.bincount(store.windows[1, :, 0], minlength=40)
    assert np.abs(held / 2000 - 1 / 8).max() < 0.04


def test_means_over_positions_round_half_up() -> None:
    results = np.array([[-128, 127, 1, -1], [-128, 127, 2, -2]], np.int8)
    assert pooled(results).tolist() == [-128, 127, 2, -1]
    assert pooled(np.array([[1, 2, -3, 9], [1, 3, 5, 8]], np.int8), 3).tolist() == [2, 9]


def test_records_come_back_from_their_arrays() -> None:
    again = from_arrays(to_arrays(ADAPTATION))
    assert (again.name, again.methods, again.kept) == ("mean", ("head",), 5)
    assert again.replay.shape == (0, 6)
    assert saved_bytes(again) == 28 + 12 + 36


def test_equal_scores_are_the_first_class() -> None:
    zeros = np.zeros((3, 2), np.int16)
    assert Classifier(zeros, np.array([1, 5, 5], np.int32)).decide(np.zeros((1, 2), int)) == [1]


def test_confidence_is_that_of_a_softmax() -> None:
    """Of logits by the table, whose steps are 1 / 16, and of probabilities."""
    rng = np.random.default_rng(5)
    for scale in (0.01, 0.1, 0.7):
        found = pseudo(0.95, scale, 0, is_probability=False)
        for _ in range(200):
            scores = rng.integers(-128, 128, 6)
            powers = np.exp(scale * (scores - scores.max()))
            assert abs(found.confidence(scores) / 32768 - 1 / powers.sum()) < 0.04
    found = pseudo(0.95, 1 / 256, -128, is_probability=True)
    assert [found.label(np.array([x, -128])) for x in (114, 116, 127)] == [-1, 0, 0]


def test_scores_of_any_scale_have_a_factor_of_the_c() -> None:
    """Also logits of millions, whose smallest difference is certain."""
    for scale in (1e3, 1e7):
        found = pseudo(0.95, scale, 0, is_probability=False)
        assert found.factor == MOST_FACTOR
        assert found.confidence(np.array([5, 6, -128])) == 32768
        assert found.label(np.array([6, 6])) == -1


def test_pseudo_labels_need_agreement_and_no_gain() -> None:
    """Nine tenths of the held-back windows."""
    state = replace(session.begin(ADAPTATION, "prototypes", is_pseudo=True), right=10)
    assert [session.gains(state, right, 10) for right in (8, 9, 10)] == [False, True, True]
    labelled = replace(state, is_pseudo=False)
    assert not session.gains(labelled, 10, 10)
    assert session.gains(replace(labelled, right=3), 4, 10)
