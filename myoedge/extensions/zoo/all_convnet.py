# SPDX-License-Identifier: Apache-2.0
"""All-ConvNet for sEMG images: eight convolutions and a global average, no dense layer.

A reconstruction of the network of Islam, Massicotte and Zhu (2020), whose abstract gives "460 k"
parameters: All-CNN-C at half width without its seventh 3x3 layer has 461,064 on 16 x 8 electrodes
and 8 gestures, and no other natural member of that family comes near.
"""

from __future__ import annotations

from torch import Tensor, nn

# (output channels, kernel, stride) of the layers before the classifier.
_LAYERS = (
    (64, 3, 1),
    (64, 3, 1),
    (64, 3, 2),
    (128, 3, 1),
    (128, 3, 1),
    (128, 3, 2),
    (128, 1, 1),
)


class AllConvNet(nn.Module):
    """Network from images [n, in_channels, height, width] to logits [n, classes]; any height and
    width from 1 on.

    The softmax is part of the loss. Logits are means of ReLU outputs, so never negative.
    """

    def __init__(self, classes: int = 8, in_channels: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for out_channels, kernel, stride in (*_LAYERS, (classes, 1, 1)):
            conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2)
            layers += [conv, nn.ReLU()]
            in_channels = out_channels
        self.features = nn.Sequential(*layers)
        _start_alive(self.features)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.pool(self.features(x)).flatten(1)
        return logits


def _start_alive(features: nn.Sequential) -> None:
    """Initialise weights as He et al., and the biases of the class maps with positive values.

    The last ReLU follows the class maps: a map that is negative everywhere has no gradient, and its
    gesture is never learnt. With torch's own initialisation that happened to one seed in five on
    the demo's windows.
    """
    parameters = list(features.parameters())
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
        nn.init.zeros_(bias)
    nn.init.ones_(parameters[-1])


def hd() -> AllConvNet:
    """Return the network for high-density images [n, 1, 16, 8] and 8 gestures: 461,064 parameters,
    14.37 M MACs."""
    return AllConvNet(classes=8)


def myo() -> AllConvNet:
    """Return the network for windows [n, 1, 8, length] of an eight-electrode armband and 5
    gestures."""
    return AllConvNet(classes=5)
