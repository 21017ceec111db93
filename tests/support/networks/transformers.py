# SPDX-License-Identifier: Apache-2.0
"""Small transformers of odd sizes: what they move, add and multiply is no whole words."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tests.support.networks.layers import Rng, pick


class Attention(nn.Module):
    """Heads written out; weights that are no softmax are not fused with their products."""

    def __init__(self, width: int, heads: int, weights: nn.Module) -> None:
        super().__init__()
        self.heads, self.weights = heads, weights
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        split = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) * (width // self.heads) ** -0.5
        found = (self.weights(scores) @ v).transpose(1, 2)
        out: Tensor = self.out(found.reshape(batch, tokens, width))
        return out


class Block(nn.Module):
    def __init__(self, width: int, wide: int, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixed = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        mixed: Tensor = self.mixed(self.after(x))
        return x + mixed


class Transformer(nn.Module):
    """Of a window [batch, steps, channels]: a convolution to tokens, a token of its own in front,
    places, blocks; of the first token and of the rest's mean."""

    def __init__(self, rng: Rng, tokens: int, channels: int) -> None:
        super().__init__()
        heads = pick(rng, 1, 2, 3, 4)
        width, wide = heads * pick(rng, 8, 10, 11, 16, 19), pick(rng, 40, 66, 96)
        self.padding, self.own = pick(rng, 0, 1, 3), nn.Parameter(torch.randn(1, 1, width))
        size = 1 + 2 * self.padding if self.padding else 3
        self.patches = nn.Conv1d(channels, width, size, padding=0 if self.padding else 1)
        self.places = nn.Parameter(torch.randn(1, tokens + 1, width))
        kinds = (nn.ReLU(), nn.Sigmoid(), nn.Softmax(-1))
        self.blocks = nn.Sequential(
            *(
                Block(width, wide, Attention(width, heads, kinds[int(rng.integers(3))]))
                for _ in range(2)
            )
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(2 * width, pick(rng, 5, 8, 53))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x.transpose(1, 2), (self.padding, self.padding))
        tokens = self.patches(x).transpose(1, 2)
        own = self.own.expand(len(x), -1, -1)
        y = self.norm(self.blocks(torch.cat([own, tokens], 1) + self.places))
        out: Tensor = self.head(torch.cat([y[:, 0], y[:, 1:].mean(1)], -1))
        return out


def transformer(seed: int) -> tuple[Transformer, tuple[int, int, int]]:
    """(network, shape of its input)."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    batch, tokens, channels = (
        pick(rng, 1, 1, 2),
        pick(rng, 16, 20, 36, 37, 50, 61),
        pick(rng, 4, 6, 9, 16),
    )
    return Transformer(rng, tokens, channels).eval(), (batch, tokens, channels)


FITTED, UNFITTED = range(16), range(16, 24)  # seeds: of what prices are fitted to, and of the rest
