# SPDX-License-Identifier: Apache-2.0
"""TinyMyo's variant for a wristband: range compression, convolution over time, causal attention."""

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


KERNEL, STRIDE = 21, 10


class _Reinhard(nn.Module):
    """Activation layer 64 x / (32 + |x|) for range compression, of the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        return 64.0 * x / (32.0 + torch.abs(x))


class NeuromotorMyo(nn.Module):
    """Network for a wristband: [n, channels, samples] -> [n, gestures, tokens], one token per 10
    samples.

    explicit   whether attention consists of separate products and softmax
    """

    def __init__(
        self,
        samples: int,
        *,
        channels: int = 16,
        gestures: int = 9,
        layers: int = 8,
        explicit: bool = False,
    ) -> None:
        super().__init__()
        tokens = (samples - KERNEL) // STRIDE + 1
        self.compression = _Reinhard()
        self.conv_layer = nn.Conv1d(channels, DIM, KERNEL, STRIDE)
        self.gelu = nn.GELU()
        self.post_conv_layer_norm = nn.LayerNorm(DIM)
        cos, sin = angles(torch.arange(tokens), DIM // HEADS)
        self.blocks = nn.ModuleList(
            PreNormBlock(Attention(cos, sin, explicit=explicit)) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(DIM)
        self.projection = nn.Linear(DIM, gestures)
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        y = self.gelu(self.conv_layer(self.compression(x))).transpose(1, 2)
        y = self.post_conv_layer_norm(y)
        causal = torch.full((self.tokens, self.tokens), float("-inf")).triu(1)
        for block in self.blocks:
            y = block(y, causal)
        out: Tensor = self.projection(self.norm(y)).transpose(1, 2)
        return out
