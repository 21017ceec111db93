# SPDX-License-Identifier: Apache-2.0
"""What hides keys if scores let it: fills that are no large numbers, and masks that are inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.quantization.calibrate import constant_inputs
from tests.masked import (
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
)
from tests.torch_oracle import Net, agrees

pytestmark = pytest.mark.filterwarnings("ignore")


def small_fills(size: float) -> tuple[nn.Module, nn.Module]:
    """Softmax and attention whose scores are within +-size; all but a key or two are filled."""
    alone = BIAS.masked_fill(~OWN, -100.0)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = (9.0 * q).tanh() * size / 4, (9.0 * k).tanh()
        return F.scaled_dot_product_attention(q, k, v, alone, scale=1.0)

    def classes(net: nn.Module, x: Tensor) -> Tensor:
        shares = (size * x.tanh()).masked_fill(AT[:8] > 1, 5.0 - size if size > 50.0 else -100.0)
        return shares.softmax(-1) * torch.arange(1.0, 9.0)

    soft = Net(classes)
    return soft, Heads(attend)


@pytest.mark.parametrize("kind", [0, 1], ids=["softmax", "attention"])
def test_fills_that_scores_reach_have_the_share_they_have_in_floats(kind: int) -> None:
    """Of +-60 some are below others at -55 or -100."""
    model = small_fills(60.0)[kind]
    agrees(model, WINDOWS[0])
    assert kept_db(model) > 20.0


def test_fills_that_scores_reach_have_their_share_behind_others_that_hide() -> None:
    def classes(net: nn.Module, x: Tensor) -> Tensor:
        hidden = (60.0 * x.tanh()).masked_fill(AT[:8] == 0, -1e9)
        return hidden.masked_fill(AT[:8] > 1, -55.0).softmax(-1) * torch.arange(1.0, 9.0)

    agrees(Net(classes), WINDOWS[0])
    assert kept_db(Net(classes)) > 20.0


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


def test_a_fill_is_seen_where_one_sample_sees_it() -> None:
    """Half of the windows are small, so that fills hide in them; in the others they do not."""
    model = small_fills(60.0)[1]
    few = torch.cat([WINDOWS[:8] * 1e-3, WINDOWS[8:]])
    assert kept_db(model, few) > 20.0


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
@pytest.mark.parametrize("name", INPUTS)
def test_masks_that_are_inputs_cost_nothing(name: str, fused: bool) -> None:
    model = Masked(INPUTS[name], fused=fused)
    ops = [node.op for node in prepared(model, WINDOWS[0], KEPT[0]).nodes]
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
@pytest.mark.parametrize("name", BESIDES)
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


def test_masks_that_hid_nothing_are_said_to_be_flat() -> None:
    """What they are calibrated with is all that tells: ranges do not reach down to what hides."""
    model = Masked(INPUTS["of -1e9"], fused=False)
    never = torch.cat([torch.ones(16, 1, FRAMES), KEPT[16:]])
    assert kept_db(model, WINDOWS, never) < 25.0
    graph = prepared(model, WINDOWS[0], KEPT[0])
    samples = {"x": WINDOWS[:16].numpy(), "kept": never[:16].numpy()}
    assert constant_inputs(graph, samples) == ["kept"]
