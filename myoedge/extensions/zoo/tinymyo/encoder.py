# SPDX-License-Identifier: Apache-2.0
"""TinyMyo: patches of every channel as tokens, transformer blocks, and a head for the task."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from myoedge.extensions.zoo.tinymyo.wrist import DIM, HEADS, Attention, Mlp, PreNormBlock, angles

PATCH = 20  # samples
MOST_CHANNELS = 16  # limit of version 2's channel embedding


class _PatchEmbedding(nn.Module):
    """Embed patches as tokens: [n, channels, samples] -> [n, channels * patches, DIM], channel by
    channel."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, DIM, (1, PATCH), (1, PATCH))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.proj(x.unsqueeze(1))
        return y.permute(0, 2, 3, 1).flatten(1, 2)


class _Patching(nn.Module):
    """Module that only adds a level to parameter names, as in the original network."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbedding()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.patch_embed(x)
        return y


class Reconstruction(nn.Module):
    """Head for pre-training: tokens [n, channels * patches, DIM] -> samples of their patches."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder_pred = nn.Linear(DIM, PATCH)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder_pred(x)
        return y


def _join_channels(x: Tensor, channels: int) -> Tensor:
    """Join channels: tokens [n, channels * patches, DIM] -> [n, patches, channels * DIM]."""
    n, tokens, _ = x.shape
    return x.reshape(n, channels, tokens // channels, DIM).transpose(1, 2).flatten(2)


class Classification(nn.Module):
    """Head for classification: channels concatenated (joined) or averaged, mean over time, linear
    layer -> logits."""

    def __init__(self, channels: int, classes: int, *, joined: bool = True) -> None:
        super().__init__()
        self.channels, self.joined = channels, joined
        self.classifier = nn.Linear(channels * DIM if joined else DIM, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = _join_channels(x, self.channels) if self.joined else x
        y: Tensor = self.classifier(features.mean(1))
        return y


class RegressionHead(nn.Module):
    """Head for regression: tokens -> [n, length, targets], upsampled linearly from patches to
    samples."""

    def __init__(self, channels: int, targets: int, length: int, hidden: int = 256) -> None:
        super().__init__()
        self.channels, self.length = channels, length
        self.regressor = nn.Sequential(
            nn.Conv1d(channels * DIM, hidden, 1),
            nn.SiLU(),
            nn.Dropout(0.1),  # upstream's numbering of layers includes it
            nn.Conv1d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.SiLU(),
            nn.Conv1d(hidden, targets, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.regressor(_join_channels(x, self.channels).transpose(1, 2))
        if y.shape[-1] != self.length:
            y = F.interpolate(y, size=self.length, mode="linear", align_corners=False)
        out: Tensor = y.transpose(1, 2)
        return out


Head = Callable[[], nn.Module]


class TinyMyo(nn.Module):
    """Transformer encoder with a head: [n, channels, samples] -> the head's result.

    version   1: the rotary embedding's angle depends on the head instead of the token, so that it
              has no effect (released weights are of this kind); 2: it depends on the patch, and
              every channel has a learned embedding
    layers    8, or 4 for the small variant
    explicit  whether attention consists of separate products and softmax
    echo      whether to return the input too, as upstream's version 1 does
    """

    channel_embed: nn.Parameter | None

    def __init__(
        self,
        head: nn.Module,
        channels: int,
        samples: int,
        *,
        version: int = 1,
        layers: int = 8,
        explicit: bool = False,
        echo: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.echo = channels, echo
        self.mask_token = nn.Parameter(torch.zeros(1, 1, DIM))  # for pretraining; not used here
        self.patch_embedding = _Patching()
        cos, sin = _rotary(version, channels, samples // PATCH)
        self.channel_embed = (
            nn.Parameter(0.02 * torch.randn(1, MOST_CHANNELS, 1, DIM)) if version == 2 else None
        )
        self.blocks = nn.ModuleList(
            PreNormBlock(Attention(cos, sin, explicit=explicit)) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(DIM)
        self.model_head = head

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        tokens = self.patch_embedding(x)
        if self.channel_embed is not None:
            n, count, _ = tokens.shape
            split = tokens.reshape(n, self.channels, count // self.channels, DIM)
            split = split + self.channel_embed[:, : self.channels]
            tokens = split.reshape(n, count, DIM)
        for block in self.blocks:
            tokens = block(tokens)
        y: Tensor = self.model_head(self.norm(tokens))
        return (y, x.clone()) if self.echo else y


def _rotary(version: int, channels: int, patches: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, broadcastable to [heads, tokens, width / 2]."""
    width = DIM // HEADS
    if version == 2:
        return angles(torch.arange(patches).repeat(channels), width)
    cos, sin = angles(torch.arange(HEADS), width)
    return cos[:, None], sin[:, None]


# --- tinyMyo for silent speech: residual convolutions, post-norm blocks, relative positions -------

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
