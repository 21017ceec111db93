# SPDX-License-Identifier: Apache-2.0
"""TinyMyo's variant for a wristband: range compression, convolution over time, causal attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myoedge.extensions.zoo.tinymyo.blocks import DIM, HEADS, Attention, PreNormBlock, angles

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
