# SPDX-License-Identifier: Apache-2.0
"""Blocks of TinyMyo's transformers: rotary embedding, self-attention, MLP.

Modules and parameters are named as upstream's (pulp-bio/BioFoundation); its checkpoints load.
Dropout and stochastic depth have no parameters and act in training only; they are left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM, HEADS, RATIO = 192, 3, 4
BASE = 10_000.0  # base of the rotary embedding's wavelengths


def angles(positions: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [positions, width / 2] of the rotary embedding's angles at these
    positions."""
    theta = BASE ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(positions.to(torch.float32), theta)
    return angle.cos(), angle.sin()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate adjacent pairs of elements of x [..., width] by a rotary embedding; cos, sin broadcast
    to [..., width / 2]."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, explicit: bool) -> Tensor:
    """Compute softmax(q k^T / sqrt(width) + mask) v over [..., tokens, width].

    explicit   whether products and softmax are separate calls instead of
               scaled_dot_product_attention
    """
    if not explicit:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return (scores if mask is None else scores + mask).softmax(-1) @ v


class Attention(nn.Module):
    """Self-attention over [n, tokens, DIM].

    cos, sin   rotary embedding, broadcast to [heads, tokens, width / 2]; None without one
    explicit   whether products and softmax are separate calls instead of
               scaled_dot_product_attention
    """

    cos: Tensor | None
    sin: Tensor | None

    def __init__(
        self,
        cos: Tensor | None = None,
        sin: Tensor | None = None,
        *,
        explicit: bool = False,
    ) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.proj = nn.Linear(DIM, DIM)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.explicit = explicit

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        n, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.cos is not None and self.sin is not None:
            q, k = rotated(q, self.cos, self.sin), rotated(k, self.cos, self.sin)
        y = attended(q, k, v, mask, explicit=self.explicit)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(n, tokens, DIM))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, [n, tokens, DIM] -> the same shape; the hidden
    layer has RATIO times the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(DIM, RATIO * DIM)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(RATIO * DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.act(self.fc1(x)))
        return y


class PreNormBlock(nn.Module):
    """Transformer block x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, attn: Attention) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(DIM)
        self.attn = attn
        self.norm2 = nn.LayerNorm(DIM)
        self.mlp = Mlp()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.norm1(x), mask)
        y: Tensor = x + self.mlp(self.norm2(x))
        return y
