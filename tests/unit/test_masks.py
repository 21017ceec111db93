# SPDX-License-Identifier: Apache-2.0
"""Masks in front of a softmax: what torch makes of them, in floats and in integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Node
from myoedge.quantization.formats import int16_groups
from myoedge.quantization.sqnr import measure
from tests.conftest import thinned
from tests.support.networks.masked import (
    AT,
    BIAS,
    FIRST,
    FRAMES,
    HOLES,
    INF,
    LATER,
    LEAST,
    OWN,
    SLOPES,
    WINDOWS,
    Heads,
    given,
    integers,
    kept_db,
    prepared,
    quantized,
    quantized_model,
    read_twice,
    written,
)
from tests.support.onnx.quantized import network
from tests.support.oracles.torch import Net, agrees
from tests.support.warning_rules import network_warnings

pytestmark = pytest.mark.filterwarnings("ignore")


def filled_halves(s: Tensor) -> Iterator[Tensor]:
    """The keys' first half and their second, each with its own mask."""
    for half in (slice(0, FRAMES // 2), slice(FRAMES // 2, FRAMES)):
        yield s[..., half].masked_fill(HOLES[:, half], -1e9)


def stable(s: Tensor) -> Tensor:
    """As a softmax written by hand has its scores."""
    return s - s.amax(-1, keepdim=True)


LEAST_LATER, LEAST_FIRST = (LEAST * mask.float() for mask in (LATER, FIRST & ~OWN))
NO_KEYS = torch.full((1, 2, FRAMES, 3), -INF)
FULL = torch.full((FRAMES, FRAMES), -INF)
MIXED = BIAS.masked_fill(HOLES, -INF)
FUSED = {
    "slopes of causal heads": given(SLOPES.masked_fill(LATER, -INF)),
    "slopes and -1e4": given(SLOPES.masked_fill(LATER, -1e4)),
    "slopes plus -1e4": given(SLOPES + -1e4 * LATER),
    "steep slopes that are taken away": written(lambda s: s - 10.0 * SLOPES.abs()),
    "slopes that are taken away, causal": written(
        lambda s: (s - SLOPES.abs()).masked_fill(LATER, -INF)
    ),
    "a bias with holes": given(MIXED),
    "a bias with holes of -1e9": given(BIAS.masked_fill(HOLES, -1e9)),
    "a bias with holes of float16": given(BIAS.masked_fill(HOLES, -65504.0)),
    "a bias with holes of -900": given(BIAS.masked_fill(HOLES, -900.0)),
    "a bias with holes of -100": given(BIAS.masked_fill(HOLES, -100.0)),
    "holes of -1e4": given(torch.zeros(HOLES.shape).masked_fill(HOLES, -1e4)),
    "causal besides": given(BIAS.masked_fill(FIRST & ~OWN, -INF), is_causal=True),
    "added": written(lambda s: s + MIXED),
    "added to what is scaled later": written(lambda s: (s + MIXED) * 0.5),
    "chosen among tensors": written(lambda s: torch.where(HOLES, FULL, s + BIAS)),
    "chosen with a number": written(lambda s: torch.where(HOLES, torch.tensor(-INF), s)),
    "filled, then a bias": written(lambda s: s.masked_fill(HOLES, -1e9) + BIAS),
    "filled by -1e4": written(lambda s: s.masked_fill(HOLES, -1e4)),
    "filled by the smallest number": written(
        lambda s: (s + BIAS).masked_fill(HOLES, torch.finfo(torch.float32).min)
    ),
    "filled twice": written(lambda s: s.masked_fill(LATER, -INF).masked_fill(FIRST & ~OWN, -1e9)),
    "filled by -1,000": written(lambda s: s.masked_fill(HOLES, -1e3)),
    "the smallest number, scaled up": written(lambda s: s.masked_fill(HOLES, LEAST) * 3.0),
    "two masks of the smallest number": written(lambda s: s + LEAST_LATER + LEAST_FIRST),
    "keys along one axis": written(lambda s: s + (0.1 * AT).masked_fill(FIRST, -INF)),
    "chosen among numbers, twice": written(
        lambda s: torch.where(
            FIRST & ~OWN, torch.tensor(-100.0), torch.where(LATER, torch.tensor(-1e9), s)
        )
    ),
    "added to what is computed": written(lambda s: s + s.mean(-1, keepdim=True) + MIXED),
    "filled by -100": written(lambda s: s.masked_fill(HOLES, -100.0)),
    "without the largest": written(lambda s: stable(s.masked_fill(HOLES, -1e9))),
}
APART = {
    "infinities": read_twice(lambda s: s + torch.zeros(HOLES.shape).masked_fill(HOLES, -INF)),
    "a bias with holes": read_twice(lambda s: s + MIXED),
    "filled by -1e4": read_twice(lambda s: s.masked_fill(HOLES, -1e4)),
    "filled by -1e9, then a bias": read_twice(lambda s: s.masked_fill(HOLES, -1e9) + BIAS),
    "filled by -1e4, then scaled down": read_twice(lambda s: s.masked_fill(HOLES, -1e4) / 3.0),
    "two masks of the smallest number": read_twice(lambda s: s + LEAST_LATER + LEAST_FIRST),
    "scaled later": read_twice(lambda s: (s.masked_fill(HOLES, -1e9) + BIAS) / 2),
    "filled by -inf, then by -100": read_twice(
        lambda s: s.masked_fill(LATER, -INF).masked_fill(FIRST & ~OWN, -100.0)
    ),
    "added, scaled, then filled by -900": read_twice(
        lambda s: ((s - 1e9 * LATER) / 2 + BIAS).masked_fill(FIRST & ~OWN, -900.0)
    ),
    "a head that sees all alike": read_twice(
        lambda s: (s - 1e9 * LATER) * torch.tensor([0.0, 2.0])[:, None, None]
    ),
    "taken away, then cut": read_twice(lambda s: torch.cat((s - 1e9 * HOLES).chunk(2, 1)[::-1], 1)),
    "taken away from, then cut": read_twice(
        lambda s: -torch.cat((1e9 * HOLES - s).chunk(2, 1)[::-1], 1)
    ),
    "put together of two": read_twice(lambda s: torch.cat([s + MIXED, s[:, :1] - 1.0], 1)[:, :2]),
    "halves of keys": read_twice(lambda s: torch.cat([*filled_halves(s)], -1) + BIAS),
    "halves of keys, scaled": read_twice(lambda s: torch.cat([*filled_halves(s)], -1) / 2 - BIAS),
    "cut off": read_twice(lambda s: (F.pad(s, (0, 2)) + F.pad(MIXED, (0, 2)))[..., :FRAMES]),
    "other heads": read_twice(lambda s: (s + MIXED).flip(1).contiguous().view(s.shape)),
    "each head its own softmax": read_twice(
        lambda s: torch.cat([head.softmax(-1) for head in (s + MIXED).chunk(2, 1)], 1)
    ),
    "keys put beside": Heads(
        lambda q, k, v: torch.cat([q @ k.mT / 2, NO_KEYS], -1).softmax(-1)[..., :FRAMES] @ v
    ),
    "keys put around": Heads(
        lambda q, k, v: F.pad(q @ k.mT / 2, (0, 3), value=-1e9).softmax(-1)[..., :FRAMES] @ v
    ),
    "without the largest": read_twice(lambda s: stable(s + MIXED)),
    "a scaled sum of which heads are read": read_twice(
        lambda s: torch.cat([*((s.masked_fill(HOLES, -1e9) + BIAS) / 2).chunk(2, 1)][::-1], 1)
    ),
    "a scaled sum, each head its own softmax": Heads(
        lambda q, k, v: (
            torch.cat([t.softmax(-1) for t in ((q @ k.mT / 2 - 1e9 * HOLES) * 0.5).chunk(2, 1)], 1)
            @ v
        )
    ),
    "divided by a vector": read_twice(
        lambda s: s.masked_fill(HOLES, -1e9) / torch.linspace(1.0, 2.0, FRAMES)
    ),
    "filled by -100": read_twice(lambda s: s.masked_fill(HOLES, -100.0)),
    "filled by -900, then a bias": read_twice(lambda s: s.masked_fill(HOLES, -900.0) + BIAS),
    "filled by 100, negated": read_twice(lambda s: BIAS - s.masked_fill(HOLES, 100.0)),
    "a negated mask": read_twice(lambda s: -(s.masked_fill(HOLES, 1e9) + BIAS)),
    "softmin of infinities": read_twice(lambda s: -s.masked_fill(HOLES, INF)),
    "infinities taken away": read_twice(lambda s: s - 0.5 * MIXED.abs()),
    "negated halves": read_twice(lambda s: -torch.cat([-x for x in filled_halves(s)], -1)),
    "clamped": read_twice(lambda s: (s + MIXED).clamp(min=-1e4)),
    "not below the smallest number": read_twice(
        lambda s: torch.maximum(s + MIXED, torch.tensor(LEAST)).view(2, FRAMES, FRAMES)[None]
    ),
    "clamped to a small number": read_twice(lambda s: (s + MIXED).clamp(min=-20.0)),
    "heads of their own temperature": read_twice(
        lambda s: (s + MIXED) * torch.tensor([1.0, 2.0])[:, None, None]
    ),
}


@pytest.mark.parametrize("name", thinned(FUSED, 4))
def test_what_hides_keys_among_finite_numbers_costs_attention_nothing(name: str) -> None:
    graph = agrees(FUSED[name], WINDOWS[0])
    assert [node.op for node in graph.nodes].count("attention") == 1
    assert kept_db(FUSED[name]) > 26.0  # 28 without a bias, 8 where int8 spans what hides


@pytest.mark.parametrize("name", thinned(APART, 4))
def test_what_hides_keys_in_a_softmax_costs_it_nothing(name: str) -> None:
    graph = agrees(APART[name], WINDOWS[0])
    assert "attention" not in [node.op for node in graph.nodes]
    assert kept_db(APART[name]) > 28.0  # 30 without a mask, 9 where int8 spans what hides


def test_a_window_and_a_bias_part() -> None:
    (node,) = (n for n in prepared(FUSED["slopes of causal heads"]).nodes if n.op == "attention")
    assert node.attrs["window"] == (FRAMES - 1, 0)
    assert "masked" not in node.attrs
    assert len(node.inputs) == 4


@pytest.mark.parametrize("size", [1.0, 1e-3, 30.0], ids=["scores", "tiny", "large"])
@pytest.mark.parametrize("mask", [MIXED, MIXED.clamp(-1e9, 0.0).where(HOLES, 0.0)])
def test_hidden_keys_have_no_weight_at_all(mask: Tensor, size: float) -> None:
    """Frames 0 to 2 are seen by themselves alone, so that no other may depend on them."""
    model = Heads(lambda q, k, v: F.scaled_dot_product_attention(size * q, size * k, v, mask))
    q = quantized(prepared(model))
    for x in WINDOWS[:4].numpy():
        other = x.copy()
        other[:, :3] = 4.0 * np.flip(x[:, :3], -1) - 3.0
        np.testing.assert_array_equal(integers(q, x)[:, 3:], integers(q, other)[:, 3:])


@pytest.mark.parametrize("fill", [-INF, -1e9, -1e4])
def test_pooling_over_some_frames_keeps_what_pooling_over_all_keeps(fill: float) -> None:
    torch.manual_seed(1)
    score = nn.Linear(8, 1)

    def pooling(hidden: Tensor) -> nn.Module:
        def pooled(net: nn.Module, x: Tensor) -> Tensor:
            scores = net.score(x).squeeze(-1).masked_fill(hidden, fill)
            return scores.softmax(-1)[:, None] @ x

        return Net(pooled, score=score)

    agrees(pooling(FIRST), WINDOWS[0])
    assert kept_db(pooling(FIRST)) > kept_db(pooling(FIRST & False)) - 1.5


def test_rows_that_are_alike_far_down_see_all_keys() -> None:
    """As in torch: -10000 added to all scores of a row changes no share of it."""
    mask = torch.zeros(FRAMES, FRAMES).masked_fill(LATER | FIRST, -1e4)
    agrees(given(mask), WINDOWS[0], tolerance=1e-3)
    assert kept_db(given(mask)) > 26.0


def refused(model: nn.Module) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        from_exported(torch.export.export(model.eval(), (WINDOWS[0],)))
    return caught.value


ELSEWHERE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "max_pool": (
        lambda x: x.masked_fill(FIRST[:, None], -INF).amax(1),
        "torch.where(mask, x.amin(), x)",
    ),
    "mean": (lambda x: x.masked_fill(FIRST[:, None], -INF).mean(1), "multiply by a mask"),
    "log_softmax": (
        lambda x: F.log_softmax(x.masked_fill(AT[:8] < 2, -INF), -1),
        "fill with the minimum",
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_minus_infinity_that_no_softmax_hides_is_refused_as_a_mask(name: str) -> None:
    function, advice = ELSEWHERE[name]
    error = refused(Net(lambda net, x: function(x)))
    assert error.code == "E112"
    assert f"({name}" in error.notice.title
    assert ".py:" in error.notice.title
    assert "before a softmax" in dict(error.notice.facts)["needs"]
    assert advice in "\n".join(error.notice.tries)


READ_AS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "plus infinity": (lambda s: s + MIXED.abs(), "plus infinity, which"),
    "minus of minus infinity": (lambda s: -(s + MIXED), "minus infinity, which"),
    "either, by factors": (lambda s: (s + MIXED) * (AT - 4.5), "minus infinity, which"),
    "both": (lambda s: (s + MIXED) + MIXED.abs(), "plus infinity, which"),
    "a floor that does not hold plus infinity": (lambda s: (s + MIXED.abs()).clamp(min=0), "plus"),
}


@pytest.mark.parametrize("name", READ_AS)
def test_infinity_that_comes_into_a_softmax_with_the_wrong_sign_is_refused(name: str) -> None:
    change, said = READ_AS[name]
    error = refused(read_twice(change))
    assert error.code == "E112"
    assert said in error.notice.title


def test_minus_infinity_that_is_clamped_is_the_limit() -> None:
    """Where no softmax is behind it, and a constant that nothing else could read."""

    def pooled(net: nn.Module, x: Tensor) -> Tensor:
        return net.out(net.into(x).masked_fill(FIRST[:, None], -INF).clamp(min=-10.0).amax(1))

    torch.manual_seed(0)
    model = Net(pooled, into=nn.Linear(8, 8), out=nn.Linear(8, 4))
    agrees(model, WINDOWS[0])
    assert not network_warnings(quantized(prepared(model)))
    assert kept_db(model) > 25.0


def test_what_a_refused_maximum_is_told_to_do_works() -> None:
    model = Net(lambda net, x: x.masked_fill(FIRST[:, None], -10.0).amax(1))
    agrees(model, WINDOWS[0])
    assert kept_db(model) > 25.0


def largest(x: Tensor) -> Tensor:
    return x.masked_fill(FIRST[:, None], -1e9).amax(1)


FILLED = {
    "smallest": lambda x: (-x.masked_fill(FIRST[:, None], 1e9)).amax(1),
    "a gate": lambda x: (x + torch.zeros(8).masked_fill(AT[:8] < 2, -1e9)[None, None]).sigmoid()[
        :, 0
    ],
    "log_softmax": lambda x: F.log_softmax(x + torch.zeros(8).masked_fill(AT[:8] < 2, -1e4), -1),
}


@pytest.mark.parametrize("name", FILLED)
def test_fills_that_take_the_range_are_warned_of(name: str) -> None:
    layers = {"into": nn.Linear(8, 8), "out": nn.Linear(8, 4)}
    network = Net(lambda net, x: net.out(FILLED[name](net.into(x))), **layers)
    codes = [w.code for w in network_warnings(quantized(prepared(network)))]
    assert "W103" in codes


def test_a_fill_that_a_maximum_discards_takes_no_range() -> None:
    layers = {"into": nn.Linear(8, 8), "out": nn.Linear(8, 4)}
    model = Net(lambda net, x: net.out(largest(net.into(x))), **layers)
    assert not network_warnings(quantized(prepared(model)))
    assert kept_db(model) > 25.0


@pytest.mark.parametrize("name", thinned([*FUSED, *APART], 3))
def test_masks_of_a_softmax_are_not_warned_of(name: str) -> None:
    assert not network_warnings(quantized_model({**FUSED, **APART}[name]))


@pytest.mark.parametrize("fill", [-1e9, -100.0])
@pytest.mark.parametrize("shape", [(1, FRAMES, 8), (FRAMES, 8)])
def test_what_is_hidden_is_not_measured(shape: tuple[int, ...], fill: float) -> None:
    """Of masked classes at the end, and of a layer within: no warning, and the dB of the others."""

    def classes(net: nn.Module, x: Tensor) -> Tensor:
        return net.out(x).masked_fill(AT[:4] == 1, fill).view((*shape[:-1], 4)).softmax(-1)

    torch.manual_seed(0)
    q = quantized(prepared(Net(classes, out=nn.Linear(8, 4))))
    found = measure(q, {q.graph.inputs[0]: WINDOWS.numpy()})
    assert found.worst_db is not None
    assert found.worst_db > 25.0
    assert min(db for db in found.local.values() if db is not None) > 25.0
    q = quantized(prepared(APART["filled by -1e9, then a bias"]))
    local = measure(q, {q.graph.inputs[0]: WINDOWS.numpy()}).local
    assert min(db for db in local.values() if db is not None) > 25.0


ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "log_softmax": lambda x: x.log_softmax(-1),
    "argmax": lambda x: x.argmax(-1),
    "softmax of what a gate hides": lambda x: (x * (x + 20.0).sigmoid()).softmax(-1),
}


@pytest.mark.parametrize("name", ENDS)
def test_decibels_in_front_of_the_end_are_of_what_is_not_hidden(name: str) -> None:
    """int8 has nothing left for the other classes, whatever the size of what hides one."""

    def classes(net: nn.Module, x: Tensor) -> Tensor:
        return ENDS[name](net.out(x).masked_fill(AT[:4] == 1, -1e9))

    torch.manual_seed(0)
    q = quantized(prepared(Net(classes, out=nn.Linear(8, 4))))
    found = measure(q, {q.graph.inputs[0]: WINDOWS.numpy()})
    assert found.worst_db is not None
    assert found.worst_db < 6.0
    assert min(db for db in found.local.values() if db is not None) < 6.0
    assert "W103" in [w.code for w in network_warnings(q)]


def test_minus_infinity_everywhere_is_no_mask() -> None:
    assert refused(written(lambda s: s + torch.tensor(-INF))).code == "E111"


def test_a_mask_that_is_divided_by_what_is_computed_is_refused() -> None:
    with pytest.raises(MyoedgeError) as caught:
        quantized(prepared(read_twice(lambda s: (s + LEAST_LATER) / (1.0 + s.sigmoid()))))
    assert caught.value.code == "E226"
    assert ".py:" in caught.value.notice.title
    assert "right before the softmax" in "\n".join(caught.value.notice.tries)


SATURATED: dict[str, Callable[[Tensor], Tensor]] = {
    "scores": lambda s: s * 4e4,
    "scores beside a bias": lambda s: s * 4e4 + AT / 8.0,
    "scores beside others": lambda s: s * 4e4 + s.mT * 3e4,
}


@pytest.mark.parametrize("name", SATURATED)
def test_a_softmax_that_saturates_without_a_mask_builds(name: str) -> None:
    network = read_twice(SATURATED[name])
    scores = SATURATED[name](WINDOWS @ WINDOWS.mT)
    assert scores.amax() - scores.amin() > 1e3, "as far apart as what hides keys"
    assert quantized(prepared(network)).steps


def test_a_mask_behind_what_is_divided_by_what_is_computed_builds() -> None:
    divided = read_twice(lambda s: (s / (1.0 + s.sigmoid())).masked_fill(LATER, -1e9))
    assert kept_db(divided) > 28.0


def test_masks_keep_8_bits() -> None:
    """Kernels read their signs; what they are computed from may have 16."""
    nodes = [
        Node("mul", ("a", "b"), ("mask",), {}),
        Node("softmax", ("x", "mask"), ("y",), {"axis": -1, "masked": True}),
    ]
    graph = network(nodes, {"x": (3, 4), "a": (3, 4), "b": (3, 4)}, {})
    names = ("x", "a", "b", "mask", "y")
    assert int16_groups(graph, names) == [("x",), ("a",), ("b",), ("y",)]
