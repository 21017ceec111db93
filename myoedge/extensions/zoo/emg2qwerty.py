# SPDX-License-Identifier: Apache-2.0
"""emg2qwerty: from spectrograms of two wristbands to keys, with upstream's parameter names.

Sivakumar et al. (2024), facebookresearch/emg2qwerty: a norm per electrode, a rotation-invariant MLP
per band, an encoder over time, a linear layer, log-softmax. Upstream's encoder has
time-depth-separable convolutions (`tds`). The encoder `lstm`, a residual bidirectional LSTM, is not
upstream's: it follows the description of Jain and Sanchez, whose code is not public. Its parameter
names are those of TDSLSTMEncoder, from the course for which they wrote it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BANDS, ELECTRODES, FREQUENCIES = 2, 16, 33
CLASSES = 99  # 98 keys and CTC's blank
KAO_CLASSES = 7  # space, j, k, l, ;, r and the blank
FEATURES, PER_BAND = 768, 384
CHANNELS, TAPS, BLOCKS = 24, 32, 4
ROTATIONS = (-1, 0, 1)  # electrodes by which a band may be rotated
UNITS, LAYERS = 96, 2


FRAME, HOP = 64, 16  # samples per spectrum, and between spectra
FLOOR = 1e-6  # minimum power


class LogSpectrogram(nn.Module):
    """Spectrogram layer: samples [T, *E] -> log10 power [(T - 64) // 16 + 1, *E, 33], like
    torchaudio's Spectrogram(64, hop_length=16, normalized=True, center=False)."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.movedim(0, -1).reshape(-1, x.shape[0])
        bins = torch.stft(rows, FRAME, HOP, window=self.window, center=False, return_complex=True)
        power = bins.abs().pow(2.0) / self.window.pow(2.0).sum()
        split = power.reshape(*x.shape[1:], FREQUENCIES, -1)
        return torch.log10(split.movedim(-1, 0) + FLOOR)


class Armband(nn.Module):
    """Layer that copies the spectra of an armband's electrodes for both bands: [T, N, 8, 33] -> [T,
    N, 2, 16, 33]."""

    def forward(self, x: Tensor) -> Tensor:
        band = torch.cat([x, x], 2)
        return torch.stack([band, band], 2)


class SpectrogramNorm(nn.Module):
    """Layer that normalises every electrode by its own mean and variance: [T, N, 2, 16, 33], same
    shape out."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_norm = nn.BatchNorm2d(BANDS * ELECTRODES)

    def forward(self, x: Tensor) -> Tensor:
        t, n = x.shape[:2]
        flat = x.permute(1, 2, 3, 4, 0).reshape(n, BANDS * ELECTRODES, FREQUENCIES, t)
        normed: Tensor = self.batch_norm(flat)
        return normed.reshape(n, BANDS, ELECTRODES, FREQUENCIES, t).permute(4, 0, 1, 2, 3)


class RotationInvariantMLP(nn.Module):
    """MLP averaged over rotations of a band's electrodes: [T, N, 16, 33] -> [T, N, 384]."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(ELECTRODES * FREQUENCIES, PER_BAND), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        rotated = torch.stack([x.roll(by, 2) for by in ROTATIONS], 2)
        y: Tensor = self.mlp(rotated.flatten(3))
        return y.mean(2)


class MultiBandRotationInvariantMLP(nn.Module):
    """One RotationInvariantMLP per band: [T, N, 2, 16, 33] -> [T, N, 2, 384]."""

    def __init__(self) -> None:
        super().__init__()
        self.mlps = nn.ModuleList(RotationInvariantMLP() for _ in range(BANDS))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([mlp(x[:, :, i]) for i, mlp in enumerate(self.mlps)], 2)


class TDSConv2dBlock(nn.Module):
    """Convolution over time, 24 channels of 32 features: [T, N, 768] -> [T - 31, N, 768]."""

    def __init__(self, channels: int = CHANNELS, width: int = FEATURES, taps: int = TAPS) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(channels, channels, (1, taps))
        self.relu = nn.ReLU()
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        t, n, features = x.shape
        channels, before = self.conv2d.in_channels, self.conv2d.kernel_size[1] - 1
        images = x.permute(1, 2, 0).reshape(n, channels, features // channels, t)
        y = self.relu(self.conv2d(images)).reshape(n, features, t - before).permute(2, 0, 1)
        normed: Tensor = self.layer_norm(y + x[before:])
        return normed


class TDSFullyConnectedBlock(nn.Module):
    """Two linear layers around a ReLU, residual, normalised: [T, N, F], same shape out."""

    def __init__(self, features: int) -> None:
        super().__init__()
        layers = (nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))
        self.fc_block = nn.Sequential(*layers)
        self.layer_norm = nn.LayerNorm(features)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.layer_norm(self.fc_block(x) + x)
        return normed


class TDSConvEncoder(nn.Module):
    """Encoder of time-depth-separable convolutions: [T, N, 768] -> [T - 124, N, 768]."""

    def __init__(self) -> None:
        super().__init__()
        pairs = [(TDSConv2dBlock(), TDSFullyConnectedBlock(FEATURES)) for _ in range(BLOCKS)]
        self.tds_conv_blocks = nn.Sequential(*(block for pair in pairs for block in pair))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.tds_conv_blocks(x)
        return y


class ResidualLSTMEncoder(nn.Module):
    """Encoder of two bidirectional LSTM layers, a norm and a block, added to its input: [T, N, 768]
    -> the same shape.

    plain   whether the block is a linear layer and a ReLU; else the convolutional encoder's block
    """

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        both = 2 * UNITS
        self.lstm_layers = nn.LSTM(FEATURES, UNITS, LAYERS, dropout=0.3, bidirectional=True)
        self.layer_norm = nn.LayerNorm(both)
        linear = nn.Sequential(nn.Linear(both, both), nn.ReLU())
        self.fc_block = linear if plain else TDSFullyConnectedBlock(both)
        self.dropout = nn.Dropout(0.3)
        self.out_layer = nn.Linear(both, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer_norm(self.lstm_layers(x)[0])
        added: Tensor = self.out_layer(self.dropout(self.fc_block(y)))
        return x + added


class Emg2Qwerty(nn.Module):
    """Network from log10 spectrograms [T, N, 2, 16, 33] to log-probabilities [T', N, classes].

    With the convolutional encoder T' = T - 124. The parts of `model` are numbered as upstream.
    """

    def __init__(self, encoder: nn.Module, classes: int = CLASSES) -> None:
        super().__init__()
        self.model = nn.Sequential(
            SpectrogramNorm(),
            MultiBandRotationInvariantMLP(),
            nn.Flatten(2),
            encoder,
            nn.Linear(FEATURES, classes),
            nn.LogSoftmax(-1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


def tds() -> Emg2Qwerty:
    """Return upstream's baseline: 5,293,315 parameters, 8.37 M MACs per frame."""
    return Emg2Qwerty(TDSConvEncoder())


def lstm(plain: bool = False) -> Emg2Qwerty:
    """Return the residual LSTM: 1,593,379 parameters, or 1,555,939 if `plain`."""
    return Emg2Qwerty(ResidualLSTMEncoder(plain))


def with_front_end(network: Emg2Qwerty) -> nn.Sequential:
    """Prepend the spectrogram, so that the network takes band-passed samples [T, N, 2, 16] at 2
    kHz."""
    return nn.Sequential(LogSpectrogram(), network)


def kao_with_front_end() -> nn.Sequential:
    """Return `kao` with its spectrogram, for samples [T, N, 8] of an armband at 200 Hz."""
    return nn.Sequential(LogSpectrogram(), Armband(), kao())


def kao() -> Emg2Qwerty:
    """Return the residual LSTM for six keys and an armband with 8 electrodes, used for both
    bands."""
    return Emg2Qwerty(ResidualLSTMEncoder(), KAO_CLASSES)
