# SPDX-License-Identifier: Apache-2.0
"""What hides keys if scores let it: fills that are no large numbers, and masks that are inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.quantization.calibrate import constant_inputs
from tests.conftest import thinned
from tests.support.networks.masked import (
    AT,
    BIAS,
    FIRST,
    FRAMES,
    LATER,
    LEAST,
    OWN,
    WINDOWS,
    Heads,
    given,
    kept_db,
    prepared,
    quantized,
    quantized_model,
)
from tests.support.oracles.torch import Net, agrees

pytestmark = pytest.mark.filterwarnings("ignore")


def small_fills(size: float, fill: float = -100.0) -> tuple[nn.Module, nn.Module]:
    """Softmax and attention whose scores are within +-size; all but a key or two are filled."""
    alone = BIAS.masked_fill(~OWN, fill)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = (9.0 * q).tanh() * size / 4, (9.0 * k).tanh()
        return F.scaled_dot_product_attention(q, k, v, alone, scale=1.0)

    def classes(net: nn.Module, x: Tensor) -> Tensor:
        shares = (size * x.tanh()).masked_fill(AT[:8] > 1, fill)
        return shares.softmax(-1) * torch.arange(1.0, 9.0)

    soft = Net(classes)
    return soft, Heads(attend)


def refused(model: nn.Module, code: str, *samples: Tensor) -> MyoedgeError:
    samples = samples or (WINDOWS,)
    with pytest.raises(MyoedgeError) as caught:
        quantized(prepared(model, *(x[0] for x in samples)), *samples)
    assert caught.value.code == code
    assert ".py:" in caught.value.notice.title
    return caught.value


def attended(fill: float) -> nn.Module:
    """Scores of +-60 where all but a key or two are filled."""
    network = small_fills(60.0)[1]
    return network if fill == -100.0 else small_fills(60.0, fill)[1]


def test_a_fill_that_scores_reach_is_refused_and_a_lower_one_hides() -> None:
    """Of scores of +-60 some are below others at -100: torch gives filled keys a share there."""
    error = refused(attended(-100.0), "E228")
    assert "-1e4" in "".join(error.notice.tries)
    agrees(attended(-1e4), WINDOWS[0])
    assert kept_db(attended(-1e4)) > 25.0


@pytest.mark.parametrize("fill", [-55.0, -100.0])
def test_a_fill_that_scores_of_inputs_reach_is_refused(fill: float) -> None:
    """The threshold is the same for scores that are an input's elements."""
    refused(small_fills(60.0, fill)[0], "E228")


@pytest.mark.parametrize("hiding", [-1e9, -torch.inf])
def test_a_fill_above_the_threshold_keeps_its_share_next_to_others_that_hide(hiding: float) -> None:
    def classes(net: nn.Module, x: Tensor) -> Tensor:
        hidden = (60.0 * x.tanh()).masked_fill(AT[:8] == 0, hiding)
        return hidden.masked_fill(AT[:8] > 1, -45.0).softmax(-1) * torch.arange(1.0, 9.0)

    agrees(Net(classes), WINDOWS[0])
    assert kept_db(Net(classes)) > 30.0


def test_a_fill_within_reach_of_one_sample_is_refused() -> None:
    """Half of the windows are small, so that fills hide in them; in the others they do not."""
    few = torch.cat([WINDOWS[:8] * 1e-3, WINDOWS[8:]])
    refused(attended(-100.0), "E228", few)


def test_a_fill_that_is_no_gap_stays_a_sum() -> None:
    def classes(net: nn.Module, x: Tensor) -> Tensor:
        shares = (20.0 * net.layer(x).tanh()).masked_fill(AT[:8] > 1, -30.0)
        return shares.softmax(-1) * torch.arange(1.0, 9.0)

    torch.manual_seed(0)
    model = Net(classes, layer=nn.Linear(8, 8))
    agrees(model, WINDOWS[0])
    assert kept_db(model) > 20.0


@pytest.mark.parametrize("kind", [0, 1], ids=["softmax", "attention"])
def test_fills_that_scores_do_not_reach_hide(kind: int) -> None:
    model = small_fills(10.0)[kind]
    assert kept_db(model) > 33.0
    spans = quantized(prepared(model)).calibration.ranges
    assert min(low for low, _ in spans.values()) > -50.0


@pytest.mark.parametrize("shape", [(FRAMES, FRAMES), (1, 1, FRAMES, FRAMES), (1, 1, 1, FRAMES)])
def test_one_mask_of_fills_is_for_all_heads(shape: tuple[int, ...]) -> None:
    hidden = LATER if shape[-2] > 1 else FIRST
    mask = torch.zeros(shape).masked_fill(hidden, -100.0)
    assert kept_db(given(mask)) > 30.0


Hide = Callable[[Tensor, Tensor], Tensor]


class Masked(nn.Module):
    """Attention twice, over keys that an input says: 1 where they are, 0 where nothing is."""

    def __init__(self, hide: Hide, *, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 4)
        self.hide, self.fused = hide, fused

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(1, FRAMES, 3, 2, 4).permute(2, 0, 3, 1, 4)
        first, second = (self.hide(q @ x.mT / 2.0, kept).softmax(-1) for x in (k, v))
        y = first @ v + second @ k
        y = y if self.fused else y + 0.1 * first.mean() + 0.1 * second.mean()
        return self.out(y.transpose(1, 2).reshape(1, FRAMES, 8))


KEPT = (torch.rand(24, 1, FRAMES, generator=torch.Generator().manual_seed(3)) > 0.3).float()
KEPT[..., 0] = 1.0  # no window without a key
INPUTS: dict[str, Hide] = {
    "of -1e9": lambda s, kept: s + (1.0 - kept) * -1e9,
    "of -1e4": lambda s, kept: s + (1.0 - kept) * -1e4,
    "of the smallest number": lambda s, kept: s + (1.0 - kept[:, None]) * LEAST,
    "taken away before": lambda s, kept: s - 1e4 + 1e4 * kept,
    "taken away": lambda s, kept: s - (1.0 - kept) * 1e9,
    "taken away, of another shape": lambda s, kept: s - ((1.0 - kept) * 1e9)[:, None],
    "taken away by a vector": lambda s, kept: s - (1.0 - kept) * torch.linspace(1e4, 2e4, FRAMES),
    "taken away, the constant first": lambda s, kept: s - (OWN * 0.0 + 1e9) * (1.0 - kept),
    "halved with the scores": lambda s, kept: (s + (1.0 - kept) * -1e4) / 2.0,
    "taken away, moved, halved": lambda s, kept: (s - ((1.0 - kept) * 1e9)[:, None]) / 2.0,
    "what scores are taken from": lambda s, kept: -((1.0 - kept) * 1e4 - s),
    "as logarithms": lambda s, kept: s + (kept + 1e-9).log(),
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", thinned(INPUTS, 4))
def test_masks_that_are_inputs_cost_nothing(name: str, fused: bool) -> None:
    model = Masked(INPUTS[name], fused=fused)
    ops = [node.op for node in quantized_model(model, WINDOWS, KEPT).graph.nodes]
    assert ops.count("attention") == 2 * fused
    assert kept_db(model, WINDOWS, KEPT) > 28.0  # 13 where 1e9 is in int8's range


EACH = torch.tensor([1.0, 2.0])[:, None, None]  # heads' own
BESIDES: dict[str, Hide] = {
    "a temperature": lambda s, kept: (s + (1.0 - kept) * -1e9) * EACH,
    "a bias": lambda s, kept: s + (1.0 - kept) * -1e4 + BIAS,
    "a bias of keys": lambda s, kept: s + (1.0 - kept) * -1e4 + 0.1 * AT,
    "a bias, both halved": lambda s, kept: (s + BIAS + (1.0 - kept) * -1e4) / 2.0,
    "a temperature and a bias": lambda s, kept: (s + (1.0 - kept) * -1e9) * EACH + BIAS,
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", thinned(BESIDES, 4))
def test_what_is_done_besides_masks_that_are_inputs_costs_nothing(name: str, fused: bool) -> None:
    model = Masked(BESIDES[name], fused=fused)
    agrees(model, WINDOWS[0], KEPT[0])
    assert kept_db(model, WINDOWS, KEPT) > 28.0


DIFFERENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "line, padded": lambda x: x - F.pad(100.0 * x[..., :4], (0, 4), value=7.0),
    "line of a vector, moved": lambda x: x - (x * torch.linspace(50.0, 60.0, 8)).flip(-1),
    "constant": lambda x: x - torch.linspace(-90.0, 60.0, 8),
    "from a constant": lambda x: torch.linspace(-90.0, 60.0, 8) - x,
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_of_large_numbers_are_what_they_are_elsewhere(name: str) -> None:
    agrees(Net(lambda net, x: DIFFERENCES[name](x)), WINDOWS[0], tolerance=1e-4)


def test_masks_that_hid_nothing_when_calibrating_hide_as_well() -> None:
    """Ranges are of scores that are seen; that an input never changes is said besides."""
    model = Masked(INPUTS["of -1e9"], fused=False)
    never = torch.cat([torch.ones(16, 1, FRAMES), KEPT[16:]])
    assert kept_db(model, WINDOWS, never) > 28.0
    graph = prepared(model, WINDOWS[0], KEPT[0])
    samples = {"x": WINDOWS[:16].numpy(), "kept": never[:16].numpy()}
    assert constant_inputs(graph, samples) == ["kept"]


OTHER = KEPT.flip(0)
JOINED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "both, as a product": lambda s, a, b: s + (1.0 - a * b) * -1e4,
    "both, added one by one": lambda s, a, b: s + (1.0 - a) * -1e4 - (1.0 - b) * 1e9,
    "either": lambda s, a, b: s + (1.0 - a) * (1.0 - b) * -1e4,
    "and a buffer": lambda s, a, b: s.masked_fill(LATER, -1e9) + (1.0 - a) * -1e4,
    "but one's own": lambda s, a, b: s + (1.0 - a) * torch.where(OWN, 0.0, -1e4),
    "both, taken away": lambda s, a, b: s - 1e4 * (1.0 - a) - 1e4 * (1.0 - b),
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", thinned(JOINED, 4))
def test_masks_that_are_joined_hide_exactly(name: str, fused: bool) -> None:
    class Joined(Masked):
        def forward(self, x: Tensor, kept: Tensor, other: Tensor) -> Tensor:
            self.hide = lambda s, kept: JOINED[name](s, kept, other)
            return super().forward(x, kept)

    model = Joined(INPUTS["of -1e4"], fused=fused)
    graph = agrees(model, WINDOWS[0], KEPT[0], OTHER[0], tolerance=1e-4)
    assert [node.op for node in graph.nodes].count("attention") == 2 * fused
    assert kept_db(model, WINDOWS, KEPT, OTHER) > 28.0


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("fill", [-1e4, -1e9])
def test_a_row_that_sees_nothing_gives_what_torch_gives(fill: float, fused: bool) -> None:
    """The shares that scores have where float32 keeps them beside a fill, else equal ones."""
    model = Masked(lambda s, kept: s + (1.0 - kept) * fill, fused=fused)
    none = torch.where(torch.arange(24)[:, None, None] % 3 == 0, 0.0, KEPT)
    assert kept_db(model, WINDOWS, none) > 27.0


def test_a_mask_of_other_numbers_is_refused() -> None:
    error = refused(Masked(INPUTS["of -1e4"], fused=False), "E227", WINDOWS, 0.5 * KEPT)
    assert "ones and zeros" in error.notice.tries[0]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("fill", [-1e9, -1e4])
def test_a_mask_that_is_given_as_what_is_added_is_refused(fill: float, fused: bool) -> None:
    """As ones and zeros it builds: test_masks_that_are_inputs_cost_nothing."""
    added = Masked(lambda s, kept: s + kept, fused=fused)
    error = refused(added, "E226", WINDOWS, (1.0 - KEPT) * fill)
    assert "an input of ones and zeros" in "\n".join(error.notice.tries)


def test_a_mask_that_hides_by_ones_and_by_zeros_is_refused() -> None:
    model = Masked(lambda s, kept: s + kept * torch.where(LATER, 1e4, -1e4), fused=False)
    with pytest.raises(MyoedgeError) as caught:
        prepared(model, WINDOWS[0], KEPT[0])
    assert caught.value.code == "E111"
    assert "two masks" in "\n".join(caught.value.notice.tries)
