# SPDX-License-Identifier: Apache-2.0
"""TinyMyo for silent speech: residual convolutions, post-norm blocks, relative positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from myoedge.extensions.zoo.tinymyo.blocks import DIM, HEADS, Mlp

REACH = 100  # distance in tokens from which on attention is masked


class ResBlock(nn.Module):
    """Residual convolution block: [n, ins, samples] -> [n, outs, samples / 2]."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(ins, outs, 3, padding=1, stride=2)
        self.norm1 = nn.BatchNorm1d(outs)
        self.conv2 = nn.Conv1d(outs, outs, 3, padding=1)
        self.norm2 = nn.BatchNorm1d(outs)
        self.act = nn.GELU()
        self.residual_path = nn.Conv1d(ins, outs, 1, stride=2)
        self.res_norm = nn.BatchNorm1d(outs)
        self.skip = nn.Sequential(self.residual_path, self.res_norm)
        self.block = nn.Sequential(self.conv1, self.norm1, self.act, self.conv2, self.norm2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.skip(x) + self.block(x))
        return y


class _Relative(nn.Module):
    """Relative position embedding: a learned vector per head and distance; distances of REACH and
    more are masked."""

    def __init__(self) -> None:
        super().__init__()
        width = DIM // HEADS
        self.embeddings = nn.Parameter(width**-0.5 * torch.randn(HEADS, 2 * REACH - 1, width, 1))

    def forward(self, q: Tensor) -> Tensor:
        """Return the scores that relative positions add: q [n, heads, tokens, width] -> [n, heads,
        tokens, tokens]."""
        n, heads, tokens, _ = q.shape
        known = self.embeddings[..., 0]
        missing, spare = max(tokens - REACH, 0), max(REACH - tokens, 0)
        table = F.pad(known, (0, 0, missing, missing))[:, spare : spare + 2 * tokens - 1]
        by_distance = q @ table.transpose(1, 2)
        # Shift row i by i: [n, heads, tokens, distances] -> [n, heads, tokens, tokens]
        flat = F.pad(by_distance, (0, 1)).reshape(n, heads, 2 * tokens * tokens)
        rows = F.pad(flat, (0, tokens - 1)).reshape(n, heads, tokens + 1, 2 * tokens - 1)
        return rows[:, :, :tokens, tokens - 1 :]


class _RelativeAttention(nn.Module):
    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.proj = nn.Linear(DIM, DIM)
        self.relative_positional = _Relative()
        at = torch.arange(tokens)
        near = (at[:, None] - at[None, :]).abs() < REACH
        band = torch.where(near, 0.0, -1e8) if tokens > REACH else None  # added to scores
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) + self.relative_positional(q)
        scores = scores if self.band is None else scores + self.band
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, DIM)
        out: Tensor = self.proj(y)
        return out


class _PostNormBlock(nn.Module):
    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.attn = _RelativeAttention(tokens)
        self.norm1 = nn.LayerNorm(DIM)
        self.mlp = Mlp()
        self.norm2 = nn.LayerNorm(DIM)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attn(x))
        y: Tensor = self.norm2(x + self.mlp(x))
        return y


class SpeechMyo(nn.Module):
    """Network for silent speech: [n, samples, 8] -> [n, samples / 8, outs], and [.., auxiliary] if
    there are auxiliary outputs.

    log   whether to end in a log-softmax, for CTC
    """

    def __init__(
        self, samples: int, outs: int, auxiliary: int = 0, *, layers: int = 8, log: bool = False
    ) -> None:
        super().__init__()
        self.conv_blocks = nn.Sequential(ResBlock(8, DIM), ResBlock(DIM, DIM), ResBlock(DIM, DIM))
        self.w_raw_in = nn.Linear(DIM, DIM)
        self.blocks = nn.ModuleList(_PostNormBlock(samples // 8) for _ in range(layers))
        self.w_out = nn.Linear(DIM, outs)
        if auxiliary:
            self.w_aux = nn.Linear(DIM, auxiliary)
        self.log = log

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = self.w_raw_in(self.conv_blocks(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            y = block(y)
        out: Tensor = self.w_out(y)
        if hasattr(self, "w_aux"):
            return out, self.w_aux(y)
        return out.log_softmax(-1) if self.log else out
